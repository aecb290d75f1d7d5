package responses

import (
	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// itemAdded begins a call's block, or notes an item of reasoning: its kind is known with its first text or its end.
func (d *streamDecoder) itemAdded(in *streamEvent) {
	it := readOutput(in.item)
	at := place{in.output, wholeItem}
	if in.item == nil || d.open[at] != nil {
		return
	}
	switch kind := strictjson.Text(it.kind); kind {
	case callItem, customItem:
		d.stopOthers(true)
		b := d.begin(at, chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: clone(it.callID), Name: clone(it.name)}})
		b.custom = kind == customItem
		if it.arguments != nil {
			d.delta(b, d.text(it.arguments), nil)
		}
	case reasoningItem:
		d.stopOthers(false)
		d.open[at] = &decodedBlock{kind: chat.Thinking, index: -1}
	}
}

// itemDone ends what the item began. The signature of reasoning comes with it (D81).
func (d *streamDecoder) itemDone(in *streamEvent) {
	it := readOutput(in.item)
	at := place{in.output, wholeItem}
	b := d.open[at]
	if b == nil { // a message, whose parts have ended, or what has no parts
		d.imageDone(&it)
		return
	}
	switch {
	case b.kind == chat.ToolCall && !b.got && !b.custom && it.arguments != nil:
		d.delta(b, d.text(it.arguments), nil)
	case b.kind == chat.Thinking:
		d.endReasoning(at, b, &it)
	}
	d.stop(at)
}

// imageDone emits an image, which comes whole.
func (d *streamDecoder) imageDone(it *outputSeen) {
	p, ok := it.image()
	if strictjson.Text(it.kind) != imageItem || !ok {
		return
	}
	d.stopOthers(false)
	d.send(chat.Event{Kind: chat.EventBlockStart, Index: d.blocks, Block: p})
	d.send(chat.Event{Kind: chat.EventBlockStop, Index: d.blocks})
	d.blocks++
}

// endReasoning emits what only the end of a reasoning item tells.
func (d *streamDecoder) endReasoning(at place, b *decodedBlock, it *outputSeen) {
	p, ok := reasoningPart(clone(it.id), clone(it.encrypted), texts(it.summary), texts(it.content))
	if b.index < 0 {
		if !ok {
			delete(d.open, at) // it says nothing (D77)
			return
		}
		start := chat.Part{Kind: p.Kind}
		if p.Kind == chat.RedactedThinking {
			start.Signature = p.Signature
		}
		b = d.begin(at, start)
		if p.Text != "" {
			d.delta(b, p.Text, nil)
		}
	}
	if p.Signature != "" && p.Kind == chat.Thinking {
		d.send(chat.Event{Kind: chat.EventSignature, Index: b.index, Text: p.Signature})
	}
}

// content emits what an event about a part of an item says.
func (d *streamDecoder) content(in *streamEvent) *fault.Fault {
	part, whole := place{in.output, in.content}, place{in.output, wholeItem}
	switch in.kind {
	case eventPartAdded:
		d.partAdded(in, part)
	case eventText:
		d.delta(d.need(part, chat.Text), d.text(in.delta), logProbsOf(elements(in.logprobs)))
	case eventRefusal:
		d.delta(d.need(part, chat.Refusal), d.text(in.delta), nil)
	case eventTextDone, eventRefusalDone:
		if b := d.open[part]; b != nil && !b.got && in.done != nil {
			d.delta(b, d.text(in.done), nil)
		}
	case eventPartDone:
		d.partDone(in, part)
	case eventSummary, eventReasoning:
		d.reasoningDelta(whole, in)
	default:
		return d.arguments(whole, in)
	}
	return nil
}

func (d *streamDecoder) partAdded(in *streamEvent, at place) {
	switch strictjson.Text(in.readContent().kind) {
	case outputText:
		d.need(at, chat.Text)
	case refusalPart:
		d.need(at, chat.Refusal)
	}
}

// partDone ends a part of a message; only now its sources are all known (D134).
func (d *streamDecoder) partDone(in *streamEvent, at place) {
	if b := d.open[at]; b != nil && b.kind == chat.Text {
		c := in.readContent()
		if len(c.annotations) > len(`[]`) {
			b.cited = citations(c.annotations, clone(c.text))
		}
	}
	d.stop(at)
}

// reasoningDelta: the parts of a summary are paragraphs of one text.
func (d *streamDecoder) reasoningDelta(at place, in *streamEvent) {
	b := d.need(at, chat.Thinking)
	if b.got && in.content != b.summary {
		d.delta(b, paragraph, nil)
	}
	b.summary = in.content
	d.delta(b, d.text(in.delta), nil)
}

// arguments: a call is known by its item, so its deltas cannot come before that.
func (d *streamDecoder) arguments(at place, in *streamEvent) *fault.Fault {
	b := d.open[at]
	if b == nil || b.kind != chat.ToolCall {
		if in.kind == eventArgsDone {
			return nil
		}
		return fault.New(fault.ProviderFailed, "The provider streamed the arguments of a call that it had not begun.")
	}
	switch {
	case in.kind == eventArgsDone && b.got:
	case in.kind == eventArgsDone:
		d.delta(b, d.text(in.done), nil)
	default:
		d.delta(b, d.text(in.delta), nil)
	}
	return nil
}

// need is the open block at a place, begun if there is none.
func (d *streamDecoder) need(at place, kind chat.PartKind) *decodedBlock {
	b := d.open[at]
	if b != nil && b.index >= 0 && b.kind == kind {
		return b
	}
	if b != nil && b.index >= 0 {
		d.stop(at)
	}
	d.stopOthers(false)
	return d.begin(at, chat.Part{Kind: kind})
}

func (d *streamDecoder) begin(at place, p chat.Part) *decodedBlock {
	b := &decodedBlock{kind: p.Kind, index: d.blocks}
	d.blocks++
	d.open[at] = b
	d.send(chat.Event{Kind: chat.EventBlockStart, Index: b.index, Block: p})
	return b
}

func (d *streamDecoder) delta(b *decodedBlock, text string, logprobs []byte) {
	if text == "" {
		return
	}
	if b.custom {
		text = d.customText(b, text)
	}
	b.got = true
	d.send(chat.Event{Kind: chat.EventDelta, Index: b.index, Text: text, LogProbs: logprobs})
}

// customText is a piece of plain text as it stands within a JSON string, which the first one opens and stop closes.
func (d *streamDecoder) customText(b *decodedBlock, text string) string {
	quoted := strictjson.AppendString(nil, text)
	quoted = quoted[1 : len(quoted)-1]
	if b.got {
		return view(quoted)
	}
	return `{"input":"` + view(quoted)
}

// stop ends the block at a place, if one is open.
func (d *streamDecoder) stop(at place) {
	b := d.open[at]
	if b == nil {
		return
	}
	delete(d.open, at)
	if b.index < 0 {
		return
	}
	if b.custom {
		last := `"}`
		if !b.got {
			last = `{"input":""}`
		}
		d.send(chat.Event{Kind: chat.EventDelta, Index: b.index, Text: last})
	}
	d.send(chat.Event{Kind: chat.EventBlockStop, Index: b.index, Block: chat.Part{Citations: b.cited}})
}

// stopOthers ends open blocks before another begins; calls may stay open beside calls (D109).
func (d *streamDecoder) stopOthers(call bool) {
	for {
		at, found := d.lowest(func(b *decodedBlock) bool { return b.index >= 0 && (!call || b.kind != chat.ToolCall) })
		if !found {
			return
		}
		d.stop(at)
	}
}

// stopLowest ends the open block that began first.
func (d *streamDecoder) stopLowest() {
	at, _ := d.lowest(func(*decodedBlock) bool { return true })
	d.stop(at)
}

// lowest finds, among the open blocks that match, the one that began first: what is emitted must not depend on a map's order.
func (d *streamDecoder) lowest(match func(*decodedBlock) bool) (at place, found bool) {
	best := 0
	for where, b := range d.open {
		if match(b) && (!found || b.index < best) {
			at, best, found = where, b.index, true
		}
	}
	return at, found
}
