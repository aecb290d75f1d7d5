package responses

import (
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// maxKept bounds what a stream keeps of its answer, which the terminal event repeats whole, in bytes.
const maxKept = 64 << 20

// streamEncoder writes one answer as a stream of semantic events: response.created, response.in_progress, for each item its
// added, delta and done events, and a terminal event with the whole response. sequence_number ascends from 0; an item has
// one id from its first event to the terminal one.
type streamEncoder struct {
	w       responseWriter
	seq     int
	started bool
	ended   bool
	items   []*streamItem
	open    map[int]*streamPart // by the event's index
	last    *streamPart         // the part that the last event was about
	message *streamItem         // the message that still takes parts, nil when there is none
	kept    int
	usage   chat.Usage
	finish  chat.Finish
	raw     string
}

// streamItem is one item of the output.
type streamItem struct {
	index int
	id    string
	kind  chat.PartKind // of its first part
	parts []*streamPart
	over  bool
}

// streamPart is one block of the neutral stream: a content part of a message, or a whole item.
type streamPart struct {
	item      *streamItem
	at        int // content_index
	event     int // the event's index
	kind      chat.PartKind
	call      chat.Call
	text      []byte
	probs     []byte
	signature []byte
	cited     []chat.Citation
	media     *chat.Media // of an image
	summary   bool        // response.reasoning_summary_part.added was sent
	over      bool
}

// NewEncoder makes the state of one stream.
func (Codec) NewEncoder(o translate.Answer) translate.Encoder {
	return &streamEncoder{w: responseWriter{o: o}}
}

// Encode appends what the client gets for ev. The schema has one choice: events of others are left out.
func (e *streamEncoder) Encode(dst []byte, ev *chat.Event) []byte {
	if e.ended || ev.Choice != 0 {
		return dst
	}
	switch ev.Kind {
	case chat.EventStart:
		e.note(ev.Usage)
		return e.start(dst, ev.ID, ev.Model, ev.Created)
	case chat.EventUsage:
		e.note(ev.Usage)
		return dst
	case chat.EventPing:
		return append(dst, ": ping\n\n"...)
	case chat.EventError:
		return e.Fault(dst, ev.Fault)
	}
	dst = e.start(dst, "", "", 0)
	switch ev.Kind {
	case chat.EventBlockStart:
		dst = e.blockStart(dst, ev)
	case chat.EventDelta:
		dst = e.delta(dst, ev)
	case chat.EventSignature:
		if p := e.part(ev.Index); p != nil {
			p.signature = append(p.signature, ev.Text...)
			e.kept += len(ev.Text)
		}
	case chat.EventBlockStop:
		dst = e.blockStop(e.cite(dst, ev), e.part(ev.Index))
	case chat.EventFinish:
		e.finish, e.raw = ev.Finish, ev.RawFinish
	case chat.EventEnd:
		return e.end(dst)
	}
	if e.kept > maxKept {
		return e.Fault(dst, fault.New(fault.ProviderFailed, "The answer is larger than %d bytes.", maxKept))
	}
	return dst
}

func (e *streamEncoder) note(u chat.Usage) {
	if u.Known {
		e.usage = u
	}
}

// start writes the two events that open a stream, once.
func (e *streamEncoder) start(dst []byte, id, model string, created int64) []byte {
	if e.started {
		return dst
	}
	e.started = true
	e.open = map[int]*streamPart{}
	e.w.id, e.w.model, e.w.created = ResponseID(id, e.w.o), model, created
	e.w.complete()
	for _, name := range [...]string{"response.created", "response.in_progress"} {
		dst = e.event(dst, name)
		dst = e.w.head(append(dst, `,"response":`...), statusInProgress, "", 0)
		dst = shut(e.w.tail(dst, chat.Usage{}, ending{}, ""))
	}
	return dst
}

// event begins an event up to its sequence_number.
func (e *streamEncoder) event(dst []byte, name string) []byte {
	dst = append(append(dst, "event: "...), name...)
	dst = append(append(append(dst, "\ndata: {\"type\":\""...), name...), `","sequence_number":`...)
	dst = strconv.AppendInt(dst, int64(e.seq), 10)
	e.seq++
	return dst
}

// shut ends an event behind its last member.
func shut(dst []byte) []byte { return append(dst, "}\n\n"...) }

// about begins an event about an item: its id and its place.
func (e *streamEncoder) about(dst []byte, name string, it *streamItem) []byte {
	dst = strictjson.AppendString(append(e.event(dst, name), `,"item_id":`...), it.id)
	return strconv.AppendInt(append(dst, `,"output_index":`...), int64(it.index), 10)
}

// aboutPart is about, with the place of a message's part.
func (e *streamEncoder) aboutPart(dst []byte, name string, p *streamPart) []byte {
	return strconv.AppendInt(append(e.about(dst, name, p.item), `,"content_index":`...), int64(p.at), 10)
}

// aboutItem begins an event that shows an item, which is to follow.
func (e *streamEncoder) aboutItem(dst []byte, name string, it *streamItem) []byte {
	dst = strconv.AppendInt(append(e.event(dst, name), `,"output_index":`...), int64(it.index), 10)
	return append(dst, `,"item":`...)
}

// part finds the block that an event is about; it is nearly always the last one.
func (e *streamEncoder) part(index int) *streamPart {
	if e.last != nil && e.last.event == index {
		return e.last
	}
	return e.open[index]
}

// end closes what is open and writes the terminal event.
func (e *streamEncoder) end(dst []byte) []byte {
	dst = e.closeAll(dst)
	e.ended = true
	end := endingOf(e.finish)
	dst = e.event(dst, "response."+end.status)
	dst = e.w.head(append(dst, `,"response":`...), end.status, end.reason, completedAt(end.status, e.w.o))
	dst = e.output(dst, end.status)
	return shut(e.w.tail(dst, e.usage, end, e.raw))
}

// output appends the items so far.
func (e *streamEncoder) output(dst []byte, status string) []byte {
	for i, it := range e.items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = it.append(dst, status)
	}
	return dst
}

// Fault appends the error event, with the error in the two places where clients look for it, and response.failed behind it,
// as OpenAI sends both.
func (e *streamEncoder) Fault(dst []byte, f *fault.Fault) []byte {
	e.ended = true
	message, code, words := faultWords(f)
	dst = append(e.event(dst, "error"), `,"code":`...)
	dst = strictjson.AppendString(append(appendOrNull(dst, code), `,"message":`...), message)
	dst = appendOrNull(append(dst, `,"param":`...), f.Param)
	dst = shut(append(append(dst, `,"error":`...), words...))
	if !e.started {
		return dst
	}
	dst = e.event(dst, "response.failed")
	dst = e.w.head(append(dst, `,"response":`...), statusFailed, "", 0)
	dst = e.output(dst, statusIncomplete)
	dst = append(append(dst, `],"error":{"code":"`...), failureCode(f.Kind)...)
	dst = strictjson.AppendString(append(dst, `","message":`...), message)
	dst = appendUsage(append(dst, `},"usage":`...), e.usage)
	return shut(append(e.w.repeat(dst), '}'))
}

// failureCode is a fault in the closed set that a response's error has.
func failureCode(k fault.Kind) string {
	switch k {
	case fault.RateLimited, fault.QuotaExhausted:
		return "rate_limit_exceeded"
	case fault.InvalidRequest, fault.ContextLength, fault.ContentFiltered, fault.Unsupported:
		return "invalid_prompt"
	default:
		return "server_error"
	}
}

// faultWords are OpenAI's words for a fault: its message, its code and the whole error object.
func faultWords(f *fault.Fault) (message, code string, words []byte) {
	_, body := errorWords.EncodeFault(f, "")
	s := strictjson.NewLenient(body)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "error" {
			words = s.Skip()
		}
	}
	inner := strictjson.NewLenient(words)
	defer inner.Release()
	for inner.Enter(strictjson.Object); inner.Next(); {
		switch string(inner.Key()) {
		case "message":
			message = clone(stringOf(inner))
		case "code":
			code = clone(stringOf(inner))
		}
	}
	return message, code, words
}

func appendOrNull(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return strictjson.AppendString(dst, s)
}
