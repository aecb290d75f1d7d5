package processor

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/translate"
)

const choosyConfig = `
listen: {headers: [x-team]}
providers:
- {name: a, schema: openai, endpoint: "http://127.0.0.1:1", catalogue: none, data_region: eu}
- {name: b, schema: anthropic, endpoint: "http://127.0.0.1:2", catalogue: none}
models:
- {name: big, provider: a, price: {input: 10, output: 40}, quality: {default: 0.9, code: 0.3}}
- {name: small, provider: b, price: {input: 1, output: 4}, quality: {default: 0.5, code: 0.8}}
routes:
- {model: best, strategy: quality, candidates: [big, small]}
- {model: trial, strategy: canary, candidates: [small], canary: {model: big, share: 1}, mirror: {model: small}}
- {model: eu, candidates: [big, small], ceilings: {data_regions: [eu]}}
rules:
- {name: code, when: 'task == "code" && model == "eu"', route: best}
- {name: teams, when: 'headers["x-team"] == "x"', route: small}
- {name: europe, when: 'user == "eve"', providers: [a]}
- {name: night, when: 'time.getHours() < 6', refuse: {message: Come back in the morning., kind: unavailable}}
`

func explain(t *testing.T, at time.Time, body string, headers ...translate.Header) Explanation {
	t.Helper()
	file, err := config.Parse("test.yaml", []byte(choosyConfig))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := config.Compile(file, config.Options{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return Explain(snap, &health.View{}, Asked{Path: "/v1/chat/completions", Headers: headers, Body: []byte(body), Principal: config.Anonymous}, 0.5, at, newGate())
}

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func asks(model, text string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"` + text + `"}]}`
}

// What `check` shows is what would happen, with each figure.
func TestExplainShowsTheWholeChoice(t *testing.T) {
	e := explain(t, noon, asks("best", "Hello, how are you?"))
	if e.Route != "best" || e.Strategy != "quality" || e.Rule != "" || e.Task == nil || e.Task.Class == "" || e.Weights.Quality != 0.8 || e.Output != 500 {
		t.Errorf("%+v", e)
	}
	shown, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"score"`, `"price"`, `"latency"`, `"quality"`, `"headroom"`, `"health"`, `"expected_microusd"`, `"weights"`, `"task"`, `"expected_output_tokens"`} {
		if !strings.Contains(string(shown), field) {
			t.Errorf("%s is not shown", field)
		}
	}
	if e.Candidates[0].Model.Name != "big" || e.Candidates[0].Quality != 0.9 {
		t.Errorf("a chat: %s %v", e.Candidates[0].Model.Name, e.Candidates[0].Quality)
	}
	e = explain(t, noon, asks("best", "Fix this Go function:\\n```go\\nfunc f() { return 1 }\\n```"))
	if e.Task.Class != "code" || e.Candidates[0].Model.Name != "small" || e.Candidates[0].Quality != 0.8 {
		t.Errorf("code: %+v, %s", e.Task, e.Reason)
	}
	e = explain(t, noon, asks("trial", "Hello"))
	if e.Arm != "canary" || e.Mirror != "b/small" || e.Candidates[0].Model.Name != "big" {
		t.Errorf("%+v", e)
	}
	e = explain(t, noon, asks("eu", "Hello"))
	if len(e.Attempts) == 0 || e.Candidates[1].Excluded.String() != "other data region" {
		t.Errorf("%+v", e.Candidates)
	}
}

func TestExplainShowsRules(t *testing.T) {
	e := explain(t, noon, asks("eu", "Fix this Go function:\\n```go\\nfunc f() { return 1 }\\n```"))
	if e.Rule != "code" || e.Route != "best" || !strings.HasPrefix(e.Reason, "rule code; task code; best quality") {
		t.Errorf("%+v", e)
	}
	e = explain(t, noon, `{"model":"best","user":"eve","messages":[{"role":"user","content":"Hello"}]}`)
	if e.Rule != "europe" || e.Candidates[1].Excluded.String() != "provider not allowed" {
		t.Errorf("%+v", e)
	}
	e = explain(t, noon.Add(-10*time.Hour), asks("best", "Hello"))
	if e.Rule != "night" || e.Refused == nil || e.Refused.Status != 503 || !strings.Contains(string(e.Refused.Body), "Come back in the morning.") {
		t.Errorf("%+v", e.Refused)
	}
	if !strings.Contains(string(e.Refused.Body), "refused_by_rule") {
		t.Errorf("%s", e.Refused.Body)
	}
}

// Headers count as those of a client do: what Envoy would not let in is not there.
func TestExplainHearsHeaders(t *testing.T) {
	with := func(name, value string) []translate.Header { return []translate.Header{{Name: name, Value: value}} }
	body := asks("best", "Hello")
	if e := explain(t, noon, body, with("X-Team", "x")...); e.Rule != "teams" || e.Route != "small" {
		t.Errorf("%+v", e)
	}
	if e := explain(t, noon, body, with("x-dragoman-providers", "b")...); e.Candidates[0].Model.Name != "small" || e.Candidates[1].Excluded.String() != "provider not allowed" {
		t.Errorf("%+v", e.Candidates)
	}
	if e := explain(t, noon, body, with("x-dragoman-timeout", "soon")...); e.Refused == nil || e.Refused.Status != 400 {
		t.Errorf("%+v", e.Refused)
	}
	if e := explain(t, noon, body, with("x-other", "x")...); e.Rule != "" || e.Route != "best" {
		t.Errorf("%+v", e)
	}
}

// Rules cost nothing where there are none, and little where there are.
func BenchmarkRule(b *testing.B) {
	for name, yaml := range map[string]string{"none": benchConfig, "two": benchConfig + `rules:
- {when: 'team == "search" && tokens > 8000', route: n}
- {when: 'model == "x" || "batch" in tags', route: n}
`} {
		b.Run(name, func(b *testing.B) {
			s := newTestServer(b, yaml)
			h, err := openaiCodec.Parse([]byte(question))
			if err != nil {
				b.Fatal(err)
			}
			ex := &Exchange{s: s, snap: s.Config(), head: h, principal: config.Anonymous, endpoint: &endpoints[0]}
			rt, err := ex.snap.Lookup("m")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if got, err := ex.rule(rt); err != nil || got != rt {
					b.Fatal(got, err)
				}
			}
		})
	}
}
