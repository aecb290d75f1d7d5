package cohere

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
	nameMember     = "messages[].name"
	contentMember  = "messages[].content[]"
)

// messages writes the conversation. The leading system messages become the one system message that the schema allows, and
// only at the start (D3, D4); a later one stays in its place as the user's, marked.
func (e *encoder) messages(messages []chat.Message) {
	e.b = append(e.b, `,"messages":[`...)
	from := len(e.b)
	messages = e.system(messages)
	for i := range messages {
		m := &messages[i]
		if m.Name != "" {
			e.drop(nameMember) // D9
		}
		for j := range m.Parts {
			e.marks(&m.Parts[j])
		}
		switch {
		case m.Role == chat.System || m.Role == chat.Developer:
			e.laterSystem(m)
		case m.Role == chat.Assistant:
			e.flush()
			e.assistant(m)
		default:
			e.user(m)
		}
	}
	e.flush()
	if len(e.b) > from {
		e.b = e.b[:len(e.b)-1] // the last comma
	}
	e.b = append(e.b, ']')
}

// system writes the leading run of system messages and returns what follows it.
func (e *encoder) system(messages []chat.Message) []chat.Message {
	var parts []chat.Part
	n := 0
	for ; n < len(messages) && (messages[n].Role == chat.System || messages[n].Role == chat.Developer); n++ {
		for j := range messages[n].Parts {
			p := &messages[n].Parts[j]
			e.marks(p)
			switch {
			case p.Kind != chat.Text:
				e.refuse(contentMember, "A system message can hold only text for Cohere's models.")
			case !blank(p.Text):
				parts = append(parts, *p)
			}
		}
	}
	if len(parts) > 0 {
		e.open(roleSystem)
		e.content(parts)
		e.shut()
	}
	return messages[n:]
}

// laterSystem keeps a system message from within the conversation for the next user's message, so that it never stands
// between a call and its result (D40).
func (e *encoder) laterSystem(m *chat.Message) {
	for j := range m.Parts {
		if p := &m.Parts[j]; p.Kind == chat.Text && !blank(p.Text) {
			e.held = append(e.held, chat.Part{Kind: chat.Text, Text: "<system>\n" + p.Text + "\n</system>"})
		} else if p.Kind != chat.Text {
			e.refuse(contentMember, "A system message can hold only text for Cohere's models.")
		}
	}
}

func blank(s string) bool { return strings.TrimSpace(s) == "" }

// marks names what no part of this schema can hold (D82).
func (e *encoder) marks(p *chat.Part) {
	if p.Cache != nil {
		e.drop(cacheMember)
	}
	e.extras(p.Extra)
}

func (e *encoder) open(role string) {
	e.b = append(e.b, `{"role":"`...)
	e.b = append(e.b, role...)
	e.b = append(e.b, `","content":`...)
}

// shut ends a message with a comma, which messages takes away behind the last one.
func (e *encoder) shut() { e.b = append(e.b, '}', ',') }

// user writes a turn: each tool result as a message of its own (D38), what else is in it behind them (D41).
func (e *encoder) user(m *chat.Message) {
	results := 0
	for i := range m.Parts {
		if p := &m.Parts[i]; p.Kind == chat.ToolResult && p.Result != nil {
			results++
			e.result(p.Result)
		}
	}
	if results == len(m.Parts) && results > 0 {
		return
	}
	for i := range m.Parts {
		if p := &m.Parts[i]; p.Kind != chat.ToolResult {
			e.held = append(e.held, *p)
		}
	}
	if len(e.held) == 0 {
		e.held = append(e.held, chat.Part{Kind: chat.Text})
	}
	e.flush()
}

// flush writes the user's message that has been held back.
func (e *encoder) flush() {
	if len(e.held) == 0 {
		return
	}
	parts := e.held
	e.held = nil
	e.open(roleUser)
	e.content(parts)
	e.shut()
}

// result writes one tool message. The schema takes text there: files are announced and follow in the next user's message
// (D42). Whether the tool failed has no place (D43).
func (e *encoder) result(r *chat.Result) {
	if r.IsError != nil && *r.IsError {
		e.drop(isErrorMember)
	}
	texts := make([]chat.Part, 0, len(r.Parts)+1)
	files := 0
	for i := range r.Parts {
		e.marks(&r.Parts[i])
		if r.Parts[i].Kind == chat.Text {
			texts = append(texts, r.Parts[i])
			continue
		}
		if files == 0 {
			e.held = append(e.held, chat.Part{Kind: chat.Text, Text: "Output of the tool call " + r.CallID + ":"})
		}
		files++
		e.held = append(e.held, r.Parts[i])
	}
	if files > 0 {
		texts = append(texts, chat.Part{Kind: chat.Text, Text: "(The files of this output follow in the next user message.)"})
	}
	e.b = append(e.b, `{"role":"tool","tool_call_id":`...)
	e.b = strictjson.AppendString(e.b, r.CallID)
	e.key("content")
	e.content(texts)
	e.shut()
}

// said is an assistant's turn, taken apart.
type said struct {
	thinking, texts []chat.Part
	calls           int
}

// assistant writes a turn of the model's. Text before tool calls is the plan (D44). A turn of which nothing is left (another
// provider's thinking alone) is left out (D7).
func (e *encoder) assistant(m *chat.Message) {
	var s said
	for i := range m.Parts {
		switch p := &m.Parts[i]; p.Kind {
		case chat.Text, chat.Refusal: // D135
			if !blank(p.Text) {
				s.texts = append(s.texts, chat.Part{Kind: chat.Text, Text: p.Text})
			}
		case chat.ToolCall:
			s.calls++
		case chat.Thinking, chat.RedactedThinking:
			e.thought(&s, p)
		default:
			e.refuse(contentMember, "An assistant message holds an image or a file, which a provider that this request would go to does not take there (Cohere).")
		}
	}
	if s.calls == 0 && len(s.thinking)+len(s.texts) == 0 {
		return
	}
	e.b = append(e.b, `{"role":"assistant"`...)
	if s.calls > 0 {
		e.plan(s.texts)
		s.texts = nil
	}
	if parts := append(s.thinking, s.texts...); len(parts) > 0 {
		e.key("content")
		e.content(parts)
	}
	if s.calls > 0 {
		e.calls(m.Parts)
	}
	e.shut()
}

// thought keeps thinking of a model of Cohere's for one that thinks; any other is bound to its maker (D78).
func (e *encoder) thought(s *said, p *chat.Part) {
	_, own := chat.SignedBy(chat.Cohere, p.Signature)
	able := e.t.Capabilities == nil || e.t.Capabilities["reasoning"]
	if p.Kind == chat.Thinking && own && able && p.Text != "" {
		s.thinking = append(s.thinking, *p)
		return
	}
	e.drop(thinkingMember)
}

func (e *encoder) plan(texts []chat.Part) {
	if len(texts) == 0 {
		return
	}
	plan := texts[0].Text
	if len(texts) > 1 {
		var b strings.Builder
		for i := range texts {
			b.WriteString(texts[i].Text)
		}
		plan = b.String()
	}
	e.text("tool_plan", plan)
}

func (e *encoder) calls(parts []chat.Part) {
	e.key("tool_calls")
	e.b = append(e.b, '[')
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
		e.b = appendCall(e.b, c.ID, e.names.Out(c.Name), c.Arguments)
	}
	e.b = append(e.b, ']')
}

// appendCall appends a tool call, in requests and whole answers alike.
func appendCall(dst []byte, id, name, arguments string) []byte {
	if arguments == "" {
		arguments = "{}" // D33
	}
	dst = strictjson.AppendString(append(dst, `{"id":`...), id)
	dst = strictjson.AppendString(append(dst, `,"type":"function","function":{"name":`...), name)
	dst = strictjson.AppendString(append(dst, `,"arguments":`...), arguments)
	return append(dst, '}', '}')
}

// content writes a string for a single text, and parts else: block boundaries are kept (D4).
func (e *encoder) content(parts []chat.Part) {
	if len(parts) == 1 && parts[0].Kind == chat.Text {
		e.b = strictjson.AppendString(e.b, parts[0].Text)
		return
	}
	e.b = append(e.b, '[')
	from := len(e.b)
	for i := range parts {
		if parts[i].Kind == chat.Text && blank(parts[i].Text) {
			continue // D7
		}
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

// part writes one content part; false when it was left out.
func (e *encoder) part(p *chat.Part) bool {
	switch p.Kind {
	case chat.Text, chat.Refusal:
		e.b = strictjson.AppendString(append(e.b, `{"type":"text","text":`...), p.Text)
	case chat.Thinking:
		e.b = strictjson.AppendString(append(e.b, `{"type":"thinking","thinking":`...), p.Text)
	case chat.Image:
		return e.image(p.Media)
	case chat.Document:
		return e.document(p.Media)
	case chat.Audio:
		e.never(contentMember, "Cohere's models take no sound.")
		return false
	default:
		e.drop(thinkingMember)
		return false
	}
	e.b = append(e.b, '}')
	return true
}

func (e *encoder) image(m *chat.Media) bool {
	if m == nil || m.FileID != "" {
		e.never("messages[].content[].source.file_id", "An image is given by the id of a file, which exists only at the provider that stores it. Send the image itself or its URL.")
		return false
	}
	url := m.URL
	if url == "" {
		url = view(wire.AppendDataURI(make([]byte, 0, len(m.Type)+len(m.Data)+16), m.Type, m.Data))
	}
	e.b = strictjson.AppendString(append(e.b, `{"type":"image_url","image_url":{"url":`...), url)
	if m.Detail == "auto" || m.Detail == "low" || m.Detail == "high" {
		e.text("detail", m.Detail)
	} else if m.Detail != "" {
		e.drop("messages[].content[].image_url.detail")
	}
	e.b = append(e.b, '}', '}')
	return true
}

// document writes a plain text; other documents have no place in a message of this schema.
func (e *encoder) document(m *chat.Media) bool {
	if m == nil || m.Data == "" || !strings.HasPrefix(m.Type, "text/") {
		e.never(contentMember, "Cohere's models take documents as plain text only. Send the document's text.")
		return false
	}
	text, err := base64.StdEncoding.DecodeString(m.Data)
	if err != nil {
		e.never(contentMember, "A document's data is not base64.")
		return false
	}
	if m.Name != "" {
		text = append([]byte(m.Name+"\n\n"), text...)
	}
	e.b = append(strictjson.AppendString(append(e.b, `{"type":"text","text":`...), view(text)), '}')
	return true
}
