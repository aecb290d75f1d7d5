package gemini

import (
	"encoding/base64"
	"fmt"
	"strings"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/wire"
)

const (
	userRole  = "user"
	modelRole = "model"
)

// placeholder stands where the service wants a user's turn and the conversation has none (D6).
const placeholder = "."

// turn is one Content as it will be sent. Responses of functions have a turn of their own: Gemini 3 refuses them beside
// other parts (D36).
type turn struct {
	role      string
	parts     []piece
	responses bool
}

// piece is one part as it will be sent.
type piece struct {
	kind      chat.PartKind
	text      string     // of Text and Thinking
	part      *chat.Part // of every other kind
	id        string     // of ToolCall and ToolResult; "" where ids have no place
	name      string     // of ToolResult
	signature string
	msg       int // where it came from, for paths in faults
	index     int
}

func (p *piece) path() string { return fmt.Sprintf("messages[%d].content[%d]", p.msg, p.index) }

// converse turns the messages into a system instruction and turns that begin with the user's.
func (e *encoder) converse() {
	e.turns = make([]turn, 0, len(e.r.Messages)+1)
	for i := range e.r.Messages {
		m := &e.r.Messages[i]
		if m.Name != "" { // D9
			e.drop(fmt.Sprintf("messages[%d].name", i))
		}
		switch m.Role {
		case chat.System, chat.Developer:
			e.systemMessage(i, m)
		case chat.Assistant:
			e.assistantMessage(i, m)
		default:
			for j := range m.Parts {
				e.userPart(i, j, &m.Parts[j])
			}
		}
	}
	e.pair()
	if len(e.turns) == 0 || e.turns[0].role != userRole {
		e.turns = append([]turn{{role: userRole, parts: []piece{{kind: chat.Text, text: placeholder}}}}, e.turns...)
	}
	e.withText()
	e.sign()
}

// systemMessage hoists the leading run of system messages; a later one stays where it is, as the user's with a mark, for
// the cached prefix stays the same then (D3).
func (e *encoder) systemMessage(i int, m *chat.Message) {
	leading := len(e.turns) == 0
	for j := range m.Parts {
		p := &m.Parts[j]
		e.marks(p)
		switch {
		case p.Kind != chat.Text:
			e.unsupported(fmt.Sprintf("messages[%d].content[%d]", i, j), "A system message can hold only text for Google's models.")
		case blank(p.Text): // D7
		case leading:
			e.system = append(e.system, p.Text)
		default:
			e.push(userRole, piece{kind: chat.Text, text: "<system>\n" + p.Text + "\n</system>", msg: i, index: j})
		}
	}
}

func (e *encoder) marks(p *chat.Part) {
	if p.Cache != nil { // D82: caching is implicit, or by a resource that a request cannot make
		e.drop("cache_control")
	}
	e.extras(p.Extra)
}

func (e *encoder) userPart(i, j int, p *chat.Part) {
	e.marks(p)
	x := piece{kind: p.Kind, part: p, msg: i, index: j}
	switch p.Kind {
	case chat.Text, chat.Refusal:
		if blank(p.Text) {
			return
		}
		x.kind, x.text = chat.Text, p.Text
	case chat.Image, chat.Document, chat.Audio:
		e.checkMedia(&x)
	case chat.ToolResult:
		for k := range p.Result.Parts {
			e.marks(&p.Result.Parts[k])
		}
	default:
		return
	}
	e.push(userRole, x)
}

// assistantMessage takes what the model said. Thoughts go back only as far as they are signed by the service itself
// (D75, D78); their text is not needed.
func (e *encoder) assistantMessage(i int, m *chat.Message) {
	signature := "" // of the part before or behind
	for j := range m.Parts {
		p := &m.Parts[j]
		e.marks(p)
		x := piece{kind: p.Kind, part: p, msg: i, index: j}
		if own := neighbour(p); own != "" {
			e.signText(signature, i, j)
			signature = own
			continue
		}
		if p.Kind == chat.ToolCall {
			if own, ok := chat.SignedBy(chat.Gemini, p.Signature); ok {
				signature = own
			}
			x.signature, signature = signature, ""
			e.push(modelRole, x)
			continue
		}
		e.signText(signature, i, j)
		signature = ""
		if e.said(&x, p) {
			e.push(modelRole, x)
		}
	}
	e.signText(signature, i, len(m.Parts))
}

// said settles a part of the model's that is no call; false for one that is not sent.
func (e *encoder) said(x *piece, p *chat.Part) bool {
	switch p.Kind {
	case chat.Text, chat.Refusal: // D135
		x.kind, x.text = chat.Text, p.Text
		return !blank(p.Text)
	case chat.Thinking, chat.RedactedThinking:
		own, ok := chat.SignedBy(chat.Gemini, p.Signature)
		if !ok || p.Kind == chat.RedactedThinking {
			if p.Text != "" || p.Signature != "" {
				e.drop(fmt.Sprintf("messages[%d].reasoning_content", x.msg))
			}
			return false
		}
		x.text, x.signature = p.Text, own
	case chat.Image, chat.Document, chat.Audio: // Google's models make images, and may be shown their own
		e.checkMedia(x)
	default:
		return false
	}
	return true
}

// signText puts the signature of a text on it, or on an empty text in its place, as the service itself streams it.
func (e *encoder) signText(signature string, i, j int) {
	if signature == "" {
		return
	}
	if n := len(e.turns); n > 0 && e.turns[n-1].role == modelRole {
		parts := e.turns[n-1].parts
		if last := &parts[len(parts)-1]; last.kind == chat.Text && last.signature == "" && last.msg == i {
			last.signature = signature
			return
		}
	}
	e.push(modelRole, piece{kind: chat.Text, signature: signature, msg: i, index: j})
}

// push adds a part to the turn in progress, or begins the next one: neighbours of one role are one turn (D5), unless one
// of them holds the responses of functions.
func (e *encoder) push(role string, p piece) {
	responses := p.kind == chat.ToolResult
	if n := len(e.turns); n > 0 && e.turns[n-1].role == role && e.turns[n-1].responses == responses {
		e.turns[n-1].parts = append(e.turns[n-1].parts, p)
		return
	}
	e.turns = append(e.turns, turn{role: role, parts: []piece{p}, responses: responses})
}

// withText gives a turn of nothing but media a blank text: some of Google's endpoints want one (D12).
func (e *encoder) withText() {
	for i := range e.turns {
		t := &e.turns[i]
		if t.role != userRole || t.responses {
			continue
		}
		text := false
		for j := range t.parts {
			text = text || t.parts[j].kind == chat.Text
		}
		if !text {
			t.parts = append(t.parts, piece{kind: chat.Text, text: " "})
		}
	}
}

// sign gives the calls of the current turn the escape value where their signature is lost (D79): the first call of each
// step must have one. The current turn is what follows the user's last words.
func (e *encoder) sign() {
	if !e.traits.signatures {
		return
	}
	for i := len(e.turns) - 1; i >= 0; i-- {
		t := &e.turns[i]
		if t.role == userRole {
			if !t.responses {
				return
			}
			continue
		}
		for j := range t.parts {
			if p := &t.parts[j]; p.kind == chat.ToolCall {
				if p.signature == "" {
					p.signature = skipSignature
				}
				break
			}
		}
	}
}

// checkMedia refuses what the service cannot take, before anything is written.
func (e *encoder) checkMedia(x *piece) {
	m := x.part.Media
	if m == nil {
		e.fail(fault.InvalidRequest, x.path(), "The image, document or sound is empty.")
		return
	}
	if m.Detail != "" && m.Detail != "auto" { // D67
		e.drop(x.path() + ".image_url.detail")
	}
	s := sourceOf(m)
	switch {
	case s.file != "" && e.r.Schema != chat.Gemini:
		e.unsupported(x.path(), "A file id is known only to the provider that made it: send the file itself (D71).")
	case s.file != "":
	case s.url != "":
		e.checkURL(x, &s)
	case s.data == "":
		e.fail(fault.InvalidRequest, x.path(), "The image, document or sound is empty.")
	case !takes(s.mediaType):
		e.unsupported(x.path(), "Google's models do not take %q: send an image as PNG, JPEG, WebP or HEIC, a document as PDF or text.", wire.ClipText(s.mediaType))
	default:
		if _, err := base64.StdEncoding.DecodeString(tailOf(s.data)); err != nil {
			e.fail(fault.InvalidRequest, x.path(), "The data is not base64.")
		}
	}
}

// tailOf is the end of base64 data, whole quadruples: enough to see that it is base64 at all.
func tailOf(data string) string { return data[max(0, (len(data)-64)/4*4):] }

// checkURL: the type of what a URL leads to must be known on Vertex AI (D66). Only the client or the URL itself can say.
func (e *encoder) checkURL(x *piece, s *source) {
	switch {
	case !wire.IsWebURL(s.url):
		e.fail(fault.InvalidRequest, x.path(), "The URL of an image or document must be http, https or a base64 data URI.")
	case s.mediaType == "" && e.t.Dialect == Vertex:
		if e.err == nil {
			e.unsupported(x.path(), "Vertex AI must be told what type of file a URL leads to, and this URL has no extension that says so: send the file itself.")
			e.err.Code = translate.NeedsBytes
		}
	}
}

// takes says whether the models read a type (https://ai.google.dev/gemini-api/docs: image, document and audio understanding).
func takes(mediaType string) bool {
	switch mediaType {
	case "image/png", "image/jpeg", "image/webp", "image/heic", "image/heif", wire.PDF, "application/json":
		return true
	}
	return strings.HasPrefix(mediaType, "audio/") || strings.HasPrefix(mediaType, "video/") || strings.HasPrefix(mediaType, "text/")
}

// source is where a file's bytes are, as they will be sent.
type source struct{ mediaType, data, url, file string }

func sourceOf(m *chat.Media) source {
	s := source{mediaType: wire.MediaType(m.Type), data: m.Data, url: m.URL, file: m.FileID}
	if mediaType, data, ok := wire.SplitDataURI(s.url); ok {
		s.mediaType, s.data, s.url = mediaType, data, ""
	}
	if s.url != "" && s.mediaType == "" {
		path := strings.ToLower(wire.URLPath(s.url))
		s.mediaType = extensions[path[strings.LastIndexByte(path, '.')+1:]]
	}
	return s
}

var extensions = map[string]string{
	"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "webp": "image/webp", "heic": "image/heic", "heif": "image/heif",
	"pdf": wire.PDF, "txt": "text/plain", "mp3": "audio/mp3", "wav": "audio/wav", "mp4": "video/mp4",
}
