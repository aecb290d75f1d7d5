package cohere

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// answer is a whole answer, taken apart. Its slices are JSON texts within what was read. A provider's slips (null for
// absent, a number where a string belongs) read as absent: an answer that is paid for must not be lost to them.
type answer struct {
	id, finish []byte
	items      []item
	plan       []byte
	calls      []callPiece
	citations  []byte // an array
	logprobs   []byte // an array
	counts     counts
	hasMessage bool
	err        []byte // `message` of an error body
}

// item is a content block.
type item struct {
	thinking bool
	text     []byte
}

type callPiece struct{ id, name, arguments []byte }

// read takes apart what s stands before; false when it is no object, or no JSON.
func (a *answer) read(s *strictjson.Scanner) bool {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "id":
			a.id = stringOf(s)
		case "finish_reason":
			a.finish = stringOf(s)
		case "message":
			switch s.Kind() {
			case strictjson.Object:
				a.hasMessage = true
				a.readMessage(s)
			case strictjson.String:
				a.err = s.RawString()
			}
		case "usage":
			a.counts.read(s)
		case "logprobs":
			a.logprobs = arrayOf(s)
		}
	}
	return s.End() == nil
}

func (a *answer) readMessage(s *strictjson.Scanner) {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "content":
			a.readContent(s)
		case "tool_plan":
			a.plan = stringOf(s)
		case "tool_calls":
			if s.Kind() == strictjson.Array {
				for s.Enter(strictjson.Array); s.Next(); {
					a.calls = append(a.calls, readCall(s))
				}
			}
		case "citations":
			a.citations = arrayOf(s)
		}
	}
}

func (a *answer) readContent(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Array {
		if text := stringOf(s); text != nil {
			a.items = append(a.items, item{text: text})
		}
		return
	}
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() == strictjson.Object {
			a.items = append(a.items, readItem(s))
		}
	}
}

// readItem reads a content block of an answer, or of a stream's event.
func readItem(s *strictjson.Scanner) (i item) {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			i.thinking = i.thinking || string(stringOf(s)) == `"thinking"`
		case "text":
			if text := stringOf(s); text != nil {
				i.text = text
			}
		case "thinking":
			if text := stringOf(s); text != nil {
				i.text, i.thinking = text, true
			}
		}
	}
	return i
}

func readCall(s *strictjson.Scanner) (c callPiece) {
	if s.Kind() != strictjson.Object {
		return c
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "id":
			c.id = stringOf(s)
		case "function":
			if s.Kind() != strictjson.Object {
				continue
			}
			for s.Enter(strictjson.Object); s.Next(); {
				switch string(s.Key()) {
				case "name":
					c.name = stringOf(s)
				case "arguments":
					c.arguments = stringOf(s)
				}
			}
		}
	}
	return c
}

// stringOf is the JSON text of a string with its quotes, nil for an empty string and any other value.
func stringOf(s *strictjson.Scanner) []byte {
	if s.Kind() != strictjson.String {
		return nil
	}
	if raw := s.RawString(); len(raw) > len(`""`) {
		return raw
	}
	return nil
}

func arrayOf(s *strictjson.Scanner) []byte {
	if s.Kind() != strictjson.Array {
		return nil
	}
	return s.Skip()
}

// whole takes a body apart. The fault is the error that a 200 may hold, or ProviderFailed for what is no answer.
func (a *answer) whole(body []byte) *fault.Fault {
	s := strictjson.NewLenient(body)
	defer s.Release()
	switch {
	case !a.read(s):
		return notAnAnswer(body)
	case a.err != nil:
		return heard(0, strictjson.Text(a.err))
	case !a.hasMessage:
		return notAnAnswer(body)
	}
	return failed(strictjson.Text(a.finish), "")
}

// failed is the fault of an answer that ended in an error; nil for every other finish_reason (D103).
func failed(finish, text string) *fault.Fault {
	kind := fault.ProviderError
	switch finish {
	case finishError:
	case finishTimeout:
		kind = fault.ProviderTimeout
	default:
		if text == "" {
			return nil
		}
	}
	if text == "" {
		text = "The provider broke its answer off with the reason " + finish + "."
	}
	f := heard(0, text)
	if f.Kind == fault.ProviderError {
		f.Kind = kind
	}
	f.Type = wire.ClipText(finish)
	return f
}

// notAnAnswer describes a 2xx body that the schema does not know.
func notAnAnswer(body []byte) *fault.Fault {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return fault.New(fault.ProviderFailed, "The provider answered with an empty body.")
	case body[0] == '<':
		return fault.New(fault.ProviderFailed, "The provider answered with a web page: %s", wire.Clip(body))
	case body[0] == '{' || body[0] == '[':
		return fault.New(fault.ProviderFailed, "The provider answered with what is no answer of Cohere's API: %s", wire.Clip(body))
	default:
		return fault.New(fault.ProviderFailed, "The provider answered with what is no JSON: %s", wire.Clip(body))
	}
}

// outputBytes is how much text the answer delivers, in JSON.
func (a *answer) outputBytes() int {
	n := quotedLen(a.plan)
	for i := range a.items {
		n += quotedLen(a.items[i].text)
	}
	for i := range a.calls {
		n += quotedLen(a.calls[i].name) + quotedLen(a.calls[i].arguments)
	}
	return n
}

func quotedLen(raw []byte) int { return max(0, len(raw)-len(`""`)) }
