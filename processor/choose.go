package processor

import (
	"strings"
	"time"

	"dragoman/internal/classify"
	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/health"
	"dragoman/processor/queue"
	"dragoman/processor/route"
)

// choose scores the candidates and plans the attempts; then the request takes its place at the first choice.
func (ex *Exchange) choose(rt *config.Route) error {
	view := ex.s.Health.View()
	if err := ex.decide(view, rt, ex.s.Random(), ex.s.Now()); err != nil {
		return err
	}
	if err := ex.place(rt); err != nil {
		return err
	}
	ex.countChoice(rt)
	ex.steer(view)
	return nil
}

// countChoice shows where a choice was not by score alone.
func (ex *Exchange) countChoice(rt *config.Route) {
	if lift := ex.decision.Candidates[0].Lifted; lift == route.LocalFirst || lift == route.Conversation {
		ex.s.Metrics.Lifted(rt.Name, lift.String())
	}
	if ex.downgraded != "" {
		ex.s.Metrics.Downgraded(rt.Name, ex.downgraded)
	}
}

// decide is choose for a given moment, without taking a place. Under pressure the route's simpler models are chosen from.
func (ex *Exchange) decide(view *health.View, rt *config.Route, random float64, now time.Time) error {
	q, err := ex.routeQuery(rt, random, now)
	if err != nil {
		return err
	}
	ex.downgraded = ex.pressure(rt)
	if ex.downgraded == "" {
		if err := ex.decideAmong(view, rt, q); err != nil || !ex.slow(rt) {
			return err
		}
		ex.downgraded = "latency"
	}
	return ex.decideAmong(view, simpler(rt), q)
}

// decideAmong decides about a route. What is too long for a candidate excludes it (next), refuses the request when the best candidate
// has no room for it (reject), or is cut when it is written for the candidate (truncate).
func (ex *Exchange) decideAmong(view *health.View, rt *config.Route, q route.Query) (err error) {
	q.Route = rt
	if ex.endpoint.op == opChat {
		q.AnyWindow = true
		if rt.Overlong == config.OverlongNext {
			kept, err := ex.gauge.Select(rt.Candidates)
			if err != nil {
				return err
			}
			if len(kept) < len(rt.Candidates) {
				fitting := *rt
				fitting.Candidates, q.Route = kept, &fitting
			}
		}
	}
	if ex.decision, err = route.Choose(ex.snap, view, q); err != nil {
		return err
	}
	if q.AnyWindow && rt.Overlong == config.OverlongReject {
		return ex.gauge.Require(ex.decision.Plan[0].Model)
	}
	return nil
}

// routeQuery is what the choice depends on.
func (ex *Exchange) routeQuery(rt *config.Route, random float64, now time.Time) (route.Query, error) {
	allowed, err := ex.allowance()
	h := ex.head
	q := route.Query{
		Asked: h.Model, Route: rt, InputTokens: h.InputTokens(), MaxTokens: h.MaxTokens, Stream: h.Stream,
		Tools: h.Tools > 0, Images: h.Images > 0, Schema: h.Schema, Random: random, Now: now, Ceilings: allowed, Learnt: ex.learnt(),
	}
	if ex.endpoint.op == opChat {
		if rt.ByTask {
			q.Task = ex.classified().Task.String()
		}
		q.Key = ex.conversation(rt)
		q.Draw = ex.draw(rt, q.Key)
	}
	return q, err
}

// learnt is what routing knows; nothing where nobody serves (Explain).
func (ex *Exchange) learnt() *route.Learnt {
	if ex.s == nil {
		return nil
	}
	return ex.s.learnt
}

// classified is the request's class of task and difficulty, found out once.
func (ex *Exchange) classified() classify.Result {
	if ex.class == nil {
		r := ex.snap.Classifier.Classify(classify.FromHead(ex.head))
		ex.class = &r
	}
	return *ex.class
}

// pressure says under which one the route is: budget or queue; "" for none. Whether it is slow is known after a decision.
func (ex *Exchange) pressure(rt *config.Route) string {
	d := rt.Downgrade
	switch {
	case d == nil:
	case d.BudgetLeft > 0 && ex.reservation != nil && ex.limits.Left < d.BudgetLeft:
		return "budget"
	case d.Queue > 0 && ex.s != nil && !ex.inLine && float64(ex.s.queues.Waiting(rt.Name)) >= d.Queue*float64(rt.Queue.Length):
		return "queue"
	}
	return ""
}

// slow says whether even the best choice will take longer than the route wants to wait.
func (ex *Exchange) slow(rt *config.Route) bool {
	d := rt.Downgrade
	return d != nil && d.Latency > 0 && ex.decision.Candidates[0].Seconds > d.Latency.Seconds()
}

// simpler is the route with the models that it has for hard times.
func simpler(rt *config.Route) *config.Route {
	out := *rt
	out.Candidates = rt.Downgrade.Candidates
	if !out.Strategy.Scores() || out.Canary != nil {
		out.Strategy, out.Canary = config.Fallback, nil
	}
	return &out
}

// place takes the request's place at its first choice. Where nobody has room it waits in the route's line, or is refused.
func (ex *Exchange) place(rt *config.Route) error {
	line := rt.Queue
	// Simpler models have room of their own: those in the line wait for better ones.
	if line == nil || ex.downgraded != "" || ex.s.queues.Waiting(rt.Name) == 0 {
		wait, full := ex.take()
		if wait == 0 || line == nil && !full {
			return nil // what health alone says may be wrong
		}
		if line == nil {
			return crowded(rt, wait)
		}
	}
	begin := time.Now()
	ex.inLine = true // who waits already is not what makes the line too long for him
	var wait time.Duration
	how, err := ex.s.queues.Wait(ex.stream.Context(), rt.Name, ex.principal.Tenant, queue.Limits{Length: line.Length, Wait: line.Wait},
		func() (time.Duration, error) {
			if err := ex.decide(ex.s.Health.View(), rt, ex.s.Random(), ex.s.Now()); err != nil {
				return 0, err
			}
			wait, _ = ex.take()
			return wait, nil
		})
	ex.queued = time.Since(begin)
	ex.overhead -= ex.queued
	ex.s.Metrics.Queued(rt.Name, how.String(), ex.queued)
	switch how {
	case queue.Served:
		return nil
	case queue.Failed:
		return err
	case queue.Gone:
		return fault.New(fault.Canceled, "The client went away while it waited.")
	default:
		return crowded(rt, max(wait, time.Second))
	}
}

// crowded is for a request that nobody can take now.
func crowded(rt *config.Route, wait time.Duration) error {
	f := fault.New(fault.RateLimited, "Everything behind %q is at its rate limit. Try again later.", clipped(rt.Name))
	f.Code, f.RetryAfter = "providers_at_their_limits", wait
	return f
}

// take counts the request where it goes first. wait is for how long there is no room; full says that a declared limit is why, and
// not what a provider said.
func (ex *Exchange) take() (wait time.Duration, full bool) {
	d := ex.decision
	if d.Wait > 0 {
		return d.Wait, d.Busy
	}
	c := placeOf(&d.Plan[0])
	held, wait := ex.s.learnt.Take(c, ex.needs(), true, ex.s.Now())
	if wait > 0 {
		return wait, true
	}
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	ex.held.Give(0)
	ex.held, ex.heldAt = held, c
	return 0, false
}

// needs is how many tokens the request takes of a credential's limit.
func (ex *Exchange) needs() int64 { return ex.head.InputTokens() + ex.decision.Tokens }

// moveTo counts the request where an attempt goes; the one before has used nothing.
func (ex *Exchange) moveTo(step *route.Step) { ex.moveToCluster(placeOf(step)) }

func (ex *Exchange) moveToCluster(c *config.Cluster) {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	if ex.left || c == ex.heldAt {
		return
	}
	ex.held.Give(0)
	ex.held, _ = ex.s.learnt.Take(c, ex.needs(), false, ex.s.Now())
	ex.heldAt = c
}

// leave gives the place back.
func (ex *Exchange) leave(used int64) {
	ex.attemptMu.Lock()
	held := ex.held
	ex.left = true // an attempt stream that comes late must not take another
	ex.attemptMu.Unlock()
	if held != nil {
		held.Give(used)
		ex.s.queues.Wake()
	}
}

// placeOf is where a step goes, nil when only Envoy will know.
func placeOf(step *route.Step) *config.Cluster {
	if step.Cluster == nil && len(step.Provider.Clusters) == 1 {
		return step.Provider.Clusters[0]
	}
	return step.Cluster
}

// clipped shortens a name for a message that quotes it.
func clipped(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
