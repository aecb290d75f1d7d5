package limit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

func tokensLeft(t *testing.T, m *Memory, now time.Time, level config.Level) int64 {
	t.Helper()
	// A reservation of nothing reads the counters; its one request stays counted, so levels here limit tokens only.
	_, status, err := m.Reserve(now, []config.Level{level}, 0)
	if err != nil {
		t.Fatal(err)
	}
	return status.Tokens.Remaining
}

func TestReserveIsAllOrNothing(t *testing.T) {
	m := NewMemory()
	tenant, key := config.Level{ID: "tenant:a", Tokens: 1000}, config.Level{ID: "key:a/b", Tokens: 100}
	if _, _, err := m.Reserve(start, []config.Level{tenant, key}, 60); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Reserve(start, []config.Level{tenant, key}, 60); err == nil {
		t.Fatal("the key is over its limit")
	}
	if left := tokensLeft(t, m, start, tenant); left != 940 {
		t.Errorf("the refused request took from the tenant: %d left, want 940", left)
	}
}

func TestRequestsRefillContinuously(t *testing.T) {
	m := NewMemory()
	levels := []config.Level{{ID: "key:a", Requests: 60}}
	for i := range 60 {
		if _, _, err := m.Reserve(start, levels, 0); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	_, _, err := m.Reserve(start, levels, 0)
	if f := asFault(t, err); f.RetryAfter != time.Second {
		t.Errorf("retry after %v, want 1s", f.RetryAfter)
	}
	for i := 1; i <= 5; i++ { // one a second, and no more
		now := start.Add(time.Duration(i) * time.Second)
		if _, _, err := m.Reserve(now, levels, 0); err != nil {
			t.Errorf("second %d: %v", i, err)
		}
		if _, _, err := m.Reserve(now, levels, 0); err == nil {
			t.Errorf("second %d: a second request was admitted", i)
		}
	}
}

func TestSettleGivesBackAndCharges(t *testing.T) {
	level := config.Level{ID: "key:a", Tokens: 1000}
	for name, c := range map[string]struct{ reserved, used, left int64 }{
		"less":               {800, 100, 900},
		"nothing":            {800, 0, 1000},
		"exactly":            {800, 800, 200},
		"more":               {800, 950, 50},
		"more than there is": {800, 3000, 0},
		"a negative count":   {800, -50, 1000},
		"absurdly much":      {800, math.MaxInt64, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewMemory()
			r, _, err := m.Reserve(start, []config.Level{level}, c.reserved)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 { // idempotent
				m.Settle(start, r, c.used)
			}
			if left := tokensLeftOrDebt(m, level); left != c.left {
				t.Errorf("%d left, want %d", left, c.left)
			}
		})
	}
}

func tokensLeftOrDebt(m *Memory, level config.Level) int64 {
	_, status, _ := m.Reserve(start, []config.Level{level}, 0)
	return status.Tokens.Remaining
}

func TestDebtIsBounded(t *testing.T) {
	m := NewMemory()
	levels := []config.Level{{ID: "key:a", Tokens: 1000}}
	r, _, _ := m.Reserve(start, levels, 10)
	m.Settle(start, r, 1<<40)
	_, _, err := m.Reserve(start, levels, 1)
	f := asFault(t, err)
	if most := (debtMinutes + 1) * time.Minute; f.Kind != fault.RateLimited || f.RetryAfter > most {
		t.Errorf("locked out for %v, want at most %v", f.RetryAfter, most)
	}
	if _, _, err := m.Reserve(start.Add(f.RetryAfter), levels, 1); err != nil {
		t.Errorf("after retry-after: %v", err)
	}
}

// A reload changes the limit while tokens are in use.
func TestLimitMayChange(t *testing.T) {
	m := NewMemory()
	small, large := config.Level{ID: "key:a", Tokens: 1000}, config.Level{ID: "key:a", Tokens: 4000}
	if _, _, err := m.Reserve(start, []config.Level{small}, 900); err != nil {
		t.Fatal(err)
	}
	if left := tokensLeft(t, m, start, large); left != 3100 {
		t.Errorf("raised: %d left, want 3100", left)
	}
	if _, _, err := m.Reserve(start, []config.Level{large}, 3000); err != nil {
		t.Fatal(err)
	}
	if _, status, err := m.Reserve(start, []config.Level{small}, 1); err == nil || status.Tokens.Remaining != 0 {
		t.Errorf("lowered: %+v, %v", status, err)
	}
	none := config.Level{ID: "key:a", Requests: 5}
	if _, status, err := m.Reserve(start, []config.Level{none}, 1<<40); err != nil || status.Tokens.Level != "" {
		t.Errorf("taken away: %+v, %v", status, err)
	}
	if left := tokensLeft(t, m, start, small); left != 1000 {
		t.Errorf("back again: %d left, want 1000", left)
	}
}

func TestClockThatGoesBackGivesNothing(t *testing.T) {
	m := NewMemory()
	level := config.Level{ID: "key:a", Tokens: 1000}
	if _, _, err := m.Reserve(start, []config.Level{level}, 1000); err != nil {
		t.Fatal(err)
	}
	if left := tokensLeft(t, m, start.Add(-time.Hour), level); left != 0 {
		t.Errorf("an hour before: %d left", left)
	}
	if left := tokensLeft(t, m, start.Add(30*time.Second), level); left != 500 {
		t.Errorf("half a minute after: %d left, want 500", left)
	}
}

func TestTightestLevelIsShown(t *testing.T) {
	m := NewMemory()
	levels := []config.Level{{ID: "tenant:a", Requests: 100, Tokens: 700}, {ID: "team:a/b", Requests: 50}, {ID: "key:a/b/c", Tokens: 1000}}
	_, status, err := m.Reserve(start, levels, 100)
	if err != nil {
		t.Fatal(err)
	}
	if status.Requests.Level != "team:a/b" || status.Requests.Remaining != 49 || status.Tokens.Level != "tenant:a" || status.Tokens.Remaining != 600 {
		t.Errorf("got %+v", status)
	}
}

func TestLevelsOfRemovedKeysAreForgotten(t *testing.T) {
	m := NewMemory()
	for i := range 200_000 {
		now := start.Add(time.Duration(i) * time.Second)
		r, _, err := m.Reserve(now, []config.Level{{ID: fmt.Sprintf("key:%d", i), Requests: 1, Tokens: 100}}, 50)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			m.Settle(now, r, 20)
		}
	}
	n := 0
	for i := range m.shards {
		n += len(m.shards[i].levels)
	}
	if most := shards * (sweepAt + 1); n > most {
		t.Errorf("%d levels are kept, want at most %d", n, most)
	}
}

func TestManyLevelsAndTheSameLevelTwice(t *testing.T) {
	m := NewMemory()
	var levels []config.Level
	for i := range 2 * maxLevels {
		levels = append(levels, config.Level{ID: fmt.Sprintf("l:%d", i%3), Tokens: 1000})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		r, _, _ := m.Reserve(start, levels, 1)
		m.Settle(start, r, 1)
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("deadlock")
	}
}

// C3: N parallel requests that all fit alone must not fit together.
func TestC3_concurrent_requests_cannot_overspend(t *testing.T) {
	m := NewMemory()
	tenant := config.Level{ID: "tenant:a", Tokens: 10_000}
	var admitted, used atomic.Int64
	var wg sync.WaitGroup
	for worker := range 16 {
		// Each key could spend the tenant's whole limit on its own.
		levels := []config.Level{tenant, {ID: fmt.Sprintf("key:a/%d", worker%4), Tokens: 10_000, Requests: 1000}}
		wg.Go(func() {
			for range 100 {
				r, _, err := m.Reserve(start, levels, 100)
				if err != nil {
					continue
				}
				admitted.Add(1)
				used.Add(40)
				m.Settle(start, r, 40)
			}
		})
	}
	wg.Wait()
	// Used exactly as if the requests had come one by one: what was given back could be used by later ones.
	if used.Load() > 10_000 {
		t.Errorf("%d tokens were used of 10000", used.Load())
	}
	if left := tokensLeft(t, m, start, tenant); left != 10_000-used.Load() {
		t.Errorf("%d left, want %d", left, 10_000-used.Load())
	}
	if admitted.Load() < 100 {
		t.Errorf("only %d were admitted, of which 100 fit even unsettled", admitted.Load())
	}
}

func TestC3_nothing_settled_admits_exactly_the_limit(t *testing.T) {
	m := NewMemory()
	levels := []config.Level{{ID: "tenant:a", Tokens: 10_000}, {ID: "key:a/b", Requests: 70}}
	var admitted atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if _, _, err := m.Reserve(start, levels, 150); err == nil {
				admitted.Add(1)
			}
		})
	}
	wg.Wait()
	if admitted.Load() != 66 { // 66 × 150 = 9900
		t.Errorf("%d admitted, want 66", admitted.Load())
	}
}

// model is the specification that the counters are held against: exact sums over everything that happened.
type model struct {
	limit    int64
	began    time.Time
	reserved int64 // of open reservations
	used     int64 // settled
}

// allowed is the most that may have been admitted by now.
func (m *model) allowed(now time.Time) float64 {
	return float64(m.limit) * (1 + now.Sub(m.began).Minutes())
}

type open struct {
	r      *Reservation
	path   int
	tokens int64
	at     time.Time
}

// No sequence of reserve, settle, settle again and abandon overspends a level, and none leaks: in the end every bucket is
// full again.
func TestProperty_no_sequence_overspends_or_leaks(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 1))
		m, now := NewMemory(), start
		tenant := config.Level{ID: "tenant:a", Tokens: 5000}
		paths := [][]config.Level{
			{tenant, {ID: "key:a/1", Tokens: 2000}},
			{tenant, {ID: "key:a/2", Tokens: 3000}},
			{{ID: "key:b/1", Tokens: 700}},
		}
		models := map[string]*model{}
		for _, p := range paths {
			for _, l := range p {
				models[l.ID] = &model{limit: int64(l.Tokens), began: now}
			}
		}
		var opened []open
		for step := range 2000 {
			switch op := rng.IntN(10); {
			case op < 5:
				path, tokens := rng.IntN(len(paths)), rng.Int64N(900)
				if r, _, err := m.Reserve(now, paths[path], tokens); err == nil {
					opened = append(opened, open{r, path, tokens, now})
					for _, l := range paths[path] {
						models[l.ID].reserved += tokens
					}
				}
			case op < 8 && len(opened) > 0:
				i := rng.IntN(len(opened))
				o := opened[i]
				used := rng.Int64N(o.tokens + 1)
				if now.After(o.at.Add(Lease)) {
					used = o.tokens // nothing is given back any more
				}
				m.Settle(now, o.r, used)
				if rng.IntN(2) == 0 {
					m.Settle(now, o.r, 0) // must not count
				}
				for _, l := range paths[o.path] {
					models[l.ID].reserved -= o.tokens
					models[l.ID].used += used
				}
				opened = append(opened[:i], opened[i+1:]...)
			default:
				now = now.Add(time.Duration(rng.Int64N(int64(20 * time.Second))))
			}
			for id, md := range models {
				if spent := float64(md.used + md.reserved); spent > md.allowed(now)+0.001 {
					t.Fatalf("seed %d step %d: %s: %.0f admitted, %.0f allowed", seed, step, id, spent, md.allowed(now))
				}
			}
		}
		for _, p := range paths { // many reservations are never settled
			allFull(t, m, now.Add(time.Minute+time.Second), p)
		}
	}
}

func allFull(t *testing.T, m *Memory, now time.Time, levels []config.Level) {
	t.Helper()
	for _, l := range levels {
		if left := tokensLeft(t, m, now, l); left != int64(l.Tokens) {
			t.Fatalf("%s leaks: %d of %d left", l.ID, left, l.Tokens)
		}
	}
}

// At one instant the books balance to the token, overruns included.
func TestProperty_the_books_balance(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := NewMemory()
		level := config.Level{ID: "key:a", Tokens: 1_000_000}
		var open []*Reservation
		var amounts []int64
		var used int64
		for range 500 {
			if rng.IntN(2) == 0 || len(open) == 0 {
				n := rng.Int64N(2000)
				r, _, err := m.Reserve(start, []config.Level{level}, n)
				if err != nil {
					continue
				}
				open, amounts, used = append(open, r), append(amounts, n), used+n
				continue
			}
			i := rng.IntN(len(open))
			actual := rng.Int64N(3000)
			m.Settle(start, open[i], actual)
			used += actual - amounts[i]
			open, amounts = append(open[:i], open[i+1:]...), append(amounts[:i], amounts[i+1:]...)
		}
		_, status, _ := m.Reserve(start, []config.Level{level}, 0)
		if want := max(0, 1_000_000-used); status.Tokens.Remaining != want {
			t.Fatalf("seed %d: %d left, want %d", seed, status.Tokens.Remaining, want)
		}
	}
}

func BenchmarkReserveSettle(b *testing.B) {
	m := NewMemory()
	levels := []config.Level{{ID: "tenant:a", Tokens: 1 << 40}, {ID: "team:a/b", Tokens: 1 << 40}, {ID: "key:a/b/c", Requests: 1 << 40, Tokens: 1 << 40}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := time.Now()
			r, _, err := m.Reserve(now, levels, 500)
			if err != nil {
				b.Error(err)
				return
			}
			m.Settle(now, r, 100)
		}
	})
}

func BenchmarkReserveNoLevels(b *testing.B) {
	m := NewMemory()
	b.ReportAllocs()
	for b.Loop() {
		r, _, _ := m.Reserve(start, nil, 500)
		m.Settle(start, r, 100)
	}
}

func BenchmarkHeaders(b *testing.B) {
	s := Status{Requests: Window{"key:a", 5000, 4999, 12 * time.Millisecond}, Tokens: Window{"key:a", 160000, 159976, 9 * time.Millisecond}}
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Headers()
	}
}
