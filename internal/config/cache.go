package config

import (
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Cache settings of the exact tier. TTL 0: off.
type Cache struct {
	TTL      time.Duration // how long an answer is fresh
	Stale    time.Duration // how much longer it may answer when every provider failed
	MaxBytes int64         // of all entries in this process
	MaxEntry int64         // of one entry, in bytes
	Redis    bool          // entries are kept in Snapshot.Redis
	Rules    CacheRules
}

// Kept is how long entries are kept in all.
func (c Cache) Kept() time.Duration { return c.TTL + c.Stale }

// CacheRules say which requests may be answered by an earlier one's answer. They hold for coalescing too.
type CacheRules struct {
	MaxTemperature float64
	Tools, Images  bool
}

// Coalesce settings.
type Coalesce struct {
	On           bool
	MaxWait      time.Duration
	MaxFollowers int
}

// largestEntry is the default cap of one entry where the whole cache is large.
const largestEntry = 8 << 20

func cacheDefaults(cfg *dragomanv1.Config) {
	cfg.Cache = orNew(cfg.Cache)
	if e := cfg.Cache.Exact; e != nil {
		e.Ttl = orDuration(e.Ttl, time.Hour)
		e.MaxBytes = or(e.MaxBytes, 64<<20)
		e.MaxEntryBytes = or(e.MaxEntryBytes, max(1<<10, min(e.MaxBytes/8, largestEntry)))
		e.MaxTemperature = orPointer(e.MaxTemperature, 1)
		if cfg.GetStore().GetRedis() != nil {
			e.Store = or(e.Store, "redis")
		}
		e.Store = or(e.Store, "memory")
		cfg.Cache.Coalesce = orNew(cfg.Cache.Coalesce)
	}
	if c := cfg.Cache.Coalesce; c != nil {
		c.Enabled = orPointer(c.Enabled, true)
		c.MaxWait = orDuration(c.MaxWait, time.Minute)
		c.MaxFollowers = or(c.MaxFollowers, 1000)
	}
	if r := cfg.GetStore().GetRedis(); r != nil {
		r.Prefix = or(r.Prefix, "dragoman:")
		r.Connections = or(r.Connections, 64)
	}
}

// cache compiles the exact tier's settings and those of coalescing.
func (b *builder) cache() {
	s := b.snap
	s.exact = b.exact(nil)
	s.Cache.Rules = CacheRules{MaxTemperature: 1}
	if e := b.cfg.Cache.Exact; e != nil {
		s.Cache = Cache{TTL: e.Ttl.AsDuration(), Stale: e.StaleIfError.AsDuration(), MaxBytes: int64(e.MaxBytes), MaxEntry: int64(e.MaxEntryBytes),
			Redis: e.Store == "redis", Rules: CacheRules{MaxTemperature: e.GetMaxTemperature(), Tools: e.Tools, Images: e.Images}}
		if s.Cache.Redis && b.cfg.GetStore().GetRedis() == nil {
			b.fail("cache.exact.store", "is redis, and there is no store.redis")
		}
	}
	if c := b.cfg.Cache.Coalesce; c != nil {
		s.Coalesce = Coalesce{On: c.GetEnabled(), MaxWait: c.MaxWait.AsDuration(), MaxFollowers: int(c.MaxFollowers)}
	}
}

// exact says whether the exact tier serves a route; nil is one that is not configured.
func (b *builder) exact(r *dragomanv1.RouteCache) bool {
	if r != nil && r.Exact != nil {
		return *r.Exact
	}
	return !b.cfg.Cache.GetExact().GetOptIn()
}
