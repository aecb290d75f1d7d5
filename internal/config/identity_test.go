package config

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

func TestPatternsOfNames(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          []string // the parts; nil: no match
	}{
		{"spiffe://a/ns/{ns}/sa/{sa}", "spiffe://a/ns/x/sa/y", []string{"x", "y"}},
		{"spiffe://a/ns/{ns}/sa/{sa}", "spiffe://a/ns/x/sa/", nil},
		{"spiffe://a/ns/{ns}/sa/{sa}", "spiffe://a/ns/x/sa", nil},
		{"spiffe://a/ns/{ns}/sa/{sa}", "spiffe://a/ns/x/sa/y/", nil},
		{"spiffe://a/ns/{ns}/sa/{sa}", "xspiffe://a/ns/x/sa/y", nil},
		{"spiffe://a/ns/{ns}/sa/{sa}", "spiffe://A/ns/x/sa/y", nil},
		{"spiffe://a/ns/team-{t}-prod", "spiffe://a/ns/team-x-y-prod", []string{"x-y"}},
		{"spiffe://a/ns/team-{t}-prod", "spiffe://a/ns/team--prod", nil},
		{"spiffe://a/ns/team-{t}m-prod", "spiffe://a/ns/team-prod", nil}, // before and after may not share letters
		{"spiffe://a/{t}", "spiffe://a/x y", []string{"x y"}},            // whether that is a name is the place's to say
		{"urn:machine:{m}", "urn:machine:7", []string{"7"}},
		{"{h}.clients.example", "web-1.clients.example", []string{"web-1"}},
		{"{h}.clients.example", "WEB.Clients.EXAMPLE", []string{"WEB"}},
		{"{h}.clients.example", "a.b.clients.example", nil},
		{"{h}.clients.example", "clients.example", nil},
		{"host", "host", []string{}},
		{"host", "hostess", nil},
	} {
		var p sanPattern
		names, fault := p.compile(c.pattern)
		if fault != "" {
			t.Fatalf("%s: %s", c.pattern, fault)
		}
		var parts [maxParts]string
		ok := p.match(c.name, &parts)
		if ok != (c.want != nil) || ok && strings.Join(parts[:len(names)], "|") != strings.Join(c.want, "|") {
			t.Errorf("%s and %s: %v %v, want %v", c.pattern, c.name, ok, parts[:len(names)], c.want)
		}
	}
}

// FuzzPatterns: what matches a pattern is the pattern with its parts filled in, and the parts hold no delimiter.
func FuzzPatterns(f *testing.F) {
	f.Add("spiffe://a/{x}/b-{y}-c", "spiffe://a/1/b-2-c")
	f.Add("{h}.example", "w.example")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		var p sanPattern
		names, fault := p.compile(pattern)
		if fault != "" {
			return
		}
		var parts [maxParts]string
		if !p.match(name, &parts) {
			return
		}
		var pairs []string
		for i, n := range names {
			if parts[i] == "" || strings.Contains(parts[i], p.delimiter()) {
				t.Errorf("%q in %q of %q", parts[i], pattern, name)
			}
			pairs = append(pairs, "{"+n+"}", parts[i])
		}
		if full := strings.NewReplacer(pairs...).Replace(pattern); full != name && (p.uri || !strings.EqualFold(full, name)) {
			t.Errorf("%q fits %q, which filled in is %q", name, pattern, full)
		}
		template, fault := compileTemplate(strings.Join(append([]string{""}, names...), "-{x}"), []string{"x"})
		if fault == "" {
			template.fill(&parts)
		}
	})
}

func callerSnapshot(t testing.TB) *Snapshot {
	t.Helper()
	f, err := Parse("x.yaml", []byte(`providers: [{name: a, schema: openai, endpoint: "http://127.0.0.1:1", models: [m]}]
tenants: [{name: acme, each_user: {limits: {requests_per_minute: 5}}}]
identity: {keys: {}}
ledger: {sqlite: x.db}
`))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Compile(f, Options{Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestCallersAreBounded: who is one too many is served all the same.
func TestCallersAreBounded(t *testing.T) {
	s := callerSnapshot(t)
	key := &dragomanv1.Key{Name: "k"}
	s.callers.count.Store(maxCallers - 2)
	for i := range 5 {
		at := Place{Tenant: "acme", User: fmt.Sprint("u", i)}
		p, known, err := s.KnownCaller(at, key)
		if err != nil || known || p.User != at.User || len(p.Meters) != 1 {
			t.Fatalf("%+v %v %v", p, known, err)
		}
		again, known, err := s.KnownCaller(at, key)
		if err != nil || known != (i < 2) || known != (again == p) {
			t.Errorf("caller %d: known %v, the same %v, %v", i, known, again == p, err)
		}
	}
	if n := s.callers.count.Load(); n != maxCallers {
		t.Errorf("%d are counted", n)
	}
	seen := 0
	s.SeenCallers(func(*Principal) bool { seen++; return true })
	if seen != 2 {
		t.Errorf("%d are remembered", seen)
	}
	s.SeenCallers(func(*Principal) bool { seen++; return false })
	if seen != 3 {
		t.Error("who wants no more is told of more")
	}
}

// TestCallersAtTheSameTime are one principal.
func TestCallersAtTheSameTime(t *testing.T) {
	s := callerSnapshot(t)
	keys := []*dragomanv1.Key{{Name: "a"}, {Name: "b"}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[string]map[*Principal]bool{}
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				key := keys[i%2]
				p, _, err := s.KnownCaller(Place{Tenant: "acme", User: fmt.Sprint("u", i%20)}, key)
				if err != nil || p.Key != key.Name {
					t.Errorf("%+v %v", p, err)
					return
				}
				mu.Lock()
				if got[p.Path()] == nil {
					got[p.Path()] = map[*Principal]bool{}
				}
				got[p.Path()][p] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(got) != 20 {
		t.Errorf("%d callers", len(got))
	}
	for path, all := range got {
		if len(all) != 1 {
			t.Errorf("%s is %d principals", path, len(all))
		}
	}
	if _, _, err := s.KnownCaller(Place{Tenant: "nobody"}, keys[0]); err == nil {
		t.Error("a tenant that is not there was taken")
	}
}
