package bedrock

import (
	"strconv"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// blocks writes content blocks with their cache points, separated by commas.
func (e *encoder) blocks(b []byte, list []dialogue.Block) []byte {
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.block(b, &list[i])
		b = e.cachePoint(b, list[i].Cache)
	}
	return b
}

// cachePoint is an element of its own behind the one that is marked (D23). A time that the model does not know is left to
// its default.
func (e *encoder) cachePoint(b []byte, m *chat.CacheMark) []byte {
	if m == nil {
		return b
	}
	b = append(b, `,{"cachePoint":{"type":"default"`...)
	if e.model.cache1h && (m.TTL == "5m" || m.TTL == "1h") {
		b = append(append(append(b, `,"ttl":"`...), m.TTL...), '"')
	}
	return append(b, `}}`...)
}

func (e *encoder) block(b []byte, x *dialogue.Block) []byte {
	switch x.Kind {
	case chat.Text:
		return append(strictjson.AppendString(append(b, `{"text":`...), x.Text), '}')
	case chat.Image, chat.Document:
		return e.media(b, x.Part)
	case chat.ToolCall:
		return e.toolUse(b, x)
	case chat.ToolResult:
		return e.toolResult(b, x)
	case chat.Thinking:
		b = strictjson.AppendString(append(b, `{"reasoningContent":{"reasoningText":{"text":`...), x.Part.Text)
		b = strictjson.AppendString(append(b, `,"signature":`...), x.Sign)
		return append(b, `}}}`...)
	default: // RedactedThinking
		b = strictjson.AppendString(append(b, `{"reasoningContent":{"redactedContent":`...), x.Sign)
		return append(b, `}}`...)
	}
}

func (e *encoder) toolUse(b []byte, x *dialogue.Block) []byte {
	b = strictjson.AppendString(append(b, `{"toolUse":{"toolUseId":`...), x.ID)
	b = strictjson.AppendString(append(b, `,"name":`...), e.names.Out(x.Part.Call.Name))
	return append(e.input(append(b, `,"input":`...), x), `}}`...)
}

// input writes a call's arguments, which must be an object (D32). A client that sends back what a model wrote badly gets
// an error that says so, and not a call that was never made.
func (e *encoder) input(b []byte, x *dialogue.Block) []byte {
	args := x.Part.Call.Arguments
	if dialogue.Blank(args) {
		return append(b, `{}`...)
	}
	if kind, err := strictjson.Check([]byte(args)); err != nil || kind != strictjson.Object {
		e.fail(fault.InvalidRequest, x.Path(), "The arguments of the tool call %s are not a JSON object.", wire.ClipText(x.Part.Call.ID))
		return b
	}
	return append(b, strings.TrimSpace(args)...)
}

func (e *encoder) toolResult(b []byte, x *dialogue.Block) []byte {
	r := x.Part.Result
	b = strictjson.AppendString(append(b, `{"toolResult":{"toolUseId":`...), x.ID)
	b = append(b, `,"content":[`...)
	n := len(b)
	for i := range r.Parts {
		p := &r.Parts[i]
		if p.Kind == chat.Text && dialogue.Blank(p.Text) {
			continue
		}
		if len(b) > n {
			b = append(b, ',')
		}
		if p.Kind == chat.Text {
			b = append(strictjson.AppendString(append(b, `{"text":`...), p.Text), '}')
		} else {
			b = e.media(b, p)
		}
	}
	if len(b) == n { // the API wants one, and none that is blank (D7)
		b = append(b, `{"text":"`+dialogue.Placeholder+`"}`...)
	}
	b = append(b, ']')
	if r.IsError != nil && e.model.status { // D43: unset where the client's schema cannot say
		b = append(b, `,"status":"`...)
		b = append(append(b, statusWord(*r.IsError)...), '"')
	}
	return append(b, `}}`...)
}

func statusWord(failed bool) string {
	if failed {
		return "error"
	}
	return "success"
}

// media writes an image or a document. A document's name is made up, the same in every request: the model may read it as
// an instruction (D69).
func (e *encoder) media(b []byte, p *chat.Part) []byte {
	s := mediaOf(p)
	if s.document {
		e.plan.documents++
		b = append(b, `{"document":{"format":"`...)
		b = append(append(b, s.format()...), `","name":"document-`...)
		b = append(strconv.AppendInt(b, int64(e.plan.documents), 10), '"')
	} else {
		b = append(b, `{"image":{"format":"`...)
		b = append(append(b, s.format()...), '"')
	}
	b = append(append(b, `,"source":{"bytes":"`...), s.data...) // base64, as checkData found
	return append(b, `"}}}`...)
}
