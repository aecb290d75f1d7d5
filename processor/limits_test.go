package processor

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"dragoman/internal/health"
)

const budgetedConfig = benchConfig + `
tenants:
- name: acme
  budgets: [{usd: 0.01, per: month}]
  teams: [{name: search, limits: {requests_per_minute: 5}, keys: [{name: ci, hash: "` + testKeyHash + `"}]}]
`

// TestExplainShowsLimits: what a request would count against, and that nothing is counted.
func TestExplainShowsLimits(t *testing.T) {
	s := newTestServer(t, budgetedConfig)
	gate := newGate()
	for range 10 {
		for _, p := range s.Config().Keys.ByHash {
			e := Explain(s.Config(), &health.View{}, Asked{Path: "/v1/chat/completions", Body: []byte(`{"model":"m","max_tokens":1000,"messages":[{"role":"user","content":"go"}]}`), Principal: p}, 0.5, time.Now(), gate)
			if e.Refused != nil || len(e.Limits) != 2 {
				t.Fatalf("%+v", e)
			}
			usd, rpm := e.Limits[0], e.Limits[1]
			if usd.Level != "tenant:acme" || usd.Limit != 0.01 || usd.Needs < 0.002 || usd.Needs > 0.0021 || usd.Spent+usd.Reserved != 0 || usd.Resets.IsZero() {
				t.Errorf("%+v", usd)
			}
			if rpm.Level != "team:acme/search" || rpm.Limit != 5 || rpm.Needs != 1 || rpm.Spent != 0 {
				t.Errorf("%+v", rpm)
			}
			e = Explain(s.Config(), &health.View{}, Asked{Path: "/v1/chat/completions", Body: []byte(`{"model":"m","max_tokens":100000,"messages":[{"role":"user","content":"go"}]}`), Principal: p}, 0.5, time.Now(), gate)
			if e.Refused == nil || !strings.Contains(string(e.Refused.Body), "request_exceeds_budget") {
				b, _ := json.Marshal(e)
				t.Errorf("%s", b)
			}
		}
	}
}

// TestCapHead: the cap stands where a schema's requests hold it.
func TestCapHead(t *testing.T) {
	s := newTestServer(t, budgetedConfig)
	for path, c := range map[string]struct{ body, want string }{
		"/v1/chat/completions":             {`{"model":"m","messages":[{"role":"user","content":"go"}]}`, `"max_completion_tokens":77`},
		"/v1/responses":                    {`{"model":"m","input":"go"}`, `"max_output_tokens":77`},
		"/v2/chat":                         {`{"model":"m","messages":[{"role":"user","content":"go"}]}`, `"max_tokens":77`},
		"/v1beta/models/m:generateContent": {`{"contents":[{"role":"user","parts":[{"text":"go"}]}]}`, `"generationConfig":{"maxOutputTokens":77}`},
	} {
		ex := &Exchange{s: s, snap: s.Config()}
		if _, err := ex.resolve(incoming{method: "POST", path: path}); err != nil {
			t.Fatal(err)
		}
		h, err := ex.endpoint.client.Parse([]byte(c.body))
		if err != nil {
			t.Fatal(path, err)
		}
		capped, err := ex.capHead(h, 77)
		if err != nil || !strings.Contains(string(capped.Body), c.want) || capped.MaxTokens != 77 {
			t.Errorf("%s: %v %s", path, err, capped.Body)
		}
	}
}
