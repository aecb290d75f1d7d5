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
)

// attempt is one attempt as its cluster's filter sees it. Envoy opens its stream for every attempt but the first, and for
// the first too when the answer is to be probed.
type attempt struct {
	s       *Server
	stream  stream
	ex      *Exchange
	number  int // from 1
	cluster config.ClusterName
	step    *route.Step

	// The probe.
	decoder translate.Decoder
	bytes   int
	chunks  int  // held until the headers are answered
	content bool // the answer has begun in earnest
	fault   *fault.Fault
	usage   chat.Usage // that the provider has reported so far
	held    bool       // the response headers wait for an answer
	whole   bool       // it is a whole answer that is held
	body    []byte     // of a whole answer
	length  int        // its content-length, 0: unknown

	// A failure whose cause is looked for.
	status int // of it, 0: there is none
	header []field
}

// serveAttempt is the loop of the upstream filter. Returning ends the gRPC stream: the filter then lets everything pass.
func (s *Server) serveAttempt(stream stream) error {
	a := &attempt{s: s, stream: stream, cluster: filterCluster(stream.Context())}
	var in inbound
	for {
		if err := stream.RecvMsg(&in); err != nil {
			return ignoreEnd(err)
		}
		var done bool
		var err error
		switch in.kind {
		case requestHeadersMessage:
			done, err = a.onRequest(&in)
		case responseHeadersMessage:
			done, err = a.onResponse(&in)
		case responseBodyMessage:
			done, err = a.onChunk(in.body, in.last)
		}
		if done || err != nil {
			return err
		}
	}
}

// onRequest gives a later attempt its request: the client's original in this provider's schema.
func (a *attempt) onRequest(in *inbound) (done bool, err error) {
	a.number = attemptNumber(in.headers)
	if a.ex = a.s.exchanges.find(in.exchange); a.ex == nil {
		// The client is gone, or Dragoman was restarted since it ordered the request: there is nothing to send.
		return true, a.stream.SendMsg(immediate(503, &headers{}, nil))
	}
	a.step = a.ex.stepOf(a.number)
	if a.number == 1 {
		a.ex.noteTry(1, a.cluster)
		return false, a.stream.SendMsg(attemptAsIs())
	}
	if f := a.ex.barred(a.number, a.step); f != nil {
		a.ex.noteBarred(a.number, f)
		return true, a.stream.SendMsg(attemptRefused(false))
	}
	if err := a.backOff(); err != nil {
		return true, err
	}
	a.ex.moveTo(a.step)
	up, err := a.ex.encode(a.step)
	if err != nil {
		// This provider cannot be asked what the first one was. Envoy takes the status for the attempt's and goes on.
		a.ex.note(a.number, asFault(err))
		return true, a.stream.SendMsg(attemptRefused(true))
	}
	a.ex.noteUpstream(a.number, up)
	a.ex.noteTry(a.number, a.cluster)
	h := newHeaders()
	a.ex.setUpstream(&h, up, a.step)
	h.set(wiring.HeaderLength, strconv.Itoa(len(up.Body))) // Envoy drops content-length with the body that it replaces
	return !a.ex.probes(), a.stream.SendMsg(attemptReplaced(&h, up.Body))
}

// backOff waits before the same provider is asked again. Another provider is asked at once.
func (a *attempt) backOff() error {
	if a.step.Backoff <= 0 {
		return nil
	}
	t := time.NewTimer(a.step.Backoff)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-a.stream.Context().Done():
		return a.stream.Context().Err()
	}
}

func attemptNumber(hs []field) int {
	for i := range hs {
		if hs[i].name == wiring.HeaderAttemptCount {
			n, _ := strconv.Atoi(hs[i].value)
			return max(n, 1)
		}
	}
	return 1
}

// onResponse holds the headers of an answer that looks right, until its first event says whether it is.
func (a *attempt) onResponse(in *inbound) (done bool, err error) {
	status, contentType, encoding := 0, "", ""
	for _, h := range in.headers {
		switch h.name {
		case ":status":
			status, _ = strconv.Atoi(h.value)
		case "content-type":
			contentType = h.value
		case "content-encoding":
			encoding = h.value
		case "content-length":
			a.length, _ = strconv.Atoi(h.value)
		}
	}
	plain := encoding == "" || encoding == "identity"
	switch {
	case plain && status >= 400 && a.ex.cures:
		return a.onFailure(status, in)
	case status < 200 || status > 299, !plain:
		return true, a.stream.SendMsg(attemptStatus(0))
	case in.last:
		return true, a.reject(fault.New(fault.ProviderFailed, "The answer is empty."))
	case !isStream(contentType):
		return a.onOther(contentType)
	}
	a.held = true
	a.decoder = a.ex.codec(a.step.Provider).NewDecoder(a.ex.snap.Limits.MaxEvent)
	return false, nil
}

// onOther judges a 200 that is no event stream by its content type: JSON may be a whole answer, HTML is a proxy's error page.
func (a *attempt) onOther(contentType string) (done bool, err error) {
	if !strings.Contains(contentType, "json") {
		return true, a.reject(fault.New(fault.ProviderFailed, "The answer is %s, which no provider's schema has.", clip(contentType)))
	}
	if a.ex.retry().Probe != config.ProbeAll {
		return true, a.stream.SendMsg(attemptStatus(0))
	}
	a.held, a.whole = true, true
	return false, nil
}

// onWhole holds a whole answer until it is complete, and rejects one that its schema does not know. One that is too large to be
// held goes on unseen.
func (a *attempt) onWhole(chunk []byte, last bool) (done bool, err error) {
	a.body = append(a.body, chunk...)
	if len(a.body) > maxWholeProbe {
		return true, a.release()
	}
	// Behind the last chunk may come trailers, which this filter is not shown.
	if !last && (a.length == 0 || len(a.body) < a.length) {
		return false, nil
	}
	if _, err := a.ex.codec(a.step.Provider).PeekResponse(a.body); err != nil {
		return true, a.reject(asFault(err))
	}
	return true, a.release()
}

// maxWholeProbe is how many bytes of a whole answer are held: less than what Envoy buffers.
const maxWholeProbe = 512 << 10

// onChunk looks for the first event with content, or for what shows that none will come.
func (a *attempt) onChunk(chunk []byte, last bool) (done bool, err error) {
	if !a.held {
		return false, a.stream.SendMsg(attemptBody())
	}
	a.chunks++
	if a.status != 0 {
		return a.onCause(chunk, last)
	}
	if a.whole {
		return a.onWhole(chunk, last)
	}
	a.bytes += len(chunk)
	if err := a.decoder.Decode(chunk, a.onEvent); err != nil && a.fault == nil {
		a.fault = asFault(err)
	}
	if last && !a.content && a.fault == nil {
		a.fault = fault.New(fault.ProviderFailed, "The stream ended before its first event.")
	}
	switch {
	case a.content, a.fault == nil && a.bytes > maxProbe:
		return true, a.release()
	case a.fault != nil:
		return true, a.reject(a.fault)
	default:
		return false, nil
	}
}

// maxProbe is how many bytes without content are held before an answer is let go unseen.
const maxProbe = 64 << 10

func (a *attempt) onEvent(ev *chat.Event) {
	if ev.Usage.Known && !a.content {
		a.usage = ev.Usage // charged, should the answer turn out to be none
	}
	switch {
	case a.content || a.fault != nil:
	case ev.Kind == chat.EventError:
		a.fault = ev.Fault
	case ev.Content():
		a.content = true
	}
}

// release lets headers and held chunks go; the stream's end lets all that follows pass.
func (a *attempt) release() error {
	if err := a.stream.SendMsg(attemptStatus(0)); err != nil {
		return err
	}
	return a.releaseChunks()
}

func (a *attempt) releaseChunks() error {
	for range a.chunks {
		if err := a.stream.SendMsg(attemptBody()); err != nil {
			return err
		}
	}
	return nil
}

// reject turns a 200 that is none into a status that Envoy retries. The request stream learns the true cause, for the
// case that there is no attempt left.
func (a *attempt) reject(f *fault.Fault) error {
	a.ex.note(a.number, f)
	a.ex.noteFailure(a.number, f, a.usage)
	if err := a.stream.SendMsg(attemptStatus(503)); err != nil {
		return err
	}
	return a.releaseChunks()
}

// note keeps what a probe saw.
func (ex *Exchange) note(attempt int, f *fault.Fault) {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	if ex.probed == nil {
		ex.probed = make(map[int]*fault.Fault, 1)
	}
	ex.probed[attempt] = f
}

// noteUpstream keeps what an attempt's request had to leave out or rename; the last attempt's word counts.
func (ex *Exchange) noteUpstream(attempt int, up *translate.Upstream) {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	if attempt >= ex.droppedAt {
		ex.droppedAt, ex.dropped, ex.names, ex.truncated, ex.cappedTo = attempt, up.Dropped, up.Names, up.Cut, up.Capped
		ex.startedAt = ex.s.Now()
	}
}

// attemptStart is when the last attempt began: what an earlier one took is no fault of the provider that answered.
func (ex *Exchange) attemptStart() time.Time {
	ex.attemptMu.Lock()
	defer ex.attemptMu.Unlock()
	if ex.startedAt.IsZero() {
		return ex.start
	}
	return ex.startedAt
}
