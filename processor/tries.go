package processor

import (
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/processor/account"
	"dragoman/processor/route"
	"dragoman/translate/chat"
)

// try is what is known of one attempt. Envoy shows the request stream the last one's answer alone.
type try struct {
	at      time.Time // zero: it was not made, or no stream was opened for it
	cluster config.ClusterName
	fault   *fault.Fault // what a filter saw of its failure, nil for nothing
	usage   chat.Usage   // that the provider reported before it failed
}

// maxTries bounds what is kept; retry.max_attempts is less.
const maxTries = 32

// noteTry notes that an attempt was sent.
func (ex *Exchange) noteTry(n int, cluster config.ClusterName) {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	if t := ex.tryOf(n); t != nil {
		t.at, t.cluster = ex.s.Now(), cluster
	}
}

// noteFailure notes how an attempt failed.
func (ex *Exchange) noteFailure(n int, f *fault.Fault, usage chat.Usage) {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	if t := ex.tryOf(n); t != nil {
		t.fault, t.usage = f, usage
	}
}

// tryOf is an attempt's entry; attemptMu is held.
func (ex *Exchange) tryOf(n int) *try {
	if n < 1 || n > maxTries {
		return nil
	}
	for len(ex.tries) < n {
		ex.tries = append(ex.tries, try{})
	}
	return &ex.tries[n-1]
}

// failedAttempts are the attempts before the last one, with what their providers charge: what they reported, nothing for an error, and
// unknown for one that was given up on, because it may have gone on.
func (ex *Exchange) failedAttempts() []account.Attempt {
	if ex.id == "" || ex.endpoint.pass != nil && ex.endpoint.pass.object != "" {
		return nil
	}
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	total := max(ex.attempts, len(ex.tries))
	if total < 2 {
		return nil
	}
	var out []account.Attempt
	plan := ex.steps()
	for n := 1; n < min(total, maxTries); n++ {
		t, next := *ex.tryOf(n), *ex.tryOf(n + 1)
		switch {
		case n == 1 && t.at.IsZero():
			t.at = ex.start // no stream was opened for it
		case t.at.IsZero():
			continue // it was not made
		}
		out = append(out, ex.failedAttempt(n, &t, next.at, &plan[min(n, len(plan))-1]))
	}
	return out
}

func (ex *Exchange) failedAttempt(n int, t *try, next time.Time, step *route.Step) account.Attempt {
	a := account.Attempt{Number: n, Time: t.at, Provider: string(step.Provider.Name), Model: step.Model.Name, Known: step.Model.Known,
		Cluster: string(t.cluster), Outcome: "failed", Usage: t.usage, Priced: true}
	if a.Cluster == "" && step.Cluster != nil {
		a.Cluster = string(step.Cluster.Name)
	}
	if !next.IsZero() {
		a.Duration = next.Sub(t.at)
	}
	switch {
	case t.fault != nil:
		a.Outcome, a.Status = t.fault.Kind.String(), t.fault.Status
	case a.Duration >= ex.retry().PerTryTimeout:
		a.Outcome, a.Priced = fault.ProviderTimeout.String(), false
	}
	if t.usage.Known {
		if a.Cost, a.Priced = account.Cost(step.Model, t.usage); a.Priced {
			a.Price = step.Model.Price
		}
	}
	return a
}

// begin tells the ledger that the request goes to its first provider: should this process die, the next one knows that it was under way.
func (ex *Exchange) begin(step *route.Step) {
	r := ex.recordOf()
	r.Provider, r.Model, r.Known, r.Attempts = string(step.Provider.Name), step.Model.Name, step.Model.Known, 1
	if step.Cluster != nil {
		r.Cluster = string(step.Cluster.Name)
	}
	r.Usage = chat.Usage{Input: ex.head.InputTokens()}
	if r.Cost, r.Priced = account.Cost(step.Model, r.Usage); r.Priced {
		r.Price = step.Model.Price
	}
	ex.s.Ledger.Begin(&r)
}

// recordOf is what is known of a request however it ends.
func (ex *Exchange) recordOf() account.Record {
	r := account.Record{ID: ex.requestID, Time: ex.start, Endpoint: ex.endpoint.path, Route: ex.route, Priced: true}
	if r.ID == "" {
		r.ID = ex.id
	}
	if p := ex.principal; p != nil {
		r.Organisation, r.Tenant, r.Team, r.User, r.Key, r.Tags = p.Organisation, p.Tenant, p.Team, p.User, p.Key, p.Labels
	}
	if ex.head != nil {
		r.Asked, r.Stream, r.Schema = ex.head.Model, ex.head.Stream, ex.head.Schema
	}
	return r
}
