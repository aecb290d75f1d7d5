package redis

import (
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/test/redisserver"
)

// credentialsOf are those of several replicas.
func credentialsOf(t *testing.T, server *redisserver.Server, n int, wait time.Duration) (cs []*Credentials) {
	t.Helper()
	for i := range n {
		l, _ := openLimits(t, openClient(t, server.Addr), LimitOptions{ID: fmt.Sprint("replica", i), Wait: wait})
		cs = append(cs, l.Credentials())
	}
	return cs
}

// pressed takes from all replicas at once, as fast as they let it, for a time. Each replica is asked by several requests. Refused ones
// come again after a moment, as those in a route's line do.
func pressed(cs []*Credentials, l *config.CredentialLimits, tokens int64, workers int, length time.Duration, each func(give func(int64))) (granted []int64) {
	granted = make([]int64, len(cs))
	var all sync.WaitGroup
	for i, c := range cs {
		for range workers {
			all.Go(func() {
				for end := time.Now().Add(length); time.Now().Before(end); {
					give, wait := c.Take(l, tokens, true)
					if wait > 0 {
						time.Sleep(5 * time.Millisecond)
						continue
					}
					atomic.AddInt64(&granted[i], 1)
					each(give)
				}
			})
		}
	}
	all.Wait()
	return granted
}

func sum(ns []int64) (s int64) {
	for _, n := range ns {
		s += n
	}
	return s
}

// TestCredentialsAreShared: three replicas ask for as much as they can get of one credential. Together they get what it is granted, within
// the bound that the documentation states, and none of them starves.
func TestCredentialsAreShared(t *testing.T) {
	t.Parallel()
	const replicas, length = 3, 3 * time.Second
	for name, c := range map[string]struct {
		limits config.CredentialLimits
		tokens int64
		limit  float64 // requests in a bucket
	}{
		"requests":     {config.CredentialLimits{Requests: 1200}, 10, 1200},
		"few requests": {config.CredentialLimits{Requests: 10}, 10, 10},
		"tokens":       {config.CredentialLimits{Tokens: 120_000}, 100, 1200},
		"large tokens": {config.CredentialLimits{Tokens: 120_000}, 10_000, 12},
		"both":         {config.CredentialLimits{Requests: 1200, Tokens: 60_000}, 100, 600},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redisserver.Start(t)
			l := c.limits
			l.ID = "p/" + name
			begin := time.Now()
			granted := pressed(credentialsOf(t, server, replicas, patientWait), &l, c.tokens, 4, length, func(give func(int64)) { give(c.tokens) })
			flowed := c.limit * time.Since(begin).Minutes()
			most := c.limit + flowed + replicas*math.Max(1, c.limit/owing)
			least := c.limit - replicas*math.Max(1, 2*0.02*c.limit)
			got := float64(sum(granted))
			t.Logf("%v: %.0f granted, %.0f in the bucket, %.1f flowed; at most %.1f", granted, got, c.limit, flowed, most)
			if got > most || got < least {
				t.Errorf("%.0f granted, want %.1f to %.1f", got, least, most)
			}
			for i, n := range granted {
				if c.limit > 100 && float64(n) < got/replicas/10 {
					t.Errorf("replica %d got %d of %.0f", i, n, got)
				}
			}
		})
	}
}

// TestConcurrencyIsShared: of requests at the same time, all replicas together have no more than the bound, and what one does not use the
// others get.
func TestConcurrencyIsShared(t *testing.T) {
	t.Parallel()
	const replicas, most = 3, 24
	server := redisserver.Start(t)
	l := &config.CredentialLimits{ID: "p/k", Concurrency: most}
	cs := credentialsOf(t, server, replicas, patientWait)
	var now, peak, wide atomic.Int64
	bound := int64(most + replicas*most/owing)
	pressed(cs, l, 1, 20, 2*time.Second, func(give func(int64)) {
		if n := now.Add(1); n > bound {
			wide.Add(1)
		}
		for n := now.Load(); n > peak.Load(); n = now.Load() {
			peak.Store(n)
		}
		time.Sleep(10 * time.Millisecond)
		now.Add(-1)
		give(-1)
	})
	if wide.Load() > 0 {
		t.Errorf("more than %d at a time, %d times", bound, wide.Load())
	}
	// One replica alone then has all of it, as soon as the others have given back.
	var held []func(int64)
	waitFor(t, func() bool {
		if give, wait := cs[0].Take(l, 1, true); wait == 0 {
			held = append(held, give)
		}
		return len(held) >= most
	}, "one replica does not get what the others leave")
	for range 50 {
		if give, wait := cs[0].Take(l, 1, true); wait == 0 {
			held = append(held, give)
		}
		time.Sleep(2 * time.Millisecond)
	}
	if n := len(held); int64(n) > bound {
		t.Errorf("%d at a time of one replica", n)
	}
	for _, give := range held {
		give(-1)
	}
	waitFor(t, func() bool {
		give, wait := cs[1].Take(l, 1, true)
		if wait == 0 {
			give(-1)
		}
		left, _ := cs[1].Left(l, 1)
		return wait == 0 && left > 0.5
	}, "what was given back is not there for others")
	t.Logf("at most %d at a time of %d", peak.Load(), most)
}

// TestCredentialsWithoutServer: nothing is counted, nothing is refused and nobody waits; afterwards all are held to the limit again.
func TestCredentialsWithoutServer(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	l := &config.CredentialLimits{ID: "p/k", Requests: 10, Concurrency: 5}
	c := credentialsOf(t, server, 1, 0)[0]
	for range 50 {
		if give, wait := c.Take(l, 1, true); wait == 0 {
			give(1)
		}
		time.Sleep(time.Millisecond)
	}
	if _, wait := c.Take(l, 1, true); wait == 0 {
		t.Error("not held to the limit")
	}
	if left, wait := c.Left(l, 1); left > 0.2 || wait == 0 {
		t.Errorf("left %v, wait %v", left, wait)
	}
	server.Stop()
	waitFor(t, func() bool {
		c.Left(l, 1)
		return !c.l.client.Available()
	}, "nobody notices that the server is gone")
	begin := time.Now()
	for range 1000 {
		if give, wait := c.Take(l, 1, true); give != nil || wait != 0 {
			t.Fatal("counted without a server")
		}
	}
	if took := time.Since(begin); took > 100*time.Millisecond {
		t.Errorf("1000 requests waited %v", took)
	}
	if left, wait := c.Left(l, 1); left != 1 || wait != 0 {
		t.Errorf("left %v, wait %v", left, wait)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, c.l.client.Available, "nobody notices that the server is back")
	waitFor(t, func() bool {
		_, wait := c.Take(l, 1, true)
		return wait > 0
	}, "a server that is back is not asked")
}

// TestNothingWaits: with a server that answers no more, and is not known to be away, requests do not wait either.
func TestNothingWaits(t *testing.T) {
	t.Parallel()
	server := redisserver.Start(t)
	l := &config.CredentialLimits{ID: "p/k", Requests: 100_000, Tokens: 1_000_000, Concurrency: 1000}
	c := credentialsOf(t, server, 1, 0)[0]
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	var worst time.Duration
	for range 2000 {
		begin := time.Now()
		c.Left(l, 10)
		give, _ := c.Take(l, 10, true)
		if give != nil {
			give(5)
		}
		worst = max(worst, time.Since(begin))
	}
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	if worst >= takeDeadline {
		t.Errorf("a request waited %v", worst)
	}
}

func BenchmarkCredentials(b *testing.B) {
	server := redisserver.Start(b)
	limits, _ := openLimits(b, openClient(b, server.Addr), LimitOptions{})
	c, l := limits.Credentials(), &config.CredentialLimits{ID: "p/k", Requests: 1e9, Tokens: 1e12, Concurrency: 1e5}
	b.ReportAllocs()
	for b.Loop() {
		c.Left(l, 500)
		if give, wait := c.Take(l, 500, true); wait == 0 {
			give(300)
		}
	}
}
