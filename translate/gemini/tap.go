package gemini

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/sse"
)

// tap passes a stream on event by event and reads it on the way. For a client that wants an array it passes the events'
// data.
type tap struct {
	d     streamDecoder
	seen  translate.Seen
	note  func(*chat.Event)
	end   bool // Close was called, or a fault found
	o     translate.Answer
	begun bool // the array has its first element
}

// NewTap makes the state for one stream.
func (Codec) NewTap(maxEvent int, o translate.Answer) translate.Tap {
	t := &tap{d: streamDecoder{events: sse.NewReader(maxEvent)}, o: o}
	t.d.borrow = true
	t.note = t.seen.Note
	return t
}

// Write passes the events that p completes.
func (t *tap) Write(dst, p []byte) ([]byte, error) {
	t.seen.FirstContent = false
	if t.end {
		return dst, nil
	}
	t.d.emit = t.note
	t.d.events.Feed(p)
	for t.d.events.Next() {
		ev := t.d.events.Event()
		if f := t.read(ev); f != nil {
			t.end = true
			return dst, f
		}
		dst = t.pass(dst, ev)
	}
	if err := t.d.events.Err(); err != nil {
		return dst, err
	}
	return dst, nil
}

func (t *tap) read(ev *sse.Event) *fault.Fault {
	if t.d.done {
		return nil
	}
	return t.d.event(ev)
}

func (t *tap) pass(dst []byte, ev *sse.Event) []byte {
	if !t.o.Array {
		return append(dst, ev.Raw...)
	}
	data := ev.Data
	if data == nil {
		return dst
	}
	return append(appendElement(dst, &t.begun), data...)
}

// appendElement begins an element of the array that a stream without alt=sse is.
func appendElement(dst []byte, begun *bool) []byte {
	if *begun {
		return append(dst, "\n,"...)
	}
	*begun = true
	return append(dst, '[')
}

// Close passes a last event whose blank line is missing, with that line, when it is whole.
func (t *tap) Close(dst []byte) ([]byte, error) {
	if t.end {
		return dst, nil
	}
	t.end = true
	t.d.emit = t.note
	t.d.events.Finish()
	for t.d.events.Next() {
		ev := t.d.events.Event()
		if ev.Partial && !complete(ev) {
			break
		}
		if f := t.read(ev); f != nil {
			return dst, f
		}
		dst = t.pass(dst, ev)
		if ev.Partial && !t.o.Array {
			dst = append(bytes.TrimRight(dst, "\r\n"), "\n\n"...)
		}
	}
	if t.d.done { // an error was passed
		return t.shut(dst), nil
	}
	t.d.done = true
	if !t.d.finished() {
		return dst, cut()
	}
	t.d.tell(chat.Event{Kind: chat.EventEnd})
	return t.shut(dst), nil
}

func (t *tap) shut(dst []byte) []byte {
	if !t.o.Array {
		return dst
	}
	if !t.begun {
		dst = append(dst, '[')
	}
	return append(dst, ']')
}

// Seen is what has passed.
func (t *tap) Seen() *translate.Seen { return &t.seen }

// Fault appends an error where the stream stands: an array that has begun goes on with it.
func (t *tap) Fault(dst []byte, f *fault.Fault) []byte {
	t.end = true
	return appendStreamFault(dst, f, t.o, &t.begun)
}
