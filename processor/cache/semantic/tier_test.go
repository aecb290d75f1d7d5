package semantic_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/internal/embed"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/translate/chat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// answers is an exact tier without limits.
type answers struct {
	mu sync.Mutex
	m  map[cache.Key]*cache.Entry
}

func (a *answers) Enabled() bool { return true }
func (a *answers) Get(_ context.Context, k cache.Key) (*cache.Entry, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e, ok := a.m[k]
	return e, ok
}
func (a *answers) Put(_ context.Context, k cache.Key, e *cache.Entry) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.m[k] = e
}

type embedder func(ctx context.Context, text string) ([]float32, error)

func (f embedder) Embed(ctx context.Context, text string) ([]float32, error) { return f(ctx, text) }

func settings() config.Semantic {
	return config.Semantic{On: true, Threshold: 0.95, MaxEntries: 1000, MaxBytes: 8 << 20, TTL: time.Hour, Timeout: 10 * time.Second, MaxTextBytes: 1000,
		Guards: config.SemanticGuards{Numbers: true, Negation: true, Entities: true, Order: true, Substitution: true, Scope: true, Length: true, Script: true}}
}

type fixture struct {
	*semantic.Tier
	t       testing.TB
	answers *answers
	index   *semantic.Memory
	clock   *clock
	n       int
}

func newFixture(t testing.TB, c config.Semantic, e semantic.Embedder) *fixture {
	t.Helper()
	f := &fixture{t: t, answers: &answers{m: map[cache.Key]*cache.Entry{}}, clock: newClock()}
	f.index = semantic.NewMemory(semantic.MemoryOptions{MaxEntries: c.MaxEntries, MaxBytes: c.MaxBytes, TTL: c.TTL, Now: f.clock.now})
	f.Tier = semantic.New(semantic.Options{Config: c, Index: f.index, Embedder: e, Space: "test", Answers: f.answers, Now: f.clock.now})
	return f
}

// local is the real model, which `make embedder` fetches.
func local(t *testing.T) semantic.Embedder {
	t.Helper()
	folder := os.Getenv("DRAGOMAN_EMBEDDER")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", ".tools", "embedder")
	}
	l, err := embed.NewLocal(embed.LocalOptions{Folder: folder})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	if err := l.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func ask(tenant, system, text string) (cache.Partition, *chat.Request) {
	r := &chat.Request{Model: "auto"}
	if system != "" {
		r.Messages = append(r.Messages, chat.Message{Role: chat.System, Parts: []chat.Part{{Kind: chat.Text, Text: system}}})
	}
	r.Messages = append(r.Messages, chat.Message{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: text}}})
	return cache.Partition{Tenant: tenant, Route: "auto"}, r
}

// put answers a question and remembers it.
func (f *fixture) put(tenant, system, text string) *cache.Entry {
	f.t.Helper()
	p, r := ask(tenant, system, text)
	q, ok := f.Question(p, r)
	if !ok {
		f.t.Fatalf("%q is no question", text)
	}
	f.n++
	e := &cache.Entry{ID: "x" + text, Tenant: tenant, Asked: "auto", Model: "m", Stored: f.clock.now()}
	key := cache.KeyOf(p, r)
	f.answers.Put(f.t.Context(), key, e)
	if err := f.Store(f.t.Context(), q, key, e); err != nil {
		f.t.Fatal(err)
	}
	return e
}

func (f *fixture) get(tenant, system, text string) semantic.Result {
	f.t.Helper()
	q, ok := f.Question(ask(tenant, system, text))
	if !ok {
		f.t.Fatalf("%q is no question", text)
	}
	return f.Lookup(f.t.Context(), q, nil)
}

func TestTierWithTheRealModel(t *testing.T) {
	f := newFixture(t, settings(), local(t))
	want := f.put("acme", "Be brief.", "How do I cancel my hotel booking?")
	f.put("acme", "Be brief.", "How do I enable two-factor authentication?")
	hit := f.get("acme", "Be brief.", "Hi, how can I cancel a hotel booking please?")
	if hit.Outcome != semantic.Hit || hit.Answer != want || hit.Similarity < 0.95 || len(hit.ID) != 40 {
		t.Errorf("a paraphrase: %+v", hit)
	}
	for name, c := range map[string]struct {
		tenant, system, text string
		outcome              semantic.Outcome
		guard                semantic.Guard
	}{
		"another tenant":        {"globex", "Be brief.", "How do I cancel my hotel booking?", semantic.Miss, ""},
		"another system prompt": {"acme", "Be rude.", "How do I cancel my hotel booking?", semantic.Miss, ""},
		"none":                  {"acme", "", "How do I cancel my hotel booking?", semantic.Miss, ""},
		"another question":      {"acme", "Be brief.", "What is the capital of France?", semantic.Miss, ""},
		"the opposite":          {"acme", "Be brief.", "How do I not cancel my hotel booking?", semantic.Refused, semantic.Negation},
	} {
		if r := f.get(c.tenant, c.system, c.text); r.Outcome != c.outcome || r.Guard != c.guard || r.Answer != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
	counts := f.Counts()
	if counts.Outcomes[semantic.Hit] != 1 || counts.Outcomes[semantic.Miss] != 4 || counts.Refused[semantic.Negation] != 1 {
		t.Errorf("%+v", counts)
	}
}

// axis embeds each text as a vector that its test chose.
func axis(vectors map[string][]float32) embedder {
	return func(_ context.Context, text string) ([]float32, error) {
		v, ok := vectors[text]
		if !ok {
			return nil, errors.New("no vector for " + text)
		}
		return v, nil
	}
}

var pair = axis(map[string][]float32{"how to bake bread?": {1, 0}, "how to bake bread now?": {0.97, 0.2431}, "here how to bake bread?": {0.955, 0.2966}})

func TestWrongHitRaisesTheThreshold(t *testing.T) {
	f := newFixture(t, settings(), pair)
	f.put("acme", "", "How do I bake bread?")
	far := f.get("acme", "", "Here: how to bake bread?")
	if far.Outcome != semantic.Hit {
		t.Fatalf("%+v", far)
	}
	if found, err := f.Feedback(t.Context(), far.ID, true); !found || err != nil {
		t.Fatal(found, err)
	}
	if r := f.get("acme", "", "Here: how to bake bread?"); r.Outcome != semantic.Miss {
		t.Errorf("the same question again: %+v", r)
	}
	if r := f.get("acme", "", "how to bake bread now"); r.Outcome != semantic.Hit {
		t.Errorf("a question that is more alike: %+v", r)
	}
	if n, err := f.Purge(t.Context(), cache.Filter{Key: far.ID}); n != 1 || err != nil {
		t.Error(n, err)
	}
	if r := f.get("acme", "", "how to bake bread now"); r.Outcome != semantic.Miss {
		t.Errorf("after the purge: %+v", r)
	}
}

func TestShadowServesNothing(t *testing.T) {
	c := settings()
	c.Shadow = true
	f := newFixture(t, c, pair)
	want := f.put("acme", "", "How do I bake bread?")
	r := f.get("acme", "", "how to bake bread now")
	if r.Outcome != semantic.Shadow || r.Answer != want || r.Similarity < 0.96 || !f.Shadowing() {
		t.Errorf("%+v", r)
	}
	if n := f.Counts().Outcomes[semantic.Shadow]; n != 1 {
		t.Errorf("counted %d", n)
	}
}

// TestAnswerThatIsGone: its question is forgotten too, so that it costs one look only.
func TestAnswerThatIsGone(t *testing.T) {
	f := newFixture(t, settings(), pair)
	f.put("acme", "", "How do I bake bread?")
	clear(f.answers.m)
	if r := f.get("acme", "", "how to bake bread now"); r.Outcome != semantic.Miss {
		t.Errorf("%+v", r)
	}
	if n, _ := f.index.Usage(); n != 0 {
		t.Errorf("%d questions are left", n)
	}
}

func TestAnswerThatIsTooOldForTheClient(t *testing.T) {
	f := newFixture(t, settings(), pair)
	f.put("acme", "", "How do I bake bread?")
	q, _ := f.Question(ask("acme", "", "how to bake bread now"))
	if r := f.Lookup(t.Context(), q, func(*cache.Entry) bool { return false }); r.Outcome != semantic.Miss {
		t.Errorf("%+v", r)
	}
	if n, _ := f.index.Usage(); n != 1 {
		t.Error("it was forgotten for the others too")
	}
}

func TestEmbedderFails(t *testing.T) {
	calls := 0
	f := newFixture(t, settings(), embedder(func(context.Context, string) ([]float32, error) { calls++; return nil, embed.ErrAway }))
	q, _ := f.Question(ask("acme", "", "How do I bake bread?"))
	if r := f.Lookup(t.Context(), q, nil); r.Outcome != semantic.Away {
		t.Errorf("%+v", r)
	}
	if err := f.Store(t.Context(), q, cache.Key{}, &cache.Entry{}); err != nil || calls != 1 {
		t.Errorf("stored with %v after %d calls: a text is embedded once", err, calls)
	}
	c := settings()
	c.Timeout = 10 * time.Millisecond
	f = newFixture(t, c, embedder(func(ctx context.Context, _ string) ([]float32, error) { <-ctx.Done(); return nil, ctx.Err() }))
	began := time.Now()
	if r := f.get("acme", "", "How do I bake bread?"); r.Outcome != semantic.Late || time.Since(began) > 2*time.Second {
		t.Errorf("%+v after %v", r, time.Since(began))
	}
}

func TestTextIsEmbeddedOnce(t *testing.T) {
	calls := 0
	f := newFixture(t, settings(), embedder(func(context.Context, string) ([]float32, error) { calls++; return []float32{1, 0}, nil }))
	p, r := ask("acme", "", "How do I bake bread?")
	q, _ := f.Question(p, r)
	if res := f.Lookup(t.Context(), q, nil); res.Outcome != semantic.Miss {
		t.Errorf("%+v", res)
	}
	if err := f.Store(t.Context(), q, cache.KeyOf(p, r), &cache.Entry{Stored: f.clock.now()}); err != nil || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if n, _ := f.index.Usage(); n != 1 {
		t.Error("not stored")
	}
}

func TestWhatIsNoQuestion(t *testing.T) {
	f := newFixture(t, settings(), pair)
	for name, text := range map[string]string{"signs": "?!…", "long": string(make([]byte, 1001)), "many words": words(600)} {
		if _, ok := f.Question(ask("acme", "", text)); ok {
			t.Errorf("%s was taken", name)
		}
	}
	p, r := ask("acme", "", "And why?")
	r.Messages = append(r.Messages[:1:1], chat.Message{Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.Text, Text: "So."}}}, r.Messages[0])
	if _, ok := f.Question(p, r); ok {
		t.Error("a conversation was taken")
	}
}

func words(n int) string {
	b := make([]byte, 0, 2*n)
	for range n {
		b = append(b, "a "...)
	}
	return string(b)
}

// TestModelsNeverMeet: what one embedder stored is not compared with another one's vectors.
func TestModelsNeverMeet(t *testing.T) {
	f := newFixture(t, settings(), pair)
	f.put("acme", "", "How do I bake bread?")
	other := semantic.New(semantic.Options{Config: settings(), Index: f.index, Embedder: pair, Space: "other", Answers: f.answers})
	q, _ := other.Question(ask("acme", "", "how to bake bread now"))
	if r := other.Lookup(t.Context(), q, nil); r.Outcome != semantic.Miss {
		t.Errorf("%+v", r)
	}
}

func TestGuardsOf(t *testing.T) {
	if semantic.GuardsOf(settings().Guards) != semantic.All || semantic.GuardsOf(config.SemanticGuards{}) != 0 {
		t.Error("not all, or not none")
	}
	if s := semantic.GuardsOf(config.SemanticGuards{Order: true}); s != semantic.Only(semantic.Order) {
		t.Errorf("%b", s)
	}
}

// FuzzTenantsNeverMeet: two requests share an answer only when all but the last user's text is the same, here where every text is like every
// other and no guard is on.
func FuzzTenantsNeverMeet(f *testing.F) {
	f.Add("acme", "globex", "", "", "", "", "Be brief.", "Be brief.", "Who is it?", "Where is it?")
	f.Add("acme", "acme", "", "acme", "auto", "auto", "", "", "a", "b")
	f.Add("a", "b", "shared", "shared", "r", "r", "s", "s", "a", "b")
	f.Add("a\x00", "a", "", "", "\x00r", "r", "s", "s", "a", "b")
	all := embedder(func(context.Context, string) ([]float32, error) { return []float32{1, 0}, nil })
	c := settings()
	c.Guards = config.SemanticGuards{}
	f.Fuzz(func(t *testing.T, tenantA, tenantB, scopeA, scopeB, routeA, routeB, systemA, systemB, textA, textB string) {
		x := newFixture(t, c, all)
		pa, ra := ask(tenantA, systemA, textA)
		pb, rb := ask(tenantB, systemB, textB)
		pa.Scope, pa.Route, pb.Scope, pb.Route = scopeA, routeA, scopeB, routeB
		qa, ok := x.Question(pa, ra)
		qb, ok2 := x.Question(pb, rb)
		if !ok || !ok2 {
			return
		}
		key := cache.KeyOf(pa, ra)
		e := &cache.Entry{ID: "x", Tenant: tenantA, Stored: x.clock.now()}
		x.answers.Put(t.Context(), key, e)
		if err := x.Store(t.Context(), qa, key, e); err != nil {
			t.Fatal(err)
		}
		owner := func(p cache.Partition) [2]string {
			if p.Scope != "" {
				return [2]string{"scope", p.Scope}
			}
			return [2]string{"tenant", p.Tenant}
		}
		same := owner(pa) == owner(pb) && routeA == routeB && systemA == systemB
		if hit := x.Lookup(t.Context(), qb, nil).Outcome == semantic.Hit; hit != same {
			t.Errorf("%+v %q and %+v %q: hit %t", pa, systemA, pb, systemB, hit)
		}
	})
}
