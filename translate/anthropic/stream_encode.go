package anthropic

import (
	"slices"
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const (
	// maxHeld bounds what waits for the block in front of it to end, in bytes.
	maxHeld = 8 << 20
	// maxWaiting bounds how many blocks wait.
	maxWaiting = 1024
)

// streamEncoder writes one answer as a Messages stream: one message_start, blocks one after the other with ascending
// indexes, one message_delta, one message_stop (D107).
type streamEncoder struct {
	o       translate.Answer
	started bool
	ended   bool // message_stop or an error was written: nothing may follow
	blocks  []writtenBlock
	index   int // of blocks[0] in the client's stream
	held    int // bytes in waiting blocks
	usage   chat.Usage
	refused bool

	finish   chat.Finish
	raw      string
	sequence string
}

// writtenBlock is a block that is not over. The first is being written as it comes; the others wait for it, since a
// provider may send parallel calls interleaved and a Messages client expects one open block (D109).
type writtenBlock struct {
	index     int // the event's
	kind      chat.PartKind
	start     chat.Part
	text      []byte
	signature []byte
	cites     []chat.Citation
	stopped   bool
}

// NewEncoder makes the state for one stream.
func (Codec) NewEncoder(o translate.Answer) translate.Encoder { return &streamEncoder{o: o} }

// Encode appends what the client gets for ev.
func (e *streamEncoder) Encode(dst []byte, ev *chat.Event) []byte {
	if e.ended || ev.Choice != 0 {
		return dst
	}
	switch ev.Kind {
	case chat.EventDelta, chat.EventSignature:
		return e.delta(dst, ev)
	case chat.EventStart:
		return e.start(dst, ev)
	case chat.EventBlockStart:
		if !e.started {
			dst = e.start(dst, &chat.Event{})
		}
		return e.blockStart(dst, ev)
	case chat.EventBlockStop:
		for i := range e.blocks {
			if e.blocks[i].index == ev.Index {
				e.blocks[i].stopped = true
				e.blocks[i].cites = slices.Clone(ev.Block.Citations)
			}
		}
		return e.advance(dst)
	case chat.EventFinish:
		e.finish, e.raw, e.sequence = ev.Finish, ev.RawFinish, ev.StopSequence
		return e.closeAll(dst)
	case chat.EventUsage:
		if ev.Usage.Known {
			e.usage = ev.Usage
		}
	case chat.EventEnd:
		return e.end(dst)
	case chat.EventError:
		return e.Fault(dst, ev.Fault)
	case chat.EventPing:
		return append(dst, "event: ping\ndata: {\"type\":\"ping\"}\n\n"...)
	}
	return dst
}

// Fault appends an error event, which the SDKs raise (D119).
func (e *streamEncoder) Fault(dst []byte, f *fault.Fault) []byte {
	e.ended = true
	e.blocks = nil
	if f == nil {
		f = fault.New(fault.ProviderFailed, "The provider ended its answer with an error.")
	}
	dst = appendFault(append(dst, "event: error\ndata: "...), f, speak(f))
	if e.o.RequestID != "" {
		dst = strictjson.AppendString(append(dst, `,"request_id":`...), e.o.RequestID)
	}
	return append(dst, "}\n\n"...)
}

// start writes message_start, once. A provider that counts at the end has no usage yet: message_delta then has all of it.
func (e *streamEncoder) start(dst []byte, ev *chat.Event) []byte {
	if e.started {
		return dst
	}
	e.started = true
	e.usage = ev.Usage
	dst = append(dst, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":"...)
	dst = appendHead(dst, ev.ID, ev.Model, e.o)
	dst = append(dst, `,"content":[],"stop_reason":null,"stop_sequence":null,"usage":`...)
	return append(appendUsage(dst, &ev.Usage), "}}\n\n"...)
}

func (e *streamEncoder) blockStart(dst []byte, ev *chat.Event) []byte {
	if len(e.blocks) == maxWaiting {
		return e.Fault(dst, fault.New(fault.ProviderFailed, "The provider opened more than %d content blocks at once.", maxWaiting))
	}
	b := writtenBlock{index: ev.Index, kind: ev.Block.Kind, start: chat.Part{Kind: ev.Block.Kind, Signature: ev.Block.Signature}}
	b.text = append(b.text, said(&ev.Block)...)
	if call := ev.Block.Call; call != nil {
		b.start.Call = &chat.Call{ID: call.ID, Name: call.Name}
		b.text = append(b.text, call.Arguments...)
	} else if b.kind == chat.ToolCall {
		b.start.Call = &chat.Call{}
	}
	e.refused = e.refused || b.kind == chat.Refusal
	e.blocks = append(e.blocks, b)
	if len(e.blocks) == 1 {
		return e.open(dst)
	}
	return dst
}

func (e *streamEncoder) delta(dst []byte, ev *chat.Event) []byte {
	for i := range e.blocks {
		if e.blocks[i].index != ev.Index {
			continue
		}
		if ev.Text == "" {
			return dst
		}
		if i == 0 {
			return e.fragment(dst, ev.Text, ev.Kind == chat.EventSignature)
		}
		if e.held += len(ev.Text); e.held > maxHeld {
			return e.Fault(dst, fault.New(fault.ProviderFailed, "The provider interleaved more than %d bytes of content blocks.", maxHeld))
		}
		if b := &e.blocks[i]; ev.Kind == chat.EventSignature {
			b.signature = append(b.signature, ev.Text...)
		} else {
			b.text = append(b.text, ev.Text...)
		}
		return dst
	}
	return e.Fault(dst, fault.New(fault.ProviderFailed, "The provider sent content for a block that is not open."))
}

// fragment writes a delta of the open block.
func (e *streamEncoder) fragment(dst []byte, text string, signature bool) []byte {
	dst = append(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(e.index), 10)
	switch kind := e.blocks[0].kind; {
	case signature:
		dst = append(dst, `,"delta":{"type":"signature_delta","signature":`...)
	case kind == chat.Thinking:
		dst = append(dst, `,"delta":{"type":"thinking_delta","thinking":`...)
	case kind == chat.ToolCall:
		dst = append(dst, `,"delta":{"type":"input_json_delta","partial_json":`...)
	default:
		dst = append(dst, `,"delta":{"type":"text_delta","text":`...)
	}
	return append(strictjson.AppendString(dst, text), "}}\n\n"...)
}

// open begins the block in front and writes what it held.
func (e *streamEncoder) open(dst []byte) []byte {
	b := &e.blocks[0]
	dst = append(dst, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":"...)
	dst = strconv.AppendInt(dst, int64(e.index), 10)
	switch b.kind {
	case chat.Thinking:
		dst = append(dst, `,"content_block":{"type":"thinking","thinking":"","signature":""`...)
	case chat.RedactedThinking:
		dst = strictjson.AppendString(append(dst, `,"content_block":{"type":"redacted_thinking","data":`...), b.start.Signature)
	case chat.ToolCall:
		dst = strictjson.AppendString(append(dst, `,"content_block":{"type":"tool_use","id":`...), b.start.Call.ID)
		dst = strictjson.AppendString(append(dst, `,"name":`...), b.start.Call.Name)
		dst = append(dst, `,"input":{}`...)
	default:
		dst = append(dst, `,"content_block":{"type":"text","text":""`...)
	}
	dst = append(dst, "}}\n\n"...)
	if len(b.text) > 0 {
		dst = e.fragment(dst, view(b.text), false)
	}
	if len(b.signature) > 0 {
		dst = e.fragment(dst, view(b.signature), true)
	}
	e.held -= len(b.text) + len(b.signature)
	e.held = max(e.held, 0)
	b.text, b.signature = nil, nil
	return dst
}

// advance ends the block in front if it is over, and begins the next ones.
func (e *streamEncoder) advance(dst []byte) []byte {
	for len(e.blocks) > 0 && e.blocks[0].stopped {
		dst = e.cite(dst)
		dst = append(dst, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":"...)
		dst = append(strconv.AppendInt(dst, int64(e.index), 10), "}\n\n"...)
		e.index++
		e.blocks = append(e.blocks[:0], e.blocks[1:]...)
		if len(e.blocks) > 0 {
			dst = e.open(dst)
		}
	}
	return dst
}

// cite writes what the text in front rests on (D134), which is known now that it is over.
func (e *streamEncoder) cite(dst []byte) []byte {
	if e.blocks[0].kind != chat.Text {
		return dst
	}
	list := e.blocks[0].cites
	for i := range list[:min(len(list), maxCitations)] {
		if list[i].URL == "" {
			continue
		}
		dst = append(dst, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"...)
		dst = append(strconv.AppendInt(dst, int64(e.index), 10), `,"delta":{"type":"citations_delta","citation":`...)
		dst = append(appendCitation(dst, &list[i]), "}}\n\n"...)
	}
	return dst
}

func (e *streamEncoder) closeAll(dst []byte) []byte {
	for i := range e.blocks {
		e.blocks[i].stopped = true
	}
	return e.advance(dst)
}

// end writes message_delta, which waited for the usage (D113), and message_stop.
func (e *streamEncoder) end(dst []byte) []byte {
	dst = e.closeAll(e.start(dst, &chat.Event{}))
	e.ended = true
	dst = append(dst, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"...)
	dst = appendStop(dst, e.finish, e.raw, e.sequence, e.refused)
	dst = appendUsage(append(dst, `},"usage":`...), &e.usage)
	return append(dst, "}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"...)
}
