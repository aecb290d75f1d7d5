package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waits until n requests are in the line of route r.
func waits(t *testing.T, q *Queues, n int) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); q.Waiting("r") != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d wait, not %d", q.Waiting("r"), n)
		}
	}
}

var limits = Limits{Length: 100, Wait: 5 * time.Second}

func TestRoomAtOnce(t *testing.T) {
	q := New()
	how, err := q.Wait(t.Context(), "r", "a", limits, func() (time.Duration, error) { return 0, nil })
	if how != Served || err != nil || q.Waiting("r") != 0 {
		t.Errorf("%v %v, %d wait", how, err, q.Waiting("r"))
	}
}

// Tenants take turns however many requests one of them has, and each tenant's own keep their order.
func TestTenantsTakeTurns(t *testing.T) {
	q := New()
	var room atomic.Int64
	var mu sync.Mutex
	var order []string
	var wg sync.WaitGroup
	try := func(who string) func() (time.Duration, error) {
		return func() (time.Duration, error) {
			if room.Add(-1) < 0 {
				room.Add(1)
				return time.Hour, nil
			}
			mu.Lock()
			order = append(order, who)
			mu.Unlock()
			return 0, nil
		}
	}
	for i, who := range strings.Fields("big1 big2 big3 big4 big5 small1 small2 other1") {
		wg.Go(func() {
			if how, err := q.Wait(t.Context(), "r", strings.TrimRight(who, "0123456789"), limits, try(who)); how != Served || err != nil {
				t.Errorf("%s: %v %v", who, how, err)
			}
		})
		waits(t, q, i+1)
	}
	for n := 7; n >= 0; n-- {
		room.Add(1)
		q.Wake()
		waits(t, q, n)
	}
	wg.Wait()
	if got := strings.Join(order, " "); got != "big1 big2 small1 other1 big3 small2 big4 big5" {
		t.Errorf("got %s", got)
	}
}

func TestLengthIsBounded(t *testing.T) {
	q := New()
	ctx, cancel := context.WithCancel(t.Context())
	never := func() (time.Duration, error) { return time.Hour, nil }
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() { _, _ = q.Wait(ctx, "r", "a", Limits{Length: 3, Wait: time.Hour}, never) })
		waits(t, q, i+1)
	}
	if how, _ := q.Wait(ctx, "r", "b", Limits{Length: 3, Wait: time.Hour}, never); how != Full {
		t.Errorf("got %v", how)
	}
	if how, _ := q.Wait(ctx, "other", "b", Limits{Length: 3, Wait: time.Millisecond}, never); how != Expired {
		t.Errorf("another route: got %v", how)
	}
	if got := fmt.Sprint(q.Lengths()); got != "map[r:3]" {
		t.Errorf("lines %s", got)
	}
	cancel()
	wg.Wait()
	if q.Waiting("r") != 0 || len(q.Lengths()) != 0 {
		t.Errorf("%d are left", q.Waiting("r"))
	}
}

// Who leaves, head or not, holds nobody up.
func TestLeaving(t *testing.T) {
	q := New()
	var open atomic.Bool
	try := func() (time.Duration, error) {
		if open.Load() {
			return 0, nil
		}
		return time.Hour, nil
	}
	results := make([]Outcome, 6)
	cancels := make([]context.CancelFunc, 6)
	var wg sync.WaitGroup
	for i := range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		cancels[i] = cancel
		wg.Go(func() { results[i], _ = q.Wait(ctx, "r", fmt.Sprint(i%2), limits, try) })
		waits(t, q, i+1)
	}
	for n, i := range []int{0, 3, 1} {
		cancels[i]()
		waits(t, q, 5-n)
	}
	open.Store(true)
	q.Wake()
	wg.Wait()
	want := []Outcome{Gone, Gone, Served, Gone, Served, Served}
	if !slices.Equal(results, want) {
		t.Errorf("got %v, want %v", results, want)
	}
	for _, cancel := range cancels {
		cancel()
	}
}

func TestTimeIsBounded(t *testing.T) {
	q := New()
	begin := time.Now()
	tries := 0
	how, _ := q.Wait(t.Context(), "r", "a", Limits{Length: 1, Wait: 50 * time.Millisecond}, func() (time.Duration, error) {
		tries++
		return 10 * time.Millisecond, nil
	})
	if d := time.Since(begin); how != Expired || d < 50*time.Millisecond || tries < 2 {
		t.Errorf("%v after %s and %d tries", how, d, tries)
	}
}

func TestGivingUp(t *testing.T) {
	q, gone := New(), errors.New("no model left")
	how, err := q.Wait(t.Context(), "r", "a", limits, func() (time.Duration, error) { return 0, gone })
	if how != Failed || !errors.Is(err, gone) || q.Waiting("r") != 0 {
		t.Errorf("%v, %v", how, err)
	}
}

// Room for one at a time, many requests: each is served once, never two at a time, whatever the scheduling.
func TestProperty_oneAtATime(t *testing.T) {
	q := New()
	var busy, served atomic.Int64
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			how, err := q.Wait(t.Context(), "r", fmt.Sprint(i%7), Limits{Length: 200, Wait: 30 * time.Second}, func() (time.Duration, error) {
				if !busy.CompareAndSwap(0, 1) {
					return time.Second, nil
				}
				return 0, nil
			})
			if how != Served || err != nil {
				t.Errorf("%d: %v %v", i, how, err)
				return
			}
			served.Add(1)
			busy.Store(0)
			q.Wake()
		})
	}
	wg.Wait()
	if served.Load() != 200 || q.Waiting("r") != 0 {
		t.Errorf("%d served, %d wait", served.Load(), q.Waiting("r"))
	}
}

func TestOutcomesHaveNames(t *testing.T) {
	for _, o := range Outcomes() {
		if o.String() == "" {
			t.Errorf("outcome %d has no name", o)
		}
	}
}
