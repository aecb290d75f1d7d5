package eventstream

import (
	"encoding/binary"
	"hash/crc32"
)

// Type is the type of a header's value, as it is encoded.
type Type byte

// The types; behind each, how Header.Value holds it. Numbers are big-endian and signed.
const (
	True      Type = iota // nothing
	False                 // nothing
	Int8                  // 1 byte
	Int16                 // 2 bytes
	Int32                 // 4 bytes
	Int64                 // 8 bytes
	Bytes                 // up to 65,535 bytes
	String                // up to 65,535 bytes of UTF-8
	Timestamp             // 8 bytes: milliseconds since 1970
	UUID                  // 16 bytes
	types
)

// sizes are the lengths of values; -1 for those with a length of their own before them.
var sizes = [types]int{0, 0, 1, 2, 4, 8, -1, -1, 8, 16}

// Header is one header of a message.
type Header struct {
	Name  []byte // 1 to 255 bytes
	Type  Type
	Value []byte
}

// cutHeader cuts the first header off.
func cutHeader(b []byte) (h Header, rest []byte, ok bool) {
	n := int(b[0])
	if n == 0 || len(b) < 1+n+1 {
		return h, nil, false
	}
	h.Name, h.Type, b = b[1:1+n], Type(b[1+n]), b[2+n:]
	if h.Type >= types {
		return h, nil, false
	}
	size := sizes[h.Type]
	if size < 0 {
		if len(b) < 2 {
			return h, nil, false
		}
		size, b = int(binary.BigEndian.Uint16(b)), b[2:]
	}
	if len(b) < size {
		return h, nil, false
	}
	h.Value = b[:size:size]
	return h, b[size:], true
}

// Header finds a header; of several with one name, the first. ok is false when there is none.
func (m *Message) Header(name string) (h Header, ok bool) {
	for b := m.Headers; len(b) > 0; {
		if h, b, ok = cutHeader(b); !ok {
			return Header{}, false
		}
		if string(h.Name) == name {
			return h, true
		}
	}
	return Header{}, false
}

// All lists the headers in order.
func (m *Message) All() []Header {
	var all []Header
	for b := m.Headers; len(b) > 0; {
		h, rest, ok := cutHeader(b)
		if !ok {
			return all
		}
		all, b = append(all, h), rest
	}
	return all
}

// Text is the value of a string header, nil when there is none of that name and type.
func (m *Message) Text(name string) []byte {
	if h, ok := m.Header(name); ok && h.Type == String {
		return h.Value
	}
	return nil
}

// StringHeader makes a header of a string.
func StringHeader(name, value string) Header {
	return Header{Name: []byte(name), Type: String, Value: []byte(value)}
}

// Append appends a message, for tests and for stand-ins of a provider. It panics on what cannot be encoded: a name of 0 or
// more than 255 bytes, a value that is not of its type, more than MaxHeaders bytes of headers.
func Append(dst []byte, headers []Header, payload []byte) []byte {
	start := len(dst)
	dst = append(dst, make([]byte, preludeSize)...)
	for _, h := range headers {
		dst = appendHeader(dst, h)
	}
	size := len(dst) - start - preludeSize
	if size > MaxHeaders {
		panic("eventstream: headers too long")
	}
	dst = append(dst, payload...)
	m := dst[start:]
	binary.BigEndian.PutUint32(m, uint32(len(m)+trailerSize))
	binary.BigEndian.PutUint32(m[4:], uint32(size))
	binary.BigEndian.PutUint32(m[8:], crc32.ChecksumIEEE(m[:8]))
	return binary.BigEndian.AppendUint32(dst, crc32.ChecksumIEEE(m))
}

func appendHeader(dst []byte, h Header) []byte {
	if len(h.Name) == 0 || len(h.Name) > 255 || h.Type >= types {
		panic("eventstream: bad header name or type")
	}
	dst = append(append(append(dst, byte(len(h.Name))), h.Name...), byte(h.Type))
	switch size := sizes[h.Type]; {
	case size < 0 && len(h.Value) <= 0xFFFF:
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(h.Value)))
	case size != len(h.Value):
		panic("eventstream: bad header value")
	}
	return append(dst, h.Value...)
}
