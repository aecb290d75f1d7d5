package anthropic

import (
	"encoding/base64"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// blocks writes content blocks, separated by commas.
func (e *encoder) blocks(b []byte, list []block) []byte {
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.block(b, &list[i])
	}
	return b
}

func (e *encoder) block(b []byte, x *block) []byte {
	switch x.kind {
	case chat.Text:
		b = strictjson.AppendString(append(b, `{"type":"text","text":`...), x.text)
	case chat.Image, chat.Document:
		b = e.media(b, x.part)
	case chat.ToolCall:
		b = strictjson.AppendString(append(b, `{"type":"tool_use","id":`...), x.id)
		b = strictjson.AppendString(append(b, `,"name":`...), encodeName(x.part.Call.Name))
		b = e.input(append(b, `,"input":`...), x)
	case chat.ToolResult:
		b = e.result(b, x)
	case chat.Thinking:
		b = strictjson.AppendString(append(b, `{"type":"thinking","thinking":`...), x.part.Text)
		b = strictjson.AppendString(append(b, `,"signature":`...), x.part.Signature)
		return append(b, '}') // takes no cache mark
	case chat.RedactedThinking:
		b = strictjson.AppendString(append(b, `{"type":"redacted_thinking","data":`...), x.part.Signature)
		return append(b, '}')
	}
	return append(appendCache(b, x.cache), '}')
}

func appendCache(b []byte, m *chat.CacheMark) []byte {
	if m == nil {
		return b
	}
	b = append(b, `,"cache_control":{"type":"ephemeral"`...)
	if m.TTL == "5m" || m.TTL == "1h" {
		b = append(append(append(b, `,"ttl":"`...), m.TTL...), '"')
	}
	return append(b, '}')
}

// input writes a call's arguments, which must be an object (D32). A client that sends back what a model wrote badly gets
// an error that says so, and not a call that was never made.
func (e *encoder) input(b []byte, x *block) []byte {
	args := x.part.Call.Arguments
	if blank(args) {
		return append(b, `{}`...)
	}
	if kind, err := strictjson.Check([]byte(args)); err != nil || kind != strictjson.Object {
		e.fail(fault.InvalidRequest, x.path(), "The arguments of the tool call %s are not a JSON object.", wire.ClipText(x.part.Call.ID))
		return b
	}
	return append(b, strings.TrimSpace(args)...)
}

func (e *encoder) result(b []byte, x *block) []byte {
	r := x.part.Result
	b = strictjson.AppendString(append(b, `{"type":"tool_result","tool_use_id":`...), x.id)
	if len(r.Parts) == 1 && r.Parts[0].Kind == chat.Text {
		b = strictjson.AppendString(append(b, `,"content":`...), r.Parts[0].Text)
	} else {
		b = e.resultParts(b, r.Parts)
	}
	if r.IsError != nil && *r.IsError {
		b = append(b, `,"is_error":true`...)
	}
	return b
}

func (e *encoder) resultParts(b []byte, parts []chat.Part) []byte {
	sep := `,"content":[`
	for i := range parts {
		p := &parts[i]
		if p.Kind == chat.Text && blank(p.Text) {
			continue
		}
		b = append(b, sep...)
		sep = `,`
		if p.Kind == chat.Text {
			b = strictjson.AppendString(append(b, `{"type":"text","text":`...), p.Text)
		} else {
			b = e.media(b, p)
		}
		b = append(b, '}')
	}
	if sep == `,` {
		b = append(b, ']')
	}
	return b
}

// media writes an image or a document up to its last brace. A PDF is a document whatever part it came in (D70).
func (e *encoder) media(b []byte, p *chat.Part) []byte {
	m := mediaOf(p)
	if !m.document {
		b = append(b, `{"type":"image","source":`...)
	} else {
		b = append(b, `{"type":"document","source":`...)
	}
	switch {
	case m.url != "":
		b = strictjson.AppendString(append(b, `{"type":"url","url":`...), m.url)
	case m.mediaType == plainText:
		text, _ := base64.StdEncoding.DecodeString(m.data) // checked by checkMedia
		b = strictjson.AppendString(append(b, `{"type":"text","media_type":"text/plain","data":`...), view(text))
	default:
		b = strictjson.AppendString(append(b, `{"type":"base64","media_type":`...), m.mediaType)
		b = strictjson.AppendString(append(b, `,"data":`...), m.data)
	}
	b = append(b, '}')
	if m.document && p.Media.Name != "" {
		b = strictjson.AppendString(append(b, `,"title":`...), p.Media.Name)
	}
	return b
}

const plainText = "text/plain"

// source is where an image's or a document's bytes are, as they will be sent.
type source struct {
	mediaType, data, url string
	document             bool
}

func mediaOf(p *chat.Part) source {
	s := source{mediaType: wire.MediaType(p.Media.Type), data: p.Media.Data, url: p.Media.URL}
	if mediaType, data, ok := wire.SplitDataURI(s.url); ok {
		s.mediaType, s.data, s.url = mediaType, data, ""
	}
	s.document = p.Kind == chat.Document || s.mediaType == wire.PDF ||
		s.url != "" && strings.HasSuffix(strings.ToLower(wire.URLPath(s.url)), ".pdf")
	return s
}

// checkMedia refuses what the API cannot take, before anything is written.
func (e *encoder) checkMedia(x *block) {
	m := x.part.Media
	if m == nil {
		e.fail(fault.InvalidRequest, x.path(), "The image or document is empty.")
		return
	}
	if m.Detail != "" && m.Detail != "auto" { // D67
		e.drop(x.path() + ".image_url.detail")
	}
	if m.FileID != "" {
		e.unsupported(x.path(), "A file id is known only to the provider that made it: send the file itself (D71).")
		return
	}
	s := mediaOf(x.part)
	switch {
	case s.url != "":
		if !wire.IsWebURL(s.url) {
			e.fail(fault.InvalidRequest, x.path(), "The URL of an image or document must be http, https or a base64 data URI.")
		}
	case s.document && s.mediaType == plainText:
		if _, err := base64.StdEncoding.DecodeString(s.data); err != nil {
			e.fail(fault.InvalidRequest, x.path(), "The document's data is not base64.")
		}
	case s.document && s.mediaType != wire.PDF:
		e.unsupported(x.path(), "Anthropic's models take documents as PDF or plain text, not %q.", wire.ClipText(s.mediaType))
	case !s.document && !wire.IsImage(s.mediaType):
		e.unsupported(x.path(), "Anthropic's models take images as PNG, JPEG, GIF or WebP, not %q.", wire.ClipText(s.mediaType))
	case s.data == "":
		e.fail(fault.InvalidRequest, x.path(), "The image or document is empty.")
	}
}

// checkResult refuses what a tool's result cannot hold, and takes a cache mark of its last part for its own.
func (e *encoder) checkResult(x *block) {
	for i := range x.part.Result.Parts {
		p := &x.part.Result.Parts[i]
		e.extras(p.Extra)
		switch p.Kind {
		case chat.Text:
		case chat.Image, chat.Document:
			e.checkMedia(&block{part: p, msg: x.msg, index: x.index})
		default:
			e.unsupported(x.path(), "The result of a tool can hold text, images and documents only.")
		}
		if x.cache == nil {
			x.cache = p.Cache
		}
	}
}
