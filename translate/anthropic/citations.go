package anthropic

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/tidwall/gjson"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
	"dragoman/translate/wire"
)

const (
	// maxCitations bounds what is kept of one answer's sources.
	maxCitations = 256
	// citedBytes bounds one source, as a stream tells it.
	citedBytes = 64 << 10
)

// citations reads a text block's list, whose entries are about the whole block (D134): text[from:to] of the text that the
// block was joined into.
func citations(list []chat.Citation, v gjson.Result, from, to int) []chat.Citation {
	v.ForEach(func(_, c gjson.Result) bool {
		if one := citation(c, from, to); says(&one) {
			list = append(list, one)
		}
		return len(list) < maxCitations
	})
	return list
}

// citation reads one source: a page of a web search, a search result or a place in a document.
func citation(v gjson.Result, from, to int) chat.Citation {
	c := chat.Citation{URL: v.Get("url").String(), Title: v.Get("title").String(), Quote: v.Get("cited_text").String(), Start: from, End: to}
	if c.Title == "" {
		c.Title = v.Get("document_title").String()
	}
	if source := v.Get("source").String(); c.URL == "" && wire.IsWebURL(source) {
		c.URL = source
	}
	return c
}

func says(c *chat.Citation) bool { return c.URL != "" || c.Title != "" || c.Quote != "" }

// appendCitation writes another provider's source as one that a web search found, the only kind that stands for itself: the
// others point into documents of the request.
func appendCitation(b []byte, c *chat.Citation) []byte {
	b = strictjson.AppendString(append(b, `{"type":"web_search_result_location","cited_text":`...), c.Quote)
	b = strictjson.AppendString(append(b, `,"encrypted_index":"","title":`...), c.Title)
	return append(strictjson.AppendString(append(b, `,"url":`...), c.URL), '}')
}

// citationsMember is the name of a text block's list, and of the part's Extra that holds it as it came.
const citationsMember = "citations"

// appendCitations writes the list of a text block: as it came in this schema, else made of the sources that have a URL.
func appendCitations(b []byte, p *chat.Part) []byte {
	for i := range p.Extra {
		if x := &p.Extra[i]; x.Name == citationsMember {
			return append(append(b, `,"citations":`...), x.JSON...)
		}
	}
	list := p.Citations
	sep := `,"citations":[`
	for i := range list[:min(len(list), maxCitations)] {
		if list[i].URL != "" {
			b = appendCitation(append(b, sep...), &list[i])
			sep = `,`
		}
	}
	if sep == `,` {
		b = append(b, ']')
	}
	return b
}

// unmade takes back the sources that appendCitation made up for another provider's answer, which a client sends as it got
// them: the service refuses a place in its search results that it did not give. It is nil when there are none.
func unmade(body []byte) []byte {
	if !bytes.Contains(body, []byte(`"encrypted_index":""`)) && !bytes.Contains(body, []byte(`"encrypted_index": ""`)) {
		return nil
	}
	out := body
	for i, m := range gjson.GetBytes(body, "messages").Array() {
		if !m.Get("content").IsArray() {
			continue
		}
		for j, b := range m.Get("content").Array() {
			if !b.Get(`citations.#(encrypted_index=="")`).Exists() {
				continue
			}
			list := gjson.GetBytes(out, "messages."+strconv.Itoa(i)+".content."+strconv.Itoa(j)+"."+citationsMember)
			if list.Index <= 0 {
				continue // what cannot be found here is the service's to refuse
			}
			out = slices.Concat(out[:list.Index], []byte("null"), out[list.Index+len(list.Raw):])
		}
	}
	return out
}
