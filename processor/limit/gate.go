package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
)

// Options are what a Gate works with.
type Options struct {
	Quota config.Quota
	Store Store
	// Shared says that the store is another process's, which may be away, and that other replicas count there, too.
	Shared bool
	Report Report
}

// Report is told what becomes of limits. Each may be nil; none may block.
type Report struct {
	Shadow    func(m *config.Meter)           // a request would have been refused in mode hard
	Soft      func(m *config.Meter)           // a request went beyond a soft limit
	Refused   func(m *config.Meter)           // a request was refused
	Event     func(e Event)                   // a budget has reached a part of itself, or a soft limit was passed
	Away      func(admitted bool)             // a request came while the store was away
	Capped    func(m *config.Meter)           // a request without a cap got one
	Overspent func(m *config.Meter, by int64) // a settlement has gone beyond a hard budget
}

// Gate holds requests to limits and budgets. It is safe for concurrent use.
type Gate struct {
	learnt *learner
	state  atomic.Pointer[state]

	knows atomic.Bool // known holds something about a budget
	mu    sync.Mutex
	known map[string]known // by key: what is known of budgets and soft limits
}

// state is what a reload changes.
type state struct {
	Options
	fell atomic.Pointer[fallen] // while the store is away
}

// known is what this process remembers of a counter.
type known struct {
	spent  int64 // in the window; -1: nothing
	window int64
	said   time.Time // a soft limit: when the last event was
}

// maxKnown bounds what is remembered.
const maxKnown = 100_000

// NewGate makes a Gate.
func NewGate(o Options) *Gate {
	g := &Gate{learnt: newLearner(), known: map[string]known{}}
	g.Set(o)
	return g
}

// Set replaces the options. What is reserved is settled where it was reserved.
func (g *Gate) Set(o Options) { g.state.Store(&state{Options: o}) }

// Seed says what was spent of a budget in its window that began at start (of a rolling one: in all of it), by a source that outlives
// the counters. It counts where the counter does not know better. While settlements wait it counts for nothing: what they charge may be
// part of it.
func (g *Gate) Seed(slot string, m *config.Meter, start time.Time, spent int64) {
	if s, ok := g.state.Load().Store.(interface{ Pending() int }); ok && s.Pending() > 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.remember(key(slot, m), start.UnixMilli(), spent)
}

// remember keeps the most that is known of a window.
func (g *Gate) remember(k string, window, spent int64) {
	old, ok := g.known[k]
	if ok && (window < old.window || window == old.window && spent <= old.spent) {
		return
	}
	if !ok && len(g.known) >= maxKnown {
		clear(g.known) // of counters that are gone, mostly
	}
	g.known[k] = known{spent: spent, window: window, said: old.said}
	g.knows.Store(true)
}

// Reserve implements Counters.
func (g *Gate) Reserve(ctx context.Context, q *Request) (*Reservation, Status, error) {
	if len(q.Principal.Meters) == 0 {
		return nil, Status{}, nil
	}
	s := g.state.Load()
	r, err := g.plan(s, q)
	if err != nil || len(r.Ops) == 0 {
		return nil, Status{}, err
	}
	if err := g.take(ctx, s, r); err != nil {
		return nil, Status{}, err
	}
	g.note(s, r)
	status := g.status(s, q, r)
	r.report = s.Report.Capped
	if r.Refused {
		return nil, status, status.Refusal.fault(r)
	}
	return r, status, nil
}

// plan is what a request takes of every counter.
func (g *Gate) plan(s *state, q *Request) (*Reservation, error) {
	p := q.Principal
	r := &Reservation{ID: q.ID, Slot: p.Slot, Now: q.Now, Lease: s.Quota.Lease, taken: q.Now.UnixMilli(), input: clamp(max(q.Input, q.Most)), choices: max(1, q.Choices),
		Ops: make([]Op, 0, len(p.Meters))}
	worst, known := config.Worst{}, q.Route != nil
	if known {
		worst = q.Route.Ceiling()
	}
	g.outputs(s, q, r, worst)
	for _, m := range p.Meters {
		if m.Kind == config.MeterStreams && !q.Stream || known && !m.Concerns(q.Asked, q.Route) {
			continue
		}
		o := Op{Meter: m, Hold: m.Mode == config.Hard, Limit: m.Limit(q.Now), Seed: -1, Fixed: 1, Keep: r.Lease.Milliseconds()}
		switch {
		case m.Kind == config.MeterRequests:
			o.Rate, o.Keep = true, debtMinutes*2*60_000
		case m.Kind == config.MeterTokens:
			o.Rate, o.Keep = true, debtMinutes*2*60_000
			o.Fixed = g.expected(r, q, o.Limit)
		case m.Kind.Budget():
			counts, err := g.budget(q, r, &o, worst)
			if err != nil {
				return nil, err
			}
			if !counts {
				continue
			}
		}
		r.Ops = append(r.Ops, o)
	}
	bound(r)
	return r, nil
}

// outputs settles how much output may come.
func (g *Gate) outputs(s *state, q *Request, r *Reservation, worst config.Worst) {
	switch {
	case !q.Answers:
		return
	case q.Output > 0:
		r.Want = times(q.Output, r.choices)
		return
	}
	r.Elastic = true
	longest := worst.MaxOutput
	if longest <= 0 {
		longest = assumedOutput
	}
	r.Want = times(longest, r.choices)
	r.Need = min(times(g.learnt.estimate(q.Asked), r.choices), r.Want)
	r.Least = min(times(s.Quota.MinOutput, r.choices), r.Want)
	r.Need = max(r.Need, r.Least)
}

// times is a × b, at most most.
func times(a, b int64) int64 {
	if a > most/max(b, 1) {
		return most
	}
	return a * b
}

// expected is what a request takes of the tokens a minute: its own cap, or what such requests have needed, but no more than half of
// the limit, so that a small one does not refuse every request that sets no cap.
func (g *Gate) expected(r *Reservation, q *Request, limit int64) int64 {
	if !r.Elastic {
		return clamp(clamp(q.Input) + r.Want)
	}
	return clamp(clamp(q.Input) + min(r.Need, max(limit/2, 1)))
}

// budget prices the operation. counts is false for a request that the budget does not look at.
func (g *Gate) budget(q *Request, r *Reservation, o *Op, worst config.Worst) (counts bool, err error) {
	m := o.Meter
	in, out := int64(million), int64(million)
	if m.Kind == config.MeterBudgetUSD {
		if in, out, counts = g.prices(r, o, worst); !counts {
			if m.Unpriced == config.UnpricedRefuse && m.Mode == config.Hard && q.Route != nil {
				return false, unpricedFault(q, m)
			}
			return false, nil
		}
	}
	o.Fixed = product(r.input, in)
	if r.Elastic {
		o.Per = out
	} else {
		o.Fixed = clamp(o.Fixed + product(r.Want, out))
	}
	o.place(q.Now)
	o.Seed = g.seed(q.Principal.Slot, o, q.Now)
	return true, nil
}

// place finds the window that a budget counts in.
func (o *Op) place(now time.Time) {
	m := o.Meter
	switch {
	case !m.Kind.Budget():
	case m.Period.Per == config.Rolling:
		o.Step = m.Period.Step().Milliseconds()
		o.Keep += m.Period.Rolling.Milliseconds() + 2*o.Step
	default:
		w := m.Window(now)
		o.Window = w.Start.UnixMilli()
		o.Keep += w.End.Sub(now).Milliseconds() + 60_000
	}
}

// prices are the dearest that may come, in micro-USD for a million tokens.
func (g *Gate) prices(r *Reservation, o *Op, worst config.Worst) (in, out int64, counts bool) {
	m := o.Meter
	in, out = int64(worst.Input), int64(worst.Output)
	counts = worst.Priced
	if worst.Unpriced {
		switch m.Unpriced {
		case config.UnpricedAssume:
			ain, aout := m.Assumed.Highest()
			in, out, counts = max(in, int64(ain)), max(out, int64(aout)), true
		case config.UnpricedRefuse:
			r.unpriced = append(r.unpriced, m)
		}
	}
	return in, out, counts
}

// seed is what is known to be spent.
func (g *Gate) seed(slot string, o *Op, now time.Time) int64 {
	if !g.knows.Load() {
		return -1
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	k, ok := g.known[key(slot, o.Meter)]
	if !ok || k.spent < 0 || o.Step == 0 && k.window != o.Window {
		return -1
	}
	if o.Step > 0 && k.window < now.UnixMilli()-o.Meter.Period.Rolling.Milliseconds() {
		return -1
	}
	return k.spent
}

// bound keeps what is computed exact: output × price stays below most.
func bound(r *Reservation) {
	if !r.Elastic {
		return
	}
	for i := range r.Ops {
		if per := r.Ops[i].Per; per > 0 {
			r.Want = min(r.Want, most/per)
		}
	}
	r.Need, r.Least = min(r.Need, r.Want), min(r.Least, r.Want)
}

// Settle implements Counters.
func (g *Gate) Settle(now time.Time, r *Reservation, u Used) {
	if r == nil || !r.settled.CompareAndSwap(false, true) {
		return
	}
	if u.Model != nil && !u.Estimated && u.Usage.Output > 0 {
		g.learnt.learn(u.Asked, u.Usage.Output/r.choices)
	}
	r.Now = now
	for i := range r.Ops {
		o := &r.Ops[i]
		o.Use = o.used(&u)
		if o.Window > 0 {
			o.Window = o.Meter.Window(now).Start.UnixMilli() // what is spent counts when it is known
		}
	}
	// A store that a reload has replaced would not be asked any more: the one in force is charged.
	current := g.state.Load().Store
	if r.fell != nil {
		r.fell.give(r, current, g.settled)
		return
	}
	current.Give(r, g.settled)
}

// used is what an operation's counter is charged in the end.
func (o *Op) used(u *Used) int64 {
	m := o.Meter
	switch m.Kind {
	case config.MeterRequests:
		return 1 // one that used no tokens was made all the same
	case config.MeterTokens, config.MeterBudgetTokens:
		if m.Served(u.Asked, u.Route, u.Model) {
			return clamp(u.Usage.Total())
		}
	case config.MeterBudgetUSD:
		switch {
		case !m.Served(u.Asked, u.Route, u.Model):
		case u.Priced:
			return clamp(int64(u.Cost))
		case m.Assumed != nil && u.Model != nil:
			return clamp(int64(m.Assumed.Cost(u.Usage)))
		}
	}
	return 0
}

// settled notes what is spent now, and tells of budgets that have reached something.
func (g *Gate) settled(r *Reservation) {
	s := g.state.Load()
	for i := range r.Ops {
		o := &r.Ops[i]
		if !o.Meter.Kind.Budget() {
			continue
		}
		g.crossed(s, r, o)
		if s.Shared {
			g.mu.Lock()
			g.remember(key(r.Slot, o.Meter), o.mark(r.Now), o.After)
			g.mu.Unlock()
		}
	}
}

// mark is the window that a known amount is of: of a rolling one the time at which it was known.
func (o *Op) mark(now time.Time) int64 {
	if o.Step > 0 {
		return now.UnixMilli()
	}
	return o.Window
}

// note remembers what other replicas have spent.
func (g *Gate) note(s *state, r *Reservation) {
	if !s.Shared || r.fell != nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range r.Ops {
		if o := &r.Ops[i]; o.Meter.Kind.Budget() {
			g.remember(key(r.Slot, o.Meter), o.mark(r.Now), o.Spent)
		}
	}
}
