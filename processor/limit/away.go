package limit

import (
	"context"
	"time"

	"dragoman/internal/fault"
)

// fallen is where requests are counted while the shared store is away: in this process, from nothing each time. Limits hold for each
// replica by itself; of each budget a replica may spend its grace.
type fallen struct {
	*Memory
	since time.Time
}

// give releases here what was reserved here, and has the shared store charged as soon as it is back.
func (f *fallen) give(r *Reservation, main Store, done func(*Reservation)) {
	use := make([]int64, len(r.Ops))
	for i := range r.Ops {
		use[i] = r.Ops[i].Use
	}
	f.Memory.give(r)
	r.ID += "+" // the reservation that failed is being taken back by its own
	for i := range r.Ops {
		r.Ops[i].Use = use[i]
		r.Ops[i].Taken = 0
		if r.Ops[i].Rate {
			r.Ops[i].Use = 0 // a rate has long flowed off
		}
	}
	main.Give(r, done)
}

// take asks the store, and goes by the stated policy where it cannot be asked.
func (g *Gate) take(ctx context.Context, s *state, r *Reservation) error {
	err := s.Store.Take(ctx, r)
	if err == nil {
		if f := s.fell.Load(); f != nil && r.Now.Sub(f.since) > outage {
			s.fell.CompareAndSwap(f, nil)
		}
		return nil
	}
	if ctx.Err() != nil {
		return fault.New(fault.Canceled, "The client has gone away.")
	}
	if s.Quota.Closed {
		for i := range r.Ops {
			if o := &r.Ops[i]; o.Hold && !o.Meter.Kind.Budget() {
				g.away(s, false)
				return awayFault("limits")
			}
		}
	}
	return g.fall(ctx, s, r)
}

// fall admits by counters of this process.
func (g *Gate) fall(ctx context.Context, s *state, r *Reservation) error {
	f := s.fallback(r.Now)
	for i := range r.Ops {
		o := &r.Ops[i]
		if !o.Meter.Kind.Budget() || !o.Hold {
			continue
		}
		spent := int64(0)
		g.mu.Lock()
		if k, ok := g.known[key(r.Slot, o.Meter)]; ok && (o.Step > 0 || k.window == o.Window) {
			spent = max(k.spent, 0)
		}
		g.mu.Unlock()
		o.Limit = min(int64(float64(o.Limit)*s.Quota.Grace), o.Limit-spent)
		o.Seed = -1
	}
	r.fell = f
	if err := f.Take(ctx, r); err != nil {
		return err
	}
	if r.Refused {
		for i := range r.Ops {
			o := &r.Ops[i]
			if _, ok := r.fits(o); o.Hold && !ok && o.Meter.Kind.Budget() {
				g.away(s, false)
				return awayFault("budgets")
			}
		}
	}
	g.away(s, !r.Refused)
	return nil
}

func awayFault(what string) *fault.Fault {
	f := fault.New(fault.Unavailable, "The gateway cannot check the %s of this key at the moment: the store that its replicas share does not answer. Try again.", what)
	f.Code, f.RetryAfter = what+"_unavailable", time.Second
	return f
}

func (g *Gate) away(s *state, admitted bool) {
	if s.Report.Away != nil {
		s.Report.Away(admitted)
	}
}

// outage is how long an outage counts at least: a store that comes and goes must not give the grace anew each time.
const outage = time.Minute

// fallback is the counters of the present outage.
func (s *state) fallback(now time.Time) *fallen {
	if f := s.fell.Load(); f != nil {
		return f
	}
	f := &fallen{Memory: NewMemory(), since: now}
	if s.fell.CompareAndSwap(nil, f) {
		return f
	}
	return s.fell.Load()
}
