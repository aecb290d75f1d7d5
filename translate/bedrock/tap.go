package bedrock

import (
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/eventstream"
)

// tap passes a stream on message by message and reads it on the way.
type tap struct {
	d    streamDecoder
	seen translate.Seen
	note func(*chat.Event)
	end  bool // Close was called, or a fault found
}

// NewTap makes the state for one stream. A Converse client gets the usage whether it asks or not, so that every byte passes.
func (Codec) NewTap(maxEvent int, _ translate.Answer) translate.Tap {
	t := &tap{d: streamDecoder{frames: eventstream.NewReader(maxEvent), borrow: true}}
	t.note = t.seen.Note
	return t
}

// Write passes the messages that p completes. Behind the last one nothing is read any more, but still passed.
func (t *tap) Write(dst, p []byte) ([]byte, error) {
	t.seen.FirstContent = false
	if t.end {
		return dst, nil
	}
	t.d.emit = t.note
	t.d.frames.Feed(p)
	for t.d.frames.Next() {
		m := t.d.frames.Message()
		if !t.d.done {
			if f := t.d.message(m); f != nil {
				t.end = true
				return dst, f
			}
		}
		dst = append(dst, m.Raw...)
	}
	err := t.d.frames.Err()
	t.end = err != nil
	return dst, err
}

// Close finds a stream that is not whole.
func (t *tap) Close(dst []byte) ([]byte, error) {
	if t.end {
		return dst, nil
	}
	t.end = true
	return dst, t.d.Close(t.note)
}

// Seen is what has passed.
func (t *tap) Seen() *translate.Seen { return &t.seen }
