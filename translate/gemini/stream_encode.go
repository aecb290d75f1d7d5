package gemini

import (
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const (
	// maxHeld bounds the arguments of calls that wait for their end, in bytes of one stream.
	maxHeld = 8 << 20
	// maxOpen bounds the blocks that are open at once.
	maxOpen = 1024
)

// streamEncoder writes one answer as a stream of GenerateContentResponses, in events or as one array.
type streamEncoder struct {
	o       translate.Answer
	begun   bool // the array has its first element
	ended   bool
	tail    []byte // who answered: the members behind the candidates
	usage   chat.Usage
	held    int
	choices []*writtenChoice
}

// writtenChoice is what is kept of one choice until its end. Calls must be written whole (D112), a signature on the call
// that follows it, and the reason to stop beside the usage (D113).
type writtenChoice struct {
	index    int
	blocks   []writtenBlock // open ones
	texts    int
	called   bool
	pending  string // the service's own signature, waiting for a call
	cites    []chat.Citation
	finish   chat.Finish
	raw      string
	finished bool
}

type writtenBlock struct {
	index     int
	part      chat.Part
	args      []byte
	signature []byte
}

// NewEncoder makes the state for one stream.
func (Codec) NewEncoder(o translate.Answer) translate.Encoder { return &streamEncoder{o: o} }

// Encode appends what the client gets for ev.
func (e *streamEncoder) Encode(dst []byte, ev *chat.Event) []byte {
	if e.ended {
		return dst
	}
	switch ev.Kind {
	case chat.EventStart:
		if ev.Usage.Known {
			e.usage = ev.Usage
		}
		e.tail = appendIdentity(e.tail[:0], ev.ID, ev.Model, e.o)
	case chat.EventUsage:
		if ev.Usage.Known {
			e.usage = ev.Usage
		}
	case chat.EventEnd:
		return e.end(dst)
	case chat.EventError:
		return e.Fault(dst, ev.Fault)
	case chat.EventPing: // the official SDKs for Go and Python read nothing but data lines: a comment breaks them
	default:
		return e.content(dst, e.choice(ev.Choice), ev)
	}
	return dst
}

// Fault appends an error, which the SDKs raise (D119), and ends the array.
func (e *streamEncoder) Fault(dst []byte, f *fault.Fault) []byte {
	e.ended = true
	e.choices = nil
	return appendStreamFault(dst, f, e.o, &e.begun)
}

func appendStreamFault(dst []byte, f *fault.Fault, o translate.Answer, begun *bool) []byte {
	if f == nil {
		f = fault.New(fault.ProviderFailed, "The provider ended its answer with an error.")
	}
	if !o.Array {
		return append(appendFault(append(dst, "data: "...), f, speak(f), o.RequestID), "\n\n"...)
	}
	return append(appendFault(appendElement(dst, begun), f, speak(f), o.RequestID), ']')
}

func (e *streamEncoder) choice(index int) *writtenChoice {
	for _, c := range e.choices {
		if c.index == index {
			return c
		}
	}
	c := &writtenChoice{index: index}
	e.choices = append(e.choices, c)
	return c
}

func (c *writtenChoice) block(index int) *writtenBlock {
	for i := len(c.blocks) - 1; i >= 0; i-- {
		if c.blocks[i].index == index {
			return &c.blocks[i]
		}
	}
	return nil
}

// content is an event that belongs to a choice.
func (e *streamEncoder) content(dst []byte, c *writtenChoice, ev *chat.Event) []byte {
	switch ev.Kind {
	case chat.EventBlockStart:
		return e.blockStart(dst, c, ev)
	case chat.EventDelta:
		return e.delta(dst, c, ev)
	case chat.EventSignature:
		if b := c.block(ev.Index); b != nil && e.room(len(ev.Text)) {
			b.signature = append(b.signature, ev.Text...)
		}
	case chat.EventBlockStop:
		return e.blockStop(dst, c, ev)
	case chat.EventFinish:
		for len(c.blocks) > 0 {
			dst = e.blockStop(dst, c, &chat.Event{Index: c.blocks[0].index})
		}
		dst = e.flush(dst, c)
		c.finish, c.raw, c.finished = ev.Finish, ev.RawFinish, true
	}
	return dst
}

// room says whether n more bytes may be held.
func (e *streamEncoder) room(n int) bool {
	e.held += n
	return e.held <= maxHeld
}

// begin writes a piece up to the parts of one candidate.
func (e *streamEncoder) begin(dst []byte) []byte {
	if e.o.Array {
		dst = appendElement(dst, &e.begun)
	} else {
		dst = append(dst, "data: "...)
	}
	return append(dst, `{"candidates":[{"content":{"parts":[`...)
}

// shut ends a piece behind its parts.
func (e *streamEncoder) shut(dst []byte, c *writtenChoice, probs []byte) []byte {
	dst = append(dst, `],"role":"model"}`...)
	dst = strconv.AppendInt(append(dst, `,"index":`...), int64(c.index), 10)
	if probs != nil {
		dst = appendLogProbs(dst, probs)
	}
	return e.identity(append(dst, `}]`...))
}

func (e *streamEncoder) identity(dst []byte) []byte {
	if e.tail == nil {
		e.tail = appendIdentity(e.tail, "", "", e.o)
	}
	dst = append(append(dst, e.tail...), '}')
	if e.o.Array {
		return dst
	}
	return append(dst, "\n\n"...)
}

func (e *streamEncoder) blockStart(dst []byte, c *writtenChoice, ev *chat.Event) []byte {
	if len(c.blocks) == maxOpen {
		return e.Fault(dst, fault.New(fault.ProviderFailed, "The provider opened more than %d content blocks at once.", maxOpen))
	}
	b := writtenBlock{index: ev.Index, part: chat.Part{Kind: ev.Block.Kind, Media: ev.Block.Media}, signature: []byte(ev.Block.Signature)}
	text := ev.Block.Text
	switch b.part.Kind {
	case chat.ToolCall:
		b.part.Call = &chat.Call{}
		if call := ev.Block.Call; call != nil {
			b.part.Call.ID, b.part.Call.Name = call.ID, call.Name
			b.args = append(b.args, call.Arguments...)
		}
	case chat.Thinking: // it may yet prove to be the signature of a call
	default:
		dst = e.flush(dst, c)
	}
	c.blocks = append(c.blocks, b)
	if text != "" {
		return e.delta(dst, c, &chat.Event{Index: ev.Index, Text: text})
	}
	return dst
}

func (e *streamEncoder) delta(dst []byte, c *writtenChoice, ev *chat.Event) []byte {
	b := c.block(ev.Index)
	if b == nil {
		return e.Fault(dst, fault.New(fault.ProviderFailed, "The provider sent content for a block that is not open."))
	}
	if ev.Text == "" {
		return dst
	}
	switch b.part.Kind {
	case chat.ToolCall:
		if !e.room(len(ev.Text)) {
			return e.Fault(dst, fault.New(fault.ProviderFailed, "The provider wrote more than %d bytes of tool arguments.", maxHeld))
		}
		b.args = append(b.args, ev.Text...)
		return dst
	case chat.Thinking:
		b.part.Text = "shown"
		dst = e.flush(dst, c)
		dst = strictjson.AppendString(append(e.begin(dst), `{"text":`...), ev.Text)
		return e.shut(append(dst, `,"thought":true}`...), c, nil)
	default:
		dst = strictjson.AppendString(append(e.begin(dst), `{"text":`...), ev.Text)
		return e.shut(append(dst, '}'), c, ev.LogProbs)
	}
}

// blockStop writes what could only be written at a block's end.
func (e *streamEncoder) blockStop(dst []byte, c *writtenChoice, ev *chat.Event) []byte {
	b := c.block(ev.Index)
	if b == nil {
		return dst
	}
	p := b.part
	p.Signature = string(b.signature)
	switch p.Kind {
	case chat.ToolCall:
		c.called = true
		p.Call.Arguments = string(b.args)
		e.held -= len(b.args)
		dst = e.shut(appendPart(e.begin(dst), &p, c.pending), c, nil)
		c.pending = ""
	case chat.Thinking:
		if own := neighbour(&p); own != "" {
			dst = e.flush(dst, c)
			c.pending = own
			break
		}
		p.Text = "" // was written as it came
		fallthrough
	case chat.RedactedThinking:
		if p.Signature != "" {
			dst = e.shut(appendPart(e.begin(dst), &p, ""), c, nil)
		}
	case chat.Image, chat.Audio, chat.Document:
		dst = e.shut(appendPart(e.begin(dst), &p, ""), c, nil)
	case chat.Text:
		c.cites = cited(c.cites, ev.Block.Citations, c.texts)
		c.texts++
	}
	for i := range c.blocks {
		if c.blocks[i].index == ev.Index {
			c.blocks = append(c.blocks[:i], c.blocks[i+1:]...)
			break
		}
	}
	return dst
}

// flush writes a signature that no call follows.
func (e *streamEncoder) flush(dst []byte, c *writtenChoice) []byte {
	if c.pending == "" {
		return dst
	}
	dst = e.begin(dst)
	dst = e.shut(appendPending(dst, len(dst), c.pending), c, nil)
	c.pending = ""
	return dst
}

// end writes the last piece: why each choice stopped, and the usage.
func (e *streamEncoder) end(dst []byte) []byte {
	if len(e.choices) == 0 {
		e.choice(0)
	}
	for _, c := range e.choices {
		if !c.finished {
			dst = e.content(dst, c, &chat.Event{Kind: chat.EventFinish, Finish: chat.FinishOther})
		}
	}
	if e.ended {
		return dst
	}
	e.ended = true
	if e.o.Array {
		dst = append(appendElement(dst, &e.begun), `{"candidates":[`...)
	} else {
		dst = append(dst, `data: {"candidates":[`...)
	}
	for i, c := range e.choices {
		if i > 0 {
			dst = append(dst, ',')
		}
		if c.called { // a client that gathers the parts for the next request must not find an empty one
			dst = append(dst, `{"content":{"role":"model"}`...)
		} else { // while one that prints each piece's text must find one
			dst = append(dst, `{"content":{"parts":[{"text":""}],"role":"model"}`...)
		}
		dst = appendFinish(dst, c.finish, c.raw)
		dst = strconv.AppendInt(append(dst, `,"index":`...), int64(c.index), 10)
		if len(c.cites) > 0 {
			dst = appendGrounding(dst, c.cites)
		}
		dst = append(dst, '}')
	}
	dst = append(dst, ']')
	if e.usage.Known {
		dst = appendUsage(append(dst, `,"usageMetadata":`...), &e.usage)
	}
	dst = e.identity(dst)
	if e.o.Array {
		dst = append(dst, ']')
	}
	return dst
}
