package processor

import (
	"slices"
	"strconv"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/health"
	"dragoman/internal/wiring"
	"dragoman/processor/route"
)

// What follows a failure whose cause is known. A prompt that is too long goes to a larger window, a refusal by content policy to the model
// that the route names for it, a key that is refused or has no credit is followed by the provider's next one. Only an attempt filter sees
// the cause: it runs on the first attempt where there is somebody to turn to.

// setAttempts tells Envoy how many attempts there are and how long they may take.
func (ex *Exchange) setAttempts(h *headers) {
	order := "1"
	if ex.acts {
		order = wiring.OrderedOnce
	}
	h.set(wiring.HeaderOrdered, order)
	h.set(wiring.HeaderMaxRetries, strconv.Itoa(len(ex.decision.Plan)-1))
	if r := ex.retry(); r != &ex.snap.Retry {
		h.set(wiring.HeaderTotalTimeout, strconv.FormatInt(r.Timeout.Milliseconds(), 10))
		h.set(wiring.HeaderTryTimeout, strconv.FormatInt(r.PerTryTimeout.Milliseconds(), 10))
	}
}

// addSpare puts the model for requests that a content policy refuses behind the plan, where no other failure leads.
func (ex *Exchange) addSpare() {
	if ex.policy == nil || ex.policy.OnContentPolicy == nil || ex.endpoint.op != opChat {
		return
	}
	m := ex.policy.OnContentPolicy
	plan := ex.decision.Plan
	if plan[0].Model == m || len(m.Provider.Clusters) == 0 || !ex.mayTurnTo(m) {
		return
	}
	step := route.Step{Group: string(m.Provider.Name), Provider: m.Provider, Model: m}
	if _, err := ex.encode(&step); err != nil {
		return
	}
	ex.decision.Plan = append(plan[:len(plan):len(plan)], step)
	ex.spare = &ex.decision.Plan[len(plan)]
}

// curable says that a failure's cause may lead to a better choice than the plan has next, so that it is worth reading. For keys that is
// only said of answers that a filter sees anyway: health knows of a dead key after the first request.
func (ex *Exchange) curable() bool {
	if ex.spare != nil {
		return true
	}
	if ex.endpoint.op != opChat || len(ex.decision.Plan) < 2 {
		return false
	}
	first := ex.decision.Plan[0].Model
	return first.Context > 0 && ex.head.InputTokens() > first.Context/2 && ex.larger(first) != nil || ex.head.Stream && len(first.Provider.Clusters) > 1
}

// larger is the best candidate with a larger window than a model's, nil for none.
func (ex *Exchange) larger(than *config.Model) *config.Model {
	for i := range ex.decision.Candidates {
		c := &ex.decision.Candidates[i]
		able := c.Excluded == route.Able || c.Excluded == route.ContextTooSmall
		if able && c.Model.Context > than.Context && ex.mayTurnTo(c.Model) {
			return c.Model
		}
	}
	return nil
}

// onFailure looks into an attempt's error for its cause.
func (a *attempt) onFailure(status int, in *inbound) (done bool, err error) {
	a.status, a.header = status, slices.Clone(in.headers)
	if in.last {
		a.held = true
		return a.onCause(nil, true)
	}
	a.held = true
	return false, nil
}

// onCause reads the error's body; complete, it decides who is asked next.
func (a *attempt) onCause(chunk []byte, last bool) (done bool, err error) {
	if room := maxErrorBody - len(a.body); len(chunk) > room {
		chunk, last = chunk[:room], true
	}
	a.body = append(a.body, chunk...)
	if !last && (a.length == 0 || len(a.body) < a.length) {
		return false, nil
	}
	f := a.ex.codec(a.step.Provider).DecodeFault(a.status, a.headerOf, a.body)
	a.report(f)
	a.ex.noteFailure(a.number, f, a.usage)
	plan := a.ex.cure(a.number, a.cluster, f)
	if plan == nil {
		return true, a.release()
	}
	if err := a.stream.SendMsg(attemptElsewhere(plan)); err != nil {
		return true, err
	}
	return true, a.releaseChunks()
}

func (a *attempt) headerOf(name string) string {
	for i := range a.header {
		if a.header[i].name == name {
			return a.header[i].value
		}
	}
	return ""
}

// report tells health what the status alone does not say: that an account has no credit left.
func (a *attempt) report(f *fault.Fault) {
	if f.Kind == fault.QuotaExhausted && a.cluster != "" {
		a.s.Health.Report(health.Outcome{Cluster: a.cluster, Class: health.Quota, Status: a.status, Model: a.step.Model.ID})
	}
}

// cure is the new plan after attempt n failed for a known cause, nil when the old one is as good.
func (ex *Exchange) cure(n int, at config.ClusterName, f *fault.Fault) []route.Step {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	plan := ex.steps()
	step := &plan[min(n, len(plan))-1]
	ex.cause = blamed(f, step, n, f.Status)
	ex.askedAt = append(ex.askedAt, at)
	if n >= len(plan) {
		return nil
	}
	next := ex.remedy(n, f, plan)
	if next == nil {
		return nil
	}
	fresh := append(slices.Clone(plan[:n]), *next)
	for _, s := range plan[n:] {
		if len(fresh) < len(plan) && !(s.Group == next.Group && s.Model == next.Model) {
			fresh = append(fresh, s)
		}
	}
	ex.replanned = fresh
	return fresh
}

// remedy is who should be asked next for a cause. attemptMu is held.
func (ex *Exchange) remedy(n int, f *fault.Fault, plan []route.Step) *route.Step {
	failed := &plan[n-1]
	switch f.Kind {
	case fault.ContentFiltered:
		if ex.spare != nil && ex.spare.Model != failed.Model {
			next := *ex.spare
			ex.spare = nil
			return &next
		}
	case fault.ContextLength:
		m := ex.larger(failed.Model)
		if m == nil || slices.ContainsFunc(plan[:n], func(s route.Step) bool { return s.Model == m }) {
			return nil
		}
		return &route.Step{Group: string(m.Provider.Name), Provider: m.Provider, Model: m}
	case fault.QuotaExhausted, fault.ProviderAuth:
		return ex.nextKey(n, plan)
	}
	return nil
}

// nextKey is a cluster of the same provider that was not asked, and is not out.
func (ex *Exchange) nextKey(n int, plan []route.Step) *route.Step {
	failed, view := &plan[n-1], ex.s.Health.View()
	for _, c := range failed.Provider.Clusters {
		asked := slices.ContainsFunc(plan[:n], func(s route.Step) bool { return s.Cluster == c })
		if !asked && !slices.Contains(ex.askedAt, c.Name) && view.UsableFor(c.Name, failed.Model.ID, ex.s.Now()) {
			return &route.Step{Group: string(c.Name), Provider: failed.Provider, Cluster: c, Model: failed.Model}
		}
	}
	return nil
}

// steps is the plan in force. attemptMu is held.
func (ex *Exchange) steps() []route.Step {
	if ex.replanned != nil {
		return ex.replanned
	}
	return ex.decision.Plan
}

// plan is the plan in force.
func (ex *Exchange) plan() []route.Step {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	return ex.steps()
}

// stepOf is attempt n's step. Past the plan's end Envoy stays with the last group.
func (ex *Exchange) stepOf(n int) *route.Step {
	plan := ex.plan()
	return &plan[min(max(n, 1), len(plan))-1]
}

// barred is why attempt n is not made, nil when it is: the spare is for another cause, or too many requests already ask a provider again
// that has failed them. The client is told what went wrong before.
func (ex *Exchange) barred(n int, step *route.Step) *fault.Fault {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	plan := ex.steps()
	switch {
	case ex.spare != nil && n >= len(plan):
		return ex.lastCause("No provider could answer, and %s is asked only when a content policy refuses.", step.Provider.Name)
	case slices.ContainsFunc(plan[:min(n-1, len(plan))], func(s route.Step) bool { return s.Provider == step.Provider }) && !ex.mayRepeat():
		f := ex.lastCause("Provider %s failed, and too many requests are asking it again (retry.budget).", step.Provider.Name)
		if f.RetryAfter == 0 {
			f.RetryAfter = ex.retry().Backoff
		}
		return f
	}
	return nil
}

func (ex *Exchange) lastCause(format string, args ...any) *fault.Fault {
	if ex.cause != nil {
		f := *ex.cause
		return &f
	}
	return fault.New(fault.Unavailable, format, args...)
}

// noteBarred keeps why attempt n was not made. To the client the one before was the last.
func (ex *Exchange) noteBarred(n int, f *fault.Fault) {
	ex.note(n-1, f)
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	ex.barredAt = n
}

// made is how many attempts were made, of those that Envoy has counted.
func (ex *Exchange) made(counted int) int {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	if counted > 1 && counted == ex.barredAt {
		return counted - 1
	}
	return max(1, counted)
}

// mayRepeat counts the exchange among those that ask a provider again, when there is room. attemptMu is held.
func (ex *Exchange) mayRepeat() bool {
	if ex.repeats {
		return true
	}
	if ex.s.repeats.Add(1) > ex.retry().RetriesAllowed(ex.s.streams.Load()) {
		ex.s.repeats.Add(-1)
		return false
	}
	ex.repeats = true
	return true
}

// endAttempts gives back what the attempts took.
func (ex *Exchange) endAttempts() {
	if ex.trial != "" {
		ex.s.Health.EndTrial(ex.trial)
	}
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	if ex.repeats {
		ex.repeats = false
		ex.s.repeats.Add(-1)
	}
}
