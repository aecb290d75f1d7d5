package route

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/translate/chat"
)

func TestPlan(t *testing.T) {
	for name, c := range map[string]struct {
		strategy   config.Strategy
		candidates []string
		attempts   int
		set        func(w *world)
		want       string
	}{
		"one provider, one cluster": {config.Fallback, []string{"haiku"}, 4, nil,
			"claude:haiku claude:haiku+100ms claude:haiku+200ms claude:haiku+400ms"},
		"one attempt":                     {config.Fallback, []string{"haiku", "gpt"}, 1, nil, "claude:haiku"},
		"no attempts are one":             {config.Fallback, []string{"haiku", "gpt"}, 0, nil, "claude:haiku"},
		"two providers, one cluster each": {config.Fallback, []string{"haiku", "llama"}, 4, nil, "claude:haiku local:llama"},
		// The overflow has the smaller share: the first attempt was most likely at the primary.
		"one provider, two clusters": {config.Fallback, []string{"gpt"}, 4, nil,
			"openai:gpt openai/overflow:gpt+100ms openai/primary:gpt+200ms openai:gpt+400ms"},
		"another provider first, then other clusters": {config.Fallback, []string{"gpt", "haiku"}, 4, nil,
			"openai:gpt claude:haiku openai/overflow:gpt openai/primary:gpt+200ms"},
		"fallback keeps two models of a provider together": {config.Fallback, []string{"gpt", "mini", "haiku"}, 3, nil,
			"openai:gpt openai:mini+100ms claude:haiku"},
		"others go to the next provider": {config.Weighted, []string{"gpt 3", "mini 2", "haiku 1"}, 5, nil,
			"openai:gpt claude:haiku openai/overflow:gpt openai/primary:gpt+200ms openai:mini+400ms"},
		"many providers":       {config.Fallback, []string{"haiku", "llama", "gpt"}, 2, nil, "claude:haiku local:llama"},
		"the same model twice": {config.Weighted, []string{"haiku 1", "haiku 1", "llama 1"}, 4, nil, "claude:haiku local:llama"},
		"a limited cluster is not asked by name": {config.Fallback, []string{"gpt", "haiku"}, 4,
			func(w *world) {
				w.report(1, "openai/overflow", health.RateLimited, health.Outcome{RetryAfter: time.Minute})
			},
			"openai:gpt claude:haiku openai/primary:gpt"},
		"a provider that is down goes last": {config.Fallback, []string{"gpt", "haiku", "llama"}, 4, func(w *world) { w.down("openai") },
			"claude:haiku local:llama openai:gpt"},
		"the last attempt is kept for it": {config.Fallback, []string{"haiku", "llama"}, 4, func(w *world) { w.down("claude") },
			"local:llama local:llama+100ms local:llama+200ms claude:haiku"},
		"but not the only attempt": {config.Fallback, []string{"haiku", "llama"}, 1, func(w *world) { w.down("claude") }, "local:llama"},
		"all down": {config.Fallback, []string{"haiku", "llama"}, 4, func(w *world) { w.down("claude"); w.down("local") },
			"claude:haiku local:llama"},
		"all clusters of the only provider down": {config.Fallback, []string{"gpt"}, 3, func(w *world) { w.down("openai") },
			"openai:gpt openai:gpt+100ms openai:gpt+200ms"},
		"back-off is bounded": {config.Fallback, []string{"haiku"}, 10, nil,
			"claude:haiku claude:haiku+100ms claude:haiku+200ms claude:haiku+400ms claude:haiku+800ms claude:haiku+1.6s " +
				"claude:haiku+3.2s claude:haiku+6.4s claude:haiku+10s claude:haiku+10s"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if c.set != nil {
				c.set(w)
			}
			w.snap.Retry.MaxAttempts = c.attempts
			if got := steps(w.choose(w.query(w.route(c.strategy, c.candidates...)))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestStepsNameWhatEnvoyHas(t *testing.T) {
	w := newWorld(t)
	for _, s := range w.choose(w.query(w.route(config.Fallback, "gpt", "haiku"))).Plan {
		switch {
		case s.Provider != s.Model.Provider:
			t.Errorf("%s: a model of another provider", s.Group)
		case s.Cluster == nil && s.Group != string(s.Provider.Name):
			t.Errorf("%s is not the provider's weighted group", s.Group)
		case s.Cluster != nil && (s.Group != string(s.Cluster.Name) || s.Cluster.Provider != s.Provider):
			t.Errorf("%s is not the cluster's group", s.Group)
		}
	}
}

// Whatever the health and the route: a plan has at least one step, no more than allowed, back-off only towards the
// provider that was just tried, and every provider before any is repeated.
func TestProperty_plans(t *testing.T) {
	names := []string{"gpt", "mini", "haiku", "llama", "mystery"}
	classes := health.Classes()
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 4))
		w := newWorld(t)
		for range rng.IntN(60) {
			c := w.clusters[rng.IntN(len(w.clusters))]
			w.report(1+rng.IntN(5), string(c.Name), classes[rng.IntN(len(classes))], health.Outcome{Status: 401, Model: "gpt", TTFT: time.Second})
		}
		strategy := []config.Strategy{config.Fallback, config.Weighted, config.Balanced}[rng.IntN(3)]
		var candidates []string
		for range 1 + rng.IntN(6) {
			candidates = append(candidates, fmt.Sprintf("%s %d", names[rng.IntN(len(names))], rng.IntN(4)))
		}
		w.snap.Retry.MaxAttempts = 1 + rng.IntN(7)
		q := w.query(w.route(strategy, candidates...))
		q.Random, q.InputTokens = rng.Float64(), rng.Int64N(8000)
		d := w.choose(q)
		check(t, fmt.Sprintf("seed %d: %s: %s", seed, d.Explain(), steps(d)), w, d, strategy)
	}
}

func check(t *testing.T, what string, w *world, d *Decision, strategy config.Strategy) {
	t.Helper()
	if n := len(d.Plan); n < 1 || n > w.snap.Retry.MaxAttempts {
		t.Fatalf("%s: %d steps of %d", what, n, w.snap.Retry.MaxAttempts)
	}
	live := map[*config.Provider]bool{}
	for i := range d.Candidates {
		c := &d.Candidates[i]
		if i > 0 && c.Usable && !d.Candidates[i-1].Usable && d.Candidates[i-1].Excluded == Able {
			t.Fatalf("%s: a candidate that is down comes before one that is not", what)
		}
		if c.Usable {
			live[c.Model.Provider] = true
		}
	}
	tried := map[*config.Provider]bool{}
	for i, s := range d.Plan {
		same := i > 0 && d.Plan[i-1].Provider == s.Provider
		if same != (s.Backoff > 0) {
			t.Fatalf("%s: step %d: back-off %v", what, i, s.Backoff)
		}
		if strategy != config.Fallback && tried[s.Provider] {
			for p := range live {
				if !tried[p] {
					t.Fatalf("%s: step %d repeats a provider before %s was tried", what, i, p.Name)
				}
			}
		}
		tried[s.Provider] = true
	}
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	w.models["llama"].Capabilities = can("streaming")
	w.down("claude")
	q := w.query(w.route(config.Balanced, "haiku", "gpt", "llama"))
	q.Tools = true
	w.snap.Retry.MaxAttempts = 3
	want := "auto balanced (price 0.35 latency 0.25 quality 0.30 headroom 0.10, 500 output tokens): " +
		"openai/gpt 0.67 (price 0.50 latency 0.50 quality 0.90 headroom 1.00 health 1.00, 7000 microusd) > " +
		"claude/haiku 0.01 (price 1.00 latency 0.50 quality 0.80 headroom 1.00 health 0.01, 3500 microusd) down; no tools: local/llama; " +
		"plan: openai, openai/overflow after 100ms, claude"
	if got := w.choose(q).Explain(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A client makes up provider/model names; they must not break a header.
func TestExplainIsAHeader(t *testing.T) {
	w := newWorld(t)
	evil := "openai/\r\nset-cookie: a=b\x00é" + strings.Repeat("x", 5000)
	r := w.route(config.Balanced)
	r.Name = evil
	for range 50 {
		r.Candidates = append(r.Candidates, config.Candidate{Model: &config.Model{Name: evil, ID: evil, Provider: w.snap.Providers[0]}})
	}
	got := w.choose(w.query(r)).Explain()
	for i := range len(got) {
		if got[i] < ' ' || got[i] > '~' {
			t.Fatalf("byte %#x in %q", got[i], got)
		}
	}
	if len(got) > 8000 {
		t.Errorf("a header of %d bytes", len(got))
	}
}

func TestScoredAsJSON(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Weighted, "haiku 2", "llama 1"))
	q.Tools, w.models["llama"].Capabilities = true, can()
	b, err := json.Marshal(w.choose(q).Candidates)
	want := `[{"provider":"claude","model":"haiku","score":2,"price":0,"latency":0,"quality":0,"headroom":0,"health":1,"weight":2,"expected_microusd":3500,"usable":true,"lifted":"drawn"},` +
		`{"provider":"local","model":"llama","score":0,"price":0,"latency":0,"quality":0,"headroom":0,"health":1,"weight":1,"expected_microusd":0,"usable":true,"excluded":"no tools"}]`
	if err != nil || string(b) != want {
		t.Errorf("got  %s, %v\nwant %s", b, err, want)
	}
}

// large has n candidates, two for each provider, which has two clusters.
func large(n int) (*config.Snapshot, *health.View, *config.Route, *Learnt) {
	snap := &config.Snapshot{Retry: config.Retry{MaxAttempts: 4, Backoff: 100 * time.Millisecond}}
	r := &config.Route{Name: "auto", Strategy: config.Balanced, Weights: config.DefaultWeights, Routing: config.Routing{LocalFirst: 0.7}}
	tr := health.New(config.Health{}, func() time.Time { return start })
	var clusters []*config.Cluster
	for i := range n / 2 {
		p := &config.Provider{Name: config.ProviderName(fmt.Sprintf("provider-%d", i)), Schema: chat.OpenAI, Index: i}
		for j := range 2 {
			c := &config.Cluster{Name: config.ClusterName(fmt.Sprintf("provider-%d/%d", i, j)), Provider: p, Weight: 50}
			p.Clusters, clusters = append(p.Clusters, c), append(clusters, c)
		}
		for j := range 2 {
			r.Candidates = append(r.Candidates, config.Candidate{Weight: 1, Model: &config.Model{
				Name: fmt.Sprintf("model-%d-%d", i, j), ID: fmt.Sprintf("model-%d-%d", i, j), Ref: fmt.Sprintf("provider-%d/model-%d", i, j),
				Provider: p, Context: 200_000, Known: true,
				Price:        &config.Price{Input: config.MicroUSD(100_000 * (1 + i*7%10)), Output: config.MicroUSD(500_000 * (1 + i*3%10))},
				Capabilities: can("tools", "images", "streaming"), Quality: map[string]float64{"default": float64(i*j%10) / 10, "code": 0.5},
			}})
		}
	}
	tr.SetClusters(clusters)
	learnt := NewLearnt()
	for i, c := range r.Candidates {
		c.Model.Prepare()
		learnt.Observe(&Sample{Model: c.Model, Route: "auto", Prompt: 1000, Output: 300, First: time.Duration(100+i*37%500) * time.Millisecond, Rest: 3 * time.Second}, start)
		learnt.Take(c.Model.Provider.Clusters[i%2], 1000, false, start)
	}
	tr.Publish()
	return snap, tr.View(), r, learnt
}

// benchmarkChoose measures a decision about n candidates.
func benchmarkChoose(b *testing.B, n int, set func(q *Query)) {
	snap, view, r, learnt := large(n)
	q := Query{Asked: "auto", Route: r, InputTokens: 1000, MaxTokens: 500, Stream: true, Tools: true, Schema: chat.OpenAI, Random: 0.4, Now: start,
		Task: "code", Learnt: learnt}
	set(&q)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Choose(snap, view, q); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChoose(b *testing.B) {
	for _, strategy := range []config.Strategy{config.Balanced, config.Weighted, config.Fallback} {
		for _, n := range []int{20, 300} {
			b.Run(fmt.Sprintf("%s/%d", strategy, n), func(b *testing.B) {
				benchmarkChoose(b, n, func(q *Query) { q.Route.Strategy = strategy })
			})
		}
	}
	b.Run("affinity/20", func(b *testing.B) {
		benchmarkChoose(b, 20, func(q *Query) {
			q.Route.Affinity, q.Key = config.Affinity{On: true, Load: 1.25, Tolerance: 0.1}, 42
		})
	})
}

func BenchmarkExplain(b *testing.B) {
	snap, view, r, learnt := large(20)
	d, err := Choose(snap, view, Query{Asked: "auto", Route: r, InputTokens: 1000, Now: start, Learnt: learnt})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Explain()
	}
}
