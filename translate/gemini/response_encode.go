package gemini

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// EncodeResponse writes another provider's answer as a GenerateContentResponse.
func (Codec) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	n := 512
	for i := range r.Choices {
		for j := range r.Choices[i].Parts {
			n += sizeOf(&r.Choices[i].Parts[j])
		}
	}
	b := append(make([]byte, 0, n), `{"candidates":[`...)
	for i := range r.Choices {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendCandidate(b, &r.Choices[i], i)
	}
	b = append(b, ']')
	if r.Usage.Known {
		b = appendUsage(append(b, `,"usageMetadata":`...), &r.Usage)
	}
	return append(appendIdentity(b, r.ID, r.Model, o), '}'), nil
}

// sizeOf is a little above what a part takes.
func sizeOf(p *chat.Part) int {
	n := 96 + len(p.Text) + len(p.Text)/16 + 2*len(p.Signature)
	if p.Call != nil {
		n += len(p.Call.Arguments)
	}
	if p.Media != nil {
		n += len(p.Media.Data)
	}
	return n
}

// appendIdentity writes the members that say who answered, whole or streamed.
func appendIdentity(b []byte, id, model string, o translate.Answer) []byte {
	if model == "" {
		model = o.Model // D131
	}
	if id == "" {
		id = o.RequestID
	}
	b = strictjson.AppendString(append(b, `,"modelVersion":`...), model)
	return strictjson.AppendString(append(b, `,"responseId":`...), id)
}

func appendCandidate(b []byte, c *chat.Choice, index int) []byte {
	b = append(b, `{"content":{"parts":[`...)
	b = append(appendParts(b, c.Parts), `],"role":"model"}`...)
	b = appendFinish(b, c.Finish, c.RawFinish)
	b = strconv.AppendInt(append(b, `,"index":`...), int64(index), 10)
	var cites []chat.Citation
	texts := 0
	for i := range c.Parts {
		if c.Parts[i].Kind == chat.Text {
			cites = cited(cites, c.Parts[i].Citations, texts)
			texts++
		}
	}
	if len(cites) > 0 {
		b = appendGrounding(b, cites)
	}
	if c.LogProbs != nil {
		b = appendLogProbs(b, c.LogProbs)
	}
	return append(b, '}')
}

// cited adds the citations of the nth text. Places are told of the first only: clients count them from the answer's start.
func cited(list, more []chat.Citation, n int) []chat.Citation {
	for _, c := range more {
		if len(list) == maxCitations {
			break
		}
		if n > 0 {
			c.Start, c.End = 0, 0
		}
		list = append(list, c)
	}
	return list
}

func appendFinish(b []byte, f chat.Finish, raw string) []byte {
	reason, message := finishReason(f, raw)
	b = strictjson.AppendString(append(b, `,"finishReason":`...), reason)
	if message != "" {
		b = strictjson.AppendString(append(b, `,"finishMessage":`...), message)
	}
	return b
}

// appendParts writes the parts of an answer.
func appendParts(b []byte, parts []chat.Part) []byte {
	from := len(b)
	pending := ""
	for i := range parts {
		p := &parts[i]
		if own := neighbour(p); own != "" {
			b = appendPending(b, from, pending)
			pending = own
			continue
		}
		if p.Kind != chat.ToolCall {
			b = appendPending(b, from, pending)
			pending = ""
		}
		if empty(p) {
			continue
		}
		b = appendPart(separate(b, from), p, pending)
		pending = ""
	}
	return appendPending(b, from, pending)
}

func separate(b []byte, from int) []byte {
	if len(b) > from {
		b = append(b, ',')
	}
	return b
}

// empty parts say nothing.
func empty(p *chat.Part) bool {
	return p.Text == "" && p.Signature == "" && p.Call == nil && p.Media == nil
}

// neighbour is the service's own signature of the part before or behind, "" when p is anything else.
func neighbour(p *chat.Part) string {
	if p.Kind != chat.Thinking || p.Text != "" {
		return ""
	}
	if own, ok := chat.SignedBy(chat.Gemini, p.Signature); ok {
		return own
	}
	return ""
}

// appendPending writes a signature that no call follows: it belongs to the text before it.
func appendPending(b []byte, from int, pending string) []byte {
	if pending == "" {
		return b
	}
	b = strictjson.AppendString(append(separate(b, from), `{"text":"","thoughtSignature":`...), pending)
	return append(b, '}')
}

// appendPart writes one part; signature is of a call.
func appendPart(b []byte, p *chat.Part, signature string) []byte {
	switch p.Kind {
	case chat.Thinking, chat.RedactedThinking:
		b = strictjson.AppendString(append(b, `{"text":`...), p.Text)
		b = append(b, `,"thought":true`...)
		if p.Signature != "" {
			signature = showSignature(p.Kind, p.Signature)
		}
	case chat.ToolCall:
		b = appendCall(append(b, `{"functionCall":`...), p.Call, p.Call.ID, p.Call.Arguments)
		if own, ok := chat.SignedBy(chat.Gemini, p.Signature); ok {
			signature = own
		}
	case chat.Image, chat.Audio, chat.Document:
		if p.Media == nil {
			return append(b, `{"text":""}`...)
		}
		b = appendBlob(append(b, `{"inlineData":`...), p.Media.Type, p.Media.Data)
	default: // D135: a refusal is a text
		b = strictjson.AppendString(append(b, `{"text":`...), p.Text)
	}
	if signature != "" {
		b = strictjson.AppendString(append(b, `,"thoughtSignature":`...), signature)
	}
	return append(b, '}')
}

func appendBlob(b []byte, mediaType, data string) []byte {
	b = strictjson.AppendString(append(b, `{"mimeType":`...), mediaType)
	return append(strictjson.AppendString(append(b, `,"data":`...), data), '}')
}

// appendCall writes a functionCall. id is "" where it has no place.
func appendCall(b []byte, c *chat.Call, id, args string) []byte {
	b = append(b, '{')
	if id != "" {
		b = append(strictjson.AppendString(append(b, `"id":`...), id), ',')
	}
	b = strictjson.AppendString(append(b, `"name":`...), c.Name)
	return append(appendArgs(append(b, `,"args":`...), args), '}')
}

// appendArgs writes arguments as the object that the schema has (D32). What a model wrote that is none, or that its token
// limit cut, is kept in one, under the name that Anthropic's documentation gives for this case.
func appendArgs(b []byte, args string) []byte {
	args = strings.TrimSpace(args)
	if args == "" {
		return append(b, `{}`...) // D33
	}
	if kind, err := strictjson.CheckLenient([]byte(args)); err == nil && kind == strictjson.Object && utf8.ValidString(args) {
		return append(b, args...)
	}
	return append(strictjson.AppendString(append(b, `{"INVALID_JSON":`...), args), '}')
}
