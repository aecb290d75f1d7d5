package access

import (
	"container/list"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limiter is a token bucket for each of many keys. It holds a bounded number of them: the one that was not used for longest gives way.
type Limiter struct {
	limit rate.Limit
	burst int
	most  int
	now   func() time.Time

	mu   sync.Mutex
	keys map[string]*list.Element
	used *list.List // of *bucket, the last used first
}

type bucket struct {
	key string
	*rate.Limiter
}

// NewLimiter lets each key do something burst times at once and once every so often after that; at most so many keys are known.
func NewLimiter(every time.Duration, burst, most int, now func() time.Time) *Limiter {
	return &Limiter{limit: rate.Every(every), burst: burst, most: most, now: now, keys: map[string]*list.Element{}, used: list.New()}
}

// Take says whether a key may do it once more, and counts it when it may.
func (l *Limiter) Take(key string) bool {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bucket(key).AllowN(now, 1)
}

// Spent says whether a key has nothing left; that counts nothing.
func (l *Limiter) Spent(key string) bool {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.keys[key]
	return ok && e.Value.(*bucket).TokensAt(now) < 1
}

func (l *Limiter) bucket(key string) *bucket {
	if e, ok := l.keys[key]; ok {
		l.used.MoveToFront(e)
		return e.Value.(*bucket)
	}
	if l.used.Len() >= l.most {
		last := l.used.Back()
		delete(l.keys, last.Value.(*bucket).key)
		l.used.Remove(last)
	}
	b := &bucket{key, rate.NewLimiter(l.limit, l.burst)}
	l.keys[key] = l.used.PushFront(b)
	return b
}

// AddressKey is what a peer is counted by: its address, of IPv6 the network that one subscriber is given.
func AddressKey(peer string) string {
	ap, err := netip.ParseAddrPort(peer)
	if err != nil {
		return "?"
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}
