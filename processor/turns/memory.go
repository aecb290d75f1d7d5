package turns

import (
	"bytes"
	"context"
	"math"
	"time"

	"github.com/maypok86/otter/v2"
)

// largest is the share of the whole store that one entry may take: one huge conversation is not worth a hundred small ones.
const largest = 8

// entryOverhead is about what an entry takes beyond its bytes.
const entryOverhead = 160

// Memory keeps entries in this process, bounded by their bytes and by time. What is used rarely goes first (W-TinyLFU).
type Memory struct {
	cache *otter.Cache[Key, []byte]
	max   uint64
}

// NewMemory makes an empty store of at most maxBytes bytes. now tells the time. Close ends its housekeeping.
func NewMemory(maxBytes int, ttl TTL, now func() time.Time) *Memory {
	size := uint64(max(maxBytes, 1))
	return &Memory{max: size, cache: otter.Must(&otter.Options[Key, []byte]{
		MaximumWeight: size,
		Weigher:       func(k Key, v []byte) uint32 { return uint32(min(weight(k, v), math.MaxUint32)) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[Key, []byte]) time.Duration {
			return max(ttl.Of(e.Key.Kind), time.Nanosecond)
		}),
		Clock: clock(now),
	})}
}

func weight(k Key, v []byte) uint64 {
	return uint64(entryOverhead + len(k.Tenant) + len(k.ID) + len(v))
}

// Get implements Store.
func (m *Memory) Get(_ context.Context, keys ...Key) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i, k := range keys {
		values[i], _ = m.cache.GetIfPresent(k)
	}
	return values, nil
}

// Put implements Store. An entry of more than an eighth of the store is not kept.
func (m *Memory) Put(_ context.Context, entries ...Entry) error {
	for i := range entries {
		if weight(entries[i].Key, entries[i].Value) > m.max/largest {
			return ErrTooLarge
		}
	}
	for i := range entries {
		m.cache.Set(entries[i].Key, bytes.Clone(entries[i].Value))
	}
	return nil
}

// Delete implements Store.
func (m *Memory) Delete(_ context.Context, keys ...Key) (bool, error) {
	existed := false
	for i, k := range keys {
		_, was := m.cache.Invalidate(k)
		existed = existed || was && i == 0
	}
	return existed, nil
}

// Usage is how many entries there are and about how many bytes they take.
func (m *Memory) Usage() (entries int, bytes uint64) {
	return m.cache.EstimatedSize(), m.cache.WeightedSize()
}

// Close ends the housekeeping, and forgets everything. The other methods stay safe.
func (m *Memory) Close() {
	m.cache.InvalidateAll()
	m.cache.StopAllGoroutines()
}

// clock is the injected time as the cache library wants it.
type clock func() time.Time

// NowNano is the time in nanoseconds.
func (c clock) NowNano() int64 { return c().UnixNano() }

// Tick drives the removal of expired entries; that they are not served any more does not depend on it.
func (c clock) Tick(d time.Duration) <-chan time.Time { return time.Tick(d) }
