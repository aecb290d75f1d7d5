package wire

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	clipRunes = 300
	// scanBytes bounds the work on a foreign body. It is far above clipRunes, so that markup in front of the text does
	// not hide it.
	scanBytes = 16 << 10
)

// Clip makes a foreign body fit for an error message: at most 300 printable characters on one line, tags of a web page
// left out, secrets redacted.
func Clip(body []byte) string {
	if len(body) > scanBytes {
		body = body[:scanBytes]
	}
	text := string(bytes.ToValidUTF8(body, []byte("\uFFFD")))
	if strings.HasPrefix(strings.TrimSpace(text), "<") {
		text = withoutTags(text)
	}
	return ClipText(text)
}

// ClipText is Clip for text that is known not to be markup.
func ClipText(text string) string {
	if len(text) > scanBytes {
		text = text[:scanBytes]
	}
	text = Redact(printable(text))
	n := 0
	for i := range text {
		if n == clipRunes {
			return text[:i] + "…"
		}
		n++
	}
	return text
}

// printable puts text on one line: runs of white space become one space, what cannot be shown is left out.
func printable(text string) string {
	var b strings.Builder
	gap := false
	for _, r := range text {
		switch {
		case unicode.IsSpace(r):
			gap = b.Len() > 0
		case r == utf8.RuneError || !unicode.IsPrint(r):
		default:
			if gap {
				b.WriteByte(' ')
				gap = false
			}
			b.WriteRune(r)
		}
	}
	return b.String()
}

// withoutTags leaves a web page's text. It is for people to read, not for a browser: scripts and styles go with their
// contents, everything else between < and > goes alone.
func withoutTags(page string) string {
	var b strings.Builder
	for page != "" {
		open := strings.IndexByte(page, '<')
		if open < 0 {
			b.WriteString(page)
			break
		}
		b.WriteString(page[:open])
		b.WriteByte(' ')
		page = page[open:]
		if end := hiddenEnd(page); end > 0 {
			page = page[end:]
			continue
		}
		shut := strings.IndexByte(page, '>')
		if shut < 0 {
			break
		}
		page = page[shut+1:]
	}
	return b.String()
}

// hiddenEnd is how far a script, style or comment at the start of page reaches, 0 when there is none.
func hiddenEnd(page string) int {
	for _, h := range [...]struct{ open, shut string }{{"<script", "</script>"}, {"<style", "</style>"}, {"<!--", "-->"}} {
		if len(page) < len(h.open) || !strings.EqualFold(page[:len(h.open)], h.open) {
			continue
		}
		at := strings.Index(strings.ToLower(page), h.shut)
		if at < 0 || len(strings.ToLower(page)) != len(page) {
			return len(page)
		}
		return at + len(h.shut)
	}
	return 0
}
