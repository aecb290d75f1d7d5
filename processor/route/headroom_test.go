package route

import (
	"math"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/health"
)

func limited(id string, requests, tokens, concurrency uint64) *config.Cluster {
	return &config.Cluster{Name: config.ClusterName("p/" + id), Limits: &config.CredentialLimits{ID: id, Requests: requests, Tokens: tokens, Concurrency: concurrency}}
}

func TestDeclaredLimits(t *testing.T) {
	l := NewLearnt()
	c := limited("a", 2, 1000, 0)
	now := start
	take := func(tokens int64, want time.Duration) *Held {
		t.Helper()
		h, wait := l.Take(c, tokens, true, now)
		if (h == nil) != (want > 0) || (wait-want).Abs() > time.Millisecond {
			t.Fatalf("took %v, wait %v, want %v", h != nil, wait, want)
		}
		return h
	}
	first := take(400, 0)
	take(400, 0)
	take(1, 30*time.Second) // two requests a minute: the next one in half a minute
	now = now.Add(30 * time.Second)
	take(700, 0) // of 800 tokens half a minute's 500 are back
	now = now.Add(30 * time.Second)
	take(700, 12*time.Second) // 1000 - 500 of another half minute: 200 too many
	first.Give(0)             // used nothing: its 400 come back
	take(700, 0)
	if got := l.headroom(c, now); got != 0 {
		t.Errorf("headroom %v", got)
	}
	now = now.Add(time.Hour)
	if got := l.headroom(c, now); got != 1 {
		t.Errorf("after an hour: %v", got)
	}
	take(5000, 0) // more than a minute's amount: an empty bucket lets it through, or it never could be
	if h, wait := l.Take(c, 5000, false, now); h == nil || wait != 0 {
		t.Error("not strict, and not taken")
	}
}

func TestConcurrency(t *testing.T) {
	l := NewLearnt()
	c := limited("a", 0, 0, 2)
	a, _ := l.Take(c, 1, true, start)
	if got := l.headroom(c, start); got != 0.5 {
		t.Errorf("headroom %v", got)
	}
	b, _ := l.Take(c, 1, true, start)
	if h, wait := l.Take(c, 1, true, start); h != nil || wait != busyWait {
		t.Errorf("a third: %v, %v", h, wait)
	}
	b.Give(-1)
	b.Give(-1) // once counts
	if _, wait := l.Take(c, 1, true, start); wait != 0 {
		t.Errorf("after one has ended: %v", wait)
	}
	a.Give(5)
	if n := l.InFlight(c.Name); n != 1 {
		t.Errorf("%d in flight", n)
	}
}

// Clusters of one credential share its limits.
func TestLimitsAreTheCredentials(t *testing.T) {
	l := NewLearnt()
	a := limited("k", 1, 0, 0)
	b := &config.Cluster{Name: "p/other", Limits: a.Limits}
	l.Take(a, 1, true, start)
	if h, wait := l.Take(b, 1, true, start); h != nil || wait == 0 {
		t.Error("the other endpoint has a limit of its own")
	}
}

func TestNilKnowsNothing(t *testing.T) {
	var l *Learnt
	h, wait := l.Take(limited("a", 1, 1, 1), 5, true, start)
	h.Give(1)
	l.Observe(&Sample{}, start)
	l.Told("a", func(string) string { return "1" }, start)
	if wait != 0 || l.InFlight("a") != 0 || l.headroom(limited("a", 1, 1, 1), start) != 1 || l.Report(&config.Route{}, "x", Result{}, start) != "" {
		t.Error("it does")
	}
}

func TestProvidersHeaders(t *testing.T) {
	for name, c := range map[string]struct {
		headers map[string]string
		want    float64       // at once
		back    time.Duration // when it is whole again
	}{
		"openai": {map[string]string{"x-ratelimit-limit-requests": "100", "x-ratelimit-remaining-requests": "50", "x-ratelimit-reset-requests": "6m0s",
			"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "100", "x-ratelimit-reset-tokens": "1.5s"}, 0.1, 6 * time.Minute},
		"milliseconds": {map[string]string{"x-ratelimit-limit-tokens": "1000", "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0, 20 * time.Millisecond},
		"anthropic": {map[string]string{"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49", "anthropic-ratelimit-requests-reset": "2026-03-01T12:00:10Z",
			"anthropic-ratelimit-tokens-limit": "1000", "anthropic-ratelimit-tokens-remaining": "250", "anthropic-ratelimit-tokens-reset": "2026-03-01T12:00:20Z"}, 0.25, 20 * time.Second},
		"seconds":       {map[string]string{"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "7"}, 0.1, 7 * time.Second},
		"no reset":      {map[string]string{"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "1"}, 0.1, time.Minute},
		"absurd reset":  {map[string]string{"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "9999h"}, 0.1, maxReset},
		"more than all": {map[string]string{"x-ratelimit-limit-requests": "10", "x-ratelimit-remaining-requests": "100", "x-ratelimit-reset-requests": "1s"}, 1, 0},
		"nonsense":      {map[string]string{"x-ratelimit-limit-requests": "many", "x-ratelimit-remaining-requests": "few"}, 1, 0},
		"no limit":      {map[string]string{"x-ratelimit-limit-requests": "0", "x-ratelimit-remaining-requests": "0"}, 1, 0},
		"negative":      {map[string]string{"x-ratelimit-limit-requests": "-5", "x-ratelimit-remaining-requests": "-1"}, 1, 0},
		"none":          {nil, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			l := NewLearnt()
			l.Told("p/a", func(h string) string { return c.headers[h] }, start)
			k := &config.Cluster{Name: "p/a"}
			if got := l.headroom(k, start); math.Abs(got-c.want) > 1e-9 {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if got := l.headroom(k, start.Add(c.back)); got != 1 {
				t.Errorf("after %s: %v", c.back, got)
			}
			if c.back > time.Millisecond {
				if got := l.headroom(k, start.Add(c.back-time.Millisecond)); got == 1 {
					t.Errorf("whole again before %s", c.back)
				}
			}
		})
	}
}

// A provider that has little left is asked less; one whose declared limits are used up is not asked at all.
func TestHeadroomInTheScore(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Balanced, "gpt", "haiku"))
	q.Learnt = NewLearnt()
	if got := order(w.choose(q)); got != "haiku gpt" {
		t.Fatalf("got %q", got)
	}
	q.Route.Weights = config.Weights{Price: 0.5, Headroom: 0.5}
	q.Learnt.Told("claude/default", func(h string) string {
		return map[string]string{"anthropic-ratelimit-tokens-limit": "100", "anthropic-ratelimit-tokens-remaining": "1"}[h]
	}, w.now)
	d := w.choose(q)
	if order(d) != "gpt haiku" || d.Candidates[1].Headroom > 0.05 {
		t.Errorf("got %q, %+v", order(d), d.Candidates[1])
	}
	q.Learnt = NewLearnt()
	claude := w.models["haiku"].Provider.Clusters[0]
	claude.Limits = &config.CredentialLimits{ID: "claude/default", Requests: 1}
	q.Learnt.Take(claude, 1, true, w.now)
	if d := w.choose(q); order(d) != "gpt haiku" || d.Candidates[1].Usable || d.Wait != 0 {
		t.Errorf("used up: got %q, %+v", order(d), d.Candidates[1])
	}
}

// Where all is used up, a decision says for how long.
func TestWait(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Fallback, "haiku", "llama"))
	q.Learnt = NewLearnt()
	w.report(1, "claude/default", health.RateLimited, health.Outcome{RetryAfter: 7 * time.Second})
	if d := w.choose(q); d.Wait != 0 || d.Busy {
		t.Errorf("one is free: %v %v", d.Wait, d.Busy)
	}
	local := w.models["llama"].Provider.Clusters[0]
	local.Limits = &config.CredentialLimits{ID: "local/default", Requests: 4}
	for range 4 {
		q.Learnt.Take(local, 1, true, w.now)
	}
	if d := w.choose(q); d.Wait != 7*time.Second || !d.Busy {
		t.Errorf("limited by its provider and by declaration: %v %v", d.Wait, d.Busy)
	}
	local.Limits.Requests = 60
	if d := w.choose(q); d.Wait != 0 {
		t.Errorf("room again: %v", d.Wait)
	}
	w.down("local")
	w.down("claude")
	if d := w.choose(q); d.Busy {
		t.Errorf("what is down has no declared limit: %v", d.Wait)
	}
}

// Of several credentials with declared limits one with room is asked by name.
func TestPicksACredentialWithRoom(t *testing.T) {
	w := newWorld(t)
	q := w.query(w.route(config.Fallback, "gpt"))
	q.Learnt = NewLearnt()
	for _, c := range w.models["gpt"].Provider.Clusters {
		c.Limits = &config.CredentialLimits{ID: string(c.Name), Requests: 2}
	}
	seen := map[string]int{}
	for i := range 4 {
		q.Random = float64(i) / 4
		d := w.choose(q)
		step := d.Plan[0]
		if step.Cluster == nil || d.Wait != 0 {
			t.Fatalf("%d: %s, wait %v", i, steps(d), d.Wait)
		}
		if h, _ := q.Learnt.Take(step.Cluster, q.needs(), true, w.now); h == nil {
			t.Fatalf("%d: no room at %s", i, step.Group)
		}
		seen[step.Group]++
	}
	if seen["openai/primary"] != 2 || seen["openai/overflow"] != 2 {
		t.Errorf("got %v", seen)
	}
	if d := w.choose(q); !d.Busy || d.Wait <= 0 {
		t.Errorf("all used up: %v %v", d.Busy, d.Wait)
	}
}

// replicas are the others: what they have left of every credential.
type replicas struct {
	wait        time.Duration
	left        float64
	taken       int
	given, used int64
}

func (e *replicas) Take(_ *config.CredentialLimits, tokens int64, strict bool) (func(int64), time.Duration) {
	if strict && e.wait > 0 {
		return nil, e.wait
	}
	e.taken++
	return func(used int64) { e.given, e.used = tokens, used }, 0
}

func (e *replicas) Left(*config.CredentialLimits, int64) (float64, time.Duration) {
	return e.left, e.wait
}

// What replicas count together holds beside what each has counted; where nobody counts together, each is on its own.
func TestLimitsAreSharedByReplicas(t *testing.T) {
	l, others := NewLearnt(), &replicas{left: 0.25}
	var shared Shared = others
	l.ShareBy(func() Shared { return shared })
	c := limited("a", 10, 0, 0)
	h, wait := l.Take(c, 100, true, start)
	if h == nil || wait != 0 || others.taken != 1 {
		t.Fatalf("%v, wait %v, %d taken", h, wait, others.taken)
	}
	if got := l.headroom(c, start); got != 0.25 {
		t.Errorf("headroom %v", got)
	}
	h.Give(70)
	h.Give(1)
	if others.given != 100 || others.used != 70 {
		t.Errorf("given %d, used %d", others.given, others.used)
	}
	others.wait = 3 * time.Second
	if h, wait := l.Take(c, 1, true, start); h != nil || wait != 3*time.Second || others.taken != 1 {
		t.Errorf("%v, wait %v", h, wait)
	}
	if got := l.free(c, 1, start); got != 3*time.Second {
		t.Errorf("free in %v", got)
	}
	if h, _ := l.Take(c, 1, false, start); h == nil || others.taken != 2 {
		t.Error("a request that is under way is not counted")
	}
	if h, _ := l.Take(&config.Cluster{Name: "p/none"}, 1, true, start); h == nil || others.taken != 2 {
		t.Error("a credential without limits is shared")
	}
	shared = nil
	for range 8 { // of ten a minute two were taken
		if h, _ := l.Take(c, 1, true, start); h == nil {
			t.Fatal("refused although it is alone")
		}
	}
	if h, wait := l.Take(c, 1, true, start); h != nil || wait == 0 {
		t.Error("alone it is held to nothing")
	}
}
