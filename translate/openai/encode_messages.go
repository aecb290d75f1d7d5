package openai

import (
	"encoding/base64"
	"strings"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// Members that are left out wherever they stand, under one name each.
const (
	cacheMember    = "cache_control"
	thinkingMember = "messages[].content[].thinking"
	isErrorMember  = "messages[].content[].is_error"
)

func (e *encoder) messages(messages []chat.Message) {
	e.b = append(e.b, `,"messages":[`...)
	from := len(e.b)
	for i := range messages {
		m := &messages[i]
		if m.Role != chat.ToolRole && !hasResults(m.Parts) {
			e.flush()
		}
		e.message(m)
	}
	e.flush()
	if len(e.b) > from {
		e.b = e.b[:len(e.b)-1] // the last comma
	}
	e.b = append(e.b, ']')
}

func hasResults(parts []chat.Part) bool {
	for i := range parts {
		if parts[i].Kind == chat.ToolResult {
			return true
		}
	}
	return false
}

// flush writes the images of tool results. All results must directly follow the calls they answer, so the images come
// behind the last of them.
func (e *encoder) flush() {
	if len(e.hoisted) == 0 {
		return
	}
	parts := e.hoisted
	e.hoisted = nil
	e.open(roleUser, "")
	e.b = append(e.b, `,"content":`...)
	e.content(parts)
	e.shut()
}

func (e *encoder) open(role, name string) {
	e.b = append(e.b, `{"role":"`...)
	e.b = append(e.b, role...)
	e.b = append(e.b, '"')
	switch {
	case name == "":
	case e.d != nil && !e.d.names:
		e.drop(nameMember)
	default:
		e.text("name", name)
	}
}

// shut ends a message with a comma, which messages takes away behind the last one.
func (e *encoder) shut() { e.b = append(e.b, '}', ',') }

func (e *encoder) message(m *chat.Message) {
	for i := range m.Parts {
		e.marks(&m.Parts[i])
	}
	switch {
	case m.Role == chat.Assistant:
		e.assistant(m)
	case m.Role == chat.ToolRole || hasResults(m.Parts):
		e.results(m)
	default:
		role := string(m.Role)
		if m.Role == chat.Developer && e.d != nil && !e.d.developer {
			role = roleSystem
		}
		e.open(role, m.Name)
		e.b = append(e.b, `,"content":`...)
		e.content(m.Parts)
		e.shut()
	}
}

// marks names what no part of this schema can hold. A cache mark changes no meaning, and must not be guessed into the
// newest models' prompt_cache_breakpoint (D82).
func (e *encoder) marks(p *chat.Part) {
	if p.Cache != nil && (e.d == nil || !e.d.caches || p.Kind != chat.Text && p.Kind != chat.Image) {
		e.drop(cacheMember)
	}
	e.extras(p.Extra)
}

// results writes each tool result as a message of its own (D38), and what else is in the turn behind them (D41).
func (e *encoder) results(m *chat.Message) {
	var rest []chat.Part
	for i := range m.Parts {
		if p := &m.Parts[i]; p.Kind == chat.ToolResult && p.Result != nil {
			e.result(p.Result)
		} else {
			rest = append(rest, m.Parts[i])
		}
	}
	if len(rest) > 0 {
		e.hoisted = append(e.hoisted, rest...)
		e.flush()
	}
}

// result writes one tool message. The schema takes text there: images are announced and hoisted (D42). Whether the tool
// failed has no place (D43).
func (e *encoder) result(r *chat.Result) {
	if r.IsError != nil && *r.IsError {
		e.drop(isErrorMember)
	}
	texts := make([]chat.Part, 0, len(r.Parts)+1)
	images := 0
	for i := range r.Parts {
		e.marks(&r.Parts[i])
		if r.Parts[i].Kind == chat.Text {
			texts = append(texts, r.Parts[i])
			continue
		}
		if images == 0 {
			e.hoisted = append(e.hoisted, chat.Part{Kind: chat.Text, Text: "Output of the tool call " + r.CallID + ":"})
		}
		images++
		e.hoisted = append(e.hoisted, r.Parts[i])
	}
	if images > 0 {
		texts = append(texts, chat.Part{Kind: chat.Text, Text: "(The files of this output follow in the next user message.)"})
	}
	e.open(roleTool, "")
	e.text("tool_call_id", e.callID(r.CallID))
	e.b = append(e.b, `,"content":`...)
	e.content(texts)
	e.shut()
}

func (e *encoder) assistant(m *chat.Message) {
	e.open(roleAssistant, m.Name)
	var said []chat.Part
	calls := 0
	for i := range m.Parts {
		switch p := &m.Parts[i]; p.Kind {
		case chat.Text, chat.Refusal:
			said = append(said, *p)
		case chat.ToolCall:
			calls++
		case chat.Thinking, chat.RedactedThinking:
			e.thoughtFits(p)
		default:
			if e.d != nil && e.d.images && made(p) {
				continue
			}
			e.refuse("messages[].content", "An assistant message holds an image or a file, which a provider that this request would go to does not take there.")
		}
	}
	thoughts := e.thoughts(m.Parts)
	e.b = append(e.b, `,"content":`...)
	switch {
	case thoughts != "" && e.d.thoughts == inContent:
		e.thinkingContent(thoughts, said)
		thoughts = ""
	case len(said) == 0 && calls > 0:
		e.b = append(e.b, "null"...)
	default:
		e.content(said)
	}
	if thoughts != "" {
		e.text(e.d.thoughts, thoughts)
	}
	if e.d != nil && e.d.images {
		e.b = appendImages(e.b, m.Parts)
	}
	if calls > 0 {
		e.calls(m.Parts)
	}
	e.shut()
}

// thoughtFits names the thinking that goes no further. What a provider signed is bound to it (D78).
func (e *encoder) thoughtFits(p *chat.Part) {
	if e.d == nil || e.d.thoughts == "" || p.Signature != "" {
		e.drop(thinkingMember)
	}
}

// thoughts is the reasoning of an earlier answer, for a provider that takes it back.
func (e *encoder) thoughts(parts []chat.Part) (text string) {
	if e.d == nil || e.d.thoughts == "" {
		return ""
	}
	for i := range parts {
		if p := &parts[i]; p.Kind == chat.Thinking && p.Signature == "" {
			text += p.Text
		}
	}
	return text
}

// thinkingContent writes reasoning as the first part of a message's content (Mistral).
func (e *encoder) thinkingContent(thoughts string, said []chat.Part) {
	e.b = append(e.b, `[{"type":"thinking","thinking":[{"type":"text","text":`...)
	e.b = append(strictjson.AppendString(e.b, thoughts), `}]}`...)
	for i := range said {
		before := len(e.b)
		e.b = append(e.b, ',')
		if !e.part(&said[i]) {
			e.b = e.b[:before]
		}
	}
	e.b = append(e.b, ']')
}

func (e *encoder) calls(parts []chat.Part) {
	e.b = append(e.b, `,"tool_calls":[`...)
	first := true
	for i := range parts {
		c := parts[i].Call
		if parts[i].Kind != chat.ToolCall || c == nil {
			continue
		}
		if !first {
			e.b = append(e.b, ',')
		}
		first = false
		e.b = append(appendCall(e.b, e.callID(c.ID), e.names.Out(c.Name), c.Arguments), '}')
	}
	e.b = append(e.b, ']')
}

// callID is a tool call's id as the provider takes it.
func (e *encoder) callID(id string) string {
	if e.d != nil && e.d.shortIDs {
		return shortID(id)
	}
	return id
}

// appendCall appends a tool call up to its last brace, in requests and whole answers alike.
func appendCall(dst []byte, id, name, arguments string) []byte {
	dst = strictjson.AppendString(append(dst, `{"id":`...), id)
	dst = strictjson.AppendString(append(dst, `,"type":"function","function":{"name":`...), name)
	dst = strictjson.AppendString(append(dst, `,"arguments":`...), orObject(arguments))
	return append(dst, '}')
}

// orObject is arguments, or an empty object where a model streamed none (D33).
func orObject(arguments string) string {
	if arguments == "" {
		return "{}"
	}
	return arguments
}

// content writes a string for a single text, and parts else: block boundaries are kept (D4).
func (e *encoder) content(parts []chat.Part) {
	switch {
	case len(parts) == 0:
		e.b = append(e.b, '"', '"')
	case len(parts) == 1 && parts[0].Kind == chat.Text && !e.keepsMark(&parts[0]):
		e.b = strictjson.AppendString(e.b, parts[0].Text)
	case e.d != nil && e.d.flat && onlyText(parts):
		e.joined(parts)
	default:
		e.b = append(e.b, '[')
		from := len(e.b)
		for i := range parts {
			before := len(e.b)
			if before > from {
				e.b = append(e.b, ',')
			}
			if !e.part(&parts[i]) {
				e.b = e.b[:before]
			}
		}
		if len(e.b) == from {
			e.b = append(e.b[:from-1], '"', '"')
			return
		}
		e.b = append(e.b, ']')
	}
}

// keepsMark says whether a part's cache mark is sent.
func (e *encoder) keepsMark(p *chat.Part) bool { return e.d != nil && e.d.caches && p.Cache != nil }

func onlyText(parts []chat.Part) bool {
	for i := range parts {
		if parts[i].Kind != chat.Text && parts[i].Kind != chat.Refusal {
			return false
		}
	}
	return true
}

// joined writes texts as one string, a line each.
func (e *encoder) joined(parts []chat.Part) {
	var text []byte
	for i := range parts {
		if i > 0 {
			text = append(text, '\n')
		}
		text = append(text, parts[i].Text...)
	}
	e.b = strictjson.AppendString(e.b, view(text))
}

// mark writes a part's cache mark.
func (e *encoder) mark(p *chat.Part) {
	if !e.keepsMark(p) {
		return
	}
	e.b = append(e.b, `,"cache_control":{"type":"ephemeral"`...)
	if p.Cache.TTL != "" {
		e.text("ttl", p.Cache.TTL)
	}
	e.b = append(e.b, '}')
}

// part writes one content part; false when it was left out.
func (e *encoder) part(p *chat.Part) bool {
	switch p.Kind {
	case chat.Text:
		e.b = strictjson.AppendString(append(e.b, `{"type":"text","text":`...), p.Text)
		e.mark(p)
	case chat.Refusal:
		if e.d != nil && !e.d.refusals {
			e.b = strictjson.AppendString(append(e.b, `{"type":"text","text":`...), p.Text)
			break
		}
		e.b = strictjson.AppendString(append(e.b, `{"type":"refusal","refusal":`...), p.Text)
	case chat.Image:
		return e.image(p)
	case chat.Document:
		return e.document(p.Media)
	case chat.Audio:
		switch {
		case p.Media.URL != "":
			e.wantsBytes("messages[].content[].source.url", "A sound is given by its URL; a provider that this request would go to takes sounds as base64 data only.")
			return false
		case p.Media.Data == "":
			e.refuse("messages[].content[]", "A sound is given by the id of a file, which exists only at the provider that stores it. Send the sound itself.")
			return false
		}
		e.b = strictjson.AppendString(append(e.b, `{"type":"input_audio","input_audio":{"data":`...), p.Media.Data)
		e.b = strictjson.AppendString(append(e.b, `,"format":`...), audioFormat(p.Media.Type))
		e.b = append(e.b, '}')
	default:
		e.drop(thinkingMember)
		return false
	}
	e.b = append(e.b, '}')
	return true
}

func (e *encoder) image(p *chat.Part) bool {
	m := p.Media
	if e.d != nil && e.d.bytes && wire.IsWebURL(m.URL) {
		e.needsBytes("messages[].content[]")
		return false
	}
	if m.FileID != "" {
		e.refuse("messages[].content[].source.file_id", "An image is given by the id of a file, which exists only at the provider that stores it. Send the image itself or its URL.")
		return false
	}
	e.b = append(e.b, `{"type":"image_url","image_url":{"url":`...)
	e.uri(m)
	if m.Detail != "" {
		e.text("detail", m.Detail)
	}
	e.b = append(e.b, '}')
	e.mark(p)
	e.b = append(e.b, '}')
	return true
}

// uri writes the media's URL, or its data as one. Base64 and MIME types need no escaping, but a stranger wrote them.
func (e *encoder) uri(m *chat.Media) {
	if m.URL != "" {
		e.b = strictjson.AppendString(e.b, m.URL)
		return
	}
	e.b = strictjson.AppendDataURI(e.b, m.Type, m.Data)
}

// document writes a file part; a plain text goes as text, which every model reads.
func (e *encoder) document(m *chat.Media) bool {
	switch {
	case m.FileID != "":
		e.refuse("messages[].content[].source.file_id", "A document is given by the id of a file, which exists only at the provider that stores it. Send the document itself.")
		return false
	case m.URL != "":
		e.wantsBytes("messages[].content[].source.url", "A document is given by its URL; a provider that this request would go to takes documents as base64 data only.")
		return false
	case strings.HasPrefix(m.Type, "text/"):
		text, err := base64.StdEncoding.DecodeString(m.Data)
		if err != nil {
			e.refuse("messages[].content[].source.data", "A document's data is not base64.")
			return false
		}
		if m.Name != "" {
			text = append([]byte(m.Name+"\n\n"), text...)
		}
		e.b = append(strictjson.AppendString(append(e.b, `{"type":"text","text":`...), string(text)), '}')
		return true
	}
	name := m.Name
	if name == "" {
		name = "document.pdf" // required beside file_data
	}
	e.b = strictjson.AppendString(append(e.b, `{"type":"file","file":{"filename":`...), name)
	e.key("file_data")
	e.uri(m)
	e.b = append(e.b, '}', '}')
	return true
}
