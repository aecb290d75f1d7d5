package limit

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

var start = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// rig is a gate in process with a clock.
type rig struct {
	t      *testing.T
	gate   *Gate
	memory *Memory
	now    time.Time
	events []Event
	shadow int
	soft   int
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, memory: NewMemory(), now: start}
	r.gate = NewGate(Options{Store: r.memory, Quota: quota(), Report: r.report()})
	return r
}

func quota() config.Quota { return config.Quota{Lease: time.Minute, MinOutput: 10, Grace: 0.1} }

func (r *rig) report() Report {
	return Report{Event: func(e Event) { r.events = append(r.events, e) }, Shadow: func(*config.Meter) { r.shadow++ }, Soft: func(*config.Meter) { r.soft++ }}
}

func meter(kind config.MeterKind, limit int64, bend ...func(*config.Meter)) *config.Meter {
	m := config.Meter{Key: kind.String(), Level: "team:acme/search", Name: kind.String(), Kind: kind}
	switch kind {
	case config.MeterRequests:
		m.Name = "requests per minute"
	case config.MeterTokens:
		m.Name = "tokens per minute"
	case config.MeterBudgetUSD, config.MeterBudgetTokens:
		m.Period = config.Period{Per: config.Month, Zone: time.UTC}
		m.WarnAt = []float64{0.8}
	}
	for _, f := range bend {
		f(&m)
	}
	return config.NewMeter(m, limit)
}

func mode(m config.Mode) func(*config.Meter) { return func(x *config.Meter) { x.Mode = m } }

// dear costs a dollar for a million tokens, in and out; cheap a tenth; unknown nobody knows what.
var (
	dear    = &config.Model{Name: "dear", Ref: "p/dear", MaxOutput: 128_000, Price: &config.Price{Input: 1_000_000, Output: 1_000_000, CacheRead: 100_000, CacheWrite: 1_000_000, CacheWrite1h: 1_000_000}}
	cheap   = &config.Model{Name: "cheap", Ref: "p/cheap", MaxOutput: 128_000, Price: &config.Price{Input: 100_000, Output: 100_000, CacheRead: 100_000, CacheWrite: 100_000, CacheWrite1h: 100_000}}
	unknown = &config.Model{Name: "unknown", Ref: "p/unknown"}
)

func route(models ...*config.Model) *config.Route {
	r := &config.Route{Name: "r"}
	for _, m := range models {
		r.Candidates = append(r.Candidates, config.Candidate{Model: m})
	}
	r.Worst = config.WorstOf(r.Candidates)
	return r
}

func (r *rig) request(output int64, rt *config.Route, meters ...*config.Meter) *Request {
	return &Request{ID: "id", Now: r.now, Principal: &config.Principal{Slot: "s", Tenant: "acme", Meters: meters}, Asked: rt.Name, Route: rt,
		Input: 100, Output: output, Choices: 1, Answers: true}
}

func (r *rig) reserve(output int64, rt *config.Route, meters ...*config.Meter) (*Reservation, Status) {
	r.t.Helper()
	x, st, err := r.gate.Reserve(context.Background(), r.request(output, rt, meters...))
	if err != nil {
		r.t.Fatal(err)
	}
	return x, st
}

func (r *rig) refused(output int64, rt *config.Route, meters ...*config.Meter) (*fault.Fault, Status) {
	r.t.Helper()
	x, st, err := r.gate.Reserve(context.Background(), r.request(output, rt, meters...))
	var f *fault.Fault
	if x != nil || !errors.As(err, &f) {
		r.t.Fatalf("not refused: %v %v", x, err)
	}
	return f, st
}

func (r *rig) settle(x *Reservation, m *config.Model, input, output int64) {
	u := chat.Usage{Known: true, Input: input, Output: output}
	used := Used{Usage: u, Model: m, Asked: "r", Route: "r"}
	if m != nil && m.Price != nil {
		used.Cost, used.Priced = m.Price.Cost(u), true
	}
	r.gate.Settle(r.now, x, used)
}

// look is what is spent and reserved of a meter.
func (r *rig) look(m *config.Meter) Level {
	r.t.Helper()
	l, err := r.gate.Levels(context.Background(), r.now, []*config.Principal{{Slot: "s", Meters: []*config.Meter{m}}})
	if err != nil || len(l) != 1 {
		r.t.Fatalf("%v %v", l, err)
	}
	return l[0]
}

func TestRefusalsSayWhichLimitOfWhom(t *testing.T) {
	reset := "2026-04-01T00:00:00Z"
	for name, c := range map[string]struct {
		m       *config.Meter
		use     int64 // settled before
		hold    int64 // reserved before: its output
		output  int64
		kind    fault.Kind
		code    string
		retry   time.Duration
		message string
		header  string
	}{
		"requests": {meter(config.MeterRequests, 1), 0, 1, 1, fault.RateLimited, "rate_limit_exceeded", time.Minute,
			"Rate limit reached for team acme/search: limit 1 requests per minute, used or reserved 1, requested 1. Try again in 1m0s.", ""},
		"tokens": {meter(config.MeterTokens, 1000), 0, 800, 100, fault.RateLimited, "rate_limit_exceeded", 6 * time.Second,
			"Rate limit reached for team acme/search: limit 1000 tokens per minute, used or reserved 900, requested 200. Try again in 6s.", ""},
		"more than a bucket holds": {meter(config.MeterTokens, 1000), 0, 1, 1000, fault.InvalidRequest, "request_exceeds_rate_limit", 0,
			"This request needs up to 1100 tokens", ""},
		"concurrent": {meter(config.MeterConcurrent, 1), 0, 1, 1, fault.RateLimited, "concurrency_limit_exceeded", time.Second,
			"Limit reached for team acme/search: limit 1 concurrent_requests, under way 1.", ""},
		"reserved by others": {meter(config.MeterBudgetUSD, 1000), 100, 700, 100, fault.RateLimited, "budget_reserved", time.Second,
			"limit 0.001 USD, spent 0.0001 USD, reserved by requests under way 0.0008 USD, needed for this one up to 0.0002 USD. Try again in 1s.",
			"team:acme/search; usd_budget; limit=0.001; spent=0.0001; reserved=0.0008; reset=" + reset},
		"exhausted": {meter(config.MeterBudgetUSD, 1000), 950, 0, 100, fault.BudgetExhausted, "budget_exhausted", 0,
			"The budget is exhausted: usd_budget of team acme/search: limit 0.001 USD, spent 0.00095 USD, reserved by requests under way 0.00 USD, needed for this one up to 0.0002 USD. It begins anew at " + reset + ".",
			"team:acme/search; usd_budget; limit=0.001; spent=0.00095; reserved=0.00; reset=" + reset},
		"a smaller one fits": {meter(config.MeterBudgetTokens, 1000), 500, 0, 600, fault.BudgetExhausted, "budget_exhausted", 0,
			"A lower max_tokens may fit", "team:acme/search; token_budget; limit=1000; spent=500; reserved=0; reset=" + reset},
		"more than all of it":    {meter(config.MeterBudgetTokens, 1000), 0, 0, 5000, fault.InvalidRequest, "request_exceeds_budget", 0, "lower max_tokens", ""},
		"nothing was ever in it": {meter(config.MeterBudgetUSD, 0), 0, 0, 5, fault.BudgetExhausted, "budget_exhausted", 0, "limit 0.00 USD", ""},
		"an hour's end is near": {meter(config.MeterBudgetTokens, 1000, func(m *config.Meter) { m.Period.Per = config.Hour }), 950, -1, 100, fault.RateLimited, "budget_exhausted", 26 * time.Second,
			"It begins anew in 26s", ""},
		"rolling": {meter(config.MeterBudgetTokens, 1000, func(m *config.Meter) { m.Period = config.Period{Rolling: 24 * time.Hour} }), 950, 0, 100, fault.BudgetExhausted, "budget_exhausted", 0,
			"What was spent counts for 24h0m0s.", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			if c.hold == -1 {
				r.now = time.Date(2026, 3, 14, 15, 59, 34, 0, time.UTC)
				c.hold = 0
			}
			if c.use > 0 {
				x, _ := r.reserve(1, route(dear), c.m)
				r.settle(x, dear, 0, c.use)
			}
			if c.hold > 0 {
				r.reserve(c.hold, route(dear), c.m)
			}
			f, st := r.refused(c.output, route(dear), c.m)
			if f.Kind != c.kind || f.Code != c.code || f.RetryAfter != c.retry || !strings.Contains(f.Message, c.message) {
				t.Errorf("got %v %s retry %v\n%s\nwant %v %s retry %v\n%s", f.Kind, f.Code, f.RetryAfter, f.Message, c.kind, c.code, c.retry, c.message)
			}
			if got := headerOf(st, "x-dragoman-limit"); c.header != "" && got != c.header {
				t.Errorf("header %q, want %q", got, c.header)
			}
			if f.RetryAfter > 0 && f.Code == "rate_limit_exceeded" { // after which it fits
				r.now = r.now.Add(f.RetryAfter)
				r.reserve(c.output, route(dear), c.m)
			}
		})
	}
}

func headerOf(st Status, name string) string {
	for _, h := range st.Headers() {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

func TestStatusHeaders(t *testing.T) {
	r := newRig(t)
	_, st := r.reserve(400, route(dear), meter(config.MeterRequests, 60), meter(config.MeterTokens, 1000), meter(config.MeterRequests, 30, mode(config.Shadow)))
	for name, want := range map[string]string{
		"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59", "x-ratelimit-reset-requests": "1s",
		"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "500", "x-ratelimit-reset-tokens": "30s",
	} {
		if got := headerOf(st, name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if st.Left != 0.5 {
		t.Errorf("left %v", st.Left)
	}
	if st := (Status{}); st.Headers() != nil {
		t.Errorf("headers of nothing: %v", st.Headers())
	}
}

// The worst case is the dearest candidate's; what comes back is what was used.
func TestReserveAndSettle(t *testing.T) {
	r, usd, tokens, other := newRig(t), meter(config.MeterBudgetUSD, 10_000), meter(config.MeterBudgetTokens, 10_000), meter(config.MeterTokens, 100_000)
	x, _ := r.reserve(1000, route(cheap, dear), usd, tokens, other)
	if l := r.look(usd); l.Reserved != 0.0011 {
		t.Errorf("%+v", l)
	}
	if l := r.look(tokens); l.Reserved != 1100 {
		t.Errorf("%+v", l)
	}
	r.settle(x, cheap, 90, 500)
	if l := r.look(usd); l.Reserved != 0 || l.Spent != 0.000059 {
		t.Errorf("%+v", l)
	}
	if l := r.look(tokens); l.Reserved != 0 || l.Spent != 590 {
		t.Errorf("%+v", l)
	}
	if l := r.look(other); l.Spent != 590 {
		t.Errorf("%+v", l)
	}
	if n := r.memory.Reserved(r.now); n != 0 {
		t.Errorf("%d reservations left", n)
	}
}

// A request without a cap takes what such requests need from rates, and a part of what is left from budgets: its model gets a cap.
func TestRequestsWithoutACap(t *testing.T) {
	r, usd, rate := newRig(t), meter(config.MeterBudgetUSD, 80_000), meter(config.MeterTokens, 1_000_000)
	x, _ := r.reserve(0, route(dear), usd, rate)
	n, binds, err := x.Cap(dear)
	if err != nil || n != 10_000-100 || binds != usd { // an eighth of 80,000, less the input
		t.Errorf("capped to %d by %v: %v", n, binds, err)
	}
	if n, _, err := x.Cap(cheap); err != nil || n != 99_900 { // the same money buys more of another
		t.Errorf("cheap: %d %v", n, err)
	}
	if l := r.look(rate); l.Spent != 100+assumedOutput {
		t.Errorf("%+v", l)
	}
	short := &config.Model{Name: "short", MaxOutput: 1000, Price: dear.Price}
	if n, _, err := x.Cap(short); n != 0 || err != nil {
		t.Errorf("a model that never answers so long: %d %v", n, err)
	}
	// With what is left ever smaller, requests get smaller answers, and at last none.
	for i := range 200 {
		x, _, err := r.gate.Reserve(context.Background(), r.request(0, route(dear), usd))
		if err != nil {
			if i < 10 {
				t.Errorf("refused after %d: %v", i, err)
			}
			return
		}
		if n, _, err := x.Cap(dear); err != nil || n < 10 {
			t.Fatalf("%d: cap %d %v", i, n, err)
		}
	}
	t.Error("never refused")
}

func TestCapOfAnExplicitCap(t *testing.T) {
	r, usd := newRig(t), meter(config.MeterBudgetUSD, 80_000)
	x, _ := r.reserve(500, route(cheap), usd)
	if n, _, err := x.Cap(cheap); n != 0 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	var f *fault.Fault
	if _, _, err := x.Cap(dear); !errors.As(err, &f) || f.Kind != fault.BudgetExhausted {
		t.Errorf("a dearer model than was reserved for: %v", err)
	}
	if n, _, err := (*Reservation)(nil).Cap(dear); n != 0 || err != nil {
		t.Errorf("without a reservation: %d %v", n, err)
	}
}

func TestUnknownPrice(t *testing.T) {
	assumed := func(m *config.Meter) { m.Unpriced, m.Assumed = config.UnpricedAssume, dear.Price }
	ignored := func(m *config.Meter) { m.Unpriced = config.UnpricedIgnore }
	r := newRig(t)
	f, _ := r.refused(100, route(unknown), meter(config.MeterBudgetUSD, 1000))
	if f.Kind != fault.PermissionDenied || f.Code != "model_price_unknown" || !strings.Contains(f.Message, "assumed_price") {
		t.Errorf("%+v", f)
	}
	usd := meter(config.MeterBudgetUSD, 1000, assumed)
	x, _ := r.reserve(100, route(unknown), usd)
	r.settle(x, unknown, 50, 60)
	if l := r.look(usd); l.Spent != 0.00011 {
		t.Errorf("assumed: %+v", l)
	}
	usd = meter(config.MeterBudgetUSD, 1000, ignored)
	if x, _ := r.reserve(100, route(unknown), usd); x != nil {
		t.Errorf("ignored: %+v", x)
	}
	// With a choice, what has a price serves.
	usd = meter(config.MeterBudgetUSD, 100_000)
	x, _ = r.reserve(100, route(unknown, dear), usd)
	if _, _, err := x.Cap(unknown); err == nil {
		t.Error("an unpriced candidate may serve")
	}
	if _, _, err := x.Cap(dear); err != nil {
		t.Error(err)
	}
	r.settle(x, nil, 0, 0)
}

func TestModesAndEvents(t *testing.T) {
	r := newRig(t)
	named := func(m *config.Meter) { m.Key = "another" }
	shadow, soft := meter(config.MeterBudgetUSD, 100, mode(config.Shadow), named), meter(config.MeterRequests, 1, mode(config.Soft))
	for range 3 {
		r.reserve(100, route(dear), shadow, soft)
	}
	if r.shadow != 3 || r.soft != 2 || len(r.events) != 1 || r.events[0].Kind != "limit_passed" {
		t.Errorf("%d shadow, %d soft, events %+v", r.shadow, r.soft, r.events)
	}
	r.events = nil
	usd := meter(config.MeterBudgetUSD, 1000, func(m *config.Meter) { m.WarnAt = []float64{0.5, 0.8} })
	var st Status
	for range 5 {
		var x *Reservation
		x, st = r.reserve(100, route(dear), usd)
		r.settle(x, dear, 0, 200)
	}
	var kinds []string
	for _, e := range r.events {
		kinds = append(kinds, e.Kind)
	}
	if got := strings.Join(kinds, " "); got != "budget_warning budget_warning budget_exhausted" {
		t.Errorf("events %s", got)
	}
	if e := r.events[1]; e.Part != 0.8 || e.Spent != 0.0008 || e.Limit != 0.001 || e.Unit != "usd" || e.Level != "team:acme/search" || e.Resets.IsZero() {
		t.Errorf("%+v", e)
	}
	if w := headerOf(st, "x-dragoman-budget-warning"); w != "team:acme/search usd_budget: 80% of 0.001 USD spent, resets 2026-04-01T00:00:00Z" {
		t.Errorf("warning %q", w)
	}
}

func TestOverridesExpire(t *testing.T) {
	usd := meter(config.MeterBudgetUSD, 100, func(m *config.Meter) {
		m.Overrides = []config.Override{{Limit: 1000, From: start.Add(time.Hour), Until: start.Add(2 * time.Hour), Reason: "launch"}}
	})
	r := newRig(t)
	r.refused(100, route(dear), usd)
	r.now = start.Add(time.Hour)
	x, _ := r.reserve(100, route(dear), usd)
	r.settle(x, dear, 0, 150)
	if l := r.look(usd); l.Limit != 0.001 || l.Override != "until 2026-03-14T17:09:26Z: launch" {
		t.Errorf("%+v", l)
	}
	r.now = start.Add(2 * time.Hour)
	r.refused(0, route(dear), usd)
}

// A limit of one model looks at requests that it may serve, and is charged for those that it has served.
func TestPerModel(t *testing.T) {
	r := newRig(t)
	only := func(m *config.Meter) { m.Models = []string{"dea*"} }
	usd := meter(config.MeterBudgetUSD, 10_000, only)
	if x, _ := r.reserve(10, route(cheap), usd); x != nil {
		t.Errorf("%+v", x)
	}
	x, _ := r.reserve(10, route(cheap, dear), usd)
	r.settle(x, cheap, 100, 10)
	if l := r.look(usd); l.Spent != 0 || l.Reserved != 0 {
		t.Errorf("%+v", l)
	}
	x, _ = r.reserve(10, route(cheap, dear), usd)
	r.settle(x, dear, 100, 10)
	if l := r.look(usd); l.Spent != 0.00011 {
		t.Errorf("%+v", l)
	}
}

func TestNothingToReserve(t *testing.T) {
	r := newRig(t)
	if x, st := r.reserve(10, route(dear)); x != nil || st.Headers() != nil {
		t.Errorf("%v %v", x, st)
	}
	r.gate.Settle(r.now, nil, Used{})
	if x, st, err := (Unlimited{}).Reserve(context.Background(), nil); x != nil || err != nil || st.Headers() != nil {
		t.Error("unlimited")
	}
	Unlimited{}.Settle(r.now, nil, Used{})
}

// No input may overflow into something that fits.
func TestHugeNumbers(t *testing.T) {
	r := newRig(t)
	usd, tokens := meter(config.MeterBudgetUSD, math.MaxInt64/4), meter(config.MeterBudgetTokens, 1_000_000)
	extreme := &config.Model{Name: "x", MaxOutput: 1 << 40, Price: &config.Price{Input: 100_000_000_000, Output: 100_000_000_000}}
	for _, q := range []*Request{
		{Input: math.MaxInt64, Output: 1, Choices: 1}, {Input: 1, Output: math.MaxInt64, Choices: 1}, {Input: 1, Output: 1 << 40, Choices: math.MaxInt64},
		{Input: math.MaxInt64, Output: math.MaxInt64, Choices: math.MaxInt64}, {Input: -5, Output: 1 << 61, Choices: -7},
	} {
		q.ID, q.Now, q.Answers, q.Route, q.Asked = "i", r.now, true, route(extreme), "x"
		q.Principal = &config.Principal{Slot: "s", Meters: []*config.Meter{tokens}}
		if x, _, err := r.gate.Reserve(context.Background(), q); err == nil {
			t.Errorf("%+v fits: %+v", q, x.Ops)
		}
		q.Output = 0
		q.Principal = &config.Principal{Slot: "s", Meters: []*config.Meter{usd}}
		x, _, err := r.gate.Reserve(context.Background(), q)
		if err != nil {
			continue
		}
		if o := &x.Ops[0]; o.Taken < 0 || o.Taken > 2*most || x.Output < 0 {
			t.Errorf("%+v takes %+v", q, o)
		}
		r.gate.Settle(r.now, x, Used{Cost: math.MaxInt64, Priced: true, Usage: chat.Usage{Input: math.MaxInt64 / 2, Output: math.MaxInt64 / 4}})
	}
	if l := r.look(usd); l.Spent < 0 || l.Reserved < 0 {
		t.Errorf("%+v", l)
	}
}

func TestLearnedOutput(t *testing.T) {
	l := newLearner()
	if n := l.estimate("m"); n != assumedOutput {
		t.Errorf("at first %d", n)
	}
	for i := range 1000 {
		l.learn("m", int64(100+i%20))
		if i%20 == 0 {
			l.learn("m", 50_000)
		}
	}
	if n := l.estimate("m"); n < 119 || n > 200 {
		t.Errorf("learnt %d of answers of 100 to 119", n)
	}
	for range 3000 {
		l.learn("m", 3000)
	}
	if n := l.estimate("m"); n < 3000 || n > 4100 {
		t.Errorf("learnt anew %d", n)
	}
	for _, n := range []int64{0, 1, 2, 3, 4, 1 << 30, math.MaxInt64} {
		if b := bin(n); b < 0 || b >= 2*octaves || n > 0 && n < 1<<20 && top(b) < n {
			t.Errorf("%d: bin %d, top %d", n, b, top(b))
		}
	}
}
