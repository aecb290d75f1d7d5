package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// The built-in catalogue obeys the rules that a user's entries obey, and each figure says where it is from.
func TestBuiltInCatalogue(t *testing.T) {
	f, err := Parse("catalogue.yaml", catalogueYAML)
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{file: f, problems: &Problems{}}
	b.fields(f.Config.ProtoReflect(), "")
	if err := b.problems.err(); err != nil {
		t.Error(err)
	}
	names := map[string]string{}
	for _, m := range f.Config.Models {
		if vendorOf(m.Provider) == nil {
			t.Errorf("%s: no vendor %q", m.Name, m.Provider)
		}
		for _, name := range append(append([]string{m.Name}, m.Aliases...), m.Versions...) {
			if names[name] != "" {
				t.Errorf("%s is a name of both %s and %s", name, names[name], m.Name)
			}
			names[name] = m.Name
		}
		if m.Price == nil {
			continue // unknown
		}
		if _, err := time.Parse(time.DateOnly, m.Price.Date); err != nil || !strings.HasPrefix(m.Price.Source, "https://") {
			t.Errorf("%s: a price of %q, %q", m.Name, m.Price.Source, m.Price.Date)
		}
		if m.Price.GetOutput() < m.Price.GetInput() || m.Price.CacheRead != nil && m.Price.GetCacheRead() > m.Price.GetInput() {
			t.Errorf("%s: not plausible: %v", m.Name, m.Price)
		}
		if l := m.Price.Long; l != nil && (l.GetInput() < m.Price.GetInput() || l.Above >= m.Context) {
			t.Errorf("%s: a long price that is not plausible: %v", m.Name, l)
		}
		if m.Context == 0 || m.Quality["default"] == 0 || len(m.Capabilities) == 0 {
			t.Errorf("%s: context %d, quality %v, capabilities %v", m.Name, m.Context, m.Quality, m.Capabilities)
		}
	}
	if len(f.Config.Models) < 30 {
		t.Errorf("only %d models", len(f.Config.Models))
	}
}

// Spot checks against the vendors' pages, in micro-USD per million tokens.
func TestBuiltInPrices(t *testing.T) {
	s := mustLoad(t, "", bothKeys)
	for name, want := range map[string]Price{
		"gpt-4o":           {Input: 2_500_000, Output: 10_000_000, CacheRead: 1_250_000},
		"gpt-4o-mini":      {Input: 150_000, Output: 600_000, CacheRead: 75_000},
		"gpt-4.1":          {Input: 2_000_000, Output: 8_000_000, CacheRead: 500_000},
		"gpt-5-mini":       {Input: 250_000, Output: 2_000_000, CacheRead: 25_000},
		"o3":               {Input: 2_000_000, Output: 8_000_000, CacheRead: 500_000},
		"claude-haiku-4-5": {Input: 1_000_000, Output: 5_000_000, CacheRead: 100_000},
		"claude-opus-4-5":  {Input: 5_000_000, Output: 25_000_000, CacheRead: 500_000},
	} {
		r, err := s.Lookup(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if p := r.Candidates[0].Model.Price; p.Input != want.Input || p.Output != want.Output || p.CacheRead != want.CacheRead {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestAutoIsOverWhatIsCurrent(t *testing.T) {
	s := mustLoad(t, "", bothKeys)
	auto := s.Route(Auto)
	providers := map[ProviderName]int{}
	for _, c := range auto.Candidates {
		providers[c.Model.Provider.Name]++
		if c.Model.Deprecated || c.Model.Pinned {
			t.Errorf("%s is a candidate of auto", c.Model.Name)
		}
	}
	if providers["openai"] == 0 || providers["anthropic"] == 0 {
		t.Errorf("auto has %v", providers)
	}
	for _, name := range []string{"gpt-5-mini-2025-08-07", "claude-haiku-4-5-20251001", "gpt-4o"} {
		r, err := s.Lookup(name)
		if err != nil || r.Candidates[0].Model.ID != name || slices.ContainsFunc(auto.Candidates, func(c Candidate) bool { return c.Model.Name == name }) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCatalogueOfAProvider(t *testing.T) {
	for _, c := range []struct {
		name, provider, env string
		want                bool
	}{
		{"by name", `{name: openai}`, "OPENAI_API_KEY=k", true},
		{"by name, another host with a key", `{name: openai, endpoint: "https://proxy.example", credentials: [{secret: {env: OPENAI_API_KEY}}]}`, "OPENAI_API_KEY=k", true},
		{"by name, a server of one's own", `{name: openai, endpoint: "http://127.0.0.1:1"}`, "", false},
		{"by host, key and schema with it", `{name: work, endpoint: "https://api.openai.com/v1"}`, "OPENAI_API_KEY=k", true},
		{"by word", `{name: azure, schema: openai, endpoint: "https://x.example", catalogue: openai}`, "", true},
		{"refused by word", `{name: openai, catalogue: none}`, "OPENAI_API_KEY=k", false},
		{"unknown", `{name: x, schema: openai, endpoint: "https://x.example"}`, "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := mustLoad(t, "providers: ["+c.provider+"]", c.env)
			if _, err := s.Lookup("gpt-4o"); (err == nil) != c.want {
				t.Errorf("gpt-4o: %v", err)
			}
		})
	}
}
