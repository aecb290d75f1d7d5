package gemini

import (
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

func (e *encoder) turn(b []byte, t *turn) []byte {
	b = append(append(append(b, `{"role":"`...), t.role...), `","parts":[`...)
	for i := range t.parts {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.part(b, &t.parts[i])
	}
	return append(b, `]}`...)
}

func (e *encoder) part(b []byte, p *piece) []byte {
	switch p.kind {
	case chat.Text:
		b = strictjson.AppendString(append(b, `{"text":`...), p.text)
	case chat.Thinking:
		b = append(strictjson.AppendString(append(b, `{"text":`...), p.text), `,"thought":true`...)
	case chat.ToolCall:
		b = e.call(append(b, `{"functionCall":`...), p)
	case chat.ToolResult:
		b = e.response(append(b, `{"functionResponse":{`...), p)
	default:
		b = appendMedia(append(b, '{'), p.part.Media)
	}
	if p.signature != "" {
		b = strictjson.AppendString(append(b, `,"thoughtSignature":`...), p.signature)
	}
	return append(b, '}')
}

// call writes a functionCall, whose arguments must be an object (D32). A client that sends back what a model wrote badly
// gets an error that says so, and not a call that was never made.
func (e *encoder) call(b []byte, p *piece) []byte {
	c := *p.part.Call
	c.Name = e.names.Out(c.Name)
	args := strings.TrimSpace(c.Arguments)
	if args != "" {
		if kind, err := strictjson.Check([]byte(args)); err != nil || kind != strictjson.Object {
			e.fail(fault.InvalidRequest, p.path(), "The arguments of the tool call %s are not a JSON object.", wire.ClipText(c.ID))
			return b
		}
	}
	return appendCall(b, &c, p.id, args)
}

// response writes a functionResponse up to its part's last brace. The schema has no failed result: by convention `error`
// holds what went wrong, and `output` what a function returned (D42, D43). It stays a string: as JSON, its numbers would
// be read as doubles.
func (e *encoder) response(b []byte, p *piece) []byte {
	if p.id != "" {
		b = append(strictjson.AppendString(append(b, `"id":`...), p.id), ',')
	}
	r := p.part.Result
	b = strictjson.AppendString(append(b, `"name":`...), p.name)
	if r.IsError != nil && *r.IsError {
		b = append(b, `,"response":{"error":`...)
	} else {
		b = append(b, `,"response":{"output":`...)
	}
	return append(strictjson.AppendString(b, resultText(r)), `}}`...)
}

// resultText joins a result's texts, and says where its files are.
func resultText(r *chat.Result) string {
	var texts []string
	files := false
	for i := range r.Parts {
		if r.Parts[i].Kind == chat.Text {
			texts = append(texts, r.Parts[i].Text)
		} else {
			files = true
		}
	}
	if files {
		texts = append(texts, "(The files of this output follow.)")
	}
	return strings.Join(texts, "\n")
}

// appendMedia writes inlineData or fileData (D65).
func appendMedia(b []byte, m *chat.Media) []byte {
	s := sourceOf(m)
	if s.url == "" && s.file == "" {
		return appendBlob(append(b, `"inlineData":`...), s.mediaType, s.data)
	}
	b = append(b, `"fileData":{`...)
	if s.mediaType != "" {
		b = append(strictjson.AppendString(append(b, `"mimeType":`...), s.mediaType), ',')
	}
	return append(strictjson.AppendString(append(b, `"fileUri":`...), s.url+s.file), '}')
}
