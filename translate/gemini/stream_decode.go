package gemini

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/sse"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// maxChoices bounds the candidates of one answer: OpenAI clients may ask for 128, the service gives 8.
const maxChoices = 128

// streamDecoder reads a stream of events.
type streamDecoder struct {
	events *sse.Reader
	teller
}

// NewDecoder makes the state for one stream.
func (Codec) NewDecoder(maxEvent int) translate.Decoder {
	return &streamDecoder{events: sse.NewReader(maxEvent)}
}

// Decode reads the next bytes.
func (d *streamDecoder) Decode(p []byte, emit func(*chat.Event)) error {
	if d.done {
		return nil
	}
	d.emit = emit
	d.events.Feed(p)
	for d.events.Next() {
		if f := d.event(d.events.Event()); f != nil {
			d.done = true
			return f
		}
		if d.done {
			return nil
		}
	}
	return d.events.Err()
}

// Close ends the stream: there is no terminal event, so that the end of the body after every candidate's finishReason is
// the whole answer, and anything else a cut one (D118). An event without its blank line counts when it is whole JSON.
func (d *streamDecoder) Close(emit func(*chat.Event)) error {
	if d.done {
		return nil
	}
	d.emit = emit
	d.events.Finish()
	for d.events.Next() {
		ev := d.events.Event()
		if ev.Partial && !complete(ev) {
			break
		}
		if f := d.event(ev); f != nil {
			d.done = true
			return f
		}
		if d.done {
			return nil
		}
	}
	d.done = true
	if !d.finished() {
		return cut()
	}
	d.tell(chat.Event{Kind: chat.EventEnd})
	return nil
}

// complete says whether an event without its blank line is all there.
func complete(ev *sse.Event) bool {
	data := ev.Data
	if data == nil {
		data = ev.Raw
	}
	_, err := strictjson.CheckLenient(data)
	return err == nil
}

func cut() *fault.Fault {
	return fault.New(fault.ProviderFailed, "The provider's stream ended before the answer was complete.")
}

// event reads one event's data. An error may also come as JSON outside of any event (D119).
func (d *streamDecoder) event(ev *sse.Event) *fault.Fault {
	data := ev.Data
	if data == nil {
		data = bytes.TrimSpace(ev.Raw)
		if len(data) == 0 || data[0] != '{' && data[0] != '[' {
			if ev.Comment != nil {
				d.tell(chat.Event{Kind: chat.EventPing})
			}
			return nil
		}
		if e := errorOf(data); e.present {
			d.failed(data)
			return nil
		}
		return notAnEvent(data)
	}
	if !d.chunk.read(data) {
		return notAnEvent(data)
	}
	if d.chunk.failed {
		d.failed(data)
		return nil
	}
	d.apply()
	return nil
}

func notAnEvent(data []byte) *fault.Fault {
	return fault.New(fault.ProviderFailed, "The provider sent a stream event that is not a JSON object: %s", wire.Clip(data))
}

// failed tells an error inside the stream.
func (t *teller) failed(data []byte) {
	e := errorOf(data)
	f := e.fault(0)
	if f.Message == "" {
		f.Message = "The provider ended its answer with an error: " + wire.Clip(data)
	}
	t.tell(chat.Event{Kind: chat.EventError, Fault: f})
	t.done = true
}
