package health

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
)

// board is a Share in memory.
type board struct {
	mu     sync.Mutex
	notes  map[noteKey]Note
	leases map[config.ClusterName]taken
	now    func() time.Time
	away   bool
}

func newBoard() *board {
	return &board{notes: map[noteKey]Note{}, leases: map[config.ClusterName]taken{}}
}

// taken is a lease.
type taken struct {
	by    *seat
	until time.Time
}

// seat is one replica's connection to the board.
type seat struct{ *board }

var errAway = errors.New("away")

func (s *seat) Exchange(_ context.Context, tell []Note) (all []Note, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return nil, errAway
	}
	for _, n := range tell {
		s.notes[noteKey{n.Cluster, n.Model}] = n
	}
	for _, n := range s.notes {
		all = append(all, n)
	}
	return all, nil
}

func (s *seat) Lease(_ context.Context, cluster config.ClusterName, ttl time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return false, errAway
	}
	if l := s.leases[cluster]; l.by == s || !s.now().Before(l.until) {
		s.leases[cluster] = taken{s, s.now().Add(ttl)}
	}
	return s.leases[cluster].by == s, nil
}

func (s *seat) Release(_ context.Context, cluster config.ClusterName) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leases[cluster].by == s {
		delete(s.leases, cluster)
	}
	return nil
}

func replicas() (a, b *Tracker, c *clock, shared *board) {
	a, c = fixture()
	b, _ = fixture()
	b.now = c.now
	shared = newBoard()
	shared.now = c.now
	a.SetShare(&seat{shared})
	b.SetShare(&seat{shared})
	exchange(a, b)
	return a, b, c, shared
}

func exchange(ts ...*Tracker) {
	for range 2 {
		for _, t := range ts {
			t.Exchange(context.Background())
			t.Publish()
		}
	}
}

func TestReplicasShareWhatTheyKnow(t *testing.T) {
	a, b, c, _ := replicas()
	trip(a, c)
	a.reportN(1, Outcome{Cluster: "openai/primary", Class: AuthDead, Status: 401})
	a.reportN(1, Outcome{Cluster: "openai/overflow", Class: RateLimited, Status: 429, RetryAfter: time.Minute})
	exchange(a, b)
	for name, want := range map[config.ClusterName]State{"claude/default": Open, "openai/primary": Dead, "openai/overflow": Limited} {
		if got := b.View().State(name); got != want {
			t.Errorf("%s is %v at the other replica, want %v", name, got, want)
		}
		if x, y := a.View().RetryAt(name), b.View().RetryAt(name); x.Sub(y).Abs() > time.Millisecond {
			t.Errorf("%s: until %v and %v", name, x, y)
		}
	}
	c.advance(time.Second)
	exchange(a, b)
	trying := 0
	for _, tr := range []*Tracker{a, b} {
		if tr.View().State("claude/default") != HalfOpen {
			t.Errorf("not half open")
		}
		if tr.Trial("claude/default") {
			trying++
		}
	}
	if trying != 1 {
		t.Fatalf("%d replicas try at a time", trying)
	}
	c.advance(time.Millisecond)
	a.reportN(1, Outcome{Cluster: "claude/default", Class: Success, Start: c.now()})
	exchange(a, b)
	if s := b.View().State("claude/default"); s != Degraded {
		t.Errorf("the other replica has not heard that it is back: %v", s)
	}
	c.advance(slowStart)
	exchange(a, b) // old notes change nothing
	if s := b.View().State("claude/default"); s != Healthy {
		t.Errorf("an old note took it out again: %v", s)
	}
}

// A replica without requests must not keep the others from trying.
func TestLeavesToTryGoAround(t *testing.T) {
	a, b, c, _ := replicas()
	trip(a, c)
	exchange(a, b)
	c.advance(time.Second)
	for range 30 {
		exchange(a, b) // a asks first each time, and never has a request
		if b.Trial("claude/default") {
			return
		}
		c.advance(exchangeEvery)
	}
	t.Error("one replica keeps the leave that it does not use")
}

func TestAReplicaAloneDecidesByItself(t *testing.T) {
	a, b, c, shared := replicas()
	shared.away = true
	trip(a, c)
	exchange(a, b)
	if s := b.View().State("claude/default"); s != Healthy {
		t.Errorf("heard of it all the same: %v", s)
	}
	c.advance(time.Second)
	exchange(a, b)
	if !a.Trial("claude/default") {
		t.Error("waits for leave that nobody can give")
	}
	shared.away = false
	trip(a, c)
	exchange(a, b)
	if s := b.View().State("claude/default"); s != Open {
		t.Errorf("not told when the others were back: %v", s)
	}
}

func TestForeignNotesAreNotTrusted(t *testing.T) {
	a, _, c, shared := replicas()
	year := c.now().Add(365 * 24 * time.Hour).UnixMilli()
	at := c.now().Add(time.Second).UnixMilli()
	for _, n := range []Note{
		{Cluster: "claude/default", Key: "feedface", State: Dead, Until: year, At: at}, // another key's
		{Cluster: "nobody", State: Open, Until: year, At: at},
		{Cluster: "openai/overflow", State: Open, Until: year, At: at, Strikes: 1 << 40},
		{Cluster: "claude/default", State: State(99), Until: year, At: at},
	} {
		shared.notes[noteKey{n.Cluster, fmt.Sprint(n.State, n.Key)}] = n
	}
	a.Exchange(context.Background())
	a.Publish()
	if s := a.View().State("claude/default"); s != Healthy {
		t.Errorf("another key's note counts: %v", s)
	}
	if got := a.View().RetryAt("openai/overflow").Sub(c.now()); got > retryAfterMax {
		t.Errorf("a wrong clock blocks for %v", got)
	}
	c.advance(retryAfterMax)
	a.reportN(1, Outcome{Cluster: "openai/overflow", Class: Timeout, Start: c.now()})
	if got := a.View().RetryAt("openai/overflow").Sub(c.now()); got > 2*time.Minute {
		t.Errorf("a wild number of strikes blocks for %v", got)
	}
}

func TestWhatWaitsToBeToldIsBounded(t *testing.T) {
	a, _, _, shared := replicas()
	shared.away = true
	for i := range 3 * maxPending {
		a.tell(Note{Cluster: "claude/default", Model: fmt.Sprint(i)})
	}
	exchange(a)
	if n := len(a.pending); n != maxPending {
		t.Errorf("%d notes wait", n)
	}
}
