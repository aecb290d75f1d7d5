package limit

import (
	"context"
	"errors"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

// flaky is a store that can be away.
type flaky struct {
	*Memory
	away    bool
	pending []func()
}

var errAway = errors.New("away")

func (f *flaky) Take(ctx context.Context, r *Reservation) error {
	if f.away {
		return errAway
	}
	return f.Memory.Take(ctx, r)
}

func (f *flaky) Give(r *Reservation, done func(*Reservation)) {
	if f.away {
		f.pending = append(f.pending, func() { f.Memory.Give(r, done) })
		return
	}
	f.Memory.Give(r, done)
}

func (f *flaky) back() {
	f.away = false
	for _, p := range f.pending {
		p()
	}
	f.pending = nil
}

func newFlakyRig(t *testing.T, closed bool) (*rig, *flaky) {
	r := newRig(t)
	s := &flaky{Memory: r.memory}
	q := quota()
	q.Closed = closed
	r.gate.Set(Options{Store: s, Quota: q, Shared: true, Report: r.report()})
	return r, s
}

// While the shared store is away a budget is spent by its grace alone, and never beyond what was known to be left.
func TestBudgetsFailClosedWithinGrace(t *testing.T) {
	r, s := newFlakyRig(t, false)
	usd := meter(config.MeterBudgetUSD, 10_000)
	x, _ := r.reserve(1000, route(dear), usd)
	r.settle(x, dear, 0, 1000)
	s.away = true
	x, _ = r.reserve(500, route(dear), usd) // 600 of a grace of 1,000
	f, _ := r.refused(500, route(dear), usd)
	if f.Kind != fault.Unavailable || f.Code != "budgets_unavailable" || f.RetryAfter != time.Second {
		t.Errorf("%+v", f)
	}
	r.settle(x, dear, 100, 300)
	if n := len(s.pending); n != 1 {
		t.Fatalf("%d settlements wait", n)
	}
	r.reserve(400, route(dear), usd) // 400 spent, 500 more
	r.refused(100, route(dear), usd)
	s.back()
	if l := r.look(usd); l.Spent != 0.0014 || l.Reserved != 0 {
		t.Errorf("afterwards: %+v", l)
	}
}

func TestGraceIsNotBeyondWhatIsLeft(t *testing.T) {
	r, s := newFlakyRig(t, false)
	usd := meter(config.MeterBudgetUSD, 10_000)
	x, _ := r.reserve(9000, route(dear), usd)
	r.settle(x, dear, 0, 9800)
	s.away = true
	r.refused(150, route(dear), usd) // the grace is 1,000, but 200 are left
	r.reserve(50, route(dear), usd)
}

func TestAnOutageThatComesAndGoesGivesOneGrace(t *testing.T) {
	r, s := newFlakyRig(t, false)
	usd := meter(config.MeterBudgetUSD, 10_000)
	granted := 0
	for range 10 {
		s.away = true
		if _, _, err := r.gate.Reserve(context.Background(), r.request(300, route(dear), usd)); err == nil {
			granted++
		}
		s.back()
		r.reserve(1, route(dear), usd)
		r.now = r.now.Add(time.Second)
	}
	if granted != 2 { // of 400 each
		t.Errorf("%d granted of a grace of 1,000", granted)
	}
}

// Limits fail as they are configured to.
func TestLimitsFailOpenOrClosed(t *testing.T) {
	r, s := newFlakyRig(t, false)
	s.away = true
	rpm := meter(config.MeterRequests, 2)
	r.reserve(1, route(dear), rpm)
	r.reserve(1, route(dear), rpm)
	if f, _ := r.refused(1, route(dear), rpm); f.Kind != fault.RateLimited { // each replica by itself
		t.Errorf("%+v", f)
	}
	r, s = newFlakyRig(t, true)
	s.away = true
	if f, _ := r.refused(1, route(dear), rpm); f.Kind != fault.Unavailable || f.Code != "limits_unavailable" {
		t.Errorf("%+v", f)
	}
	r.reserve(1, route(dear), meter(config.MeterRequests, 1, mode(config.Shadow)))
}

func TestAClientThatLeavesIsNoOutage(t *testing.T) {
	r, s := newFlakyRig(t, false)
	s.away = true
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, _, err := r.gate.Reserve(ctx, r.request(1, route(dear), meter(config.MeterRequests, 2)))
	var f *fault.Fault
	if !errors.As(err, &f) || f.Kind != fault.Canceled {
		t.Errorf("%v", err)
	}
}

// What one store holds is settled in the one that a reload has put in its place.
func TestAReloadSettlesInTheNewStore(t *testing.T) {
	r := newRig(t)
	usd := meter(config.MeterBudgetUSD, 10_000)
	x, _ := r.reserve(1000, route(dear), usd)
	r.gate.Set(Options{Store: NewMemory(), Quota: quota()})
	r.settle(x, dear, 0, 300)
	if l := r.look(usd); l.Spent != 0.0003 {
		t.Errorf("%+v", l)
	}
}

func TestSeeds(t *testing.T) {
	r := newRig(t)
	usd := meter(config.MeterBudgetUSD, 1000)
	r.gate.Seed("s", usd, usd.Window(start).Start, 900)
	r.refused(100, route(dear), usd)
	if l := r.look(usd); l.Spent != 0.0009 {
		t.Errorf("%+v", l)
	}
	r.now = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)
	r.reserve(100, route(dear), usd) // another month
}
