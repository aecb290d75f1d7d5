package redis

import (
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"dragoman/internal/store/storetest"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/test/redisserver"
)

func openSemantic(t testing.TB, client *Client, o SemanticOptions) *Semantic {
	t.Helper()
	s := NewSemantic(client, o, time.Now)
	s.wait = 5 * time.Second // the tests are about what is found, and the machine may be busy
	return s
}

func TestSemanticPassesTheSuite(t *testing.T) {
	server := redisserver.Start(t)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	t.Run("suite", func(t *testing.T) {
		storetest.Semantic(t, func(t *testing.T, entries int, ttl time.Duration) (semantic.Index, func() time.Time, func(time.Duration)) {
			client := openClient(t, server.Addr)
			if err := client.db.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
			return openSemantic(t, client, SemanticOptions{MaxEntries: entries, TTL: ttl}), time.Now, time.Sleep
		})
	})
}

func entry(n byte, text string) *semantic.Entry {
	p := cache.Partition{Tenant: "acme"}
	key := storetest.CacheKey(int(n))
	group := semantic.NewGroup(p)
	v := make([]float32, 16)
	v[n%16] = 1
	return &semantic.Entry{ID: semantic.NewID(group, storetest.CacheKey(0), key), Group: group, Partition: storetest.CacheKey(0), Text: text,
		Vector: v, Key: key, Tenant: "acme", Stored: time.Now()}
}

// TestSemanticForgetsElementsWithoutEntry: elements of vector sets have no time to live, so searches and additions take them out.
func TestSemanticForgetsElementsWithoutEntry(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	s := openSemantic(t, client, SemanticOptions{MaxEntries: 100, TTL: time.Hour})
	a := entry(1, "one")
	set := s.setKey(a.Group, a.Partition.String())
	card := func() int64 { return client.db.VCard(t.Context(), set).Val() }
	if err := s.Add(t.Context(), a); err != nil || card() != 1 {
		t.Fatal(err, card())
	}
	if err := client.db.Del(t.Context(), s.entryKey(a.Group, a.ID)).Err(); err != nil {
		t.Fatal(err)
	}
	found, err := s.Search(t.Context(), semantic.Wanted{Group: a.Group, Partition: a.Partition, Vector: a.Vector, Least: 0.9, Limit: 1})
	if err != nil || len(found) != 0 || card() != 0 {
		t.Errorf("search: %v, %d found, %d elements left", err, len(found), card())
	}
	for n := byte(1); n <= 3; n++ {
		if err := s.Add(t.Context(), entry(n, "x")); err != nil {
			t.Fatal(err)
		}
		if err := client.db.Del(t.Context(), s.entryKey(a.Group, entry(n, "x").ID)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Add(t.Context(), entry(4, "x")); err != nil || card() > 2 {
		t.Errorf("addition: %v, %d elements left", err, card())
	}
}

// TestSemanticNothingOutlivesItsTime: every key that is made has a time to live, also after feedback.
func TestSemanticNothingOutlivesItsTime(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	s := openSemantic(t, client, SemanticOptions{MaxEntries: 100, TTL: time.Hour})
	a := entry(1, "one")
	if err := s.Add(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := s.Served(t.Context(), a.ID, 0.97); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Feedback(t.Context(), a.ID, true); !ok || err != nil {
		t.Fatal(ok, err)
	}
	keys := client.db.Keys(t.Context(), "*").Val()
	if len(keys) != 2 {
		t.Errorf("keys: %v", keys)
	}
	for _, k := range keys {
		if ttl := client.db.PTTL(t.Context(), k).Val(); ttl <= 0 || ttl > time.Hour {
			t.Errorf("%s lives for %v", k, ttl)
		}
	}
}

// TestSemanticDamagedEntries: what somebody else wrote into an entry is no candidate and no crash.
func TestSemanticDamagedEntries(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	s := openSemantic(t, client, SemanticOptions{MaxEntries: 100, TTL: time.Hour})
	a := entry(1, "one")
	want := semantic.Wanted{Group: a.Group, Partition: a.Partition, Vector: a.Vector, Least: 0.9, Limit: 1}
	for field, value := range map[string]string{fieldVector: "abc", fieldKey: "xyz", fieldPartition: storetest.CacheKey(9).String()} {
		if err := s.Add(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if found, err := s.Search(t.Context(), want); err != nil || len(found) != 1 {
			t.Fatal(len(found), err)
		}
		if err := client.db.HSet(t.Context(), s.entryKey(a.Group, a.ID), field, value).Err(); err != nil {
			t.Fatal(err)
		}
		if found, err := s.Search(t.Context(), want); err != nil || len(found) != 0 {
			t.Errorf("%s: %d found, %v", field, len(found), err)
		}
	}
}

func TestSemanticWithoutServer(t *testing.T) {
	server := redisserver.Start(t)
	client := openClient(t, server.Addr)
	s := openSemantic(t, client, SemanticOptions{MaxEntries: 100, TTL: time.Hour})
	server.Stop()
	a := entry(1, "one")
	waitFor(t, func() bool {
		_, err := s.Search(t.Context(), semantic.Wanted{Group: a.Group, Partition: a.Partition, Vector: a.Vector, Least: 0.9, Limit: 1})
		return errors.Is(err, ErrAway)
	}, "searches still wait for it")
	if err := s.Add(t.Context(), a); !errors.Is(err, ErrAway) {
		t.Error(err)
	}
	if _, err := s.Purge(t.Context(), cache.Filter{}); err == nil {
		t.Error("a purge of nothing counts as done")
	}
}

func BenchmarkSemanticSearch(b *testing.B) {
	server := redisserver.Start(b)
	client := openClient(b, server.Addr)
	s := openSemantic(b, client, SemanticOptions{MaxEntries: 1000, TTL: time.Hour})
	for n := byte(0); n < 16; n++ {
		if err := s.Add(b.Context(), entry(n, "x")); err != nil && !errors.Is(err, goredis.Nil) {
			b.Fatal(err)
		}
	}
	a := entry(3, "x")
	b.ReportAllocs()
	for b.Loop() {
		if found, err := s.Search(b.Context(), semantic.Wanted{Group: a.Group, Partition: a.Partition, Vector: a.Vector, Least: 0.9, Limit: 4}); err != nil || len(found) != 1 {
			b.Fatal(len(found), err)
		}
	}
}
