package route

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
)

// Headroom is how much of what a cluster's credential is granted is left, from 0 to 1: by the provider's own headers, by the limits of
// the configuration, and by what is in flight.

// enough is the headroom from which on more of it is no better.
const enough = 0.5

// clusterState is what is known of one cluster.
type clusterState struct {
	inFlight atomic.Int64
	requests window
	tokens   window
}

// window is what a provider said last about one of its limits.
type window struct {
	share atomic.Uint64 // float64, left of the limit
	until atomic.Int64  // Unix nanoseconds, when it is whole again
}

func (w *window) set(share float64, until time.Time) {
	w.share.Store(math.Float64bits(min(max(share, 0), 1)))
	w.until.Store(until.UnixNano())
}

func (w *window) left(now int64) float64 {
	if now >= w.until.Load() {
		return 1
	}
	return math.Float64frombits(w.share.Load())
}

// grant counts against the limits that the configuration declares for one credential: buckets that hold a minute's amount.
type grant struct {
	mu       sync.Mutex
	requests bucket
	tokens   bucket
	inFlight int64
}

type bucket struct {
	used float64
	at   time.Time
}

// drain brings what is used to now.
func (b *bucket) drain(perMinute uint64, now time.Time) {
	if dt := now.Sub(b.at); dt > 0 {
		b.used = max(0, b.used-float64(perMinute)*dt.Minutes())
		b.at = now
	}
}

// wait is how long until amount fits; a single amount over the limit fits an empty bucket.
func (b *bucket) wait(amount float64, perMinute uint64, now time.Time) time.Duration {
	if perMinute == 0 {
		return 0
	}
	b.drain(perMinute, now)
	over := b.used + min(amount, float64(perMinute)) - float64(perMinute)
	if over <= 1e-6 {
		return 0
	}
	return time.Duration(over / float64(perMinute) * float64(time.Minute))
}

func (b *bucket) left(perMinute uint64, now time.Time) float64 {
	if perMinute == 0 {
		return 1
	}
	b.drain(perMinute, now)
	return max(0, 1-b.used/float64(perMinute))
}

// busyWait is how soon to look again after a credential whose concurrency is used up: nobody knows when an answer ends.
const busyWait = 100 * time.Millisecond

// wait is how long until a request of so many tokens fits.
func (g *grant) wait(l *config.CredentialLimits, tokens int64, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting(l, tokens, now)
}

func (g *grant) waiting(l *config.CredentialLimits, tokens int64, now time.Time) time.Duration {
	d := max(g.requests.wait(1, l.Requests, now), g.tokens.wait(float64(tokens), l.Tokens, now))
	if l.Concurrency > 0 && g.inFlight >= int64(l.Concurrency) {
		d = max(d, busyWait)
	}
	return d
}

func (g *grant) left(l *config.CredentialLimits, now time.Time) float64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	left := min(g.requests.left(l.Requests, now), g.tokens.left(l.Tokens, now))
	if l.Concurrency > 0 {
		left = min(left, max(0, 1-float64(g.inFlight)/float64(l.Concurrency)))
	}
	return left
}

// Shared is where all replicas together count against the limits of credentials. Its calls wait for nothing. While it is away it counts
// nothing and knows of nothing: each replica then goes by what it has counted itself.
type Shared interface {
	// Take counts a request of so many tokens. give, nil where nothing was counted, ends it: used is how many tokens it took in truth,
	// negative when nobody knows. With strict nothing is counted where there is no room, and wait says for how long there will be none.
	Take(l *config.CredentialLimits, tokens int64, strict bool) (give func(used int64), wait time.Duration)
	// Left is the part that is left, from 0 to 1, and for how long there is no room for a request of so many tokens.
	Left(l *config.CredentialLimits, tokens int64) (left float64, wait time.Duration)
}

// ShareBy says where replicas count together; nil, or a nil Shared, is nowhere.
func (l *Learnt) ShareBy(shared func() Shared) { l.shared = shared }

// together is where c's limits are shared, nil when they are not.
func (l *Learnt) together(c *config.Cluster) Shared {
	if l.shared == nil || c.Limits == nil {
		return nil
	}
	return l.shared()
}

// Held is one request's place at a cluster.
type Held struct {
	state  *clusterState
	grant  *grant
	give   func(used int64) // with all replicas, nil: not counted there
	tokens int64
	done   atomic.Bool
}

// Take counts a request of so many tokens at a cluster. With strict it fails, and counts nothing, when a declared limit has no room;
// wait says for how long. The request must be given back. A nil Learnt counts nothing.
func (l *Learnt) Take(c *config.Cluster, tokens int64, strict bool, now time.Time) (h *Held, wait time.Duration) {
	if l == nil || c == nil {
		return nil, 0
	}
	h = &Held{state: l.clusters.ensure(c.Name, cloneName), tokens: tokens}
	if c.Limits != nil {
		if g := l.granted.ensure(c.Limits.ID, strings.Clone); g != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			if wait = g.waiting(c.Limits, tokens, now); strict && wait > 0 {
				return nil, wait
			}
			if shared := l.together(c); shared != nil {
				if h.give, wait = shared.Take(c.Limits, tokens, strict); wait > 0 {
					return nil, wait
				}
			}
			g.requests.drain(c.Limits.Requests, now)
			g.tokens.drain(c.Limits.Tokens, now)
			g.requests.used++
			g.tokens.used += float64(tokens)
			g.inFlight++
			h.grant = g
		}
	}
	if h.state != nil {
		h.state.inFlight.Add(1)
	}
	return h, 0
}

// Give ends it: used is how many tokens it took in truth, negative when nobody knows.
func (h *Held) Give(used int64) {
	if h == nil || !h.done.CompareAndSwap(false, true) {
		return
	}
	if h.state != nil {
		h.state.inFlight.Add(-1)
	}
	if h.give != nil {
		h.give(used)
	}
	if g := h.grant; g != nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.inFlight--
		if used >= 0 {
			g.tokens.used = max(0, g.tokens.used+float64(used-h.tokens))
		}
	}
}

func cloneName(n config.ClusterName) config.ClusterName {
	return config.ClusterName(strings.Clone(string(n)))
}

// InFlight is how many requests are known to be at a cluster.
func (l *Learnt) InFlight(name config.ClusterName) int64 {
	if l == nil {
		return 0
	}
	if s := l.clusters.get(name); s != nil {
		return s.inFlight.Load()
	}
	return 0
}

// headroom of one cluster, 1 when nothing is known.
func (l *Learnt) headroom(c *config.Cluster, now time.Time) float64 {
	left := 1.0
	if l == nil {
		return left
	}
	if s := l.clusters.get(c.Name); s != nil {
		at := now.UnixNano()
		left = min(s.requests.left(at), s.tokens.left(at))
	}
	if c.Limits != nil {
		if g := l.granted.get(c.Limits.ID); g != nil {
			left = min(left, g.left(c.Limits, now))
		}
	}
	if shared := l.together(c); shared != nil {
		part, _ := shared.Left(c.Limits, 0)
		left = min(left, part)
	}
	return left
}

// free is how long until a cluster's declared limits have room for a request; 0: now.
func (l *Learnt) free(c *config.Cluster, tokens int64, now time.Time) (wait time.Duration) {
	if l == nil || c.Limits == nil {
		return 0
	}
	if g := l.granted.get(c.Limits.ID); g != nil {
		wait = g.wait(c.Limits, tokens, now)
	}
	if shared := l.together(c); shared != nil {
		_, w := shared.Left(c.Limits, tokens)
		wait = max(wait, w)
	}
	return wait
}

// Told takes in a provider's own rate-limit headers. get finds one by its lower-case name, "" for none.
//
// Sources: OpenAI, "Rate limits" (x-ratelimit-remaining-requests, durations such as 6m0s); Anthropic, "Rate limits"
// (anthropic-ratelimit-requests-remaining, RFC 3339).
func (l *Learnt) Told(cluster config.ClusterName, get func(string) string, now time.Time) {
	if l == nil {
		return
	}
	requests, okR := read(get, "x-ratelimit-remaining-requests", "x-ratelimit-limit-requests", "x-ratelimit-reset-requests", now)
	tokens, okT := read(get, "x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens", "x-ratelimit-reset-tokens", now)
	if !okR && !okT {
		requests, okR = read(get, "anthropic-ratelimit-requests-remaining", "anthropic-ratelimit-requests-limit", "anthropic-ratelimit-requests-reset", now)
		tokens, okT = read(get, "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-reset", now)
	}
	if !okR && !okT {
		return
	}
	s := l.clusters.ensure(cluster, cloneName)
	if s == nil {
		return
	}
	if okR {
		s.requests.set(requests.share, requests.until)
	}
	if okT {
		s.tokens.set(tokens.share, tokens.until)
	}
}

type told struct {
	share float64
	until time.Time
}

// maxReset bounds for how long a provider's word counts.
const maxReset = 10 * time.Minute

// read takes one limit's three headers.
func read(get func(string) string, remaining, limit, reset string, now time.Time) (t told, ok bool) {
	left, err := strconv.ParseFloat(get(remaining), 64)
	if err != nil || left < 0 {
		return t, false
	}
	most, err := strconv.ParseFloat(get(limit), 64)
	if err != nil || most <= 0 || math.IsInf(most, 0) {
		return t, false
	}
	t.share, t.until = left/most, now.Add(time.Minute)
	text := get(reset)
	if d, err := time.ParseDuration(text); err == nil {
		t.until = now.Add(d)
	} else if at, err := time.Parse(time.RFC3339, text); err == nil {
		t.until = at
	} else if seconds, err := strconv.ParseFloat(text, 64); err == nil && seconds >= 0 && seconds < 1e6 {
		t.until = now.Add(time.Duration(seconds * float64(time.Second)))
	}
	if latest := now.Add(maxReset); t.until.After(latest) {
		t.until = latest
	}
	return t, true
}
