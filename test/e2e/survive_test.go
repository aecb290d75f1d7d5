package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// surviveConfig has providers a to c of one schema; b has two keys.
const surviveConfig = `
retry: {max_attempts: 4, per_try_timeout: 2s, idle_timeout: 1s, timeout: 20s, backoff: 5ms}
health: {failures: 100, failure_ratio: 1}
providers:
- {name: a, schema: openai, endpoint: '{{endpoint "a"}}', credentials: [{secret: {env: '{{keyvar "a"}}'}}], catalogue: none}
- {name: b, schema: openai, endpoint: '{{endpoint "b"}}', credentials: [{name: one, secret: {env: KEY_ONE}, weight: 1000}, {name: two, secret: {env: KEY_TWO}, weight: 1}], catalogue: none}
- {name: c, schema: anthropic, endpoint: '{{endpoint "c"}}', credentials: [{secret: {env: '{{keyvar "c"}}'}}], catalogue: none}
models:
- {name: small, provider: a, context: 1000}
- {name: other, provider: a, context: 1000}
- {name: alike, provider: b, context: 1000}
- {name: large, provider: c, context: 100000}
- {name: plain, provider: c}
routes:
- {model: policed, strategy: fallback, candidates: [small, alike], on_content_policy: large}
- {model: alone, strategy: fallback, candidates: [small], on_content_policy: large}
- {model: window, strategy: fallback, candidates: [small, alike, large]}
- {model: keys, strategy: fallback, candidates: [alike, plain]}
- {model: both, strategy: fallback, candidates: [small, plain]}
- {model: hasty, strategy: fallback, candidates: [small, plain], retry: {per_try_timeout: 200ms, timeout: 5s}}
- {model: once, strategy: fallback, candidates: [small, plain], retry: {max_attempts: 1}}
- {model: whole, strategy: fallback, candidates: [small, plain], retry: {probe: all}}
`

const (
	keyOne = "sk-fake-one-canary-9911"
	keyTwo = "sk-fake-two-canary-9922"
)

func surviveOptions() harness.Options {
	hold := 20 * time.Second
	return harness.Options{
		Fakes: []fakeprovider.Options{
			{Schema: fakeprovider.OpenAI, Name: "a", Models: []string{"*"}, MaxHold: hold},
			{Schema: fakeprovider.OpenAI, Name: "b", Models: []string{"*"}, Keys: []string{keyOne, keyTwo}, MaxHold: hold},
			{Schema: fakeprovider.Anthropic, Name: "c", Models: []string{"*"}, MaxHold: hold},
		},
		Env: map[string]string{"KEY_ONE": keyOne, "KEY_TWO": keyTwo}, Config: surviveConfig,
	}
}

// fresh starts each case without what the one before has taught.
func fresh(t *testing.T, g *harness.Gateway) {
	t.Helper()
	if err := g.ResetFakes(); err != nil {
		t.Fatal(err)
	}
	if err := g.RestartDragoman(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// requested is how many requests each fake got.
func requested(g *harness.Gateway) string {
	var all []string
	for _, name := range []string{"a", "b", "c"} {
		n := 0
		for _, r := range g.Fakes[name].Requests() {
			if r.Method == http.MethodPost {
				n++
			}
		}
		all = append(all, fmt.Sprintf("%s:%d", name, n))
	}
	return strings.Join(all, " ")
}

func refusing(status int, code string) fakeprovider.Fault {
	return fakeprovider.Fault{Kind: fakeprovider.Status, Status: status, Code: code, Message: "the provider's own words"}
}

// TestFallbackByCause: who is asked next depends on why the one before refused.
func TestFallbackByCause(t *testing.T) {
	g := harness.Start(t, surviveOptions())
	filtered, tooLong := refusing(400, "content_filter"), refusing(400, "context_length_exceeded")
	for _, x := range []struct {
		name, model string
		faults      map[string]fakeprovider.Fault
		text        string // the model's route gets a prompt of it
		asked       string
		status      int
		provider    string
	}{
		{"content policy goes to the named model", "policed", map[string]fakeprovider.Fault{"a": filtered}, "hi", "a:1 b:0 c:1", 200, "c"},
		{"content policy, and nobody else in the route", "alone", map[string]fakeprovider.Fault{"a": filtered}, "hi", "a:1 b:0 c:1", 200, "c"},
		{"content policy at the second", "policed", map[string]fakeprovider.Fault{"a": refusing(500, ""), "b": filtered}, "hi", "a:1 b:1 c:1", 200, "c"},
		{"another failure does not go there", "policed", map[string]fakeprovider.Fault{"a": refusing(500, ""), "b": refusing(503, "")}, "hi", "a:1 b:3 c:0", 503, "b"},
		{"nor a request at fault", "alone", map[string]fakeprovider.Fault{"a": refusing(400, "invalid_value")}, "hi", "a:1 b:0 c:0", 400, "a"},
		{"a long prompt goes to a larger window", "window", map[string]fakeprovider.Fault{"a": tooLong}, strings.Repeat("so it is ", 280), "a:1 b:0 c:1", 200, "c"},
		{"a short one is told", "window", map[string]fakeprovider.Fault{"a": tooLong}, "hi", "a:1 b:0 c:0", 400, "a"},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", x.name, stream), func(t *testing.T) {
				fresh(t, g)
				for name, f := range x.faults {
					g.Fakes[name].Fail(0, f)
				}
				r := chat(t, g, x.model, x.text, stream)
				if r.status != x.status || requested(g) != x.asked || x.provider != "" && r.header.Get("X-Dragoman-Provider") != x.provider {
					t.Errorf("%d from %q, asked %s, want %d and %s: %.400s", r.status, r.header.Get("X-Dragoman-Provider"), requested(g), x.status, x.asked, r.body)
				}
			})
		}
	}
}

// got is an answer as it came.
type got struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
	took   time.Duration
}

func chat(t testing.TB, g *harness.Gateway, model, text string, stream bool, header ...string) *got {
	t.Helper()
	return send(t, g, fmt.Sprintf(`{"model":%q,"stream":%v,"messages":[{"role":"user","content":%q}]}`, model, stream, text), header...)
}

func send(t testing.TB, g *harness.Gateway, body string, header ...string) *got {
	t.Helper()
	path := paths["openai"]
	if strings.Contains(body, `"input":`) {
		path = "/v1/responses"
	}
	req, err := http.NewRequest(http.MethodPost, g.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	begin := time.Now()
	resp, err := g.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return &got{resp.StatusCode, resp.Header, string(b), err, time.Since(begin)}
}

// TestNextKeyBeforeNextProvider: a key that is refused, or has no credit left, is followed by the provider's next one.
func TestNextKeyBeforeNextProvider(t *testing.T) {
	g := harness.Start(t, surviveOptions())
	for name, f := range map[string]fakeprovider.Fault{
		"refused": refusing(401, "invalid_api_key"), "no credit": refusing(429, "insufficient_quota"), "forbidden": refusing(403, ""),
	} {
		t.Run(name, func(t *testing.T) {
			fresh(t, g)
			g.Fakes["b"].Script(fakeprovider.Rule{Match: func(r *fakeprovider.Request) bool {
				return strings.HasSuffix(r.Header.Get("Authorization"), keyOne)
			}, Fault: &f})
			r := chat(t, g, "keys", "hi", true)
			if r.status != 200 || r.header.Get("X-Dragoman-Provider") != "b" || requested(g) != "a:0 b:2 c:0" {
				t.Errorf("%d from %q, asked %s: %.300s", r.status, r.header.Get("X-Dragoman-Provider"), requested(g), r.body)
			}
		})
	}
	t.Run("all keys", func(t *testing.T) {
		fresh(t, g)
		g.Fakes["b"].Fail(0, refusing(401, "invalid_api_key"))
		r := chat(t, g, "keys", "hi", true)
		if r.status != 200 || r.header.Get("X-Dragoman-Provider") != "c" || requested(g) != "a:0 b:2 c:1" {
			t.Errorf("%d from %q, asked %s", r.status, r.header.Get("X-Dragoman-Provider"), requested(g))
		}
	})
}

// TestActionsAreNotRepeated: what a provider may have begun to do, calling an MCP server for instance, is not done twice; what it refused
// is asked of another.
func TestActionsAreNotRepeated(t *testing.T) {
	g := harness.Start(t, harness.Options{
		Fakes: []fakeprovider.Options{
			{Schema: fakeprovider.Responses, Name: "a", Models: []string{"*"}, MaxHold: 20 * time.Second},
			{Schema: fakeprovider.Responses, Name: "c", Models: []string{"*"}}, {Schema: fakeprovider.Responses, Name: "b", Models: []string{"*"}},
		},
		Config: `
retry: {max_attempts: 2, per_try_timeout: 1s, timeout: 20s}
providers:
- {name: a, schema: openai, endpoint: '{{endpoint "a"}}', credentials: [{secret: {env: '{{keyvar "a"}}'}}], models: [m], catalogue: none, apis: [responses]}
- {name: c, schema: openai, endpoint: '{{endpoint "c"}}', credentials: [{secret: {env: '{{keyvar "c"}}'}}], models: [m], catalogue: none, apis: [responses]}
routes: [{model: both, strategy: fallback, candidates: [a/m, c/m]}]
`})
	const (
		acting  = `[{"type":"mcp","server_label":"crm","server_url":"https://crm.example.com/mcp","require_approval":"never"}]`
		looking = `[{"type":"web_search"}]`
	)
	for _, x := range []struct {
		name  string
		fault fakeprovider.Fault
		tools string
		asked string
	}{
		{"an action, failed", refusing(500, ""), acting, "a:1 b:0 c:0"},
		{"an action, overloaded", refusing(503, ""), acting, "a:1 b:0 c:0"},
		{"an action, hanging", fakeprovider.Fault{Kind: fakeprovider.Hang}, acting, "a:1 b:0 c:0"},
		{"an action, reset", fakeprovider.Fault{Kind: fakeprovider.Reset}, acting, "a:1 b:0 c:0"},
		{"an action, limited", refusing(429, ""), acting, "a:1 b:0 c:1"},
		{"an action, refused key", refusing(401, ""), acting, "a:1 b:0 c:1"},
		{"looking up, failed", refusing(500, ""), looking, "a:1 b:0 c:1"},
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, streamed %v", x.name, stream), func(t *testing.T) {
				fresh(t, g)
				g.Fakes["a"].Fail(0, x.fault)
				r := send(t, g, fmt.Sprintf(`{"model":"both","stream":%v,"input":"hi","tools":%s}`, stream, x.tools))
				if requested(g) != x.asked { // the fake knows no such tools, and says so when it is asked
					t.Errorf("%d, asked %s, want %s: %.300s", r.status, requested(g), x.asked, r.body)
				}
			})
		}
	}
	t.Run("an action, nobody there", func(t *testing.T) {
		fresh(t, g)
		if err := g.Fakes["a"].Refuse(); err != nil {
			t.Fatal(err)
		}
		if r := send(t, g, `{"model":"both","input":"hi","tools":`+acting+`}`); requested(g) != "a:0 b:0 c:1" {
			t.Errorf("%d, asked %s: %.300s", r.status, requested(g), r.body)
		}
	})
}

// TestClientDeadlines: the client says how long it waits, in its own header or its SDK's, and is answered in its schema when that is over.
func TestClientDeadlines(t *testing.T) {
	g := harness.Start(t, surviveOptions())
	slow := fakeprovider.Fault{Kind: fakeprovider.Hang}
	stall := fakeprovider.Fault{Kind: fakeprovider.Stall, After: 4}
	for _, x := range []struct {
		name, header, value string
		fault               fakeprovider.Fault
		stream              bool
		status              int
		within              time.Duration
	}{
		{"whole", "x-dragoman-timeout", "0.3", slow, false, 504, time.Second},
		{"with a unit", "x-dragoman-timeout", "300ms", slow, false, 504, time.Second},
		{"streamed", "x-dragoman-timeout", "300ms", slow, true, 504, time.Second},
		{"an SDK's", "x-stainless-timeout", "0.3", slow, false, 504, time.Second},
		{"an SDK's, streamed", "x-stainless-timeout", "0.3", slow, true, 504, time.Second},
		{"during the answer", "x-dragoman-timeout", "400ms", stall, true, 200, 900 * time.Millisecond},
		{"never longer than configured", "x-dragoman-timeout", "1h", slow, false, 200, 6 * time.Second},
		{"an SDK's nonsense is ignored", "x-stainless-timeout", "NOT_GIVEN", slow, false, 200, 6 * time.Second},
		{"nonsense", "x-dragoman-timeout", "soon", slow, false, 400, time.Second},
		{"less than nothing", "x-dragoman-timeout", "-1", slow, false, 400, time.Second},
	} {
		t.Run(x.name, func(t *testing.T) {
			fresh(t, g)
			g.Fakes["a"].Fail(0, x.fault)
			r := chat(t, g, "both", "hi", x.stream, x.header, x.value)
			if r.status != x.status || r.took > x.within+500*time.Millisecond {
				t.Errorf("%d after %v, want %d within %v: %.300s", r.status, r.took, x.status, x.within, r.body)
			}
			if x.status == 504 && gjson.Get(r.body, "error.code").String() != "deadline_exceeded" {
				t.Errorf("the error is %s", r.body)
			}
			if x.fault.Kind == fakeprovider.Stall && (!strings.Contains(r.body, "deadline_exceeded") || strings.Contains(r.body, "[DONE]")) {
				t.Errorf("the stream ended with %s", r.body)
			}
		})
	}
	wantIdle(t, g)
}

// TestRouteRetry: a route has its own attempts and times.
func TestRouteRetry(t *testing.T) {
	g := harness.Start(t, surviveOptions())
	t.Run("per_try_timeout", func(t *testing.T) {
		fresh(t, g)
		g.Fakes["a"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Hang})
		for _, stream := range []bool{false, true} {
			if r := chat(t, g, "hasty", "hi", stream); r.status != 200 || r.took > 1500*time.Millisecond {
				t.Errorf("streamed %v: %d after %v", stream, r.status, r.took)
			}
		}
	})
	t.Run("max_attempts", func(t *testing.T) {
		fresh(t, g)
		g.Fakes["a"].Fail(0, refusing(500, ""))
		if r := chat(t, g, "once", "hi", false); r.status != 500 || requested(g) != "a:1 b:0 c:0" {
			t.Errorf("%d, asked %s", r.status, requested(g))
		}
	})
	t.Run("probe", func(t *testing.T) {
		fresh(t, g)
		g.Fakes["a"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.BadJSON})
		if r := chat(t, g, "whole", "hi", false); r.status != 200 {
			t.Errorf("probed: %d", r.status)
		}
		if r := chat(t, g, "both", "hi", false); r.status != 502 {
			t.Errorf("not probed: %d", r.status)
		}
	})
}

// TestRetryBudget: when a provider that is alone fails everybody, not every request asks it again and again.
func TestRetryBudget(t *testing.T) {
	const clients = 40
	for _, x := range []struct {
		budget     int
		most, more int
	}{{100, 4 * clients, 3 * clients}, {0, clients + 3*clients*3/4, clients + 1}} {
		t.Run(fmt.Sprint(x.budget), func(t *testing.T) {
			o := surviveOptions()
			o.Config = strings.Replace(o.Config, "backoff: 5ms", fmt.Sprintf("backoff: 150ms, budget: %d", x.budget), 1)
			o.Config = strings.Replace(o.Config, "routes:", "routes:\n- {model: lonely, candidates: [small]}", 1)
			g := harness.Start(t, o)
			g.Fakes["a"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 503, Message: "the provider's own words", Delay: 200 * time.Millisecond})
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					if r := chat(t, g, "lonely", "hi", i%2 == 0); r.status != 503 {
						t.Errorf("%d: %.200s", r.status, r.body)
					}
				})
			}
			all.Wait()
			if n := len(g.Fakes["a"].Requests()); n > x.most || n < x.more {
				t.Errorf("%d attempts for %d requests, want %d to %d", n, clients, x.more, x.most)
			}
		})
	}
}

// TestLimitsOfAModelAreItsOwn: a 429 for one model leaves the provider's other models where they are.
func TestLimitsOfAModelAreItsOwn(t *testing.T) {
	g := harness.Start(t, surviveOptions())
	limited := func(r *fakeprovider.Request) bool { return r.Get("model").String() == "small" }
	g.Fakes["a"].Script(fakeprovider.Rule{Match: limited, Fault: &fakeprovider.Fault{Kind: fakeprovider.Status, Status: 429, RetryAfter: "60"}})
	if r := chat(t, g, "both", "hi", false); r.status != 200 || r.header.Get("X-Dragoman-Provider") != "c" {
		t.Fatalf("%d from %s", r.status, r.header.Get("X-Dragoman-Provider"))
	}
	deadline := time.Now().Add(3 * time.Second)
	for {
		r := chat(t, g, "both", "hi", false)
		if r.header.Get("X-Dragoman-Attempts") == "" && r.header.Get("X-Dragoman-Provider") == "c" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the limited model is still asked first: %v", r.header)
		}
	}
	if r := chat(t, g, "a/other", "hi", false); r.status != 200 || r.header.Get("X-Dragoman-Attempts") != "" {
		t.Errorf("another model of the provider: %d", r.status)
	}
	status, err := g.Status(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	c := gjson.GetBytes(status, `clusters.#(provider=="a")`)
	if c.Get("state").String() != "healthy" || c.Get("models.0").String() != "small" {
		t.Errorf("the cluster is shown as %s", c.Raw)
	}
	if got := slices.ContainsFunc(g.Fakes["a"].Requests(), func(r *fakeprovider.Request) bool { return strings.Contains(r.Header.Get("User-Agent"), "(small)") }); !got {
		t.Error("the provider's user-agent does not name the model")
	}
}
