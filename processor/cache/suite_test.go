package cache_test

import (
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/store/storetest"
	"dragoman/processor/cache"
)

func TestMemoryPassesTheSuite(t *testing.T) {
	storetest.Cache(t, func(t *testing.T, c config.Cache) (storetest.CacheBackend, func() time.Time, func(time.Duration)) {
		var mu sync.Mutex
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		now := func() time.Time { mu.Lock(); defer mu.Unlock(); return at }
		m := cache.NewMemory(c, now)
		t.Cleanup(m.Close)
		return m, now, func(d time.Duration) { mu.Lock(); defer mu.Unlock(); at = at.Add(d) }
	})
}
