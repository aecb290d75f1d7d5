package redis

import (
	"context"
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	goredis "github.com/redis/go-redis/v9"

	"dragoman/internal/config"
	"dragoman/internal/store/storetest"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/processor/turns"
	"dragoman/test/redisserver"
)

func openCluster(t testing.TB, c *redisserver.Cluster) *Client {
	t.Helper()
	client := Open(&config.Redis{Addresses: c.Addresses()[:1], Cluster: true, Prefix: "test[*]:", Connections: 16}, Options{})
	t.Cleanup(func() { _ = client.Close() })
	waitFor(t, client.Available, "the cluster is not found")
	return client
}

// flush empties every node.
func flush(t testing.TB, client *Client) {
	t.Helper()
	err := client.db.(*goredis.ClusterClient).ForEachMaster(t.Context(), func(ctx context.Context, node *goredis.Client) error { return node.FlushAll(ctx).Err() })
	if err != nil {
		t.Fatal(err)
	}
}

// TestClusterPassesTheSuites: whatever takes several keys at once takes them from one slot, and what goes over all entries goes over all
// nodes.
func TestClusterPassesTheSuites(t *testing.T) {
	servers := redisserver.StartCluster(t, 3)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("cache", func(t *testing.T) {
		storetest.Cache(t, func(t *testing.T, c config.Cache) (storetest.CacheBackend, func() time.Time, func(time.Duration)) {
			client := openCluster(t, servers)
			flush(t, client)
			return openCache(t, client, c, "a"), time.Now, time.Sleep
		})
	})
	t.Run("semantic", func(t *testing.T) {
		storetest.Semantic(t, func(t *testing.T, entries int, ttl time.Duration) (semantic.Index, func() time.Time, func(time.Duration)) {
			client := openCluster(t, servers)
			flush(t, client)
			return openSemantic(t, client, SemanticOptions{MaxEntries: entries, TTL: ttl}), time.Now, time.Sleep
		})
	})
	t.Run("turns", func(t *testing.T) {
		storetest.Turns(t, func(t *testing.T, ttl turns.TTL) (turns.Store, func(time.Duration)) {
			client := openCluster(t, servers)
			flush(t, client)
			return patientTurns{openTurns(t, client, ttl)}, time.Sleep
		})
	})
}

// TestClusterClaims: an entry and its lock are in one slot, wherever that is.
func TestClusterClaims(t *testing.T) {
	client := openCluster(t, redisserver.StartCluster(t, 3))
	a, b := openCache(t, client, settings(), "a"), openCache(t, client, settings(), "b")
	since := time.Now().Add(-time.Hour)
	for n := range 50 {
		key := storetest.CacheKey(n)
		if _, claim := a.Claim(t.Context(), key, since); claim != cache.Claimed {
			t.Fatalf("key %d: %v", n, claim)
		}
		if _, claim := b.Claim(t.Context(), key, since); claim != cache.Busy {
			t.Fatalf("key %d is claimed twice: %v", n, claim)
		}
		a.Put(t.Context(), key, storetest.CacheEntry(fmt.Sprint(n), time.Now()))
		if e, claim := b.Claim(t.Context(), key, since); claim != cache.Unclaimed || e == nil || e.Response.Choices[0].Parts[0].Text != fmt.Sprint(n) {
			t.Fatalf("key %d: %+v %v", n, e, claim)
		}
	}
	if removed, err := a.Purge(t.Context(), cache.Filter{Tenant: "acme"}); removed != 50 || err != nil {
		t.Errorf("purged %d of 50 on three nodes: %v", removed, err)
	}
}

// TestClusterLosesANode: what the others hold is served on, and a lookup on the lost one is a miss within its deadline.
func TestClusterLosesANode(t *testing.T) {
	servers := redisserver.StartCluster(t, 3)
	client := openCluster(t, servers)
	b := openCache(t, client, settings(), "a")
	const keys = 60
	for n := range keys {
		b.Put(t.Context(), storetest.CacheKey(n), storetest.CacheEntry("x", time.Now()))
	}
	servers.Nodes[2].Stop()
	b.wait = lookupDeadline
	found := func() (hits int) {
		for n := range keys {
			begin := time.Now()
			if _, ok := b.Get(t.Context(), storetest.CacheKey(n)); ok {
				hits++
			}
			if took := time.Since(begin); took > time.Second {
				t.Errorf("a lookup took %s", took)
			}
		}
		return hits
	}
	waitFor(t, func() bool { return found() >= keys/3 }, "what is left is not served")
}
