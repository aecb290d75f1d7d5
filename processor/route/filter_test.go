package route

import (
	"math"
	"testing"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

func can(names ...string) map[string]bool {
	m := map[string]bool{}
	for _, n := range names {
		m[n] = true
	}
	return m
}

func TestFilter(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(w *world, q *Query)
		want string // the candidates left of haiku, llama and mystery
	}{
		"nothing asked":                  {func(w *world, q *Query) {}, "haiku llama mystery"},
		"tools":                          {func(w *world, q *Query) { q.Tools, w.models["llama"].Capabilities = true, can("streaming") }, "haiku mystery"},
		"images":                         {func(w *world, q *Query) { q.Images, w.models["haiku"].Capabilities = true, can("tools") }, "llama mystery"},
		"streaming":                      {func(w *world, q *Query) { q.Stream, w.models["haiku"].Capabilities = true, can("tools") }, "llama mystery"},
		"able":                           {func(w *world, q *Query) { q.Tools, w.models["haiku"].Capabilities = true, can("tools") }, "haiku llama mystery"},
		"not asked for":                  {func(w *world, q *Query) { w.models["haiku"].Capabilities = can("streaming") }, "haiku llama mystery"},
		"prompt fits exactly":            {func(w *world, q *Query) { q.InputTokens = 8_000 }, "haiku llama mystery"},
		"prompt seems too long":          {func(w *world, q *Query) { q.InputTokens = 8_001 }, "haiku mystery"},
		"prompt and cap fit exactly":     {func(w *world, q *Query) { q.MaxTokens = 7_000 }, "haiku llama mystery"},
		"prompt and cap too long":        {func(w *world, q *Query) { q.MaxTokens = 7_001 }, "haiku mystery"},
		"far too long for two":           {func(w *world, q *Query) { q.InputTokens = 300_000 }, "mystery"},
		"cap over the model's own":       {func(w *world, q *Query) { q.MaxTokens, w.models["haiku"].MaxOutput = 5000, 4096 }, "llama mystery"},
		"absurd numbers do not overflow": {func(w *world, q *Query) { q.InputTokens, q.MaxTokens = math.MaxInt64, math.MaxInt64 }, "mystery"},
		"tight for all that are known": {func(w *world, q *Query) {
			q.InputTokens = 9_000
			w.models["haiku"].Context, w.models["mystery"].Context = 8_500, 1_000
		}, "haiku llama"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			q := w.query(w.route(config.Fallback, "haiku", "llama", "mystery"))
			c.set(w, &q)
			d := w.choose(q)
			if got := order(d); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if len(d.Candidates) != 3 {
				t.Errorf("%d candidates are explained", len(d.Candidates))
			}
			for _, s := range d.Plan {
				for i := range d.Candidates {
					if d.Candidates[i].Model == s.Model && d.Candidates[i].Excluded != Able {
						t.Errorf("the plan has the excluded %s", s.Model.Name)
					}
				}
			}
		})
	}
}

func TestNobodyCan(t *testing.T) {
	for name, c := range map[string]struct {
		set         func(w *world, q *Query)
		kind        fault.Kind
		code, param string
		message     string
	}{
		"too long": {func(w *world, q *Query) { q.InputTokens = 1_000_000 }, fault.ContextLength, "context_length_exceeded", "messages",
			`The prompt has about 1000000 tokens; the largest context window behind "auto" has 200000. Shorten it.`},
		"tools": {func(w *world, q *Query) { q.Tools = true }, fault.Unsupported, "unsupported_by_model", "tools",
			`No model behind "auto" supports tools.`},
		"images": {func(w *world, q *Query) { q.Images = true }, fault.Unsupported, "unsupported_by_model", "messages",
			`No model behind "auto" supports images.`},
		"streaming": {func(w *world, q *Query) { q.Stream = true }, fault.Unsupported, "unsupported_by_model", "stream",
			`No model behind "auto" supports streaming.`},
		"no candidates": {func(w *world, q *Query) { q.Route.Candidates = nil }, fault.Unavailable, "", "",
			`The route "auto" has no candidates.`},
		"unknown strategy": {func(w *world, q *Query) { q.Route.Strategy = "dice" }, fault.Internal, "", "",
			`The route "auto" has the unknown strategy "dice".`},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.models["haiku"].Capabilities, w.models["llama"].Capabilities = can("audio"), can("audio")
			q := w.query(w.route(config.Balanced, "haiku", "llama"))
			c.set(w, &q)
			d, err := Choose(w.snap, w.tracker.View(), q)
			f := kindOf(t, err)
			if f.Kind != c.kind || f.Code != c.code || f.Param != c.param || f.Message != c.message {
				t.Errorf("got %+v", f)
			}
			if d == nil || len(d.Plan) != 0 || d.Explain() == "" {
				t.Errorf("the refusal cannot be explained: %+v", d)
			}
		})
	}
}
