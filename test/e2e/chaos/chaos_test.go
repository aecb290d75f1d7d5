// Package chaos takes a whole gateway through minutes of failing providers, and holds what clients, providers and the gateway's own
// accounting say of it against each other.
package chaos

import (
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// The run's size. DRAGOMAN_CHAOS takes a longer one: `make chaos` runs for three minutes.
const (
	clients    = 200 // half of them stream
	baseline   = 40  // more, whose route makes one attempt and looks at nothing: what the same minutes are without failover
	shortRun   = 20 * time.Second
	think      = 4 * time.Second // mean between two requests of one client: the machine's CPU is not what is tested
	patience   = 30 * time.Second
	reloadTime = 10 * time.Second
)

func runTime(t *testing.T) time.Duration {
	text := os.Getenv("DRAGOMAN_CHAOS")
	if text == "" {
		return shortRun
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatalf("DRAGOMAN_CHAOS: %v", err)
	}
	return d
}

// configs differ in what may change while requests are under way. Three groups of two providers each: two keys or endpoints, six clusters.
func configs() []string {
	providers := `
providers:
- {name: a, schema: openai, catalogue: none, models: [m], credentials: [{secret: {env: '{{keyvar "a1"}}'}}],
   endpoints: [{name: one, url: '{{endpoint "a1"}}'}, {name: two, url: '{{endpoint "a2"}}'}]}
- {name: b, schema: anthropic, catalogue: none, models: [m], credentials: [{secret: {env: '{{keyvar "b1"}}'}}],
   endpoints: [{name: one, url: '{{endpoint "b1"}}'}, {name: two, url: '{{endpoint "b2"}}'}]}
- {name: c, schema: openai, catalogue: none, models: [m], credentials: [{secret: {env: '{{keyvar "c1"}}'}}],
   endpoints: [{name: one, url: '{{endpoint "c1"}}'}, {name: two, url: '{{endpoint "c2"}}'}]}
routes:
- {model: any, strategy: %s, candidates: [a/m, b/m, c/m], retry: {probe: all}}
- {model: plain, strategy: weighted, candidates: [a/m, b/m, c/m], retry: {max_attempts: 1, probe: none}}
health: {backoff: 500ms, max_backoff: 5s, slow_start: 3s}
ledger: {sqlite: "{{dir}}/ledger/ledger.db"}
`
	times := "retry: {max_attempts: 6, per_try_timeout: 4s, idle_timeout: 3s, timeout: 25s, backoff: 10ms}\n"
	return []string{
		times + sprintf(providers, "weighted"),
		"x-note: another\n" + times + sprintf(providers, "weighted"),
		times + sprintf(providers, "balanced"),
	}
}

func fakes() []fakeprovider.Options {
	var all []fakeprovider.Options
	for _, f := range []struct {
		name   string
		schema fakeprovider.Schema
	}{{"a", fakeprovider.OpenAI}, {"b", fakeprovider.Anthropic}, {"c", fakeprovider.OpenAI}} {
		for _, n := range []string{"1", "2"} {
			all = append(all, fakeprovider.Options{Schema: f.schema, Name: f.name + n, Models: []string{"m"}, Keys: []string{"sk-fake-chaos-" + f.name}, MaxHold: 10 * time.Second})
		}
	}
	return all
}

// TestChaos: every request ends, hardly one fails for lack of an answer while a provider is well, each token is counted once, and
// nothing is left behind.
func TestChaos(t *testing.T) {
	g := harness.Start(t, harness.Options{Fakes: fakes(), Config: configs()[0], Subprocess: true})
	length := runTime(t)
	warmth := warm(t, g)
	before := footprints(t, g)

	ctx, stop := context.WithTimeout(t.Context(), length)
	defer stop()
	surviving, alone := &tally{}, &tally{}
	var all, beside sync.WaitGroup
	havoc := newHavoc(g)
	beside.Go(func() { havoc.run(ctx, t) })
	beside.Go(func() { reload(ctx, t, g) })
	witness := newWitness()
	beside.Go(func() { witness.run(ctx, g) })
	var heap heapTrace
	beside.Go(func() { heap.run(ctx, t, g, length) })
	for i := range clients {
		all.Go(func() {
			client{g: g, n: i, route: "any", stream: i%2 == 0, anthropic: i%4 >= 2, tally: surviving}.run(ctx, t)
		})
	}
	for i := range baseline {
		all.Go(func() { client{g: g, n: clients + i, route: "plain", stream: i%2 == 0, tally: alone}.run(ctx, t) })
	}
	all.Wait()
	beside.Wait()
	havoc.rest(t)
	idle(t, g)

	report(t, length, surviving, alone)
	wantSurvival(t, surviving, length)
	wantUsage(t, g, warmth, surviving, alone)
	wantLedger(t, g, witness, warmth, surviving, alone)
	wantNoGrowth(t, before, footprints(t, g))
	heap.wantFlat(t)
}

// reload puts another configuration in force every now and then.
func reload(ctx context.Context, t *testing.T, g *harness.Gateway) {
	all := configs()
	tick := time.NewTicker(min(reloadTime, runTime(t)/3))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := g.Reload(context.WithoutCancel(ctx), all[n%len(all)]); err != nil {
			t.Errorf("reload %d: %v", n, err)
		}
	}
}

// wantSurvival: one in a thousand may fail.
func wantSurvival(t *testing.T, s *tally, length time.Duration) {
	t.Helper()
	allowed := int(s.requests / 1000)
	for kind, n := range map[string]int{"whole answers": int(s.wholeFailed), "streams before their first event": int(s.streamFailed)} {
		if n > max(allowed, 1) {
			t.Errorf("%d %s failed of %d requests; first: %s", n, kind, s.requests, s.first())
		}
	}
	if s.unended > 0 {
		t.Errorf("%d requests did not end", s.unended)
	}
	if s.wrong > 0 {
		t.Errorf("%d answers were not the question's", s.wrong)
	}
	if least := int64(length/time.Second) * clients / 12; s.requests < least {
		t.Errorf("only %d requests: nothing was shown", s.requests)
	}
}
