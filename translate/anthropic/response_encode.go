package anthropic

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// EncodeResponse writes another provider's answer as a message. Of several choices the first is taken: a Messages request
// cannot ask for more.
func (Codec) EncodeResponse(r *chat.Response, o translate.Answer) ([]byte, error) {
	var c chat.Choice
	if len(r.Choices) > 0 {
		c = r.Choices[0]
	}
	n := 384
	for i := range c.Parts {
		n += 96 + len(c.Parts[i].Text) + len(c.Parts[i].Text)/16 + len(c.Parts[i].Signature)
		if c.Parts[i].Call != nil {
			n += len(c.Parts[i].Call.Arguments)
		}
	}
	b := appendHead(make([]byte, 0, n), r.ID, r.Model, o)
	sep := `,"content":[`
	refused := false
	for i := range c.Parts {
		p := &c.Parts[i]
		if p.Text == "" && (p.Kind == chat.Text || p.Kind == chat.Refusal || p.Kind == chat.Thinking && p.Signature == "") {
			continue
		}
		refused = refused || p.Kind == chat.Refusal
		b = appendAnswerPart(append(b, sep...), p)
		sep = `,`
	}
	if sep != `,` {
		b = append(b, sep...)
	}
	b = append(b, `],"stop_reason":`...)
	b = appendStop(b, c.Finish, c.RawFinish, c.StopSequence, refused)
	return append(appendUsage(append(b, `,"usage":`...), &r.Usage), '}'), nil
}

// appendHead writes the members that begin a message, whole or streamed.
func appendHead(b []byte, id, model string, o translate.Answer) []byte {
	if model == "" {
		model = o.Model // D131
	}
	if id == "" {
		id = o.RequestID
	}
	if !strings.HasPrefix(id, "msg_") {
		id = "msg_" + id
	}
	b = strictjson.AppendString(append(b, `{"id":`...), id)
	b = append(b, `,"type":"message","role":"assistant","model":`...)
	return strictjson.AppendString(b, model)
}

// appendStop writes the reason and the stop sequence. A model that refused says so to a client of this schema by the
// reason, whatever its own provider called it (D135).
func appendStop(b []byte, f chat.Finish, raw, sequence string, refused bool) []byte {
	if refused && f == chat.FinishStop {
		f = chat.FinishRefusal
	}
	b = strictjson.AppendString(b, stopReason(f, raw))
	b = append(b, `,"stop_sequence":`...)
	if sequence == "" {
		return append(b, `null`...)
	}
	return strictjson.AppendString(b, sequence)
}

func appendAnswerPart(b []byte, p *chat.Part) []byte {
	switch p.Kind {
	case chat.Thinking: // unsigned: the client may show it, and must not send it to Anthropic
		b = strictjson.AppendString(append(b, `{"type":"thinking","thinking":`...), p.Text)
		b = strictjson.AppendString(append(b, `,"signature":`...), p.Signature)
	case chat.RedactedThinking:
		b = strictjson.AppendString(append(b, `{"type":"redacted_thinking","data":`...), p.Signature)
	case chat.ToolCall:
		b = strictjson.AppendString(append(b, `{"type":"tool_use","id":`...), p.Call.ID)
		b = strictjson.AppendString(append(b, `,"name":`...), p.Call.Name)
		b = appendInput(append(b, `,"input":`...), p.Call.Arguments)
	default:
		b = strictjson.AppendString(append(b, `{"type":"text","text":`...), said(p))
		b = appendCitations(b, p)
	}
	return append(b, '}')
}

// said is a part's text. An answer of this schema has no place for what a model made beside text; that it was made must not be lost.
func said(p *chat.Part) string {
	if p.Media == nil || p.Kind != chat.Image && p.Kind != chat.Audio && p.Kind != chat.Document {
		return p.Text
	}
	return "[The model made a file of the type " + strconv.Quote(wire.ClipText(p.Media.Type)) + " here, which an answer of this API has no place for.]"
}

// appendInput writes arguments as the object that the schema requires. What a model wrote that is none (or that its
// token limit cut) is kept as the vendor's documentation says to: {"INVALID_JSON": "…"}.
func appendInput(b []byte, args string) []byte {
	if dialogue.Blank(args) {
		return append(b, `{}`...) // D33
	}
	if kind, err := strictjson.CheckLenient([]byte(args)); err == nil && kind == strictjson.Object && utf8.ValidString(args) {
		return append(b, strings.TrimSpace(args)...)
	}
	return append(strictjson.AppendString(append(b, `{"INVALID_JSON":`...), args), '}')
}
