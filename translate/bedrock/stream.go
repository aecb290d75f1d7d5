package bedrock

import (
	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/eventstream"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// maxOpen bounds the blocks that a provider may keep open at once. The service opens one at a time.
const maxOpen = 128

// What is kept of one block's sources.
const (
	maxCitations     = 256
	maxCitationBytes = 16 << 10
)

// streamDecoder reads a ConverseStream; see the documentation of EventKind for the order in which it tells the events.
type streamDecoder struct {
	frames *eventstream.Reader
	borrow bool // texts may share memory that the next message overwrites: for a reader that only counts
	buf    []byte
	ev     chat.Event
	emit   func(*chat.Event)

	started bool
	stopped bool // messageStop: the answer is whole, its usage is to come (D95)
	done    bool // metadata or an exception has come: what follows is not read
	next    int  // index of the next block
	asked   bool // the structured output's call has been shown as text
	calls   bool // there were other calls
	open    []openBlock
}

// openBlock is a content block whose stop has not come. kind is 0 for a block without a neutral form: it is read over.
type openBlock struct {
	wire  int64 // the provider's index
	index int
	kind  chat.PartKind
	tool  bool // it is a call, perhaps shown as text
	args  bool // a fragment of arguments has come
	cites []chat.Citation
}

// NewDecoder makes the state for one stream.
func (Codec) NewDecoder(maxEvent int) translate.Decoder {
	return &streamDecoder{frames: eventstream.NewReader(maxEvent)}
}

// Decode reads the next bytes.
func (d *streamDecoder) Decode(p []byte, emit func(*chat.Event)) error {
	if d.done {
		return nil
	}
	d.emit = emit
	d.frames.Feed(p)
	for d.frames.Next() {
		if f := d.message(d.frames.Message()); f != nil {
			d.done = true
			return f
		}
		if d.done {
			return nil
		}
	}
	return d.frames.Err()
}

// Close ends the stream. One that ends behind messageStop is whole, though nobody knows what it used.
func (d *streamDecoder) Close(emit func(*chat.Event)) error {
	if d.done {
		return nil
	}
	d.emit, d.done = emit, true
	if !d.stopped || d.frames.Partial() {
		return cut()
	}
	d.tell(chat.Event{Kind: chat.EventEnd})
	return nil
}

// cut is a stream without its terminal event (D118).
func cut() *fault.Fault {
	return fault.New(fault.ProviderFailed, "The provider's stream ended before the answer was complete.")
}

// message reads one message of the stream. Events that nobody knows yet are read over (D105).
func (d *streamDecoder) message(m *eventstream.Message) *fault.Fault {
	switch string(m.Text(":message-type")) {
	case "exception":
		d.exception(string(m.Text(":exception-type")), m.Payload)
		return nil
	case "error": // unmodelled: of the framework
		f := heard(typeName(string(m.Text(":error-code"))), string(m.Text(":error-message")), 0)
		d.fail(f, m.Payload)
		return nil
	}
	kind := m.Text(":event-type")
	switch string(kind) {
	case "contentBlockDelta", "contentBlockStart", "contentBlockStop":
		return d.blockEvent(kind, m.Payload)
	case "messageStart":
		d.start()
	case "messageStop":
		return d.messageStop(m.Payload)
	case "metadata":
		return d.metadata(m.Payload)
	}
	return nil
}

func (d *streamDecoder) exception(kind string, payload []byte) {
	_, text := errorOf(gjson.ParseBytes(payload))
	d.fail(heard(typeName(kind), text, 0), payload)
}

func (d *streamDecoder) fail(f *fault.Fault, payload []byte) {
	if f.Message == "" {
		f.Message = "The provider ended its answer with an error: " + wire.Clip(payload)
	}
	d.tell(chat.Event{Kind: chat.EventError, Fault: f})
	d.done = true
}

func notJSON(what string, payload []byte) *fault.Fault {
	return fault.New(fault.ProviderFailed, "The provider streamed a %s event that is no JSON object: %s", what, wire.Clip(payload))
}

func (d *streamDecoder) blockEvent(kind, payload []byte) *fault.Fault {
	var e blockEvent
	if !e.read(payload) {
		return notJSON(string(kind), payload)
	}
	switch string(kind) {
	case "contentBlockStart":
		return d.blockStart(&e)
	case "contentBlockDelta":
		return d.delta(&e)
	}
	d.blockStop(e.index)
	return nil
}

func (d *streamDecoder) tell(ev chat.Event) {
	d.ev = ev
	d.emit(&d.ev)
}

// start tells the head, which has neither an id nor a model (D131).
func (d *streamDecoder) start() {
	if !d.started {
		d.started = true
		d.tell(chat.Event{Kind: chat.EventStart})
	}
}

// begin opens a block. Texts and thoughts come without a start of their own, and must not stay open beside another block.
func (d *streamDecoder) begin(b openBlock, block chat.Part) (*openBlock, *fault.Fault) {
	d.start()
	for i := len(d.open) - 1; i >= 0; i-- {
		if d.open[i].kind != chat.ToolCall || d.open[i].wire == b.wire {
			d.shut(i)
		}
	}
	if len(d.open) == maxOpen {
		return nil, fault.New(fault.ProviderFailed, "The provider opened more than %d content blocks at once.", maxOpen)
	}
	b.index = d.next
	d.open = append(d.open, b)
	if b.kind != 0 {
		d.next++
		block.Kind = b.kind
		d.tell(chat.Event{Kind: chat.EventBlockStart, Index: b.index, Block: block})
	}
	return &d.open[len(d.open)-1], nil
}

func (d *streamDecoder) blockStart(e *blockEvent) *fault.Fault {
	b := openBlock{wire: e.index}
	var block chat.Part
	if e.what == toolUse && !e.server {
		name := d.string(e.name, false)
		b.kind, b.tool = chat.ToolCall, true
		if name == formatToolName { // D64
			b.kind, d.asked = chat.Text, true
		} else {
			d.calls = true
			block.Call = &chat.Call{ID: d.string(e.id, false), Name: name}
		}
	}
	_, f := d.begin(b, block)
	return f
}

// find is the open block of the provider's index, nil when there is none.
func (d *streamDecoder) find(wire int64) *openBlock {
	for i := len(d.open) - 1; i >= 0; i-- {
		if d.open[i].wire == wire {
			return &d.open[i]
		}
	}
	return nil
}

func (d *streamDecoder) delta(e *blockEvent) *fault.Fault {
	b := d.find(e.index)
	kind := chat.EventDelta
	want := chat.Text
	switch e.what {
	case toolUse:
		if b == nil {
			return fault.New(fault.ProviderFailed, "The provider sent arguments for a call that it had not started.")
		}
		if !b.tool {
			return nil // of a call that the service makes itself
		}
		b.args = b.args || len(e.text) > len(`""`)
		want = b.kind
	case signature:
		kind, want = chat.EventSignature, chat.Thinking
	case thought:
		want = chat.Thinking
	case redacted:
		return d.redacted(e)
	case text, cited:
	default:
		return nil
	}
	if b == nil || b.kind != want { // D110
		var f *fault.Fault
		if b, f = d.begin(openBlock{wire: e.index, kind: want}, chat.Part{}); f != nil {
			return f
		}
	}
	if e.what == cited {
		if len(b.cites) < maxCitations && len(e.text) <= maxCitationBytes {
			b.cites = append(b.cites, citation(gjson.ParseBytes(e.text)))
		}
		return nil
	}
	s := d.string(e.text, d.borrow && kind != chat.EventSignature)
	if kind == chat.EventSignature {
		s = chat.Sign(chat.Bedrock, s)
	}
	if s != "" {
		d.tell(chat.Event{Kind: kind, Index: b.index, Text: s})
	}
	return nil
}

// redacted is a block of its own: its data comes whole.
func (d *streamDecoder) redacted(e *blockEvent) *fault.Fault {
	sign := chat.Sign(chat.Bedrock, d.string(e.text, false))
	if sign == "" {
		return nil
	}
	_, f := d.begin(openBlock{wire: e.index, kind: chat.RedactedThinking}, chat.Part{Signature: sign})
	return f
}

func (d *streamDecoder) blockStop(wire int64) {
	for i := range d.open {
		if d.open[i].wire == wire {
			d.shut(i)
			return
		}
	}
}

// shut ends a block and completes a call that came without a fragment of arguments (D33).
func (d *streamDecoder) shut(at int) {
	b := d.open[at]
	d.open = append(d.open[:at], d.open[at+1:]...)
	if b.kind == 0 {
		return
	}
	if b.tool && !b.args {
		d.tell(chat.Event{Kind: chat.EventDelta, Index: b.index, Text: "{}"})
	}
	d.tell(chat.Event{Kind: chat.EventBlockStop, Index: b.index, Block: chat.Part{Citations: b.cites}})
}

func (d *streamDecoder) messageStop(payload []byte) *fault.Fault {
	v, f := object(payload)
	if f != nil {
		return notJSON("messageStop", payload)
	}
	if d.stopped {
		return nil
	}
	d.start()
	for len(d.open) > 0 {
		d.shut(0)
	}
	d.stopped = true
	raw := v.Get("stopReason").String()
	parts := answerParts{asked: d.asked, calls: d.calls}
	d.tell(chat.Event{
		Kind: chat.EventFinish, Finish: parts.finish(raw), RawFinish: raw,
		StopSequence: v.Get("additionalModelResponseFields.stop_sequence").String(),
	})
	return nil
}

// metadata is the last event. Without messageStop before it the answer is not whole.
func (d *streamDecoder) metadata(payload []byte) *fault.Fault {
	v, f := object(payload)
	if f != nil {
		return notJSON("metadata", payload)
	}
	if !d.stopped {
		return cut()
	}
	if u := readUsage(v.Get("usage")); u.Known {
		d.tell(chat.Event{Kind: chat.EventUsage, Usage: u})
	}
	d.tell(chat.Event{Kind: chat.EventEnd})
	d.done = true
	return nil
}

// string is the value of a raw string. A borrowed one is valid until the next call.
func (d *streamDecoder) string(raw []byte, borrow bool) string {
	if raw == nil {
		return ""
	}
	d.buf = strictjson.AppendText(d.buf[:0], raw)
	if borrow {
		return view(d.buf)
	}
	return string(d.buf)
}
