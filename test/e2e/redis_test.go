package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/redisserver"
)

func redisConfig(addr string) string {
	return cacheConfig("ttl: 1h", "") + fmt.Sprintf("store: {redis: {address: %q}}\n", addr)
}

// TestReplicasShareTheCache: what one stores the other finds, whatever the schema; and of requests that both get at the same
// time one makes the call.
func TestReplicasShareTheCache(t *testing.T) {
	server := redisserver.Start(t)
	a, b := replica(t, server), replica(t, server)
	for _, stream := range []bool{false, true} {
		text := fmt.Sprintf("between replicas %v", stream)
		wantState(t, askAs(t, a, "acme", "openai", chatBody(cachedModel, text, stream)), "miss", "echo: "+text)
		settled(t, a)
		wantStateSoon(t, b, "openai", chatBody(cachedModel, text, stream), "echo: "+text)
		wantStateSoon(t, b, "anthropic", chatBody(cachedModel, text, !stream), "echo: "+text)
		if x := askAs(t, b, "globex", "openai", chatBody(cachedModel, text, stream)); x.header.Get("x-dragoman-cache") != "miss" {
			t.Errorf("another tenant of another replica: %v", x)
		}
	}
	must(t, a.ResetFakes())
	must(t, b.ResetFakes())
	for _, g := range []*harness.Gateway{a, b} {
		g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 1500 * time.Millisecond})
	}
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			x := askAs(t, []*harness.Gateway{a, b}[i%2], "acme", schemas[i/2%2], chatBody(cachedModel, "both at once", i%3 == 0))
			if x.err != nil || x.status != 200 || x.text != "echo: both at once" {
				t.Errorf("%d: %v", i, x)
			}
		})
	}
	wg.Wait()
	if n := a.OpenAI().Counters().Requests + b.OpenAI().Counters().Requests; n != 1 {
		t.Errorf("two replicas made %d calls for one question", n)
	}
}

// replica starts one of several gateways of a test. Start would take the others' goroutines for its own.
func replica(t testing.TB, server *redisserver.Server) *harness.Gateway {
	t.Helper()
	g, err := harness.New(t.Context(), harness.Options{Config: redisConfig(server.Addr)})
	must(t, err)
	t.Cleanup(func() {
		g.CheckFakes(t)
		must(t, g.Close())
	})
	return g
}

// wantStateSoon asks for what is stored; a lookup that took longer than its deadline on a busy machine is asked again.
func wantStateSoon(t testing.TB, g *harness.Gateway, client, body, text string) {
	t.Helper()
	var a *answer
	for range 5 {
		a = askAs(t, g, "acme", client, body)
		if a.text != text {
			break
		}
		if s := a.header.Get("x-dragoman-cache"); s == "hit" || s == "coalesced" {
			return
		}
		settled(t, g)
	}
	t.Errorf("want a hit that says %q: %v", text, a)
}

// TestRedisGoesAway: frozen, thawed and at last dead, in the middle of traffic. Every request is answered, and soon nobody
// waits for it.
func TestRedisGoesAway(t *testing.T) {
	server := redisserver.Start(t)
	g := harness.Start(t, harness.Options{Config: redisConfig(server.Addr)})
	n := 0
	ask := func(times int) (hits int) {
		t.Helper()
		for range times {
			n++
			text := fmt.Sprintf("outage %d", n%3)
			a := askAs(t, g, "acme", schemas[n%2], chatBody(cachedModel, text, n%4 < 2))
			if a.err != nil || a.status != 200 || a.text != "echo: "+text {
				t.Fatalf("request %d: %v", n, a)
			}
			if a.header.Get("x-dragoman-cache") == "hit" {
				hits++
			}
		}
		return hits
	}
	soon := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	up := func() float64 { return metric(t, g, "dragoman_redis_available") }
	soon("no hits", func() bool { return ask(3) > 0 })
	must(t, server.Freeze())
	soon("a frozen Redis is still asked", func() bool { ask(1); return up() == 0 })
	begin := time.Now()
	if hits := ask(30); hits != 0 {
		t.Errorf("%d hits of a frozen Redis", hits)
	}
	t.Logf("30 requests without Redis took %s", time.Since(begin))
	must(t, server.Thaw())
	soon("a Redis that is back is not found", func() bool { return ask(3) > 0 })
	server.Stop()
	soon("a dead Redis is still asked", func() bool { ask(1); return up() == 0 })
	if hits := ask(10); hits != 0 {
		t.Errorf("%d hits of a dead Redis", hits)
	}
}

// TestRedisCluster keeps both tiers of the cache and stored conversations on three nodes, and is served without them when they freeze.
func TestRedisCluster(t *testing.T) {
	servers := redisserver.StartCluster(t, 3)
	config := semanticConfig(", threshold: 0.9") + fmt.Sprintf("store: {redis: {addresses: [%q, %q], cluster: true}}\n", servers.Nodes[1].Addr, servers.Nodes[2].Addr)
	g := harness.Start(t, harness.Options{Config: config, Env: embedderEnv()})
	n, first := 0, ""
	waitFor(t, "a semantic hit by way of the cluster", func() bool {
		n++
		first = fmt.Sprintf("How can I reset the password of account %d?", n)
		asked(t, g, "acme", "openai", first, false)
		a := asked(t, g, "acme", "anthropic", fmt.Sprintf("How do I reset the password of account %d?", n), true)
		return strings.HasPrefix(a.header.Get("x-dragoman-cache"), "semantic; ") && a.text == "echo: "+first
	})
	for i := range 20 { // keys of many slots
		text := fmt.Sprintf("Which number is %d?", i)
		asked(t, g, "acme", "openai", text, i%2 == 0)
		wantStateSoon(t, g, "anthropic", chatBody(cachedModel, text, i%3 == 0), "echo: "+text)
	}
	if a := asked(t, g, "globex", "openai", first, false); a.header.Get("x-dragoman-cache") != "miss" {
		t.Errorf("another tenant: %v", a.header)
	}
	model := "anthropic/" + g.Fakes["anthropic"].Model()
	stored, err := storedResponse(t, g, fmt.Sprintf(`{"model":%q,"input":"my name is Ada"}`, model))
	must(t, err)
	if next, err := storedResponse(t, g, fmt.Sprintf(`{"model":%q,"input":"and now?","previous_response_id":%q}`, model, stored)); err != nil || next == "" {
		t.Errorf("a conversation is not continued: %v", err)
	}
	for _, node := range servers.Nodes {
		must(t, node.Freeze())
	}
	for i := range 40 {
		text := fmt.Sprintf("Which number is %d?", i%20)
		begin := time.Now()
		a := askAs(t, g, "acme", "openai", chatBody(cachedModel, text, i%2 == 0))
		if a.err != nil || a.status != 200 || a.text != "echo: "+text || a.header.Get("x-dragoman-cache") == "hit" {
			t.Fatalf("request %d without Redis: %v", i, a)
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("request %d without Redis took %s", i, took)
		}
	}
	for _, node := range servers.Nodes {
		must(t, node.Thaw())
	}
}

// storedResponse makes a stored response, and gives its id.
func storedResponse(t testing.TB, g *harness.Gateway, body string) (string, error) {
	t.Helper()
	a := post(t, g, "/v1/responses", body, "authorization", "Bearer dgm_acme")
	if a.err != nil || a.status != 200 {
		return "", fmt.Errorf("%v", a)
	}
	settled(t, g)
	return gjson.GetBytes(a.body, "id").String(), nil
}
