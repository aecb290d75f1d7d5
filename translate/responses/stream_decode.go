package responses

import (
	"bytes"
	"unsafe"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/sse"
	"dragoman/translate/strictjson"
)

// maxBlocks bounds the blocks of one answer; far above what a model makes.
const maxBlocks = 8192

// streamDecoder reads a stream of events. Calls may be open beside each other; any other block ends when the next begins.
type streamDecoder struct {
	r       *sse.Reader
	s       strictjson.Scanner
	in      streamEvent
	ev      chat.Event
	emit    func(*chat.Event)
	open    map[place]*decodedBlock
	blocks  int // begun
	scratch []byte
	noise   []byte
	started bool
	over    bool // the terminal event, or an error event, is out
}

// place is where a block stands in the output: calls and reasoning have no part.
type place struct{ output, part int }

const wholeItem = -1

// decodedBlock is one open block.
type decodedBlock struct {
	kind    chat.PartKind
	index   int  // of the neutral stream, -1 while its start is held back
	got     bool // a delta has come
	custom  bool // its arguments are plain text, which is put in an object
	summary int  // summary_index of the last delta
	cited   []chat.Citation
}

// NewDecoder makes the state of one stream.
func (Codec) NewDecoder(maxEvent int) translate.Decoder {
	return &streamDecoder{r: sse.NewReader(maxEvent), open: map[place]*decodedBlock{}}
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

// Close ends the stream. Behind the terminal event the blank line may be missing; a stream without it was cut (D118).
func (d *streamDecoder) Close(emit func(*chat.Event)) error {
	d.emit = emit
	d.r.Finish()
	for d.r.Next() {
		ev := d.r.Event()
		if ev.Partial && ev.Data != nil && (readEvent(&d.s, &d.in, ev.Data) != nil || !d.in.terminal()) {
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

func (e *streamEvent) terminal() bool { return e.kind == eventCompleted || e.kind == eventIncomplete }

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
	case len(ev.Data) == 0 || string(bytes.TrimSpace(ev.Data)) == "[DONE]": // of servers that copied chat completions, too
		return nil
	}
	if f := readEvent(&d.s, &d.in, ev.Data); f != nil {
		return f
	}
	if f := d.in.failure(ev.Name, ev.Data); f != nil {
		d.over = true
		d.send(chat.Event{Kind: chat.EventError, Fault: f}) // D119
		return nil
	}
	return d.step(&d.in)
}

// step emits what one event says.
func (d *streamDecoder) step(in *streamEvent) *fault.Fault {
	switch in.kind {
	case "":
		return nil
	case eventCreated:
		d.start(in.response)
		return nil
	case eventCompleted, eventIncomplete:
		return d.end(in)
	}
	if d.blocks > maxBlocks {
		return fault.New(fault.ProviderFailed, "The provider streamed more than %d pieces of content.", maxBlocks)
	}
	d.start(nil)
	switch in.kind {
	case eventItemAdded:
		d.itemAdded(in)
	case eventItemDone:
		d.itemDone(in)
	default:
		return d.content(in)
	}
	return nil
}

// start emits the first event, once.
func (d *streamDecoder) start(response []byte) {
	if d.started {
		return
	}
	d.started = true
	var o object
	if response != nil {
		s := strictjson.NewLenient(response)
		defer s.Release()
		o.read(s)
	}
	d.send(chat.Event{Kind: chat.EventStart, ID: clone(o.id), Model: clone(o.model), Created: o.created})
}

// end emits the last events. An answer that came in the terminal event alone is told from that.
func (d *streamDecoder) end(in *streamEvent) *fault.Fault {
	var o object
	s := strictjson.NewLenient(in.response)
	defer s.Release()
	if in.response == nil || !o.read(s) {
		return fault.New(fault.ProviderFailed, "The provider ended its stream without a response in it.")
	}
	d.start(in.response)
	for len(d.open) > 0 {
		d.stopLowest()
	}
	if d.blocks == 0 && o.output != nil {
		d.whole(o.output)
	}
	_, calls := measure(o.output)
	finish, raw := finishOf(clone(o.status), clone(o.reason), calls)
	d.send(chat.Event{Kind: chat.EventFinish, Finish: finish, RawFinish: raw})
	if u := readUsage(o.usage); u.Known {
		d.send(chat.Event{Kind: chat.EventUsage, Usage: u})
	}
	d.over = true
	d.send(chat.Event{Kind: chat.EventEnd})
	return nil
}

// whole emits the blocks of an answer that was not streamed.
func (d *streamDecoder) whole(raw []byte) {
	var out output
	out.read(raw)
	chat.Replay(&chat.Response{Choices: []chat.Choice{{Parts: out.parts, LogProbs: out.logProbs()}}}, func(ev *chat.Event) {
		switch ev.Kind {
		case chat.EventBlockStart, chat.EventDelta, chat.EventSignature, chat.EventBlockStop:
			d.send(*ev)
		}
	})
	d.blocks = len(out.parts)
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

// view is b as a string without a copy, for bytes that nobody writes to while the string lives.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
