package jsonschema_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"dragoman/internal/fault"
	"dragoman/translate/jsonschema"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

var dialects = []struct {
	name string
	d    jsonschema.Dialect
}{{"gemini", jsonschema.Gemini}, {"gemini-json", jsonschema.GeminiJSON}, {"standard", jsonschema.Standard}}

// TestGolden rewrites each schema of testdata for each dialect. A file holds the schema and what became of it.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in := a.Files[0].Data
			got := &txtar.Archive{Comment: a.Comment, Files: a.Files[:1:1]}
			for _, d := range dialects {
				got.Files = append(got.Files, results(t, d.name, d.d, in)...)
			}
			text := txtar.Format(got)
			if *update {
				if err := os.WriteFile(file, text, 0o644); err != nil {
					t.Fatal(err)
				}
			} else if want := txtar.Format(a); !bytes.Equal(text, want) {
				t.Errorf("differs (-update rewrites it):\n%s", text)
			}
		})
	}
}

func results(t *testing.T, name string, d jsonschema.Dialect, in []byte) []txtar.File {
	t.Helper()
	out, dropped, err := jsonschema.For(d, in)
	if err != nil {
		return []txtar.File{{Name: name + " refuses", Data: []byte(err.Error() + "\n")}}
	}
	again, _, err := jsonschema.For(d, in)
	if err != nil || !bytes.Equal(out, again) {
		t.Errorf("D83: %s is not the same bytes each time", name)
	}
	if twice, _, err := jsonschema.For(d, out); err != nil || !bytes.Equal(out, twice) {
		t.Errorf("%s of its own result differs (%v):\n%s\n%s", name, err, out, twice)
	}
	var shown bytes.Buffer
	if err := json.Indent(&shown, out, "", " "); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	files := []txtar.File{{Name: name, Data: append(shown.Bytes(), '\n')}}
	if len(dropped) > 0 {
		files = append(files, txtar.File{Name: name + " dropped", Data: []byte(strings.Join(dropped, "\n") + "\n")})
	}
	return files
}

// multiplying is a schema of n definitions, each of which refers twice to the next: 2^n schemas when written out.
func multiplying(n int) string {
	var b strings.Builder
	b.WriteString(`{"type":"object","properties":{"x":{"$ref":"#/$defs/d0"}},"$defs":{`)
	for i := range n {
		fmt.Fprintf(&b, `"d%d":{"type":"object","properties":{"a":{"$ref":"#/$defs/d%d"},"b":{"$ref":"#/$defs/d%d"}}},`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"d%d":{"type":"string"}}}`, n)
	return b.String()
}

func TestD17_references_that_multiply_are_refused_at_once(t *testing.T) {
	start := time.Now()
	for name, schema := range map[string]string{
		"properties": multiplying(40),
		"allOf":      strings.ReplaceAll(strings.ReplaceAll(multiplying(40), `"properties":{"a":`, `"allOf":[`), `,"b":{`, `,{`),
		"deep":       strings.Repeat(`{"items":`, 100) + `{}` + strings.Repeat(`}`, 100),
		"wide": `{"$defs":{"a":{"description":"` + strings.Repeat("x", 200_000) + `"}},"properties":{` +
			strings.TrimSuffix(manyRefs(200), ",") + `}}`,
		"branches": `{"anyOf":` + strings.Repeat(`[{"type":"object","properties":{"p":{"anyOf":`, 20) + `[{},{"type":"string"}]` + strings.Repeat(`}}},{"type":"string"}]`, 20) + `}`,
	} {
		if name == "allOf" {
			schema = doubledAllOf(40)
		}
		_, _, err := jsonschema.For(jsonschema.Gemini, []byte(schema))
		var f *fault.Fault
		if name != "branches" && (!errors.As(err, &f) || f.Kind != fault.Unsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

func manyRefs(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"p%d":{"$ref":"#/$defs/a"},`, i)
	}
	return b.String()
}

func doubledAllOf(n int) string {
	var b strings.Builder
	b.WriteString(`{"allOf":[{"$ref":"#/$defs/d0"}],"$defs":{`)
	for i := range n {
		fmt.Fprintf(&b, `"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
	}
	fmt.Fprintf(&b, `"d%d":{"type":"string"}}}`, n)
	return b.String()
}

func TestD18_recursion_keeps_its_reference_where_the_dialect_has_them(t *testing.T) {
	schema := []byte(multiplying(40))
	out, dropped, err := jsonschema.For(jsonschema.GeminiJSON, schema)
	if err != nil || len(dropped) > 0 || len(out) > 2*len(schema) {
		t.Errorf("%v %v: %d bytes of %d", err, dropped, len(out), len(schema))
	}
}

func TestFor_refuses_what_is_no_object(t *testing.T) {
	for _, schema := range []string{``, `null`, `true`, `[]`, `"x"`, `1`} {
		for _, d := range dialects {
			_, _, err := jsonschema.For(d.d, []byte(schema))
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind != fault.Unsupported || f.Message == "" {
				t.Errorf("%s %q: %v", d.name, schema, err)
			}
		}
	}
}

func TestFor_names_at_most_32_keywords(t *testing.T) {
	var b strings.Builder
	for i := range 100 {
		fmt.Fprintf(&b, `"p%d":{"type":"integer","multipleOf":2},`, i)
	}
	_, dropped, err := jsonschema.For(jsonschema.Gemini, []byte(`{"properties":{`+strings.TrimSuffix(b.String(), ",")+`}}`))
	if err != nil || len(dropped) != 32 || dropped[0] != "properties.p0.multipleOf" {
		t.Errorf("%v: %d %v", err, len(dropped), dropped)
	}
}

// TestFor_takes_large_objects: thousands of members cost no more than their number.
func TestFor_takes_large_objects(t *testing.T) {
	var b, required strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, `"p%d":{"x":1},`, i)
		fmt.Fprintf(&required, `"p%d",`, i)
	}
	schema := `{"allOf":[{"properties":{` + strings.TrimSuffix(b.String(), ",") + `}},{"properties":{` + strings.TrimSuffix(b.String(), ",") + `}}],"required":[` + strings.TrimSuffix(required.String(), ",") + `]}`
	start := time.Now()
	for _, d := range dialects {
		if out, _, err := jsonschema.For(d.d, []byte(schema)); err != nil || !json.Valid(out) {
			t.Errorf("%s: %v", d.name, err)
		}
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("took %v", took)
	}
}

func FuzzFor(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.txtar")
	for _, file := range files {
		if a, err := txtar.ParseFile(file); err == nil {
			f.Add(a.Files[0].Data)
		}
	}
	f.Fuzz(func(t *testing.T, schema []byte) {
		if !json.Valid(schema) {
			return
		}
		for _, d := range dialects {
			out, dropped, err := jsonschema.For(d.d, schema)
			if err != nil {
				continue
			}
			if !json.Valid(out) || len(dropped) > 32 {
				t.Errorf("%s of %s: %s %v", d.name, schema, out, dropped)
			}
			if again, _, err := jsonschema.For(d.d, schema); err != nil || !bytes.Equal(again, out) {
				t.Errorf("%s of %s: %s, then %s", d.name, schema, out, again)
			}
		}
	})
}

func BenchmarkFor(b *testing.B) {
	schema := []byte(`{"type":"object","properties":{"city":{"type":"string","description":"Where"},"unit":{"enum":["c","f"]},"days":{"type":["integer","null"],"minimum":1},"tags":{"type":"array","items":{"$ref":"#/$defs/tag"}}},"required":["city"],"additionalProperties":false,"$defs":{"tag":{"type":"string","minLength":1}}}`)
	for _, d := range dialects {
		b.Run(d.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(schema)))
			for b.Loop() {
				if _, _, err := jsonschema.For(d.d, schema); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
