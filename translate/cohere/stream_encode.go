package cohere

import (
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// maxOpen bounds the blocks that a provider may keep open at once.
const maxOpen = maxCalls

// streamEncoder writes one answer as a stream of events. Content blocks and tool calls are counted apart.
type streamEncoder struct {
	o        translate.Answer
	id       string
	started  bool
	ended    bool // message-end was written: nothing may follow
	contents int
	calls    int
	open     []openBlock
	finish   chat.Finish
	raw      string
	usage    chat.Usage
	billed   chat.Billed
}

// openBlock is a block whose stop has not come.
type openBlock struct {
	index int // the event's
	wire  int // the client's
	kind  chat.PartKind
	said  []byte // of a text, for its citations
	got   bool   // a delta has come
}

// NewEncoder makes the state of one stream.
func (Codec) NewEncoder(o translate.Answer) translate.Encoder { return &streamEncoder{o: o} }

// Encode appends what the client gets for ev. The schema has no event for a ping.
func (e *streamEncoder) Encode(dst []byte, ev *chat.Event) []byte {
	if e.ended || ev.Choice != 0 {
		return dst
	}
	switch ev.Kind {
	case chat.EventDelta:
		return e.delta(dst, ev)
	case chat.EventStart:
		return e.start(dst, ev)
	case chat.EventBlockStart:
		return e.blockStart(e.start(dst, &chat.Event{}), ev)
	case chat.EventBlockStop:
		return e.blockStop(dst, ev)
	case chat.EventFinish:
		e.finish, e.raw = ev.Finish, ev.RawFinish
	case chat.EventUsage:
		if ev.Usage.Known {
			e.usage, e.billed = ev.Usage, ev.Billed
		}
	case chat.EventEnd:
		return e.end(dst)
	case chat.EventError:
		return e.Fault(dst, ev.Fault)
	}
	return dst
}

// Fault ends the stream with the schema's word for a failed generation. No [DONE] follows: the answer is not whole.
func (e *streamEncoder) Fault(dst []byte, f *fault.Fault) []byte {
	e.ended, e.open = true, nil
	return appendFaultEvent(dst, f, e.id, e.o)
}

func appendFaultEvent(dst []byte, f *fault.Fault, id string, o translate.Answer) []byte {
	if f == nil {
		f = fault.New(fault.ProviderFailed, "The provider ended its answer with an error.")
	}
	dst = strictjson.AppendString(append(dst, "event: message-end\ndata: {\"type\":\"message-end\",\"id\":"...), answerID(id, o))
	dst = strictjson.AppendString(append(dst, `,"delta":{"error":`...), message(f))
	return append(dst, ",\"finish_reason\":\"ERROR\"}}\n\n"...)
}

// start writes message-start, once.
func (e *streamEncoder) start(dst []byte, ev *chat.Event) []byte {
	if ev.Usage.Known {
		e.usage = ev.Usage
	}
	if e.started {
		return dst
	}
	e.started, e.id = true, answerID(ev.ID, e.o)
	dst = strictjson.AppendString(append(dst, "event: message-start\ndata: {\"type\":\"message-start\",\"id\":"...), e.id)
	return append(dst, ",\"delta\":{\"message\":{\"role\":\"assistant\",\"content\":[],\"tool_plan\":\"\",\"tool_calls\":[],\"citations\":[]}}}\n\n"...)
}

// head begins an event up to its index.
func head(dst []byte, kind string, index int) []byte {
	dst = append(append(dst, "event: "...), kind...)
	dst = append(append(dst, "\ndata: {\"type\":\""...), kind...)
	return strconv.AppendInt(append(dst, `","index":`...), int64(index), 10)
}

func (e *streamEncoder) blockStart(dst []byte, ev *chat.Event) []byte {
	if len(e.open) == maxOpen {
		return e.Fault(dst, fault.New(fault.ProviderFailed, "The provider opened more than %d content blocks at once.", maxOpen))
	}
	b := openBlock{index: ev.Index, kind: ev.Block.Kind}
	text := spokenOf(&ev.Block)
	if ev.Block.Media != nil {
		b.kind = chat.Text
	}
	switch b.kind {
	case chat.Text, chat.Refusal:
		b.wire = e.contents
		e.contents++
		dst = append(head(dst, contentStart, b.wire), ",\"delta\":{\"message\":{\"content\":{\"type\":\"text\",\"text\":\"\"}}}}\n\n"...)
	case chat.Thinking:
		b.wire = e.contents
		e.contents++
		dst = append(head(dst, contentStart, b.wire), ",\"delta\":{\"message\":{\"content\":{\"type\":\"thinking\",\"thinking\":\"\"}}}}\n\n"...)
	case chat.ToolCall:
		var call chat.Call
		if ev.Block.Call != nil {
			call = *ev.Block.Call
		}
		b.wire, text = e.calls, call.Arguments
		e.calls++
		dst = strictjson.AppendString(append(head(dst, toolCallStart, b.wire), `,"delta":{"message":{"tool_calls":{"id":`...), call.ID)
		dst = strictjson.AppendString(append(dst, `,"type":"function","function":{"name":`...), call.Name)
		dst = append(dst, ",\"arguments\":\"\"}}}}}\n\n"...)
	}
	e.open = append(e.open, b)
	if text != "" {
		return e.delta(dst, &chat.Event{Index: ev.Index, Text: text})
	}
	return dst
}

func (e *streamEncoder) find(index int) *openBlock {
	for i := len(e.open) - 1; i >= 0; i-- {
		if e.open[i].index == index {
			return &e.open[i]
		}
	}
	return nil
}

func (e *streamEncoder) delta(dst []byte, ev *chat.Event) []byte {
	b := e.find(ev.Index)
	if b == nil || ev.Text == "" {
		return dst
	}
	b.got = true
	switch b.kind {
	case chat.Text, chat.Refusal:
		if len(b.said)+len(ev.Text) <= maxSaid {
			b.said = append(b.said, ev.Text...)
		}
		dst = append(head(dst, contentDelta, b.wire), `,"delta":{"message":{"content":{"text":`...)
	case chat.Thinking:
		dst = append(head(dst, contentDelta, b.wire), `,"delta":{"message":{"content":{"thinking":`...)
	case chat.ToolCall:
		dst = append(head(dst, toolCallDelta, b.wire), `,"delta":{"message":{"tool_calls":{"function":{"arguments":`...)
		return append(strictjson.AppendString(dst, ev.Text), "}}}}}\n\n"...)
	default:
		return dst
	}
	dst = append(strictjson.AppendString(dst, ev.Text), `}}}`...)
	return append(appendEventLogProbs(dst, ev.LogProbs), "}\n\n"...)
}

func (e *streamEncoder) blockStop(dst []byte, ev *chat.Event) []byte {
	b := e.find(ev.Index)
	if b == nil {
		return dst
	}
	dst = e.stop(dst, b, ev.Block.Citations)
	for i := range e.open {
		if e.open[i].index == ev.Index {
			e.open = append(e.open[:i], e.open[i+1:]...)
			break
		}
	}
	return dst
}

// stop ends a block: with the citations that rest on it, or the arguments that a call came without (D33).
func (e *streamEncoder) stop(dst []byte, b *openBlock, citations []chat.Citation) []byte {
	switch b.kind {
	case chat.Text, chat.Refusal, chat.Thinking:
		dst = e.cite(dst, b, citations)
		return append(head(dst, contentEnd, b.wire), "}\n\n"...)
	case chat.ToolCall:
		if !b.got {
			dst = e.delta(dst, &chat.Event{Index: b.index, Text: "{}"})
		}
		return append(head(dst, toolCallEnd, b.wire), "}\n\n"...)
	}
	return dst
}

func (e *streamEncoder) cite(dst []byte, b *openBlock, citations []chat.Citation) []byte {
	for i, n := 0, 0; i < len(citations); n++ {
		next := i + 1
		for next < len(citations) && citations[next].Start == citations[i].Start && citations[next].End == citations[i].End {
			next++
		}
		dst = append(head(dst, citationStart, n), `,"delta":{"message":{"citations":`...)
		dst = append(appendCitation(dst, citations[i:next], view(b.said), b.wire), "}}}\n\n"...)
		dst = append(head(dst, "citation-end", n), "}\n\n"...)
		i = next
	}
	return dst
}

// end writes message-end, which waited for the usage, and the terminator that the SDKs look for (D113).
func (e *streamEncoder) end(dst []byte) []byte {
	dst = e.start(dst, &chat.Event{})
	for len(e.open) > 0 {
		dst = e.blockStop(dst, &chat.Event{Index: e.open[0].index})
	}
	e.ended = true
	dst = strictjson.AppendString(append(dst, "event: message-end\ndata: {\"type\":\"message-end\",\"id\":"...), e.id)
	dst = strictjson.AppendString(append(dst, `,"delta":{"finish_reason":`...), finishWord(e.finish, e.raw))
	if e.usage.Known {
		dst = appendUsage(append(dst, `,"usage":`...), &e.usage, &e.billed)
	}
	return append(dst, "}}\n\ndata: [DONE]\n\n"...)
}
