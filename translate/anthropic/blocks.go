package anthropic

import (
	"encoding/base64"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
	"dragoman/translate/dialogue"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// blocks writes content blocks, separated by commas.
func (e *encoder) blocks(b []byte, list []dialogue.Block) []byte {
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = e.block(b, &list[i])
	}
	return b
}

func (e *encoder) block(b []byte, x *dialogue.Block) []byte {
	switch x.Kind {
	case chat.Text:
		b = strictjson.AppendString(append(b, `{"type":"text","text":`...), x.Text)
	case chat.Image, chat.Document:
		b = e.media(b, x.Part)
	case chat.ToolCall:
		b = strictjson.AppendString(append(b, `{"type":"tool_use","id":`...), x.ID)
		b = strictjson.AppendString(append(b, `,"name":`...), encodeName(x.Part.Call.Name))
		b = e.input(append(b, `,"input":`...), x)
	case chat.ToolResult:
		b = e.result(b, x)
	case chat.Thinking:
		b = strictjson.AppendString(append(b, `{"type":"thinking","thinking":`...), x.Part.Text)
		b = strictjson.AppendString(append(b, `,"signature":`...), x.Part.Signature)
		return append(b, '}') // takes no cache mark
	case chat.RedactedThinking:
		b = strictjson.AppendString(append(b, `{"type":"redacted_thinking","data":`...), x.Part.Signature)
		return append(b, '}')
	}
	return append(appendCache(b, x.Cache), '}')
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

func (e *encoder) result(b []byte, x *dialogue.Block) []byte {
	r := x.Part.Result
	b = strictjson.AppendString(append(b, `{"type":"tool_result","tool_use_id":`...), x.ID)
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
		if p.Kind == chat.Text && dialogue.Blank(p.Text) {
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
func (e *encoder) checkMedia(x *dialogue.Block) {
	m := x.Part.Media
	if m == nil {
		e.fail(fault.InvalidRequest, x.Path(), "The image or document is empty.")
		return
	}
	if m.Detail != "" && m.Detail != "auto" { // D67
		e.drop(x.Path() + ".image_url.detail")
	}
	if m.FileID != "" {
		e.unsupported(x.Path(), "A file id is known only to the provider that made it: send the file itself (D71).")
		return
	}
	s := mediaOf(x.Part)
	switch {
	case s.url != "":
		if !wire.IsWebURL(s.url) {
			e.fail(fault.InvalidRequest, x.Path(), "The URL of an image or document must be http, https or a base64 data URI.")
		}
	case s.document && s.mediaType == plainText:
		if _, err := base64.StdEncoding.DecodeString(s.data); err != nil {
			e.fail(fault.InvalidRequest, x.Path(), "The document's data is not base64.")
		}
	case s.document && s.mediaType != wire.PDF:
		e.unsupported(x.Path(), "Anthropic's models take documents as PDF or plain text, not %q.", wire.ClipText(s.mediaType))
	case !s.document && !wire.IsImage(s.mediaType):
		e.unsupported(x.Path(), "Anthropic's models take images as PNG, JPEG, GIF or WebP, not %q.", wire.ClipText(s.mediaType))
	case s.data == "":
		e.fail(fault.InvalidRequest, x.Path(), "The image or document is empty.")
	}
}

// checkResult refuses what a tool's result cannot hold, and takes a cache mark of its last part for its own.
func (e *encoder) checkResult(x *dialogue.Block) {
	for i := range x.Part.Result.Parts {
		p := &x.Part.Result.Parts[i]
		e.extras(p.Extra)
		switch p.Kind {
		case chat.Text:
		case chat.Image, chat.Document:
			e.checkMedia(&dialogue.Block{Part: p, Message: x.Message, Index: x.Index})
		default:
			e.unsupported(x.Path(), "The result of a tool can hold text, images and documents only.")
		}
		if x.Cache == nil {
			x.Cache = p.Cache
		}
	}
}
