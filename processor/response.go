package processor

import (
	"strconv"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/wiring"
	"dragoman/processor/route"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/responses"
)

// onResponseHeaders begins the final answer: Envoy has gone through its attempts, and only the last one's response comes
// here. A whole answer's headers are held until its body has been read, because what it turns out to be decides the
// status; a stream's are let go at once.
func (ex *Exchange) onResponseHeaders(in *inbound) error {
	if ex.phase != ordered {
		// Envoy answers by itself (an upload cut short, a route that is gone): its local reply has the client's schema.
		return ex.passThrough()
	}
	ex.phase = answering
	ex.firstByte = ex.s.Now()
	ex.header = in.headers
	in.headers = nil // the next message gets headers of its own
	ex.status, _ = strconv.Atoi(ex.responseHeader(":status"))
	ex.identify(in)
	ex.bodyless = in.last
	if ex.endpoint.op == opCheck {
		return ex.endCheck()
	}
	if f := ex.hidden(); f != nil {
		return ex.fail(ex.blame(f)) // the provider may go on sending; nobody waits for it
	}
	if ex.passesRaw() {
		return ex.beginRaw()
	}
	if ex.ok() && ex.head.Stream && ex.streams() && !ex.bodyless {
		return ex.beginStream()
	}
	if ex.bodyless {
		return ex.onResponseBody(nil, true)
	}
	ex.arm(ex.nextPiece(), ex.stalledWhole)
	return nil
}

// stalledWhole ends a whole answer whose provider has stopped sending. Nothing has gone to the client yet.
func (ex *Exchange) stalledWhole() {
	_ = ex.fail(ex.blame(ex.stall()))
}

// ok says that a provider answered with a 2xx.
func (ex *Exchange) ok() bool { return ex.local == nil && ex.status >= 200 && ex.status <= 299 }

// onResponseBody takes the next piece of the provider's answer.
func (ex *Exchange) onResponseBody(piece []byte, last bool) error {
	switch {
	case ex.phase != answering:
		return ex.passBody(piece, last)
	case ex.raw:
		return ex.onRaw(piece, last)
	case ex.carrier != nil:
		return ex.onStream(piece, last)
	}
	ex.deadline = time.Now().Add(ex.nextPiece())
	if err := ex.collect(piece); err != nil {
		return ex.fail(err)
	}
	if !last {
		return nil
	}
	if !ex.ok() {
		return ex.fail(ex.providerFault())
	}
	return ex.finishWhole()
}

// collect keeps a whole answer's piece within limits.max_response_bytes. Of an error only its beginning counts.
func (ex *Exchange) collect(piece []byte) error {
	bound := ex.snap.Limits.MaxResponse
	if !ex.ok() {
		if room := maxErrorBody - len(ex.answer); len(piece) > room {
			piece = piece[:room]
		}
	}
	if len(ex.answer)+len(piece) > bound {
		return ex.blame(fault.New(fault.ProviderFailed, "The answer of %s is larger than the %d bytes that this gateway takes (limits.max_response_bytes).", ex.step.Provider.Name, bound))
	}
	if ex.answer == nil {
		ex.answer = piece
		return nil
	}
	ex.answer = append(ex.answer, piece...)
	return nil
}

// maxErrorBody is how much of a provider's error body is read: what it says stands at its beginning.
const maxErrorBody = 64 << 10

// finishWhole translates a complete answer and sends it.
func (ex *Exchange) finishWhole() error {
	body, err := inflateWhole(ex.responseHeader("content-encoding"), ex.answer, ex.snap.Limits.MaxResponse)
	if err != nil {
		return ex.fail(ex.blame(err))
	}
	o := ex.answerOptions()
	out, seen, err := translate.Whole(ex.endpoint.client, ex.provider, body, o)
	if err != nil {
		return ex.fail(ex.blame(err))
	}
	ex.noteWhole(body, out, o)
	ex.seen = seen
	if pass := ex.endpoint.pass; pass != nil && pass.object != "" {
		return ex.sendOwn(out)
	}
	if ex.head.Stream {
		// The provider answered a stream's request with a whole answer: the client gets its stream all the same.
		return ex.streamWhole(body)
	}
	h := newHeaders()
	ex.answerHeaders(&h, "application/json")
	h.set("content-length", strconv.Itoa(len(out)))
	ex.keepWhole(body)
	return ex.sendAnswer(&h, out)
}

// streamWhole replays a whole answer as a stream.
func (ex *Exchange) streamWhole(body []byte) error {
	r, err := ex.provider.DecodeResponse(body)
	if err != nil {
		return ex.fail(ex.blame(err))
	}
	o := ex.answerOptions()
	translate.RestoreNames(r, o.Names)
	if ex.keeps() {
		ex.store(r, body)
	}
	h := newHeaders()
	ex.answerHeaders(&h, ex.streamType())
	h.remove("content-length")
	out := replayStream(ex.endpoint.client, r, o)
	if ex.head.Schema == chat.Responses {
		ex.object = responses.FinalObject(out)
	}
	return ex.sendAnswer(&h, out)
}

// sendAnswer sends headers and body of an answer that is complete.
func (ex *Exchange) sendAnswer(h *headers, body []byte) error {
	ex.replied = true
	if ex.bodyless {
		// Envoy takes no body for a response that had none; a reply of its own replaces the response.
		return ex.answerAtOnce(ex.clientStatus, h, body)
	}
	if err := ex.send(responseHeaders(h)); err != nil {
		return err
	}
	return ex.lastPiece(body)
}

// lastPiece ends the client's answer.
func (ex *Exchange) lastPiece(body []byte) error {
	ex.keepTurn()
	ex.phase = answered
	defer ex.end()
	if err := ex.send(responseBody(body, !ex.responseTrailers)); err != nil || !ex.responseTrailers {
		return err
	}
	return ex.send(responseTrailers())
}

// fail ends an answer that has not begun for the client with an error in the client's schema, unless there is an older answer.
func (ex *Exchange) fail(err error) error {
	f := asFault(err)
	if ex.outdated(f) {
		return ex.replayStale()
	}
	return ex.failWith(f)
}

func (ex *Exchange) failWith(f *fault.Fault) error {
	ex.outcome = f
	status, body := ex.endpoint.client.EncodeFault(f, ex.requestID)
	h := newHeaders()
	ex.answerHeaders(&h, "application/json")
	ex.faultHeaders(&h, f)
	ex.clientStatus = status
	h.set(":status", strconv.Itoa(status))
	h.set("content-length", strconv.Itoa(len(body)))
	return ex.sendAnswer(&h, body)
}

// providerFault is what the final attempt's error means.
func (ex *Exchange) providerFault() *fault.Fault {
	if ex.local != nil {
		return ex.local
	}
	body, err := inflateWhole(ex.responseHeader("content-encoding"), ex.answer, maxErrorBody)
	if err != nil {
		body = nil
	}
	return ex.blame(ex.provider.DecodeFault(ex.status, ex.responseHeader, body))
}

// hidden is what a probe found wrong in the final answer, nil when nothing was.
func (ex *Exchange) hidden() *fault.Fault {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	return ex.probed[ex.attempts]
}

// blame names the provider in a fault, with how many attempts were made.
func (ex *Exchange) blame(err error) *fault.Fault {
	return blamed(asFault(err), ex.step, ex.attempts, ex.status)
}

func blamed(err *fault.Fault, step *route.Step, attempt, status int) *fault.Fault {
	f := *err
	if f.Provider != "" {
		return &f
	}
	f.Provider = string(step.Provider.Name)
	if f.Status == 0 {
		f.Status = status
	}
	prefix := "Provider " + f.Provider
	if attempt > 1 {
		prefix += " (attempt " + strconv.Itoa(attempt) + ")"
	}
	f.Message = prefix + ": " + f.Message
	return &f
}

// identify finds out who answered: Envoy says which cluster, at which attempt, and whether it was a provider at all; the
// plan says which model.
func (ex *Exchange) identify(in *inbound) {
	ex.attempts = ex.made(in.attempts)
	ex.step = ex.stepOf(ex.attempts)
	ex.provider = ex.codec(ex.step.Provider)
	ex.cluster = ex.snap.Cluster(config.ClusterName(in.cluster))
	if details := ex.responseHeader(wiring.HeaderLocalReply); details != "" {
		ex.local = ex.localFault(details)
	} else if ex.cluster != nil {
		ex.s.learnt.Told(ex.cluster.Name, ex.responseHeader, ex.firstByte)
		ex.moveToCluster(ex.cluster)
	}
}

func (ex *Exchange) responseHeader(name string) string {
	for i := range ex.header {
		if ex.header[i].name == name {
			return ex.header[i].value
		}
	}
	return ""
}

// streams says whether the provider's answer is an event stream.
func (ex *Exchange) streams() bool {
	return isStream(ex.responseHeader("content-type"))
}

// isStream knows both framings: server-sent events, and AWS's binary event stream.
func isStream(contentType string) bool {
	return strings.HasPrefix(contentType, "text/event-stream") || strings.HasPrefix(contentType, "application/vnd.amazon.eventstream")
}

// streamType is what a streamed answer is to the client.
func (ex *Exchange) streamType() string {
	if ex.endpoint.array {
		return "application/json"
	}
	return "text/event-stream"
}

// answerOptions says how the answer is written for this client.
func (ex *Exchange) answerOptions() translate.Answer {
	ex.attemptMu.Lock()
	names := ex.names
	ex.attemptMu.Unlock()
	return translate.Answer{
		RequestID: ex.id, Model: ex.step.Model.ID, IncludeUsage: ex.head.IncludeUsage, Now: ex.s.Now(),
		Names: names, Head: ex.asked, Array: ex.endpoint.array,
	}
}

// answerHeaders makes the client's response headers: what a provider sends is dropped but for an allow-list, so that its
// cookies, its account's name and its own rate limits (D129) stay behind.
func (ex *Exchange) answerHeaders(h *headers, contentType string) {
	for i := range ex.header {
		if name := ex.header[i].name; !keptResponseHeader(name) && !(ex.raw && rawHeader(name)) {
			h.remove(name)
		}
	}
	h.set("content-type", contentType)
	ex.gatewayHeaders(h)
}

func keptResponseHeader(name string) bool {
	switch name {
	case ":status", "content-type", "content-length", "date", "openai-processing-ms":
		return true
	}
	return false
}

// gatewayHeaders tells the client what the gateway did.
func (ex *Exchange) gatewayHeaders(h *headers) {
	if ex.requestID != "" {
		h.set("x-request-id", ex.requestID)
	}
	if ex.step != nil {
		h.set("x-dragoman-provider", string(ex.step.Provider.Name))
		if ex.step.Model.Name != "" { // requests about objects have none
			h.set("x-dragoman-model", ex.step.Model.Name)
		}
	}
	if ex.attempts > 1 {
		h.set("x-dragoman-attempts", strconv.Itoa(ex.attempts))
	}
	if ex.cacheState != "" {
		h.set("x-dragoman-cache", ex.cacheState)
		if ex.keyed && ex.snap.Cache.TTL > 0 {
			h.set("x-dragoman-cache-entry", ex.cacheKey.String())
		}
	}
	ex.attemptMu.Lock()
	dropped, truncated, capped := ex.dropped, ex.truncated, ex.cappedTo
	ex.attemptMu.Unlock()
	if truncated != "" {
		h.set("x-dragoman-truncated", truncated)
	}
	if capped != "" {
		h.set("x-dragoman-capped", capped)
	}
	if len(dropped) > 0 {
		h.set("x-dragoman-dropped", strings.Join(dropped, ", "))
	}
	ex.routingHeaders(h)
	for _, l := range ex.limits.Headers() {
		h.set(l.Name, l.Value)
	}
}

// faultHeaders tells an SDK when to come back.
func (ex *Exchange) faultHeaders(h *headers, f *fault.Fault) {
	if f.RetryAfter > 0 {
		h.set("retry-after", strconv.FormatInt(int64((f.RetryAfter+999_999_999)/1_000_000_000), 10))
		h.set("retry-after-ms", strconv.FormatInt(f.RetryAfter.Milliseconds(), 10))
	}
	if f.Kind == fault.BudgetExhausted {
		h.set("x-should-retry", "false") // SDKs of OpenAI and Anthropic go by it
	}
	if ex.step != nil {
		h.set("x-dragoman-fault", f.Kind.String())
	}
}

// localFault is for an answer that no provider gave: Envoy's own, when no attempt came as far as a response.
func (ex *Exchange) localFault(details string) *fault.Fault {
	if ex.status == 413 {
		return ex.tooLarge()
	}
	f := fault.New(fault.Unavailable, "No provider could be reached: %s (%s). Try again, or see the gateway's log.", ex.tried(), details)
	if ex.status == 504 || ex.status == 408 || strings.Contains(details, "timeout") {
		f = fault.New(fault.ProviderTimeout, "No provider answered in time: %s (%s).", ex.tried(), details)
	}
	if ex.step != nil {
		f.Provider = string(ex.step.Provider.Name)
	}
	return f
}

// tried names the providers of the plan, for an error message.
func (ex *Exchange) tried() string {
	var names []string
	for i, plan := 0, ex.plan(); i < len(plan); i++ {
		n := string(plan[i].Provider.Name)
		if len(names) == 0 || names[len(names)-1] != n {
			names = append(names, n)
		}
	}
	return strings.Join(names, ", then ") + " failed"
}

func (ex *Exchange) passThrough() error {
	ex.phase = answered
	var h headers
	h.remove(wiring.HeaderLocalReply)
	return ex.send(responseHeaders(&h))
}

func (ex *Exchange) passBody(piece []byte, last bool) error {
	if last {
		ex.end()
	}
	return ex.send(responseBody(piece, last))
}
