package cache

import (
	"context"
	"math"
	"time"

	"github.com/maypok86/otter/v2"

	"dragoman/internal/config"
)

// largest is the share of the whole cache that one entry may take: one huge answer is not worth a hundred small ones.
const largest = 8

// Memory keeps answers in this process, bounded by their bytes and by time. What is used rarely goes first (W-TinyLFU).
type Memory struct {
	cache *otter.Cache[Key, *Entry]
	max   uint64
}

// NewMemory makes an empty cache of at most c.MaxBytes bytes, whose entries live for c.TTL. now tells the time for that.
// Close ends its housekeeping. A TTL of 0 is no cache at all: use None.
func NewMemory(c config.Cache, now func() time.Time) *Memory {
	size := uint64(max(c.MaxBytes, 1))
	return &Memory{max: size, cache: otter.Must(&otter.Options[Key, *Entry]{
		MaximumWeight:    size,
		Weigher:          func(_ Key, e *Entry) uint32 { return uint32(min(e.Size(), math.MaxUint32)) },
		ExpiryCalculator: otter.ExpiryWriting[Key, *Entry](max(c.TTL, time.Nanosecond)),
		Clock:            clock(now),
	})}
}

// Enabled is true.
func (m *Memory) Enabled() bool { return true }

// Get implements Backend.
func (m *Memory) Get(_ context.Context, key Key) (*Entry, bool) { return m.cache.GetIfPresent(key) }

// Put implements Backend. An entry of more than an eighth of the cache is not kept.
func (m *Memory) Put(_ context.Context, key Key, e *Entry) {
	if uint64(e.Size()) > m.max/largest {
		return
	}
	m.cache.Set(key, e)
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
