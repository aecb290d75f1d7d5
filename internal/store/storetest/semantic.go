package storetest

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/translate/chat"
)

// OpenSemantic makes an empty index for one test, of at most so many entries a partition that live for ttl. pass lets time pass, for the
// index and for the clock that it was given.
type OpenSemantic func(t *testing.T, entries int, ttl time.Duration) (x semantic.Index, now func() time.Time, pass func(time.Duration))

// Semantic is the suite of the semantic tier's indexes.
func Semantic(t *testing.T, open OpenSemantic) {
	for name, test := range map[string]func(*testing.T, OpenSemantic){
		"Search": searchFinds, "Exact": searchIsExact, "Partitions": partitionsNeverMeet, "Threshold": ownThreshold, "Replace": sameAnswerTwice,
		"Remove": removed, "Ends": entriesEnd, "Bounded": bounded, "Purge": purgeSemantic, "Width": anotherWidth, "Concurrently": concurrentIndex,
		"CanceledContext": canceledSearch, "UnknownIDs": unknownIDs,
	} {
		t.Run(name, func(t *testing.T) { test(t, open) })
	}
}

const dims = 384

// unit is a random vector of length 1, the same for each seed.
func unit(seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 7))
	v := make([]float32, dims)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return normal(v)
}

func normal(v []float32) []float32 {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / math.Sqrt(sum))
	}
	return v
}

// near is a vector with about this cosine to v.
func near(v []float32, cosine float64, seed uint64) []float32 {
	other := unit(seed)
	out := make([]float32, len(v))
	for i := range v {
		out[i] = float32(cosine*float64(v[i]) + math.Sqrt(1-cosine*cosine)*float64(other[i]))
	}
	return normal(out)
}

func place(tenant string) (group string, partition cache.Key) {
	p := cache.Partition{Tenant: tenant, Route: "auto"}
	partition, _, _ = cache.Question(p, &chat.Request{Model: "auto", Messages: []chat.Message{
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "x"}}}}}, false)
	return semantic.NewGroup(p), partition
}

func question(tenant string, n int, v []float32, stored time.Time) *semantic.Entry {
	group, partition := place(tenant)
	key := CacheKey(n)
	return &semantic.Entry{ID: semantic.NewID(group, partition, key), Group: group, Partition: partition, Text: fmt.Sprintf("question %d?", n),
		Vector: v, Key: key, Tenant: tenant, Asked: "auto", Model: "gpt-5", Provider: "openai", Exchange: "x1", Stored: stored.Round(0)}
}

func add(t *testing.T, x semantic.Index, es ...*semantic.Entry) {
	t.Helper()
	for _, e := range es {
		if err := x.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func search(t *testing.T, x semantic.Index, tenant string, v []float32, least float64) []semantic.Candidate {
	t.Helper()
	group, partition := place(tenant)
	found, err := x.Search(t.Context(), semantic.Wanted{Group: group, Partition: partition, Vector: v, Least: least, Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func searchFinds(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 100, time.Hour)
	v := unit(1)
	if found := search(t, x, "acme", v, 0.9); len(found) != 0 {
		t.Fatalf("an empty index finds %d", len(found))
	}
	a, b := question("acme", 1, v, now()), question("acme", 2, near(v, 0.96, 2), now())
	add(t, x, a, b, question("acme", 3, near(v, 0.8, 3), now()), question("acme", 4, unit(4), now()))
	found := search(t, x, "acme", v, 0.95)
	if len(found) != 2 || found[0].Entry.ID != a.ID || found[1].Entry.ID != b.ID {
		t.Fatalf("found %+v", found)
	}
	if math.Abs(found[0].Similarity-1) > 1e-5 || math.Abs(found[1].Similarity-semantic.Similarity(v, b.Vector)) > 1e-5 {
		t.Errorf("similarities %v %v", found[0].Similarity, found[1].Similarity)
	}
	got, want := *found[1].Entry, *b
	got.Vector, want.Vector = nil, nil // an index may keep it elsewhere
	if d := cmp.Diff(want, got, cmp.Comparer(func(a, b cache.Key) bool { return a == b }), cmp.Comparer(time.Time.Equal)); d != "" {
		t.Error(d)
	}
}

// searchIsExact: among thousands, a search finds what going over all of them finds.
func searchIsExact(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 10_000, time.Hour)
	queries := make([][]float32, 20)
	for i := range queries {
		queries[i] = unit(uint64(1000 + i))
	}
	var all []*semantic.Entry
	for i := range 2000 {
		v := unit(uint64(5000 + i))
		if i%10 == 0 {
			v = near(queries[i/10%len(queries)], 0.9+0.0099*float64(i%97)/9.7, uint64(i))
		}
		all = append(all, question("acme", i, v, now()))
	}
	add(t, x, all...)
	for n, q := range queries {
		var want []semantic.Candidate
		for _, e := range all {
			if s := semantic.Similarity(q, e.Vector); s >= 0.93 {
				want = append(want, semantic.Candidate{Entry: e, Similarity: s})
			}
		}
		semantic.Best(&want, 3)
		found := search(t, x, "acme", q, 0.93)
		if len(found) != len(want) {
			t.Errorf("query %d: found %d of %d", n, len(found), len(want))
			continue
		}
		for i := range want {
			if found[i].Entry.ID != want[i].Entry.ID {
				t.Errorf("query %d: in place %d %v instead of %v", n, i, found[i].Similarity, want[i].Similarity)
			}
		}
	}
}

func partitionsNeverMeet(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 100, time.Hour)
	v := unit(1)
	add(t, x, question("acme", 1, v, now()))
	if found := search(t, x, "globex", v, 0.5); len(found) != 0 {
		t.Error("another tenant finds it")
	}
	group, partition := place("acme")
	_, other := place("globex")
	for _, w := range []semantic.Wanted{{Group: group, Partition: other, Vector: v, Least: 0.5, Limit: 3}, {Group: group, Partition: partition, Vector: v, Least: 1.1, Limit: 3}} {
		if found, err := x.Search(t.Context(), w); err != nil || len(found) != 0 {
			t.Errorf("%d found, %v", len(found), err)
		}
	}
}

// ownThreshold: a wrong hit raises the threshold of its entry, and of no other, above that hit's similarity.
func ownThreshold(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 100, time.Hour)
	v := unit(1)
	a, b := question("acme", 1, near(v, 0.97, 2), now()), question("acme", 2, near(v, 0.955, 3), now())
	add(t, x, a, b)
	served := semantic.Similarity(v, a.Vector)
	for _, s := range []float64{served, served - 0.01} { // the most similar hit counts
		if err := x.Served(t.Context(), a.ID, s); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := x.Feedback(t.Context(), a.ID, false); !found || err != nil {
		t.Error(found, err)
	}
	if n := len(search(t, x, "acme", v, 0.95)); n != 2 {
		t.Errorf("after it was called right: %d found", n)
	}
	if found, err := x.Feedback(t.Context(), a.ID, true); !found || err != nil {
		t.Error(found, err)
	}
	if found := search(t, x, "acme", v, 0.95); len(found) != 1 || found[0].Entry.ID != b.ID {
		t.Errorf("after it was called wrong: %d found", len(found))
	}
	if found := search(t, x, "acme", a.Vector, 0.95); len(found) == 0 || found[0].Entry.ID != a.ID {
		t.Error("its own question does not find it any more")
	}
	if found, err := x.Feedback(t.Context(), b.ID, true); !found || err != nil { // never served, as far as is known
		t.Error(found, err)
	}
	if n := len(search(t, x, "acme", v, 0.95)); n != 0 {
		t.Errorf("%d found after both were wrong", n)
	}
}

func sameAnswerTwice(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 100, time.Hour)
	e := question("acme", 1, unit(1), now())
	add(t, x, e, e)
	moved := *e
	moved.Vector = unit(2)
	add(t, x, &moved)
	if n := len(search(t, x, "acme", unit(1), 0.9)) + 10*len(search(t, x, "acme", unit(2), 0.9)); n != 10 {
		t.Errorf("found %d", n)
	}
}

func removed(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 100, time.Hour)
	a, b := question("acme", 1, unit(1), now()), question("acme", 2, unit(2), now())
	add(t, x, a, b)
	if err := x.Remove(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if n := len(search(t, x, "acme", unit(1), 0.9)); n != 0 {
		t.Error("it is still found")
	}
	if n := len(search(t, x, "acme", unit(2), 0.9)); n != 1 {
		t.Error("another one is gone")
	}
}

func entriesEnd(t *testing.T, open OpenSemantic) {
	const ttl = time.Second
	x, now, pass := open(t, 100, ttl)
	v := unit(1)
	add(t, x, question("acme", 1, v, now()))
	if len(search(t, x, "acme", v, 0.9)) != 1 {
		t.Fatal("it is not there")
	}
	pass(ttl + 100*time.Millisecond)
	add(t, x, question("acme", 2, near(v, 0.95, 2), now())) // the partition lives on
	if found := search(t, x, "acme", v, 0.9); len(found) != 1 || found[0].Entry.Key != CacheKey(2) {
		t.Errorf("found %d", len(found))
	}
}

func bounded(t *testing.T, open OpenSemantic) {
	const most = 50
	x, now, pass := open(t, most, time.Hour)
	for i := range 3 * most {
		add(t, x, question("acme", i, unit(uint64(i)), now()))
		pass(time.Millisecond)
	}
	left, late := 0, 0
	for i := range 3 * most {
		if n := len(search(t, x, "acme", unit(uint64(i)), 0.9)); n > 0 {
			left++
			if i >= most {
				late++
			}
		}
	}
	if left > most+1 || left < most/2 || late < left*3/4 {
		t.Errorf("%d of %d are left, %d of them not from the first %d", left, most, late, most)
	}
}

func purgeSemantic(t *testing.T, open OpenSemantic) {
	x, now, pass := open(t, 100, time.Hour)
	fill := func() {
		add(t, x, question("acme", 1, unit(1), now()), question("acme", 2, unit(2), now()), question("globex", 3, unit(3), now()))
		other := question("globex", 4, unit(4), now())
		other.Model = "claude"
		add(t, x, other)
	}
	fill()
	id := question("acme", 1, nil, now()).ID
	pass(20 * time.Millisecond)
	for _, c := range []struct {
		f    cache.Filter
		want int
	}{
		{cache.Filter{Tenant: "nobody"}, 0}, {cache.Filter{OlderThan: time.Hour}, 0}, {cache.Filter{Key: id, Tenant: "globex"}, 0},
		{cache.Filter{Key: CacheKey(1).String()}, 0}, // a key of the exact tier
		{cache.Filter{Key: id}, 1}, {cache.Filter{Model: "claude"}, 1}, {cache.Filter{Tenant: "acme", Model: "auto"}, 1},
		{cache.Filter{OlderThan: 10 * time.Millisecond}, 1}, {cache.Filter{}, 0},
	} {
		if n, err := x.Purge(t.Context(), c.f); n != c.want || err != nil {
			t.Errorf("%+v: %d removed, %v", c.f, n, err)
		}
	}
	fill()
	if n, err := x.Purge(t.Context(), cache.Filter{}); n != 4 || err != nil {
		t.Errorf("all: %d removed, %v", n, err)
	}
	if n := len(search(t, x, "acme", unit(1), 0.5)); n != 0 {
		t.Error("something is left")
	}
}

// anotherWidth: vectors of another model replace those that they cannot be compared with.
func anotherWidth(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 100, time.Hour)
	add(t, x, question("acme", 1, unit(1), now()))
	short := normal(unit(2)[:64])
	if n := len(search(t, x, "acme", short, 0.5)); n != 0 {
		t.Error("a vector of another width finds something")
	}
	add(t, x, question("acme", 2, short, now()))
	if n := len(search(t, x, "acme", short, 0.9)); n != 1 {
		t.Error("the new one is not found")
	}
}

func concurrentIndex(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 200, time.Hour)
	var crowd sync.WaitGroup
	for g := range 4 {
		crowd.Go(func() {
			tenant := fmt.Sprintf("tenant%d", g%2)
			for i := range 100 {
				e := question(tenant, i, unit(uint64(i)), now())
				if err := x.Add(context.Background(), e); err != nil {
					t.Error(err)
					return
				}
				for _, c := range search(t, x, tenant, e.Vector, 0.9) {
					if c.Entry.Tenant != tenant {
						t.Errorf("%s found an entry of %s", tenant, c.Entry.Tenant)
					}
				}
				_ = x.Served(context.Background(), e.ID, 0.97)
				if i%10 == 0 {
					_ = x.Remove(context.Background(), e.ID)
					_, _ = x.Feedback(context.Background(), e.ID, true)
				}
			}
		})
	}
	crowd.Wait()
}

func canceledSearch(t *testing.T, open OpenSemantic) {
	x, now, _ := open(t, 100, time.Hour)
	add(t, x, question("acme", 1, unit(1), now()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	group, partition := place("acme")
	if found, err := x.Search(ctx, semantic.Wanted{Group: group, Partition: partition, Vector: unit(1), Least: 0.9, Limit: 1}); !errors.Is(err, context.Canceled) || len(found) != 0 {
		t.Errorf("%d found, %v", len(found), err)
	}
}

func unknownIDs(t *testing.T, open OpenSemantic) {
	x, _, _ := open(t, 100, time.Hour)
	group, partition := place("acme")
	for _, id := range []string{"", "x", CacheKey(1).String(), semantic.NewID(group, partition, CacheKey(1)), "{}*:" + CacheKey(1).String()[:36]} {
		if found, err := x.Feedback(t.Context(), id, true); found || err != nil {
			t.Errorf("feedback to %q: %v %v", id, found, err)
		}
		if err := errors.Join(x.Remove(t.Context(), id), x.Served(t.Context(), id, 1)); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
}
