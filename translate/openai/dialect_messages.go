package openai

import (
	"bytes"
	"crypto/sha256"
	"fmt"

	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

// Members of messages that a provider may not know, under the names that a client sees in x-dragoman-dropped.
const (
	nameMember      = "messages[].name"
	refusalMember   = "messages[].refusal"
	reasoningMember = "messages[].reasoning_content"
	blocksMember    = "messages[].thinking_blocks"
	imagesPath      = "messages[].images"
	extraMember     = "messages[].tool_calls[].extra_content"
)

func containsMark(body []byte) bool { return bytes.Contains(body, []byte(`"cache_control"`)) }

func (r *rewriter) messages(from, to int) {
	n, last, role := 0, 0, ""
	continued := false
	r.elements(from, to, func(from, to int) {
		role, continued = r.message(n, from, to)
		n, last = n+1, to
	})
	if r.d.prefix && role == roleAssistant && !continued {
		r.put(last-1, last-1, []byte(`,"prefix":true`))
	}
}

// message rewrites one message. It says whose it is, and whether it is marked as one to be continued.
func (r *rewriter) message(n, from, to int) (role string, continued bool) {
	list := r.fields(from, to)
	m := messageEdit{rewriter: r, n: n, list: list}
	role = strictjson.Text(m.raw("role"))
	m.role = role
	m.settleRefusal()
	o := r.editObject(from)
	for i := range list {
		f := &list[i]
		as := m.member(f)
		if as == "" {
			o.remove(f.End)
			continue
		}
		if as != f.Name {
			o.rename(f.Start, as)
		}
		m.value(f)
		o.keep(f.End)
	}
	return role, string(m.raw("prefix")) == "true" || m.raw("tool_calls") != nil
}

// messageEdit is one message in the making.
type messageEdit struct {
	*rewriter
	n       int
	role    string
	list    []chat.Field
	refused bool // the refusal stands for the content
}

// raw is a member's JSON text, nil when absent or null.
func (m *messageEdit) raw(name string) []byte {
	for i := range m.list {
		if f := &m.list[i]; f.Name == name {
			if raw := m.body[f.Start:f.End]; string(raw) != "null" {
				return raw
			}
		}
	}
	return nil
}

func (m *messageEdit) settleRefusal() {
	refusal := m.raw("refusal")
	m.refused = !m.d.refusals && m.raw("content") == nil && len(refusal) > 0 && refusal[0] == '"' && m.raw("tool_calls") == nil
}

// member is the name under which a member of the message is sent, "" when it goes.
func (m *messageEdit) member(f *chat.Field) string {
	null := string(m.body[f.Start:f.End]) == "null"
	switch f.Name {
	case "content":
		if m.refused {
			return ""
		}
	case "name":
		if m.d.names || m.role == roleTool || m.role == roleFunction {
			return f.Name
		}
		return m.without(nameMember, null)
	case "refusal":
		switch {
		case m.d.refusals:
			return f.Name
		case m.refused:
			return "content"
		}
		return m.without(refusalMember, null)
	case "reasoning_content", "reasoning":
		return m.thoughts(f, null)
	case "thinking_blocks":
		return m.without(blocksMember, null)
	case imagesMember:
		if m.d.images {
			return f.Name
		}
		return m.without(imagesPath, null)
	case cacheMember:
		if m.d.caches {
			return f.Name
		}
		return m.without(cacheMember, null)
	case "annotations": // of an answer that is sent back whole
		if !m.d.refusals {
			return ""
		}
	case "audio", "function_call", "tool_calls":
		if null {
			return ""
		}
	}
	return f.Name
}

// without lets a member go.
func (m *messageEdit) without(path string, null bool) string {
	if !null {
		m.losses.drop(path)
	}
	return ""
}

// thoughts is where the reasoning of an earlier answer goes, which clients send back under one of two names.
func (m *messageEdit) thoughts(f *chat.Field, null bool) string {
	as := m.d.thoughts
	switch {
	case as == f.Name && !null:
		return as
	case as == "" || as == inContent || null:
		return m.without(reasoningMember, null)
	case m.raw(as) != nil:
		return "" // both, with the same text
	}
	return as
}

func (m *messageEdit) value(f *chat.Field) {
	switch f.Name {
	case "role":
		if m.role == roleDeveloper && !m.d.developer {
			m.put(f.Start, f.End, []byte(`"`+roleSystem+`"`))
		}
	case "content":
		m.content(f)
	case "tool_calls":
		m.elements(f.Start, f.End, m.call)
	case "tool_call_id":
		m.shorten(f)
	}
}

func (m *messageEdit) call(from, to int) {
	o := m.editObject(from)
	for _, f := range m.fields(from, to) {
		if f.Name == extraContent {
			m.losses.drop(extraMember) // bound to the provider that made it (D78)
			o.remove(f.End)
			continue
		}
		if f.Name == "id" {
			m.shorten(&f)
		}
		o.keep(f.End)
	}
}

func (m *messageEdit) shorten(f *chat.Field) {
	if !m.d.shortIDs || m.body[f.Start] != '"' {
		return
	}
	id := strictjson.Text(m.body[f.Start:f.End])
	if short := shortID(id); short != id {
		m.put(f.Start, f.End, strictjson.AppendString(nil, short))
	}
}

// shortLength is the length of every id of a tool call at Mistral's.
const shortLength = 9

// shortID is an id of nine letters and digits: itself where it is one, the same for the same id elsewhere (D34, D83).
func shortID(id string) string {
	fits := len(id) == shortLength
	for i := 0; i < len(id) && fits; i++ {
		c := id[i]
		fits = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
	}
	if fits {
		return id
	}
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum := sha256.Sum256([]byte(id))
	b := sum[:shortLength]
	for i := range b {
		b[i] = digits[int(b[i])%len(digits)]
	}
	return string(b)
}

// content rewrites a list of parts. Texts alone become one string where the provider wants that.
func (m *messageEdit) content(f *chat.Field) {
	if m.body[f.Start] != '[' {
		return
	}
	if m.d.flat {
		if text, ok := joinTexts(m.body[f.Start:f.End]); ok {
			m.put(f.Start, f.End, strictjson.AppendString(make([]byte, 0, len(text)+len(text)/16+2), text))
			return
		}
	}
	i := 0
	m.elements(f.Start, f.End, func(from, to int) {
		if m.marked {
			m.unmark(from, to, nil)
		}
		if m.d.bytes && hasWebImage(m.body[from:to]) {
			m.losses.needsBytes(fmt.Sprintf("messages[%d].content[%d]", m.n, i))
		}
		i++
	})
}

// needsBytes refuses a file that is given by its URL.
func (l *losses) needsBytes(path string) {
	l.unsupported(path, translate.NeedsBytes, "An image is given by its URL; a provider that this request would go to takes images as base64 data only.")
}

// wantsBytes is refuse for a file that could be sent if its bytes were there.
func (l *losses) wantsBytes(path, message string) {
	if l.lossy {
		l.drop(path)
		return
	}
	l.unsupported(path, translate.NeedsBytes, "%s", message)
}

// joinTexts is the text of a list of text parts; false when it holds anything else.
func joinTexts(raw []byte) (text string, ok bool) {
	var b []byte
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Index() > 0 {
			b = append(b, '\n')
		}
		kind := ""
		if s.Kind() != strictjson.Object {
			return "", false
		}
		for s.Enter(strictjson.Object); s.Next(); {
			switch string(s.Key()) {
			case "type":
				kind = strictjson.Text(stringOf(s))
			case "text", "refusal":
				b = strictjson.AppendText(b, stringOf(s))
			}
		}
		if kind != "text" && kind != "refusal" {
			return "", false
		}
	}
	return string(b), s.Err() == nil
}

// hasWebImage says whether a content part is an image given by its URL.
func hasWebImage(raw []byte) (web bool) {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) != "image_url" || s.Kind() != strictjson.Object {
			continue
		}
		for s.Enter(strictjson.Object); s.Next(); {
			if string(s.Key()) == "url" {
				web = wire.IsWebURL(strictjson.Text(stringOf(s)))
			}
		}
	}
	return web
}
