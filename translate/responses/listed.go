package responses

import (
	"bytes"
	"net/url"
	"strconv"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// FinalObject is the response object of the terminal event in the last bytes that a client got of a stream, nil when there is
// none: what GET /v1/responses/{id} answers.
func FinalObject(stream []byte) []byte {
	at := bytes.LastIndex(stream, []byte("\ndata:"))
	if at < 0 {
		return nil
	}
	data := stream[at+len("\ndata:"):]
	if end := bytes.IndexAny(data, "\r\n"); end >= 0 {
		data = data[:end]
	}
	var in streamEvent
	s := strictjson.NewLenient(data)
	defer s.Release()
	if !in.read(s) || !in.terminal() {
		return nil
	}
	return in.response
}

// Item is one item of an answer, by the id under which a later request may name it.
type Item struct {
	ID      string
	Message chat.Message
}

// OutputItems are the items of a response object, those without a neutral form left out.
func OutputItems(object []byte) (items []Item) {
	s := strictjson.NewLenient(object)
	defer s.Release()
	for s.Enter(strictjson.Object); s.Next(); {
		if string(s.Key()) != "output" || s.Kind() != strictjson.Array {
			continue
		}
		for s.Enter(strictjson.Array); s.Next(); {
			if s.Kind() != strictjson.Object {
				continue
			}
			var out output
			raw := s.Skip()
			out.item(raw)
			if id := clone(readOutput(raw).id); id != "" && len(out.parts) > 0 {
				items = append(items, Item{id, chat.Message{Role: chat.Assistant, Parts: out.parts}})
			}
		}
	}
	return items
}

// EncodeDeleted is the body of DELETE /v1/responses/{id}.
func EncodeDeleted(id string) []byte {
	return append(strictjson.AppendString([]byte(`{"id":`), id), `,"object":"response","deleted":true}`...)
}

// Page is which part of a list a client wants.
type Page struct {
	After  string // id of the item behind which it begins
	Limit  int    // 1 to 100
	Oldest bool   // oldest first; the vendor's default is newest first
}

// Limits of a page, the vendor's.
const (
	defaultPage = 20
	maxPage     = 100
)

// ParsePage reads the query of GET /v1/responses/{id}/input_items.
func ParsePage(query string) (Page, error) {
	p := Page{Limit: defaultPage}
	values, err := url.ParseQuery(query)
	if err != nil {
		return p, fault.Invalid("query", "The query string cannot be read.")
	}
	p.After = values.Get("after")
	if limit := values.Get("limit"); limit != "" {
		if p.Limit, err = strconv.Atoi(limit); err != nil || p.Limit < 1 || p.Limit > maxPage {
			return p, fault.Invalid("limit", "limit must be between 1 and %d.", maxPage)
		}
	}
	switch order := values.Get("order"); order {
	case "", "desc":
	case "asc":
		p.Oldest = true
	default:
		return p, fault.Invalid("order", "order must be asc or desc.")
	}
	return p, nil
}

// listing makes the ids of a list's items: from the response's, so that they stay the same from page to page.
type listing struct{ base string }

func (l *listing) id(prefix string, n int) string { return prefix + l.base + "_in" + strconv.Itoa(n) }

// EncodeInputItems is the body of GET /v1/responses/{id}/input_items: one page of what the answer was made from.
func EncodeInputItems(response string, messages []chat.Message, page Page) []byte {
	e := encoder{own: true, all: true, t: translate.Target{Lossy: true}, listed: &listing{base: plain(response[min(len(idPrefix), len(response)):])}}
	e.b = append(make([]byte, 0, 2+sizeOfAll(messages)), '[')
	e.messages(messages)
	items := split(append(e.b, ']'))
	if !page.Oldest {
		for i, j := 0, len(items)-1; i < j; i, j = i+1, j-1 {
			items[i], items[j] = items[j], items[i]
		}
	}
	items = behind(items, page.After)
	more := len(items) > page.Limit
	items = items[:min(len(items), page.Limit)]
	dst := append([]byte(nil), `{"object":"list","data":[`...)
	for i := range items {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, items[i].raw...)
	}
	first, last := "", ""
	if n := len(items); n > 0 {
		first, last = items[0].id, items[n-1].id
	}
	dst = appendOrNull(append(dst, `],"first_id":`...), first)
	dst = appendOrNull(append(dst, `,"last_id":`...), last)
	return append(strconv.AppendBool(append(dst, `,"has_more":`...), more), '}')
}

// listed is one item of a list.
type listedItem struct {
	id  string
	raw []byte
}

func split(array []byte) (items []listedItem) {
	s := strictjson.NewLenient(array)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		raw := s.Skip()
		items = append(items, listedItem{clone(readOutput(raw).id), raw})
	}
	return items
}

// behind is what follows the item with an id; nothing when there is no such item.
func behind(items []listedItem, id string) []listedItem {
	if id == "" {
		return items
	}
	for i := range items {
		if items[i].id == id {
			return items[i+1:]
		}
	}
	return nil
}
