package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/internal/observe"
	"dragoman/internal/store/redis"
	"dragoman/processor/cache"
	"dragoman/processor/limit"
)

func storesApp() (*App, *bytes.Buffer) {
	var log bytes.Buffer
	a := &App{tracker: health.New(config.Health{}, time.Now), metrics: observe.NewMetrics(), log: slog.New(slog.NewTextHandler(&log, nil))}
	a.limits.memory = limit.NewMemory()
	a.limits.gate = limit.NewGate(limit.Options{Store: a.limits.memory})
	return a, &log
}

func TestCacheLivesThroughOtherChanges(t *testing.T) {
	a, _ := storesApp()
	settings := config.Cache{TTL: time.Hour, MaxBytes: 1 << 20, MaxEntry: 1 << 17}
	on, same, off := &config.Snapshot{Cache: settings}, &config.Snapshot{Cache: settings}, &config.Snapshot{}
	a.setStores(nil, on)
	first := a.cache.Load()
	if a.setStores(on, same); a.cache.Load() != first {
		t.Error("another change throws the cache away")
	}
	if len(a.cacheTiers()) != 1 {
		t.Error("an operator cannot reach the cache")
	}
	a.setStores(same, off)
	if _, none := a.cache.Load().backend.(cache.None); !none || len(a.cacheTiers()) != 0 {
		t.Errorf("still %T", a.cache.Load().backend)
	}
}

// TestRedisLivesThroughOtherChanges: connections are opened anew for another server only, and those of the last are closed.
func TestRedisLivesThroughOtherChanges(t *testing.T) {
	// The library's own look at a server that refused it ends within a second of Close.
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent(), goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"))
	a, _ := storesApp()
	settings := config.Cache{TTL: time.Hour, MaxEntry: 1 << 17, Redis: true}
	snap := func(address string, c config.Cache) *config.Snapshot {
		return &config.Snapshot{Cache: c, Redis: &config.Redis{Addresses: []string{address}, Connections: 2}}
	}
	one, same, moved, off := snap("127.0.0.1:1", settings), snap("127.0.0.1:1", settings), snap("127.0.0.1:2", settings), &config.Snapshot{}
	a.setStores(nil, one)
	client, tier := a.redis, a.cache.Load()
	if a.setStores(one, same); a.redis != client || a.cache.Load() != tier {
		t.Error("another change closes the connections")
	}
	a.setStores(same, moved)
	if _, ok := a.cache.Load().backend.(*redis.Cache); !ok || a.redis == client || a.cache.Load() == tier {
		t.Error("the cache stays with a server that is not configured any more")
	}
	settings.TTL = time.Minute
	last, client := a.cache.Load(), a.redis
	if a.setStores(moved, snap("127.0.0.1:2", settings)); a.redis != client || a.cache.Load() == last {
		t.Error("the cache keeps the settings that it had")
	}
	a.setStores(snap("127.0.0.1:2", settings), off)
	if _, none := a.cache.Load().backend.(cache.None); !none || a.redis != nil {
		t.Errorf("still %T", a.cache.Load().backend)
	}
	a.setStores(off, one)
	a.closeStores()
}

func TestRedisOutagesAreSaid(t *testing.T) {
	a, log := storesApp()
	a.redisChanged(redis.ErrAway)
	a.redisChanged(nil)
	if text := log.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "answers again") {
		t.Errorf("logged: %s", text)
	}
}
