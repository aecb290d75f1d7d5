// Package storetest holds the suites that every backend of an interface passes: the embedded one and the shared one differ in
// where they keep things, and in nothing that a request can see.
package storetest

import (
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dragoman/internal/config"
	"dragoman/processor/cache"
	"dragoman/translate/chat"
)

// CacheBackend is what the suite tests.
type CacheBackend interface {
	cache.Backend
	cache.Admin
}

// OpenCache makes an empty backend for one test. pass lets time pass, for the backend and for the clock that it was given.
type OpenCache func(t *testing.T, c config.Cache) (b CacheBackend, now func() time.Time, pass func(time.Duration))

// Cache is the suite of the exact tier's backends.
func Cache(t *testing.T, open OpenCache) {
	for name, test := range map[string]func(*testing.T, OpenCache){
		"GetAndPut": getAndPut, "Kept": kept, "TooLarge": tooLarge, "Purge": purge, "PurgeOneKey": purgeOneKey, "Feedback": feedback,
		"Concurrently": concurrently, "CanceledContext": canceled,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

func settings() config.Cache {
	return config.Cache{TTL: time.Hour, MaxBytes: 8 << 20, MaxEntry: 1 << 20}
}

// CacheKey is a key of its own for each n.
func CacheKey(n int) cache.Key {
	seed := int64(n)
	return cache.KeyOf(cache.Partition{Tenant: "acme"}, &chat.Request{Model: "m", Seed: &seed})
}

// CacheEntry is an entry with something in everything, stored at a given time.
func CacheEntry(text string, stored time.Time) *cache.Entry {
	u := chat.Usage{Known: true, Input: 3, Output: 5}
	return &cache.Entry{
		ID: "x1", Schema: chat.OpenAI, Raw: []byte(`{"id":"chatcmpl-1"}`), Tenant: "acme", Asked: "auto", Model: "gpt-5", Provider: "openai",
		Stored: stored.Round(0), Usage: u, Cost: 42, Priced: true,
		Response: &chat.Response{ID: "chatcmpl-1", Model: "gpt-5", Created: 1, Usage: u, Choices: []chat.Choice{
			{Finish: chat.FinishStop, RawFinish: "stop", Parts: []chat.Part{{Kind: chat.Text, Text: text}}},
		}},
	}
}

func getAndPut(t *testing.T, open OpenCache) {
	ctx := t.Context()
	b, now, _ := open(t, settings())
	if _, ok := b.Get(ctx, CacheKey(1)); ok || !b.Enabled() {
		t.Error("found in an empty cache, or it is off")
	}
	first, second := CacheEntry("first", now()), CacheEntry("second", now())
	b.Put(ctx, CacheKey(1), first)
	if _, ok := b.Get(ctx, CacheKey(2)); ok {
		t.Error("another key finds it")
	}
	wantEntry(t, b, CacheKey(1), first)
	b.Put(ctx, CacheKey(1), second)
	wantEntry(t, b, CacheKey(1), second)
}

func wantEntry(t *testing.T, b cache.Backend, k cache.Key, want *cache.Entry) {
	t.Helper()
	got, ok := b.Get(t.Context(), k)
	if !ok {
		t.Error("not found")
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// kept: an entry is there for its ttl and the time that it may be stale, and no longer, however often it is read.
func kept(t *testing.T, open OpenCache) {
	ctx := t.Context()
	c := settings()
	c.TTL, c.Stale = 300*time.Millisecond, 400*time.Millisecond
	b, now, pass := open(t, c)
	b.Put(ctx, CacheKey(1), CacheEntry("hi", now()))
	pass(400 * time.Millisecond)
	if e, ok := b.Get(ctx, CacheKey(1)); !ok || e.Fresh(now(), c.TTL, cache.Directives{}) {
		t.Errorf("after its ttl, within stale_if_error: %v", ok)
	}
	pass(600 * time.Millisecond)
	if _, ok := b.Get(ctx, CacheKey(1)); ok {
		t.Error("found after its time")
	}
}

func tooLarge(t *testing.T, open OpenCache) {
	ctx := t.Context()
	c := settings()
	c.MaxEntry = 64 << 10
	b, now, _ := open(t, c)
	b.Put(ctx, CacheKey(1), CacheEntry(strings.Repeat("x", 32<<10), now()))
	b.Put(ctx, CacheKey(2), CacheEntry(strings.Repeat("x", 70<<10), now()))
	if _, ok := b.Get(ctx, CacheKey(1)); !ok {
		t.Error("a fitting entry is not there")
	}
	if _, ok := b.Get(ctx, CacheKey(2)); ok {
		t.Error("an entry over max_entry_bytes was kept")
	}
}

// purge removes what the filter names, and nothing else.
func purge(t *testing.T, open OpenCache) {
	ctx := t.Context()
	for _, c := range []struct {
		f    cache.Filter
		want string // what is left, by number
	}{
		{cache.Filter{Tenant: "acme"}, "2"},
		{cache.Filter{Tenant: "nobody"}, "0 1 2 3"},
		{cache.Filter{Model: "auto"}, ""},
		{cache.Filter{Model: "claude"}, "0 2 3"},
		{cache.Filter{OlderThan: 30 * time.Minute}, "0 1 2"},
		{cache.Filter{Tenant: "acme", OlderThan: 30 * time.Minute}, "0 1 2"},
		{cache.Filter{Tenant: "globex", OlderThan: 30 * time.Minute}, "0 1 2 3"},
		{cache.Filter{}, ""},
	} {
		b, now, _ := open(t, settings())
		for i := range 4 {
			e := CacheEntry("hi", now())
			switch i {
			case 1:
				e.Model = "claude"
			case 2:
				e.Tenant = "globex"
			case 3:
				e.Stored = e.Stored.Add(-40 * time.Minute)
			}
			b.Put(ctx, CacheKey(i), e)
		}
		removed, err := b.Purge(ctx, c.f)
		var left []string
		for i := range 4 {
			if _, ok := b.Get(ctx, CacheKey(i)); ok {
				left = append(left, strconv.Itoa(i))
			}
		}
		if got := strings.Join(left, " "); got != c.want || removed != 4-len(left) || err != nil {
			t.Errorf("%+v: left %q, want %q; removed %d, %v", c.f, got, c.want, removed, err)
		}
	}
}

func purgeOneKey(t *testing.T, open OpenCache) {
	ctx := t.Context()
	b, now, _ := open(t, settings())
	for i := range 3 {
		b.Put(ctx, CacheKey(i), CacheEntry("hi", now()))
	}
	for _, c := range []struct {
		f    cache.Filter
		want int
	}{
		{cache.Filter{Key: "no key"}, 0},
		{cache.Filter{Key: CacheKey(9).String()}, 0},
		{cache.Filter{Key: CacheKey(1).String(), Tenant: "globex"}, 0}, // an operator of one tenant cannot reach another's
		{cache.Filter{Key: CacheKey(1).String()}, 1},
		{cache.Filter{Key: CacheKey(1).String()}, 0},
		{cache.Filter{Key: strings.ToUpper(CacheKey(2).String()), Tenant: "acme"}, 1},
	} {
		if removed, err := b.Purge(ctx, c.f); removed != c.want || err != nil {
			t.Errorf("%+v: removed %d, want %d; %v", c.f, removed, c.want, err)
		}
	}
	if _, ok := b.Get(ctx, CacheKey(0)); !ok {
		t.Error("another entry is gone")
	}
}

func feedback(t *testing.T, open OpenCache) {
	ctx := t.Context()
	b, now, _ := open(t, settings())
	b.Put(ctx, CacheKey(1), CacheEntry("hi", now()))
	for _, c := range []struct {
		key   string
		wrong bool
		found bool
	}{
		{"no key", true, false}, {CacheKey(2).String(), true, false}, {CacheKey(1).String(), false, true},
		{CacheKey(1).String(), true, true}, {CacheKey(1).String(), true, false},
	} {
		if found, err := b.Feedback(ctx, c.key, c.wrong); found != c.found || err != nil {
			t.Errorf("%+v: %v %v", c, found, err)
		}
	}
	if _, ok := b.Get(ctx, CacheKey(1)); ok {
		t.Error("a wrong answer is still there")
	}
}

// concurrently: many requests at once find what was put under their key, and nothing else. For the race detector.
func concurrently(t *testing.T, open OpenCache) {
	b, now, _ := open(t, settings())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 200 {
				n := (i*7 + w) % 16
				if e, ok := b.Get(t.Context(), CacheKey(n)); ok && e.Response.Choices[0].Parts[0].Text != strconv.Itoa(n) {
					t.Errorf("key %d finds the answer of another", n)
					return
				}
				b.Put(t.Context(), CacheKey(n), CacheEntry(strconv.Itoa(n), now()))
				if i%50 == 0 {
					_, _ = b.Purge(t.Context(), cache.Filter{Key: CacheKey(n).String()})
				}
			}
		})
	}
	wg.Wait()
}

// canceled: a client that is gone is at most a miss.
func canceled(t *testing.T, open OpenCache) {
	b, now, _ := open(t, settings())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _ = b.Get(ctx, CacheKey(1))
	b.Put(ctx, CacheKey(1), CacheEntry("hi", now()))
	b.Put(t.Context(), CacheKey(2), CacheEntry("hi", now()))
	if _, ok := b.Get(t.Context(), CacheKey(2)); !ok {
		t.Error("a canceled call spoils the next")
	}
}
