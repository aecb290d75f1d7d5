package responses

import (
	"strconv"
	"unicode/utf8"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// maxCitations bounds the work on one text: each citation's place is counted from its beginning.
const maxCitations = 256

// citations reads the url_citation annotations of a text (D134). The schema counts characters, the neutral form bytes.
func citations(raw []byte, text string) (list []chat.Citation) {
	if len(raw) <= len(`[]`) {
		return nil
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object || len(list) == maxCitations {
			continue
		}
		var c chat.Citation
		kind := ""
		for s.Enter(strictjson.Object); s.Next(); {
			switch string(s.Key()) {
			case "type":
				kind = text1(s)
			case "url":
				c.URL = text1(s)
			case "title":
				c.Title = text1(s)
			case "start_index":
				c.Start = byteOffset(text, countOf(s))
			case "end_index":
				c.End = byteOffset(text, countOf(s))
			}
		}
		if kind == urlCitation {
			list = append(list, c)
		}
	}
	return list
}

// text1 is a string of its own memory, "" for another kind.
func text1(s *strictjson.Scanner) string {
	return string(strictjson.AppendText(nil, stringOf(s)))
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

// charOffset is how many characters stand before a byte of text.
func charOffset(text string, at int) int {
	return utf8.RuneCountInString(text[:min(max(at, 0), len(text))])
}

// appendAnnotations appends the list of a text's citations. One whose place is not known counts for the whole text.
func appendAnnotations(dst []byte, text string, list []chat.Citation) []byte {
	dst = append(dst, '[')
	first := true
	for i := range list[:min(len(list), maxCitations)] {
		c := &list[i]
		if c.URL == "" {
			continue // the schema cites web pages and files of the vendor only
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		end := c.End
		if c.Start == 0 && end == 0 {
			end = len(text)
		}
		dst = strictjson.AppendString(append(dst, `{"type":"url_citation","url":`...), c.URL)
		dst = strictjson.AppendString(append(dst, `,"title":`...), c.Title)
		dst = strconv.AppendInt(append(dst, `,"start_index":`...), int64(charOffset(text, c.Start)), 10)
		dst = strconv.AppendInt(append(dst, `,"end_index":`...), int64(charOffset(text, end)), 10)
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
