package turns

import (
	"encoding/binary"
	"errors"

	"dragoman/translate/chat"
)

// The stored form: a version, then every field in a fixed order; numbers as varints, strings and lists with their length in
// front. It says nothing that need not be said twice, and reading it checks every length against what is left.
const version = 1

// errForm is what reading says of bytes that Encode has not written.
var errForm = errors.New("turns: not the stored form, or of another version")

// Bounds of what reading builds.
const (
	maxNesting = 3 // a result's parts are the deepest
	maxCount   = 1 << 20
)

// Encode writes a turn, its Items left out.
func Encode(t *Turn) []byte {
	b := make([]byte, 0, 256+len(t.Body)+sizeOf(t.Messages))
	b = append(b, version)
	b = appendText(b, t.ID)
	b = binary.AppendVarint(b, t.Created)
	b = appendText(b, t.Origin)
	b = appendBool(b, t.Native)
	b = binary.AppendUvarint(b, uint64(t.Input))
	b = binary.AppendUvarint(b, uint64(len(t.Messages)))
	for i := range t.Messages {
		b = appendMessage(b, &t.Messages[i])
	}
	return appendText(b, string(t.Body))
}

// EncodeMessage writes one message.
func EncodeMessage(m *chat.Message) []byte {
	return appendMessage([]byte{version}, m)
}

func sizeOf(list []chat.Message) (n int) {
	for i := range list {
		n += 16
		for j := range list[i].Parts {
			n += sizeOfPart(&list[i].Parts[j])
		}
	}
	return n
}

func sizeOfPart(p *chat.Part) int {
	n := 48 + len(p.Text) + len(p.Signature)
	if p.Media != nil {
		n += len(p.Media.Data) + len(p.Media.URL) + 32
	}
	if p.Call != nil {
		n += len(p.Call.ID) + len(p.Call.Name) + len(p.Call.Arguments)
	}
	if p.Result != nil {
		for i := range p.Result.Parts {
			n += sizeOfPart(&p.Result.Parts[i])
		}
	}
	return n
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendMessage(b []byte, m *chat.Message) []byte {
	b = appendText(appendText(b, string(m.Role)), m.Name)
	return appendParts(b, m.Parts)
}

func appendParts(b []byte, parts []chat.Part) []byte {
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for i := range parts {
		b = appendPart(b, &parts[i])
	}
	return b
}

// Which members of a part are set.
const (
	hasMedia = 1 << iota
	hasCall
	hasResult
	hasCache
	hasCitations
	hasExtra
	knownMembers = 1<<iota - 1
)

func appendPart(b []byte, p *chat.Part) []byte {
	set := byte(0)
	for bit, on := range [...]bool{p.Media != nil, p.Call != nil, p.Result != nil, p.Cache != nil, len(p.Citations) > 0, len(p.Extra) > 0} {
		if on {
			set |= 1 << bit
		}
	}
	b = append(b, byte(p.Kind), set)
	b = appendText(appendText(b, p.Text), p.Signature)
	if m := p.Media; m != nil {
		for _, s := range [...]string{m.Type, m.Data, m.URL, m.FileID, m.Name, m.Detail} {
			b = appendText(b, s)
		}
	}
	if c := p.Call; c != nil {
		b = appendText(appendText(appendText(b, c.ID), c.Name), c.Arguments)
	}
	if r := p.Result; r != nil {
		b = appendParts(append(appendText(b, r.CallID), tri(r.IsError)), r.Parts)
	}
	if p.Cache != nil {
		b = appendText(b, p.Cache.TTL)
	}
	if len(p.Citations) > 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Citations)))
		for i := range p.Citations {
			c := &p.Citations[i]
			b = appendText(appendText(appendText(b, c.Title), c.URL), c.Quote)
			b = binary.AppendVarint(binary.AppendVarint(b, int64(c.Start)), int64(c.End))
		}
	}
	if len(p.Extra) > 0 {
		b = binary.AppendUvarint(b, uint64(len(p.Extra)))
		for i := range p.Extra {
			b = appendBool(appendText(appendText(b, p.Extra[i].Name), string(p.Extra[i].JSON)), p.Extra[i].Meaning)
		}
	}
	return b
}

// tri is a flag that may be unset: 2.
func tri(v *bool) byte {
	switch {
	case v == nil:
		return 2
	case *v:
		return 1
	default:
		return 0
	}
}
