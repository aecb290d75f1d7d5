package config

import "testing"

// TestTraits: what is noted ahead is what would be looked up, and a model without a list has none.
func TestTraits(t *testing.T) {
	for name, c := range map[string]struct {
		can  map[string]bool
		want Traits
	}{
		"unknown":   {nil, 0},
		"nothing":   {map[string]bool{}, Listed},
		"tools":     {map[string]bool{"tools": true, "images": false}, Listed | HasTools},
		"all":       {map[string]bool{"tools": true, "images": true, "streaming": true, "audio": true}, Listed | HasTools | HasImages | Streams},
		"other one": {map[string]bool{"embeddings": true}, Listed},
	} {
		m := &Model{Capabilities: c.can}
		if got := m.Traits(); got != c.want {
			t.Errorf("%s: looked up %b, want %b", name, got, c.want)
		}
		if m.Prepare(); m.traits != c.want || m.Traits() != c.want {
			t.Errorf("%s: noted %b, want %b", name, m.traits, c.want)
		}
	}
}

// TestTraitsAreNoted of every model that a route has.
func TestTraitsAreNoted(t *testing.T) {
	f, err := Parse("test.yaml", []byte("providers: [{name: a, schema: openai, endpoint: \"http://127.0.0.1:1\", catalogue: none}]\nmodels: [{name: m, provider: a, capabilities: [tools]}]\n"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(f, Options{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.Lookup("m")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Candidates[0].Model.traits; got != Listed|HasTools {
		t.Errorf("%b", got)
	}
}
