package openai

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// DecodeResponse reads a whole answer.
func (Codec) DecodeResponse(body []byte) (*chat.Response, error) {
	var a answer
	body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	if f := a.whole(body); f != nil {
		return nil, f
	}
	r := &chat.Response{
		ID: strings.Clone(strictjson.Text(a.id)), Model: strings.Clone(strictjson.Text(a.model)),
		Created: a.created, Usage: readUsage(a.usage), Choices: make([]chat.Choice, 0, len(a.choices)),
	}
	for _, m := range a.extras {
		r.Extra = append(r.Extra, chat.Extra{Name: string(m.name), JSON: bytes.Clone(m.value)})
	}
	for i := range a.choices {
		c := a.decodeChoice(i, r.ID)
		r.Choices = append(r.Choices, c)
		for _, m := range a.choices[i].extras {
			if string(m.name) == "audio" {
				r.Extra = append(r.Extra, chat.Extra{Name: "choices[].message.audio", JSON: bytes.Clone(m.value), Meaning: true})
			}
		}
	}
	return r, nil
}

// PeekResponse reads what accounting needs of a whole answer.
func (Codec) PeekResponse(body []byte) (translate.Seen, error) {
	var a answer
	if f := a.whole(body); f != nil {
		return translate.Seen{}, f
	}
	seen := translate.Seen{
		ID: strings.Clone(strictjson.Text(a.id)), Model: strings.Clone(strictjson.Text(a.model)),
		Usage: readUsage(a.usage), Content: true, End: true, OutputBytes: a.outputBytes(),
	}
	last := &a.choices[len(a.choices)-1]
	seen.Finish, seen.RawFinish, _ = last.end(last.to > last.from)
	return seen, nil
}

// whole takes a body apart. The fault is the error that a 200 may hold, or ProviderFailed for what is no answer.
func (a *answer) whole(body []byte) *fault.Fault {
	s := strictjson.NewLenient(body)
	defer s.Release()
	ok := a.read(s, true)
	switch {
	case ok && a.err != nil:
		return embeddedFault(a.err)
	case !ok || len(a.choices) == 0:
		return notAnAnswer(body)
	}
	return nil
}

// notAnAnswer describes a 2xx body that the schema does not know.
func notAnAnswer(body []byte) *fault.Fault {
	body = bytes.TrimSpace(body)
	switch {
	case len(body) == 0:
		return fault.New(fault.ProviderFailed, "The provider answered with an empty body.")
	case body[0] == '<':
		return fault.New(fault.ProviderFailed, "The provider answered with a web page and not with a completion: %s", wire.Clip(body))
	case body[0] == '{' || body[0] == '[':
		return fault.New(fault.ProviderFailed, "The provider answered with what is no chat completion: %s", wire.Clip(body))
	default:
		return fault.New(fault.ProviderFailed, "The provider answered with what is no JSON: %s", wire.Clip(body))
	}
}

// outputBytes is how much text the answer's choices deliver, in JSON.
func (a *answer) outputBytes() int {
	n := 0
	for i := range a.choices {
		c := &a.choices[i]
		n += quotedLen(c.content) + quotedLen(c.reasoning) + quotedLen(c.refusal) + len(c.parts)
	}
	for i := range a.calls {
		c := &a.calls[i]
		n += quotedLen(c.name) + quotedLen(c.arguments) + len(c.argumentsObject)
	}
	return n
}

func quotedLen(raw []byte) int { return max(0, len(raw)-len(`""`)) }

// decodeChoice puts a choice's parts in the order in which they were made.
func (a *answer) decodeChoice(i int, id string) chat.Choice {
	c := &a.choices[i]
	text, thinking := strings.Clone(strictjson.Text(c.content)), strings.Clone(strictjson.Text(c.reasoning))
	if c.parts != nil {
		text, thinking = textParts(c.parts)
	}
	parts := readThinkingBlocks(c.blocks)
	if len(parts) == 0 && thinking != "" {
		parts = append(parts, chat.Part{Kind: chat.Thinking, Text: thinking})
	}
	if text != "" {
		parts = append(parts, chat.Part{Kind: chat.Text, Text: text, Extra: annotations(c.extras), Citations: a.citations(c, text)})
	}
	if c.refusal != nil {
		parts = append(parts, chat.Part{Kind: chat.Refusal, Text: strings.Clone(strictjson.Text(c.refusal))})
	}
	parts = append(parts, readImages(c.images)...)
	for k := range a.calls[c.from:c.to] {
		call := &a.calls[c.from+k]
		parts = append(parts, chat.Part{Kind: chat.ToolCall, Call: call.call(id, i, k), Signature: call.signature()})
	}
	finish, raw, stop := c.end(c.to > c.from)
	return chat.Choice{Parts: parts, Finish: finish, RawFinish: raw, StopSequence: stop, LogProbs: bytes.Clone(c.logprobs)}
}

const annotationsMember = "annotations"

// citations are what a text rests on, as the answer says in one of two places.
func (a *answer) citations(c *choice, text string) (list []chat.Citation) {
	for _, m := range c.extras {
		if string(m.name) == annotationsMember {
			list = citations(list, m.value, text)
		}
	}
	if len(list) == 0 && a.sources != nil {
		list = searched(list, a.sources)
	}
	return list
}

// signature is what Google's endpoint for OpenAI clients signed a call with, which must come back with it (D79).
func (c *callPiece) signature() string {
	return chat.Sign(chat.Gemini, string(strictjson.AppendText(nil, c.signed)))
}

// annotations are the citations of a text (D134).
func annotations(extras []member) (out []chat.Extra) {
	for _, m := range extras {
		if string(m.name) == annotationsMember && string(m.value) != "[]" {
			out = append(out, chat.Extra{Name: annotationsMember, JSON: bytes.Clone(m.value)})
		}
	}
	return out
}

// call is a whole tool call. A model can write arguments that are no JSON object; another schema's client gets them in
// one, under the name that Anthropic's documentation gives for this case, so that it can show the model its mistake.
func (c *callPiece) call(id string, choice, n int) *chat.Call {
	out := &chat.Call{ID: strings.Clone(strictjson.Text(c.id)), Name: strings.Clone(strictjson.Text(c.name))}
	if out.ID == "" {
		out.ID = callID(id, choice, n)
	}
	if c.argumentsObject != nil {
		out.Arguments = string(c.argumentsObject)
		return out
	}
	text := strings.Clone(strictjson.Text(c.arguments))
	if c.custom {
		out.Arguments = wrapped("input", text)
		return out
	}
	arguments, ok := objectText(text)
	if !ok {
		arguments = wrapped("INVALID_JSON", text)
	}
	out.Arguments = arguments
	return out
}

// wrapped is an object with one string.
func wrapped(name, text string) string {
	b := strictjson.AppendString(nil, name)
	b = append(append([]byte{'{'}, b...), ':')
	return string(append(strictjson.AppendString(b, text), '}'))
}

// callID is an id for a call that came without one: from the answer's id, which is unique, or by chance where there is
// none. At most 64 characters that every schema takes (D34).
func callID(id string, choice, n int) string {
	keep := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, id)
	if keep == "" {
		var b [15]byte
		_, _ = rand.Read(b[:]) // never fails
		keep = strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	}
	return "call_" + keep[:min(len(keep), 44)] + "_" + strconv.Itoa(min(choice, 999)) + "_" + strconv.Itoa(min(n, 99_999))
}

// readThinkingBlocks reads the signed blocks of an answer (D74). A block without text and without signature says nothing
// (D77).
func readThinkingBlocks(raw []byte) (parts []chat.Part) {
	if raw == nil {
		return nil
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			continue
		}
		if p, ok := readThinkingBlock(s); ok {
			parts = append(parts, p)
		}
	}
	return parts
}

// readThinkingBlock reads the object before the cursor; false when it is no thinking block with anything in it.
func readThinkingBlock(s *strictjson.Scanner) (p chat.Part, ok bool) {
	var kind, text, signature, data []byte
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			kind = stringOf(s)
		case "thinking":
			text = stringOf(s)
		case "signature":
			signature = stringOf(s)
		case "data":
			data = stringOf(s)
		}
	}
	switch strictjson.Text(kind) {
	case thinkingType:
		p = chat.Part{Kind: chat.Thinking, Text: strings.Clone(strictjson.Text(text)), Signature: strings.Clone(strictjson.Text(signature))}
		return p, text != nil || signature != nil
	case redactedType:
		return chat.Part{Kind: chat.RedactedThinking, Signature: strings.Clone(strictjson.Text(data))}, data != nil
	default:
		return p, false
	}
}
