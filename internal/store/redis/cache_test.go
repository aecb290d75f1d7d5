package redis

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/internal/store/storetest"
	"dragoman/processor/cache"
	"dragoman/test/redisserver"
)

func settings() config.Cache {
	return config.Cache{TTL: time.Hour, MaxEntry: 1 << 20}
}

func openClient(t testing.TB, addr string) *Client {
	t.Helper()
	c := Open(&config.Redis{Addresses: []string{addr}, Prefix: "test[*]:", Connections: 16}, Options{})
	t.Cleanup(func() { _ = c.Close() })
	waitFor(t, c.Available, "the server is not found")
	return c
}

func waitFor(t testing.TB, ok func() bool, otherwise string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(otherwise)
		}
	}
}

func openCache(t testing.TB, client *Client, c config.Cache, token string) *Cache {
	t.Helper()
	b := NewCache(client, c, time.Now, token)
	b.wait = 5 * time.Second // the tests are about what is found, and the machine may be busy
	t.Cleanup(b.Close)
	return b
}

func TestCachePassesTheSuite(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := redisserver.Start(t)
	t.Run("suite", func(t *testing.T) {
		storetest.Cache(t, func(t *testing.T, c config.Cache) (storetest.CacheBackend, func() time.Time, func(time.Duration)) {
			client := openClient(t, server.Addr)
			if err := client.db.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			return openCache(t, client, c, "a"), time.Now, time.Sleep
		})
	})
	server.Stop()
}

func TestEntriesAreCompressedAndForeignOnesLeft(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	b := openCache(t, client, settings(), "a")
	ctx := t.Context()
	text := strings.Repeat("So it is. ", 1000)
	b.Put(ctx, storetest.CacheKey(1), storetest.CacheEntry(text, time.Now()))
	packed, err := client.db.Get(ctx, b.entryKey(storetest.CacheKey(1).String())).Bytes()
	if err != nil || len(packed) > len(text)/10 || bytes.Contains(packed, []byte("So it is. So it is. So it is.")) {
		t.Errorf("%d bytes of text take %d: %v", len(text), len(packed), err)
	}
	if ttl := client.db.PTTL(ctx, b.entryKey(storetest.CacheKey(1).String())).Val(); ttl <= 59*time.Minute || ttl > time.Hour {
		t.Errorf("kept for %s", ttl)
	}
	// What is no entry is a miss, and goes with the first purge; what is not the cache's stays.
	broken := b.entryKey(storetest.CacheKey(2).String())
	client.db.Set(ctx, broken, "DGE\x09 of another release", 0)
	client.db.Set(ctx, "test[*]:limits:x", "1", 0)
	client.db.Set(ctx, "testX:cache:{x}", "1", 0) // the prefix is no pattern
	if _, ok := b.Get(ctx, storetest.CacheKey(2)); ok {
		t.Error("another release's entry is taken")
	}
	if n, err := b.Purge(ctx, cache.Filter{Tenant: "acme"}); n != 2 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	left := client.db.Keys(ctx, "*").Val()
	if slices.Sort(left); fmt.Sprint(left) != "[testX:cache:{x} test[*]:limits:x]" {
		t.Errorf("left: %q", left)
	}
}

func TestPurgeOfMany(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	b := openCache(t, client, settings(), "a")
	e := storetest.CacheEntry("hi", time.Now())
	packed, err := cache.Encode(e)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.db.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
		for i := range 3000 {
			p.Set(t.Context(), b.entryKey(storetest.CacheKey(i).String()), packed, time.Hour)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n, err := b.Purge(t.Context(), cache.Filter{Model: "gpt-5"}); n != 3000 || err != nil {
		t.Errorf("purged %d of 3000: %v", n, err)
	}
}

// TestClaim: of two replicas one makes the answer, and the other finds it.
func TestClaim(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	a, b := openCache(t, client, settings(), "a"), openCache(t, client, settings(), "b")
	ctx, key, since := t.Context(), storetest.CacheKey(1), time.Now().Add(-time.Hour)
	want := func(c *Cache, since time.Time, text string, claim cache.Claim) {
		t.Helper()
		e, got := c.Claim(ctx, key, since)
		if found := e != nil; got != claim || found != (text != "") || found && e.Response.Choices[0].Parts[0].Text != text {
			t.Errorf("got %+v %v, want %q %v", e, got, text, claim)
		}
	}
	want(a, since, "", cache.Claimed)
	want(b, since, "", cache.Busy)
	want(a, since, "", cache.Busy) // a replica's own lock holds against itself: its requests share in the process
	a.Release(key)
	want(b, since, "", cache.Claimed)
	a.Release(key) // not its own any more
	want(a, since, "", cache.Busy)
	b.Put(ctx, key, storetest.CacheEntry("one", time.Now()))
	want(a, since, "one", cache.Unclaimed)
	want(b, since, "one", cache.Unclaimed)
	if n := client.db.Exists(ctx, a.lockKey(key.String())).Val(); n != 0 {
		t.Error("the lock outlives the answer")
	}
	// An answer that is too old for the request is found, and may be made anew.
	want(a, time.Now().Add(time.Second), "one", cache.Claimed)
	want(b, time.Now().Add(time.Second), "one", cache.Busy)
	want(b, since, "one", cache.Unclaimed)
}

// TestClaimsAreRenewed as long as the replica lives, and end with it.
func TestClaimsAreRenewed(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	a := openCache(t, client, settings(), "a")
	key := storetest.CacheKey(1)
	if _, claim := a.Claim(t.Context(), key, time.Now()); claim != cache.Claimed {
		t.Fatal("not claimed")
	}
	lock := a.lockKey(key.String())
	client.db.PExpire(t.Context(), lock, 2*renewEvery)
	left := func() time.Duration { return client.db.PTTL(t.Context(), lock).Val() }
	waitFor(t, func() bool { return left() > lease-renewEvery }, "the lock is not renewed")
	a.Close()
	client.db.PExpire(t.Context(), lock, 50*time.Millisecond)
	time.Sleep(80 * time.Millisecond)
	if left() > 0 {
		t.Error("the lock of a replica that is gone stays")
	}
}

func BenchmarkGet(b *testing.B) {
	server := redisserver.Start(b)
	client := openClient(b, server.Addr)
	c := openCache(b, client, settings(), "a")
	c.Put(b.Context(), storetest.CacheKey(1), storetest.CacheEntry(strings.Repeat("So it is. ", 90), time.Now()))
	var took []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		begin := time.Now()
		c.Claim(b.Context(), storetest.CacheKey(1), time.Now().Add(-time.Hour))
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// TestLookupsHaveADeadline: a server that is slow is a miss after 10 ms, not a slow request.
func TestLookupsHaveADeadline(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	b := NewCache(client, settings(), time.Now, "a")
	defer b.Close()
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	_, found := b.Get(t.Context(), storetest.CacheKey(1))
	e, claim := b.Claim(t.Context(), storetest.CacheKey(1), time.Now())
	if took := time.Since(begin); found || e != nil || claim != cache.Unclaimed || took < 2*lookupDeadline || took > time.Second {
		t.Errorf("after %s: %v %v %v", took, found, e, claim)
	}
}
