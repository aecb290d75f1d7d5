package bedrock

import "dragoman/translate/strictjson"

// What a block's start or delta is about.
type about uint8

const (
	nothing   about = iota // absent, or of no interest
	text                   // a text
	toolUse                // a call: its id and name, or a fragment of its arguments
	thought                // a text of thinking
	signature              // of thinking
	redacted               // thinking in cipher
	cited                  // a citation: text is the whole object
)

// blockEvent is the payload of contentBlockStart, contentBlockDelta or contentBlockStop, as far as it is of interest; raw
// strings with their quotes, nil when absent.
type blockEvent struct {
	index          int64
	what           about
	text, id, name []byte
	server         bool // the service makes the call itself
}

// read checks and reads the payload in one pass; false when it is not a JSON object.
func (e *blockEvent) read(payload []byte) bool {
	s := strictjson.NewLenient(payload)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "contentBlockIndex":
			if s.Kind() == strictjson.Number {
				e.index = s.Int()
			}
		case "delta", "start":
			e.union(s)
		}
	}
	return s.End() == nil
}

// union reads ContentBlockStart and ContentBlockDelta, objects of one member.
func (e *blockEvent) union(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "text":
			e.string(s, text)
		case "toolUse":
			e.toolUse(s)
		case "reasoningContent":
			e.reasoning(s)
		case "citation":
			if s.Kind() == strictjson.Object {
				e.what, e.text = cited, s.Skip()
			}
		}
	}
}

func (e *blockEvent) string(s *strictjson.Scanner, what about) {
	if s.Kind() == strictjson.String {
		e.what, e.text = what, s.RawString()
	}
}

func (e *blockEvent) toolUse(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	e.what = toolUse
	for s.Enter(strictjson.Object); s.Next(); {
		key := string(s.Key())
		if s.Kind() != strictjson.String {
			continue
		}
		switch key {
		case "input":
			e.text = s.RawString()
		case "toolUseId":
			e.id = s.RawString()
		case "name":
			e.name = s.RawString()
		case "type":
			e.server = true
		}
	}
}

func (e *blockEvent) reasoning(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "text":
			e.string(s, thought)
		case "signature":
			e.string(s, signature)
		case "redactedContent":
			e.string(s, redacted)
		}
	}
}
