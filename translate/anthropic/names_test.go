package anthropic

import (
	"strings"
	"testing"
)

func TestD14_names_are_a_bijection(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{
		"f", "foo_bar", "foo/bar", "foo.bar", "foo bar", "x__", "x__f", "x__foo_x2Fbar", "_x", "x__x__", "_x2F", "żółw", "a\x00b", "_", "__x", "x_", "x__ _x", "\xff",
	} {
		enc := encodeName(name)
		if !plainName(enc) || enc == "" {
			t.Errorf("%q is sent as %q", name, enc)
		}
		if dec := decodeName(enc); dec != name {
			t.Errorf("%q → %q → %q", name, enc, dec)
		}
		if other, ok := seen[enc]; ok {
			t.Errorf("%q and %q are both %q", name, other, enc)
		}
		seen[enc] = name
	}
	for _, odd := range []string{"x__a_x", "x__a_xZZ", "x__a_x2", "plain"} {
		if got := decodeName(odd); got != odd {
			t.Errorf("%q was never sent and must stay: %q", odd, got)
		}
	}
}

func FuzzD14_names(f *testing.F) {
	for _, s := range []string{"f", "x__", "foo/bar", "_x2F", "x__a_x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if enc := encodeName(name); !plainName(enc) || decodeName(enc) != name {
			t.Errorf("%q → %q → %q", name, enc, decodeName(enc))
		}
		decodeName(escapedName + name)
	})
}

func TestGeneration(t *testing.T) {
	for model, want := range map[string]int{
		"claude-3-7-sonnet-20250219": 0, "claude-3-5-haiku-latest": 0, "claude-sonnet-4-20250514": 400, "claude-opus-4-1-20250805": 401,
		"claude-haiku-4-5": 405, "claude-haiku-4-5-20251001": 405, "claude-opus-4-6": 406, "anthropic.claude-opus-4-6-v1:0": 406,
		"us.anthropic.claude-sonnet-4-5-20250929-v1:0": 405, "anthropic/claude-opus-4-8": 408, "claude-sonnet-5": 500, "claude-fable-5-1": 501,
		"claude-mythos-preview": 406, "claude-opus-5-5": 505, "claude-opus-10": 1000, "claude-next": 0, "claude-": 0, "claude-opus-": 0, "gpt-5": 0, "": 0,
		"claude-opus-" + strings.Repeat("9", 40): 0,
	} {
		if got := generation(model); got != want {
			t.Errorf("%s: %d, want %d", model, got, want)
		}
	}
}

func TestD63_schemas_for_structured_output(t *testing.T) {
	for in, want := range map[string]string{
		`{"type":"object"}`: `{"type":"object","properties":{},"additionalProperties":false}`,
		`{"type":"object","properties":{"a":{"type":"object","additionalProperties":true,"properties":{}}},"additionalProperties":true}`: `{"type":"object","properties":{"a":{"type":"object","properties":{},"additionalProperties":false}},"additionalProperties":false}`,
		`{"type":"object","additionalProperties":{"type":"object"}}`:                                                                     `{"type":"object","additionalProperties":{"type":"object","properties":{},"additionalProperties":false}}`,
		`{"type":["object","null"],"properties":{}}`:                                                                                     `{"type":["object","null"],"properties":{},"additionalProperties":false}`,
		`{"oneOf":[{"type":"string"},{"type":"object"}]}`:                                                                                `{"anyOf":[{"type":"string"},{"type":"object","properties":{},"additionalProperties":false}]}`,
		`{"anyOf":[],"oneOf":[true]}`:                                                                                                    `{"anyOf":[],"description":"{oneOf: [true]}"}`,
		`{"type":"string","minLength":2,"format":"email","description":"d"}`:                                                             `{"type":"string","format":"email","description":"d\n\n{minLength: 2}"}`,
		`{"type":"string","format":"isbn"}`:                                                                                              `{"type":"string","description":"{format: \"isbn\"}"}`,
		`{"type":"array","items":{"type":"object"},"minItems":3,"maxItems":4}`:                                                           `{"type":"array","items":{"type":"object","properties":{},"additionalProperties":false},"description":"{minItems: 3, maxItems: 4}"}`,
		`{"type":"array","minItems":1}`:                                                                                                  `{"type":"array","minItems":1}`,
		`{"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n","description":"x"}}}},"$ref":"#/$defs/n"}`:              `{"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}},"additionalProperties":false}},"$ref":"#/$defs/n"}`,
		`{"allOf":[{"type":"object","properties":{}}],"enum":[1],"const":null,"title":"t","pattern":"^a"}`:                               `{"allOf":[{"type":"object","properties":{},"additionalProperties":false}],"enum":[1],"const":null,"title":"t","pattern":"^a"}`,
		`true`: `true`,
		`{}`:   `{}`,
	} {
		got, err := normalise([]byte(in))
		if err != nil || string(got) != want {
			t.Errorf("%s\n got %s (%v)\nwant %s", in, got, err, want)
		}
	}
	deep := strings.Repeat(`{"items":`, 120) + `{}` + strings.Repeat(`}`, 120)
	if _, err := normalise([]byte(deep)); err == nil {
		t.Error("depth must be bounded")
	}
}
