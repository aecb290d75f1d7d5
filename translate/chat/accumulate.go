package chat

import (
	"encoding/json"

	"dragoman/internal/fault"
)

const (
	maxChoices    = 128 // OpenAI's own cap of n
	blockOverhead = 256 // bytes that an empty block takes here, so that many empty ones are bounded too
)

// Accumulator gathers the events of one streamed answer into a Response. It belongs to one goroutine. What it keeps is
// bounded: an answer over the bound is given up, not cut.
type Accumulator struct {
	left    int // bytes that may still be kept
	resp    Response
	choices []*choiceParts
	ended   bool
	fault   *fault.Fault
}

// choiceParts is one choice in the making.
type choiceParts struct {
	choice Choice
	blocks []*openBlock // in the order they were started
	index  map[int]*openBlock
	probs  [][]byte
}

// openBlock is a part whose text still grows.
type openBlock struct {
	index     int
	part      Part
	text      []byte
	signature []byte
}

// NewAccumulator makes an Accumulator that keeps at most maxBytes of content.
func NewAccumulator(maxBytes int) *Accumulator { return &Accumulator{left: maxBytes} }

// Add takes the next event. It keeps nothing of ev itself.
func (a *Accumulator) Add(ev *Event) {
	if a.fault != nil || a.ended {
		return
	}
	switch ev.Kind {
	case EventStart:
		a.resp.ID, a.resp.Model, a.resp.Created = ev.ID, ev.Model, ev.Created
		a.spend(len(ev.ID) + len(ev.Model))
		a.usage(ev.Usage)
	case EventUsage:
		a.usage(ev.Usage)
		a.resp.Billed = ev.Billed
	case EventEnd:
		a.ended = true
	case EventError:
		a.fail(ev.Fault)
	case EventPing:
	default:
		a.content(ev)
	}
}

// content is an event that belongs to a choice.
func (a *Accumulator) content(ev *Event) {
	c := a.choice(ev.Choice)
	if c == nil {
		return
	}
	switch ev.Kind {
	case EventBlockStart:
		a.spend(blockOverhead + len(ev.Block.Text) + len(ev.Block.Signature))
		c.add(newOpenBlock(ev))
	case EventDelta, EventSignature:
		a.delta(c, ev)
	case EventBlockStop:
		a.cited(c, ev)
	case EventFinish:
		c.choice.Finish, c.choice.RawFinish, c.choice.StopSequence = ev.Finish, ev.RawFinish, ev.StopSequence
	}
}

func newOpenBlock(ev *Event) *openBlock {
	b := &openBlock{index: ev.Index, part: ev.Block, text: []byte(ev.Block.Text), signature: []byte(ev.Block.Signature)}
	b.part.Text = ""
	if call := ev.Block.Call; call != nil {
		b.part.Call = &Call{ID: call.ID, Name: call.Name}
		b.text = append(b.text, call.Arguments...)
	}
	return b
}

func (a *Accumulator) delta(c *choiceParts, ev *Event) {
	b := c.block(ev.Index)
	if b == nil {
		a.fail(fault.New(fault.ProviderFailed, "The provider streamed content for a block that it had not started."))
		return
	}
	a.spend(len(ev.Text) + len(ev.LogProbs))
	if a.fault != nil {
		return
	}
	if len(ev.LogProbs) > 0 {
		c.probs = append(c.probs, append([]byte(nil), ev.LogProbs...))
	}
	if ev.Kind == EventSignature {
		b.signature = append(b.signature, ev.Text...)
		return
	}
	b.text = append(b.text, ev.Text...)
}

// cited keeps the sources of a block that ends.
func (a *Accumulator) cited(c *choiceParts, ev *Event) {
	if len(ev.Block.Citations) == 0 {
		return
	}
	for i := range ev.Block.Citations {
		s := &ev.Block.Citations[i]
		a.spend(blockOverhead + len(s.Title) + len(s.URL) + len(s.Quote))
	}
	if b := c.block(ev.Index); b != nil && a.fault == nil {
		b.part.Citations = append([]Citation(nil), ev.Block.Citations...)
	}
}

func (c *choiceParts) add(b *openBlock) {
	if c.index == nil {
		c.index = map[int]*openBlock{}
	}
	c.blocks = append(c.blocks, b)
	c.index[b.index] = b
}

// block finds the block an event speaks of; it is nearly always the last one.
func (c *choiceParts) block(index int) *openBlock {
	if n := len(c.blocks); n > 0 && c.blocks[n-1].index == index {
		return c.blocks[n-1]
	}
	return c.index[index]
}

func (a *Accumulator) choice(n int) *choiceParts {
	if n < 0 || n >= maxChoices {
		a.fail(fault.New(fault.ProviderFailed, "The provider streamed more choices than any request may ask for."))
		return nil
	}
	for len(a.choices) <= n {
		a.choices = append(a.choices, &choiceParts{})
	}
	return a.choices[n]
}

func (a *Accumulator) usage(u Usage) {
	if u.Known {
		a.resp.Usage = u
	}
}

func (a *Accumulator) spend(n int) {
	if a.left -= n; a.left < 0 {
		a.fail(fault.New(fault.TooLarge, "The answer is too large to be kept."))
	}
}

// fail gives the answer up and lets go of what was kept.
func (a *Accumulator) fail(f *fault.Fault) {
	if f == nil {
		f = fault.New(fault.ProviderFailed, "The provider ended its answer with an error.")
	}
	a.fault, a.choices = f, nil
}

// Response is the whole answer; ok is false when the stream has not ended well, or was over the bound (Fault).
func (a *Accumulator) Response() (r *Response, ok bool) {
	if !a.ended || a.fault != nil {
		return nil, false
	}
	resp := a.resp
	for _, c := range a.choices {
		resp.Choices = append(resp.Choices, c.finish())
	}
	return &resp, true
}

// Fault is why the answer was given up: the provider's error event, or the bound. Nil while all is well.
func (a *Accumulator) Fault() *fault.Fault { return a.fault }

func (c *choiceParts) finish() Choice {
	choice := c.choice
	for _, b := range c.blocks {
		p := b.part
		p.Signature = string(b.signature)
		if p.Call != nil {
			args := string(b.text)
			if args == "" {
				args = "{}" // D33
			}
			p.Call = &Call{ID: p.Call.ID, Name: p.Call.Name, Arguments: args}
		} else {
			p.Text = string(b.text)
		}
		choice.Parts = append(choice.Parts, p)
	}
	choice.LogProbs = mergeLogProbs(c.probs)
	return choice
}

// logProbs is OpenAI's logprobs object; the entries stay as they came.
type logProbs struct {
	Content []json.RawMessage `json:"content"`
	Refusal []json.RawMessage `json:"refusal"`
}

// mergeLogProbs joins the pieces of a stream into the object of a whole answer. A piece of another shape is left out:
// log probabilities are additional, and must not cost the answer.
func mergeLogProbs(pieces [][]byte) []byte {
	if len(pieces) < 2 {
		if len(pieces) == 1 {
			return pieces[0]
		}
		return nil
	}
	var all logProbs
	for _, p := range pieces {
		var one logProbs
		if json.Unmarshal(p, &one) == nil {
			all.Content = append(all.Content, one.Content...)
			all.Refusal = append(all.Refusal, one.Refusal...)
		}
	}
	out, err := json.Marshal(all)
	if err != nil {
		return nil
	}
	return out
}
