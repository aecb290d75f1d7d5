package redis

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/processor/limit"
	"dragoman/test/redisserver"
	"dragoman/translate/chat"
)

func budgetOf(key string, tokens int64, global bool) *config.Meter {
	return config.NewMeter(config.Meter{Key: key, Level: key, Name: "tokens", Kind: config.MeterBudgetTokens, Global: global,
		Period: config.Period{Per: config.Month, Zone: time.UTC}, WarnAt: []float64{0.5}}, tokens)
}

// tokensOf is a request for n tokens of output and none of input.
func tokensOf(p *config.Principal, id string, n int64) *limit.Request {
	m := &config.Model{Name: "m"}
	rt := &config.Route{Name: "m", Candidates: []config.Candidate{{Model: m}}}
	return &limit.Request{ID: id, Now: time.Now(), Principal: p, Asked: "m", Route: rt, Output: n, Choices: 1, Answers: true}
}

func settleTokens(g *limit.Gate, r *limit.Reservation, n int64) {
	g.Settle(time.Now(), r, limit.Used{Usage: chat.Usage{Known: true, Output: n}, Model: &config.Model{Name: "m"}, Asked: "m", Route: "m"})
}

// wantCounter checks what is spent, and that nothing is reserved.
func wantCounter(t testing.TB, g *limit.Gate, m *config.Meter, spent int64) {
	t.Helper()
	var levels []limit.Level
	waitFor(t, func() (ok bool) {
		var err error
		levels, err = g.Levels(context.Background(), time.Now(), []*config.Principal{{Slot: "s", Meters: []*config.Meter{m}}})
		return err == nil && len(levels) == 1 && levels[0].Spent == float64(spent) && levels[0].Reserved == 0
	}, fmt.Sprintf("want %d spent and nothing reserved", spent))
}

// replicasOf are gates as of several processes, all with local leases.
func replicasOf(t *testing.T, server *redisserver.Server, n int, chunk float64, events *atomic.Int64) (gs []*limit.Gate, ls []*Limits) {
	t.Helper()
	for i := range n {
		l, _ := openLimits(t, openClient(t, server.Addr), LimitOptions{Wait: patientWait, ID: fmt.Sprint("replica", i), Chunk: chunk, Leased: true})
		report := limit.Report{Event: func(e limit.Event) {
			if events != nil {
				events.Add(1)
			}
		}}
		gs = append(gs, limit.NewGate(limit.Options{Quota: config.Quota{Lease: time.Minute, MinOutput: 1}, Store: l, Shared: true, Report: report}))
		ls = append(ls, l)
	}
	return gs, ls
}

// TestLocalLeasesHaveTheirBound: three replicas draw chunks of a budget. Together they never spend more than it; at most a chunk for each
// other replica, and one request, is refused early.
func TestLocalLeasesHaveTheirBound(t *testing.T) {
	server := redisserver.Start(t)
	const budget, amount, replicas, chunk = 100_000, 70, 3, 0.02
	var events atomic.Int64
	gs, ls := replicasOf(t, server, replicas, chunk, &events)
	m := budgetOf("leased", budget, false)
	p := &config.Principal{Slot: "s", Meters: []*config.Meter{m}}
	var spent, ids atomic.Int64
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			g := gs[i%replicas]
			for misses := 0; misses < 5; {
				r, _, err := g.Reserve(context.Background(), tokensOf(p, fmt.Sprint(ids.Add(1)), amount))
				if err != nil {
					misses++
					time.Sleep(dryFor)
					continue
				}
				misses = 0
				use := ids.Load() % (amount + 1)
				spent.Add(use)
				settleTokens(g, r, use)
			}
		})
	}
	wg.Wait()
	if s := spent.Load(); s > budget || s < budget-(replicas-1)*int64(chunk*budget)-amount {
		t.Errorf("%d spent of %d", s, budget)
	}
	for _, l := range ls {
		l.leases.close()
	}
	wantCounter(t, gs[0], m, spent.Load())
	if n := events.Load(); n < 1 || n > 2 { // its half, and its end if it was reached to the token
		t.Errorf("%d events", n)
	}
	t.Logf("%d of %d spent by %d requests", spent.Load(), budget, ids.Load())
}

// TestADeadReplicasLeaseFlowsBack: what it had not spent comes back, what it had charged stays.
func TestADeadReplicasLeaseFlowsBack(t *testing.T) {
	server := redisserver.Start(t)
	now := atomic.Int64{}
	now.Store(time.Now().UnixMilli())
	clock := func() time.Time { return time.UnixMilli(now.Load()) }
	var ls []*Limits
	var gs []*limit.Gate
	for i := range 2 {
		l, _ := openLimits(t, openClient(t, server.Addr), LimitOptions{Wait: patientWait, ID: fmt.Sprint(i), Chunk: 0.5, Leased: true, Clock: clock})
		ls, gs = append(ls, l), append(gs, limit.NewGate(limit.Options{Quota: config.Quota{Lease: time.Minute, MinOutput: 1}, Store: l, Shared: true}))
	}
	m := budgetOf("leased", 1000, false)
	p := &config.Principal{Slot: "s", Meters: []*config.Meter{m}}
	take := func(g *limit.Gate, id string, n int64) *limit.Reservation {
		q := tokensOf(p, id, n)
		q.Now = clock()
		r, _, err := g.Reserve(context.Background(), q)
		if err != nil {
			return nil
		}
		return r
	}
	if r := take(gs[0], "a", 400); r == nil {
		t.Fatal("refused")
	} else {
		settleTokens(gs[0], r, 300)
	}
	ls[0].leases.stop() // it dies: nothing is charged or renewed any more
	ls[0].leases.done.Wait()
	charged := int64(1000)
	levels, err := gs[1].Levels(t.Context(), clock(), []*config.Principal{p})
	if err != nil {
		t.Fatal(err)
	}
	charged = int64(levels[0].Spent)
	if take(gs[1], "b", 900) != nil {
		t.Error("what the other holds is given away")
	}
	now.Add((chunkLease + time.Second).Milliseconds())
	time.Sleep(dryFor)
	if r := take(gs[1], "c", 1000-charged); r == nil {
		t.Error("what the dead one held has not flowed back")
	} else {
		settleTokens(gs[1], r, 10)
	}
	ls[1].leases.close()
	now.Add(1)
	wantCounter(t, gs[1], m, charged+10)
}

// TestADrawWithoutAnAnswerChargesOnce: the server makes it when it comes to itself, and everything that was spent meanwhile is charged, too.
func TestADrawWithoutAnAnswerChargesOnce(t *testing.T) {
	server := redisserver.Start(t)
	l, _ := openLimits(t, openClient(t, server.Addr), LimitOptions{Wait: 100 * time.Millisecond, Leased: true, Chunk: 0.5})
	g := limit.NewGate(limit.Options{Quota: config.Quota{Lease: time.Minute, MinOutput: 1}, Store: l, Shared: true})
	m := budgetOf("leased", 1000, false)
	p := &config.Principal{Slot: "s", Meters: []*config.Meter{m}}
	spend := func(id string, n int64) {
		t.Helper()
		r, _, err := g.Reserve(t.Context(), tokensOf(p, id, n))
		if err != nil {
			t.Fatal(err)
		}
		settleTokens(g, r, n)
	}
	r, _, err := g.Reserve(t.Context(), tokensOf(p, "first", 1))
	for ; err != nil; r, _, err = g.Reserve(t.Context(), tokensOf(p, "first", 1)) {
		time.Sleep(dryFor) // the first draw of a busy machine
	}
	settleTokens(g, r, 1)
	l.leases.stop()
	l.leases.done.Wait()
	pool := l.leases.pool("s", &limit.Op{Meter: m})
	spend("before", 30)
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	pool.draw.Lock()
	err = pool.exchange(t.Context(), 0, 0, true)
	pool.draw.Unlock()
	if err == nil {
		t.Fatal("a frozen server has answered")
	}
	spend("meanwhile", 50)
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool {
		pool.draw.Lock()
		defer pool.draw.Unlock()
		return pool.exchange(t.Context(), 0, 0, false) == nil && pool.spent == 0
	}, "nothing is drawn")
	wantCounter(t, g, m, 81)
}

// TestRatesByLeases: a rate that replicas lease lets through no more than its bucket, and flows back.
func TestRatesByLeases(t *testing.T) {
	server := redisserver.Start(t)
	gs, ls := replicasOf(t, server, 3, 0.05, nil)
	m := config.NewMeter(config.Meter{Key: "rpm", Level: "rpm", Name: "rpm", Kind: config.MeterRequests}, 600)
	p := &config.Principal{Slot: "s", Meters: []*config.Meter{m}}
	granted := 0
	begin := time.Now()
	for i := range 900 {
		if _, _, err := gs[i%3].Reserve(t.Context(), tokensOf(p, fmt.Sprint(i), 1)); err == nil {
			granted++
		}
	}
	flowed := int(time.Since(begin).Minutes()*600) + 1
	if granted > 600+flowed || granted < 600-3*30 {
		t.Errorf("%d granted of 600, and %d that flowed back", granted, flowed)
	}
	for _, l := range ls {
		l.leases.close()
	}
}
