package openai

import (
	"strconv"
	"unicode/utf8"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

const (
	// maxCitations bounds the work on one text: each citation's place is counted from its beginning.
	maxCitations = 256
	// citedText is how much of a streamed text is kept to find the places in it, in bytes.
	citedText = 256 << 10
	// citedBytes bounds the words that are kept of a stream's citations.
	citedBytes = 1 << 20
)

// citations reads url_citation annotations (D134): {"type","url_citation":{"url","title","start_index","end_index"}}. The
// schema counts characters, the neutral form bytes of text.
func citations(list []chat.Citation, raw []byte, text string) []chat.Citation {
	if len(raw) <= len(`[]`) {
		return list
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object || len(list) == maxCitations {
			continue
		}
		for s.Enter(strictjson.Object); s.Next(); {
			if string(s.Key()) == "url_citation" && s.Kind() == strictjson.Object {
				list = append(list, citation(s, text))
			}
		}
	}
	return list
}

// citation reads the object before the cursor, which is a url_citation or one of Perplexity's search_results.
func citation(s *strictjson.Scanner, text string) (c chat.Citation) {
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "url":
			c.URL = string(strictjson.AppendText(nil, stringOf(s)))
		case "title":
			c.Title = string(strictjson.AppendText(nil, stringOf(s)))
		case "content", "snippet":
			c.Quote = string(strictjson.AppendText(nil, stringOf(s)))
		case "start_index":
			c.Start = byteOffset(text, countOf(s))
		case "end_index":
			c.End = byteOffset(text, countOf(s))
		}
	}
	if c.Start >= c.End {
		c.Start, c.End = 0, 0
	}
	return c
}

// searched reads the pages that a whole answer of Perplexity's rests on: search_results, or citations, its older list of
// URLs.
func searched(list []chat.Citation, raw []byte) []chat.Citation {
	s := strictjson.NewLenient(raw)
	defer s.Release()
	if s.Kind() != strictjson.Array {
		return list
	}
	for s.Enter(strictjson.Array); s.Next(); {
		switch {
		case len(list) == maxCitations:
		case s.Kind() == strictjson.Object:
			list = append(list, citation(s, ""))
		case s.Kind() == strictjson.String:
			if url := string(strictjson.AppendText(nil, stringOf(s))); wire.IsWebURL(url) {
				list = append(list, chat.Citation{URL: url})
			}
		}
	}
	return list
}

// byteOffset is where the nth character of text begins.
func byteOffset(text string, n int64) int {
	for i := range text {
		if n <= 0 {
			return i
		}
		n--
	}
	return len(text)
}

// hasURL says whether any citation is one that the schema can show: it cites web pages only.
func hasURL(list []chat.Citation) bool {
	for i := range list {
		if list[i].URL != "" {
			return true
		}
	}
	return false
}

// appendCitations appends annotations, separated by commas. before is how many characters of the message stand before text;
// one whose place is not known counts for the whole text.
func appendCitations(b []byte, list []chat.Citation, text string, before int) []byte {
	sep := ""
	for i := range list[:min(len(list), maxCitations)] {
		c := &list[i]
		if c.URL == "" {
			continue
		}
		start, end := c.Start, c.End
		if end > len(text) || start < 0 || start >= end {
			start, end = 0, len(text)
		}
		b = append(append(b, sep...), `{"type":"url_citation","url_citation":{"start_index":`...)
		b = strconv.AppendInt(b, int64(before+utf8.RuneCountInString(text[:start])), 10)
		b = strconv.AppendInt(append(b, `,"end_index":`...), int64(before+utf8.RuneCountInString(text[:end])), 10)
		b = strictjson.AppendString(append(b, `,"title":`...), c.Title)
		b = strictjson.AppendString(append(b, `,"url":`...), c.URL)
		b = append(b, '}', '}')
		sep = ","
	}
	return b
}
