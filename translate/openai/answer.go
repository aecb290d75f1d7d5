package openai

import (
	"dragoman/translate/strictjson"
)

// answer is one object that a provider sent, taken apart: a whole answer or a chunk of a stream. Its slices are JSON texts
// within what was read. A provider's slips (null for absent, a number where a string belongs) read as absent: an answer
// that is paid for must not be lost to them.
type answer struct {
	id, model  []byte
	created    int64
	choices    []choice
	calls      []callPiece // of all choices
	hasChoices bool
	usage      []byte // an object
	err        []byte // anything but null
	sources    []byte // an array: search_results, or citations (Perplexity)
	extras     []member
}

type member struct{ name, value []byte }

// choice is one element of choices; message and delta have the same members.
type choice struct {
	index      int
	content    []byte // a string that is not empty
	parts      []byte // content as an array (Mistral)
	reasoning  []byte // a string that is not empty
	refusal    []byte // a string that is not empty
	blocks     []byte // thinking_blocks
	images     []byte // an array (OpenRouter)
	extras     []member
	from, to   int // of answer.calls
	finish     []byte
	stopReason []byte // the stop sequence, as vLLM reports it
	cites      []byte // annotations of a stream's delta
	logprobs   []byte
}

// callPiece is an element of tool_calls, whole or a fragment.
type callPiece struct {
	index           int // -1 when absent
	id, name        []byte
	arguments       []byte // a string that is not empty
	argumentsObject []byte // sent as an object, against the schema (Ollama)
	signed          []byte // extra_content.google.thought_signature
	custom          bool   // arguments are the plain text input of a custom tool
}

func (a *answer) reset() {
	*a = answer{choices: a.choices[:0], calls: a.calls[:0]}
}

// read takes apart what s stands before; false when it is no object, or no JSON.
func (a *answer) read(s *strictjson.Scanner, whole bool) bool {
	a.reset()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "id":
			a.id = stringOf(s)
		case "model":
			a.model = stringOf(s)
		case "created":
			a.created = countOf(s)
		case "choices":
			if s.Kind() == strictjson.Array {
				a.hasChoices = true
				for s.Enter(strictjson.Array); s.Next(); {
					a.readChoice(s, whole)
				}
			}
		case "usage":
			if s.Kind() == strictjson.Object {
				a.usage = s.Skip()
			}
		case "error":
			if s.Kind() != strictjson.Null {
				a.err = s.Skip()
			}
		case "object":
		case "search_results":
			if s.Kind() == strictjson.Array {
				a.sources = s.Skip()
			}
		case "citations":
			if s.Kind() == strictjson.Array && a.sources == nil {
				a.sources = s.Skip()
			}
		default:
			if whole {
				a.extras = keep(a.extras, s)
			}
		}
	}
	return s.End() == nil
}

// keep adds the member before the cursor, unless it is null.
func keep(extras []member, s *strictjson.Scanner) []member {
	if s.Kind() == strictjson.Null {
		return extras
	}
	name := append([]byte(nil), s.Key()...)
	return append(extras, member{name, s.Skip()})
}

func (a *answer) readChoice(s *strictjson.Scanner, whole bool) {
	if s.Kind() != strictjson.Object {
		return
	}
	c := choice{index: s.Index(), from: len(a.calls)}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "index":
			if s.Kind() == strictjson.Number {
				c.index = int(countOf(s))
			}
		case "delta", "message":
			if s.Kind() == strictjson.Object {
				a.readMessage(s, &c, whole)
			}
		case "text": // of the older completions
			c.content = stringOf(s)
		case "finish_reason":
			c.finish = stringOf(s)
		case "stop_reason":
			c.stopReason = stringOf(s)
		case "logprobs":
			if s.Kind() == strictjson.Object {
				c.logprobs = s.Skip()
			}
		}
	}
	c.to = len(a.calls)
	a.choices = append(a.choices, c)
}

func (a *answer) readMessage(s *strictjson.Scanner, c *choice, whole bool) {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "content":
			if s.Kind() == strictjson.Array {
				c.parts = s.Skip()
			} else {
				c.content = stringOf(s)
			}
		case "reasoning_content", "reasoning": // DeepSeek, vLLM and others; OpenRouter, Groq
			if text := stringOf(s); text != nil {
				c.reasoning = text // some send both, with the same text
			}
		case "refusal":
			c.refusal = stringOf(s)
		case "thinking_blocks":
			if s.Kind() == strictjson.Array {
				c.blocks = s.Skip()
			}
		case imagesMember:
			if s.Kind() == strictjson.Array {
				c.images = s.Skip()
			}
		case "tool_calls":
			if s.Kind() == strictjson.Array {
				for s.Enter(strictjson.Array); s.Next(); {
					a.readCall(s)
				}
			}
		case "annotations", "audio":
			switch {
			case whole:
				c.extras = keep(c.extras, s)
			case s.Kind() == strictjson.Array:
				c.cites = s.Skip()
			}
		}
	}
}

func (a *answer) readCall(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	c := callPiece{index: -1}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "index":
			if s.Kind() == strictjson.Number {
				c.index = int(countOf(s))
			}
		case "id":
			c.id = stringOf(s)
		case extraContent:
			c.signed = googleSignature(s)
		case functionType, customType:
			c.custom = string(s.Key()) == customType
			if s.Kind() == strictjson.Object {
				c.readFunction(s)
			}
		}
	}
	a.calls = append(a.calls, c)
}

// googleSignature reads {"google":{"thought_signature":…}}, nil when there is none.
func googleSignature(s *strictjson.Scanner) (signed []byte) {
	if s.Kind() != strictjson.Object {
		return nil
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) != googleExtra || s.Kind() != strictjson.Object {
			continue
		}
		for s.Enter(strictjson.Object); s.Next(); {
			if string(s.Key()) == thoughtSignature {
				signed = stringOf(s)
			}
		}
	}
	return signed
}

func (c *callPiece) readFunction(s *strictjson.Scanner) {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "name":
			c.name = stringOf(s)
		case "arguments", "input":
			if s.Kind() == strictjson.Object {
				c.argumentsObject = s.Skip()
			} else {
				c.arguments = stringOf(s)
			}
		}
	}
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

// countOf is a number as a count: not below zero, and far from overflow.
func countOf(s *strictjson.Scanner) int64 {
	if s.Kind() != strictjson.Number {
		return 0
	}
	raw := s.Skip()
	n := int64(0)
	for _, c := range raw {
		if c < '0' || c > '9' {
			return n // a fraction is cut; a negative count is 0
		}
		if n = n*10 + int64(c-'0'); n > maxCount {
			return maxCount
		}
	}
	return n
}

// maxCount bounds counts, so that sums of them stay far from overflow.
const maxCount = 1 << 48

// textParts reads content that came as an array: the text of it, and the thinking (Mistral).
func textParts(raw []byte) (text, thinking string) {
	var says, thinks []byte
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			continue
		}
		for s.Enter(strictjson.Object); s.Next(); {
			switch string(s.Key()) {
			case "text":
				says = strictjson.AppendText(says, stringOf(s))
			case thinkingType:
				if s.Kind() == strictjson.Array {
					nested, _ := textParts(s.Skip())
					thinks = append(thinks, nested...)
				} else {
					thinks = strictjson.AppendText(thinks, stringOf(s))
				}
			}
		}
	}
	return string(says), string(thinks)
}
