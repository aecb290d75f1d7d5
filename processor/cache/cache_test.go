package cache

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

func TestCacheable(t *testing.T) {
	with := func(f func(*chat.Request)) *chat.Request {
		r := simple()
		f(r)
		return r
	}
	part := func(k chat.PartKind) *chat.Request {
		return with(func(r *chat.Request) { r.Messages[1].Parts = append(r.Messages[1].Parts, chat.Part{Kind: k}) })
	}
	for name, c := range map[string]struct {
		r    *chat.Request
		want bool
	}{
		"plain":             {simple(), true},
		"streamed":          {with(func(r *chat.Request) { r.Stream = true }), true},
		"temperature 0":     {with(func(r *chat.Request) { r.Temperature = ptr(0.0) }), true},
		"temperature 1":     {with(func(r *chat.Request) { r.Temperature = ptr(1.0) }), true},
		"temperature 1.1":   {with(func(r *chat.Request) { r.Temperature = ptr(1.1) }), false},
		"one answer":        {with(func(r *chat.Request) { r.N = ptr(int64(1)) }), true},
		"two answers":       {with(func(r *chat.Request) { r.N = ptr(int64(2)) }), false},
		"tools":             {with(func(r *chat.Request) { r.Tools = []chat.Tool{{Name: "f"}} }), false},
		"structured output": {with(func(r *chat.Request) { r.Format = &chat.Format{} }), true},
		"thinking":          {part(chat.Thinking), true},
		"an image":          {part(chat.Image), false},
		"a document":        {part(chat.Document), false},
		"audio":             {part(chat.Audio), false},
		"a tool's call":     {part(chat.ToolCall), false},
		"a tool's result":   {part(chat.ToolResult), false},
		"an unknown kind":   {part(99), false},
		"logit bias":        {with(func(r *chat.Request) { r.Extra = []chat.Extra{{Name: "logit_bias"}} }), true},
		"web search":        {with(func(r *chat.Request) { r.Extra = []chat.Extra{{Name: "web_search_options"}} }), false},
		"an embedding":      {with(func(r *chat.Request) { r.Embedding = &chat.EmbeddingRequest{} }), false},
		"a rerank":          {with(func(r *chat.Request) { r.Rerank = &chat.RerankRequest{} }), false},
		"unheard-of member": {with(func(r *chat.Request) { r.Extra = []chat.Extra{{Name: "messages[0].weight"}} }), false},
	} {
		if got := Cacheable(c.r, config.CacheRules{MaxTemperature: 1}); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

// C14: only whole answers are kept.
func TestC14_only_whole_answers_are_stored(t *testing.T) {
	text := []chat.Part{{Kind: chat.Text, Text: "hi"}}
	one := func(f chat.Finish, ps []chat.Part) *chat.Response {
		return &chat.Response{Choices: []chat.Choice{{Finish: f, Parts: ps}}}
	}
	for name, c := range map[string]struct {
		r    *chat.Response
		want bool
	}{
		"stop":            {one(chat.FinishStop, text), true},
		"stop sequence":   {one(chat.FinishStopSequence, text), true},
		"length":          {one(chat.FinishLength, text), true},
		"thinking first":  {one(chat.FinishStop, append([]chat.Part{{Kind: chat.Thinking, Text: "hm"}}, text...)), true},
		"thinking only":   {one(chat.FinishLength, []chat.Part{{Kind: chat.Thinking, Text: "hm"}}), false},
		"tool calls":      {one(chat.FinishToolCalls, text), false},
		"a call, stopped": {one(chat.FinishStop, append(text[:1:1], chat.Part{Kind: chat.ToolCall, Call: &chat.Call{}})), false},
		"content filter":  {one(chat.FinishContentFilter, text), false},
		"refusal":         {one(chat.FinishRefusal, text), false},
		"refusal part":    {one(chat.FinishStop, append(text[:1:1], chat.Part{Kind: chat.Refusal, Text: "no"})), false},
		"pause":           {one(chat.FinishPause, text), false},
		"context":         {one(chat.FinishContext, text), false},
		"other":           {one(chat.FinishOther, text), false},
		"no finish":       {one("", text), false},
		"no parts":        {one(chat.FinishStop, nil), false},
		"empty text":      {one(chat.FinishStop, []chat.Part{{Kind: chat.Text}}), false},
		"no choices":      {&chat.Response{}, false},
		"nothing":         {nil, false},
		"one of two bad":  {&chat.Response{Choices: []chat.Choice{{Finish: chat.FinishStop, Parts: text}, {Finish: chat.FinishOther, Parts: text}}}, false},
	} {
		if got := Storable(c.r, config.CacheRules{}); got != c.want {
			t.Errorf("%s: got %v", name, got)
		}
	}
}

func entry(n int) *Entry {
	return &Entry{Raw: make([]byte, n), Response: &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Kind: chat.Text, Text: "hi"}}}}}}
}

func keyN(n int) Key {
	r := simple()
	r.Seed = ptr(int64(n))
	return KeyOf(Partition{Tenant: "acme"}, r)
}

type clockAt struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clockAt) now() time.Time          { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clockAt) advance(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func newMemory(t *testing.T, max int64, ttl time.Duration) (*Memory, *clockAt) {
	t.Helper()
	c := &clockAt{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	m := NewMemory(config.Cache{TTL: ttl, MaxBytes: max, MaxEntry: max / 8}, c.now)
	t.Cleanup(m.Close)
	return m, c
}

func TestMemoryKeepsForItsTTL(t *testing.T) {
	ctx := context.Background()
	m, c := newMemory(t, 1<<20, time.Hour)
	if _, ok := m.Get(ctx, keyN(1)); ok {
		t.Fatal("found in an empty cache")
	}
	e := entry(10)
	m.Put(ctx, keyN(1), e)
	c.advance(59 * time.Minute)
	if got, ok := m.Get(ctx, keyN(1)); !ok || got != e {
		t.Error("not found within its time")
	}
	if _, ok := m.Get(ctx, keyN(2)); ok {
		t.Error("another key finds it")
	}
	c.advance(61 * time.Second) // being read does not prolong it
	if _, ok := m.Get(ctx, keyN(1)); ok {
		t.Error("found after its time")
	}
}

func TestMemoryIsBoundedByBytes(t *testing.T) {
	ctx := context.Background()
	const size = 1 << 20
	m, _ := newMemory(t, size, time.Hour)
	for i := range 2000 {
		m.Put(ctx, keyN(i), entry(10_000))
	}
	m.cache.CleanUp()
	n, bytes := m.Usage()
	if bytes > size || n > size/10_000 {
		t.Errorf("%d entries, %d bytes", n, bytes)
	}
	if n < size/10_000/2 {
		t.Errorf("only %d entries are kept", n)
	}
}

func TestMemoryTakesNoHugeEntry(t *testing.T) {
	ctx := context.Background()
	m, _ := newMemory(t, 1<<20, time.Hour)
	m.Put(ctx, keyN(1), entry(100_000))
	m.Put(ctx, keyN(2), entry(200_000))
	m.cache.CleanUp()
	if _, ok := m.Get(ctx, keyN(1)); !ok {
		t.Error("a fitting entry is not there")
	}
	if _, ok := m.Get(ctx, keyN(2)); ok {
		t.Error("an entry of a fifth of the cache was kept")
	}
}

// A request that began before a reload may still use the cache that the reload closed.
func TestMemoryAfterClose(t *testing.T) {
	defer goleak.VerifyNone(t)
	ctx := context.Background()
	m := NewMemory(config.Cache{TTL: time.Hour, MaxBytes: 1 << 20, MaxEntry: 1 << 17}, time.Now)
	m.Put(ctx, keyN(1), entry(10))
	m.Close()
	if _, ok := m.Get(ctx, keyN(1)); ok {
		t.Error("still there")
	}
	m.Put(ctx, keyN(1), entry(10))
	m.Close()
}

func TestSizeCountsEverythingThatCanBeLarge(t *testing.T) {
	const big = 1 << 16
	long, raw := strings.Repeat("x", big), make([]byte, big)
	for name, e := range map[string]*Entry{
		"raw":        {Raw: raw},
		"text":       {Response: &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Text: long}}}}}},
		"signature":  {Response: &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Signature: long}}}}}},
		"call":       {Response: &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Call: &chat.Call{Arguments: long}}}}}}},
		"media":      {Response: &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Media: &chat.Media{Data: long}}}}}}},
		"result":     {Response: &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Result: &chat.Result{Parts: []chat.Part{{Text: long}}}}}}}}},
		"logprobs":   {Response: &chat.Response{Choices: []chat.Choice{{LogProbs: raw}}}},
		"extra":      {Response: &chat.Response{Extra: []chat.Extra{{JSON: raw}}}},
		"part extra": {Response: &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Extra: []chat.Extra{{JSON: raw}}}}}}}},
		"citations":  {Response: &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Citations: []chat.Citation{{Quote: long}}}}}}}},
		"provenance": {Tenant: long},
		"many parts": {Response: &chat.Response{Choices: []chat.Choice{{Parts: make([]chat.Part, 512)}}}},
	} {
		if n := e.Size(); n < big || n > 2*big+1024 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

func TestNone(t *testing.T) {
	var b Backend = None{}
	b.Put(context.Background(), keyN(1), entry(1))
	if _, ok := b.Get(context.Background(), keyN(1)); ok || b.Enabled() {
		t.Error("the cache that is off keeps things")
	}
	var _ Backend = (*Memory)(nil)
}

func TestMemoryConcurrently(t *testing.T) {
	ctx := context.Background()
	m, c := newMemory(t, 1<<16, time.Minute)
	keys := make([]Key, 64)
	for i := range keys {
		keys[i] = keyN(i)
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				k := (i*7 + w) % len(keys)
				if e, ok := m.Get(ctx, keys[k]); ok && e.ID != fmt.Sprint(k) {
					t.Errorf("key %d finds the answer of %s", k, e.ID)
					return
				}
				e := entry(500)
				e.ID = fmt.Sprint(k)
				m.Put(ctx, keys[k], e)
				c.advance(time.Millisecond)
			}
		})
	}
	wg.Wait()
}

func BenchmarkGet(b *testing.B) {
	m := NewMemory(config.Cache{TTL: time.Hour, MaxBytes: 1 << 20, MaxEntry: 1 << 17}, time.Now)
	defer m.Close()
	k := keyN(1)
	m.Put(context.Background(), k, entry(100))
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := m.Get(context.Background(), k); !ok {
			b.Fatal("not found")
		}
	}
}
