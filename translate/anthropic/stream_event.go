package anthropic

import (
	"github.com/tidwall/gjson"

	"dragoman/translate/strictjson"
)

// read checks and reads an event's data in one pass; false when it is not a JSON object.
func (e *streamEvent) read(data []byte) bool {
	s := strictjson.NewLenient(data)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			e.kind = known(text(s), eventKinds)
		case "index":
			if s.Kind() == strictjson.Number {
				e.index = s.Int()
			}
		case "delta":
			e.object(s)
		case "content_block":
			e.object(s)
		case "message":
			e.message = gjson.Parse(string(s.Skip()))
		case "usage":
			e.usage = gjson.Parse(string(s.Skip()))
		}
	}
	return s.End() == nil
}

// object reads a delta or a block: no two of their members of one name mean different things.
func (e *streamEvent) object(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			e.what = known(text(s), partKinds)
		case "text", "thinking", "partial_json":
			e.text = text(s)
		case "signature":
			e.signature = text(s)
		case "id":
			e.id = text(s)
		case "name":
			e.name = text(s)
		case "data":
			e.data = text(s)
		case "stop_reason":
			e.reason = text(s)
		case "stop_sequence":
			e.stopSequence = text(s)
		case "citation":
			if s.Kind() == strictjson.Object {
				e.citation = s.Skip()
			}
		case "input":
			if s.Kind() == strictjson.Object {
				e.input = s.Skip()
			}
		}
	}
}

// text is a string's JSON text, nil for another kind.
func text(s *strictjson.Scanner) []byte {
	if s.Kind() != strictjson.String {
		return nil
	}
	return s.RawString()
}

// eventKinds and partKinds are the words that are acted on. Looking them up costs no allocation; any other word is the
// same to the reader.
var (
	eventKinds = words("content_block_delta", "content_block_start", "content_block_stop", "message_start", "message_delta",
		"message_stop", "ping", "error")
	partKinds = words(textBlock, thinkingBlock, redactedBlock, toolUseBlock, "text_delta", "thinking_delta", "signature_delta",
		"input_json_delta", "citations_delta")
)

const unknownWord = "unknown"

func words(list ...string) map[string]string {
	m := make(map[string]string, len(list))
	for _, w := range list {
		m[`"`+w+`"`] = w
	}
	return m
}

// known is the word whose JSON text raw is, "" for none at all.
func known(raw []byte, words map[string]string) string {
	if raw == nil {
		return ""
	}
	if w, ok := words[string(raw)]; ok {
		return w
	}
	return unknownWord
}
