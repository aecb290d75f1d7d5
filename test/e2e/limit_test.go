package e2e

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// TestRequestsWithoutACapGetOne: what is left of a budget bounds the answer, in the schema of whoever serves, and the client is told.
func TestRequestsWithoutACapGetOne(t *testing.T) {
	for _, c := range []struct {
		provider, client string
		member           string
	}{
		{"openai", "openai", "max_completion_tokens"}, {"anthropic", "openai", "max_tokens"},
		{"gemini", "openai", "generationConfig.maxOutputTokens"}, {"cohere", "openai", "max_tokens"}, {"bedrock", "openai", "inferenceConfig.maxTokens"},
		{"gemini", "gemini", "generationConfig.maxOutputTokens"}, {"cohere", "cohere", "max_tokens"}, {"anthropic", "responses", "max_tokens"},
	} {
		t.Run(c.client+" to "+c.provider, func(t *testing.T) {
			model := fakeprovider.DefaultModels[fakeprovider.Schema(c.provider)][0]
			g := harness.Start(t, harness.Options{Fakes: []fakeprovider.Options{}, Config: fmt.Sprintf(`providers:
{{provider %q}}
models: [{name: priced, provider: %s, id: %q, price: {input: 0, output: 1}, max_output: 32768}]
tenants: [{name: acme, budgets: [{name: small, usd: 0.008, per: month}], keys: [{name: k, hash: '%s'}]}]
`, c.provider, c.provider, model, config.HashKey("dgm_acme"))})
			f := g.Fakes[c.provider]
			path, body := "/v1/chat/completions", budgetBody("priced", 0, false)
			switch c.client {
			case "gemini":
				path, body = "/v1beta/models/priced:generateContent", `{"contents":[{"role":"user","parts":[{"text":"go"}]}]}`
			case "cohere":
				path, body = "/v2/chat", `{"model":"priced","messages":[{"role":"user","content":"go"}]}`
			case "responses":
				path, body = "/v1/responses", `{"model":"priced","input":"go"}`
			}
			a := post(t, g, path, body, "authorization", "Bearer dgm_acme")
			const cap = 4096 // as much as an answer may need of which nothing is known yet; an eighth of what is left is less
			if a.status != 200 || a.header.Get("x-dragoman-capped") != strconv.Itoa(cap)+" tokens; tenant:acme small" {
				t.Fatalf("%v", a)
			}
			if got := gjson.GetBytes(f.Last().Body, c.member).Int(); got != cap {
				t.Errorf("the provider was asked for %d tokens: %s", got, f.Last().Body)
			}
		})
	}
	g := harness.Shared(t, budgetConfig(""))
	a := askAs(t, g, "globex", "openai", budgetBody("priced", 0, false)) // a dollar is left: nobody needs a cap
	if a.status != 200 || a.header.Get("x-dragoman-capped") != "" || gjson.GetBytes(g.OpenAI().Last().Body, "max_completion_tokens").Exists() {
		t.Errorf("%v %s", a, g.OpenAI().Last().Body)
	}
}

// TestExhaustedBudgets say what SDKs act on, in each schema: not to retry, and why.
func TestExhaustedBudgets(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: budgetConfig("")})
	answering(t, g, 9950, nil)
	a := askAs(t, g, "acme", "openai", budgetBody("priced", 10_000, false))
	if a.status != 200 || a.header.Get("x-dragoman-budget-warning") != "" {
		t.Fatalf("%v", a)
	}
	settled(t, g)
	for client, code := range map[string]string{"openai": "error.code=budget_exhausted", "anthropic": "error.type=billing_error"} {
		a := askAs(t, g, "acme", client, budgetBody("priced", 100, false))
		member, want, _ := strings.Cut(code, "=")
		if a.status != 402 || gjson.GetBytes(a.body, member).String() != want || a.header.Get("x-should-retry") != "false" || a.header.Get("retry-after") != "" {
			t.Errorf("%s: %v", client, a)
		}
		for _, part := range []string{"tenant acme", "limit 0.01 USD", "spent 0.00995 USD", "reserved by requests under way 0.00 USD", "begins anew at 20"} {
			if !strings.Contains(string(a.body), part) {
				t.Errorf("%s does not say %q: %s", client, part, a.body)
			}
		}
		if h := a.header.Get("x-dragoman-limit"); !strings.HasPrefix(h, "tenant:acme; usd-per-month; limit=0.01; spent=0.00995; reserved=0.00; reset=20") {
			t.Errorf("%q", h)
		}
	}
	if a := askAs(t, g, "acme", "openai", budgetBody("priced", 50, false)); a.status != 200 ||
		!strings.HasPrefix(a.header.Get("x-dragoman-budget-warning"), "tenant:acme usd-per-month: 100% of 0.01 USD spent, resets ") {
		t.Errorf("what still fits: %v", a)
	}
	for _, tenant := range []string{"globex"} { // another tenant feels nothing of it
		if a := askAs(t, g, tenant, "openai", budgetBody("priced", 100, false)); a.status != 200 {
			t.Errorf("%v", a)
		}
	}
	if a := askAs(t, g, "globex", "openai", budgetBody("unpriced", 100, false)); a.status != 403 || gjson.GetBytes(a.body, "error.code").String() != "model_price_unknown" {
		t.Errorf("a model of unknown price: %v", a)
	}
}

// hierarchy has something at every level.
func hierarchy(hook string) string {
	key := func(name, rest string) string {
		return fmt.Sprintf("{name: %s, hash: '%s'%s}", name, config.HashKey("dgm_"+name), rest)
	}
	return fmt.Sprintf(`{{providers}}
models:
- {name: priced, provider: openai, id: gpt-4.1, price: {input: 0, output: 1}}
- {name: priced-claude, provider: anthropic, id: claude-haiku-4-5, price: {input: 0, output: 1}}
routes: [{model: either, strategy: fallback, candidates: [priced, priced-claude]}]
quota: {webhook: {url: %q, retries: 1}}
global: {limits: {concurrent_requests: 50}}
organisations: [{name: group, budgets: [{name: all, tokens: 100000, per: day}], tags: {org: group}}]
tenants:
- name: acme
  organisation: group
  models: ["priced*", either, "openai/*"]
  budgets: [{name: watched, usd: 0.001, per: day, mode: soft, warn_at: [0.5]}, {name: tried, usd: 0.00001, per: day, mode: shadow}]
  teams:
  - name: search
    providers: [anthropic]
    users: [{name: ada, limits: {requests_per_minute: 3}, keys: [%s]}]
    keys: [%s]
  keys: [%s, %s]
`, hook, key("ada", ""), key("team", ""), key("plain", ""), key("few", ", limits: {concurrent_requests: 1, per_model: [{models: [priced-claude], requests_per_minute: 1}]}"))
}

func TestEveryLevelCounts(t *testing.T) {
	events := make(chan string, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		events <- string(b)
	}))
	defer hook.Close()
	g := harness.Start(t, harness.Options{Config: hierarchy(hook.URL)})
	answering(t, g, 300, nil)
	ask := func(key, model string, n int) *answer {
		t.Helper()
		a := askAs(t, g, key, "openai", budgetBody(model, n, false))
		settled(t, g)
		return a
	}
	// Providers of the team alone serve, whatever the route says.
	if a := ask("team", "either", 300); a.status != 200 || a.header.Get("x-dragoman-provider") != "anthropic" {
		t.Errorf("%v", a)
	}
	if a := ask("team", "priced", 300); a.status != 403 || gjson.GetBytes(a.body, "error.code").String() != "provider_not_allowed" {
		t.Errorf("%v", a)
	}
	if a := ask("plain", "anthropic/claude-other", 300); a.status != 403 || gjson.GetBytes(a.body, "error.code").String() != "model_not_allowed" {
		t.Errorf("a model that the tenant may not use: %v", a)
	}
	if a := ask("plain", "either", 300); a.status != 200 || a.header.Get("x-dragoman-provider") != "openai" || a.header.Get("x-dragoman-budget-warning") != "" {
		t.Errorf("%v", a)
	}
	// The soft budget warns from its half on, and goes on when it is spent; the shadow one is only counted.
	a := ask("plain", "either", 300)
	if w := a.header.Get("x-dragoman-budget-warning"); a.status != 200 || !strings.HasPrefix(w, "tenant:acme watched: 60% of 0.001 USD spent") {
		t.Errorf("warning %q: %v", w, a)
	}
	for range 3 {
		if a := ask("plain", "either", 300); a.status != 200 {
			t.Errorf("%v", a)
		}
	}
	if n := metric(t, g, "dragoman_limit_shadow_total", `level="tenant"`, `kind="usd_budget"`); n < 5 {
		t.Errorf("%v shadow refusals", n)
	}
	for _, want := range []string{`"event":"budget_warning"`, `"event":"budget_exhausted"`} {
		select {
		case e := <-events:
			if !strings.Contains(e, want) || !strings.Contains(e, `"name":"watched"`) || gjson.Get(e, "limit").Float() != 0.001 {
				t.Errorf("event %s, want %s", e, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no %s", want)
		}
	}
	if l := levelOf(t, g, "organisation:group", "all"); l.reserved != 0 || l.spent < 6*300 {
		t.Errorf("the organisation: %+v", l)
	}
	// A user's limit, and one of a key for one model.
	for i := range 4 {
		if a := ask("ada", "either", 300); (a.status == 429) != (i == 3) {
			t.Errorf("ada %d: %v", i, a)
		} else if i == 3 && !strings.Contains(string(a.body), "user acme/search/@ada") {
			t.Errorf("%s", a.body)
		}
	}
	for i := range 2 {
		if a := ask("few", "priced-claude", 300); (a.status == 429) != (i == 1) {
			t.Errorf("few %d: %v", i, a)
		}
		if a := ask("few", "priced", 300); a.status != 200 {
			t.Errorf("another model: %v", a)
		}
	}
}

// TestConcurrentRequests: a slot is free again when its request has ended, however that was.
func TestConcurrentRequests(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: hierarchy("http://127.0.0.1:1")})
	g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Hang, Delay: 30 * time.Second})
	hung := make(chan struct{})
	client := &http.Client{Timeout: 500 * time.Millisecond}
	go func() {
		defer close(hung)
		req, _ := http.NewRequest(http.MethodPost, g.URL+paths["openai"], strings.NewReader(budgetBody("priced", 10, false)))
		req.Header.Set("authorization", "Bearer dgm_few")
		if resp, err := client.Do(req); err == nil {
			resp.Body.Close()
			t.Errorf("it was answered: %s", resp.Status)
		}
	}()
	eventually(t, "the first request is not under way", func() bool { return g.OpenAI().Counters().InFlight == 1 })
	a := askAs(t, g, "few", "openai", budgetBody("priced", 10, false))
	if a.status != 429 || gjson.GetBytes(a.body, "error.code").String() != "rate_limit_exceeded" || a.header.Get("retry-after") != "1" {
		t.Errorf("%v", a)
	}
	if a := askAs(t, g, "plain", "openai", budgetBody("priced", 10, false)); a.status != 200 {
		t.Errorf("another key: %v", a)
	}
	<-hung
	client.CloseIdleConnections()
	eventually(t, "the slot is not given back", func() bool {
		return askAs(t, g, "few", "openai", budgetBody("priced", 10, false)).status == 200
	})
}

func eventually(t testing.TB, otherwise string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
	}
}
