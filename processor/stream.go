package processor

import (
	"time"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// beginStream lets a stream's headers go to the client and prepares to carry its events.
func (ex *Exchange) beginStream() error {
	inflate, err := newInflater(ex.responseHeader("content-encoding"), ex.snap.Limits.MaxEvent)
	if err != nil {
		return ex.fail(ex.blame(err))
	}
	ex.inflate = inflate
	ex.carrier = translate.NewStream(ex.endpoint.client, ex.provider, ex.snap.Limits.MaxEvent, ex.answerOptions())
	if ex.keeps() || ex.remembers() {
		ex.acc = chat.NewAccumulator(ex.snap.Limits.MaxResponse)
		ex.carrier.Observe(ex.provider, ex.snap.Limits.MaxEvent, ex.observe)
	}
	h := newHeaders()
	ex.answerHeaders(&h, ex.streamType())
	h.set("cache-control", "no-cache")
	h.remove("content-length")
	ex.replied = true
	ex.watchStall()
	return ex.send(responseHeaders(&h))
}

// observe sees each event of a streamed answer that is kept or shared.
func (ex *Exchange) observe(ev *chat.Event) {
	ex.acc.Add(ev)
	if ex.flight != nil {
		ex.flight.Add(ev)
	}
}

// watchStall gives the provider retry.idle_timeout for its next bytes. Envoy's own idle timeout is later: it could only
// reset the client's stream, where an error event says what happened.
func (ex *Exchange) watchStall() { ex.arm(ex.nextPiece(), ex.stalled) }

func (ex *Exchange) stalled() {
	_ = ex.breakOff(nil, ex.blame(ex.stall()))
}

// onStream carries the next bytes of a stream. Any split of them gives the same events.
func (ex *Exchange) onStream(piece []byte, last bool) error {
	ex.deadline = time.Now().Add(ex.nextPiece())
	out, err := ex.carry(piece, last)
	ex.lead()
	seen := ex.carrier.Seen()
	if seen.FirstContent && ex.firstContent.IsZero() {
		ex.firstContent = ex.s.Now()
	}
	if err != nil {
		return ex.breakOff(out, ex.blame(err))
	}
	if seen.Fault != nil {
		// The provider's error event has been passed on in the client's schema; nothing may follow it.
		ex.outcome = ex.blame(seen.Fault)
		return ex.lastPiece(out)
	}
	if seen.End || last {
		ex.noteStream(out)
	}
	if last {
		ex.keepStream(seen)
		return ex.lastPiece(out)
	}
	if len(out) == 0 {
		return nil // full duplex: an event in progress needs no answer
	}
	ex.keepTurn()
	return ex.send(responseBody(out, false))
}

// carry translates the next bytes; at the end it asks for the terminal event.
func (ex *Exchange) carry(piece []byte, last bool) ([]byte, error) {
	plain, err := ex.inflate.Write(piece)
	if err != nil {
		return nil, err
	}
	out, err := ex.carrier.Write(nil, plain)
	if err != nil || !last {
		return out, err
	}
	return ex.carrier.Close(out)
}

// breakOff ends a stream with an error event after what had been said: never a clean end for a broken stream.
func (ex *Exchange) breakOff(said []byte, f *fault.Fault) error {
	ex.outcome = f
	return ex.lastPiece(ex.carrier.Fault(said, f))
}

// replayStream writes a whole answer as the stream that it could have been.
func replayStream(c translate.Client, r *chat.Response, o translate.Answer) []byte {
	enc := c.NewEncoder(o)
	out := make([]byte, 0, 4096)
	chat.Replay(r, func(ev *chat.Event) { out = enc.Encode(out, ev) })
	return out
}

// elapsed is the time since the request began.
func (ex *Exchange) elapsed(t time.Time) time.Duration {
	if t.IsZero() {
		return 0
	}
	return t.Sub(ex.start)
}
