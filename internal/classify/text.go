package classify

import (
	"unicode/utf8"

	"dragoman/translate/chat"
)

// What is read of a text, in bytes: instructions stand at its ends, so a long text's middle is passed over.
const (
	systemBytes = 512  // of the beginning of the system prompt
	headBytes   = 1536 // of the beginning of the last user turn
	tailBytes   = 512  // of its end
)

// Text is what of a request is looked at. Only the ends of long texts are: System's first 512 bytes, User's first 1,536 and last 512.
type Text struct {
	System     string // the system prompt, or its beginning
	User       string // the last user turn, or its ends; parts joined by a line break
	UserBytes  int    // length of the whole user turn when User holds its ends only, else 0
	Bytes      int    // text of the whole request, 0: unknown
	Turns      int    // messages, 0: unknown
	Tools      int    // offered
	Media      int    // images, documents, sound
	Structured bool   // an answer in JSON is asked for
}

// FromRequest takes the text out of a decoded request. It copies only where a turn consists of several parts.
func FromRequest(r *chat.Request) Text {
	t := Text{Turns: len(r.Messages), Tools: len(r.Tools), Structured: r.Format != nil}
	last := -1
	for i := range r.Messages {
		m := &r.Messages[i]
		for j := range m.Parts {
			switch p := &m.Parts[j]; p.Kind {
			case chat.Text:
				t.Bytes += len(p.Text)
			case chat.Image, chat.Document, chat.Audio:
				t.Media++
			}
		}
		switch m.Role {
		case chat.User:
			if hasText(m) {
				last = i
			}
		case chat.System, chat.Developer:
			if t.System == "" {
				t.System, _ = ends(m, systemBytes, 0)
			}
		}
	}
	if last >= 0 {
		t.User, t.UserBytes = ends(&r.Messages[last], headBytes, tailBytes)
	}
	return t
}

func hasText(m *chat.Message) bool {
	for i := range m.Parts {
		if m.Parts[i].Kind == chat.Text && m.Parts[i].Text != "" {
			return true
		}
	}
	return false
}

// ends are the first and last bytes of a message's text: of its only part, or of the first and the last one. whole is its length when
// something was left out, else 0.
func ends(m *chat.Message, head, tail int) (text string, whole int) {
	first, last, parts := "", "", 0
	for i := range m.Parts {
		if p := &m.Parts[i]; p.Kind == chat.Text && p.Text != "" {
			if parts == 0 {
				first = p.Text
			}
			parts, last, whole = parts+1, p.Text, whole+len(p.Text)+1
		}
	}
	if parts < 2 {
		return first, 0
	}
	text = clip(first, head) + "\n" + clipFront(last, tail)
	if len(text)+1 >= whole {
		whole = 0
	}
	return text, whole
}

// clip shortens s to its first n bytes at most, at a rune's border.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// clipFront shortens s to its last n bytes at most, at a rune's border.
func clipFront(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for from := len(s) - n; from < len(s); from++ {
		if utf8.RuneStart(s[from]) {
			return s[from:]
		}
	}
	return ""
}
