package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// routeFakes are three providers of which each serves any model: a good one, a cheap one, and one of one's own.
func routeFakes() []fakeprovider.Options {
	return []fakeprovider.Options{
		{Schema: fakeprovider.OpenAI, Name: "good", Models: []string{"*"}},
		{Schema: fakeprovider.Anthropic, Name: "cheap", Models: []string{"*"}},
		{Schema: fakeprovider.OpenAI, Name: "own", Models: []string{"*"}},
	}
}

const routeProviders = `providers:
- {name: good, schema: openai, endpoint: '{{endpoint "good"}}', catalogue: none, data_region: us, credentials: [{secret: {env: '{{keyvar "good"}}'}}]}
- {name: cheap, schema: anthropic, endpoint: '{{endpoint "cheap"}}', catalogue: none, data_region: eu, credentials: [{secret: {env: '{{keyvar "cheap"}}'}}]}
- {name: own, schema: openai, endpoint: '{{endpoint "own"}}', catalogue: none, locality: local, credentials: [{secret: {env: '{{keyvar "own"}}'}}]}
models:
- {name: big, provider: good, price: {input: 10, output: 40}, quality: {default: 0.95, code: 0.2}}
- {name: small, provider: cheap, price: {input: 0.1, output: 0.4}, quality: {default: 0.4, code: 0.9}}
- {name: tiny, provider: own, quality: {default: 0.1}}
`

func routeGateway(t *testing.T, rest string) *harness.Gateway {
	return harness.Start(t, harness.Options{Fakes: routeFakes(), Config: routeProviders + rest})
}

// simple is a request that every schema takes.
func simple(model string) string { return chatBody(model, "hello there", false) }

// servedBy asks with headers and says which model answered.
func servedBy(t *testing.T, g *harness.Gateway, client, body string, header ...string) string {
	t.Helper()
	a := post(t, g, paths[client], body, header...)
	if a.err != nil || a.status != 200 {
		t.Fatalf("%v", a)
	}
	return a.header.Get("x-dragoman-model")
}

func TestRoutesThatExistByThemselves(t *testing.T) {
	g := routeGateway(t, "routes: [{model: fast, strategy: fallback, candidates: [tiny]}]\n")
	for model, want := range map[string]string{"cheap": "tiny", "quality": "big", "fast": "tiny", "auto": "tiny"} {
		for _, client := range schemas {
			if got := servedBy(t, g, client, simple(model)); got != want {
				t.Errorf("%s as %s: got %s, want %s", model, client, got, want)
			}
		}
	}
	list := do(t, g, "GET", "/v1/models", nil)
	for _, name := range []string{"auto", "fast", "cheap", "quality"} {
		if !strings.Contains(string(list.body), `"`+name+`"`) {
			t.Errorf("%s is not listed", name)
		}
	}
}

// TestEveryFigureIsShown: the debug header names each part of the score, and what was learnt comes into it.
func TestEveryFigureIsShown(t *testing.T) {
	g := routeGateway(t, "routes: [{model: both, candidates: [big, small]}]\n")
	ask := func() string {
		a := post(t, g, paths["openai"], simple("both"), "x-dragoman-debug", "route")
		return a.header.Get("x-dragoman-route")
	}
	first := ask()
	for _, want := range []string{"both balanced (price 0.35 latency 0.25 quality 0.30 headroom 0.10", "cheap/small", "good/big", "price ", "latency ", "quality ",
		"headroom 1.00", "health 1.00", "microusd", "task ", "plan: "} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in %s", want, first)
		}
	}
	wantIdle(t, g)
	if second := ask(); !strings.Contains(second, " s)") || !strings.Contains(second, "output tokens") || strings.Contains(second, ", 500 output tokens") {
		t.Errorf("nothing was learnt: %s", second)
	}
}

// TestQualityIsByTask: the same route asks another model for code than for a chat.
func TestQualityIsByTask(t *testing.T) {
	g := routeGateway(t, "routes: [{model: best, strategy: quality, candidates: [big, small]}]\n")
	code := "Write a Python function that parses a CSV file and fix this bug:\n```python\ndef parse(f):\n    return [line.split(',') for line in f\n```\n"
	if got := servedBy(t, g, "openai", chatBody("best", code, false)); got != "small" {
		t.Errorf("code: %s", got)
	}
	if got := servedBy(t, g, "openai", chatBody("best", "Hi! How are you doing today?", false)); got != "big" {
		t.Errorf("a chat: %s", got)
	}
}

func TestCeilings(t *testing.T) {
	g := routeGateway(t, `routes:
- {model: eu, strategy: quality, ceilings: {data_regions: [eu]}}
- {model: any, strategy: quality, local_first: 1, candidates: [big, small, tiny]}
- {model: frugal, strategy: quality, local_first: 1, ceilings: {output_price: 1}, candidates: [big, small]}
`)
	for _, c := range []struct{ model, header, value, want string }{
		{"eu", "", "", "small"},
		{"any", "", "", "big"},
		{"frugal", "", "", "small"},
		{"any", "x-dragoman-providers", "cheap, own", "small"},
		{"any", "x-dragoman-data-regions", "eu", "small"},
		{"any", "x-dragoman-max-cost", "0.00001", "small"},
		{"any", "x-dragoman-max-latency", "1h", "big"},
		{"eu", "x-dragoman-providers", "good,cheap", "small"},
	} {
		var header []string
		if c.header != "" {
			header = []string{c.header, c.value}
		}
		if got := servedBy(t, g, "anthropic", simple(c.model), header...); got != c.want {
			t.Errorf("%s with %s %s: got %s, want %s", c.model, c.header, c.value, got, c.want)
		}
	}
	for _, client := range schemas {
		wantFault(t, post(t, g, paths[client], simple("eu"), "x-dragoman-providers", "good"), client, 400, "No model behind", "other data region")
		wantFault(t, post(t, g, paths[client], simple("any"), "x-dragoman-max-cost", "cheap"), client, 400, "x-dragoman-max-cost")
		wantFault(t, post(t, g, paths[client], simple("any"), "x-dragoman-max-latency", "-1s"), client, 400, "x-dragoman-max-latency")
	}
}

const ruleConfig = `listen: {address: "127.0.0.1:0", headers: [x-team]}
routes:
- {model: r, strategy: fallback, candidates: [big, small]}
rules:
- {name: blocked, when: '"secret" in metadata && metadata.secret == "yes"', refuse: {message: 'No secrets here.', kind: permission_denied}}
- {name: blue, when: '"x-team" in headers && headers["x-team"] == "blue"', route: tiny}
- {name: code, when: 'task == "code" && difficulty >= 0.0 && !stream', route: small}
- {name: europe, when: 'user == "eve"', providers: [cheap]}
- {name: long, when: 'tokens > 2000 && max_tokens < 200', route: cheap/other}
`

func TestRules(t *testing.T) {
	g := routeGateway(t, ruleConfig)
	withMetadata := func(name, value string) string {
		return fmt.Sprintf(`{"model":"r","max_tokens":100,"store":true,"metadata":{%q:%q},"messages":[{"role":"user","content":"hello"}]}`, name, value)
	}
	for _, c := range []struct{ name, body, header, model, rule string }{
		{"none holds", simple("r"), "", "big", ""},
		{"another team", simple("r"), "red", "big", ""},
		{"a header", simple("r"), "blue", "tiny", "blue"},
		{"a class", chatBody("r", "Fix this Go code:\n```go\nfunc main() { fmt.Println(1 }\n```", false), "", "small", "code"},
		{"a user", `{"model":"r","max_tokens":100,"user":"eve","messages":[{"role":"user","content":"hello"}]}`, "", "small", "europe"},
		{"a long prompt", chatBody("r", strings.Repeat("What a long story this is. ", 500), false), "", "cheap/other", "long"},
		{"metadata without effect", withMetadata("secret", "no"), "", "big", ""},
	} {
		var header []string
		if c.header != "" {
			header = []string{"x-team", c.header}
		}
		a := post(t, g, paths["openai"], c.body, header...)
		if a.status != 200 || a.header.Get("x-dragoman-model") != c.model || a.header.Get("x-dragoman-rule") != c.rule {
			t.Errorf("%s: got %s by rule %q, want %s by %q: %v", c.name, a.header.Get("x-dragoman-model"), a.header.Get("x-dragoman-rule"), c.model, c.rule, a)
		}
	}
	wantFault(t, post(t, g, paths["openai"], withMetadata("secret", "yes")), "openai", 403, "No secrets here.")
	blocked := strings.Replace(ruleConfig, `'"secret" in metadata && metadata.secret == "yes"'`, `'schema == "anthropic"'`, 1)
	if n := metric(t, g, "dragoman_route_rules_total", `action="route"`); n != 3 {
		t.Errorf("%v rules led elsewhere", n)
	}
	g.MustReload(t, routeProviders+blocked)
	wantFault(t, post(t, g, paths["anthropic"], simple("r")), "anthropic", 403, "No secrets here.")
	if n := metric(t, g, "dragoman_route_rules_total", `rule="blocked"`, `action="refuse"`); n != 2 {
		t.Errorf("%v refusals", n)
	}
}

// TestRulesSeeTheCaller: conditions on who calls, and a cache that does not mix what rules keep apart.
func TestRulesSeeTheCaller(t *testing.T) {
	g := routeGateway(t, `tenants:
- {name: acme, teams: [{name: search, keys: [{name: ci, hash: "`+config.HashKey("dgm_search")+`"}]}], keys: [{name: boss, hash: "`+config.HashKey("dgm_boss")+`"}]}
cache: {exact: {}}
listen: {address: "127.0.0.1:0", headers: [x-env]}
routes: [{model: r, strategy: fallback, candidates: [big, small]}]
rules:
- {name: team, when: 'team == "search" && tenant == "acme" && key == "ci"', route: small}
- {name: dev, when: '"x-env" in headers && headers["x-env"] == "dev"', providers: [cheap]}
`)
	ask := func(key string, header ...string) (model, cache string) {
		a := post(t, g, paths["openai"], simple("r"), append(header, "authorization", "Bearer dgm_"+key)...)
		if a.status != 200 {
			t.Fatalf("%v", a)
		}
		settled(t, g)
		return a.header.Get("x-dragoman-model"), a.header.Get("x-dragoman-cache")
	}
	for _, c := range []struct {
		key, env, model, cache string
	}{{"search", "", "small", "miss"}, {"boss", "", "big", "miss"}, {"boss", "dev", "small", "miss"}, {"boss", "", "", "hit"}, {"boss", "dev", "", "hit"}} {
		var header []string
		if c.env != "" {
			header = []string{"x-env", c.env}
		}
		if model, cache := ask(c.key, header...); model != c.model || cache != c.cache {
			t.Errorf("%s %s: got %s, a %s; want %s, a %s", c.key, c.env, model, cache, c.model, c.cache)
		}
	}
}

func statusOf(t *testing.T, g *harness.Gateway, path string) gjson.Result {
	t.Helper()
	b, err := g.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return gjson.GetBytes(b, path)
}
