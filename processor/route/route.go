// Package route decides who is asked, and who next: it filters a route's candidates by what the request needs and what the route
// allows, orders them by the route's strategy and by health, and writes the plan that Envoy follows, attempt by attempt. What it learns
// from the answers is in Learnt.
package route

import (
	"math"
	"slices"
	"sync"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/health"
	"dragoman/translate/chat"
)

// Query is what a decision depends on, beside configuration and health.
type Query struct {
	Asked       string        // the model as the client said it
	Route       *config.Route // what config.Snapshot.Lookup made of it
	InputTokens int64         // estimate of the prompt
	MaxTokens   int64         // output cap, 0 when the client set none
	Stream      bool
	Tools       bool
	Images      bool
	AnyWindow   bool        // what is too long for a model does not exclude it
	Schema      chat.Schema // the client's: of two equal candidates the one that needs no translation goes first
	Random      float64     // uniform in [0, 1)
	Now         time.Time

	Task     string          // class of the request, as models' qualities name it; "" when nobody asked
	Key      uint64          // of the conversation (affinity), 0: none
	Draw     uint64          // what a weighted draw is kept for, 0: nothing
	Ceilings config.Ceilings // of the request itself, beside the route's
	Learnt   *Learnt         // nil: nothing is known
}

// Step is one attempt: entry n of a plan is attempt n+1.
type Step struct {
	Group    string           // Envoy's group: the provider's name (weighted over its clusters) or a cluster's name
	Provider *config.Provider // of Model
	Cluster  *config.Cluster  // of a single group; nil for a weighted one: the answer names the cluster
	Model    *config.Model
	Backoff  time.Duration // to wait before the attempt: only towards a provider that was just tried
}

// Lift is why a candidate goes before ones with a better score.
type Lift uint8

// The lifts. Last is the opposite: after the others, whatever its score.
const (
	NoLift       Lift = iota
	Drawn             // by weight, as the strategy wants
	LocalFirst        // local, and good enough
	Conversation      // its prompt cache is warm (affinity)
	Last              // a canary that is not on
)

var liftNames = [...]string{"", "drawn", "local first", "same conversation", "last"}

// String says it in a word or two; "" for NoLift.
func (l Lift) String() string { return liftNames[l] }

// Scored is one candidate and what was made of it. The parts are from 0 (worst) to 1 (best) and zero where the strategy
// does not look at them.
type Scored struct {
	Model                             *config.Model
	Weight                            float64 // configured
	Price, Latency, Quality, Headroom float64
	Health                            float64         // percent of the provider's best cluster, from 0 to 1
	Score                             float64         // what candidates were ordered by; 0 under fallback
	Cost                              config.MicroUSD // that the request is expected to cost, unpricedCost when nobody knows
	Seconds                           float64         // that the answer is expected to take, 0 when nobody knows
	Usable                            bool            // a cluster of its provider has a fair chance now; others are tried last
	Excluded                          Exclusion
	Lifted                            Lift
	native                            bool  // needs no translation: goes first among equals
	place                             int32 // among the route's candidates
}

// unpricedCost is the cost of a model whose price is unknown.
const unpricedCost config.MicroUSD = -1

// before is the one order of candidates: excluded ones at the end; of the rest, whatever the strategy wants, those that cannot
// answer now after those that can, and never not at all, because health may be wrong; then as the strategy says.
func (c *Scored) before(o *Scored) int {
	switch {
	case (c.Excluded == Able) != (o.Excluded == Able):
		return first(c.Excluded == Able)
	case c.Usable != o.Usable:
		return first(c.Usable)
	case c.rank() != o.rank():
		return first(c.rank() > o.rank())
	case c.Score != o.Score:
		return first(c.Score > o.Score)
	case c.native != o.native:
		return first(c.native)
	default:
		return 0
	}
}

func first(yes bool) int {
	if yes {
		return -1
	}
	return 1
}

func (c *Scored) rank() int {
	switch c.Lifted {
	case NoLift:
		return 0
	case Last:
		return -1
	default:
		return 1
	}
}

func (c *Scored) eligible() bool { return c.Usable && c.Excluded == Able }

// Decision is who is asked, in which order, and why.
type Decision struct {
	Route      string
	Strategy   config.Strategy
	Weights    config.Weights
	Tokens     int64          // of output that were reckoned with
	Candidates []Scored       // best first, the excluded ones at the end; of a long list the first, and the best of each further provider
	Left       int            // how many of a long list are not in Candidates
	Plan       []Step         // at least one, at most Retry.MaxAttempts
	Arm        string         // of a canary or an experiment, "" when the route is none
	Mirror     *config.Mirror // that gets the request as well, nil for none
	// Wait is for how long no candidate can be asked because all are rate-limited; 0 when one can, or when nobody knows.
	Wait time.Duration
	Busy bool // declared limits leave no room now: the plan must not be followed before Wait is over
}

// maxKept bounds the candidates that are kept of a long list, maxOthers those of further providers beside them.
const (
	maxKept   = 20
	maxOthers = 8
)

// Choose decides. The error is a *fault.Fault: ContextLength when the prompt fits no candidate's window, Unsupported when no
// candidate can do what the request needs or stays under the ceilings, Unavailable for a route without candidates. The decision is
// returned beside it, without a plan, so that it can be explained.
func Choose(s *config.Snapshot, v *health.View, q Query) (*Decision, error) {
	r := q.Route
	d := &Decision{Route: r.Name, Strategy: r.Strategy, Weights: r.Weights, Tokens: q.Learnt.Output(r.Name, q.MaxTokens)}
	strategy, ok := strategies[r.Strategy]
	if !ok {
		return d, fault.New(fault.Internal, "The route %q has the unknown strategy %q.", clip(r.Name), r.Strategy)
	}
	work := scratches.Get().(*scratch)
	defer scratches.Put(work)
	cs := work.candidates(v, &q, d.Tokens)
	able, err := filter(cs, &q)
	if err == nil {
		strategy.score(cs, &input{query: &q, weights: r.Weights, decision: d})
	}
	work.sort()
	able = work.keep(d, able)
	if err != nil {
		return d, err
	}
	d.mirror(&q)
	d.await(v, &q, able)
	d.Plan = plan(d.Candidates[:able], r.Strategy == config.Fallback, v, &q, s.RetryOf(r))
	return d, nil
}

// scratch is the memory of one decision: a long list of candidates costs no allocation.
type scratch struct {
	cs    []Scored
	order []int32
	seen  []bool // by provider
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// candidates are the route's, with the health and headroom of their providers and what they are expected to cost and take.
func (w *scratch) candidates(v *health.View, q *Query, output int64) []Scored {
	list := q.Route.Candidates
	w.cs = slices.Grow(w.cs[:0], len(list))[:len(list)]
	usage := chat.Usage{Input: q.InputTokens, Output: output}
	perModel := v.Restricted()
	var last *config.Provider
	for i := range list {
		c := &w.cs[i]
		m := list[i].Model
		*c = Scored{Model: m, Weight: list[i].Weight, place: int32(i), Cost: unpricedCost}
		if p := m.Provider; p != last || perModel {
			last = p
			c.meet(v, q)
		} else {
			before := &w.cs[i-1]
			c.Health, c.Usable, c.native, c.Headroom = before.Health, before.Usable, before.native, before.Headroom
		}
		if m.Price != nil {
			c.Cost = m.Price.Cost(usage)
		}
		if seconds, _, ok := q.Learnt.Expected(m.Ref, q.InputTokens, output, q.Now); ok {
			c.Seconds = seconds
		}
	}
	return w.cs
}

// meet reads how the candidate's provider is.
func (c *Scored) meet(v *health.View, q *Query) {
	p := c.Model.Provider
	group, percent, usable := v.Group(p.Name, c.Model.ID, q.Now)
	c.Health, c.Usable, c.native = float64(percent)/100, usable, p.Schema == q.Schema
	var sum, left float64
	free, limited := false, false
	for i, k := range p.Clusters {
		weight := 1.0
		switch {
		case len(p.Clusters) == 1:
		case i < len(group) && group[i].Cluster == k.Name: // but for the moment of a reload, health has the same list
			weight = float64(k.Weight) * float64(group[i].Percent)
		default:
			weight = float64(k.Weight) * float64(v.Percent(k.Name))
		}
		sum += weight
		left += weight * q.Learnt.headroom(k, q.Now)
		limited = limited || k.Limits != nil
	}
	for _, k := range p.Clusters {
		if !limited {
			break
		}
		free = free || q.Learnt.free(k, q.needs(), q.Now) == 0 && v.UsableFor(k.Name, c.Model.ID, q.Now)
	}
	c.Headroom = 1
	if sum > 0 {
		c.Headroom = left / sum
	}
	c.Usable = usable && (free || !limited)
}

// needs is how many tokens the request takes of a credential's limit.
func (q *Query) needs() int64 { return q.InputTokens + q.Learnt.Output(q.Route.Name, q.MaxTokens) }

// sort orders the candidates' indexes: they themselves are large.
func (w *scratch) sort() {
	w.order = w.order[:0]
	for i := range w.cs {
		w.order = append(w.order, int32(i))
	}
	slices.SortFunc(w.order, func(a, b int32) int {
		if c := w.cs[a].before(&w.cs[b]); c != 0 {
			return c
		}
		return int(a) - int(b)
	})
}

// keep copies the first candidates into the decision and, so that there is somebody else to turn to, the best of each provider that
// has none among them. It returns how many of the kept ones are able.
func (w *scratch) keep(d *Decision, able int) (kept int) {
	n := min(len(w.order), maxKept)
	d.Candidates = make([]Scored, n, n+min(len(w.order)-n, maxOthers))
	w.seen = w.seen[:0]
	for i := range n {
		d.Candidates[i] = w.cs[w.order[i]]
		w.first(d.Candidates[i].Model.Provider)
	}
	if kept = min(able, n); able <= n {
		d.Left = len(w.order) - n
		return kept
	}
	for _, i := range w.order[n:able] {
		if len(d.Candidates) < n+maxOthers && w.first(w.cs[i].Model.Provider) {
			d.Candidates = append(d.Candidates, w.cs[i])
		}
	}
	d.Left = len(w.order) - len(d.Candidates)
	return len(d.Candidates)
}

// first says whether a provider comes for the first time.
func (w *scratch) first(p *config.Provider) bool {
	for len(w.seen) <= p.Index {
		w.seen = append(w.seen, false)
	}
	yes := !w.seen[p.Index]
	w.seen[p.Index] = true
	return yes
}

// mirror draws whether another model gets the request as well.
func (d *Decision) mirror(q *Query) {
	if m := q.Route.Mirror; m != nil && uniform(mix(math.Float64bits(q.Random))) < m.Share {
		d.Mirror = m
	}
}

// await finds out for how long nobody can be asked, when that is for rate limits alone.
func (d *Decision) await(v *health.View, q *Query, able int) {
	for i := range d.Candidates[:able] {
		if d.Candidates[i].Usable {
			return
		}
	}
	for i := range d.Candidates[:able] {
		m := d.Candidates[i].Model
		for _, k := range m.Provider.Clusters {
			wait, limited := q.Learnt.free(k, q.needs(), q.Now), false
			d.Busy = d.Busy || wait > 0
			switch at := v.ModelRetryAt(k.Name, m.ID, q.Now); {
			case at.IsZero():
				limited = wait > 0
			case v.State(k.Name) == health.Limited, v.Usable(k.Name, q.Now):
				wait, limited = max(wait, at.Sub(q.Now)), true
			}
			if limited && (d.Wait == 0 || wait < d.Wait) {
				d.Wait = wait
			}
		}
	}
}
