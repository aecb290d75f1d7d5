package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/processor/limit"
)

// LimitsStart is when the clock of the suite begins: in the middle of a minute, hour and month.
var LimitsStart = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// OpenLimits makes empty counters for one test, whose time is what now says. calm returns when every settlement has been made.
type OpenLimits func(t *testing.T, now func() time.Time) (s limit.Store, calm func())

// Limits is the suite of the backends of limit.Store.
func Limits(t *testing.T, open OpenLimits) {
	for name, test := range map[string]func(*testing.T, OpenLimits){
		"RateFlowsBack": limitsRate, "RateIsCorrected": limitsCorrected, "SumIsSpent": limitsSum, "AllOrNothing": limitsAtomic,
		"SettledOnce": limitsOnce, "LeaseExpires": limitsExpire, "CalendarWindow": limitsCalendar, "RollingWindow": limitsRolling,
		"Concurrent": limitsConcurrent, "ElasticShare": limitsElastic, "SeedCounts": limitsSeed, "SlotsNeverMeet": limitsSlots,
		"Parallel": limitsParallel, "AgainstAModel": limitsModel, "LookChangesNothing": limitsLook, "LargeNumbers": limitsLarge,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

// bench is one store with a clock.
type limitsBench struct {
	t     *testing.T
	store limit.Store
	calm  func()
	now   atomic.Int64
	ids   atomic.Int64
}

func newLimitsBench(t *testing.T, open OpenLimits) *limitsBench {
	b := &limitsBench{t: t}
	b.now.Store(LimitsStart.UnixMilli())
	b.store, b.calm = open(t, b.time)
	return b
}

func (b *limitsBench) time() time.Time      { return time.UnixMilli(b.now.Load()).UTC() }
func (b *limitsBench) pass(d time.Duration) { b.now.Add(d.Milliseconds()) }

// lease of the suite's reservations.
const lease = 10 * time.Minute

func meter(kind config.MeterKind, key string, limit int64) *config.Meter {
	m := config.Meter{Key: key, Level: key, Name: key, Kind: kind}
	if kind.Budget() {
		m.Period = config.Period{Per: config.Day, Zone: time.UTC}
	}
	return config.NewMeter(m, limit)
}

// op is one operation at the bench's time.
func (b *limitsBench) op(m *config.Meter, fixed int64) limit.Op {
	o := limit.Op{Meter: m, Rate: m.Kind.Rate(), Limit: m.Limit(b.time()), Hold: m.Mode == config.Hard, Fixed: fixed, Seed: -1, Keep: (48 * time.Hour).Milliseconds()}
	if m.Kind.Budget() {
		if m.Period.Per == config.Rolling {
			o.Step = m.Period.Step().Milliseconds()
		} else {
			o.Window = m.Window(b.time()).Start.UnixMilli()
		}
	}
	return o
}

func (b *limitsBench) reservation(slot string, ops ...limit.Op) *limit.Reservation {
	return limit.NewReservation(fmt.Sprintf("r%d", b.ids.Add(1)), slot, b.time(), lease, ops)
}

// take reserves and says whether it was granted.
func (b *limitsBench) take(slot string, ops ...limit.Op) (*limit.Reservation, bool) {
	b.t.Helper()
	r := b.reservation(slot, ops...)
	if err := b.store.Take(context.Background(), r); err != nil {
		b.t.Fatal(err)
	}
	return r, !r.Refused
}

func (b *limitsBench) must(slot string, ops ...limit.Op) *limit.Reservation {
	b.t.Helper()
	r, ok := b.take(slot, ops...)
	if !ok {
		b.t.Fatalf("refused: %+v", r.Ops)
	}
	return r
}

func (b *limitsBench) refused(slot string, ops ...limit.Op) {
	b.t.Helper()
	if r, ok := b.take(slot, ops...); ok {
		b.t.Fatalf("granted: %+v", r.Ops)
	}
}

// give settles with what each operation used.
func (b *limitsBench) give(r *limit.Reservation, use ...int64) {
	r.Now = b.time()
	for i := range use {
		r.Ops[i].Use = use[i]
		if r.Ops[i].Window > 0 {
			r.Ops[i].Window = r.Ops[i].Meter.Window(r.Now).Start.UnixMilli()
		}
	}
	b.store.Give(r, nil)
	b.calm()
}

// want checks what is used or spent, and what is reserved.
func (b *limitsBench) want(slot string, m *config.Meter, used, reserved int64) {
	b.t.Helper()
	r := b.reservation(slot, b.op(m, 0))
	if err := b.store.Look(context.Background(), r); err != nil {
		b.t.Fatal(err)
	}
	o := r.Ops[0]
	got := o.Spent
	if o.Rate {
		got = int64(o.Used + 0.5)
	}
	if got != used || o.Reserved != reserved {
		b.t.Errorf("%s: used or spent %d, reserved %d; want %d, %d", m.Key, got, o.Reserved, used, reserved)
	}
}

func limitsRate(t *testing.T, open OpenLimits) {
	b, m := newLimitsBench(t, open), meter(config.MeterRequests, "rpm", 60)
	for range 60 {
		b.must("a", b.op(m, 1))
	}
	b.refused("a", b.op(m, 1))
	b.pass(999 * time.Millisecond)
	b.refused("a", b.op(m, 1))
	b.pass(time.Millisecond)
	b.must("a", b.op(m, 1))
	b.refused("a", b.op(m, 1))
	b.pass(-time.Minute) // a clock that went back gives nothing and takes nothing
	b.refused("a", b.op(m, 1))
	b.pass(10 * time.Minute)
	b.want("a", m, 0, 0)
}

func limitsCorrected(t *testing.T, open OpenLimits) {
	b, m := newLimitsBench(t, open), meter(config.MeterTokens, "tpm", 600)
	r := b.must("a", b.op(m, 500))
	b.give(r, 100)
	b.want("a", m, 100, 0)
	r = b.must("a", b.op(m, 100))
	b.give(r, 1_000_000) // debt is bounded
	b.want("a", m, 6600, 0)
	b.pass(time.Minute)
	b.want("a", m, 6000, 0)
	b.pass(time.Hour)
	r = b.must("a", b.op(m, 600))
	b.pass(lease + time.Second)
	b.must("a", b.op(m, 100))
	b.give(r, 0) // it has long flowed back, and is not given back again
	b.want("a", m, 100, 0)
}

func limitsSum(t *testing.T, open OpenLimits) {
	b, m := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "usd", 1000)
	r1, r2 := b.must("a", b.op(m, 400)), b.must("a", b.op(m, 600))
	b.refused("a", b.op(m, 1))
	b.must("a", b.op(m, 0)) // what costs nothing fits
	b.want("a", m, 0, 1000)
	b.give(r1, 100)
	b.want("a", m, 100, 600)
	b.refused("a", b.op(m, 301))
	r3 := b.must("a", b.op(m, 300))
	b.give(r2, 0) // zero is data
	b.give(r3, 350)
	b.want("a", m, 450, 0)
	if r3.Ops[0].Spent != 100 || r3.Ops[0].After != 450 {
		t.Errorf("before %d, after %d", r3.Ops[0].Spent, r3.Ops[0].After)
	}
}

func limitsAtomic(t *testing.T, open OpenLimits) {
	b := newLimitsBench(t, open)
	rate, wide, tight := meter(config.MeterTokens, "tpm", 1000), meter(config.MeterBudgetUSD, "wide", 1000), meter(config.MeterBudgetUSD, "tight", 10)
	soft := config.NewMeter(config.Meter{Key: "soft", Kind: config.MeterBudgetUSD, Mode: config.Soft, Period: config.Period{Per: config.Day, Zone: time.UTC}}, 1)
	for range 3 {
		r, ok := b.take("a", b.op(rate, 100), b.op(wide, 100), b.op(tight, 11), b.op(soft, 100))
		if ok || r.Ops[2].Left() != 10 {
			t.Fatalf("%+v", r)
		}
	}
	for _, m := range []*config.Meter{rate, wide, tight, soft} {
		b.want("a", m, 0, 0)
	}
	b.give(b.must("a", b.op(rate, 100), b.op(wide, 100), b.op(tight, 10), b.op(soft, 100)), 50, 60, 7, 80)
	b.want("a", rate, 50, 0)
	b.want("a", wide, 60, 0)
	b.want("a", tight, 7, 0)
	b.want("a", soft, 80, 0) // far beyond: it refuses nobody
}

func limitsOnce(t *testing.T, open OpenLimits) {
	b, m := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "usd", 1000)
	g := limit.NewGate(limit.Options{Quota: config.Quota{Lease: lease, MinOutput: 1}, Store: b.store})
	p := &config.Principal{Slot: "a", Meters: []*config.Meter{m}}
	rt := &config.Route{Name: "m", Candidates: []config.Candidate{{Model: &config.Model{Name: "m", Price: &config.Price{Input: 1_000_000, Output: 1_000_000}}}}}
	r, _, err := g.Reserve(t.Context(), &limit.Request{ID: "once", Now: b.time(), Principal: p, Asked: "m", Route: rt, Input: 100, Output: 100, Choices: 1, Answers: true})
	if err != nil {
		t.Fatal(err)
	}
	b.want("a", m, 0, 200)
	for range 3 {
		g.Settle(b.time(), r, limit.Used{Cost: 50, Priced: true})
		b.calm()
	}
	b.want("a", m, 50, 0)
}

func limitsExpire(t *testing.T, open OpenLimits) {
	b, m, c := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "usd", 1000), meter(config.MeterConcurrent, "c", 1)
	lost := b.must("a", b.op(m, 1000), b.op(c, 1))
	b.pass(lease - time.Millisecond)
	b.refused("a", b.op(m, 1))
	b.pass(time.Millisecond)
	b.want("a", m, 0, 0)
	r := b.must("a", b.op(m, 900), b.op(c, 1))
	b.give(lost, 300, 0) // late, but it was used
	b.want("a", m, 300, 900)
	b.want("a", c, 0, 1)
	b.give(r, 10, 0)
	b.want("a", m, 310, 0)
	b.want("a", c, 0, 0)
}

func limitsCalendar(t *testing.T, open OpenLimits) {
	b, m := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "usd", 1000)
	b.give(b.must("a", b.op(m, 1000)), 1000)
	late := limitsBefore(b, m)
	b.refused("a", b.op(m, 1))
	midnight := time.Date(2026, 3, 15, 0, 0, 0, 0, time.UTC)
	b.pass(midnight.Sub(b.time()) - time.Millisecond)
	b.refused("a", b.op(m, 1))
	b.pass(time.Millisecond)
	r := b.must("a", b.op(m, 1000))
	b.give(r, 400)
	b.want("a", m, 400, 0)
	// A replica whose clock is behind counts in the window that has begun.
	late.Window = LimitsStart.Truncate(24 * time.Hour).UnixMilli()
	b.refused("a", late)
	late.Fixed = 600
	b.must("a", late)
}

func limitsBefore(b *limitsBench, m *config.Meter) limit.Op { return b.op(m, 601) }

func limitsRolling(t *testing.T, open OpenLimits) {
	b := newLimitsBench(t, open)
	m := config.NewMeter(config.Meter{Key: "roll", Kind: config.MeterBudgetTokens, Period: config.Period{Rolling: time.Hour}}, 1000)
	var spent []int64 // by minute
	rnd := rand.New(rand.NewPCG(1, 2))
	for minute := range 240 {
		for range 2 {
			o := b.op(m, int64(rnd.IntN(60)))
			if r, ok := b.take("a", o); ok {
				b.give(r, r.Ops[0].Taken)
				for len(spent) <= minute {
					spent = append(spent, 0)
				}
				spent[minute] += r.Ops[0].Taken
			}
		}
		sum := int64(0)
		for i := max(0, minute-60); i <= minute && i < len(spent); i++ {
			sum += spent[i]
		}
		b.want("a", m, sum, 0)
		if sum > 1000 {
			t.Fatalf("minute %d: %d", minute, sum)
		}
		b.pass(time.Minute)
	}
	b.pass(2 * time.Hour)
	b.want("a", m, 0, 0)
}

func limitsConcurrent(t *testing.T, open OpenLimits) {
	b, m := newLimitsBench(t, open), meter(config.MeterConcurrent, "c", 2)
	r1, r2 := b.must("a", b.op(m, 1)), b.must("a", b.op(m, 1))
	b.refused("a", b.op(m, 1))
	b.give(r1, 0)
	r3 := b.must("a", b.op(m, 1))
	b.refused("a", b.op(m, 1))
	b.give(r2, 0)
	b.give(r3, 0)
	b.want("a", m, 0, 0)
}

func limitsElastic(t *testing.T, open OpenLimits) {
	b, m, n := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "usd", 8000), meter(config.MeterBudgetTokens, "tokens", 1_000_000)
	elastic := func(want, need, least int64) *limit.Reservation {
		money, tokens := b.op(m, 10), b.op(n, 10)
		money.Per, tokens.Per = 2_000_000, 1_000_000
		r := b.reservation("a", money, tokens)
		r.Elastic, r.Want, r.Need, r.Least = true, want, need, least
		if err := b.store.Take(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	// An eighth of what is left, or what it needs.
	for i, c := range []struct{ want, need, output int64 }{{100, 50, 100}, {100_000, 50, 481}, {100_000, 1000, 1000}, {100_000, 50, 295}} {
		r := elastic(c.want, c.need, 10)
		if r.Refused || r.Output != c.output || r.Ops[0].Taken != 10+2*c.output || r.Ops[1].Taken != 10+c.output {
			t.Errorf("%d: refused %v, %d tokens, taken %d and %d; want %d", i, r.Refused, r.Output, r.Ops[0].Taken, r.Ops[1].Taken, c.output)
		}
	}
	for range 200 {
		if r := elastic(100_000, 50, 10); r.Refused {
			if left := r.Ops[0].Left(); left >= 10+2*10 {
				t.Errorf("refused with %d left", left)
			}
			return
		}
	}
	t.Error("never refused")
}

func limitsSeed(t *testing.T, open OpenLimits) {
	b, m := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "usd", 1000)
	seeded := func(fixed, seed int64) limit.Op {
		o := b.op(m, fixed)
		o.Seed = seed
		return o
	}
	b.refused("a", seeded(400, 700))
	b.give(b.must("a", seeded(300, 700)), 100)
	b.want("a", m, 800, 0)
	b.must("a", seeded(0, 200)) // less than is known
	b.want("a", m, 800, 0)
	b.must("a", b.op(m, 50))
	b.must("a", seeded(0, 850)) // what is reserved may be what is missing
	b.want("a", m, 800, 50)
	b.must("a", seeded(0, 930))
	b.want("a", m, 880, 50)
}

func limitsSlots(t *testing.T, open OpenLimits) {
	b, m := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "tenant:same", 1000)
	b.must("a", b.op(m, 1000))
	b.must("b", b.op(m, 1000))
	b.refused("a", b.op(m, 1))
	b.want("c", m, 0, 0)
}

func limitsParallel(t *testing.T, open OpenLimits) {
	b := newLimitsBench(t, open)
	usd, c := meter(config.MeterBudgetUSD, "usd", 100*50), meter(config.MeterConcurrent, "c", 1000)
	var granted, spent atomic.Int64
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			r := b.reservation("a", b.op(usd, 50), b.op(c, 1))
			for {
				if err := b.store.Take(context.Background(), r); err == nil {
					break
				}
				r = b.reservation("a", b.op(usd, 50), b.op(c, 1)) // a slow machine: the first one is taken back
			}
			if r.Refused {
				return
			}
			granted.Add(1)
			if i%3 == 0 {
				return // lost
			}
			use := int64(i % 51)
			spent.Add(use)
			r.Ops[0].Use = use
			b.store.Give(r, nil)
		})
	}
	wg.Wait()
	b.calm()
	if granted.Load() < 100 {
		t.Errorf("%d granted", granted.Load())
	}
	if spent.Load() > 5000 {
		t.Errorf("%d spent of 5000", spent.Load())
	}
	b.pass(lease)
	b.want("a", usd, spent.Load(), 0)
	b.want("a", c, 0, 0)
}

func limitsLook(t *testing.T, open OpenLimits) {
	b, m, rate := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "usd", 10), meter(config.MeterRequests, "rpm", 10)
	for range 20 {
		b.want("a", m, 0, 0)
		b.want("a", rate, 0, 0)
	}
	b.must("a", b.op(m, 10), b.op(rate, 10))
}

func limitsLarge(t *testing.T, open OpenLimits) {
	const huge = 1_000_000_000_000_000 // a billion dollars
	b, m := newLimitsBench(t, open), meter(config.MeterBudgetUSD, "usd", huge)
	r := b.must("a", b.op(m, huge-1))
	b.refused("a", b.op(m, 2))
	b.give(r, huge-3)
	b.want("a", m, huge-3, 0)
	b.must("a", b.op(m, 3))
	b.refused("a", b.op(m, 1))
}
