package classify

import (
	"strings"
	"unsafe"

	"github.com/tidwall/gjson"

	"dragoman/translate/chat"
)

// FromHead takes the text out of a body that was validated but not decoded, in any client schema: the last user turn that has
// text, and the system prompt. It goes over the turns once at gjson's speed and unescapes no more than is read, so that it costs
// a fraction of a decoding. The Text points into h.Body, which is never written to.
func FromHead(h *chat.Head) Text {
	t := Text{Bytes: h.TextBytes, Turns: h.Messages, Tools: h.Tools, Media: h.Images}
	var turn gjson.Result
	for i := range h.Fields {
		f := &h.Fields[i]
		switch f.Name {
		case "messages", "contents", "input":
			turn = turns(value(h, f), &t)
		case "system", "instructions", "systemInstruction", "system_instruction":
			t.System = firstText(value(h, f))
		case "response_format", "output_config":
			t.Structured = true
		}
	}
	t.User, t.UserBytes = turnText(content(turn))
	return t
}

// value is a member's JSON, without a copy.
func value(h *chat.Head, f *chat.Field) gjson.Result {
	raw := h.Body[f.Start:f.End]
	if len(raw) == 0 {
		return gjson.Result{}
	}
	return gjson.Parse(unsafe.String(&raw[0], len(raw)))
}

// turns finds the last turn of a user that has text, and fills in the system prompt when a turn holds it.
func turns(list gjson.Result, t *Text) (last gjson.Result) {
	if list.Type == gjson.String {
		return list // an input of the Responses API may be a text
	}
	list.ForEach(func(_, turn gjson.Result) bool {
		if !turn.IsObject() {
			return true
		}
		switch turn.Get("role").Str {
		case "user", "": // Gemini's turns, and items of the Responses API, may have none
			if has(content(turn)) {
				last = turn
			}
		case "system", "developer":
			if t.System == "" {
				t.System = firstText(content(turn))
			}
		}
		return true
	})
	return last
}

// content is what a turn says: a string, or an array of parts.
func content(turn gjson.Result) gjson.Result {
	if turn.Type == gjson.String {
		return turn
	}
	if c := turn.Get("content"); c.Exists() {
		return c
	}
	return turn.Get("parts")
}

func has(content gjson.Result) (text bool) {
	if content.Type == gjson.String {
		return len(content.Raw) > 2
	}
	eachText(content, func(raw string) bool {
		text = len(raw) > 2
		return !text
	})
	return text
}

// eachText visits the raw JSON strings of a content, quotes included, until visit says false.
func eachText(content gjson.Result, visit func(raw string) bool) {
	switch {
	case content.Type == gjson.String:
		visit(content.Raw)
	case content.IsObject(): // a system instruction of Gemini
		eachText(content.Get("parts"), visit)
	case content.IsArray():
		content.ForEach(func(_, part gjson.Result) bool {
			if part.Type == gjson.String {
				return visit(part.Raw)
			}
			if text := part.Get("text"); text.Type == gjson.String {
				return visit(text.Raw)
			}
			return true
		})
	}
}

func firstText(content gjson.Result) (text string) {
	eachText(content, func(raw string) bool {
		text = unescapeHead(raw[1:len(raw)-1], systemBytes)
		return text == ""
	})
	return text
}

// turnText is the text of a turn, or its ends. whole is its length when only the ends are there, else 0.
func turnText(content gjson.Result) (text string, whole int) {
	first, last, parts := "", "", 0
	eachText(content, func(raw string) bool {
		if raw = raw[1 : len(raw)-1]; raw != "" {
			if parts == 0 {
				first = raw
			}
			parts, last, whole = parts+1, raw, whole+len(raw)+1
		}
		return true
	})
	switch {
	case parts == 0:
		return "", 0
	case parts == 1 && len(first) <= headBytes+tailBytes:
		return unescapeHead(first, len(first)), 0
	case parts == 2 && whole <= headBytes+tailBytes:
		return unescapeHead(first, len(first)) + "\n" + unescapeHead(last, len(last)), 0
	case parts == 1:
		return unescapeHead(first, headBytes) + "\n" + unescapeTail(first, tailBytes), whole
	}
	// Of more parts the first and the last are read: instructions stand there.
	return unescapeHead(first, headBytes) + "\n" + unescapeTail(last, tailBytes), max(whole, headBytes+tailBytes+1)
}

// unescapeHead reads at most n raw bytes of the beginning of a JSON string's inside.
func unescapeHead(raw string, n int) string {
	if len(raw) > n {
		raw = clip(raw, n)
		for i := max(0, len(raw)-12); i < len(raw); i++ { // an escape that the end may cut, a pair of surrogates at most
			if raw[i] == '\\' {
				raw = raw[:i]
			}
		}
		return strings.TrimRight(unescape(raw), "\ufffd") // half of a pair
	}
	return unescape(raw)
}

// unescapeTail reads at most n raw bytes of its end.
func unescapeTail(raw string, n int) string {
	if len(raw) > n {
		raw = clipFront(raw, n)
		for i := 0; i < min(64, len(raw)-1); i++ { // begin where no escape can be cut
			if raw[i] == ' ' || i > 0 && raw[i] == '\\' && raw[i-1] != '\\' && (raw[i+1] == 'u' && !lowSurrogate(raw[i:]) || raw[i+1] == 'n') {
				raw = raw[i:]
				break
			}
		}
	}
	return unescape(raw)
}

// lowSurrogate says whether an escape is the second half of a pair.
func lowSurrogate(escape string) bool {
	return len(escape) >= 4 && escape[2]|0x20 == 'd' && (escape[3]|0x20 >= 'c' && escape[3]|0x20 <= 'f')
}

// unescape leaves a string without escapes as it is, without a copy.
func unescape(raw string) string {
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' {
			return gjson.Parse(`"` + raw + `"`).String()
		}
	}
	return raw
}
