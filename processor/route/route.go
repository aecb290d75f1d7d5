// Package route decides who is asked, and who next: it filters a route's candidates by what the request needs, orders them by
// the route's strategy and by health, and writes the plan that Envoy follows, attempt by attempt.
package route

import (
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
}

// Step is one attempt: entry n of a plan is attempt n+1.
type Step struct {
	Group    string           // Envoy's group: the provider's name (weighted over its clusters) or a cluster's name
	Provider *config.Provider // of Model
	Cluster  *config.Cluster  // of a single group; nil for a weighted one: the answer names the cluster
	Model    *config.Model
	Backoff  time.Duration // to wait before the attempt: only towards a provider that was just tried
}

// Scored is one candidate and what was made of it. The parts are from 0 (worst) to 1 (best) and zero where the strategy
// does not look at them.
type Scored struct {
	Model                   *config.Model
	Weight                  float64 // configured
	Price, Latency, Quality float64
	Health                  float64 // percent of the provider's best cluster, from 0 to 1
	Score                   float64 // what candidates were ordered by; 0 under fallback
	Usable                  bool    // a cluster of its provider has a fair chance now; others are tried last
	Excluded                Exclusion
	drawn                   bool // weighted: goes before higher scores
	native                  bool // needs no translation: goes first among equals
}

// before is the one order of candidates: excluded ones at the end; of the rest, whatever the strategy wants, those that cannot
// answer now after those that can, and never not at all, because health may be wrong; then as the strategy says.
func (c *Scored) before(o *Scored) bool {
	switch {
	case (c.Excluded == Able) != (o.Excluded == Able):
		return c.Excluded == Able
	case c.Usable != o.Usable:
		return c.Usable
	case c.drawn != o.drawn:
		return c.drawn
	case c.Score != o.Score:
		return c.Score > o.Score
	default:
		return c.native && !o.native
	}
}

// Decision is who is asked, in which order, and why.
type Decision struct {
	Route      string
	Strategy   config.Strategy
	Candidates []Scored // best first, the excluded ones at the end
	Plan       []Step   // at least one, at most Retry.MaxAttempts
}

// Choose decides. The error is a *fault.Fault: ContextLength when the prompt fits no candidate's window, Unsupported when no
// candidate can do what the request needs, Unavailable for a route without candidates. The decision is returned beside it, without a plan, so
// that it can be explained.
func Choose(s *config.Snapshot, v *health.View, q Query) (*Decision, error) {
	r := q.Route
	d := &Decision{Route: r.Name, Strategy: r.Strategy, Candidates: candidates(v, &q)}
	strategy, ok := strategies[r.Strategy]
	if !ok {
		return d, fault.New(fault.Internal, "The route %q has the unknown strategy %q.", clip(r.Name), r.Strategy)
	}
	able, err := filter(d.Candidates, &q)
	if err != nil {
		return d, err
	}
	strategy.score(d.Candidates, &input{query: &q, view: v, weights: r.Weights})
	sortStable(d.Candidates)
	d.Plan = plan(d.Candidates[:able], r.Strategy == config.Fallback, v, &q, s.Retry)
	return d, nil
}

// candidates are the route's, with the health of their providers.
func candidates(v *health.View, q *Query) []Scored {
	cs := make([]Scored, len(q.Route.Candidates))
	var last *config.Provider
	for i := range cs {
		c := &cs[i]
		c.Model, c.Weight = q.Route.Candidates[i].Model, q.Route.Candidates[i].Weight
		if p := c.Model.Provider; p != last {
			last = p
			percent, usable := v.Provider(p.Name, q.Now)
			c.Health, c.Usable, c.native = float64(percent)/100, usable, p.Schema == q.Schema
			continue
		}
		c.Health, c.Usable, c.native = cs[i-1].Health, cs[i-1].Usable, cs[i-1].native
	}
	return cs
}

// sortStable is an insertion sort: candidates are few, often nearly in order, and nothing is allocated.
func sortStable(cs []Scored) {
	for i := 1; i < len(cs); i++ {
		if !cs[i].before(&cs[i-1]) {
			continue
		}
		c := cs[i]
		j := i
		for j > 0 && c.before(&cs[j-1]) {
			cs[j] = cs[j-1]
			j--
		}
		cs[j] = c
	}
}
