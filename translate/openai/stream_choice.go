package openai

import (
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// streamChoice is one choice of a stream in the making.
type streamChoice struct {
	index    int
	blocks   int           // begun
	kind     chat.PartKind // of the open block that is no call, 0 when there is none
	block    int           // its index
	signed   bool          // it has its signature
	thought  bool          // reasoning_content has come
	calls    []streamCall
	finished bool
	raw      string // finish_reason
	stop     string
	text     []byte // of the open text, as far as it is kept to find places in it
	over     bool   // there was more of it
	cites    []chat.Citation
	cited    int // bytes of cites
}

// streamCall is one tool call of a choice.
type streamCall struct {
	key   int // the provider's index
	id    string
	block int
	state callState
	json  jsonEnd
}

type callState uint8

const (
	callNamed   callState = iota // only its id is known
	callOpen                     // its block is open
	callStopped                  // its block was closed
)

func (d *streamDecoder) find(index int) (*streamChoice, *fault.Fault) {
	for _, c := range d.choices {
		if c.index == index {
			return c, nil
		}
	}
	if index >= maxChoices {
		return nil, fault.New(fault.ProviderFailed, "The provider streamed a choice with the index %d.", index)
	}
	c := &streamChoice{index: index}
	d.choices = append(d.choices, c)
	return c, nil
}

// choice emits what one element of choices says, in the order in which a model makes it.
func (d *streamDecoder) choice(p *choice) *fault.Fault {
	c, f := d.find(p.index)
	if f != nil {
		return f
	}
	if d.flushed && (p.content != nil || p.to > p.from || p.reasoning != nil || p.refusal != nil || p.images != nil) {
		return fault.New(fault.ProviderFailed, "The provider went on with its answer after it had ended it.")
	}
	if p.parts != nil {
		text, thinking := textParts(p.parts)
		d.delta(c, chat.Thinking, thinking, nil)
		d.delta(c, chat.Text, text, p.logprobs)
	}
	if p.reasoning != nil {
		c.thought = true
		d.delta(c, chat.Thinking, d.text(p.reasoning), nil)
	}
	if p.blocks != nil {
		d.thinkingBlocks(c, p.blocks)
	}
	if p.content != nil {
		d.delta(c, chat.Text, d.text(p.content), p.logprobs)
	}
	if p.cites != nil {
		c.cite(p.cites)
	}
	if p.refusal != nil {
		d.delta(c, chat.Refusal, d.text(p.refusal), p.logprobs)
	}
	for _, image := range readImages(p.images) {
		d.image(c, image)
	}
	for i := p.from; i < p.to; i++ {
		if f := d.call(c, &d.a.calls[i]); f != nil {
			return f
		}
	}
	if p.finish != nil && !c.finished {
		c.finished = true
		c.raw = string(strictjson.AppendText(nil, p.finish))
		c.stop = string(strictjson.AppendText(nil, p.stopReason))
	}
	return nil
}

// delta emits a piece of text. Another kind than the open block's closes that and begins a new one (D110).
func (d *streamDecoder) delta(c *streamChoice, kind chat.PartKind, text string, logprobs []byte) {
	if text == "" {
		return
	}
	d.openText(c, kind)
	if kind == chat.Text {
		c.keep(text)
	}
	d.send(chat.Event{Kind: chat.EventDelta, Choice: c.index, Index: c.block, Text: text, LogProbs: logprobs})
}

func (d *streamDecoder) openText(c *streamChoice, kind chat.PartKind) {
	if c.kind == kind && !c.signed {
		return
	}
	d.stopText(c)
	d.stopCalls(c, false)
	c.kind, c.block, c.signed = kind, c.blocks, false
	c.blocks++
	d.send(chat.Event{Kind: chat.EventBlockStart, Choice: c.index, Index: c.block, Block: chat.Part{Kind: kind}})
}

func (d *streamDecoder) stopText(c *streamChoice) {
	if c.kind == 0 {
		return
	}
	ev := chat.Event{Kind: chat.EventBlockStop, Choice: c.index, Index: c.block}
	if c.kind == chat.Text {
		if c.cites == nil && d.sources != nil {
			c.cites = searched(nil, d.sources)
		}
		ev.Block.Citations, c.cites = c.cites, nil
		c.text, c.over = c.text[:0], false
	}
	c.kind = 0
	d.send(ev)
}

func (c *streamChoice) keep(text string) {
	if c.over = c.over || len(c.text)+len(text) > citedText; !c.over {
		c.text = append(c.text, text...)
	}
}

// cite takes a delta's annotations, which come behind the text that they are about.
func (c *streamChoice) cite(raw []byte) {
	if c.cited += len(raw); c.cited > citedBytes {
		return
	}
	from := len(c.cites)
	c.cites = citations(c.cites, raw, view(c.text))
	for i := from; c.over && i < len(c.cites); i++ {
		c.cites[i].Start, c.cites[i].End = 0, 0
	}
}

// thinkingBlocks reads what gateways before Anthropic's models add (D74): the signature of the thinking that came as
// reasoning_content, redacted thinking, or thinking that came in no other way.
func (d *streamDecoder) thinkingBlocks(c *streamChoice, raw []byte) {
	for _, p := range readThinkingBlocks(raw) {
		if p.Kind == chat.RedactedThinking {
			d.stopText(c)
			d.stopCalls(c, false)
			at := c.blocks
			c.blocks++
			d.send(chat.Event{Kind: chat.EventBlockStart, Choice: c.index, Index: at, Block: p})
			d.send(chat.Event{Kind: chat.EventBlockStop, Choice: c.index, Index: at})
			continue
		}
		if !c.thought {
			d.delta(c, chat.Thinking, p.Text, nil)
		}
		if p.Signature != "" {
			d.openText(c, chat.Thinking)
			c.signed = true
			d.send(chat.Event{Kind: chat.EventSignature, Choice: c.index, Index: c.block, Text: p.Signature})
		}
	}
}

// call emits a piece of a tool call. Pieces of parallel calls may interleave (D109), so a call stays open until the choice
// ends, or its arguments are a whole object when the next call begins.
func (d *streamDecoder) call(c *streamChoice, p *callPiece) *fault.Fault {
	k := c.callOf(p)
	if k < 0 {
		if len(c.calls) == maxCalls {
			return fault.New(fault.ProviderFailed, "The provider streamed more than %d tool calls.", maxCalls)
		}
		k = len(c.calls)
		c.calls = append(c.calls, streamCall{key: p.index, id: string(strictjson.AppendText(nil, p.id))})
	}
	if c.calls[k].state == callNamed && p.name != nil {
		d.startCall(c, k, string(strictjson.AppendText(nil, p.name)), p.signature())
	}
	arguments := view(p.argumentsObject)
	if p.argumentsObject == nil {
		arguments = d.text(p.arguments)
	}
	if arguments == "" {
		return nil
	}
	switch c.calls[k].state {
	case callNamed:
		return fault.New(fault.ProviderFailed, "The provider streamed arguments of a tool call without its name.")
	case callStopped:
		if strings.TrimSpace(arguments) != "" {
			return fault.New(fault.ProviderFailed, "The provider streamed arguments of a tool call that it had finished.")
		}
		return nil
	}
	c.calls[k].json.add(arguments)
	d.send(chat.Event{Kind: chat.EventDelta, Choice: c.index, Index: c.calls[k].block, Text: arguments})
	return nil
}

// callOf finds the call that a piece belongs to, -1 for a new one. Some providers leave the index out and send each call
// whole, or send 0 for every call: then an id of its own says that another call begins.
func (c *streamChoice) callOf(p *callPiece) int {
	id, last, same := strictjson.Text(p.id), len(c.calls)-1, -1
	for k := last; k >= 0; k-- {
		call := &c.calls[k]
		if p.index >= 0 && call.key != p.index {
			continue
		}
		if id != "" && call.id == id {
			return k
		}
		same = max(same, k)
	}
	switch {
	case p.index < 0 && p.name == nil:
		return last
	case p.index < 0:
		return -1
	case same >= 0 && id != "" && c.calls[same].id != "" && p.name != nil:
		return -1
	default:
		return same
	}
}

func (d *streamDecoder) startCall(c *streamChoice, k int, name, signature string) {
	d.stopText(c)
	d.stopCalls(c, true)
	call := &c.calls[k]
	if call.id == "" {
		call.id = callID(d.id, c.index, k)
	}
	call.state, call.block = callOpen, c.blocks
	c.blocks++
	block := chat.Part{Kind: chat.ToolCall, Signature: signature, Call: &chat.Call{ID: call.id, Name: name}}
	d.send(chat.Event{Kind: chat.EventBlockStart, Choice: c.index, Index: call.block, Block: block})
}

// stopCalls closes the open calls, or only those whose arguments are whole.
func (d *streamDecoder) stopCalls(c *streamChoice, whole bool) {
	for k := range c.calls {
		call := &c.calls[k]
		if call.state == callOpen && (!whole || call.json.whole()) {
			call.state = callStopped
			d.send(chat.Event{Kind: chat.EventBlockStop, Choice: c.index, Index: call.block})
		}
	}
}

// jsonEnd watches the pieces of a JSON object for its end.
type jsonEnd struct {
	depth           int
	begun           bool
	quoted, escaped bool
	trailing        bool // something other than white space came behind the end
}

func (j *jsonEnd) whole() bool { return j.begun && j.depth == 0 && !j.trailing }

func (j *jsonEnd) add(text string) {
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case j.escaped:
			j.escaped = false
		case j.quoted:
			j.escaped, j.quoted = c == '\\', c != '"'
		case c == ' ' || c == '\n' || c == '\r' || c == '\t':
		case j.begun && j.depth == 0:
			j.trailing = true
		case c == '"':
			j.quoted = true
		case c == '{' || c == '[':
			j.depth++
			j.begun = true
		case c == '}' || c == ']':
			j.trailing = j.trailing || j.depth == 0
			j.depth--
		}
	}
}
