package gemini

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// chunk is one GenerateContentResponse: a whole answer, or a piece of a streamed one. Strings are JSON texts within the
// data, nil when absent. It is read in one pass and used again for the next piece.
type chunk struct {
	id, model  []byte
	candidates []candidate
	parts      []wirePiece // of all candidates
	usage      chat.Usage
	blocked    []byte // promptFeedback.blockReason
	failed     bool   // it has an error
}

// candidate is one choice; its parts are chunk.parts[from:to].
type candidate struct {
	index     int
	from, to  int
	finish    []byte
	grounding []byte // JSON texts of objects
	citations []byte
	logprobs  []byte
}

// wirePiece is one part of an answer.
type wirePiece struct {
	text, signature    []byte
	thought            bool
	call               bool
	callID, name, args []byte
	mime, data         []byte
}

// read checks and reads data; false when it is not a JSON object.
func (c *chunk) read(data []byte) bool {
	*c = chunk{candidates: c.candidates[:0], parts: c.parts[:0]}
	s := strictjson.NewLenient(data)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "candidates":
			if s.Kind() == strictjson.Array {
				for s.Enter(strictjson.Array); s.Next(); {
					c.candidate(s)
				}
			}
		case "usageMetadata":
			c.usage = readUsage(s)
		case "responseId":
			c.id = text(s)
		case "modelVersion":
			c.model = text(s)
		case "promptFeedback":
			c.feedback(s)
		case "error":
			c.failed = s.Kind() != strictjson.Null
		}
	}
	return s.End() == nil
}

func (c *chunk) feedback(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "blockReason" {
			c.blocked = text(s)
		}
	}
}

func (c *chunk) candidate(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	one := candidate{index: len(c.candidates), from: len(c.parts)}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "index":
			one.index = int(min(count(s), maxChoices))
		case "content":
			c.content(s)
		case "finishReason":
			one.finish = text(s)
		case "groundingMetadata":
			one.grounding = objectText(s)
		case "citationMetadata":
			one.citations = objectText(s)
		case "logprobsResult":
			one.logprobs = objectText(s)
		}
	}
	one.to = len(c.parts)
	if string(one.finish) == `"`+unspecified+`"` {
		one.finish = nil
	}
	c.candidates = append(c.candidates, one)
}

func objectText(s *strictjson.Scanner) []byte {
	if s.Kind() != strictjson.Object {
		return nil
	}
	return s.Skip()
}

func (c *chunk) content(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) != "parts" || s.Kind() != strictjson.Array {
			continue
		}
		for s.Enter(strictjson.Array); s.Next(); {
			if s.Kind() == strictjson.Object {
				c.part(s)
			}
		}
	}
}

func (c *chunk) part(s *strictjson.Scanner) {
	var p wirePiece
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "text":
			p.text = text(s)
		case "thought":
			p.thought = s.Kind() == strictjson.Bool && s.Bool()
		case "thoughtSignature":
			p.signature = text(s)
		case "functionCall":
			p.functionCall(s)
		case "inlineData":
			p.inlineData(s)
		}
	}
	c.parts = append(c.parts, p)
}

func (p *wirePiece) functionCall(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	p.call = true
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "id":
			p.callID = text(s)
		case "name":
			p.name = text(s)
		case "args":
			p.args = objectText(s)
		}
	}
}

func (p *wirePiece) inlineData(s *strictjson.Scanner) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "mimeType":
			p.mime = text(s)
		case "data":
			p.data = text(s)
		}
	}
}
