package processor

import (
	"context"
	"log/slog"
	"time"

	"dragoman/internal/fault"
	"dragoman/internal/health"
	"dragoman/internal/observe"
	"dragoman/processor/account"
	"dragoman/processor/cache"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// close ends the exchange on whichever path its stream ended: answered, refused, client gone, provider or Envoy dead,
// shutdown, panic. It is the only place that settles, and runs once, when the request stream returns.
func (ex *Exchange) close() {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.end()
	if ex.id != "" {
		ex.s.exchanges.remove(ex.id)
		ex.endAttempts()
	}
	defer ex.keepFresh()
	ex.inflate.Close()
	if ex.endpoint == nil || ex.endpoint.op == opCheck {
		return // not even the headers came, or nobody's request
	}
	if ex.phase != answered && ex.outcome == nil {
		ex.outcome = fault.New(fault.Canceled, "The connection was closed before the answer was complete.")
	}
	if ex.carrier != nil {
		ex.seen = *ex.carrier.Seen()
	}
	usage, estimated := ex.usage()
	failed := ex.failedAttempts()
	if ex.reservation != nil {
		ex.s.Counters.Settle(ex.s.Now(), ex.reservation, ex.used(usage, estimated, failed))
	}
	ex.reportHealth()
	ex.learn(usage)
	ex.leave(usage.Total())
	ex.record(usage, estimated, failed)
}

// usage is what the request cost in tokens: what the provider said last, else what can be told from what it delivered (C1,
// C2). Nothing ordered, or an error before any content, costs nothing.
func (ex *Exchange) usage() (u chat.Usage, estimated bool) {
	switch {
	case ex.hit != nil || ex.id == "" || ex.endpoint.op == opCount || (ex.outcome != nil && !ex.seen.Content):
		return chat.Usage{}, false
	case ex.unmetered():
		return chat.Usage{}, false
	case ex.seen.Usage.Known && ex.seen.End:
		return ex.seen.Usage, false
	case !ex.seen.Content && ex.seen.Usage.Known:
		return ex.seen.Usage, true
	}
	// Broken off: what the provider counted so far (Anthropic's output count starts with a placeholder), but not less than
	// what came through.
	u = ex.seen.Usage
	if !u.Known {
		u = chat.Usage{Known: true, Input: ex.head.InputTokens()}
	}
	u.Output = max(u.Output, ex.seen.OutputTokens())
	return u, true
}

// reportHealth tells what this stream alone has seen: success, and answers that were bad behind a good status. Failed
// attempts come by the access log.
func (ex *Exchange) reportHealth() {
	if ex.cluster == nil || ex.local != nil || !(ex.status >= 200 && ex.status <= 299) {
		return
	}
	o := health.Outcome{
		Cluster: ex.cluster.Name, Model: ex.step.Model.ID, Status: ex.status, Class: health.Success,
		Start: ex.attemptStart(),
	}
	if !ex.firstContent.IsZero() {
		o.TTFT = ex.firstContent.Sub(o.Start)
	} else if ex.carrier == nil && !ex.raw {
		o.Whole = ex.s.Now().Sub(o.Start)
	}
	switch {
	case ex.outcome == nil:
	case ex.outcome.Kind == fault.Canceled:
		return // whose fault it was, the access log's flags say
	case ex.outcome.FromProvider():
		o.Class = health.BadAnswer
	}
	ex.s.Health.Report(o)
}

// timeToFirst is from the request's start to the first content of a stream, or the first byte of a whole answer.
func (ex *Exchange) timeToFirst() time.Duration {
	if !ex.firstContent.IsZero() {
		return ex.elapsed(ex.firstContent)
	}
	return ex.elapsed(ex.firstByte)
}

// record writes the request's line of the ledger and its metrics.
func (ex *Exchange) record(usage chat.Usage, estimated bool, failed []account.Attempt) {
	r := ex.recordOf()
	r.Status, r.Usage, r.Estimated, r.Failed = ex.clientStatus, usage, estimated, failed
	r.Duration, r.Overhead, r.Attempts = ex.s.Now().Sub(ex.start), ex.overhead, ex.attempts
	r.Cache, r.Outcome, r.Dropped = ex.cacheState, "ok", ex.droppedFields()
	if ex.outcome != nil {
		r.Outcome, r.Reason = ex.outcome.Kind.String(), ex.outcome.Code
		r.Refused = ex.id == "" && ex.outcome.Kind != fault.Canceled && !ex.outcome.FromProvider()
	}
	if ex.carrier != nil {
		r.TTFT = ex.timeToFirst()
	}
	if ex.decision != nil && (ex.outcome != nil || ex.s.Log.Enabled(context.Background(), slog.LevelDebug)) {
		r.Choice = ex // it is only written down, at once
	}
	if ex.step != nil {
		r.Provider, r.Model, r.Known = string(ex.step.Provider.Name), ex.step.Model.Name, ex.step.Model.Known
		r.Priced = false
		if !ex.unmetered() {
			billed := ex.billed(usage, estimated)
			if r.Cost, r.Priced = account.Cost(ex.step.Model, billed); billed == usage {
				r.Price = ex.step.Model.Price
			}
		}
	}
	if ex.cluster != nil {
		r.Cluster = string(ex.cluster.Name)
	}
	if ex.hit != nil {
		r.SavedTokens, r.Saved = ex.hit.Usage.Total(), ex.hit.Cost
		ex.s.Metrics.CacheSaved(r.Tenant, r.SavedTokens, int64(r.Saved))
	}
	if r.Status == 0 && ex.phase == answered {
		r.Status = ex.status
	}
	if ex.principal == mirrorPrincipal {
		ex.s.Metrics.MirrorAnswered(ex.mirrorOf, usage.Prompt(), usage.Output, int64(r.Cost))
	}
	ex.s.Ledger.Record(&r)
	ex.s.Metrics.Request(sample(&r))
}

// billed is what the provider charges for: Cohere counts its own preamble as tokens and does not bill it (D90).
func (ex *Exchange) billed(usage chat.Usage, estimated bool) chat.Usage {
	if b := ex.seen.Billed; b.Known && !estimated && usage.Known {
		return chat.Usage{Known: true, Input: b.Input, Output: b.Output}
	}
	return usage
}

func sample(r *account.Record) *observe.RequestSample {
	return &observe.RequestSample{
		Tenant: r.Tenant, Route: r.Route, Asked: r.Asked, Model: r.Model, Provider: r.Provider, Schema: string(r.Schema),
		Outcome: r.Outcome, Stream: r.Stream, Estimated: r.Estimated,
		Input: r.Usage.Input, CacheRead: r.Usage.CacheRead, CacheWrite: r.Usage.CacheWrite + r.Usage.CacheWrite1h, Output: r.Usage.Output,
		Cost: int64(r.Cost), Priced: r.Priced, Duration: r.Duration, TTFT: r.TTFT, Overhead: r.Overhead, Attempts: r.Attempts,
		Dropped: r.Dropped,
	}
}

func (ex *Exchange) droppedFields() int {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	return len(ex.dropped)
}

// keepWhole stores a whole answer, its bytes too: a client of the same schema gets them again as they are.
func (ex *Exchange) keepWhole(body []byte) {
	if !ex.keeps() {
		return
	}
	if r, err := ex.provider.DecodeResponse(body); err == nil {
		translate.RestoreNames(r, ex.answerOptions().Names)
		ex.store(r, body)
	}
}

// keepStream stores a stream's answer once its terminal event has come.
func (ex *Exchange) keepStream(seen *translate.Seen) {
	if ex.acc == nil || !ex.keeps() || !seen.End {
		return
	}
	if r, ok := ex.acc.Response(); ok {
		ex.store(r, nil)
	}
}

// keeps says whether the answer is wanted by more than its client: by the cache, or by identical requests in flight.
func (ex *Exchange) keeps() bool { return ex.caching || ex.flight != nil }

// store keeps an answer for those who wait for it, and for the cache; what finish may be repeated, keepFresh knows (C14).
func (ex *Exchange) store(r *chat.Response, raw []byte) {
	if ex.provider.Schema() == chat.Responses {
		raw = nil // it repeats its own request, with who sent it
	}
	e := &cache.Entry{
		ID: ex.id, Response: r, Schema: ex.provider.Schema(), Raw: raw, Tenant: ex.principal.Tenant, Asked: ex.head.Model,
		Model: ex.step.Model.Name, Provider: string(ex.step.Provider.Name), Stored: ex.s.Now(), Usage: r.Usage,
	}
	e.Cost, e.Priced = account.Cost(ex.step.Model, e.Usage)
	ex.fresh = e
}
