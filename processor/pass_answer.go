package processor

import (
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/openai"
)

// passesRaw says that the answer goes to the client untouched, piece by piece: audio, files, transcripts as text, event streams. What is
// JSON is read, for its usage and for whose object it describes.
func (ex *Exchange) passesRaw() bool {
	pass := ex.endpoint.pass
	return pass != nil && !pass.metered() && ex.ok() && (pass.content || !strings.Contains(ex.responseHeader("content-type"), "json"))
}

// beginRaw lets the headers of such an answer go. How long it may be, nothing says but time: retry.idle_timeout between two pieces,
// retry.timeout as a whole.
func (ex *Exchange) beginRaw() error {
	ex.raw = true
	ex.seen.Content = true
	h := newHeaders()
	ex.answerHeaders(&h, ex.responseHeader("content-type"))
	if ex.bodyless {
		ex.seen.End = true
		ex.phase = answered
		ex.end()
	} else {
		ex.arm(ex.nextPiece(), ex.stalledRaw)
	}
	ex.replied = true
	return ex.send(responseHeaders(&h))
}

// onRaw passes the next piece.
func (ex *Exchange) onRaw(piece []byte, last bool) error {
	ex.arm(ex.nextPiece(), ex.stalledRaw)
	ex.keepTail(piece)
	if last {
		ex.seen.End = true
		ex.seen.Usage = openai.LastUsage(ex.tail)
		return ex.lastPiece(piece)
	}
	return ex.send(responseBody(piece, false))
}

// keepTail keeps the end of an event stream: there its usage is.
func (ex *Exchange) keepTail(piece []byte) {
	if !isStream(ex.responseHeader("content-type")) {
		return
	}
	if len(piece) > openai.UsageTail {
		piece = piece[len(piece)-openai.UsageTail:]
	}
	if over := len(ex.tail) + len(piece) - openai.UsageTail; over > 0 {
		ex.tail = ex.tail[:copy(ex.tail, ex.tail[over:])]
	}
	ex.tail = append(ex.tail, piece...)
}

// stalledRaw breaks an answer off whose provider has stopped sending. Nothing can be said in the middle of a sound; Envoy resets a response
// that has begun when it is answered at once.
func (ex *Exchange) stalledRaw() {
	ex.outcome = ex.blame(ex.stall())
	ex.phase = answered
	ex.end()
	_ = ex.send(immediate(504, &headers{}, nil))
}

// rawHeader says which of a provider's headers belong to what passes untouched.
func rawHeader(name string) bool {
	return name == "content-encoding" || name == "content-disposition" || name == "content-language"
}

// strange is the fault of an object's answer that cannot be handed out safely.
func strange(what string) *fault.Fault {
	return fault.New(fault.ProviderFailed, "The provider's answer cannot be passed on: %s.", what)
}
