package auth

import (
	"strings"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// Claims come as Envoy has read them: google.protobuf.Struct {map<string, Value> fields = 1} in wire format, Value {null_value = 1;
// number_value = 2; string_value = 3; bool_value = 4; Struct struct_value = 5; ListValue list_value = 6 {repeated Value values = 1}}. They are
// read where they lie: a token has dozens of claims, of which three count.
const (
	valueText   = 3
	valueStruct = 5
	valueList   = 6
)

// member is the Value of a Struct's field, nil when it has none of the name.
func member(object []byte, name string) (value []byte) {
	each(object, func(n protowire.Number, entry []byte) bool {
		if n == 1 && view(first(entry, 1)) == name {
			value = first(entry, 2)
		}
		return value == nil
	})
	return value
}

// find follows a claim's path: the whole of it may be one name (https://acme.example/team), or lead into objects at its dots. Of several ways
// that with the longest first name counts.
func find(object []byte, path string) []byte {
	if v := member(object, path); v != nil {
		return v
	}
	for end := strings.LastIndexByte(path, '.'); end > 0; end = strings.LastIndexByte(path[:end], '.') {
		if inner := first(member(object, path[:end]), valueStruct); inner != nil {
			if v := find(inner, path[end+1:]); v != nil {
				return v
			}
		}
	}
	return nil
}

// claim is what a token says at a path.
type claim uint8

const (
	absent  claim = iota // or empty
	said                 // one text
	several              // a list of more than one
	other                // no text
)

// text reads a claim: text, or a list of one text, as directories write groups.
func text(object []byte, path string) (string, claim) {
	value := find(object, path)
	if list := first(value, valueList); list != nil {
		var count int
		each(list, func(_ protowire.Number, v []byte) bool {
			value = v
			count++
			return count < 2
		})
		switch count {
		case 0:
			return "", absent
		case 2:
			return "", several
		}
	}
	if len(value) == 0 {
		return "", absent
	}
	switch n, _, _ := protowire.ConsumeTag(value); n {
	case valueText:
		s := view(first(value, valueText))
		if s == "" {
			return "", absent
		}
		return s, said
	case 1: // null
		return "", absent
	}
	return "", other
}

// first is the first field of a number that holds bytes; not nil where there is one, even an empty one.
func first(message []byte, number protowire.Number) (out []byte) {
	each(message, func(n protowire.Number, v []byte) bool {
		if n == number {
			out = v
		}
		return out == nil
	})
	return out
}

// each calls f with the fields that hold bytes until it returns false. What follows something malformed is not seen.
func each(message []byte, f func(n protowire.Number, v []byte) bool) {
	for len(message) > 0 {
		n, t, size := protowire.ConsumeTag(message)
		if size < 0 {
			return
		}
		message = message[size:]
		if t != protowire.BytesType {
			if size = protowire.ConsumeFieldValue(n, t, message); size < 0 {
				return
			}
			message = message[size:]
			continue
		}
		v, size := protowire.ConsumeBytes(message)
		if size < 0 || !f(n, v[:len(v):len(v)]) {
			return
		}
		message = message[size:]
	}
}

// view is b as a string without a copy: the message is never written to.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
