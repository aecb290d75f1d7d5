package translate

import (
	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// Stream carries one streamed answer from the provider's schema into the client's. It belongs to one goroutine at a time.
type Stream struct {
	tap  Tap // set when both sides speak one schema
	dec  Decoder
	enc  Encoder
	seen Seen
	dst  []byte // what the Write in progress appends to
	emit func(*chat.Event)
	also func(*chat.Event)
	side Decoder // feeds also beside a tap
	done bool    // a fault ended the stream: what still comes is not read
	back *chat.Names
}

// NewStream makes the carrier for one answer. maxEvent bounds one event of the provider in bytes.
func NewStream(c Client, p Provider, maxEvent int, o Answer) *Stream {
	s := &Stream{enc: c.NewEncoder(o), back: o.Names}
	if c.Schema() == p.Schema() {
		s.tap = p.NewTap(maxEvent, o)
		return s
	}
	s.dec = p.NewDecoder(maxEvent)
	s.emit = s.translate
	return s
}

// Observe has every event shown to also, for a reader that needs the answer's content (the cache). It costs a second
// decoding where the bytes pass.
func (s *Stream) Observe(p Provider, maxEvent int, also func(*chat.Event)) {
	s.also = also
	if s.tap != nil {
		s.side = p.NewDecoder(maxEvent)
	}
}

// Write appends to dst what the client gets for the provider's next bytes. An error is a *fault.Fault: the provider
// broke its protocol. The caller then ends the client's stream with Fault.
func (s *Stream) Write(dst, p []byte) ([]byte, error) {
	if s.done {
		return dst, nil
	}
	if s.tap != nil {
		if s.side != nil && s.side.Decode(p, s.also) != nil {
			s.side = nil
		}
		out, err := s.tap.Write(dst, p)
		s.done = err != nil
		return out, err
	}
	s.seen.FirstContent = false
	s.dst = dst
	err := s.dec.Decode(p, s.emit)
	out := s.dst
	s.dst = nil
	s.done = s.done || err != nil
	return out, err
}

// Close is called at the end of the provider's body: a stream without its terminal event is a fault (D118).
func (s *Stream) Close(dst []byte) ([]byte, error) {
	if s.done {
		return dst, nil
	}
	if s.tap != nil {
		s.done = true
		if s.side != nil {
			_ = s.side.Close(s.also) // the tap says what is wrong
		}
		return s.tap.Close(dst)
	}
	s.dst = dst
	err := s.dec.Close(s.emit) // may tell the end: not every schema has a terminal event
	out := s.dst
	s.dst, s.done = nil, true
	return out, err
}

// Fault appends the client schema's error event. Nothing may follow it. A tap whose stream has a form that must be gone on
// with (Answer.Array) writes it itself.
func (s *Stream) Fault(dst []byte, f *fault.Fault) []byte {
	s.done = true
	if t, ok := s.tap.(interface {
		Fault([]byte, *fault.Fault) []byte
	}); ok {
		return t.Fault(dst, f)
	}
	return s.enc.Fault(dst, f)
}

// Seen is what has passed so far.
func (s *Stream) Seen() *Seen {
	if s.tap != nil {
		return s.tap.Seen()
	}
	return &s.seen
}

func (s *Stream) translate(ev *chat.Event) {
	if s.done {
		return
	}
	if s.back != nil && ev.Kind == chat.EventBlockStart && ev.Block.Call != nil {
		call := *ev.Block.Call
		call.Name = s.back.Back(call.Name)
		ev.Block.Call = &call
	}
	s.seen.Note(ev)
	if s.also != nil {
		s.also(ev)
	}
	if ev.Kind == chat.EventError {
		s.dst = s.enc.Fault(s.dst, ev.Fault)
		s.done = true
		return
	}
	s.dst = s.enc.Encode(s.dst, ev)
}

// Note adds one event to what has been seen.
func (s *Seen) Note(ev *chat.Event) {
	s.Events++
	if !s.Content && ev.Content() {
		s.Content, s.FirstContent = true, true
	}
	switch ev.Kind {
	case chat.EventStart:
		s.ID, s.Model = ev.ID, ev.Model
		if ev.Usage.Known {
			s.Usage = ev.Usage
		}
	case chat.EventDelta:
		s.OutputBytes += len(ev.Text)
	case chat.EventFinish:
		s.Finish, s.RawFinish = ev.Finish, ev.RawFinish
	case chat.EventUsage:
		s.Usage, s.Billed = ev.Usage, ev.Billed
	case chat.EventEnd:
		s.End = true
	case chat.EventError:
		s.Fault = ev.Fault
	}
}

// Whole turns a complete 2xx answer's body into the client's schema. The bytes pass when both sides speak one schema.
// The error is a *fault.Fault: what the provider sent is no answer.
func Whole(c Client, p Provider, body []byte, o Answer) ([]byte, Seen, error) {
	if c.Schema() == p.Schema() {
		seen, err := p.PeekResponse(body)
		return body, seen, err
	}
	r, err := p.DecodeResponse(body)
	if err != nil {
		return nil, Seen{}, err
	}
	RestoreNames(r, o.Names)
	seen := SeenOf(r)
	out, err := c.EncodeResponse(r, o)
	return out, seen, err
}

// RestoreNames gives the calls of an answer the client's own tool names.
func RestoreNames(r *chat.Response, names *chat.Names) {
	if names == nil {
		return
	}
	for i := range r.Choices {
		for j := range r.Choices[i].Parts {
			if call := r.Choices[i].Parts[j].Call; call != nil {
				call.Name = names.Back(call.Name)
			}
		}
	}
}

// SeenOf sums up a whole answer.
func SeenOf(r *chat.Response) Seen {
	s := Seen{ID: r.ID, Model: r.Model, Usage: r.Usage, Billed: r.Billed, Content: true, End: true}
	for i := range r.Choices {
		c := &r.Choices[i]
		s.Finish, s.RawFinish = c.Finish, c.RawFinish
		for j := range c.Parts {
			s.OutputBytes += len(c.Parts[j].Text)
			if call := c.Parts[j].Call; call != nil {
				s.OutputBytes += len(call.Name) + len(call.Arguments)
			}
		}
	}
	return s
}
