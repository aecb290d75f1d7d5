package cohere

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// citation is one citation of an answer, which may rest on several sources.
type citation struct {
	start, end int // in characters
	index      int // of the content block, -1 when not said
	plan       bool
	sources    []source
}

type source struct{ title, url, quote string }

// maxSources bounds what one citation may hold; further ones are left out.
const maxSources = 64

func readCitation(s *strictjson.Scanner) citation {
	c := citation{index: -1}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "start":
			c.start = int(countOf(s))
		case "end":
			c.end = int(countOf(s))
		case "content_index":
			if s.Kind() == strictjson.Number {
				c.index = int(countOf(s))
			}
		case "type":
			c.plan = string(stringOf(s)) == `"PLAN"`
		case "sources":
			if s.Kind() == strictjson.Array {
				for s.Enter(strictjson.Array); s.Next(); {
					if s.Kind() == strictjson.Object && len(c.sources) < maxSources {
						c.sources = append(c.sources, readSource(s))
					}
				}
			}
		}
	}
	return c
}

// readSource reads a document, or the output of a tool. What its members are called is the application's choice: title,
// url, and snippet or text are the names that the vendor's guides use.
func readSource(s *strictjson.Scanner) (out source) {
	id := ""
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "id":
			id = clone(stringOf(s))
		case "document", "tool_output":
			if s.Kind() == strictjson.Object {
				for s.Enter(strictjson.Object); s.Next(); {
					out.member(s)
				}
			}
		}
	}
	if out.title == "" {
		out.title = id
	}
	return out
}

func (o *source) member(s *strictjson.Scanner) {
	var dst *string
	switch string(s.Key()) {
	case "title":
		dst = &o.title
	case "url":
		dst = &o.url
	case "snippet", "text", "content":
		dst = &o.quote
	default:
		return
	}
	if text := clone(stringOf(s)); text != "" {
		*dst = text
	}
}

// neutral is the citation with its offsets in the bytes of the text that it rests on; one for each source.
func (c *citation) neutral(text string) []chat.Citation {
	start, end := 0, 0
	if c.start < c.end {
		start, end = byteOffset(text, c.start), byteOffset(text, c.end)
	}
	out := make([]chat.Citation, 0, len(c.sources))
	for _, s := range c.sources {
		out = append(out, chat.Citation{Title: s.title, URL: s.url, Quote: s.quote, Start: start, End: end})
	}
	return out
}

// byteOffset is where the nth character of text begins.
func byteOffset(text string, n int) int {
	for i := range text {
		if n == 0 {
			return i
		}
		n--
	}
	return len(text)
}

// charOffset is how many characters stand before byte n of text.
func charOffset(text string, n int) int {
	return utf8.RuneCountInString(text[:min(max(n, 0), len(text))])
}

// appendCitations appends the citations of an answer's texts as elements of an array, separated by commas. Sources of one
// stretch of text belong to one citation. index is the content block's.
func appendCitations(b []byte, list []chat.Citation, text string, index int) []byte {
	from := len(b)
	for i := 0; i < len(list); {
		n := i + 1
		for n < len(list) && list[n].Start == list[i].Start && list[n].End == list[i].End {
			n++
		}
		if len(b) > from {
			b = append(b, ',')
		}
		b = appendCitation(b, list[i:n], text, index)
		i = n
	}
	return b
}

func appendCitation(b []byte, same []chat.Citation, text string, index int) []byte {
	start, end := charOffset(text, same[0].Start), charOffset(text, same[0].End)
	b = strconv.AppendInt(append(b, `{"start":`...), int64(start), 10)
	b = strconv.AppendInt(append(b, `,"end":`...), int64(end), 10)
	b = strictjson.AppendString(append(b, `,"text":`...), between(text, same[0].Start, same[0].End))
	b = append(b, `,"sources":[`...)
	for i := range same {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendSource(b, &same[i], i)
	}
	b = strconv.AppendInt(append(b, `],"content_index":`...), int64(index), 10)
	return append(b, `,"type":"TEXT_CONTENT"}`...)
}

func between(text string, start, end int) string {
	start, end = min(max(start, 0), len(text)), min(max(end, 0), len(text))
	if start >= end {
		return ""
	}
	return strings.ToValidUTF8(text[start:end], "\uFFFD")
}

func appendSource(b []byte, c *chat.Citation, n int) []byte {
	b = strconv.AppendInt(append(b, `{"type":"document","id":"doc:`...), int64(n), 10)
	b = append(b, `","document":{`...)
	from := len(b)
	for _, m := range [...]struct{ name, value string }{{"title", c.Title}, {"url", c.URL}, {"snippet", c.Quote}} {
		if m.value == "" {
			continue
		}
		if len(b) > from {
			b = append(b, ',')
		}
		b = append(strictjson.AppendString(b, m.name), ':')
		b = strictjson.AppendString(b, m.value)
	}
	return append(b, '}', '}')
}
