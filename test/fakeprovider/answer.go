package fakeprovider

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/andybalholm/brotli"
)

// answer is the writing of one answer.
type answer struct {
	server *Server
	w      http.ResponseWriter
	hr     *http.Request
	r      *Request
	id     answerID
	rule   Rule
	outcome
}

// limits say where a stream ends before its time, and how.
type limits struct {
	frames   []frame
	after    int // events to write; negative: all
	then     Failure
	errorE   *apiError // of ErrorEvent
	encoding string    // of the whole answer
}

func (a *answer) vendor() vendor { return a.server.vendor }

// refuse sends an error answer.
func (a *answer) refuse(e *apiError) {
	if v, ok := a.vendor().(headed); ok {
		a.w.Header().Set(v.errorHeader(e))
	}
	a.whole(e.status, "application/json", a.vendor().errorBody(e, a.id))
}

// reply answers well, or as lim bends it.
func (a *answer) reply(q *ask, lim *limits) {
	if q.body != nil {
		a.operation(q.body(a.id), lim)
		return
	}
	r := a.rule.Reply
	if r == nil {
		r = q.defaultReply()
	}
	r = q.complete(r)
	if a.server.opts.PromptCache {
		r.Usage = a.server.prompts.account(a.r.Body, *r.Usage)
	}
	for k, v := range r.Header {
		a.w.Header().Set(k, v)
	}
	if !q.stream {
		body := a.vendor().whole(r, q, a.id)
		a.usage, a.delivered = r.Usage.Output, r.Usage.Output
		switch {
		case lim == nil:
			a.complete = a.whole(http.StatusOK, "application/json", body)
		case lim.encoding != "":
			a.complete = a.compressed(lim.encoding, "application/json", body)
		default:
			a.delivered = 0
			a.half(body, lim)
		}
		return
	}
	if lim == nil {
		lim = &limits{after: -1}
	}
	lim.frames = a.vendor().events(r, q, a.id)
	a.usage = r.Usage.Output
	if lim.encoding != "" {
		a.complete = a.compressed(lim.encoding, a.streamMedia(), joined(lim.frames))
		a.delivered = a.usage
		return
	}
	a.stream(r, lim)
}

func joined(frames []frame) []byte {
	var b []byte
	for _, f := range frames {
		b = append(b, f.data...)
	}
	return b
}

// head writes status and headers. Length -1 leaves it to chunked encoding.
func (a *answer) head(status int, media string, length int) {
	h := a.w.Header()
	for k, v := range a.vendor().standard(a.r.Serial, a.r.At.Unix()) {
		h.Set(k, v)
	}
	h.Set("Content-Type", media)
	if length >= 0 {
		h.Set("Content-Length", strconv.Itoa(length))
	}
	a.status = status
	a.w.WriteHeader(status)
}

func (a *answer) whole(status int, media string, body []byte) bool {
	a.head(status, media, len(body))
	return a.write(body)
}

func (a *answer) compressed(encoding, media string, body []byte) bool {
	var b bytes.Buffer
	var z io.WriteCloser = gzip.NewWriter(&b)
	if encoding == "br" {
		z = brotli.NewWriter(&b)
	}
	_, _ = z.Write(body)
	_ = z.Close()
	a.w.Header().Set("Content-Encoding", encoding)
	return a.whole(http.StatusOK, media, b.Bytes())
}

// write sends b and says whether the client is still there.
func (a *answer) write(b []byte) bool {
	if room := keptResponse - len(a.response); room > 0 {
		a.response = append(a.response, b[:min(len(b), room)]...)
	}
	if _, err := a.w.Write(b); err != nil || a.hr.Context().Err() != nil {
		a.aborted = true
		return false
	}
	return true
}

func (a *answer) flush() { _ = http.NewResponseController(a.w).Flush() }

// stream writes the frames at the reply's pace.
func (a *answer) stream(r *Reply, lim *limits) {
	a.head(http.StatusOK, a.streamMedia(), -1)
	a.flush()
	frames := lim.frames
	if lim.after >= 0 && lim.after < len(frames) {
		frames = frames[:lim.after]
	}
	out := pieces{a: a, size: r.SplitBytes}
	for i, f := range frames {
		if i > 0 && r.Pace > 0 && !a.wait(r.Pace) {
			return
		}
		if !out.event(a.dress(f.data, r)) {
			return
		}
		a.delivered += f.tokens
	}
	if !out.rest() {
		return
	}
	a.finish(lim)
}

// finish is what follows the last event that was asked for.
func (a *answer) finish(lim *limits) {
	switch lim.then {
	case ErrorEvent:
		a.write(a.vendor().errorEvent(lim.errorE, a.id).data)
		a.flush()
	case BadChecksum:
		b := a.vendor().errorEvent(lim.errorE, a.id).data
		b[len(b)-1] ^= 1
		a.write(b)
		a.flush()
	case Cut:
		a.reset()
	case Stall:
		a.hold(a.server.opts.MaxHold)
	case EndEarly:
	default:
		a.complete = true
	}
}

// half sends the first half of a whole answer and ends as lim says. Content-Length promises the whole.
func (a *answer) half(body []byte, lim *limits) {
	a.head(http.StatusOK, "application/json", len(body))
	if !a.write(body[:len(body)/2]) {
		return
	}
	a.flush()
	if lim.then == Stall {
		a.hold(a.server.opts.MaxHold)
	}
	a.reset()
}

func (a *answer) streamMedia() string {
	if v, ok := a.vendor().(framed); ok {
		return v.media()
	}
	return "text/event-stream; charset=utf-8"
}

// dress gives an event the line endings and comments that the reply wants. Binary ones have neither.
func (a *answer) dress(event []byte, r *Reply) []byte {
	if _, binary := a.vendor().(framed); binary {
		return event
	}
	if r.Comments {
		event = slices.Concat([]byte(": keep-alive\n\n"), event)
	}
	if r.CRLF {
		event = bytes.ReplaceAll(event, []byte("\n"), []byte("\r\n"))
	}
	return event
}

// pieces cuts what is written into pieces of size bytes; 0 keeps events whole.
type pieces struct {
	a    *answer
	size int
	held []byte
}

func (p *pieces) event(b []byte) bool {
	if p.size <= 0 {
		ok := p.a.write(b)
		p.a.flush()
		return ok
	}
	p.held = append(p.held, b...)
	for len(p.held) >= p.size {
		if !p.a.write(p.held[:p.size]) {
			return false
		}
		p.a.flush()
		p.held = p.held[p.size:]
	}
	return true
}

func (p *pieces) rest() bool {
	if len(p.held) == 0 {
		return true
	}
	ok := p.a.write(p.held)
	p.a.flush()
	return ok
}

// wait sleeps; false when the client went away or the server closed first.
func (a *answer) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-a.hr.Context().Done():
		a.aborted = true
		return false
	case <-a.server.ctx.Done():
		return false
	}
}

// hold waits for the client to go away.
func (a *answer) hold(d time.Duration) { a.wait(d) }
