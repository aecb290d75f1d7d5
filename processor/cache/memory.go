package cache

import (
	"context"
	"math"
	"time"

	"github.com/maypok86/otter/v2"

	"dragoman/internal/config"
)

// Memory keeps answers in this process, bounded by their bytes and by time. What is used rarely goes first (W-TinyLFU).
type Memory struct {
	cache *otter.Cache[Key, *Entry]
	max   uint64 // bytes of one entry
	now   func() time.Time
}

// NewMemory makes an empty cache of at most c.MaxBytes bytes, whose entries are kept for c.Kept(). now tells the time for that.
// Close ends its housekeeping. A TTL of 0 is no cache at all: use None.
func NewMemory(c config.Cache, now func() time.Time) *Memory {
	size := uint64(max(c.MaxBytes, 1))
	return &Memory{max: uint64(max(c.MaxEntry, 0)), now: now, cache: otter.Must(&otter.Options[Key, *Entry]{
		MaximumWeight:    size,
		Weigher:          func(_ Key, e *Entry) uint32 { return uint32(min(e.Size(), math.MaxUint32)) },
		ExpiryCalculator: otter.ExpiryWriting[Key, *Entry](max(c.Kept(), time.Nanosecond)),
		Clock:            clock(now),
	})}
}

// Enabled is true.
func (m *Memory) Enabled() bool { return true }

// Get implements Backend.
func (m *Memory) Get(_ context.Context, key Key) (*Entry, bool) { return m.cache.GetIfPresent(key) }

// Put implements Backend. One huge answer is not worth a hundred small ones: an entry of more than c.MaxEntry is not kept.
func (m *Memory) Put(_ context.Context, key Key, e *Entry) {
	if uint64(e.Size()) > m.max {
		return
	}
	m.cache.Set(key, e)
}

// Purge implements Admin.
func (m *Memory) Purge(_ context.Context, f Filter) (int, error) {
	if f.Key != "" {
		return m.purgeKey(f), nil
	}
	removed, now := 0, m.now()
	for key, e := range m.cache.All() {
		if f.Matches(e.Tenant, e.Asked, e.Model, e.Age(now)) {
			if _, was := m.cache.Invalidate(key); was {
				removed++
			}
		}
	}
	return removed, nil
}

func (m *Memory) purgeKey(f Filter) int {
	key, ok := ParseKey(f.Key)
	if !ok {
		return 0
	}
	e, ok := m.cache.GetIfPresent(key)
	if !ok || !f.Matches(e.Tenant, e.Asked, e.Model, e.Age(m.now())) {
		return 0
	}
	if _, was := m.cache.Invalidate(key); !was {
		return 0
	}
	return 1
}

// Feedback implements Admin: an exact answer that was wrong is forgotten.
func (m *Memory) Feedback(_ context.Context, key string, wrong bool) (bool, error) {
	k, ok := ParseKey(key)
	if !ok {
		return false, nil
	}
	if !wrong {
		_, ok = m.cache.GetIfPresent(k)
		return ok, nil
	}
	_, ok = m.cache.Invalidate(k)
	return ok, nil
}

// Usage is how many entries there are and about how many bytes they take.
func (m *Memory) Usage() (entries int, bytes uint64) {
	return m.cache.EstimatedSize(), m.cache.WeightedSize()
}

// Close ends the housekeeping, and forgets everything. Get and Put stay safe: a request that started before a reload
// may still call them.
func (m *Memory) Close() {
	m.cache.InvalidateAll()
	m.cache.StopAllGoroutines()
}

// clock is the injected time as the cache library wants it.
type clock func() time.Time

// NowNano is the time in nanoseconds.
func (c clock) NowNano() int64 { return c().UnixNano() }

// Tick is what drives the removal of expired entries; that they are not served any more does not depend on it.
func (c clock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }
