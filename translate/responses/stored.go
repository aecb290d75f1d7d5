package responses

import (
	"bytes"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// Previous is the id of the answer that a request continues, "" when it continues none.
func Previous(h *chat.Head) string { return text(h.Field(previousMember)) }

// Stored says whether the client lets the answer be kept: unless it says no, it does.
func Stored(h *chat.Head) bool { return string(h.Field("store")) != "false" }

func text(raw []byte) string {
	if len(raw) == 0 || raw[0] != '"' {
		return ""
	}
	return strictjson.Text(raw)
}

// References are the ids of the items that a request names instead of sending them, nil when there are none.
func References(h *chat.Head) (ids []string) {
	eachReference(h, func(id string, _ []byte) { ids = append(ids, id) })
	return ids
}

// eachReference finds the item_reference items of an input. A body that cannot have any costs one search; the type may be
// left out, but then the item is nothing but an id, which eachReference finds by the lack of anything else.
func eachReference(h *chat.Head, f func(id string, raw []byte)) {
	input := h.Field(inputMember)
	if len(input) == 0 || input[0] != '[' || !bytes.Contains(input, []byte(`"id"`)) {
		return
	}
	s := strictjson.NewLenient(input)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		raw := s.Skip()
		if id, ok := reference(raw); ok {
			f(id, raw)
		}
	}
}

// reference reads an item that names another one.
func reference(item []byte) (id string, ok bool) {
	s := strictjson.NewLenient(item)
	defer s.Release()
	kind, role := "", false
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "type":
			kind = text(s.Skip())
		case "role":
			role = true
		case "id":
			id = text(s.Skip())
		}
	}
	return id, id != "" && (kind == referenceItem || kind == "" && !role)
}

// History is the conversation of a request whose history is whole: its messages without the instructions, which hold for
// that request alone.
func History(h *chat.Head) ([]chat.Message, error) {
	r, err := Codec{}.Decode(h)
	if err != nil {
		return nil, err
	}
	if raw := h.Field(instructionsMember); len(raw) > 0 && raw[0] == '"' {
		return r.Messages[1:], nil
	}
	return r.Messages, nil
}

// Continue makes the request that says all it has to say: history stands in front of its input, each item that it only names
// is replaced by what known holds under its id, and previous_response_id is gone. The head that it returns is of a new body,
// checked as any other. A name that known does not have is a fault in OpenAI's words.
func Continue(h *chat.Head, history []chat.Message, known map[string]chat.Message) (*chat.Head, error) {
	e := encoder{own: true, all: true, t: translate.Target{Lossy: true}, b: append(make([]byte, 0, len(h.Body)+sizeOfAll(history)), '[')}
	e.noteCustom(toolsOf(h))
	e.messages(history)
	if f := e.appendInput(h.Field(inputMember), known); f != nil {
		return nil, f
	}
	set := append(make([]strictjson.Member, 0, 2), strictjson.Member{Name: inputMember, Value: append(e.b, ']')})
	if h.Field(previousMember) != nil {
		set = append(set, strictjson.Member{Name: previousMember, Value: []byte("null")})
	}
	return Codec{}.Parse(strictjson.Set(h.Body, h.Fields, set...))
}

// toolsOf reads a request's tools alone.
func toolsOf(h *chat.Head) []chat.Tool {
	raw := h.Field("tools")
	if len(raw) == 0 || raw[0] != '[' {
		return nil
	}
	d := decoder{Scanner: strictjson.NewLenient(raw), req: &chat.Request{}}
	defer d.Release()
	for d.Enter(strictjson.Array); d.Next(); {
		d.tool()
	}
	return d.req.Tools
}

func sizeOfAll(list []chat.Message) (n int) {
	for i := range list {
		n += list[i].Size()
	}
	return n
}

// appendInput appends the request's own items behind those of its history.
func (e *encoder) appendInput(input []byte, known map[string]chat.Message) *fault.Fault {
	switch {
	case len(input) == 0 || input[0] == 'n':
		return nil
	case input[0] == '"':
		e.next()
		e.b = append(append(append(e.b, `{"type":"message","role":"user","content":`...), input...), '}')
		return nil
	}
	s := strictjson.NewLenient(input)
	defer s.Release()
	for s.Enter(strictjson.Array); s.Next(); {
		raw := s.Skip()
		id, named := reference(raw)
		if !named {
			e.next()
			e.b = append(e.b, raw...)
			continue
		}
		m, ok := known[id]
		if !ok {
			f := fault.New(fault.NotFound, "Item with id '%s' not found.", clip(id))
			f.Param = inputMember
			return f
		}
		e.messages([]chat.Message{m})
	}
	return nil
}

// next begins an item that is written as it came.
func (e *encoder) next() {
	if e.items > 0 {
		e.b = append(e.b, ',')
	}
	e.items++
}

// clip bounds an id that a stranger wrote, for a message.
func clip(id string) string { return plain(id[:min(len(id), 128)]) }
