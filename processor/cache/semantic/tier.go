// Package semantic is the cache's second tier: it answers a question with the answer to another one that means the same. Vectors
// propose, guards dispose: a candidate must be alike and must not differ in a number, a name, a negation, the order of words or
// anything else that changes answers and hardly changes vectors. START READING AT Tier.Lookup.
package semantic

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
	"dragoman/processor/cache"
	"dragoman/translate/chat"
)

// Embedder makes the vector of a text, of length 1. It keeps to the context's deadline and refuses rather than queue for long.
type Embedder interface {
	Embed(ctx context.Context, text string) ([]float32, error)
}

// Options of New.
type Options struct {
	Config   config.Semantic
	Index    Index
	Embedder Embedder
	Space    string           // names the embedder's model: vectors of two models never meet
	Answers  cache.Backend    // the exact tier
	Now      func() time.Time // nil: time.Now
}

// Tier answers questions from answers to others. It is safe for concurrent use.
type Tier struct {
	o      Options
	guards Set
	counts counters
}

// New makes a tier. What it is given stays the caller's to close.
func New(o Options) *Tier {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Tier{o: o, guards: GuardsOf(o.Config.Guards)}
}

// maxCandidates is how many of the most similar questions are looked at. When the guards refuse so many, the rest is not better.
const maxCandidates = 4

// Query is one request's question. It belongs to one request and is not safe for concurrent use.
type Query struct {
	partition cache.Key
	group     string
	raw       string
	text      *Text
	vector    []float32
	failed    bool // there is no vector, and it was tried
}

// Question makes a query of a request that cache.Cacheable accepts. ok is false when the tier has nothing to do with it: it is no single
// question in text, or too long for one.
func (t *Tier) Question(p cache.Partition, r *chat.Request) (q *Query, ok bool) {
	group := NewGroup(p)
	p.Extra += "\x00" + t.o.Space
	rest, text, ok := cache.Question(p, r, t.o.Config.MultiTurn)
	if !ok || len(text) > t.o.Config.MaxTextBytes {
		return nil, false
	}
	q = &Query{partition: rest, group: group, raw: text, text: Analyse(text)}
	return q, q.text.normal != "" && !q.text.tooLong
}

// Outcome of a lookup, as metrics name it.
type Outcome string

// The outcomes.
const (
	Hit     Outcome = "hit"
	Shadow  Outcome = "shadow"  // would have been a hit; the tier is in shadow mode
	Miss    Outcome = "miss"    // no question is alike
	Refused Outcome = "refused" // one is alike, and a guard objected
	Late    Outcome = "late"    // the deadline passed
	Away    Outcome = "away"    // the embedder or the index does not work
)

// Result of a lookup.
type Result struct {
	Outcome    Outcome
	Answer     *cache.Entry // of a hit, or of what would have been one; shared: not to be written to
	ID         string       // of the entry, for x-dragoman-cache and for feedback
	Similarity float64      // of the hit, or of the best that was refused
	Guard      Guard        // that refused the best candidate
	Embedding  time.Duration
	Searching  time.Duration
}

// Lookup finds an answer. fresh may refuse one that is too old for the request; nil takes all. Whatever goes wrong is a miss, and
// the whole takes no longer than the configured timeout.
func (t *Tier) Lookup(ctx context.Context, q *Query, fresh func(*cache.Entry) bool) Result {
	ctx, cancel := context.WithTimeout(ctx, t.o.Config.Timeout)
	defer cancel()
	r := t.lookup(ctx, q, fresh)
	t.counts.add(&r)
	return r
}

func (t *Tier) lookup(ctx context.Context, q *Query, fresh func(*cache.Entry) bool) (r Result) {
	began := t.o.Now()
	err := t.embed(ctx, q)
	r.Embedding = t.o.Now().Sub(began)
	if err != nil {
		r.Outcome = outcomeOf(err)
		return r
	}
	began = t.o.Now()
	found, err := t.o.Index.Search(ctx, Wanted{q.group, q.partition, q.vector, t.o.Config.Threshold, maxCandidates})
	if err == nil {
		t.choose(ctx, q, found, fresh, &r)
	} else {
		r.Outcome = outcomeOf(err)
	}
	r.Searching = t.o.Now().Sub(began)
	return r
}

// choose takes the first candidate that no guard objects to and whose answer is still there.
func (t *Tier) choose(ctx context.Context, q *Query, found []Candidate, fresh func(*cache.Entry) bool, r *Result) {
	r.Outcome = Miss
	for _, c := range found {
		if g := t.guards.Check(q.text, Analyse(c.Entry.Text), c.Similarity); g != None {
			if r.Outcome != Refused {
				r.Outcome, r.Guard, r.Similarity, r.ID = Refused, g, c.Similarity, c.Entry.ID
			}
			continue
		}
		answer, ok := t.o.Answers.Get(ctx, c.Entry.Key)
		if !ok {
			if ctx.Err() == nil {
				_ = t.o.Index.Remove(ctx, c.Entry.ID) // if it fails, the next lookup tries again
			}
			continue
		}
		if fresh != nil && !fresh(answer) {
			continue
		}
		*r = Result{Outcome: Hit, Answer: answer, ID: c.Entry.ID, Similarity: c.Similarity, Embedding: r.Embedding}
		if t.o.Config.Shadow {
			r.Outcome = Shadow
		}
		_ = t.o.Index.Served(ctx, c.Entry.ID, c.Similarity) // without it, feedback is only less exact
		return
	}
}

// Store remembers the question of an answer that the exact tier has just been given under key. It embeds only when Lookup was
// not called, and waits for the index; the caller has answered its client already.
func (t *Tier) Store(ctx context.Context, q *Query, key cache.Key, e *cache.Entry) error {
	if q.vector == nil && q.failed {
		return nil
	}
	if err := t.embed(ctx, q); err != nil {
		return err
	}
	return t.o.Index.Add(ctx, &Entry{
		ID: NewID(q.group, q.partition, key), Group: q.group, Partition: q.partition, Text: q.raw, Vector: q.vector, Key: key,
		Tenant: e.Tenant, Asked: e.Asked, Model: e.Model, Provider: e.Provider, Exchange: e.ID, Stored: e.Stored,
	})
}

func (t *Tier) embed(ctx context.Context, q *Query) error {
	if q.vector != nil {
		return nil
	}
	v, err := t.o.Embedder.Embed(ctx, q.text.normal)
	q.vector, q.failed = v, err != nil
	return err
}

func outcomeOf(err error) Outcome {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return Late
	}
	return Away
}

// Shadowing says whether the tier only reports what it would serve.
func (t *Tier) Shadowing() bool { return t.o.Config.Shadow }

// Purge implements cache.Admin.
func (t *Tier) Purge(ctx context.Context, f cache.Filter) (int, error) {
	return t.o.Index.Purge(ctx, f)
}

// Feedback implements cache.Admin. key is the ID of a hit.
func (t *Tier) Feedback(ctx context.Context, key string, wrong bool) (bool, error) {
	return t.o.Index.Feedback(ctx, key, wrong)
}

// Counts is what became of all lookups since New.
type Counts struct {
	Outcomes map[Outcome]int64
	Refused  map[Guard]int64 // lookups whose best candidate a guard refused, by guard
}

type counters struct {
	outcomes [6]atomic.Int64
	guards   [8]atomic.Int64
}

var outcomes = [...]Outcome{Hit, Shadow, Miss, Refused, Late, Away}

func (c *counters) add(r *Result) {
	for i, o := range outcomes {
		if o == r.Outcome {
			c.outcomes[i].Add(1)
		}
	}
	for i, g := range Guards {
		if g == r.Guard {
			c.guards[i].Add(1)
		}
	}
}

// Counts reads the counters.
func (t *Tier) Counts() Counts {
	out := Counts{Outcomes: map[Outcome]int64{}, Refused: map[Guard]int64{}}
	for i, o := range outcomes {
		out.Outcomes[o] = t.counts.outcomes[i].Load()
	}
	for i, g := range Guards {
		out.Refused[g] = t.counts.guards[i].Load()
	}
	return out
}

// GuardsOf is the set that a configuration leaves on.
func GuardsOf(c config.SemanticGuards) Set {
	s := All
	for g, on := range map[Guard]bool{Numbers: c.Numbers, Negation: c.Negation, Entities: c.Entities, Order: c.Order,
		Substitution: c.Substitution, Scope: c.Scope, Length: c.Length, Script: c.Script} {
		if !on {
			s = s.Without(g)
		}
	}
	return s
}
