package chat

import "unicode/utf8"

// replayBytes is how much text one replayed delta carries: small enough for a client that shows text as it comes, large
// enough that framing does not outweigh it.
const replayBytes = 256

// Replay turns a whole answer into the events of a stream, in the order that EventKind documents. emit must not keep the
// event. It says nothing of r.Extra, for which streams have no event.
func Replay(r *Response, emit func(*Event)) {
	emit(&Event{Kind: EventStart, ID: r.ID, Model: r.Model, Created: r.Created, Usage: r.Usage})
	for i := range r.Choices {
		replayChoice(&r.Choices[i], i, emit)
	}
	if r.Usage.Known {
		emit(&Event{Kind: EventUsage, Usage: r.Usage, Billed: r.Billed})
	}
	emit(&Event{Kind: EventEnd})
}

func replayChoice(c *Choice, n int, emit func(*Event)) {
	probs := c.LogProbs
	for i := range c.Parts {
		p := &c.Parts[i]
		emit(&Event{Kind: EventBlockStart, Choice: n, Index: i, Block: startOf(p)})
		text := p.Text
		if p.Call != nil {
			text = p.Call.Arguments
		}
		for text != "" {
			cut := chunkEnd(text)
			ev := Event{Kind: EventDelta, Choice: n, Index: i, Text: text[:cut]}
			if p.Kind == Text {
				ev.LogProbs, probs = probs, nil // a stream's pieces are joined by its reader: all may come at once
			}
			emit(&ev)
			text = text[cut:]
		}
		if p.Kind == Thinking && p.Signature != "" {
			emit(&Event{Kind: EventSignature, Choice: n, Index: i, Text: p.Signature})
		}
		emit(&Event{Kind: EventBlockStop, Choice: n, Index: i, Block: Part{Citations: p.Citations}})
	}
	emit(&Event{Kind: EventFinish, Choice: n, Finish: c.Finish, RawFinish: c.RawFinish, StopSequence: c.StopSequence})
}

// startOf is the part as its start shows it: without what the deltas carry.
func startOf(p *Part) Part {
	start := Part{Kind: p.Kind, Extra: p.Extra, Media: p.Media}
	if p.Kind == RedactedThinking || p.Kind == ToolCall {
		start.Signature = p.Signature
	}
	if p.Call != nil {
		start.Call = &Call{ID: p.Call.ID, Name: p.Call.Name}
	}
	return start
}

// chunkEnd is where the next delta of text ends: after a space where there is one, never inside a rune.
func chunkEnd(text string) int {
	if len(text) <= replayBytes {
		return len(text)
	}
	for i := replayBytes; i > replayBytes/2; i-- {
		if text[i-1] == ' ' {
			return i
		}
	}
	for i := replayBytes; i > replayBytes-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			return i
		}
	}
	return replayBytes
}
