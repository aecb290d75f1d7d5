package ops

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// cluster is what /status says of one.
func cluster(t testing.TB, g *harness.Gateway, name string) gjson.Result {
	t.Helper()
	return status(t, g).Get(`clusters.#(cluster=="` + name + `")`)
}

// weights are what Envoy goes by: the clusters of a provider's weighted group in its route configuration.
func weights(t testing.TB, g *harness.Gateway, provider string) map[string]int64 {
	t.Helper()
	admin, err := g.EnvoyAdmin()
	must(t, err)
	dump := ask(t, admin, "/config_dump?resource=dynamic_route_configs", "").body
	groups := gjson.Get(dump, "configs.#.route_config.virtual_hosts|@flatten|#.routes|@flatten|#.route.inline_cluster_specifier_plugin.extension.typed_config.priority_groups|@flatten")
	found := map[string]int64{}
	groups.Get(`#(name=="` + provider + `").clusters`).ForEach(func(_, c gjson.Result) bool {
		found[c.Get("cluster_name").String()] = c.Get("weight").Int()
		return true
	})
	return found
}

// twoKeys is one provider with two credentials; health forgets fast.
const twoKeys = `health: {half_life: 1s, slow_start: 2s}
providers:
- name: openai
  limited_by: credential
  endpoint: '{{endpoint "openai"}}'
  credentials:
  - {name: a, secret: {env: KEY_A}}
  - {name: b, secret: {env: KEY_B}}
`

func withTwoKeys(t *testing.T) *harness.Gateway {
	t.Helper()
	return harness.Start(t, harness.Options{
		Fakes: []fakeprovider.Options{{Schema: fakeprovider.OpenAI, Keys: []string{"sk-fake-aaaaaaaa", "sk-fake-bbbbbbbb"}}},
		Env:   map[string]string{"KEY_A": "sk-fake-aaaaaaaa", "KEY_B": "sk-fake-bbbbbbbb"}, Config: twoKeys,
	})
}

func byKey(key string) func(*fakeprovider.Request) bool {
	return func(r *fakeprovider.Request) bool {
		return r.Method == http.MethodPost && strings.HasSuffix(r.Header.Get("Authorization"), key)
	}
}

// TestLimitedCredentialLosesTraffic within about a second, while no client notices, and has it back when its time has come.
func TestLimitedCredentialLosesTraffic(t *testing.T) {
	g := withTwoKeys(t)
	fake := g.OpenAI()
	send := func(n int) {
		t.Helper()
		for range n {
			wantOK(t, ask(t, g.URL, chatPath, question("gpt-4.1", "x")), "echo: x")
		}
	}
	send(20)
	fake.Script(fakeprovider.Rule{Match: byKey("bbbbbbbb"), Fault: &fakeprovider.Fault{Kind: fakeprovider.Status, Status: 429, RetryAfter: "2"}})
	eventually(t, 5*time.Second, "b is not limited", func() error {
		send(1)
		return wantEqual("state", cluster(t, g, "openai/b").Get("state").String(), "rate_limited")
	})
	eventually(t, 1500*time.Millisecond, "Envoy's weights", func() error {
		w := weights(t, g, "openai")
		if w["openai/a"] < 10*w["openai/b"] || w["openai/a"] == 0 {
			return fmt.Errorf("weights %v", w)
		}
		return nil
	})
	must(t, fake.Reset())
	eventually(t, 10*time.Second, "b does not recover", func() error {
		send(1)
		w := weights(t, g, "openai")
		return errors.Join(wantEqual("state", cluster(t, g, "openai/b").Get("state").String(), "healthy"),
			atLeast("weight", w["openai/b"]*2, w["openai/a"]))
	})
	must(t, fake.Reset())
	send(40)
	shares := map[bool]int{}
	for _, r := range fake.Requests() {
		shares[byKey("aaaaaaaa")(r)]++
	}
	if shares[true] == 0 || shares[false] == 0 {
		t.Errorf("after recovery: %v", shares)
	}
}

func atLeast(what string, got, want int64) error {
	if got < want {
		return fmt.Errorf("%s: %d, want at least %d", what, got, want)
	}
	return nil
}

// TestRefusedCredentialIsDead: a 401 does not go away by itself, and the other credential answers meanwhile.
func TestRefusedCredentialIsDead(t *testing.T) {
	g := withTwoKeys(t)
	g.OpenAI().Script(fakeprovider.Rule{Match: byKey("bbbbbbbb"), Fault: &fakeprovider.Fault{Kind: fakeprovider.Status, Status: 401}})
	eventually(t, 5*time.Second, "b is not dead", func() error {
		_ = ask(t, g.URL, chatPath, question("gpt-4.1", "x"))
		return wantEqual("state", cluster(t, g, "openai/b").Get("state").String(), "auth_dead")
	})
	time.Sleep(600 * time.Millisecond) // the weights are published
	served := 0
	for range 20 {
		if r := ask(t, g.URL, chatPath, question("gpt-4.1", "x")); r.status == 200 {
			served++
		}
	}
	if served < 20 { // its time is not over yet, and then one request at a time is tried with it
		t.Errorf("%d of 20 served while one of two credentials is refused", served)
	}
	wantMetric(t, g, `dragoman_health_percent{cluster="openai/a"}`, "100")
}

// TestProviderDownMovesLast in auto's order, and a client that asks sees why.
func TestProviderDownMovesLast(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: "health: {half_life: 2s}\n{{providers}}routes: [{model: auto, strategy: fallback, candidates: [openai/gpt-4.1, anthropic/claude-haiku-4-5]}]\n"})
	why := func() (string, reply) {
		r := ask(t, g.URL, chatPath, question("auto", "x"), "x-dragoman-debug", "route")
		wantOK(t, r, "echo: x")
		return r.header.Get("x-dragoman-route"), r
	}
	first, r := why()
	if r.header.Get("x-dragoman-provider") != "openai" || !strings.Contains(first, "openai/gpt-4.1") {
		t.Fatalf("healthy: %s %v", first, r.header)
	}
	must(t, g.OpenAI().Refuse())
	eventually(t, 6*time.Second, "the provider that is down stays first", func() error {
		order, r := why() // answered all the time
		if r.header.Get("x-dragoman-attempts") != "" || r.header.Get("x-dragoman-provider") != "anthropic" {
			return fmt.Errorf("%s attempts: %s", r.header.Get("x-dragoman-attempts"), order)
		}
		if a, o := strings.Index(order, "anthropic/"), strings.Index(order, "openai/"); a < 0 || o >= 0 && o < a {
			return fmt.Errorf("order: %s", order)
		}
		return nil
	})
	must(t, g.OpenAI().Accept())
	eventually(t, 12*time.Second, "the provider does not come back", func() error {
		order, r := why()
		if r.header.Get("x-dragoman-provider") != "openai" {
			return errors.New(order)
		}
		return nil
	})
}
