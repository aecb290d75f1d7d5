package cohere

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
	// maxCalls bounds the tool calls of one answer; far above what a model makes.
	maxCalls = 1024
	// maxSaid bounds the text that is kept to place citations in it, in bytes. Behind it citations have no place.
	maxSaid = 1 << 20
)

// streamDecoder reads a stream of events.
type streamDecoder struct {
	r     *sse.Reader
	s     strictjson.Scanner
	e     streamEvent
	ev    chat.Event
	emit  func(*chat.Event)
	id    string
	buf   []byte
	noise []byte // the beginning of what came and was no event

	block     textBlock
	calls     []streamCall
	next      int // index of the next block
	started   bool
	over      bool // the terminal event or an error event is out: what follows is not read
	lastFault *fault.Fault
}

// textBlock is the open block that is no call; kind is 0 when there is none.
type textBlock struct {
	kind      chat.PartKind
	index     int
	content   int // the provider's index, of a content block
	plan      bool
	said      []byte
	citations []chat.Citation
}

// streamCall is one tool call.
type streamCall struct {
	wire  int // the provider's index
	index int
	open  bool
	args  bool // a fragment of arguments has come
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
	if d.over {
		return nil
	}
	return d.r.Err()
}

// Close ends the stream. Behind message-end the blank line may be missing; a stream without message-end was cut (D118).
func (d *streamDecoder) Close(emit func(*chat.Event)) error {
	d.emit = emit
	d.r.Finish()
	for !d.over && d.r.Next() {
		ev := d.r.Event()
		if ev.Partial && ev.Data != nil && !wholeJSON(ev.Data) {
			break
		}
		if f := d.event(ev); f != nil {
			return f
		}
	}
	if d.over {
		return nil
	}
	return d.cut()
}

func wholeJSON(data []byte) bool {
	_, err := strictjson.CheckLenient(data)
	return err == nil
}

// cut is the fault of a stream that ended too early.
func (d *streamDecoder) cut() *fault.Fault {
	if len(d.noise) == 0 || d.started {
		return fault.New(fault.ProviderFailed, "The provider's stream ended before the answer was complete.")
	}
	if text := errorOf(d.noise); text != "" {
		return heard(0, text)
	}
	return notAnAnswer(d.noise)
}

// noiseBytes is how much of a body that is no stream is kept for the message about it.
const noiseBytes = 2048

func (d *streamDecoder) event(raw *sse.Event) *fault.Fault {
	switch {
	case d.over:
		return nil
	case raw.Data == nil && raw.Comment != nil:
		d.send(chat.Event{Kind: chat.EventPing}) // D115
		return nil
	case raw.Data == nil:
		d.noise = append(d.noise, raw.Raw[:min(len(raw.Raw), noiseBytes-len(d.noise))]...)
		return nil
	case len(raw.Data) == 0 || string(bytes.TrimSpace(raw.Data)) == "[DONE]":
		return nil
	}
	data := raw.Data
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	d.s.Reset(data, true)
	if !d.e.read(&d.s) {
		return fault.New(fault.ProviderFailed, "The provider sent a stream event that is no JSON object: %s", wire.Clip(data))
	}
	if d.e.unlabelled {
		d.e.kind = eventKinds[string(raw.Name)]
	}
	return d.apply(&d.e)
}

func (d *streamDecoder) apply(e *streamEvent) *fault.Fault {
	switch e.kind {
	case contentDelta:
		d.delta(e)
	case contentStart:
		d.open(kindOf(&e.item), e.index, false)
		d.delta(e)
	case contentEnd:
		d.stop()
	case messageStart:
		d.start(e.id)
	case toolPlanDelta:
		if d.block.kind == 0 || !d.block.plan {
			d.open(chat.Text, -1, true)
		}
		d.say(e.plan, nil)
	case toolCallStart:
		return d.callStart(e)
	case toolCallDelta:
		return d.callDelta(e)
	case toolCallEnd:
		d.callEnd(e.index)
	case citationStart:
		d.cite(e)
	case messageEnd:
		d.end(e)
	default:
		if e.err != nil && e.unlabelled {
			d.fail(heard(0, d.text(e.err)))
		}
	}
	return nil
}

func kindOf(i *item) chat.PartKind {
	if i.thinking {
		return chat.Thinking
	}
	return chat.Text
}

func (d *streamDecoder) send(ev chat.Event) {
	d.ev = ev
	d.emit(&d.ev)
}

func (d *streamDecoder) start(id []byte) {
	if d.started {
		return
	}
	d.started = true
	d.id = clone(id)
	d.send(chat.Event{Kind: chat.EventStart, ID: d.id})
}

// text is a string's value, valid until the next one.
func (d *streamDecoder) text(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return strictjson.Text(raw)
	}
	d.buf = strictjson.AppendText(d.buf[:0], raw)
	return view(d.buf)
}

// open begins a block of text or thinking.
func (d *streamDecoder) open(kind chat.PartKind, content int, plan bool) {
	d.start(nil)
	d.stop()
	d.block = textBlock{kind: kind, index: d.next, content: content, plan: plan, said: d.block.said[:0]}
	d.next++
	d.send(chat.Event{Kind: chat.EventBlockStart, Index: d.block.index, Block: chat.Part{Kind: kind}})
}

// delta emits a piece of a content block. One whose start did not come, or of another kind, begins a block (D110).
func (d *streamDecoder) delta(e *streamEvent) {
	if e.item.text == nil {
		return
	}
	if d.block.kind != kindOf(&e.item) || d.block.plan || d.block.content != e.index {
		d.open(kindOf(&e.item), e.index, false)
	}
	d.say(e.item.text, e.logprobs)
}

func (d *streamDecoder) say(raw, logprobs []byte) {
	text := d.text(raw)
	if text == "" {
		return
	}
	if d.block.kind == chat.Text && len(d.block.said)+len(text) <= maxSaid {
		d.block.said = append(d.block.said, text...)
	}
	d.send(chat.Event{Kind: chat.EventDelta, Index: d.block.index, Text: text, LogProbs: readLogProbs(logprobs)})
}

// stop ends the open block of text or thinking.
func (d *streamDecoder) stop() {
	b := &d.block
	if b.kind == 0 {
		return
	}
	if b.kind == chat.Thinking {
		d.send(chat.Event{Kind: chat.EventSignature, Index: b.index, Text: ownThinking})
	}
	b.kind = 0
	d.send(chat.Event{Kind: chat.EventBlockStop, Index: b.index, Block: chat.Part{Citations: b.citations}})
	b.citations = nil
}

// maxCitations bounds what one block keeps; further ones are left out.
const maxCitations = 4096

// cite notes a citation for the end of the block that it rests on (D134).
func (d *streamDecoder) cite(e *streamEvent) {
	b := &d.block
	if !e.cited || b.kind != chat.Text || e.citation.plan != b.plan || len(b.citations) >= maxCitations {
		return
	}
	b.citations = append(b.citations, e.citation.neutral(view(b.said))...)
}

func (d *streamDecoder) callStart(e *streamEvent) *fault.Fault {
	if len(d.calls) == maxCalls {
		return fault.New(fault.ProviderFailed, "The provider streamed more than %d tool calls.", maxCalls)
	}
	d.start(nil)
	d.stop()
	d.callEnd(e.index)
	c := streamCall{wire: e.index, index: d.next, open: true}
	d.next++
	call := &chat.Call{ID: clone(e.call.id), Name: clone(e.call.name)}
	if call.ID == "" {
		call.ID = callID(d.id, len(d.calls))
	}
	d.calls = append(d.calls, c)
	d.send(chat.Event{Kind: chat.EventBlockStart, Index: c.index, Block: chat.Part{Kind: chat.ToolCall, Call: call}})
	return d.callDelta(e)
}

// callOf finds the open call of the provider's index, nil when there is none.
func (d *streamDecoder) callOf(wire int) *streamCall {
	for i := len(d.calls) - 1; i >= 0; i-- {
		if c := &d.calls[i]; c.wire == wire && c.open {
			return c
		}
	}
	return nil
}

func (d *streamDecoder) callDelta(e *streamEvent) *fault.Fault {
	text := d.text(e.call.arguments)
	if text == "" {
		return nil
	}
	c := d.callOf(e.index)
	if c == nil {
		return fault.New(fault.ProviderFailed, "The provider streamed arguments of a tool call that is not open.")
	}
	c.args = true
	d.send(chat.Event{Kind: chat.EventDelta, Index: c.index, Text: text})
	return nil
}

// callEnd ends a call and completes one that came without arguments (D33).
func (d *streamDecoder) callEnd(wire int) {
	c := d.callOf(wire)
	if c == nil {
		return
	}
	c.open = false
	if !c.args {
		d.send(chat.Event{Kind: chat.EventDelta, Index: c.index, Text: "{}"})
	}
	d.send(chat.Event{Kind: chat.EventBlockStop, Index: c.index})
}

// end is the terminal event, or the error that the generation ended in (D119).
func (d *streamDecoder) end(e *streamEvent) {
	word := clone(e.finish)
	if f := failed(word, d.text(e.err)); f != nil {
		d.fail(f)
		return
	}
	d.start(e.id)
	d.stop()
	for i := range d.calls {
		d.callEnd(d.calls[i].wire)
	}
	d.over = true
	d.send(chat.Event{Kind: chat.EventFinish, Finish: finishOf(word, len(d.calls) > 0), RawFinish: word})
	if e.counts.usage.Known {
		d.send(chat.Event{Kind: chat.EventUsage, Usage: e.counts.usage, Billed: e.counts.billed})
	}
	d.send(chat.Event{Kind: chat.EventEnd})
}

func (d *streamDecoder) fail(f *fault.Fault) {
	d.over, d.lastFault = true, f
	d.send(chat.Event{Kind: chat.EventError, Fault: f})
}
