package route

import (
	"math"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/translate/chat"
)

func TestEveryStrategyOfTheConfigIsThere(t *testing.T) {
	for _, s := range config.Strategies() {
		if strategies[config.Strategy(s)] == nil {
			t.Errorf("no strategy %s", s)
		}
	}
	if len(strategies) != len(config.Strategies()) {
		t.Errorf("%d strategies, of which the configuration knows %d", len(strategies), len(config.Strategies()))
	}
}

func TestFallbackKeepsTheOrder(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Fallback, "gpt", "llama", "haiku"))
	if got := order(w.choose(q)); got != "gpt llama haiku" {
		t.Errorf("got %q", got)
	}
	w.down("openai")
	if got := order(w.choose(q)); got != "llama haiku gpt" {
		t.Errorf("openai down: got %q", got)
	}
	w.down("local")
	w.down("claude")
	if got := order(w.choose(q)); got != "gpt llama haiku" {
		t.Errorf("all down: got %q", got)
	}
}

func TestOneGoodClusterIsEnough(t *testing.T) {
	w := newWorld(t)
	w.report(1, "openai/primary", health.RateLimited, health.Outcome{RetryAfter: time.Minute})
	q := w.query(w.route(config.Fallback, "gpt", "haiku"))
	if got := order(w.choose(q)); got != "gpt haiku" {
		t.Errorf("got %q", got)
	}
	w.report(1, "openai/overflow", health.RateLimited, health.Outcome{RetryAfter: 30 * time.Second})
	if got := order(w.choose(q)); got != "haiku gpt" {
		t.Errorf("both limited: got %q", got)
	}
	// The view is not built anew: the deadline counts, not the view's age.
	q.Now = w.now.Add(31 * time.Second)
	if got := order(w.choose(q)); got != "gpt haiku" {
		t.Errorf("after the deadline: got %q", got)
	}
}

func TestWeightedDraws(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Weighted, "gpt 70", "haiku 20", "llama 10", "mystery 0"))
	for _, c := range []struct {
		random float64
		want   string
	}{
		{0, "gpt haiku llama mystery"},
		{0.699, "gpt haiku llama mystery"},
		{0.701, "haiku gpt llama mystery"},
		{0.899, "haiku gpt llama mystery"},
		{0.901, "llama gpt haiku mystery"},
		{math.Nextafter(1, 0), "llama gpt haiku mystery"},
	} {
		q.Random = c.random
		if got := order(w.choose(q)); got != c.want {
			t.Errorf("%v: got %q, want %q", c.random, got, c.want)
		}
	}
}

func TestWeightedSharesAreRight(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Weighted, "gpt 3", "haiku 1", "llama 1"))
	first := map[string]int{}
	const n = 10_000
	for i := range n {
		q.Random = (float64(i) + 0.5) / n
		first[w.choose(q).Plan[0].Model.Name]++
	}
	if first["gpt"] != n*3/5 || first["haiku"] != n/5 || first["llama"] != n/5 {
		t.Errorf("got %v", first)
	}
	w.down("openai") // the others share what it had
	first = map[string]int{}
	for i := range n {
		q.Random = (float64(i) + 0.5) / n
		first[w.choose(q).Plan[0].Model.Name]++
	}
	if first["haiku"] != n/2 || first["llama"] != n/2 {
		t.Errorf("openai down: got %v", first)
	}
}

func TestWeightedWithoutWeights(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Weighted, "gpt 0", "haiku 0"))
	q.Random = 0.9
	if got := order(w.choose(q)); got != "gpt haiku" {
		t.Errorf("got %q", got)
	}
}

func TestBalancedParts(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Balanced, "gpt", "haiku", "mystery"))
	q.Learnt = NewLearnt()
	w.took(q.Learnt, "haiku", 450*time.Millisecond)
	w.took(q.Learnt, "gpt", 950*time.Millisecond)
	w.models["mystery"].Provider.Local = false
	d := w.choose(q)
	got := map[string]Scored{}
	for _, c := range d.Candidates {
		got[c.Model.Name] = c
	}
	near := func(what string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 0.001 {
			t.Errorf("%s: got %.4f, want %.4f", what, got, want)
		}
	}
	// 1000 tokens in and 500 out: gpt 2000+5000, haiku 1000+2500 micro-USD.
	near("price of the cheapest", got["haiku"].Price, 1)
	near("price of twice that", got["gpt"].Price, 3510.0/7010)
	near("unknown price", got["mystery"].Price, unpriced)
	near("latency of the quickest", got["haiku"].Latency, 1)
	twice := (got["haiku"].Seconds + quick) / (got["gpt"].Seconds + quick)
	near("latency of twice that", got["gpt"].Latency, twice)
	near("unknown latency", got["mystery"].Latency, (1+twice)/2)
	if math.Abs(got["haiku"].Seconds-0.45) > 0.05 || math.Abs(got["gpt"].Seconds-0.95) > 0.1 {
		t.Errorf("expected seconds: %v, %v", got["haiku"].Seconds, got["gpt"].Seconds)
	}
	near("quality", got["gpt"].Quality, 0.9)
	near("unknown quality", got["mystery"].Quality, 0.85)
	near("headroom", got["haiku"].Headroom, 1)
	near("score", got["haiku"].Score, 0.35*1+0.25*1+0.3*0.8+0.1)
	if order(d) != "haiku gpt mystery" {
		t.Errorf("got %q", order(d))
	}
}

func TestBalancedFollowsTheRoutesWeights(t *testing.T) {
	w := newWorld(t)
	learnt := NewLearnt()
	w.took(learnt, "llama", 3*time.Second)
	w.took(learnt, "haiku", time.Second/2)
	w.took(learnt, "gpt", time.Second)
	for first, weights := range map[string]config.Weights{
		"llama": {Price: 1}, "haiku": {Latency: 1}, "gpt": {Quality: 1},
	} {
		q := w.query(w.route(config.Balanced, "gpt", "haiku", "llama"))
		q.Route.Weights, q.Learnt = weights, learnt
		if got := w.choose(q).Plan[0].Model.Name; got != first {
			t.Errorf("%+v: got %s", weights, got)
		}
	}
}

// A cap below the typical output makes input count for more.
func TestBalancedPriceDependsOnTheRequest(t *testing.T) {
	w := newWorld(t)
	w.models["gpt"].Price = &config.Price{Input: 100_000, Output: 9_000_000}
	w.models["haiku"].Price = &config.Price{Input: 1_000_000, Output: 1_000_000}
	q := w.query(w.route(config.Balanced, "gpt", "haiku"))
	q.Route.Weights = config.Weights{Price: 1}
	if got := w.choose(q).Plan[0].Model.Name; got != "haiku" {
		t.Errorf("typical output: %s", got)
	}
	q.MaxTokens = 10
	if got := w.choose(q).Plan[0].Model.Name; got != "gpt" {
		t.Errorf("ten tokens of output: %s", got)
	}
}

func TestBalancedUnknownPriceIsNeitherFreeNorExcluded(t *testing.T) {
	w := newWorld(t)
	w.models["mystery"].Provider = w.models["haiku"].Provider
	q := w.query(w.route(config.Balanced, "mystery", "llama"))
	q.Route.Weights = config.Weights{Price: 1}
	d := w.choose(q)
	if order(d) != "llama mystery" || d.Candidates[1].Score <= 0 {
		t.Errorf("got %q, %+v", order(d), d.Candidates)
	}
}

func TestBalancedMindsHealth(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Balanced, "gpt", "haiku"))
	if got := order(w.choose(q)); got != "haiku gpt" {
		t.Fatalf("got %q", got)
	}
	w.report(3, "claude/default", health.ServerError, health.Outcome{}) // degraded, not down
	d := w.choose(q)
	if order(d) != "gpt haiku" || !d.Candidates[1].Usable {
		t.Errorf("degraded: got %q, %+v", order(d), d.Candidates[1])
	}
}

func TestBalancedTieGoesToTheClientsSchema(t *testing.T) {
	w := newWorld(t)
	for _, m := range []string{"gpt", "haiku"} {
		w.models[m].Price, w.models[m].Quality = &config.Price{Input: 1, Output: 1}, nil
	}
	for schema, first := range map[chat.Schema]string{chat.OpenAI: "gpt", chat.Anthropic: "haiku"} {
		for _, route := range []*config.Route{w.route(config.Balanced, "gpt", "haiku"), w.route(config.Balanced, "haiku", "gpt")} {
			q := w.query(route)
			q.Schema = schema
			if got := w.choose(q).Plan[0].Model.Name; got != first {
				t.Errorf("%s: got %s", schema, got)
			}
		}
	}
}
