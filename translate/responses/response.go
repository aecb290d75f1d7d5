package responses

import (
	"bytes"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// DecodeResponse reads a whole answer.
func (Codec) DecodeResponse(body []byte) (*chat.Response, error) {
	var o object
	body = bytes.ToValidUTF8(body, []byte("\uFFFD"))
	if f := o.whole(body); f != nil {
		return nil, f
	}
	r := &chat.Response{ID: clone(o.id), Model: clone(o.model), Created: o.created, Usage: readUsage(o.usage)}
	if o.tier != nil {
		r.Extra = append(r.Extra, chat.Extra{Name: "service_tier", JSON: bytes.Clone(o.tier)})
	}
	var out output
	out.read(o.output)
	r.Extra = append(r.Extra, out.extras...)
	c := chat.Choice{Parts: out.parts, LogProbs: out.logProbs()}
	c.Finish, c.RawFinish = finishOf(clone(o.status), clone(o.reason), out.calls > 0)
	r.Choices = []chat.Choice{c}
	return r, nil
}

// PeekResponse reads what accounting needs of a whole answer.
func (Codec) PeekResponse(body []byte) (translate.Seen, error) {
	var o object
	if f := o.whole(body); f != nil {
		return translate.Seen{}, f
	}
	size, calls := measure(o.output)
	seen := translate.Seen{ID: clone(o.id), Model: clone(o.model), Usage: readUsage(o.usage), Content: true, End: true, OutputBytes: size}
	seen.Finish, seen.RawFinish = finishOf(clone(o.status), clone(o.reason), calls)
	return seen, nil
}

func clone(raw []byte) string { return string(strictjson.AppendText(nil, raw)) }

// measure is how much text a list of output items delivers, in JSON, and whether it calls tools.
func measure(raw []byte) (size int, calls bool) {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			continue
		}
		for s.Enter(strictjson.Object); s.Next(); {
			switch string(s.Key()) {
			case "type":
				if kind := strictjson.Text(stringOf(s)); kind == callItem || kind == customItem {
					calls = true
				}
			case "name", "arguments", "input":
				size += len(stringOf(s))
			case "content", "summary":
				size += measureTexts(s)
			}
		}
	}
	return size, calls
}

func measureTexts(s *strictjson.Scanner) (size int) {
	if s.Kind() != strictjson.Array {
		return 0
	}
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			continue
		}
		for s.Enter(strictjson.Object); s.Next(); {
			switch string(s.Key()) {
			case "text", "refusal":
				size += max(0, len(stringOf(s))-len(`""`))
			}
		}
	}
	return size
}

// output gathers what the items of an answer say.
type output struct {
	parts  []chat.Part
	calls  int
	probs  []byte // elements of logprobs, joined by commas
	extras []chat.Extra
}

// read reads a list of output items.
func (o *output) read(raw []byte) {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() == strictjson.Object {
			o.item(s.Skip())
		}
	}
}

// outputSeen is one output item before its type says what its members mean.
type outputSeen struct {
	kind, id, callID, name, arguments, input, encrypted []byte
	result, format                                      []byte // of an image
	content, summary                                    []byte // arrays
}

// image is what the schema's tool for images made, false while there is nothing.
func (it *outputSeen) image() (chat.Part, bool) {
	return madeImage(clone(it.result), clone(it.format))
}

// madeImage: the tool makes png where nobody asks for anything else.
func madeImage(data, format string) (chat.Part, bool) {
	if format == "" {
		format = "png"
	}
	return chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/" + format, Data: data}}, data != ""
}

// item reads one output item. What a built-in tool did stays as it came: only a client of this schema can show it.
func (o *output) item(raw []byte) {
	it := readOutput(raw)
	switch strictjson.Text(it.kind) {
	case messageItem:
		o.message(it.content)
	case callItem:
		o.call(it.callID, it.name, argumentsOf(clone(it.arguments)))
	case customItem:
		o.call(it.callID, it.name, wrapped("input", clone(it.input)))
	case reasoningItem:
		if p, ok := reasoningPart(clone(it.id), clone(it.encrypted), texts(it.summary), texts(it.content)); ok {
			o.parts = append(o.parts, p)
		}
	case imageItem:
		if p, ok := it.image(); ok {
			o.parts = append(o.parts, p)
			return
		}
		fallthrough
	default:
		o.extras = append(o.extras, chat.Extra{Name: "output[]", JSON: bytes.Clone(raw)})
	}
}

func readOutput(raw []byte) (it outputSeen) {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			it.kind = stringOf(s)
		case "id":
			it.id = stringOf(s)
		case "call_id":
			it.callID = stringOf(s)
		case "name":
			it.name = stringOf(s)
		case "arguments":
			it.arguments = stringOf(s)
		case "input":
			it.input = stringOf(s)
		case "encrypted_content":
			it.encrypted = stringOf(s)
		case "result":
			it.result = stringOf(s)
		case "output_format":
			it.format = stringOf(s)
		case "content":
			it.content = arrayOf(s)
		case "summary":
			it.summary = arrayOf(s)
		}
	}
	return it
}

func arrayOf(s *strictjson.Scanner) []byte {
	if s.Kind() != strictjson.Array {
		return nil
	}
	return s.Skip()
}

func (o *output) call(id, name []byte, arguments string) {
	o.calls++
	o.parts = append(o.parts, chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: clone(id), Name: clone(name), Arguments: arguments}})
}

// argumentsOf is a call's arguments as an object. A model can write what is none; another schema's client gets that in one,
// under the name that Anthropic's documentation gives for this case, so that it can show the model its mistake.
func argumentsOf(text string) string {
	arguments, ok := objectText(text)
	if !ok {
		return wrapped("INVALID_JSON", text)
	}
	return arguments
}

// message reads the content of a message.
func (o *output) message(raw []byte) {
	if raw == nil {
		return
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			continue
		}
		c := readContent(s)
		switch strictjson.Text(c.kind) {
		case outputText:
			text := clone(c.text)
			o.parts = append(o.parts, chat.Part{Kind: chat.Text, Text: text, Citations: citations(c.annotations, text)})
			o.addProbs(c.probs)
		case refusalPart:
			o.parts = append(o.parts, chat.Part{Kind: chat.Refusal, Text: clone(c.refusal)})
		}
	}
}

// contentSeen is one part of an answer's message.
type contentSeen struct{ kind, text, refusal, annotations, probs []byte }

func readContent(s *strictjson.Scanner) (c contentSeen) {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			c.kind = stringOf(s)
		case "text":
			c.text = stringOf(s)
		case "refusal":
			c.refusal = stringOf(s)
		case "annotations":
			c.annotations = arrayOf(s)
		case "logprobs":
			c.probs = arrayOf(s)
		}
	}
	return c
}

// texts reads the texts of a list of parts.
func texts(raw []byte) (parts []chat.Part) {
	if raw == nil {
		return nil
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() == strictjson.Object {
			parts = append(parts, chat.Part{Text: clone(readContent(s).text)})
		}
	}
	return parts
}

// elements is what stands between the brackets of an array.
func elements(array []byte) []byte {
	if len(array) < len(`[]`) {
		return nil
	}
	return bytes.TrimSpace(array[1 : len(array)-1])
}

func (o *output) addProbs(array []byte) { o.probs = appendElements(o.probs, elements(array)) }

func appendElements(dst, more []byte) []byte {
	if len(more) == 0 {
		return dst
	}
	if len(dst) > 0 {
		dst = append(dst, ',')
	}
	return append(dst, more...)
}

// logProbs is the neutral form: chat completions' object, nil when there are none.
func (o *output) logProbs() []byte { return logProbsOf(o.probs) }

func logProbsOf(elements []byte) []byte {
	if len(elements) == 0 {
		return nil
	}
	return append(append([]byte(`{"content":[`), elements...), `],"refusal":null}`...)
}

// probElements are the elements of the neutral form.
func probElements(logprobs []byte) (list []byte) {
	if len(logprobs) == 0 {
		return nil
	}
	s := strictjson.NewLenient(logprobs)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) == "content" {
			list = elements(arrayOf(s))
		}
	}
	return list
}
