package semantic_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"dragoman/internal/store/storetest"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time       { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) pass(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func TestMemoryPassesTheSuite(t *testing.T) {
	storetest.Semantic(t, func(_ *testing.T, entries int, ttl time.Duration) (semantic.Index, func() time.Time, func(time.Duration)) {
		c := newClock()
		return semantic.NewMemory(semantic.MemoryOptions{MaxEntries: entries, MaxBytes: 64 << 20, TTL: ttl, Now: c.now}), c.now, c.pass
	})
}

func random(r *rand.Rand, dims int) []float32 {
	v := make([]float32, dims)
	var sum float64
	for i := range v {
		v[i] = float32(r.NormFloat64())
		sum += float64(v[i]) * float64(v[i])
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(sum))
	}
	return v
}

func item(tenant string, n int, v []float32, at time.Time) *semantic.Entry {
	p := cache.Partition{Tenant: tenant}
	group, key := semantic.NewGroup(p), storetest.CacheKey(n)
	partition := storetest.CacheKey(len(tenant) * 1_000_000)
	return &semantic.Entry{ID: semantic.NewID(group, partition, key), Group: group, Partition: partition, Text: fmt.Sprint(n), Vector: v,
		Key: key, Tenant: tenant, Stored: at}
}

// TestMemoryIsBoundedByBytes, and accounts for every byte that it takes.
func TestMemoryIsBoundedByBytes(t *testing.T) {
	c := newClock()
	const most = 1 << 20
	m := semantic.NewMemory(semantic.MemoryOptions{MaxEntries: 1 << 20, MaxBytes: most, TTL: time.Hour, Now: c.now})
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 2000 {
		if err := m.Add(t.Context(), item("acme", i, random(r, 384), c.now())); err != nil {
			t.Fatal(err)
		}
		if n, bytes := m.Usage(); bytes > most || n == 0 {
			t.Fatalf("%d entries, %d bytes", n, bytes)
		}
	}
	if n, _ := m.Usage(); n < most/4096 {
		t.Errorf("only %d entries", n)
	}
	huge := item("acme", 5000, random(r, 384), c.now())
	huge.Text = string(make([]byte, most/4))
	if err := m.Add(t.Context(), huge); err != nil {
		t.Fatal(err)
	}
	if found, err := m.Feedback(t.Context(), huge.ID, false); found || err != nil {
		t.Error("an entry of a quarter of the whole was kept")
	}
	if _, err := m.Purge(t.Context(), cache.Filter{}); err != nil {
		t.Fatal(err)
	}
	if n, bytes := m.Usage(); n != 0 || bytes != 0 {
		t.Errorf("after a purge of all: %d entries, %d bytes", n, bytes)
	}
}

// TestOneBusyTenantDoesNotEmptyTheOthers: what has to go is taken from whoever holds most.
func TestOneBusyTenantDoesNotEmptyTheOthers(t *testing.T) {
	c := newClock()
	m := semantic.NewMemory(semantic.MemoryOptions{MaxEntries: 100, MaxBytes: 1 << 30, TTL: time.Hour, Now: c.now})
	r := rand.New(rand.NewPCG(1, 1))
	quiet := item("quiet", 1, random(r, 384), c.now())
	if err := m.Add(t.Context(), quiet); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if err := m.Add(t.Context(), item("busy", i, random(r, 384), c.now())); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := m.Feedback(t.Context(), quiet.ID, false); !found {
		t.Error("it is gone")
	}
	if n, _ := m.Usage(); n > 100 {
		t.Errorf("%d entries", n)
	}
}

// TestWhatIsUsedStays a turn longer than what is not.
func TestWhatIsUsedStays(t *testing.T) {
	c := newClock()
	m := semantic.NewMemory(semantic.MemoryOptions{MaxEntries: 20, MaxBytes: 1 << 30, TTL: time.Hour, Now: c.now})
	r := rand.New(rand.NewPCG(1, 1))
	first := item("acme", 0, random(r, 384), c.now())
	for i := range 60 {
		e := first
		if i > 0 {
			e = item("acme", i, random(r, 384), c.now())
		}
		if err := m.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := m.Served(t.Context(), first.ID, 0.96); err != nil {
			t.Fatal(err)
		}
	}
	if found, _ := m.Feedback(t.Context(), first.ID, false); !found {
		t.Error("what is used all the time was dropped")
	}
}

// BenchmarkMemorySearch goes over a hundred thousand questions: none alike, and all about one thing (as in a partition of a single topic),
// where no shortcut helps.
func BenchmarkMemorySearch(b *testing.B) {
	for _, c := range []struct {
		name   string
		common float64
	}{{"unlike", 0}, {"one_topic", 0.9}} {
		b.Run(c.name, func(b *testing.B) {
			now := time.Now()
			m := semantic.NewMemory(semantic.MemoryOptions{MaxEntries: 200_000, MaxBytes: 1 << 30, TTL: time.Hour, Now: time.Now})
			r := rand.New(rand.NewPCG(1, 1))
			topic := random(r, 384)
			about := func() []float32 {
				v := random(r, 384)
				for i := range v {
					v[i] = float32(c.common*float64(topic[i]) + math.Sqrt(1-c.common*c.common)*float64(v[i]))
				}
				return v
			}
			for i := range 100_000 {
				if err := m.Add(b.Context(), item("acme", i, about(), now)); err != nil {
					b.Fatal(err)
				}
			}
			e := item("acme", 0, about(), now)
			w := semantic.Wanted{Group: e.Group, Partition: e.Partition, Vector: e.Vector, Least: 0.95, Limit: 4}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Search(b.Context(), w); err != nil {
					b.Fatal(err)
				}
			}
			_, bytes := m.Usage()
			b.ReportMetric(float64(bytes)/100_000, "bytes/entry")
		})
	}
}
