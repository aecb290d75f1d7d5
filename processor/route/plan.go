package route

import (
	"time"

	"dragoman/internal/config"
	"dragoman/internal/health"
)

// maxBackoff bounds the doubling: what is left of a request's time is better spent on an answer.
const maxBackoff = 10 * time.Second

// plan is the attempts in their order. candidates are ordered, usable ones first; there is at least one.
//
// After a failure another provider is the best bet, so the first attempts go to the best candidate of each (inOrder: to each
// candidate as the config has them), by the provider's weighted group, or by the cluster that is picked here (picks). Envoy draws one random value for a request and keeps it:
// a weighted group that comes again hits the same cluster again. What follows are therefore single groups of providers that have
// several clusters, then further models. Only when no second usable provider is there to turn to is one asked again, after a
// back-off. The last attempt is kept for a provider that is down, should there be one: health may be wrong.
func plan(candidates []Scored, inOrder bool, v *health.View, q *Query, retry *config.Retry) []Step {
	most := max(1, retry.MaxAttempts)
	p := planner{steps: make([]Step, 0, most), most: most, backoff: retry.Backoff, view: v, query: q}
	live, down := split(candidates)
	if len(down) > 0 && most > 1 {
		p.most--
	}
	p.weighted(live, !inOrder)
	for i := range live {
		p.singles(live[:i], live[i].Model)
	}
	p.weighted(live, false)
	if n := len(p.steps); oneProvider(live) {
		for i := 0; len(p.steps) < p.most; i++ {
			p.add(p.steps[i%n])
		}
	}
	p.most = most
	p.weighted(down, true)
	p.weighted(down, false)
	return p.steps
}

// split divides candidates into those that have a fair chance and the rest. When none has, all are taken for live.
func split(candidates []Scored) (live, down []Scored) {
	n := 0
	for n < len(candidates) && candidates[n].Usable {
		n++
	}
	if n == 0 {
		return candidates, nil
	}
	return candidates[:n], candidates[n:]
}

func oneProvider(candidates []Scored) bool {
	for i := range candidates {
		if candidates[i].Model.Provider != candidates[0].Model.Provider {
			return false
		}
	}
	return true
}

// planner collects steps up to the most that are allowed.
type planner struct {
	steps   []Step
	most    int
	backoff time.Duration
	view    *health.View
	query   *Query
}

// add appends a step and gives it its back-off: none towards another provider than the last one, else the configured one,
// doubled for every attempt at this provider after the second.
func (p *planner) add(s Step) {
	if len(p.steps) >= p.most {
		return
	}
	s.Backoff = 0
	if n := len(p.steps); n > 0 && p.steps[n-1].Provider == s.Provider {
		s.Backoff = p.backoff
		for tried := p.tried(s.Provider); tried > 1 && s.Backoff < maxBackoff; tried-- {
			s.Backoff *= 2
		}
		s.Backoff = min(s.Backoff, maxBackoff)
	}
	p.steps = append(p.steps, s)
}

// tried is how many steps go to a provider.
func (p *planner) tried(provider *config.Provider) (n int) {
	for i := range p.steps {
		if p.steps[i].Provider == provider {
			n++
		}
	}
	return n
}

// weighted adds the candidates that are not in the plan, each by its provider's weighted group; with firsts only those
// whose provider is not.
func (p *planner) weighted(candidates []Scored, firsts bool) {
	for i := 0; i < len(candidates) && len(p.steps) < p.most; i++ {
		m := candidates[i].Model
		if p.has(m) || firsts && p.tried(m.Provider) > 0 {
			continue
		}
		p.add(p.first(m))
	}
}

// first is the step to a model's provider: its weighted group, unless the cluster is picked here.
func (p *planner) first(m *config.Model) Step {
	if picks(m.Provider, p.query) {
		if c, _ := newPicker(m, p.view, p.query).next(all); c != nil {
			return Step{Group: string(c.Name), Provider: m.Provider, Cluster: c, Model: m}
		}
	}
	return Step{Group: string(m.Provider.Name), Provider: m.Provider, Model: m}
}

func (p *planner) has(m *config.Model) bool {
	for i := range p.steps {
		if p.steps[i].Model == m {
			return true
		}
	}
	return false
}

// singles adds the clusters of a model's provider that are worth trying by name: where Envoy drew the first one, those that it was
// least likely to have drawn; else those that were next in the picking. A provider of a better candidate has its clusters in the
// plan already.
func (p *planner) singles(better []Scored, m *config.Model) {
	if len(m.Provider.Clusters) < 2 {
		return
	}
	for i := range better {
		if better[i].Model.Provider == m.Provider {
			return
		}
	}
	if picks(m.Provider, p.query) {
		p.picked(m)
		return
	}
	above := -1.0
	for len(p.steps) < p.most {
		c, share := p.next(m, above)
		if c == nil {
			return
		}
		above = share
		p.add(Step{Group: string(c.Name), Provider: m.Provider, Cluster: c, Model: m})
	}
}

// picked adds the clusters after the first one in the order of the picking.
func (p *planner) picked(m *config.Model) {
	picker := newPicker(m, p.view, p.query)
	below := all
	for len(p.steps) < p.most {
		c, strength := picker.next(below)
		if c == nil {
			return
		}
		below = strength
		if !p.asked(c) {
			p.add(Step{Group: string(c.Name), Provider: m.Provider, Cluster: c, Model: m})
		}
	}
}

func (p *planner) asked(c *config.Cluster) bool {
	for i := range p.steps {
		if p.steps[i].Cluster == c {
			return true
		}
	}
	return false
}

// next is the usable cluster with the smallest share of the weighted group's traffic above the given one. Its position
// makes equal shares distinct.
func (p *planner) next(m *config.Model, above float64) (best *config.Cluster, share float64) {
	clusters := m.Provider.Clusters
	for i, c := range clusters {
		s := float64(c.Weight)*float64(p.view.Percent(c.Name)) + float64(i)/float64(len(clusters))
		if s > above && (best == nil || s < share) && p.view.UsableFor(c.Name, m.ID, p.query.Now) {
			best, share = c, s
		}
	}
	return best, share
}
