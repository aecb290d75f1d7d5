package openai

import (
	"bytes"
	"unicode/utf8"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/sse"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

const (
	maxChoices = 128  // the schema's own cap of n
	maxCalls   = 1024 // of one choice; far above what a model makes
)

var done = []byte("[DONE]")

// streamDecoder reads a stream of chunks. Finish events are held until the provider has nothing more to say of a choice
// (the usage chunk or the end): some send a finish_reason before the last text.
type streamDecoder struct {
	r       *sse.Reader
	s       strictjson.Scanner
	a       answer
	ev      chat.Event
	emit    func(*chat.Event)
	choices []*streamChoice
	id      string
	sources []byte // the pages that the answer rests on, as the last chunk that named them did
	scratch []byte // unescaped text of the event in progress
	noise   []byte // the beginning of what came and was no event
	started bool
	flushed bool // the Finish events are out
	over    bool // the terminal event, or an error event, is out
}

// NewDecoder makes the state of one stream.
func (Codec) NewDecoder(maxEvent int) translate.Decoder {
	return &streamDecoder{r: sse.NewReader(maxEvent)}
}

// Decode emits the events that p completes.
func (d *streamDecoder) Decode(p []byte, emit func(*chat.Event)) error {
	d.emit = emit
	d.r.Feed(p)
	for d.r.Next() {
		if f := d.event(d.r.Event()); f != nil {
			return f
		}
	}
	return d.r.Err()
}

// Close ends the stream. Behind [DONE] the blank line may be missing; a stream without [DONE] was cut (D118).
func (d *streamDecoder) Close(emit func(*chat.Event)) error {
	d.emit = emit
	d.r.Finish()
	for d.r.Next() {
		ev := d.r.Event()
		if ev.Partial && ev.Data != nil && !isDone(ev.Data) {
			break
		}
		if f := d.event(ev); f != nil {
			return f
		}
	}
	if d.over {
		return nil
	}
	return cut(d.noise)
}

// cut is the fault of a stream that ended too early; noise is what came instead of events.
func cut(noise []byte) *fault.Fault {
	if len(noise) == 0 {
		return fault.New(fault.ProviderFailed, "The provider ended its stream before the answer was complete.")
	}
	if noise[0] == '{' {
		var a answer
		s := strictjson.NewLenient(noise)
		defer s.Release()
		a.read(s, true)
		if a.err != nil {
			return embeddedFault(a.err)
		}
	}
	return notAnAnswer(noise)
}

// noiseBytes is how much of a body that is no stream is kept for the message about it.
const noiseBytes = 2048

// addNoise keeps the beginning of what is no event.
func addNoise(noise, raw []byte) []byte {
	if len(noise) == 0 {
		raw = bytes.TrimLeft(raw, " \r\n\t")
	}
	return append(noise, raw[:min(len(raw), max(0, noiseBytes-len(noise)))]...)
}

func isDone(data []byte) bool { return bytes.Equal(bytes.TrimSpace(data), done) }

func (d *streamDecoder) event(ev *sse.Event) *fault.Fault {
	switch {
	case d.over:
		return nil
	case ev.Data == nil && ev.Comment != nil:
		d.send(chat.Event{Kind: chat.EventPing}) // D115
		return nil
	case ev.Data == nil:
		d.noise = addNoise(d.noise, ev.Raw)
		return nil
	case len(ev.Data) == 0:
		return nil
	case isDone(ev.Data):
		return d.end()
	}
	data := ev.Data
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	d.s.Reset(data, true)
	if !d.a.read(&d.s, false) {
		return fault.New(fault.ProviderFailed, "The provider sent a stream event that is no JSON object: %s", wire.Clip(data))
	}
	if d.a.err != nil || string(ev.Name) == "error" {
		d.over = true
		d.send(chat.Event{Kind: chat.EventError, Fault: errorEvent(&d.a, data)}) // D119
		return nil
	}
	return d.chunk()
}

// errorEvent is the fault of an error event, whose error is a member or the whole data.
func errorEvent(a *answer, data []byte) *fault.Fault {
	if a.err != nil {
		return embeddedFault(a.err)
	}
	return embeddedFault(data)
}

// chunk emits the events of one chunk. Chunks without choices carry the usage, or an annotation (D117).
func (d *streamDecoder) chunk() *fault.Fault {
	a := &d.a
	if !d.started && (a.id != nil || len(a.choices) > 0) {
		d.started = true
		d.id = string(strictjson.AppendText(nil, a.id))
		d.send(chat.Event{Kind: chat.EventStart, ID: d.id, Model: string(strictjson.AppendText(nil, a.model)), Created: a.created})
	}
	if a.sources != nil && len(a.sources) <= citedBytes {
		d.sources = append(d.sources[:0], a.sources...)
	}
	for i := range a.choices {
		if f := d.choice(&a.choices[i]); f != nil {
			return f
		}
	}
	if a.usage == nil || !d.started {
		return nil
	}
	if u := readUsage(a.usage); u.Known {
		if len(a.choices) == 0 {
			d.flush() // D113
		}
		d.send(chat.Event{Kind: chat.EventUsage, Usage: u})
	}
	return nil
}

// end is the terminal event.
func (d *streamDecoder) end() *fault.Fault {
	if len(d.choices) == 0 {
		return noAnswer()
	}
	if !d.flushed {
		d.finishAll()
	}
	d.over = true
	d.send(chat.Event{Kind: chat.EventEnd})
	return nil
}

func noAnswer() *fault.Fault {
	return fault.New(fault.ProviderFailed, "The provider ended its stream without an answer in it.")
}

// flush emits the Finish events when every choice has its finish_reason. The usage may also come in between.
func (d *streamDecoder) flush() {
	if d.flushed || len(d.choices) == 0 {
		return
	}
	for _, c := range d.choices {
		if !c.finished {
			return
		}
	}
	d.finishAll()
}

// finishAll closes what is open and emits the Finish events.
func (d *streamDecoder) finishAll() {
	d.flushed = true
	for _, c := range d.choices {
		d.stopText(c)
		d.stopCalls(c, false)
		ev := chat.Event{Kind: chat.EventFinish, Choice: c.index, RawFinish: c.raw, Finish: finishOf(c.raw, len(c.calls) > 0)}
		if ev.Finish == chat.FinishStop && c.stop != "" {
			ev.Finish, ev.StopSequence = chat.FinishStopSequence, c.stop
		}
		d.send(ev)
	}
}

func (d *streamDecoder) send(ev chat.Event) {
	d.ev = ev
	d.emit(&d.ev)
}

// text is a string's value, valid until the next one.
func (d *streamDecoder) text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return strictjson.Text(raw)
	}
	d.scratch = strictjson.AppendText(d.scratch[:0], raw)
	return view(d.scratch)
}
