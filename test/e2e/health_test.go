package e2e

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/redisserver"
)

// stateOf is what /status says of a cluster.
func stateOf(t testing.TB, g *harness.Gateway, cluster string) string {
	t.Helper()
	status, err := g.Status(t.Context())
	must(t, err)
	return gjson.GetBytes(status, `clusters.#(cluster=="`+cluster+`").state`).String()
}

// wantStateOf waits for a cluster's state.
func wantStateOf(t testing.TB, g *harness.Gateway, cluster string, within time.Duration, states ...string) time.Duration {
	t.Helper()
	begin := time.Now()
	for {
		got := stateOf(t, g, cluster)
		for _, want := range states {
			if got == want {
				return time.Since(begin)
			}
		}
		if time.Since(begin) > within {
			t.Fatalf("%s is %s after %v, want %v", cluster, got, within, states)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const healthConfig = `
retry: {max_attempts: 3, per_try_timeout: 1s, timeout: 20s, backoff: 5ms}
health: {backoff: 600ms, max_backoff: 600ms, slow_start: 1s}
providers:
- {name: a, schema: openai, endpoint: '{{endpoint "a"}}', credentials: [{secret: {env: '{{keyvar "a"}}'}}], models: [m], catalogue: none%s}
- {name: b, schema: anthropic, endpoint: '{{endpoint "b"}}', credentials: [{secret: {env: '{{keyvar "b"}}'}}], models: [m], catalogue: none%s}
routes: [{model: both, strategy: fallback, candidates: [a/m, b/m]}]
`

func healthOptions(more string) harness.Options {
	return harness.Options{
		Fakes: []fakeprovider.Options{
			{Schema: fakeprovider.OpenAI, Name: "a", Models: []string{"m"}, MaxHold: 20 * time.Second},
			{Schema: fakeprovider.Anthropic, Name: "b", Models: []string{"m"}},
		},
		Config: fmt.Sprintf(healthConfig, more, more),
	}
}

// TestActiveChecks: an outage is seen without a request of a client, and so is that a repaired key is taken again.
func TestActiveChecks(t *testing.T) {
	g := harness.Start(t, healthOptions(", check: {interval: 150ms}"))
	settled := metric(t, g, "dragoman_settlements_total")
	time.Sleep(500 * time.Millisecond)
	for _, name := range []string{"a", "b"} {
		r := g.Fakes[name].Last()
		if r == nil || r.Method != "GET" || r.Path != "/v1/models" || r.Rejected != "" || r.Status != 200 {
			t.Fatalf("%s was asked %+v", name, r)
		}
	}
	must(t, g.Fakes["a"].Refuse())
	wantStateOf(t, g, "a/default", 4*time.Second, "open", "half_open")
	must(t, g.Fakes["a"].Accept())
	wantStateOf(t, g, "a/default", 4*time.Second, "half_open") // it is there: the next request is the trial
	if r := chat(t, g, "both", "hi", false); r.status != 200 || r.header.Get("X-Dragoman-Provider") != "a" {
		t.Errorf("the trial: %d from %s", r.status, r.header.Get("X-Dragoman-Provider"))
	}
	wantStateOf(t, g, "a/default", 4*time.Second, "healthy")
	g.Fakes["b"].Script(fakeprovider.Rule{Match: func(*fakeprovider.Request) bool { return true }, Fault: &fakeprovider.Fault{Kind: fakeprovider.Status, Status: 401}})
	wantStateOf(t, g, "b/default", 4*time.Second, "auth_dead")
	must(t, g.Fakes["b"].Reset())
	wantStateOf(t, g, "b/default", 4*time.Second, "healthy", "degraded")
	if n := metric(t, g, "dragoman_settlements_total") - settled; n != 1 {
		t.Errorf("%v requests are accounted for, one was made", n)
	}
	for _, path := range []string{"/dragoman/check/a%2Fdefault", "/dragoman/check/"} {
		resp, err := g.HTTP.Get(g.URL + path)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != 404 {
			t.Errorf("a client's %s: %d", path, resp.StatusCode)
		}
	}
}

// TestOneTrialAtATime: a provider that was out gets one request at a time until it answers, and no client is worse off for that.
func TestOneTrialAtATime(t *testing.T) {
	g := harness.Start(t, healthOptions(""))
	g.Fakes["a"].Fail(5, refusing(500, ""))
	for range 5 {
		chat(t, g, "both", "hi", false)
	}
	wantStateOf(t, g, "a/default", 2*time.Second, "open", "half_open")
	g.Fakes["a"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Hang})
	most, failed := tryFor(t, 3*time.Second, g)
	if most != 1 {
		t.Errorf("%d requests at a time at a provider that was out", most)
	}
	if failed > 0 {
		t.Errorf("%d requests failed", failed)
	}
	must(t, g.Fakes["a"].Reset())
	deadline := time.Now().Add(6 * time.Second)
	for chat(t, g, "both", "hi", false).header.Get("X-Dragoman-Provider") != "a" {
		if time.Now().After(deadline) {
			t.Fatal("it does not come back")
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// tryFor has many clients ask, and says how many at a time reached provider a and how many were not answered.
func tryFor(t *testing.T, d time.Duration, gateways ...*harness.Gateway) (most int, failed int64) {
	t.Helper()
	var all sync.WaitGroup
	var bad atomic.Int64
	end := time.Now().Add(d)
	for i := range 12 {
		all.Go(func() {
			for time.Now().Before(end) {
				if r := chat(t, gateways[i%len(gateways)], "both", "hi", i%3 == 0); r.status != 200 || r.err != nil {
					bad.Add(1)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	peak := make(chan int)
	go func() {
		top := 0
		for time.Now().Before(end) {
			sum := 0
			for _, g := range gateways {
				sum += g.Fakes["a"].Counters().InFlight
			}
			top = max(top, sum)
			time.Sleep(2 * time.Millisecond)
		}
		peak <- top
	}()
	all.Wait()
	return <-peak, bad.Load()
}

// TestReplicasShareHealth: what one finds out the other acts on within a second, and of both only one tries at a time. Without Redis each
// stands alone.
func TestReplicasShareHealth(t *testing.T) {
	server := redisserver.Start(t)
	start := func() *harness.Gateway {
		o := healthOptions("")
		o.Config += fmt.Sprintf("store: {redis: {address: %q}}\n", server.Addr)
		g, err := harness.New(t.Context(), o)
		must(t, err)
		t.Cleanup(func() {
			g.CheckFakes(t)
			must(t, g.Close())
		})
		return g
	}
	a, b := start(), start()
	for _, g := range []*harness.Gateway{a, b} {
		g.Fakes["a"].Fail(0, refusing(500, ""))
	}
	for range 5 {
		chat(t, a, "both", "hi", false)
	}
	wantStateOf(t, a, "a/default", 2*time.Second, "open")
	took := wantStateOf(t, b, "a/default", 3*time.Second, "open", "half_open")
	t.Logf("the other replica knew %v later", took.Round(time.Millisecond))
	if took > 1200*time.Millisecond {
		t.Errorf("the other replica knew %v later", took)
	}
	if n := b.Fakes["a"].Counters().Requests; n != 0 {
		t.Errorf("it found out by itself, with %d requests", n)
	}
	for _, g := range []*harness.Gateway{a, b} {
		must(t, g.Fakes["a"].Reset())
		g.Fakes["a"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Hang})
	}
	most, failed := tryFor(t, 4*time.Second, a, b)
	if most != 1 || failed > 0 {
		t.Errorf("%d tries at a time by two replicas, %d requests failed", most, failed)
	}
	server.Stop()
	for _, g := range []*harness.Gateway{a, b} {
		must(t, g.Fakes["a"].Reset())
	}
	for i, g := range []*harness.Gateway{a, b} {
		deadline := time.Now().Add(8 * time.Second)
		for chat(t, g, "both", "hi", false).header.Get("X-Dragoman-Provider") != "a" {
			if time.Now().After(deadline) {
				t.Fatalf("without Redis, replica %d does not find out that the provider is back", i)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}

// TestFlappingPushesAreFew: a provider that comes and goes costs Envoy at most four pushes a second, and hardly any as time goes on.
func TestFlappingPushesAreFew(t *testing.T) {
	o := healthOptions("")
	o.Fakes[0].Keys = []string{"sk-fake-flap-1", "sk-fake-flap-2"}
	o.Config = strings.Replace(o.Config, "credentials: [{secret: {env: '{{keyvar \"a\"}}'}}]", "credentials: [{name: x, secret: {env: '{{keyvar \"a\"}}'}}, {name: y, secret: {env: FLAP}}]", 1)
	o.Env = map[string]string{"FLAP": "sk-fake-flap-2"}
	g := harness.Start(t, o)
	var n atomic.Int64
	g.Fakes["a"].Script(fakeprovider.Rule{Fault: &fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500}, Match: func(r *fakeprovider.Request) bool {
		return r.Method == "POST" && strings.HasSuffix(r.Header.Get("Authorization"), "flap-1") && n.Add(1)%14 > 4
	}})
	before := metric(t, g, "dragoman_xds_pushes_total")
	begin := time.Now()
	if _, failed := tryFor(t, 5*time.Second, g); failed > 0 {
		t.Errorf("%d requests failed", failed)
	}
	pushes, most := metric(t, g, "dragoman_xds_pushes_total")-before, 4*time.Since(begin).Seconds()+2
	if pushes == 0 || pushes > most {
		t.Errorf("%v pushes in %v", pushes, time.Since(begin))
	}
	t.Logf("%v pushes in %v", pushes, time.Since(begin).Round(time.Millisecond))
}
