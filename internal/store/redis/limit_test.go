package redis

import (
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/internal/store/storetest"
	"dragoman/processor/limit"
	"dragoman/test/redisserver"
)

// patientWait is for tests about what is counted: the machine may be busy.
const patientWait = 5 * time.Second

// openLimits makes counters; calm waits for the settlements.
func openLimits(t testing.TB, client *Client, o LimitOptions) (l *Limits, calm func()) {
	t.Helper()
	if o.ID == "" {
		o.ID = "a"
	}
	l = NewLimits(client, o)
	t.Cleanup(l.Close)
	return l, func() {
		t.Helper()
		waitFor(t, func() bool { return l.queue.waiting() == 0 }, "settlements are not made")
	}
}

func emptied(t testing.TB, client *Client) {
	t.Helper()
	if err := client.db.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestLimitsPassTheSuite(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := redisserver.Start(t)
	t.Run("suite", func(t *testing.T) {
		storetest.Limits(t, func(t *testing.T, now func() time.Time) (limit.Store, func()) {
			client := openClient(t, server.Addr)
			emptied(t, client)
			return openLimits(t, client, LimitOptions{Clock: now, Wait: patientWait})
		})
	})
	server.Stop()
}

// lossy is a store with a clock and one budget, for what becomes of reservations when keys are lost.
func lossy(t *testing.T) (client *Client, l *Limits, reserve func(id string, n int64) *limit.Reservation, want func(spent, reserved int64), pass func(time.Duration)) {
	client = openClient(t, redisserver.Start(t).Addr)
	now := storetest.LimitsStart
	var calm func()
	l, calm = openLimits(t, client, LimitOptions{Clock: func() time.Time { return now }, Wait: patientWait})
	m := budgetOf("b", 1_000_000, false)
	op := func(n int64) limit.Op {
		return limit.Op{Meter: m, Limit: m.Limit(now), Hold: true, Fixed: n, Seed: -1, Keep: time.Hour.Milliseconds(), Window: m.Window(now).Start.UnixMilli()}
	}
	reserve = func(id string, n int64) *limit.Reservation {
		t.Helper()
		r := limit.NewReservation(id, "s", now, time.Minute, []limit.Op{op(n)})
		if err := l.Take(t.Context(), r); err != nil || r.Refused {
			t.Fatal(err, r.Refused)
		}
		return r
	}
	want = func(spent, reserved int64) {
		t.Helper()
		calm()
		r := limit.NewReservation("look", "s", now, time.Minute, []limit.Op{op(0)})
		if err := l.Look(t.Context(), r); err != nil || r.Ops[0].Spent != spent || r.Ops[0].Reserved != reserved {
			t.Errorf("%d spent, %d reserved, %v; want %d, %d", r.Ops[0].Spent, r.Ops[0].Reserved, err, spent, reserved)
		}
	}
	return client, l, reserve, want, func(d time.Duration) { now = now.Add(d) }
}

// TestALostCounterOwesNothing: what was reserved of a counter that is gone is not taken from the one that was made anew.
func TestALostCounterOwesNothing(t *testing.T) {
	client, l, reserve, want, pass := lossy(t)
	settled, crashed := reserve("settled", 100), reserve("crashed", 10)
	if err := client.db.Del(t.Context(), l.keysOf("s", crashed.Ops[0].Meter).counter).Err(); err != nil {
		t.Fatal(err)
	}
	pass(time.Second)
	later := reserve("later", 5)
	settled.Ops[0].Use = 40
	l.Give(settled, nil)
	want(40, 5)
	pass(59 * time.Second) // the lease of the one that crashed ends
	want(40, 5)
	later.Ops[0].Use = 5
	l.Give(later, nil)
	want(45, 0)
	if n, err := client.db.Exists(t.Context(), l.slotKeys("s").ends, l.slotKeys("s").holds).Result(); err != nil || n > 0 {
		t.Errorf("%d keys of what is reserved are left, %v", n, err)
	}
}

// TestManyLeasesFlowBack: more than one step lets flow back.
func TestManyLeasesFlowBack(t *testing.T) {
	_, _, reserve, want, pass := lossy(t)
	for i := range 450 {
		reserve(strconv.Itoa(i), 10)
	}
	want(0, 4500)
	pass(time.Minute)
	want(0, 2500) // the next step goes on
	want(0, 500)
	want(0, 0)
}

func TestWhatIsUrgent(t *testing.T) {
	budget, place := budgetOf("b", 100, false), config.NewMeter(config.Meter{Key: "c", Kind: config.MeterConcurrent}, 10)
	rate := config.NewMeter(config.Meter{Key: "r", Kind: config.MeterRequests}, 10)
	for name, c := range map[string]struct {
		want bool
		ops  []limit.Op
	}{
		"nothing":             {false, nil},
		"a rate that is full": {false, []limit.Op{{Meter: rate, Rate: true, Limit: 10, Used: 10}}},
		"a budget":            {false, []limit.Op{{Meter: budget, Limit: 100, Spent: 20, Reserved: 30}}},
		"the end of a budget": {true, []limit.Op{{Meter: rate, Rate: true, Limit: 10}, {Meter: budget, Limit: 100, Spent: 20, Reserved: 31}}},
		"a place":             {true, []limit.Op{{Meter: place, Limit: 10}}},
	} {
		if got := isUrgent(&limit.Reservation{Ops: c.ops}); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
