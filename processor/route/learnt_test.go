package route

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
)

// The quantile of any sample is right to the width of a bucket.
func TestProperty_quantile(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var s series
		var all []float64
		for range 200 + rng.IntN(400) {
			seconds := math.Exp(rng.NormFloat64()*1.5 - 1)
			all = append(all, seconds)
			s.observe(time.Duration(seconds*float64(time.Second)), start)
		}
		sort.Float64s(all)
		want := all[int(math.Ceil(quantile*float64(len(all))))-1]
		got, ok := s.read(start)
		if !ok || got < want/1.2 || got > want*1.2 {
			t.Fatalf("seed %d: got %.4f, want %.4f", seed, got, want)
		}
	}
}

func TestQuantileFollowsTheTime(t *testing.T) {
	var s series
	now := start
	for range 1000 {
		s.observe(time.Second, now)
	}
	now = now.Add(6 * halfLife)
	for range 100 {
		s.observe(100*time.Millisecond, now)
	}
	if got, ok := s.read(now); !ok || math.Abs(got-0.1) > 0.02 {
		t.Errorf("got %v, %t: what has faded still counts", got, ok)
	}
	// Days of samples neither overflow nor lose what is new.
	for range 2000 {
		now = now.Add(5 * time.Minute)
		s.observe(2*time.Second, now)
	}
	if got, _ := s.read(now); math.Abs(got-2) > 0.4 {
		t.Errorf("got %v", got)
	}
	if _, ok := s.read(now.Add(forgetAfter + 1)); ok {
		t.Error("an old observation still counts")
	}
}

func TestQuantileTakesAnything(t *testing.T) {
	var s series
	for _, d := range []time.Duration{-1, 0, 1, math.MaxInt64, time.Hour * 1000} {
		s.observe(d, start)
	}
	s.observe(time.Second, start.Add(-time.Hour)) // a clock that went back
	if got, ok := s.read(start); !ok || math.IsNaN(got) || math.IsInf(got, 0) {
		t.Errorf("got %v, %t", got, ok)
	}
}

func TestExpected(t *testing.T) {
	m := &config.Model{Ref: "a/m", Known: true}
	l := NewLearnt()
	want := func(what string, prompt, tokens int64, seconds float64) {
		t.Helper()
		got, _, ok := l.Expected("a/m", prompt, tokens, start)
		if ok != (seconds > 0) || math.Abs(got-seconds) > 0.15*seconds {
			t.Errorf("%s: got %.3f, %t, want %.3f", what, got, ok, seconds)
		}
	}
	want("nothing known", 100, 100, 0)
	l.Observe(&Sample{Model: m, Prompt: 500, Output: 100, Whole: 2 * time.Second}, start)
	want("a whole answer", 500, 100, 2)
	l.Observe(&Sample{Model: m, Prompt: 500, Output: 101, First: time.Second, Rest: 4 * time.Second}, start)
	want("a stream: 40 ms a token", 500, 50, 3)
	l.Observe(&Sample{Model: m, Prompt: 100_000, Output: 101, First: 5 * time.Second, Rest: 4 * time.Second}, start)
	want("a long prompt takes longer to begin", 100_000, 50, 7)
	want("a short one does not", 500, 50, 3)
	if _, _, ok := l.Expected("a/other", 1, 1, start); ok {
		t.Error("another model is known")
	}
	if _, _, ok := (*Learnt)(nil).Expected("a/m", 1, 1, start); ok {
		t.Error("who has learnt nothing knows")
	}
}

func TestExpectedOutput(t *testing.T) {
	l := NewLearnt()
	if got := l.Output("r", 0); got != typicalOutput {
		t.Errorf("unknown: %d", got)
	}
	for range 100 {
		l.Observe(&Sample{Route: "r", Output: 40}, start)
	}
	if a, b, c := l.Output("r", 0), l.Output("r", 10), l.Output("other", 0); a != 40 || b != 10 || c != typicalOutput {
		t.Errorf("got %d, capped %d, of another route %d", a, b, c)
	}
	for range 2000 {
		l.Observe(&Sample{Route: "r", Output: 900}, start)
	}
	if got := l.Output("r", 0); got < 850 {
		t.Errorf("it does not follow: %d", got)
	}
}

// Clients make up names of models and routes: what is remembered is bounded.
func TestLearntIsBounded(t *testing.T) {
	l := NewLearnt()
	for i := range 400 {
		l.Observe(&Sample{Model: &config.Model{Ref: fmt.Sprint(i), Known: i%2 == 0}, Whole: time.Second}, start)
	}
	n := 0
	l.models.each(func(string, *pace) { n++ })
	if n != 200 {
		t.Errorf("%d models, of which 200 are known", n)
	}
	var small table[int, int]
	for i := range maxLearnt + 10 {
		if v := small.ensure(i, func(k int) int { return k }); (v == nil) != (i >= maxLearnt) {
			t.Fatalf("entry %d: %v", i, v)
		}
	}
}

func TestLearntConcurrently(t *testing.T) {
	l := NewLearnt()
	c := &config.Cluster{Name: "a/x", Limits: &config.CredentialLimits{ID: "a/x", Requests: 1000, Tokens: 1_000_000, Concurrency: 100}}
	r := &config.Route{Name: "r", Strategy: config.Experiment}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			m := &config.Model{Ref: fmt.Sprint("a/", i%3), Known: true}
			for j := range 500 {
				l.Observe(&Sample{Model: m, Route: "r", Prompt: int64(j), Output: 5, First: time.Millisecond, Rest: time.Millisecond}, start)
				l.Expected(m.Ref, 5, 5, start)
				if h, _ := l.Take(c, 10, true, start); h != nil {
					h.Give(5)
					h.Give(5)
				}
				l.Report(r, "arm", Result{First: time.Second, Input: 1}, start)
			}
		})
	}
	wg.Wait()
	if n := l.InFlight("a/x"); n != 0 {
		t.Errorf("%d are left in flight", n)
	}
	if st := l.Status(&config.Snapshot{Routes: []*config.Route{r}}, start); st[0].Arms[0].Requests != 4000 {
		t.Errorf("%+v", st)
	}
}
