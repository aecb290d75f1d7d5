package anthropic

import (
	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/sse"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// maxOpen bounds the blocks that a provider may keep open at once. The service opens one at a time; its SDK would take
// several.
const maxOpen = 128

// streamDecoder reads a stream of events; see the documentation of EventKind for the order in which it tells them.
type streamDecoder struct {
	events *sse.Reader
	borrow bool // texts may share memory that the next event overwrites: for a reader that only counts
	buf    []byte
	ev     chat.Event
	emit   func(*chat.Event)

	started  bool
	finished bool // EventFinish was told
	done     bool // the terminal event or an error event has come: what follows is not read
	next     int  // index of the next block
	open     []streamBlock
	usage    chat.Usage
}

// streamBlock is a content block whose stop has not come. kind is 0 for a block without a neutral form: it is read over.
type streamBlock struct {
	wire  int64 // the provider's index, which counts those as well
	index int
	kind  chat.PartKind
	args  bool   // a fragment of arguments has come
	input string // arguments that came with the block's start
	size  int    // bytes of its text
	cites []chat.Citation
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

// Close ends the stream. An event without its blank line still counts when it is whole JSON: some servers forget the
// line behind the last one.
func (d *streamDecoder) Close(emit func(*chat.Event)) error {
	if d.done {
		return nil
	}
	d.emit = emit
	d.events.Finish()
	for d.events.Next() {
		ev := d.events.Event()
		if ev.Partial && !wholeJSON(ev.Data) {
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
	return cut()
}

func wholeJSON(data []byte) bool {
	_, err := strictjson.CheckLenient(data)
	return err == nil
}

// cut is a stream without its terminal event (D118).
func cut() *fault.Fault {
	return fault.New(fault.ProviderFailed, "The provider's stream ended before the answer was complete.")
}

// streamEvent is one event's data, as far as it is of interest; raw strings with their quotes, nil when absent.
type streamEvent struct {
	kind    string
	index   int64
	message gjson.Result // of message_start
	usage   gjson.Result // of message_delta
	// of delta and content_block
	what                                                  string
	text, id, name, data, signature, reason, stopSequence []byte
	input, citation                                       []byte
}

func (d *streamDecoder) event(raw *sse.Event) *fault.Fault {
	if raw.Data == nil {
		if raw.Comment != nil {
			d.tell(chat.Event{Kind: chat.EventPing})
		}
		return nil
	}
	if string(raw.Data) == "[DONE]" { // servers that speak both schemas send it
		return nil
	}
	var e streamEvent
	if !e.read(raw.Data) {
		return fault.New(fault.ProviderFailed, "The provider sent a stream event that is not a JSON object: %s", wire.Clip(raw.Data))
	}
	if e.kind == "" {
		e.kind = string(raw.Name)
	}
	return d.apply(&e, raw.Data)
}

func (d *streamDecoder) apply(e *streamEvent, data []byte) *fault.Fault {
	switch e.kind {
	case "content_block_delta":
		return d.delta(e)
	case "content_block_start":
		return d.blockStart(e)
	case "content_block_stop":
		d.blockStop(e.index)
	case "message_start":
		d.start(e.message)
	case "message_delta":
		d.messageDelta(e)
	case "message_stop":
		d.finish(chat.FinishOther, "", "")
		d.tell(chat.Event{Kind: chat.EventEnd})
		d.done = true
	case "ping":
		d.tell(chat.Event{Kind: chat.EventPing})
	case "error":
		kind, text := errorOf(data)
		if text == "" {
			text = "The provider ended its answer with an error: " + wire.Clip(data)
		}
		d.tell(chat.Event{Kind: chat.EventError, Fault: heard(kind, text, 0)})
		d.done = true
	}
	return nil // events that nobody knows yet are read over (D105)
}

func (d *streamDecoder) tell(ev chat.Event) {
	d.ev = ev
	d.emit(&d.ev)
}

// start tells the head. The output count that comes with it is a placeholder (D93): it is left at 0, so that an answer
// that ends early is not settled by it.
func (d *streamDecoder) start(m gjson.Result) {
	if d.started {
		return
	}
	d.started = true
	readUsage(&d.usage, m.Get("usage"))
	d.usage.Output, d.usage.Reasoning = 0, 0
	d.tell(chat.Event{Kind: chat.EventStart, ID: m.Get("id").String(), Model: m.Get("model").String(), Usage: d.usage})
}

func (d *streamDecoder) blockStart(e *streamEvent) *fault.Fault {
	if len(d.open) == maxOpen {
		return fault.New(fault.ProviderFailed, "The provider opened more than %d content blocks at once.", maxOpen)
	}
	d.start(gjson.Result{})
	b := streamBlock{wire: e.index, index: d.next}
	start := chat.Event{Kind: chat.EventBlockStart, Index: d.next}
	switch e.what {
	case textBlock:
		b.kind = chat.Text
	case thinkingBlock:
		b.kind = chat.Thinking
	case redactedBlock:
		b.kind = chat.RedactedThinking
		start.Block.Signature = d.string(e.data, false)
	case toolUseBlock:
		b.kind = chat.ToolCall
		start.Block.Call = &chat.Call{ID: d.string(e.id, false), Name: decodeName(d.string(e.name, false))}
		b.input = string(e.input)
	}
	d.open = append(d.open, b)
	if b.kind == 0 {
		return nil
	}
	d.next++
	start.Block.Kind = b.kind
	d.tell(start)
	if text := d.string(e.text, d.borrow); text != "" {
		d.open[len(d.open)-1].size += len(text)
		d.tell(chat.Event{Kind: chat.EventDelta, Index: b.index, Text: text})
	}
	if b.kind == chat.Thinking {
		if s := d.string(e.signature, d.borrow); s != "" {
			d.tell(chat.Event{Kind: chat.EventSignature, Index: b.index, Text: s})
		}
	}
	return nil
}

// find is the position of an open block, -1 when there is none of the provider's index.
func (d *streamDecoder) find(wire int64) int {
	for i := len(d.open) - 1; i >= 0; i-- {
		if d.open[i].wire == wire {
			return i
		}
	}
	return -1
}

func (d *streamDecoder) delta(e *streamEvent) *fault.Fault {
	at := d.find(e.index)
	if at < 0 {
		return fault.New(fault.ProviderFailed, "The provider sent content for a block that is not open.")
	}
	b := &d.open[at]
	kind := chat.EventDelta
	switch {
	case b.kind == 0:
		return nil
	case e.what == "signature_delta":
		kind = chat.EventSignature
		e.text = e.signature
	case e.what == "input_json_delta" && b.kind == chat.ToolCall:
		b.args = b.args || len(e.text) > len(`""`)
	case e.what == "citations_delta" && b.kind == chat.Text:
		if !d.borrow && len(b.cites) < maxCitations && len(e.citation) <= citedBytes {
			if c := citation(gjson.Parse(string(e.citation)), 0, 0); says(&c) {
				b.cites = append(b.cites, c)
			}
		}
		return nil
	case e.what == "text_delta" && b.kind == chat.Text, e.what == "thinking_delta" && b.kind == chat.Thinking:
	default: // what nobody knows yet
		return nil
	}
	if text := d.string(e.text, d.borrow); text != "" {
		b.size += len(text)
		d.tell(chat.Event{Kind: kind, Index: b.index, Text: text})
	}
	return nil
}

// blockStop ends a block and completes a call that came without a fragment of arguments (D33).
func (d *streamDecoder) blockStop(wire int64) {
	at := d.find(wire)
	if at < 0 {
		return
	}
	b := d.open[at]
	d.open = append(d.open[:at], d.open[at+1:]...)
	if b.kind == chat.ToolCall && !b.args {
		args := b.input
		if args == "" {
			args = "{}"
		}
		d.tell(chat.Event{Kind: chat.EventDelta, Index: b.index, Text: args})
	}
	if b.kind != 0 {
		for i := range b.cites {
			b.cites[i].End = b.size
		}
		d.tell(chat.Event{Kind: chat.EventBlockStop, Index: b.index, Block: chat.Part{Citations: b.cites}})
	}
}

func (d *streamDecoder) messageDelta(e *streamEvent) {
	if e.reason != nil {
		reason := d.string(e.reason, false)
		d.finish(finishOf(reason), reason, d.string(e.stopSequence, false))
	}
	if e.usage.IsObject() {
		readUsage(&d.usage, e.usage)
		d.tell(chat.Event{Kind: chat.EventUsage, Usage: d.usage})
	}
}

// finish closes what is open and tells the reason, once.
func (d *streamDecoder) finish(f chat.Finish, raw, sequence string) {
	d.start(gjson.Result{})
	for len(d.open) > 0 {
		d.blockStop(d.open[0].wire)
	}
	if d.finished {
		return
	}
	d.finished = true
	d.tell(chat.Event{Kind: chat.EventFinish, Finish: f, RawFinish: raw, StopSequence: sequence})
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
