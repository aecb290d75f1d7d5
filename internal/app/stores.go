package app

import (
	"time"

	"dragoman/internal/config"
	"dragoman/internal/store/redis"
	"dragoman/processor/cache"
	"dragoman/processor/turns"
)

// setStores makes what a snapshot keeps its state in. What lives on through a reload is what its settings do not change.
func (a *App) setStores(old, snap *config.Snapshot) {
	last := a.redis
	fresh := old == nil || !old.Redis.Same(snap.Redis)
	if fresh {
		a.redis = nil
		if snap.Redis != nil {
			a.redis = redis.Open(snap.Redis, redis.Options{Observe: a.metrics.Redis, Changed: a.redisChanged})
			a.metrics.RedisAvailable(true)
		}
	}
	if fresh {
		a.setHealth()
	}
	a.setLimits(old, snap, fresh)
	a.setCache(old, snap, fresh)
	a.setTurns(old, snap, fresh)
	a.setSemantic(old, snap, fresh || old.Cache != snap.Cache)
	if fresh && last != nil {
		_ = last.Close() // after the last of those that use it was swapped
	}
}

// redisChanged tells operators what became of Redis.
func (a *App) redisChanged(err error) {
	a.metrics.RedisAvailable(err == nil)
	if err != nil {
		a.log.Warn("Redis does not answer; what it is used for goes on without it until it is back", "error", err)
		return
	}
	a.log.Info("Redis answers again")
}

// setHealth says where replicas tell each other what they know of providers.
func (a *App) setHealth() {
	if a.redis == nil {
		a.tracker.SetShare(nil)
		return
	}
	a.tracker.SetShare(redis.NewHealth(a.redis, newID(), time.Now))
}

// setCache makes the exact tier. fresh says that Redis is another than before.
func (a *App) setCache(old, snap *config.Snapshot, fresh bool) {
	c := snap.Cache
	if old != nil && old.Cache == c && !(c.Redis && fresh) {
		return
	}
	switch {
	case c.TTL == 0:
		a.swapCache(cache.None{})
	case c.Redis:
		a.swapCache(redis.NewCache(a.redis, c, time.Now, newID()))
	default:
		a.swapCache(cache.NewMemory(c, time.Now))
	}
}

// turnsHolder lets an interface be swapped atomically.
type turnsHolder struct{ store turns.Store }

// setTurns makes the store of conversations. fresh says that Redis is another than before.
func (a *App) setTurns(old, snap *config.Snapshot, fresh bool) {
	t := snap.Turns
	if old != nil && old.Turns == t && !fresh {
		return
	}
	ttl := turns.TTL{Response: t.TTL, Signature: t.TTL}
	if a.redis != nil {
		store, err := redis.NewTurns(a.redis, ttl, snap.Limits.MaxBody+snap.Limits.MaxResponse)
		if err == nil {
			a.swapTurns(store)
			return
		}
		a.log.Warn("conversations are kept in process", "error", err)
	}
	a.swapTurns(turns.NewMemory(t.MaxBytes, ttl, time.Now))
}

func (a *App) swapTurns(next turns.Store) {
	if last := a.turns.Swap(&turnsHolder{next}); last != nil {
		if c, ok := last.store.(interface{ Close() }); ok {
			c.Close()
		}
	}
}

// closeStores ends what works beside the requests; those that are still under way find the cache empty.
func (a *App) closeStores() {
	if last := a.semantic.Swap(&semanticTier{}); last != nil && last.embedder != nil {
		last.embedder.Close()
	}
	a.closeLimits()
	a.swapCache(cache.None{})
	a.swapTurns(turns.NewMemory(0, turns.TTL{}, time.Now))
	a.turns.Load().store.(*turns.Memory).Close()
	if a.redis != nil {
		_ = a.redis.Close()
	}
}

func (a *App) swapCache(next cache.Backend) {
	last := a.cache.Swap(&cacheHolder{next})
	if last == nil {
		return
	}
	if c, ok := last.backend.(interface{ Close() }); ok {
		c.Close()
	}
}

// cacheTiers are the parts of the cache that an operator can purge and correct.
func (a *App) cacheTiers() []cache.Admin {
	var tiers []cache.Admin
	if t, ok := a.cache.Load().backend.(cache.Admin); ok {
		tiers = append(tiers, t)
	}
	return append(tiers, a.semanticTierAdmin()...)
}
