package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// userBody is a request of an end user.
func userBody(model, user string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":50,"user":%q,"messages":[{"role":"user","content":"hello"}]}`, model, user)
}

// TestACanaryThatDoesWorseIsRolledBack: its clients get the baseline's answer meanwhile; the state is on /status and in metrics.
func TestACanaryThatDoesWorseIsRolledBack(t *testing.T) {
	g := routeGateway(t, "retry: {max_attempts: 3}\nroutes: [{model: r, strategy: canary, candidates: [small], canary: {model: big, share: 0.5, min_requests: 10}}]\n")
	if st := statusOf(t, g, "routes.0.canary"); st.Get("share").Num != 0.5 || st.Get("rolled_back").Bool() {
		t.Fatalf("before: %s", st)
	}
	variants := map[string]int{}
	for range 40 {
		a := post(t, g, paths["openai"], simple("r"))
		if a.status != 200 {
			t.Fatalf("%v", a)
		}
		variants[a.header.Get("x-dragoman-variant")]++
	}
	if variants["canary"] == 0 || variants["baseline"] == 0 {
		t.Errorf("a healthy canary: %v", variants)
	}
	wantIdle(t, g)
	if st := statusOf(t, g, "routes.0"); st.Get("canary.rolled_back").Bool() || int(st.Get(`arms.#(arm=="canary").requests`).Num) != variants["canary"] {
		t.Errorf("a healthy canary: %s", st)
	}
	g.Fakes["good"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500})
	for i := 0; !statusOf(t, g, "routes.0.canary.rolled_back").Bool(); i++ {
		if i > 300 {
			t.Fatalf("not rolled back: %s", statusOf(t, g, "routes.0"))
		}
		if got := servedBy(t, g, "openai", simple("r")); got != "small" {
			t.Fatalf("served by %s", got)
		}
	}
	before := g.Fakes["good"].Counters().Requests
	for range 20 {
		servedBy(t, g, "anthropic", simple("r"))
	}
	if after := g.Fakes["good"].Counters().Requests; after != before {
		t.Errorf("a canary that was rolled back was asked %d times", after-before)
	}
	st := statusOf(t, g, "routes.0.canary")
	if st.Get("share").Num != 0 || !strings.Contains(st.Get("why").Str, "error rate") || st.Get("since").Str == "" {
		t.Errorf("status: %s", st)
	}
	if n := metric(t, g, "dragoman_route_canary_rollbacks_total", `route="r"`); n != 1 {
		t.Errorf("%v rollbacks", n)
	}
	for end := time.Now().Add(5 * time.Second); metric(t, g, "dragoman_route_canary_share", `route="r"`) != 0; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the metric still shows a share")
		}
	}
	// The same canary stays rolled back over a reload; another one gets its chance.
	g.MustReload(t, routeProviders+"retry: {max_attempts: 2}\nroutes: [{model: r, strategy: canary, candidates: [small], canary: {model: big, share: 0.5, min_requests: 10}}]\n")
	if !statusOf(t, g, "routes.0.canary.rolled_back").Bool() {
		t.Error("a reload brought the canary back")
	}
	g.MustReload(t, routeProviders+"routes: [{model: r, strategy: canary, candidates: [small], canary: {model: tiny, share: 0.5}}]\n")
	if st := statusOf(t, g, "routes.0.canary"); st.Get("rolled_back").Bool() || st.Get("share").Num != 0.5 {
		t.Errorf("another canary: %s", st)
	}
}

func TestACanaryThatIsSlowerIsRolledBack(t *testing.T) {
	g := routeGateway(t, "routes: [{model: r, strategy: canary, candidates: [small], canary: {model: big, share: 0.5, min_requests: 5, latency_margin: 1}}]\n")
	g.Fakes["good"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 150 * time.Millisecond})
	g.Fakes["cheap"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 20 * time.Millisecond})
	for i := 0; !statusOf(t, g, "routes.0.canary.rolled_back").Bool(); i++ {
		if i > 100 {
			t.Fatalf("not rolled back: %s", statusOf(t, g, "routes.0"))
		}
		servedBy(t, g, "openai", simple("r"))
	}
	if why := statusOf(t, g, "routes.0.canary.why").Str; !strings.Contains(why, "begin within") {
		t.Errorf("because of %q", why)
	}
}

// TestExperiment: a user stays with a variant, whatever the schema; the results of each variant stand on their own.
func TestExperiment(t *testing.T) {
	g := routeGateway(t, "routes: [{model: r, strategy: experiment, candidates: [{model: big, weight: 1, variant: control}, {model: small, weight: 1, variant: saver}]}]\n")
	models := map[string]string{"control": "big", "saver": "small"}
	count := map[string]int{}
	for user := range 40 {
		var first string
		for i := range 2 {
			a := post(t, g, paths["openai"], userBody("r", fmt.Sprint("u", user)))
			variant := a.header.Get("x-dragoman-variant")
			if a.status != 200 || a.header.Get("x-dragoman-model") != models[variant] || i > 0 && variant != first {
				t.Fatalf("user %d: %q after %q: %v", user, variant, first, a)
			}
			first = variant
			count[variant]++
		}
	}
	if count["control"] < 16 || count["saver"] < 16 {
		t.Errorf("got %v", count)
	}
	wantIdle(t, g)
	st := statusOf(t, g, "routes.0")
	for _, variant := range []string{"control", "saver"} {
		arm := st.Get(fmt.Sprintf(`arms.#(arm==%q)`, variant))
		if int(arm.Get("requests").Num) != count[variant] || arm.Get("failed").Num != 0 || arm.Get("output_tokens").Num == 0 || arm.Get("first_seconds_p75").Num <= 0 {
			t.Errorf("%s: %s", variant, arm)
		}
		if n := metric(t, g, "dragoman_route_arm_requests_total", `route="r"`, fmt.Sprintf(`arm=%q`, variant), `outcome="ok"`); int(n) != count[variant] {
			t.Errorf("%s: %v in the metric", variant, n)
		}
	}
	cost := func(v string) float64 { return st.Get(fmt.Sprintf(`arms.#(arm==%q).cost_microusd`, v)).Num }
	if cost("control") < 20*cost("saver") {
		t.Errorf("costs: %v and %v", cost("control"), cost("saver"))
	}
	// A variant that fails is counted as failed although the other one answered.
	g.Fakes["cheap"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 503})
	for user := range 20 {
		if got := servedBy(t, g, "openai", userBody("r", fmt.Sprint("u", user))); got != "big" {
			t.Fatalf("served by %s", got)
		}
	}
	wantIdle(t, g)
	st = statusOf(t, g, "routes.0")
	if st.Get(`arms.#(arm=="saver").failed`).Num == 0 || st.Get(`arms.#(arm=="control").failed`).Num != 0 {
		t.Errorf("failures: %s", st)
	}
}

// TestMirror: another model gets each request too, in its own schema and as a caller of its own; clients notice nothing.
func TestMirror(t *testing.T) {
	g := routeGateway(t, "cache: {exact: {}}\nroutes: [{model: r, strategy: fallback, candidates: [big], mirror: {model: small, max_in_flight: 2}}]\n")
	for i, client := range []string{"openai", "anthropic", "openai"} {
		a := post(t, g, paths[client], chatBody("r", fmt.Sprint("mirrored", i), i == 2))
		if a.status != 200 || a.header.Get("x-dragoman-model") != "big" {
			t.Fatalf("%v", a)
		}
	}
	waitFor(t, "three copies", func() bool { return g.Fakes["cheap"].Counters().Complete == 3 })
	wantIdle(t, g)
	for i, r := range g.Fakes["cheap"].Requests() {
		if r.Get("model").Str != "small" || !strings.Contains(string(r.Body), fmt.Sprint("mirrored", i)) {
			t.Errorf("copy %d: %s", i, r.Body)
		}
	}
	cost, tokens := metric(t, g, "dragoman_route_mirror_cost_microusd_total", `route="r"`), metric(t, g, "dragoman_route_mirror_tokens_total", `class="output"`)
	if cost <= 0 || tokens <= 0 {
		t.Errorf("its cost %v, its output %v", cost, tokens)
	}
	if n := metric(t, g, "dragoman_cost_microusd_total", `tenant="default"`, `model="small"`); n != 0 {
		t.Errorf("the tenant was charged %v for it", n)
	}
	if n := metric(t, g, "dragoman_cost_microusd_total", `tenant="(gateway)"`, `model="small"`); n != cost {
		t.Errorf("the gateway was charged %v, not %v", n, cost)
	}
	// Copies are bounded, and slow ones hold nobody up.
	g.Fakes["cheap"].Fail(0, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 2 * time.Second})
	begin := time.Now()
	for i := range 6 {
		servedBy(t, g, "openai", chatBody("r", fmt.Sprint("again", i), false))
	}
	if d := time.Since(begin); d > 1500*time.Millisecond {
		t.Errorf("clients waited %s", d)
	}
	if n := metric(t, g, "dragoman_route_mirror_total", `result="dropped"`); n != 4 {
		t.Errorf("%v copies dropped", n)
	}
	wantIdle(t, g)
	// What a client says of mirrors means nothing.
	a := post(t, g, paths["openai"], chatBody("tiny", "x", false), "x-dragoman-mirror", "r")
	if a.status != 200 || metric(t, g, "dragoman_requests_total", `tenant="(gateway)"`) != 5 {
		t.Errorf("%v", a)
	}
}

// TestMirrorOfGemini: Google's clients name the model in the path.
func TestMirrorOfGemini(t *testing.T) {
	g := routeGateway(t, "routes: [{model: r, strategy: fallback, candidates: [big], mirror: {model: cheap/other}}]\n")
	a := post(t, g, "/v1beta/models/r:generateContent", `{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}`)
	if a.status != 200 || a.header.Get("x-dragoman-model") != "big" {
		t.Fatalf("%v", a)
	}
	waitFor(t, "a copy", func() bool { return g.Fakes["cheap"].Counters().Complete == 1 })
	if got := g.Fakes["cheap"].Last().Get("model").Str; got != "other" {
		t.Errorf("the copy asks for %s", got)
	}
	wantIdle(t, g)
}

// TestQueue: what a credential cannot take at once waits for its turn; what is too much or takes too long is told when to come back.
func TestQueue(t *testing.T) {
	limited := strings.Replace(routeProviders, `{secret: {env: '{{keyvar "good"}}'}}`, `{secret: {env: '{{keyvar "good"}}'}, limits: {concurrency: 2}}`, 1)
	g := harness.Start(t, harness.Options{Fakes: routeFakes(), Config: limited + `routes:
- {model: patient, strategy: fallback, candidates: [big], queue: {length: 6, wait: 20s}}
- {model: hasty, strategy: fallback, candidates: [big]}
- {model: brief, strategy: fallback, candidates: [big], queue: {wait: 50ms}}
- {model: wide, strategy: fallback, candidates: [big, small]}
`})
	good := g.Fakes["good"]
	good.Fail(0, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 200 * time.Millisecond})
	var wg sync.WaitGroup
	answers := make([]*answer, 8)
	for i := range answers {
		wg.Go(func() { answers[i] = post(t, g, paths[schemas[i%2]], simple("patient")) })
	}
	waitFor(t, "a line", func() bool { return statusOf(t, g, "waiting.patient").Int() == 6 })
	wantFault(t, post(t, g, paths["openai"], simple("hasty")), "openai", 429, "rate limit")
	full := post(t, g, paths["anthropic"], simple("patient"))
	wantFault(t, full, "anthropic", 429, "rate limit")
	if full.header.Get("retry-after") == "" {
		t.Errorf("without retry-after: %v", full)
	}
	wantFault(t, post(t, g, paths["openai"], simple("brief")), "openai", 429, "rate limit")
	if got := servedBy(t, g, "openai", simple("wide")); got != "small" {
		t.Errorf("another candidate has room, served by %s", got)
	}
	wg.Wait()
	queued := 0
	for i, a := range answers {
		if a.status != 200 {
			t.Errorf("request %d: %v", i, a)
		}
		if a.header.Get("x-dragoman-queued") != "" {
			queued++
		}
	}
	if queued != 6 {
		t.Errorf("%d have waited", queued)
	}
	if most := good.Counters().MaxInFlight; most > 2 {
		t.Errorf("%d were at the provider at once", most)
	}
	for outcome, want := range map[string]float64{"served": 6, "full": 1, "expired": 1} {
		if n := metric(t, g, "dragoman_route_queued_total", fmt.Sprintf(`outcome=%q`, outcome)); n != want {
			t.Errorf("%s: %v, want %v", outcome, n, want)
		}
	}
	wantIdle(t, g)
}

// TestQueueAfterA429: a provider that says when to come back is waited for.
func TestQueueAfterA429(t *testing.T) {
	g := routeGateway(t, "retry: {max_attempts: 1}\nroutes: [{model: r, strategy: fallback, candidates: [big], queue: {wait: 10s}}]\n")
	g.Fakes["good"].Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 429, RetryAfter: "2"})
	if a := post(t, g, paths["openai"], simple("r")); a.status != 429 {
		t.Fatalf("%v", a)
	}
	waitFor(t, "health to know", func() bool { return strings.Contains(statusOf(t, g, "clusters").Raw, "rate_limited") })
	begin := time.Now()
	a := post(t, g, paths["openai"], simple("r"))
	if d := time.Since(begin); a.status != 200 || a.header.Get("x-dragoman-queued") == "" || d < 500*time.Millisecond {
		t.Errorf("after %s: %v", d, a)
	}
	if n := g.Fakes["good"].Counters().Requests; n != 2 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func TestDowngrade(t *testing.T) {
	limited := strings.Replace(routeProviders, `{secret: {env: '{{keyvar "good"}}'}}`, `{secret: {env: '{{keyvar "good"}}'}, limits: {concurrency: 1}}`, 1)
	g := harness.Start(t, harness.Options{Fakes: routeFakes(), Config: limited + `routes:
- {model: queued, strategy: fallback, candidates: [big], queue: {length: 2, wait: 20s}, downgrade: {candidates: [small], queue: 0.5}}
- {model: slow, strategy: quality, candidates: [big], downgrade: {candidates: [small], latency: 200ms}}
- {model: poor, strategy: fallback, candidates: [small], downgrade: {candidates: [tiny], budget_left: 0.5}}
`})
	good := g.Fakes["good"]
	// The queue.
	good.Fail(2, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 3 * time.Second})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { servedBy(t, g, "openai", simple("queued")) })
	}
	waitFor(t, "a line", func() bool { return statusOf(t, g, "waiting.queued").Int() == 1 })
	a := post(t, g, paths["anthropic"], simple("queued"))
	if a.status != 200 || a.header.Get("x-dragoman-model") != "small" || a.header.Get("x-dragoman-downgraded") != "queue" {
		t.Errorf("%v", a)
	}
	wg.Wait()
	wantIdle(t, g)
	// Latency: what has just been learnt.
	a = post(t, g, paths["openai"], simple("slow"))
	if a.status != 200 || a.header.Get("x-dragoman-model") != "small" || a.header.Get("x-dragoman-downgraded") != "latency" {
		t.Errorf("%v", a)
	}
	if n := metric(t, g, "dragoman_route_downgrades_total", `reason="queue"`) + metric(t, g, "dragoman_route_downgrades_total", `reason="latency"`); n != 2 {
		t.Errorf("%v downgrades", n)
	}
}

// TestDowngradeByBudget: the last part of a limit is served by a simpler model.
func TestDowngradeByBudget(t *testing.T) {
	g := routeGateway(t, `tenants: [{name: acme, limits: {requests_per_minute: 4}, keys: [{name: k, hash: "`+config.HashKey("dgm_acme")+`"}]}]
routes: [{model: r, strategy: fallback, candidates: [big], downgrade: {candidates: [small], budget_left: 0.4}}]
`)
	var got []string
	for range 4 {
		a := askAs(t, g, "acme", "openai", simple("r"))
		got = append(got, a.header.Get("x-dragoman-model")+a.header.Get("x-dragoman-downgraded"))
	}
	if text := strings.Join(got, " "); text != "big big smallbudget smallbudget" {
		t.Errorf("got %s", text)
	}
}
