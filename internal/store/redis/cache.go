package redis

import (
	"context"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragoman/internal/config"
	"dragoman/processor/cache"
)

const (
	lookupDeadline = 10 * time.Millisecond  // then it is a miss
	storeDeadline  = 200 * time.Millisecond // the client has its answer already
	// lease is how long a claim holds when its replica dies; a living one renews it.
	lease      = 5 * time.Second
	renewEvery = lease / 4
)

// claimScript finds an entry and, when it was stored before ARGV[1] or is not there, takes the lock for ARGV[2] milliseconds
// with the token ARGV[3]. Keys: entry, lock. The answer: {entry or false, 0: no need, 1: taken, 2: somebody else's}. Times are
// compared as the big endian bytes that they are encoded in.
var claimScript = goredis.NewScript(`
local e = redis.call('GET', KEYS[1])
if e and string.sub(e, 5, 12) >= ARGV[1] then return {e, 0} end
if redis.call('SET', KEYS[2], ARGV[3], 'NX', 'PX', ARGV[2]) then return {e, 1} end
return {e, 2}`)

// unlockScript gives the lock KEYS[1] back if it still holds the token ARGV[1].
var unlockScript = goredis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)

// renewScript prolongs it likewise.
var renewScript = goredis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0`)

// Cache keeps the cache's entries where all replicas find them. It implements cache.Claimer and cache.Admin.
type Cache struct {
	client *Client
	o      config.Cache
	now    func() time.Time
	token  string        // of this Cache's locks
	wait   time.Duration // of a lookup

	stop context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	held   map[cache.Key]struct{}
	closed bool
}

// NewCache makes a cache on a client, which stays the caller's. token must be unique among the replicas. The caller must
// Close it.
func NewCache(client *Client, o config.Cache, now func() time.Time, token string) *Cache {
	ctx, stop := context.WithCancel(context.Background())
	c := &Cache{client: client, o: o, now: now, token: token, wait: lookupDeadline, stop: stop, held: map[cache.Key]struct{}{}}
	c.done.Go(func() { c.renew(ctx) })
	return c
}

// Enabled is true.
func (c *Cache) Enabled() bool { return true }

func (c *Cache) entryKey(hex string) string { return c.client.Key("cache", "{"+hex+"}") }
func (c *Cache) lockKey(hex string) string  { return c.client.Key("claim", "{"+hex+"}") }

// Get implements cache.Backend: one round trip of at most 10 ms.
func (c *Cache) Get(ctx context.Context, key cache.Key) (*cache.Entry, bool) {
	var packed []byte
	err := c.client.Do(ctx, "cache_get", c.wait, func(ctx context.Context, db goredis.UniversalClient) (err error) {
		packed, err = db.Get(ctx, c.entryKey(key.String())).Bytes()
		return err
	})
	if err != nil {
		return nil, false
	}
	return c.unpack(packed)
}

// unpack reads an entry; what is none, or too large by this replica's settings, is a miss.
func (c *Cache) unpack(packed []byte) (*cache.Entry, bool) {
	e, err := cache.Decode(packed, int(c.o.MaxEntry))
	return e, err == nil
}

// Claim implements cache.Claimer: one round trip of at most 10 ms.
func (c *Cache) Claim(ctx context.Context, key cache.Key, since time.Time) (*cache.Entry, cache.Claim) {
	hex := key.String()
	var answer []any
	err := c.client.Do(ctx, "cache_claim", c.wait, func(ctx context.Context, db goredis.UniversalClient) (err error) {
		answer, err = claimScript.Run(ctx, db, []string{c.entryKey(hex), c.lockKey(hex)},
			cache.StoredBytes(since), lease.Milliseconds(), c.token).Slice()
		return err
	})
	if err != nil || len(answer) != 2 {
		return nil, cache.Unclaimed
	}
	var e *cache.Entry
	if packed, ok := answer[0].(string); ok {
		e, _ = c.unpack([]byte(packed))
	}
	outcome, _ := answer[1].(int64)
	switch outcome {
	case 1:
		c.hold(key)
		return e, cache.Claimed
	case 2:
		return e, cache.Busy
	default:
		return e, cache.Unclaimed
	}
}

// hold notes a lock for renewal.
func (c *Cache) hold(key cache.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.held[key] = struct{}{}
	}
}

func (c *Cache) letGo(key cache.Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, held := c.held[key]
	delete(c.held, key)
	return held
}

// Put implements cache.Backend. It waits for the server, at most 200 ms.
func (c *Cache) Put(ctx context.Context, key cache.Key, e *cache.Entry) {
	if int64(e.Size()) > c.o.MaxEntry {
		return
	}
	packed, err := cache.Encode(e)
	if err != nil {
		return
	}
	hex := key.String()
	held := c.letGo(key)
	_ = c.client.Do(ctx, "cache_put", storeDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			p.Set(ctx, c.entryKey(hex), packed, c.o.Kept())
			if held {
				unlockScript.Eval(ctx, p, []string{c.lockKey(hex)}, c.token)
			}
			return nil
		})
		return err
	})
}

// Release implements cache.Claimer. It waits for the server, at most 200 ms; a lock that could not be given back ends with
// its lease.
func (c *Cache) Release(key cache.Key) {
	if !c.letGo(key) {
		return
	}
	_ = c.client.Do(context.Background(), "cache_release", storeDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		return unlockScript.Run(ctx, db, []string{c.lockKey(key.String())}, c.token).Err()
	})
}

// renew prolongs this replica's locks for as long as it lives.
func (c *Cache) renew(ctx context.Context) {
	tick := time.NewTicker(renewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if keys := c.holds(); len(keys) > 0 {
			_ = c.client.Do(ctx, "cache_renew", probeTimeout, func(ctx context.Context, db goredis.UniversalClient) error {
				_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
					for _, k := range keys {
						renewScript.Eval(ctx, p, []string{c.lockKey(k.String())}, c.token, lease.Milliseconds())
					}
					return nil
				})
				return err
			})
		}
	}
}

func (c *Cache) holds() []cache.Key {
	c.mu.Lock()
	defer c.mu.Unlock()
	keys := make([]cache.Key, 0, len(c.held))
	for k := range c.held {
		keys = append(keys, k)
	}
	return keys
}

// Close ends the renewal of locks. Get and Put stay safe: a request that started before a reload may still call them.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	clear(c.held)
	c.mu.Unlock()
	c.stop()
	c.done.Wait()
}

// purgeBatch is how many keys are looked at in one round trip.
const purgeBatch = 500

// Purge implements cache.Admin. It goes over every entry, within ctx's deadline; what is stored meanwhile may be left.
func (c *Cache) Purge(ctx context.Context, f cache.Filter) (int, error) {
	if f.Key != "" {
		if _, ok := cache.ParseKey(f.Key); !ok {
			return 0, nil
		}
		return c.purgeKeys(ctx, c.client.db, f, []string{c.entryKey(strings.ToLower(f.Key))})
	}
	cluster, ok := c.client.db.(*goredis.ClusterClient)
	if !ok {
		return c.purgeNode(ctx, c.client.db, f)
	}
	var mu sync.Mutex
	total := 0
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		n, err := c.purgeNode(ctx, node, f)
		mu.Lock()
		total += n
		mu.Unlock()
		return err
	})
	return total, err
}

// purgeNode goes over one server's entries.
func (c *Cache) purgeNode(ctx context.Context, db goredis.Cmdable, f cache.Filter) (total int, err error) {
	if c.client.away.Load() {
		return 0, ErrAway
	}
	pattern := escapeGlob.Replace(c.client.Key("cache", "")) + "*"
	for cursor := uint64(0); ; {
		var keys []string
		if keys, cursor, err = db.Scan(ctx, cursor, pattern, purgeBatch).Result(); err != nil {
			return total, err
		}
		n, err := c.purgeKeys(ctx, db, f, keys)
		total += n
		if err != nil || cursor == 0 {
			return total, err
		}
	}
}

var escapeGlob = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// purgeKeys removes those of the keys whose entries the filter matches, and those that hold no entry of this version.
func (c *Cache) purgeKeys(ctx context.Context, db goredis.Cmdable, f cache.Filter, keys []string) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	heads := make([]*goredis.StringCmd, len(keys))
	if _, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, k := range keys {
			heads[i] = p.GetRange(ctx, k, 0, cache.HeadSize-1)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	var removals []*goredis.IntCmd
	now := c.now()
	_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, k := range keys {
			head := heads[i].Val()
			tenant, asked, model, stored, err := cache.Provenance([]byte(head))
			if head == "" || err == nil && !f.Matches(tenant, asked, model, max(0, now.Sub(stored))) {
				continue
			}
			removals = append(removals, p.Unlink(ctx, k))
		}
		return nil
	})
	n := 0
	for _, r := range removals {
		n += int(r.Val())
	}
	return n, err
}

// Feedback implements cache.Admin: an exact answer that was wrong is forgotten.
func (c *Cache) Feedback(ctx context.Context, key string, wrong bool) (bool, error) {
	if _, ok := cache.ParseKey(key); !ok {
		return false, nil
	}
	var n int64
	err := c.client.Do(ctx, "cache_feedback", probeTimeout, func(ctx context.Context, db goredis.UniversalClient) (err error) {
		if wrong {
			n, err = db.Unlink(ctx, c.entryKey(strings.ToLower(key))).Result()
		} else {
			n, err = db.Exists(ctx, c.entryKey(strings.ToLower(key))).Result()
		}
		return err
	})
	return n > 0, err
}
