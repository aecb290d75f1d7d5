package processor

import (
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
	}
	defer ex.keepFresh()
	defer ex.keepTurn()
	ex.inflate.Close()
	if ex.endpoint == nil {
		return // not even the headers came
	}
	if ex.phase != answered && ex.outcome == nil {
		ex.outcome = fault.New(fault.Canceled, "The connection was closed before the answer was complete.")
	}
	if ex.carrier != nil {
		ex.seen = *ex.carrier.Seen()
	}
	usage, estimated := ex.usage()
	if ex.reservation != nil {
		ex.s.Counters.Settle(ex.s.Now(), ex.reservation, usage.Total())
	}
	ex.reportHealth()
	ex.record(usage, estimated)
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
		TTFT: ex.timeToFirst(), Duration: ex.s.Now().Sub(ex.start),
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
func (ex *Exchange) record(usage chat.Usage, estimated bool) {
	r := account.Record{
		ID: ex.requestID, Time: ex.start, Endpoint: ex.endpoint.path, Status: ex.clientStatus, Usage: usage, Estimated: estimated,
		Duration: ex.s.Now().Sub(ex.start), Overhead: ex.overhead, Attempts: ex.attempts,
		Cache: ex.cacheState, Route: ex.route, Outcome: "ok", Dropped: ex.droppedFields(),
	}
	if ex.outcome != nil {
		r.Outcome = ex.outcome.Kind.String()
	}
	if ex.principal != nil {
		r.Tenant, r.Team, r.Key = ex.principal.Tenant, ex.principal.Team, ex.principal.Key
	}
	if ex.carrier != nil {
		r.TTFT = ex.timeToFirst()
	}
	if ex.head != nil {
		r.Asked, r.Stream, r.Schema = ex.head.Model, ex.head.Stream, ex.head.Schema
	}
	if ex.step != nil {
		r.Provider, r.Model = string(ex.step.Provider.Name), ex.step.Model.Name
		if !ex.unmetered() {
			r.Cost, r.Priced = account.Cost(ex.step.Model, ex.billed(usage, estimated))
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
