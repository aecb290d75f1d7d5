package turns

import (
	"encoding/binary"

	"dragoman/translate/chat"
)

// reader reads the stored form. The first thing that is wrong ends it: everything after reads as nothing.
type reader struct {
	b   []byte
	bad bool
}

// Decode reads a turn. Its strings have their own memory.
func Decode(value []byte) (*Turn, error) {
	r := reader{b: value}
	r.version()
	t := &Turn{ID: r.text(), Created: r.int(), Origin: r.text(), Native: r.flag()}
	input := r.count(maxCount)
	n := r.count(len(r.b))
	for range n {
		if r.bad {
			break
		}
		t.Messages = append(t.Messages, r.message())
	}
	if body := r.text(); body != "" {
		t.Body = []byte(body)
	}
	if t.Input = input; input > n || r.bad || len(r.b) > 0 {
		return nil, errForm
	}
	return t, nil
}

// DecodeMessage reads one message.
func DecodeMessage(value []byte) (*chat.Message, error) {
	r := reader{b: value}
	r.version()
	m := r.message()
	if r.bad || len(r.b) > 0 {
		return nil, errForm
	}
	return &m, nil
}

func (r *reader) fail() {
	r.b, r.bad = nil, true
}

func (r *reader) version() {
	if r.byte() != version {
		r.fail()
	}
}

func (r *reader) byte() byte {
	if len(r.b) == 0 {
		r.fail()
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *reader) flag() bool {
	c := r.byte()
	if c > 1 {
		r.fail()
	}
	return c == 1
}

func (r *reader) int() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 || n != len(binary.AppendVarint(nil, v)) {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things; one cannot be more than the bytes that are left or than limit.
func (r *reader) count(limit int) int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > uint64(limit) || n > 1 && r.b[n-1] == 0 { // the shortest form is the only one
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *reader) text() string {
	n := r.count(len(r.b))
	if n > len(r.b) {
		r.fail()
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

func (r *reader) message() chat.Message {
	return chat.Message{Role: chat.Role(r.text()), Name: r.text(), Parts: r.parts(0)}
}

func (r *reader) parts(depth int) (parts []chat.Part) {
	n := r.count(len(r.b))
	if depth > maxNesting {
		r.fail()
	}
	for range n {
		if r.bad {
			return nil
		}
		parts = append(parts, r.part(depth))
	}
	return parts
}

func (r *reader) part(depth int) chat.Part {
	p := chat.Part{Kind: chat.PartKind(r.byte())}
	set := r.byte()
	if p.Kind < chat.Text || p.Kind > chat.Refusal || set > knownMembers {
		r.fail()
	}
	p.Text, p.Signature = r.text(), r.text()
	if set&hasMedia != 0 {
		p.Media = &chat.Media{Type: r.text(), Data: r.text(), URL: r.text(), FileID: r.text(), Name: r.text(), Detail: r.text()}
	}
	if set&hasCall != 0 {
		p.Call = &chat.Call{ID: r.text(), Name: r.text(), Arguments: r.text()}
	}
	if set&hasResult != 0 {
		p.Result = &chat.Result{CallID: r.text(), IsError: r.tri(), Parts: r.parts(depth + 1)}
	}
	if set&hasCache != 0 {
		p.Cache = &chat.CacheMark{TTL: r.text()}
	}
	if set&hasCitations != 0 {
		p.Citations = r.citations()
	}
	if set&hasExtra != 0 {
		p.Extra = r.extras()
	}
	return p
}

func (r *reader) tri() *bool {
	c := r.byte()
	if c > 2 {
		r.fail()
	}
	if c >= 2 {
		return nil
	}
	v := c == 1
	return &v
}

func (r *reader) citations() (list []chat.Citation) {
	n := r.count(len(r.b))
	if n == 0 {
		r.fail() // none would not have been said
	}
	for range n {
		if r.bad {
			return nil
		}
		list = append(list, chat.Citation{Title: r.text(), URL: r.text(), Quote: r.text(), Start: int(r.int()), End: int(r.int())})
	}
	return list
}

func (r *reader) extras() (list []chat.Extra) {
	n := r.count(len(r.b))
	if n == 0 {
		r.fail()
	}
	for range n {
		if r.bad {
			return nil
		}
		list = append(list, chat.Extra{Name: r.text(), JSON: []byte(r.text()), Meaning: r.flag()})
	}
	return list
}
