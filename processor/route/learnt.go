package route

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
)

// Learnt is what routing has found out from the requests that went before: how long models take, how long a route's answers get, how
// much of its limits each credential has left, and how the arms of canaries and experiments do. One process has one; a nil Learnt knows
// nothing. It is safe for concurrent use.
type Learnt struct {
	models   table[string, pace]                     // by config.Model.Ref
	outputs  table[string, output]                   // by route
	clusters table[config.ClusterName, clusterState] //
	granted  table[string, grant]                    // by config.CredentialLimits.ID
	trials   table[string, trial]                    // by canary
	arms     table[armKey, Arm]                      //
	shared   func() Shared                           // see ShareBy
}

// NewLearnt makes one that knows nothing yet.
func NewLearnt() *Learnt { return &Learnt{} }

// maxLearnt bounds how many things of one kind are remembered.
const maxLearnt = 2000

// table finds a key's value without a lock. It is copied to grow, which happens once for each key.
type table[K comparable, V any] struct {
	mu sync.Mutex
	m  atomic.Pointer[map[K]*V]
}

// get is nil when there is none.
func (t *table[K, V]) get(k K) *V {
	if m := t.m.Load(); m != nil {
		return (*m)[k]
	}
	return nil
}

// ensure finds or makes a key's value; nil when there are too many. clone gives the key memory of its own.
func (t *table[K, V]) ensure(k K, clone func(K) K) *V {
	if v := t.get(k); v != nil {
		return v
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := map[K]*V{}
	if m := t.m.Load(); m != nil {
		old = *m
	}
	if v := old[k]; v != nil || len(old) >= maxLearnt {
		return v
	}
	next := make(map[K]*V, len(old)+1)
	for key, v := range old {
		next[key] = v
	}
	v := new(V)
	next[clone(k)] = v
	t.m.Store(&next)
	return v
}

// each visits all.
func (t *table[K, V]) each(visit func(K, *V)) {
	if m := t.m.Load(); m != nil {
		for k, v := range *m {
			visit(k, v)
		}
	}
}

// promptSizes are the upper ends of the classes of prompts whose times are kept apart, in tokens; the last has none.
var promptSizes = [...]int64{1 << 10, 8 << 10, 32 << 10}

const sizes = len(promptSizes) + 1

func sizeOf(tokens int64) int {
	for i, end := range promptSizes {
		if tokens < end {
			return i
		}
	}
	return sizes - 1
}

// pace is how quick a model is. The last element of each array is for prompts of any size.
type pace struct {
	first    [sizes + 1]series // to the first token of a stream
	perToken series            // after it
	whole    [sizes + 1]series // all of an answer that is not streamed
}

// Sample is how one answer of a model went. Only what the first attempt gave may be told: later ones began later than the request.
type Sample struct {
	Model  *config.Model
	Route  string        // "" when what was asked for is no route of the configuration
	Prompt int64         // tokens
	Output int64         // tokens, 0: unknown
	First  time.Duration // to the first token of a stream, 0: it was none
	Rest   time.Duration // from there to its end
	Whole  time.Duration // of an answer that was not streamed, 0: it was
}

// Observe takes in how an answer went.
func (l *Learnt) Observe(s *Sample, now time.Time) {
	if l == nil {
		return
	}
	if s.Output > 0 && s.Route != "" {
		if o := l.outputs.ensure(s.Route, strings.Clone); o != nil {
			o.add(float64(s.Output))
		}
	}
	if s.Model == nil || !s.Model.Known {
		return // a client made the name up: it must not take room
	}
	p := l.models.ensure(s.Model.Ref, strings.Clone)
	if p == nil {
		return
	}
	size := sizeOf(s.Prompt)
	if s.First > 0 {
		p.first[size].observe(s.First, now)
		p.first[sizes].observe(s.First, now)
		if s.Output > 1 && s.Rest > 0 {
			p.perToken.observe(s.Rest/time.Duration(s.Output-1), now)
		}
	}
	if s.Whole > 0 {
		p.whole[size].observe(s.Whole, now)
		p.whole[sizes].observe(s.Whole, now)
		if first, ok := p.first[sizes].read(now); ok && s.Output > 1 {
			rest := s.Whole - time.Duration(first*float64(time.Second))
			p.perToken.observe(max(rest, 0)/time.Duration(s.Output-1), now)
		}
	}
}

// Expected is how long a model will take to the end of an answer of some tokens, in seconds, and of that to its first token. ok is
// false when too little is known.
func (l *Learnt) Expected(ref string, prompt, tokens int64, now time.Time) (seconds, first float64, ok bool) {
	if l == nil {
		return 0, 0, false
	}
	p := l.models.get(ref)
	if p == nil {
		return 0, 0, false
	}
	size := sizeOf(prompt)
	first, ok = p.first[size].read(now)
	if !ok {
		first, ok = p.first[sizes].read(now)
	}
	if ok {
		each, _ := p.perToken.read(now)
		return first + each*float64(tokens), first, true
	}
	seconds, ok = p.whole[size].read(now)
	if !ok {
		seconds, ok = p.whole[sizes].read(now)
	}
	return seconds, 0, ok
}

// output is a fading mean of how many tokens a route's answers have.
type output struct {
	mu    sync.Mutex
	n     float64
	value atomic.Uint64 // float64
}

// outputMemory is after how many answers older ones have faded to a third.
const outputMemory = 200

func (o *output) add(tokens float64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n = min(o.n+1, outputMemory)
	old := math.Float64frombits(o.value.Load())
	o.value.Store(math.Float64bits(old + (tokens-old)/o.n))
}

// Output is how many tokens an answer of a route is expected to have: what was learnt, else typical ones; never more than the cap.
func (l *Learnt) Output(route string, most int64) int64 {
	expected := int64(typicalOutput)
	if l != nil {
		if o := l.outputs.get(route); o != nil {
			expected = max(1, int64(math.Float64frombits(o.value.Load())))
		}
	}
	if most > 0 {
		return min(expected, most)
	}
	return expected
}
