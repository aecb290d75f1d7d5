package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"dragoman/internal/fault"
)

// twoOfAKind: one name at two providers, an alias, a pinned version, a route that takes a model's name.
const twoOfAKind = `
providers:
  - {name: a, schema: openai, endpoint: "http://127.0.0.1:1", models: [org/llama]}
  - {name: b, schema: openai, endpoint: "http://127.0.0.1:2"}
models:
  - {name: shared, provider: b}
  - {name: shared, provider: a, id: shared-at-a, aliases: [s], versions: [shared-1]}
  - {name: only-b, provider: b, deprecated: true, context: 8000, max_output: 100, price: {input: 1, output: 2}}
  - {name: taken, provider: b}
routes:
  - {model: taken, strategy: fallback, candidates: [shared, only-b]}
  - {model: fast, candidates: [only-b]}
`

func refs(r *Route) string {
	var list []string
	for _, c := range r.Candidates {
		list = append(list, c.Model.Ref)
	}
	return strings.Join(list, " ")
}

func TestLookup(t *testing.T) {
	s := mustLoad(t, twoOfAKind, "")
	for _, c := range []struct {
		asked, refs string
		implicit    bool
	}{
		{"auto", "a/org/llama a/shared-at-a b/shared b/taken", false},
		{"fast", "b/only-b", false},
		{"taken", "a/shared-at-a b/shared b/only-b", false}, // a route goes before a model of its name
		{"shared", "a/shared-at-a b/shared", true},          // in the order of the providers
		{"s", "a/shared-at-a", true},
		{"shared-1", "a/shared-1", true},
		{"a/shared", "a/shared-at-a", true},
		{"a/shared-at-a", "a/shared-at-a", true},
		{"b/taken", "b/taken", true},
		{"org/llama", "a/org/llama", true},
		{"a/org/llama", "a/org/llama", true},
		{"b/never-heard-of/it:7b", "b/never-heard-of/it:7b", true},
	} {
		r, err := s.Lookup(c.asked)
		if err != nil {
			t.Errorf("%s: %v", c.asked, err)
			continue
		}
		if refs(r) != c.refs || r.Implicit != c.implicit || r.Name != c.asked {
			t.Errorf("%s: %s %s implicit=%t", c.asked, r.Name, refs(r), r.Implicit)
		}
	}
	if r, _ := s.Lookup("b/new"); r.Candidates[0].Model.ID != "new" || r.Candidates[0].Model.Known || r.Candidates[0].Model.Price != nil {
		t.Errorf("got %+v", r.Candidates[0].Model)
	}
}

func TestLookupOfWhatIsNotThere(t *testing.T) {
	s := mustLoad(t, twoOfAKind, "")
	for _, asked := range []string{"", "nope", "c/shared", "b/", "/shared", "b/with space", "b/line\nbreak", "b/é", "b/" + strings.Repeat("x", maxAsked), strings.Repeat("x", 1<<20)} {
		_, err := s.Lookup(asked)
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.NotFound || f.Code != "model_not_found" || f.Param != "model" {
			t.Errorf("%.20q: got %v", asked, err)
		} else if len(f.Message) > 400 {
			t.Errorf("%.20q: a message of %d bytes", asked, len(f.Message))
		}
	}
}

func TestLookupDoesNotAllocate(t *testing.T) {
	s := mustLoad(t, "", bothKeys)
	p := &Principal{Models: []string{"x", "claude-haiku*", "gpt-4o-mini"}}
	for _, asked := range []string{"auto", "gpt-4o-mini", "claude-haiku", "openai/gpt-4o-mini"} {
		if n := testing.AllocsPerRun(100, func() {
			r, err := s.Lookup(asked)
			if err != nil || p.MayUseRoute(asked, r) == (asked == Auto) {
				t.Fatal(asked, err)
			}
		}); n != 0 {
			t.Errorf("%s: %g allocations", asked, n)
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	s := mustLoad(b, "", bothKeys)
	p := &Principal{Models: []string{"auto", "gpt-*"}}
	b.ReportAllocs()
	for b.Loop() {
		r, err := s.Lookup("openai/gpt-4o-mini")
		if err != nil || !p.MayUseRoute("openai/gpt-4o-mini", r) {
			b.Fatal(err)
		}
	}
}

func TestMayUse(t *testing.T) {
	for _, c := range []struct {
		patterns []string
		name     string
		want     bool
	}{
		{nil, "anything", true}, {[]string{}, "anything", true},
		{[]string{"auto"}, "auto", true}, {[]string{"auto"}, "auto2", false}, {[]string{"auto"}, "aut", false},
		{[]string{"gpt-*"}, "gpt-", true}, {[]string{"gpt-*"}, "gpt-4o", true}, {[]string{"gpt-*"}, "gpt", false},
		{[]string{"gpt-*"}, "openai/gpt-4o", false}, {[]string{"*"}, "x", true}, {[]string{"a", "b*"}, "bc", true}, {[]string{""}, "", true},
	} {
		if got := (&Principal{Models: c.patterns}).MayUse(c.name); got != c.want {
			t.Errorf("%v, %q: %t", c.patterns, c.name, got)
		}
	}
}

// No way of asking reaches a model that the key is not for, and each way of naming an allowed one works.
func TestMayUseRoute(t *testing.T) {
	s := mustLoad(t, twoOfAKind, "")
	for _, c := range []struct {
		pattern, asked string
		want           bool
	}{
		{"only-b", "b/only-b", true},
		{"b/only-b", "only-b", true},
		{"only-b", "fast", false}, // a route by its name only
		{"only-b", "taken", false},
		{"taken", "taken", true}, // a route by its name
		{"taken", "shared", false},
		{"a/*", "shared", false}, // b would answer too
		{"a/*", "a/shared", true},
		{"a/*", "s", true},
		{"shared", "s", true},
		{"shared", "a/shared", true},
		{"shared", "shared-1", false}, // a pinned version is a model of its own
		{"shared", "b/new", false},
		{"b/*", "b/new", true},
		{"only-b", "auto", false},
	} {
		r, err := s.Lookup(c.asked)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&Principal{Models: []string{c.pattern}}).MayUseRoute(c.asked, r); got != c.want {
			t.Errorf("a key for %q asks for %q: %t", c.pattern, c.asked, got)
		}
	}
	if (&Principal{Models: []string{"x"}}).MayUseRoute("empty", &Route{Implicit: true}) {
		t.Error("a route without candidates is allowed to everybody")
	}
}

func TestListing(t *testing.T) {
	s := mustLoad(t, twoOfAKind, "")
	names := func(p *Principal) string {
		var list []string
		for _, m := range s.Listing(p) {
			list = append(list, m.Name+":"+m.OwnedBy)
		}
		return strings.Join(list, " ")
	}
	if got, want := names(Anonymous), "taken:dragoman fast:dragoman auto:dragoman cheap:dragoman quality:dragoman only-b:b org/llama:a shared:a shared-1:a"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, want := names(&Principal{Models: []string{"only-b", "shared"}}), "only-b:b shared:a"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	i := slices.IndexFunc(s.Listing(Anonymous), func(m ListedModel) bool { return m.Name == "only-b" })
	if m := s.Listing(Anonymous)[i]; m.Context != 8000 || m.MaxOutput != 100 || m.Price.Output != 2_000_000 || !m.Deprecated || m.Route {
		t.Errorf("got %+v", m)
	}
}

func TestSecretsPrintAsTheirSource(t *testing.T) {
	s := NewSecret("SECRET", "env K")
	encoded, err := json.Marshal(map[string]any{"cluster": Cluster{Secret: s}, "secret": s})
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, s, s, s, s), fmt.Sprintf("%+v %#v", &Cluster{Secret: s}, Cluster{Secret: s}), string(encoded)} {
		if strings.Contains(shown, "SECRET") {
			t.Errorf("shown: %s", shown)
		}
	}
	if s.Reveal() != "SECRET" || s.String() != "env K" || (Secret{}).String() != "none" {
		t.Error("got", s, Secret{})
	}
}

func TestKeys(t *testing.T) {
	key, err := NewKey(bytes.NewReader(bytes.Repeat([]byte{0xa7}, 32)))
	if err != nil || !strings.HasPrefix(key, KeyPrefix) || len(key) != len(KeyPrefix)+52 || !isName(key) {
		t.Fatalf("got %q, %v", key, err)
	}
	other, _ := NewKey(bytes.NewReader(append(bytes.Repeat([]byte{0xa7}, 31), 0xa6)))
	if other == key {
		t.Error("the last byte of the randomness is lost")
	}
	if _, err := NewKey(iotest.ErrReader(errors.New("dry"))); err == nil {
		t.Error("a key without randomness")
	}
	if got, want := HashKey("abc"), "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"; got != want {
		t.Errorf("got %s", got)
	}
	s := mustLoad(t, fmt.Sprintf("tenants: [{name: t, keys: [{name: k, hash: %q}]}]", HashKey(key)), bothKeys)
	hash, ok := parseHash(HashKey(key))
	if !ok || s.Keys.Open || s.Keys.ByHash[hash] == nil || s.Keys.ByHash[hash].Key != "k" {
		t.Errorf("got %+v", s.Keys)
	}
}
