package cohere

import (
	"dragoman/translate/strictjson"
)

// The types of events (D120). debug and what nobody knows yet are read over (D105).
const (
	messageStart  = "message-start"
	contentStart  = "content-start"
	contentDelta  = "content-delta"
	contentEnd    = "content-end"
	toolPlanDelta = "tool-plan-delta"
	toolCallStart = "tool-call-start"
	toolCallDelta = "tool-call-delta"
	toolCallEnd   = "tool-call-end"
	citationStart = "citation-start"
	messageEnd    = "message-end"
)

var eventKinds = func() map[string]string {
	kinds := map[string]string{}
	for _, k := range [...]string{messageStart, contentStart, contentDelta, contentEnd, toolPlanDelta, toolCallStart, toolCallDelta,
		toolCallEnd, citationStart, messageEnd} {
		kinds[k] = k
	}
	return kinds
}()

// streamEvent is one event's data, taken apart. Its slices are JSON texts within the data.
type streamEvent struct {
	kind       string
	index      int
	id         []byte
	item       item
	plan       []byte
	call       callPiece
	citation   citation
	cited      bool
	logprobs   []byte
	finish     []byte
	err        []byte // of message-end, or the message of an error body
	counts     counts
	unlabelled bool // it has no type
}

// read checks and reads an event's data in one pass; false when it is not a JSON object.
func (e *streamEvent) read(s *strictjson.Scanner) bool {
	*e = streamEvent{unlabelled: true}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			if raw := stringOf(s); raw != nil {
				e.unlabelled = false
				e.kind = eventKinds[string(raw[1:len(raw)-1])]
			}
		case "index":
			e.index = int(countOf(s))
		case "id":
			e.id = stringOf(s)
		case "message":
			e.err = stringOf(s)
		case "logprobs":
			if s.Kind() == strictjson.Object {
				e.logprobs = s.Skip()
			}
		case "delta":
			e.delta(s)
		}
	}
	return s.End() == nil
}

func (e *streamEvent) delta(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "message":
			if s.Kind() == strictjson.Object {
				for s.Enter(strictjson.Object); s.Next(); {
					e.member(s)
				}
			}
		case "finish_reason":
			e.finish = stringOf(s)
		case "error":
			e.err = stringOf(s)
		case "usage":
			e.counts.read(s)
		}
	}
}

// member reads a member of the delta's message: an object of the one thing that the event is about.
func (e *streamEvent) member(s *strictjson.Scanner) {
	switch string(s.Key()) {
	case "content":
		if s.Kind() == strictjson.Object {
			e.item = readItem(s)
		}
	case "tool_plan":
		e.plan = stringOf(s)
	case "tool_calls":
		e.call = readCall(s)
	case "citations":
		if s.Kind() == strictjson.Object {
			e.citation, e.cited = readCitation(s), true
		}
	}
}
