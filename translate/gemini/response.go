package gemini

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/wire"
)

// whole reads a 2xx body as one chunk. The fault is the error that a 200 may hold, or ProviderFailed for what is no answer.
func whole(c *chunk, body []byte) *fault.Fault {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return fault.New(fault.ProviderFailed, "The provider answered with an empty body.")
	case !c.read(body):
		if e := errorOf(body); e.present { // D122
			return e.fault(0)
		}
		return fault.New(fault.ProviderFailed, "The provider's answer is not a JSON object: %s", wire.Clip(body))
	case c.failed:
		e := errorOf(body)
		return e.fault(0)
	case len(c.candidates) == 0 && c.blocked == nil:
		return fault.New(fault.ProviderFailed, "The provider answered without any candidate: %s", wire.Clip(body))
	}
	return nil
}

// DecodeResponse reads a whole answer.
func (Codec) DecodeResponse(body []byte) (*chat.Response, error) {
	acc := chat.NewAccumulator(1<<20 + 64*len(body)) // what a body of this length can hold at most
	f := tellWhole(body, true, acc.Add)              // it copies what it keeps
	if f != nil {
		return nil, f
	}
	r, ok := acc.Response()
	if !ok {
		return nil, acc.Fault()
	}
	if len(r.Choices) == 0 { // every candidate's index was beyond what anybody asks for
		return nil, fault.New(fault.ProviderFailed, "The provider answered with more candidates than any request may ask for.")
	}
	return r, nil
}

// tellWhole tells a whole answer's events. A candidate of a whole answer has ended, whether it says why or not.
func tellWhole(body []byte, borrow bool, emit func(*chat.Event)) *fault.Fault {
	t := teller{emit: emit, borrow: borrow}
	if f := whole(&t.chunk, body); f != nil {
		return f
	}
	var failed *fault.Fault
	t.emit = func(ev *chat.Event) {
		if ev.Kind == chat.EventError {
			failed = ev.Fault
		}
		emit(ev)
	}
	for i := range t.chunk.candidates {
		if t.chunk.candidates[i].finish == nil {
			t.chunk.candidates[i].finish = []byte(`""`)
		}
	}
	t.apply()
	if failed == nil {
		t.tell(chat.Event{Kind: chat.EventEnd})
	}
	return failed
}

// PeekResponse reads an answer's head, usage and reasons to stop.
func (Codec) PeekResponse(body []byte) (translate.Seen, error) {
	var seen translate.Seen
	if f := tellWhole(body, true, seen.Note); f != nil {
		return translate.Seen{}, f
	}
	seen.Content = true
	return seen, nil
}
