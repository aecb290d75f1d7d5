package openai

import (
	"strconv"
	"unicode/utf8"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// maxThinking bounds the thinking that is kept until its signature comes, in bytes of one stream. Beyond it the signature
// is not sent: a block with half its text would be refused by the model that made it.
const maxThinking = 4 << 20

// streamEncoder writes a stream of chunks.
type streamEncoder struct {
	o       translate.Answer
	head    []byte // data: {"id":…,"choices":[{"index":
	tail    string // what follows choices
	usage   chat.Usage
	choices []*encodedChoice
	kept    int // bytes of thinking
	ended   bool
}

// encodedChoice is what the encoder knows of one choice.
type encodedChoice struct {
	index    int
	opened   bool // the role was sent
	calls    int
	finished bool
	blocks   []encodedBlock // open ones
	signed   string         // the signature of the call that may follow
	chars    int            // of the texts that are over
}

// encodedBlock is one open block.
type encodedBlock struct {
	index     int
	kind      chat.PartKind
	call      int    // its index among the calls (D108)
	got       bool   // a delta has come
	thinking  []byte // its text, until the signature
	lost      bool   // there was too much of it
	text      []byte // of a text, as far as it is kept to find places in it
	chars     int
	signature []byte
}

// NewEncoder makes the state of one stream.
func (Codec) NewEncoder(o translate.Answer) translate.Encoder {
	e := &streamEncoder{o: o, tail: "}\n\n"}
	if o.IncludeUsage {
		e.tail = ",\"usage\":null}\n\n" // on every chunk but the last, which has it
	}
	return e
}

// Encode appends what the client gets for ev.
func (e *streamEncoder) Encode(dst []byte, ev *chat.Event) []byte {
	if e.ended {
		return dst
	}
	switch ev.Kind {
	case chat.EventStart:
		e.start(ev)
		return dst
	case chat.EventUsage:
		if ev.Usage.Known {
			e.usage = ev.Usage
		}
		return dst
	case chat.EventEnd:
		return e.end(dst)
	case chat.EventError:
		return e.Fault(dst, ev.Fault)
	case chat.EventPing:
		return append(dst, ": ping\n\n"...)
	default:
		return e.content(dst, ev)
	}
}

// Fault appends the error event, as OpenAI sends it and its SDKs raise it (D119).
func (e *streamEncoder) Fault(dst []byte, f *fault.Fault) []byte {
	e.ended = true
	return appendFaultEvent(dst, f)
}

func (e *streamEncoder) start(ev *chat.Event) {
	if ev.Usage.Known {
		e.usage = ev.Usage
	}
	e.head = e.head[:0]
	e.begin(ev.ID, ev.Model, ev.Created)
}

func (e *streamEncoder) begin(id, model string, created int64) {
	e.head = append(e.head, "data: {"...)
	e.head = appendIdentity(e.head, "chat.completion.chunk", id, model, created, e.o)
	e.head = append(e.head, `,"choices":[`...)
}

// end writes the usage chunk, when the client asked for it, and the terminal event.
func (e *streamEncoder) end(dst []byte) []byte {
	e.ended = true
	if e.o.IncludeUsage && e.usage.Known {
		dst = append(e.prefix(dst), `],"usage":`...)
		dst = append(appendUsage(dst, e.usage), "}\n\n"...)
	}
	return append(dst, "data: [DONE]\n\n"...)
}

func (e *streamEncoder) prefix(dst []byte) []byte {
	if e.head == nil {
		e.begin("", "", 0)
	}
	return append(dst, e.head...)
}

// content is an event that belongs to a choice.
func (e *streamEncoder) content(dst []byte, ev *chat.Event) []byte {
	c := e.choice(ev.Choice)
	switch ev.Kind {
	case chat.EventBlockStart:
		return e.blockStart(dst, c, ev)
	case chat.EventDelta:
		return e.delta(dst, c, ev)
	case chat.EventSignature:
		if b := c.block(ev.Index); b != nil && e.room(b, len(ev.Text)) {
			b.signature = append(b.signature, ev.Text...)
		}
	case chat.EventBlockStop:
		return e.blockStop(dst, c, ev)
	case chat.EventFinish:
		return e.finish(dst, c, ev)
	}
	return dst
}

func (e *streamEncoder) choice(index int) *encodedChoice {
	for _, c := range e.choices {
		if c.index == index {
			return c
		}
	}
	c := &encodedChoice{index: index}
	e.choices = append(e.choices, c)
	return c
}

func (c *encodedChoice) block(index int) *encodedBlock {
	for i := len(c.blocks) - 1; i >= 0; i-- {
		if c.blocks[i].index == index {
			return &c.blocks[i]
		}
	}
	return nil
}

// open begins a chunk up to its delta's members. The role comes once, with the first delta (D111).
func (e *streamEncoder) open(dst []byte, c *encodedChoice) []byte {
	dst = append(e.prefix(dst), `{"index":`...)
	dst = append(strconv.AppendInt(dst, int64(c.index), 10), `,"delta":{`...)
	if !c.opened {
		c.opened = true
		dst = append(dst, `"role":"assistant",`...)
	}
	return dst
}

// shut ends a chunk behind its delta's members.
func (e *streamEncoder) shut(dst, logprobs []byte) []byte {
	dst = append(dst, `},"logprobs":`...)
	if logprobs != nil {
		dst = append(dst, logprobs...)
	} else {
		dst = append(dst, "null"...)
	}
	return append(append(dst, `,"finish_reason":null}]`...), e.tail...)
}

func (e *streamEncoder) blockStart(dst []byte, c *encodedChoice, ev *chat.Event) []byte {
	b := encodedBlock{index: ev.Index, kind: ev.Block.Kind, signature: []byte(ev.Block.Signature)}
	if ev.Block.Kind == chat.ToolCall && ev.Block.Call != nil {
		b.call = c.calls
		c.calls++
		fresh := !c.opened
		dst = e.open(dst, c)
		if fresh {
			dst = append(dst, `"content":null,`...)
		}
		dst = strconv.AppendInt(append(dst, `"tool_calls":[{"index":`...), int64(b.call), 10)
		dst = strictjson.AppendString(append(dst, `,"id":`...), ev.Block.Call.ID)
		dst = strictjson.AppendString(append(dst, `,"type":"function","function":{"name":`...), ev.Block.Call.Name)
		dst = strictjson.AppendString(append(dst, `,"arguments":`...), ev.Block.Call.Arguments)
		b.got = ev.Block.Call.Arguments != ""
		signature := ev.Block.Signature
		if signature == "" {
			signature = c.signed
		}
		dst = append(appendCallSignature(append(dst, '}'), signature), `}]`...)
		dst = e.shut(dst, nil)
	}
	if made(&ev.Block) {
		dst = e.open(dst, c)
		dst = e.shut(append(appendImage(append(dst, `"images":[`...), ev.Block.Media), ']'), nil)
	}
	c.signed = ""
	c.blocks = append(c.blocks, b)
	if text := ev.Block.Text; text != "" && ev.Block.Kind != chat.ToolCall {
		dst = e.delta(dst, c, &chat.Event{Choice: ev.Choice, Index: ev.Index, Text: text})
	}
	return dst
}

// members are the delta's members that carry text, by the kind of block.
var members = [...]string{
	chat.Text: `"content":`, chat.Thinking: `"reasoning_content":`, chat.Refusal: `"refusal":`,
}

func (e *streamEncoder) delta(dst []byte, c *encodedChoice, ev *chat.Event) []byte {
	b := c.block(ev.Index)
	if b == nil || ev.Text == "" {
		return dst
	}
	b.got = true
	switch b.kind {
	case chat.ToolCall:
		return e.callDelta(dst, c, b, ev.Text)
	case chat.Thinking:
		if e.room(b, len(ev.Text)) {
			b.thinking = append(b.thinking, ev.Text...)
		}
	case chat.Text:
		b.chars += utf8.RuneCountInString(ev.Text)
		if len(b.text)+len(ev.Text) <= citedText {
			b.text = append(b.text, ev.Text...)
		} else {
			b.lost = true
		}
	case chat.Refusal:
	default:
		return dst
	}
	dst = append(e.open(dst, c), members[b.kind]...)
	dst = strictjson.AppendString(dst, ev.Text)
	return e.shut(dst, ev.LogProbs)
}

func (e *streamEncoder) callDelta(dst []byte, c *encodedChoice, b *encodedBlock, text string) []byte {
	dst = strconv.AppendInt(append(e.open(dst, c), `"tool_calls":[{"index":`...), int64(b.call), 10)
	dst = strictjson.AppendString(append(dst, `,"function":{"arguments":`...), text)
	return e.shut(append(dst, `}}]`...), nil)
}

// room says whether a thinking block may still grow.
func (e *streamEncoder) room(b *encodedBlock, n int) bool {
	if e.kept += n; e.kept > maxThinking {
		b.lost, b.thinking = true, nil
	}
	return !b.lost
}

// blockStop sends what could only be sent at the block's end: empty arguments (D33), or the signed block (D81).
func (e *streamEncoder) blockStop(dst []byte, c *encodedChoice, ev *chat.Event) []byte {
	index := ev.Index
	b := c.block(index)
	if b == nil {
		return dst
	}
	c.signed = ""
	if b.kind == chat.Thinking && len(b.thinking) == 0 && !b.lost {
		c.signed = string(b.signature)
	}
	if b.kind == chat.Text {
		dst = e.cite(dst, c, b, ev.Block.Citations)
		c.chars += b.chars
	}
	switch {
	case b.kind == chat.ToolCall && !b.got:
		dst = e.callDelta(dst, c, b, "{}")
	case len(b.signature) > 0 && !b.lost && (b.kind == chat.Thinking || b.kind == chat.RedactedThinking):
		dst = append(e.open(dst, c), `"thinking_blocks":[`...)
		dst = appendBlock(dst, b.kind, view(b.thinking), view(b.signature))
		dst = e.shut(append(dst, ']'), nil)
	}
	for i := range c.blocks {
		if c.blocks[i].index == index {
			c.blocks = append(c.blocks[:i], c.blocks[i+1:]...)
			break
		}
	}
	return dst
}

// cite sends what a text rests on (D134), once the text is over.
func (e *streamEncoder) cite(dst []byte, c *encodedChoice, b *encodedBlock, list []chat.Citation) []byte {
	if !hasURL(list) {
		return dst
	}
	text := view(b.text)
	if b.lost {
		text = ""
	}
	dst = append(e.open(dst, c), `"annotations":[`...)
	dst = appendCitations(dst, list, text, c.chars)
	return e.shut(append(dst, ']'), nil)
}

func (e *streamEncoder) finish(dst []byte, c *encodedChoice, ev *chat.Event) []byte {
	if c.finished {
		return dst
	}
	c.finished = true
	fresh := !c.opened
	dst = e.open(dst, c)
	if fresh {
		dst = append(dst, `"content":""`...)
	}
	dst = append(dst, `},"logprobs":null`...)
	dst = appendFinish(dst, ev.Finish, ev.RawFinish, ev.StopSequence)
	return append(append(dst, '}', ']'), e.tail...)
}
