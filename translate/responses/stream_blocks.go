package responses

import (
	"slices"
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// blockOverhead is what a block takes here beyond its text, so that many empty ones are bounded too.
const blockOverhead = 512

// blockStart writes what begins with a block: an item, or one more part of the message in progress.
func (e *streamEncoder) blockStart(dst []byte, ev *chat.Event) []byte {
	b := &ev.Block
	p := &streamPart{event: ev.Index, kind: b.Kind, signature: []byte(b.Signature), cited: b.Citations}
	e.kept += blockOverhead + len(b.Signature)
	if b.Kind == chat.ToolCall && b.Call != nil {
		p.call = chat.Call{ID: b.Call.ID, Name: b.Call.Name}
		e.kept += len(p.call.ID) + len(p.call.Name)
	}
	switch b.Kind {
	case chat.Image, chat.Audio, chat.Document:
		if !drawn(b) {
			return dst
		}
		m := *b.Media
		p.media, e.kept = &m, e.kept+len(m.Data)
	}
	switch {
	case spoken(b) && e.message != nil:
		p.item, p.at = e.message, len(e.message.parts)
	case spoken(b):
		dst = e.addItem(dst, p)
		e.message = p.item
	default:
		dst = e.closeMessage(dst)
		dst = e.addItem(dst, p)
	}
	p.item.parts = append(p.item.parts, p)
	e.open[ev.Index], e.last = p, p
	if spoken(b) {
		dst = e.aboutPart(dst, "response.content_part.added", p)
		dst = shut(p.append(append(dst, `,"part":`...), true))
	}
	text := b.Text
	if b.Call != nil {
		text = b.Call.Arguments
	}
	if text != "" && b.Kind != chat.RedactedThinking {
		dst = e.delta(dst, &chat.Event{Index: ev.Index, Text: text})
	}
	return dst
}

func (e *streamEncoder) addItem(dst []byte, p *streamPart) []byte {
	it := &streamItem{index: len(e.items), kind: p.kind, id: itemID(e.w.id, p.kind, len(e.items))}
	e.items = append(e.items, it)
	p.item = it
	dst = e.aboutItem(dst, "response.output_item.added", it)
	switch p.kind {
	case chat.ToolCall:
		dst = appendCallItem(dst, it.id, statusInProgress, &p.call, "")
	case chat.Thinking, chat.RedactedThinking:
		dst = appendReasoningItem(dst, &chat.Part{Kind: p.kind}, it.id)
	case chat.Image:
		dst = appendImageItem(dst, it.id, statusInProgress, nil)
	default:
		dst = append(appendMessageHead(dst, it.id, statusInProgress), ']', '}')
	}
	return shut(dst)
}

func (e *streamEncoder) delta(dst []byte, ev *chat.Event) []byte {
	p := e.part(ev.Index)
	if p == nil || p.over || ev.Text == "" {
		return dst
	}
	return e.write(dst, p, ev.Text, ev.LogProbs)
}

// write writes a piece of a block's text.
func (e *streamEncoder) write(dst []byte, p *streamPart, text string, logprobs []byte) []byte {
	p.text = append(p.text, text...)
	e.kept += len(text) + len(logprobs)
	var probs []byte
	switch p.kind {
	case chat.Text:
		probs = probElements(logprobs)
		p.probs = appendElements(p.probs, probs)
		dst = e.aboutPart(dst, "response.output_text.delta", p)
	case chat.Refusal:
		dst = e.aboutPart(dst, "response.refusal.delta", p)
	case chat.ToolCall:
		dst = e.about(dst, "response.function_call_arguments.delta", p.item)
	case chat.Thinking:
		dst = e.openSummary(dst, p)
		dst = append(e.about(dst, "response.reasoning_summary_text.delta", p.item), `,"summary_index":0`...)
	default:
		return dst
	}
	dst = strictjson.AppendString(append(dst, `,"delta":`...), text)
	if p.kind == chat.Text {
		dst = append(append(append(dst, `,"logprobs":[`...), probs...), ']')
	}
	return shut(dst)
}

// openSummary writes the event that begins the text of a reasoning item, once: an item without text has no summary.
func (e *streamEncoder) openSummary(dst []byte, p *streamPart) []byte {
	if p.summary {
		return dst
	}
	p.summary = true
	dst = e.about(dst, "response.reasoning_summary_part.added", p.item)
	return shut(append(dst, `,"summary_index":0,"part":{"type":"summary_text","text":""}`...))
}

// blockStop writes what ends with a block. A message's item stays open: the next block may be another part of it.
func (e *streamEncoder) blockStop(dst []byte, p *streamPart) []byte {
	if p == nil || p.over {
		return dst
	}
	p.over = true
	delete(e.open, p.event)
	switch p.kind {
	case chat.Text:
		dst = e.aboutPart(dst, "response.output_text.done", p)
		dst = strictjson.AppendString(append(dst, `,"text":`...), p.said())
		dst = shut(append(append(append(dst, `,"logprobs":[`...), p.probs...), ']'))
		return e.partDone(dst, p)
	case chat.Refusal:
		dst = e.aboutPart(dst, "response.refusal.done", p)
		dst = shut(strictjson.AppendString(append(dst, `,"refusal":`...), p.said()))
		return e.partDone(dst, p)
	case chat.ToolCall:
		dst = e.callDone(dst, p)
	case chat.Thinking:
		dst = e.summaryDone(dst, p)
	}
	return e.itemDone(dst, p.item)
}

// cite notes the sources of a text that ends (D134), each in an event of its own.
func (e *streamEncoder) cite(dst []byte, ev *chat.Event) []byte {
	p := e.part(ev.Index)
	if p == nil || p.over || p.kind != chat.Text || len(ev.Block.Citations) == 0 {
		return dst
	}
	p.cited = slices.Clone(ev.Block.Citations)
	shown := 0
	for i := range p.cited {
		one := elements(appendAnnotations(nil, view(p.text), p.cited[i:i+1]))
		e.kept += blockOverhead + len(one)
		if len(one) == 0 || shown == maxCitations {
			continue
		}
		dst = e.aboutPart(dst, "response.output_text.annotation.added", p)
		dst = strconv.AppendInt(append(dst, `,"annotation_index":`...), int64(shown), 10)
		dst = shut(append(append(dst, `,"annotation":`...), one...))
		shown++
	}
	return dst
}

func (e *streamEncoder) partDone(dst []byte, p *streamPart) []byte {
	dst = e.aboutPart(dst, "response.content_part.done", p)
	return shut(p.append(append(dst, `,"part":`...), false))
}

// callDone: a model may stream no arguments at all; they are an empty object then (D33).
func (e *streamEncoder) callDone(dst []byte, p *streamPart) []byte {
	if len(p.text) == 0 {
		dst = e.write(dst, p, "{}", nil)
	}
	dst = e.about(dst, "response.function_call_arguments.done", p.item)
	dst = strictjson.AppendString(append(dst, `,"name":`...), p.call.Name)
	return shut(strictjson.AppendString(append(dst, `,"arguments":`...), p.said()))
}

func (e *streamEncoder) summaryDone(dst []byte, p *streamPart) []byte {
	if !p.summary {
		return dst
	}
	dst = append(e.about(dst, "response.reasoning_summary_text.done", p.item), `,"summary_index":0`...)
	dst = shut(strictjson.AppendString(append(dst, `,"text":`...), p.said()))
	dst = append(e.about(dst, "response.reasoning_summary_part.done", p.item), `,"summary_index":0,"part":{"type":"summary_text"`...)
	return shut(append(strictjson.AppendString(append(dst, `,"text":`...), p.said()), '}'))
}

func (e *streamEncoder) itemDone(dst []byte, it *streamItem) []byte {
	if it.over {
		return dst
	}
	it.over = true
	return shut(it.append(e.aboutItem(dst, "response.output_item.done", it), statusCompleted))
}

// closeMessage ends the message in progress, with whatever part of it is still open.
func (e *streamEncoder) closeMessage(dst []byte) []byte {
	if e.message == nil {
		return dst
	}
	for _, p := range e.message.parts {
		dst = e.blockStop(dst, p)
	}
	dst = e.itemDone(dst, e.message)
	e.message = nil
	return dst
}

// closeAll ends everything that is open, in order.
func (e *streamEncoder) closeAll(dst []byte) []byte {
	dst = e.closeMessage(dst)
	for _, it := range e.items {
		if it.over {
			continue
		}
		for _, p := range it.parts {
			dst = e.blockStop(dst, p)
		}
	}
	return dst
}

// said is the part's text.
func (p *streamPart) said() string { return string(p.text) }

// append appends a message's part, empty as it begins or with its text.
func (p *streamPart) append(dst []byte, empty bool) []byte {
	text, probs := p.said(), p.probs
	if empty {
		text, probs = "", nil
	}
	if p.kind == chat.Refusal {
		return appendRefusal(dst, text)
	}
	return appendOutputText(dst, text, p.cited, probs)
}

// append appends the item as far as it has come.
func (it *streamItem) append(dst []byte, status string) []byte {
	p := it.parts[0]
	switch it.kind {
	case chat.ToolCall:
		if !p.over {
			return appendCallItem(dst, it.id, statusIncomplete, &p.call, p.said())
		}
		return appendCallItem(dst, it.id, statusCompleted, &p.call, p.said())
	case chat.Thinking, chat.RedactedThinking:
		return appendReasoningItem(dst, &chat.Part{Kind: it.kind, Text: p.said(), Signature: string(p.signature)}, it.id)
	case chat.Image:
		return appendImageItem(dst, it.id, statusCompleted, p.media)
	}
	dst = appendMessageHead(dst, it.id, status)
	for i, p := range it.parts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = p.append(dst, false)
	}
	return append(dst, ']', '}')
}
