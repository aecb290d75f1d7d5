package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// The built-in catalogue obeys the rules that a user's entries obey, and each figure says where it is from.
func TestBuiltInCatalogue(t *testing.T) {
	total := 0
	for _, vendor := range catalogued() {
		t.Run(vendor, func(t *testing.T) {
			f, err := Parse(vendor+".yaml", catalogueFile(vendor))
			if err != nil {
				t.Fatal(err)
			}
			b := &builder{file: f, problems: &Problems{}}
			b.fields(f.Config.ProtoReflect(), "")
			if err := b.problems.err(); err != nil {
				t.Error(err)
			}
			if vendorOf(vendor) == nil {
				t.Errorf("no vendor %q", vendor)
			}
			names := map[string]string{}
			for _, m := range f.Config.Models {
				if m.Provider != vendor {
					t.Errorf("%s is of %q", m.Name, m.Provider)
				}
				for _, name := range append(append([]string{m.Name}, m.Aliases...), m.Versions...) {
					if names[name] != "" {
						t.Errorf("%s is a name of both %s and %s", name, names[name], m.Name)
					}
					names[name] = m.Name
				}
				checkEntry(t, m)
			}
			total += len(f.Config.Models)
		})
	}
	if total < 250 || len(catalogued()) < 17 {
		t.Errorf("only %d models of %d vendors", total, len(catalogued()))
	}
}

func checkEntry(t *testing.T, m *dragomanv1.Model) {
	chats := !slices.Contains(m.Capabilities, "embeddings") && !slices.Contains(m.Capabilities, "rerank")
	switch {
	case len(m.Capabilities) == 0:
		t.Errorf("%s: no capabilities", m.Name)
	case chats && (m.Quality["default"] == 0 || m.Context == 0 || !slices.Contains(m.Capabilities, "streaming")):
		t.Errorf("%s: context %d, quality %v, capabilities %v", m.Name, m.Context, m.Quality, m.Capabilities)
	case !chats && (len(m.Quality) > 0 || m.MaxOutput > 0):
		t.Errorf("%s: quality %v, output %d of a model that writes nothing", m.Name, m.Quality, m.MaxOutput)
	case m.MaxOutput > m.Context:
		t.Errorf("%s: an output of %d in a window of %d", m.Name, m.MaxOutput, m.Context)
	}
	p := m.Price
	if p == nil {
		return // unknown
	}
	if _, err := time.Parse(time.DateOnly, p.Date); err != nil || !strings.HasPrefix(p.Source, "https://") {
		t.Errorf("%s: a price of %q, %q", m.Name, p.Source, p.Date)
	}
	if p.Input == nil || p.Output == nil || p.GetInput() <= 0 || chats && p.GetOutput() < p.GetInput() || p.CacheRead != nil && p.GetCacheRead() > p.GetInput() {
		t.Errorf("%s: not plausible: %v", m.Name, p)
	}
	if l := p.Long; l != nil && (l.GetInput() < p.GetInput() || l.GetOutput() < p.GetOutput() || l.Above == 0 || l.Above >= m.Context) {
		t.Errorf("%s: a long price that is not plausible: %v", m.Name, l)
	}
}

// What the same vendor's model costs and does elsewhere is looked up under its own provider.
func TestTheSameModelAtSeveralProviders(t *testing.T) {
	s := mustLoad(t, "providers: [{name: openai}, {name: groq}, {name: cohere}]", "OPENAI_API_KEY=k\nGROQ_API_KEY=k\nCO_API_KEY=k")
	for name, want := range map[string]string{"gpt-oss-120b": "groq/openai/gpt-oss-120b", "rerank-v4.0-fast": "cohere/rerank-v4.0-fast", "text-embedding-3-small": "openai/text-embedding-3-small"} {
		r, err := s.Lookup(name)
		if err != nil || r.Candidates[0].Model.Ref != want {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	for _, c := range s.Route(Auto).Candidates {
		if can := c.Model.Capabilities; can["embeddings"] || can["rerank"] {
			t.Errorf("%s is a candidate of auto", c.Model.Ref)
		}
	}
	if r, err := s.Lookup("rerank-v4.0-fast"); err == nil && r.Candidates[0].Model.Price != nil {
		t.Error("what is priced by the search has a price by the token")
	}
}

// Azure's models are deployments: they have figures, and only those that the operator names are chosen from.
func TestAzureDeploymentsAreTheOperators(t *testing.T) {
	s := mustLoad(t, `providers: [{name: azure, endpoint: "https://x.openai.azure.com", models: [gpt-6-sol], credentials: [{secret: {env: K}}], catalogue: azure}]`, "K=k")
	var auto []string
	for _, c := range s.Route(Auto).Candidates {
		auto = append(auto, c.Model.Name)
	}
	if !slices.Equal(auto, []string{"gpt-6-sol"}) {
		t.Errorf("auto has %v", auto)
	}
	if r, err := s.Lookup("azure/gpt-4.1"); err != nil || r.Candidates[0].Model.Price == nil {
		t.Errorf("gpt-4.1: %v", err)
	}
}

// The part of one vendor is read when a provider first serves it.
func BenchmarkCatalogue(b *testing.B) {
	for b.Loop() {
		for _, vendor := range catalogued() {
			if _, err := Parse(vendor, catalogueFile(vendor)); err != nil {
				b.Fatal(err)
			}
		}
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
