package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// outcome is how a faulty provider's request ends, with no other provider or with a healthy one behind it.
type outcome struct {
	answered bool           // all is well although
	broken   bool           // the answer had begun: the client must see it break, and no other provider may help
	statuses map[string]int // by client schema, with no other provider
	says     string         // of the message
	kept     bool           // the failure shows too late for another provider
}

func both(n int, says string) outcome {
	return outcome{statuses: map[string]int{"openai": n, "anthropic": n}, says: says}
}

func late(o outcome) outcome { o.kept = true; return o }

var (
	fine   = outcome{answered: true}
	broken = outcome{broken: true}
	busy   = both(overloaded, "")
)

// overloaded stands for 503 or Anthropic's own 529: the SDKs retry both.
const overloaded = 529

// failing is one way to fail, and how it must end for a whole and for a streamed answer.
type failing struct {
	name          string
	fault         fakeprovider.Fault
	refuse        bool // nobody listens
	whole, stream *outcome
	retryAfter    string // that the client must see
}

func scripted(name string, kind fakeprovider.Failure, whole, stream *outcome) failing {
	return failing{name: name, fault: fakeprovider.Fault{Kind: kind}, whole: whole, stream: stream}
}

func after(n int, f failing) failing { f.fault.After = n; return f }

// answersStatus fails with a status; whole and streamed answers end alike.
func answersStatus(n int, o outcome) failing {
	return failing{name: fmt.Sprint("status ", n), fault: fakeprovider.Fault{Kind: fakeprovider.Status, Status: n, Message: "the provider's own words"}, whole: &o, stream: &o}
}

func ways() []failing {
	ptr := func(o outcome) *outcome { return &o }
	words := "the provider's own words"
	limited := answersStatus(429, both(429, words))
	limited.name, limited.fault.RetryAfter, limited.retryAfter = "status 429 with retry-after", "7", "7"
	limitedMS := answersStatus(429, both(429, words))
	limitedMS.name, limitedMS.fault.RetryAfterMS, limitedMS.retryAfter = "status 429 with retry-after-ms", "2500", "3"
	errorFirst := busy
	errorFirst.says = "overloaded"
	endless := scripted("endless line", fakeprovider.EndlessLine, ptr(late(both(502, "larger than"))), ptr(both(502, "more than")))
	endless.fault.Bytes = 2 << 20
	huge := scripted("huge answer", fakeprovider.HugeBody, ptr(late(both(502, "larger than"))), ptr(both(502, "more than")))
	huge.fault.Bytes = 2 << 20
	return []failing{
		{name: "refuses connections", refuse: true, whole: ptr(both(503, "could be reached")), stream: ptr(both(503, "could be reached"))},
		scripted("hangs", fakeprovider.Hang, ptr(both(504, "in time")), ptr(both(504, "in time"))),
		scripted("resets", fakeprovider.Reset, ptr(both(503, "could be reached")), ptr(both(503, "could be reached"))),
		answersStatus(401, both(401, words)), answersStatus(403, both(403, words)), answersStatus(404, both(404, words)),
		answersStatus(408, both(504, words)), answersStatus(429, both(429, words)), limited, limitedMS,
		answersStatus(500, both(500, words)), answersStatus(503, withWords(busy, words)), answersStatus(529, withWords(busy, words)),
		scripted("a web page with 200", fakeprovider.HTML200, ptr(both(502, "")), ptr(both(502, "text/html"))),
		scripted("a web page with 502", fakeprovider.HTML502, ptr(both(502, "502 Bad Gateway")), ptr(both(502, "502 Bad Gateway"))),
		scripted("invalid JSON", fakeprovider.BadJSON, ptr(late(both(502, ""))), ptr(late(both(502, "")))),
		scripted("empty body", fakeprovider.EmptyBody, ptr(late(both(502, ""))), ptr(both(502, "empty"))),
		scripted("gzip unasked", fakeprovider.Gzip, &fine, &fine),
		scripted("brotli unasked", fakeprovider.Brotli, &fine, &fine),
		scripted("error as first event", fakeprovider.ErrorEvent, nil, &errorFirst),
		after(1, scripted("error as second event", fakeprovider.ErrorEvent, nil, &errorFirst)),
		after(4, scripted("error in the middle", fakeprovider.ErrorEvent, nil, &broken)),
		scripted("cut before the first event", fakeprovider.Cut, nil, ptr(both(503, "could be reached"))),
		after(4, scripted("cut in the middle", fakeprovider.Cut, &broken, &broken)),
		scripted("no event at all", fakeprovider.EndEarly, nil, ptr(both(502, "before its first event"))),
		after(4, scripted("no terminal event", fakeprovider.EndEarly, nil, &broken)),
		scripted("stalls before the first event", fakeprovider.Stall, nil, ptr(both(504, "in time"))),
		after(4, scripted("stalls in the middle", fakeprovider.Stall, &broken, &broken)),
		endless, huge,
	}
}

func withWords(o outcome, says string) outcome { o.says = says; return o }

// A trial is one failing provider of one schema asked by a client of one schema. Each has a provider of its own, because health would
// carry over to the next, and a model's name of its own, by which the fake knows what to do.
type trial struct {
	failing
	provider, client string
	stream, backed   bool
	want             *outcome
	model            string
}

func (x *trial) String() string {
	kind, alone := "whole", "alone"
	if x.stream {
		kind = "streamed"
	}
	if x.backed {
		alone = "with another"
	}
	return fmt.Sprintf("%s/%s client to %s, %s, %s", x.name, x.client, x.provider, kind, alone)
}

func trials(provider string) []*trial {
	var all []*trial
	for _, w := range ways() {
		for _, client := range schemas {
			for _, stream := range []bool{false, true} {
				for _, backed := range []bool{false, true} {
					x := &trial{failing: w, provider: provider, client: client, stream: stream, backed: backed, want: w.whole}
					if stream {
						x.want = w.stream
					}
					x.model = fmt.Sprintf("%s-%d", provider, len(all))
					if x.want != nil {
						all = append(all, x)
					}
				}
			}
		}
	}
	return all
}

// faultLimits are short, so that every bound is reached in a moment.
const faultLimits = `retry: {max_attempts: 2, per_try_timeout: 1s, idle_timeout: 600ms, timeout: 20s, backoff: 5ms}
limits: {max_event_bytes: 32768, max_response_bytes: 262144}
`

// faultConfig has a provider p-MODEL for each trial, and a route r-MODEL to it and then to a healthy provider of the other schema.
func faultConfig(all []*trial) string {
	providers, routes := providerLine("openai", "openai", "openai", "well")+providerLine("anthropic", "anthropic", "anthropic", "well"), ""
	for _, x := range all {
		at := x.provider
		if x.refuse {
			at = "dead-" + at
		}
		providers += providerLine("p-"+x.model, x.provider, at, x.model)
		routes += fmt.Sprintf("  - {model: r-%s, strategy: fallback, candidates: [p-%s/%s, %s/well]}\n", x.model, x.model, x.model, other(x.provider))
	}
	return faultLimits + "providers:\n" + providers + "routes:\n" + routes
}

// providerLine is a provider served by a fake.
func providerLine(name, schema, fake, model string) string {
	return fmt.Sprintf("  - {name: %s, schema: %s, endpoint: '{{endpoint %q}}', models: [%s], catalogue: none, credentials: [{secret: {env: '{{keyvar %q}}'}}]}\n",
		name, schema, fake, model, fake)
}

func faultFakes() []fakeprovider.Options {
	hold := 20 * time.Second
	return []fakeprovider.Options{
		{Schema: fakeprovider.OpenAI, Models: []string{"well", "*"}, Keys: []string{"sk-fake-openai-canary-1f"}, MaxHold: hold},
		{Schema: fakeprovider.Anthropic, Models: []string{"well", "*"}, Keys: []string{"sk-fake-anthropic-canary-2e"}, MaxHold: hold},
		{Schema: fakeprovider.OpenAI, Name: "dead-openai", Models: []string{"*"}},
		{Schema: fakeprovider.Anthropic, Name: "dead-anthropic", Models: []string{"*"}},
	}
}

// TestFaults takes every way to fail through every pair of schemas, whole and streamed, alone and with a healthy provider behind.
func TestFaults(t *testing.T) {
	all := slices.Concat(trials("openai"), trials("anthropic"))
	g := harness.Start(t, harness.Options{Fakes: faultFakes(), Config: faultConfig(all)})
	for _, name := range []string{"dead-openai", "dead-anthropic"} {
		if err := g.Fakes[name].Refuse(); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range all {
		if f := x.fault; !x.refuse {
			g.Fakes[x.provider].Script(fakeprovider.Rule{Match: func(r *fakeprovider.Request) bool { return r.Get("model").String() == x.model }, Fault: &f})
		}
	}
	before, asked := metric(t, g, "dragoman_settlements_total"), atomic.Int64{}
	t.Run("trials", func(t *testing.T) {
		room := make(chan struct{}, 12)
		for _, x := range all {
			t.Run(x.String(), func(t *testing.T) {
				t.Parallel()
				room <- struct{}{}
				defer func() { <-room }()
				asked.Add(1)
				x.run(t, g)
			})
		}
	})
	wantIdle(t, g)
	if n := metric(t, g, "dragoman_settlements_total") - before; n != float64(asked.Load()) {
		t.Errorf("%v settlements of %d requests", n, asked.Load())
	}
	if n := metric(t, g, "dragoman_panics_total"); n != 0 {
		t.Errorf("%v panics", n)
	}
}

// bound is the longest that any trial may take: two attempts that time out, and some patience with the machine.
const bound = 8 * time.Second

func (x *trial) run(t *testing.T, g *harness.Gateway) {
	ctx, cancel := context.WithTimeout(context.Background(), bound+2*time.Second)
	defer cancel()
	model := "p-" + x.model + "/" + x.model
	if x.backed {
		model = "r-" + x.model
	}
	a := ask(ctx, g, x.client, model, x.stream)
	if a.took > bound {
		t.Errorf("took %v", a.took)
	}
	wantNoSecret(t, g, a)
	switch {
	case x.want.answered:
		wantAnswer(t, a, 1)
	case x.want.broken:
		x.wantBroken(t, a)
	case x.backed && !x.want.kept:
		wantAnswer(t, a, 2)
	default:
		x.wantError(t, a)
	}
}

// wantAnswer wants the right text after so many attempts, and nothing of what went before.
func wantAnswer(t testing.TB, a *answer, attempts int) {
	t.Helper()
	if a.err != nil || a.text != reply || a.status != 200 {
		t.Errorf("want a clean answer: %s", a)
	}
	want := fmt.Sprint(attempts)
	if attempts == 1 {
		want = ""
	}
	if got := a.header.Get("X-Dragoman-Attempts"); got != want {
		t.Errorf("x-dragoman-attempts %q, want %q", got, want)
	}
}

// wantBroken wants an answer that had begun to end in an error that the SDK raises: not cleanly, and not by hanging.
func (x *trial) wantBroken(t *testing.T, a *answer) {
	t.Helper()
	switch {
	case a.err == nil, a.err == errNoEnd:
		t.Errorf("a broken answer ends cleanly: %s", a)
	case strings.Contains(a.err.Error(), "deadline"):
		t.Errorf("the client had to give up: %s", a)
	case x.stream && (a.status != 200 || a.text == "" || a.text == reply):
		t.Errorf("want a part of the answer first: %s", a)
	}
	if strings.Contains(string(a.body), "[DONE]") || strings.Contains(string(a.body), "message_stop") {
		t.Errorf("a broken stream has a terminal event: %s", a)
	}
}

func (x *trial) wantError(t *testing.T, a *answer) {
	t.Helper()
	want := x.want.statuses[x.client]
	if want == overloaded && (x.client == "openai" || a.status == 503) {
		want = 503
	}
	if got := status(a.err); got != want {
		t.Errorf("the SDK raises %T with status %d, want %d", a.err, got, want)
	}
	wantFault(t, a, x.client, want, "p-"+x.model, x.want.says)
	if got := a.header.Get("Retry-After"); x.retryAfter != "" && got != x.retryAfter {
		t.Errorf("retry-after %q, want %q", got, x.retryAfter)
	}
}

// TestTokensAreThoseThatProvidersDelivered holds the metrics against what the fakes say they reported, over whole answers and whole
// streams of every pair.
func TestTokensAreThoseThatProvidersDelivered(t *testing.T) {
	g := harness.Shared(t, "")
	output := func(p string) float64 {
		return metric(t, g, "dragoman_tokens_total", `class="output"`, fmt.Sprintf("provider=%q", p))
	}
	settled := func() float64 { return metric(t, g, "dragoman_settlements_total") }
	beforeSettled, before := settled(), map[string]float64{}
	for _, p := range schemas {
		before[p] = output(p)
	}
	var all sync.WaitGroup
	const each = 5
	for _, client := range schemas {
		for _, provider := range schemas {
			for i := range 2 * each {
				all.Go(func() {
					wantAnswer(t, ask(t.Context(), g, client, provider+"/"+g.Fakes[provider].Model(), i%2 == 1), 1)
				})
			}
		}
	}
	all.Wait()
	wantIdle(t, g)
	for _, p := range schemas {
		if got, want := output(p)-before[p], float64(g.Fakes[p].Counters().Tokens); got != want || want == 0 {
			t.Errorf("%s: %v output tokens in the metrics, %v delivered", p, got, want)
		}
	}
	if got := settled() - beforeSettled; got != 4*2*each {
		t.Errorf("%v settlements of %d requests", got, 4*2*each)
	}
}
