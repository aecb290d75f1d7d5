package responses

import (
	"bytes"
	"unicode/utf8"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// Types of events that are read. The others say nothing that these do not.
const (
	eventCreated     = "response.created"
	eventCompleted   = "response.completed"
	eventIncomplete  = "response.incomplete"
	eventFailed      = "response.failed"
	eventError       = "error"
	eventItemAdded   = "response.output_item.added"
	eventItemDone    = "response.output_item.done"
	eventPartAdded   = "response.content_part.added"
	eventPartDone    = "response.content_part.done"
	eventText        = "response.output_text.delta"
	eventTextDone    = "response.output_text.done"
	eventRefusal     = "response.refusal.delta"
	eventRefusalDone = "response.refusal.done"
	eventArguments   = "response.function_call_arguments.delta"
	eventArgsDone    = "response.function_call_arguments.done"
	eventInput       = "response.custom_tool_call_input.delta"
	eventSummary     = "response.reasoning_summary_text.delta"
	eventReasoning   = "response.reasoning_text.delta"
)

// streamEvent is one event's data, taken apart. Its slices are JSON texts within what was read.
type streamEvent struct {
	kind     string
	output   int // output_index
	content  int // content_index or summary_index
	delta    []byte
	done     []byte // text, refusal or arguments: the whole of what the deltas said
	logprobs []byte
	item     []byte // an object
	part     []byte // an object
	response []byte // an object
	err      []byte // anything but null
}

// read takes an event apart; false when it is no JSON object.
func (e *streamEvent) read(s *strictjson.Scanner) bool {
	*e = streamEvent{}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			e.kind = eventKind(stringOf(s))
		case "output_index":
			e.output = int(countOf(s))
		case "content_index", "summary_index":
			e.content = int(countOf(s))
		case "delta":
			e.delta = stringOf(s)
		case "text", "refusal", "arguments":
			e.done = stringOf(s)
		case "logprobs":
			e.logprobs = arrayOf(s)
		case "item":
			e.item = objectOf(s)
		case "response":
			e.response = objectOf(s)
		case "part":
			e.part = objectOf(s)
		case "error":
			if s.Kind() != strictjson.Null {
				e.err = s.Skip()
			}
		}
	}
	return s.End() == nil
}

// readContent is the part of a message that an event shows.
func (e *streamEvent) readContent() (c contentSeen) {
	if e.part == nil {
		return c
	}
	s := strictjson.NewLenient(e.part)
	defer s.Release()
	return readContent(s)
}

func objectOf(s *strictjson.Scanner) []byte {
	if s.Kind() != strictjson.Object {
		return nil
	}
	return s.Skip()
}

// eventKind is one of the types that are read, "" for any other: no allocation for the many that pass.
func eventKind(raw []byte) string {
	for _, kind := range [...]string{
		eventText, eventArguments, eventSummary, eventReasoning, eventRefusal, eventInput, eventItemAdded, eventItemDone, eventPartAdded,
		eventPartDone, eventTextDone, eventRefusalDone, eventArgsDone, eventCreated, eventCompleted, eventIncomplete, eventFailed, eventError,
	} {
		if len(raw) == len(kind)+len(`""`) && string(raw[1:len(raw)-1]) == kind {
			return kind
		}
	}
	return ""
}

// readEvent takes the data of an event apart. Broken UTF-8 does not cost the answer. The fault is for what is no JSON
// object.
func readEvent(s *strictjson.Scanner, e *streamEvent, data []byte) *fault.Fault {
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	s.Reset(data, true)
	if !e.read(s) {
		return fault.New(fault.ProviderFailed, "The provider sent a stream event that is no JSON object: %s", wire.Clip(data))
	}
	return nil
}

// failure is the fault that an event reports, nil when it reports none. OpenAI sends the error within the event's data, as
// its member error, or both; and response.failed with the error in the response.
func (e *streamEvent) failure(name, data []byte) *fault.Fault {
	switch {
	case e.kind == eventFailed:
		var o object
		s := strictjson.NewLenient(e.response)
		defer s.Release()
		o.read(s)
		if o.err == nil {
			return fault.New(fault.ProviderError, "The provider's model failed to answer and did not say why.")
		}
		return embeddedFault(o.err)
	case e.err != nil:
		return embeddedFault(e.err)
	case e.kind == eventError || string(name) == eventError:
		return embeddedFault(data)
	}
	return nil
}

// cut is the fault of a stream that ended too early; noise is what came instead of events.
func cut(noise []byte) *fault.Fault {
	if len(noise) == 0 {
		return fault.New(fault.ProviderFailed, "The provider ended its stream before the answer was complete.")
	}
	if noise[0] == '{' {
		var o object
		s := strictjson.NewLenient(noise)
		defer s.Release()
		o.read(s)
		if o.err != nil {
			return embeddedFault(o.err)
		}
	}
	return notAnAnswer(noise)
}

// noiseBytes is how much of a body that is no stream is kept for the message about it.
const noiseBytes = 2048

// addNoise keeps the beginning of what is no event.
func addNoise(noise, raw []byte) []byte {
	if len(noise) == 0 {
		raw = bytes.TrimLeft(raw, " \r\n\t")
	}
	return append(noise, raw[:min(len(raw), max(0, noiseBytes-len(noise)))]...)
}
