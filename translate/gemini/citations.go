package gemini

import (
	"strconv"

	"github.com/tidwall/gjson"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// maxCitations bounds the sources of one answer.
const maxCitations = 256

// citations reads what an answer rests on (D134): grounding, whose supports name pages for a segment of the text, and
// citationMetadata, long quotations. Both count bytes of the part.
func citations(grounding, quotes []byte) []chat.Citation {
	list := []chat.Citation{}
	if grounding != nil {
		list = grounded(list, gjson.Parse(string(grounding)))
	}
	if quotes != nil {
		gjson.Parse(string(quotes)).Get("citations").ForEach(func(_, q gjson.Result) bool {
			list = append(list, chat.Citation{
				Title: q.Get("title").String(), URL: q.Get("uri").String(), Start: int(q.Get("startIndex").Int()), End: int(q.Get("endIndex").Int()),
			})
			return len(list) < maxCitations
		})
	}
	return list
}

// grounded adds one citation for each page of each support; a page that supports nothing in particular is listed as well.
func grounded(list []chat.Citation, v gjson.Result) []chat.Citation {
	var pages []chat.Citation
	v.Get("groundingChunks").ForEach(func(_, c gjson.Result) bool {
		var page chat.Citation
		for _, kind := range [...]string{"web", "retrievedContext", "maps", "image"} {
			if source := c.Get(kind); source.IsObject() {
				page.Title, page.URL, page.Quote = source.Get("title").String(), source.Get("uri").String(), source.Get("text").String()
				if page.URL == "" {
					page.URL = source.Get("sourceUri").String()
				}
			}
		}
		pages = append(pages, page)
		return len(pages) < maxCitations
	})
	used := make([]bool, len(pages))
	v.Get("groundingSupports").ForEach(func(_, s gjson.Result) bool {
		segment := s.Get("segment")
		start, end := int(segment.Get("startIndex").Int()), int(segment.Get("endIndex").Int())
		if segment.Get("partIndex").Int() != 0 { // texts of several parts are joined: the place is unknown
			start, end = 0, 0
		}
		s.Get("groundingChunkIndices").ForEach(func(_, i gjson.Result) bool {
			if n := i.Int(); n >= 0 && n < int64(len(pages)) && len(list) < maxCitations {
				c := pages[n]
				c.Start, c.End = start, end
				list = append(list, c)
				used[n] = true
			}
			return true
		})
		return len(list) < maxCitations
	})
	for i := range pages {
		if !used[i] && pages[i].URL != "" && len(list) < maxCitations {
			list = append(list, pages[i])
		}
	}
	return list
}

// within takes away places that are not within a text of size bytes.
func within(list []chat.Citation, size int) []chat.Citation {
	for i := range list {
		if c := &list[i]; c.Start < 0 || c.End > size || c.Start >= c.End {
			c.Start, c.End = 0, 0
		}
	}
	return list
}

// appendGrounding writes another provider's citations as groundingMetadata, a page for each URL.
func appendGrounding(b []byte, list []chat.Citation) []byte {
	list = list[:min(len(list), maxCitations)]
	b = append(b, `,"groundingMetadata":{"groundingChunks":[`...)
	pages := map[chat.Citation]int{}
	for i := range list {
		page := chat.Citation{Title: list[i].Title, URL: list[i].URL, Quote: list[i].Quote}
		if _, known := pages[page]; known {
			continue
		}
		if len(pages) > 0 {
			b = append(b, ',')
		}
		pages[page] = len(pages)
		kind := `{"web":{"uri":`
		if page.Quote != "" {
			kind = `{"retrievedContext":{"uri":`
		}
		b = strictjson.AppendString(append(b, kind...), page.URL)
		b = strictjson.AppendString(append(b, `,"title":`...), page.Title)
		if page.Quote != "" {
			b = strictjson.AppendString(append(b, `,"text":`...), page.Quote)
		}
		b = append(b, `}}`...)
	}
	b = append(b, `],"groundingSupports":[`...)
	sep := ""
	for i := range list {
		c := &list[i]
		if c.End == 0 {
			continue
		}
		b = strconv.AppendInt(append(append(b, sep...), `{"segment":{"startIndex":`...), int64(c.Start), 10)
		b = strconv.AppendInt(append(b, `,"endIndex":`...), int64(c.End), 10)
		b = strconv.AppendInt(append(b, `},"groundingChunkIndices":[`...), int64(pages[chat.Citation{Title: c.Title, URL: c.URL, Quote: c.Quote}]), 10)
		b = append(b, `]}`...)
		sep = ","
	}
	return append(b, `]}`...)
}
