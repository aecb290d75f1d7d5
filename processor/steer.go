package processor

import (
	"slices"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/processor/route"
)

// steer adapts a plan to what health knows of single clusters, which a provider's weighted group cannot say: that one does not serve this
// model for now, or that it is time to see whether one is back.
func (ex *Exchange) steer(view *health.View) {
	if view.Restricted() {
		ex.decision.Plan = unrestricted(ex.decision.Plan, view, ex.s.Random(), ex.s.Now())
	}
	if len(view.HalfOpen()) > 0 {
		ex.try(view.HalfOpen())
	}
}

// unrestricted asks, where some clusters of a provider do not serve a model for a time, one that does; a step for which there is none
// goes last, and not away: it may be all there is.
func unrestricted(plan []route.Step, view *health.View, random float64, now time.Time) []route.Step {
	able, unable := make([]route.Step, 0, len(plan)), []route.Step(nil)
	for _, s := range plan {
		switch {
		case s.Cluster != nil:
			if view.UsableFor(s.Cluster.Name, s.Model.ID, now) {
				able = append(able, s)
				continue
			}
			unable = append(unable, s)
		default:
			usable, all := ableClusters(s.Provider, s.Model.ID, view, now)
			switch {
			case len(usable) == 0:
				unable = append(unable, s)
				continue
			case !all:
				s.Cluster = draw(usable, view, random)
				s.Group = string(s.Cluster.Name)
			}
			able = append(able, s)
		}
	}
	return append(able, unable...)
}

// ableClusters are a provider's clusters that serve a model. all says that none has to be avoided for the model's sake.
func ableClusters(p *config.Provider, modelID string, view *health.View, now time.Time) (able []*config.Cluster, all bool) {
	all = true
	for _, c := range p.Clusters {
		switch {
		case view.UsableFor(c.Name, modelID, now):
			able = append(able, c)
		case view.Usable(c.Name, now):
			all = false
		}
	}
	return able, all
}

// draw takes one by weight, as Envoy would.
func draw(clusters []*config.Cluster, view *health.View, random float64) *config.Cluster {
	sum := 0.0
	for _, c := range clusters {
		sum += float64(c.Weight) * float64(view.Percent(c.Name))
	}
	at := sum * random
	for _, c := range clusters {
		if at -= float64(c.Weight) * float64(view.Percent(c.Name)); at < 0 {
			return c
		}
	}
	return clusters[len(clusters)-1]
}

// try sends this request to a cluster that is half open first, when none other is trying: the rest of the plan stands behind it, so that
// its client loses nothing but the time of an attempt. A request that may be attempted only once is no trial.
func (ex *Exchange) try(halfOpen []config.ClusterName) {
	plan := ex.decision.Plan
	most := ex.retry().MaxAttempts
	if most < 2 || len(plan) == 0 || ex.acts {
		return
	}
	for _, name := range halfOpen {
		c := ex.snap.Cluster(name)
		if c == nil {
			continue
		}
		m := ex.trialModel(c.Provider)
		if m == nil || !ex.s.Health.Trial(name) {
			continue
		}
		ex.trial = name
		steps := make([]route.Step, 1, len(plan)+1)
		steps[0] = route.Step{Group: string(name), Provider: c.Provider, Cluster: c, Model: m}
		ex.decision.Plan = append(steps, plan[:min(len(plan), most-1)]...)
		return
	}
}

// trialModel is the best candidate that a provider serves, nil when it is not this request's to ask: a later choice of a route that goes
// through its candidates in order is asked when the earlier ones fail, and not before.
func (ex *Exchange) trialModel(p *config.Provider) *config.Model {
	first := ex.decision.Plan[0].Model
	for i := range ex.decision.Candidates {
		c := &ex.decision.Candidates[i]
		if c.Excluded != route.Able || c.Model.Provider != p {
			continue
		}
		if ex.decision.Strategy == config.Fallback && ex.rank(c.Model) > ex.rank(first) || !ex.mayTurnTo(c.Model) {
			return nil
		}
		return c.Model
	}
	return nil
}

// mayTurnTo says whether a model that the plan does not hold can be asked: its provider knows the operation, this key may reach it, what was
// reserved suffices, and nothing of the request is kept by another provider.
func (ex *Exchange) mayTurnTo(m *config.Model) bool {
	step := route.Step{Provider: m.Provider, Model: m}
	if ex.codec(m.Provider) == nil || ex.inReach(&step) != nil {
		return false
	}
	return !ex.bound || slices.ContainsFunc(ex.decision.Plan, func(s route.Step) bool { return s.Provider == m.Provider })
}

// rank is a candidate's place in the configuration.
func (ex *Exchange) rank(m *config.Model) int {
	for i := range ex.policy.Candidates {
		if ex.policy.Candidates[i].Model == m {
			return i
		}
	}
	return len(ex.policy.Candidates)
}

// retry is how this request's attempts follow each other.
func (ex *Exchange) retry() *config.Retry { return ex.snap.RetryOf(ex.policy) }
