package processor

import (
	"time"

	"dragoman/internal/config"
	"dragoman/processor/account"
	"dragoman/processor/route"
	"dragoman/translate/chat"
)

// learn tells routing how the request went: how long the model took, how long its answer was, and what became of an arm.
func (ex *Exchange) learn(usage chat.Usage) {
	if ex.decision == nil || ex.id == "" || ex.policy == nil {
		return
	}
	now := ex.s.Now()
	s := ex.paced(usage, now)
	if ex.outcome == nil && ex.ok() && !ex.raw {
		ex.s.learnt.Observe(&s, now)
	}
	ex.reportArm(&s, usage, now)
}

// paced is how the answer went, from the start of the attempt that gave it.
func (ex *Exchange) paced(usage chat.Usage, now time.Time) route.Sample {
	s := route.Sample{Prompt: ex.head.InputTokens(), Output: usage.Output}
	if ex.step == nil {
		return s
	}
	s.Model = ex.step.Model
	if !ex.policy.Implicit || s.Model.Known {
		s.Route = ex.route
	}
	begin := ex.attemptStart()
	if !ex.firstContent.IsZero() {
		s.First, s.Rest = max(ex.firstContent.Sub(begin), 1), now.Sub(ex.firstContent)
	} else if ex.carrier == nil {
		s.Whole = max(now.Sub(begin), 1)
	}
	return s
}

// reportArm counts the request for the arm of a canary or an experiment that it was in. What the client is to blame for says nothing
// about the arm.
func (ex *Exchange) reportArm(s *route.Sample, usage chat.Usage, now time.Time) {
	arm, rt := ex.decision.Arm, ex.policy
	if arm == "" || ex.outcome != nil && !ex.outcome.FromProvider() {
		return
	}
	res := route.Result{First: max(s.First, s.Whole), Input: usage.Prompt(), Output: usage.Output}
	res.Failed = ex.outcome != nil || ex.step == nil || route.ArmOf(rt, ex.step.Model) != arm
	if ex.step != nil {
		res.Cost, _ = account.Cost(ex.step.Model, usage)
	}
	why := ex.s.learnt.Report(rt, arm, res, now)
	ex.s.Metrics.Arm(rt.Name, arm, res.Failed, res.First, res.Input, res.Output, int64(res.Cost))
	if why != "" {
		ex.s.Metrics.CanaryRolledBack(rt.Name)
		ex.s.Log.Warn("a canary was rolled back", "route", rt.Name, "model", rt.Canary.Model.Ref, "reason", why)
	}
}

// Routes are the routes of a configuration that are on trial, and how they do.
func (s *Server) Routes(snap *config.Snapshot) []route.Status { return s.learnt.Status(snap, s.Now()) }

// Queues are the routes in whose lines requests wait, and how many.
func (s *Server) Queues() map[string]int { return s.queues.Lengths() }
