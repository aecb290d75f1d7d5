package cohere

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/sse"
	"dragoman/translate/wire"
)

// tap passes a stream on event by event and reads it on the way.
type tap struct {
	d    streamDecoder
	o    translate.Answer
	seen translate.Seen
	note func(*chat.Event)
	end  bool // Close was called, or a fault found
}

// NewTap makes the state of one stream. A client of this schema gets the usage whether it asks or not, so that every byte
// passes.
func (Codec) NewTap(maxEvent int, o translate.Answer) translate.Tap {
	t := &tap{d: streamDecoder{r: sse.NewReader(maxEvent)}, o: o}
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
	t.d.r.Feed(p)
	for t.d.r.Next() {
		var f *fault.Fault
		if dst, f = t.event(dst, t.d.r.Event()); f != nil {
			t.end = true
			return dst, f
		}
	}
	if t.d.over {
		return dst, nil
	}
	return dst, t.d.r.Err()
}

// event reads one event and passes it. What is none (a web page, perhaps) no client of the schema can read; an error that
// repeats a credential is told again without it.
func (t *tap) event(dst []byte, ev *sse.Event) ([]byte, *fault.Fault) {
	before := t.d.over
	if f := t.d.event(ev); f != nil {
		return dst, f
	}
	switch {
	case ev.Data == nil && ev.Comment == nil && len(bytes.TrimSpace(ev.Raw)) > 0:
		return dst, nil
	case !before && t.d.lastFault != nil:
		if text := string(ev.Data); wire.Redact(text) != text {
			return appendFaultEvent(dst, t.d.lastFault, t.d.id, t.o), nil
		}
	}
	return append(dst, ev.Raw...), nil
}

// Close passes a last event whose blank line is missing, with that line, when it is whole.
func (t *tap) Close(dst []byte) ([]byte, error) {
	if t.end {
		return dst, nil
	}
	t.end = true
	t.d.emit = t.note
	t.d.r.Finish()
	for t.d.r.Next() {
		ev := t.d.r.Event()
		if ev.Partial && ev.Data != nil && !t.d.over && !wholeJSON(ev.Data) {
			break
		}
		var f *fault.Fault
		if dst, f = t.event(dst, ev); f != nil {
			return dst, f
		}
		if ev.Partial && ev.Data != nil {
			dst = append(bytes.TrimRight(dst, "\r\n"), "\n\n"...)
		}
	}
	if !t.d.over {
		return dst, t.d.cut()
	}
	return dst, nil
}

// Seen is what has passed.
func (t *tap) Seen() *translate.Seen { return &t.seen }
