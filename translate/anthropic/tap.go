package anthropic

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/sse"
)

// tap passes a stream on event by event and reads it on the way.
type tap struct {
	d    streamDecoder
	seen translate.Seen
	note func(*chat.Event)
	end  bool // Close was called, or a fault found
}

// NewTap makes the state for one stream. A Messages client gets the usage whether it asks or not, so that every byte
// passes.
func (Codec) NewTap(maxEvent int, _ translate.Answer) translate.Tap {
	t := &tap{d: streamDecoder{events: sse.NewReader(maxEvent), borrow: true}}
	t.note = t.seen.Note
	return t
}

// Write passes the events that p completes. Behind the terminal event nothing is read any more, but still passed.
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
		dst = append(dst, ev.Raw...)
	}
	return dst, t.d.events.Err()
}

func (t *tap) read(ev *sse.Event) *fault.Fault {
	if t.d.done {
		return nil
	}
	return t.d.event(ev)
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
		if ev.Partial && !wholeJSON(ev.Data) {
			break
		}
		if f := t.read(ev); f != nil {
			return dst, f
		}
		dst = append(dst, ev.Raw...)
		if ev.Partial {
			dst = append(bytes.TrimRight(dst, "\r\n"), "\n\n"...)
		}
	}
	if !t.d.done {
		return dst, cut()
	}
	return dst, nil
}

// Seen is what has passed.
func (t *tap) Seen() *translate.Seen { return &t.seen }
