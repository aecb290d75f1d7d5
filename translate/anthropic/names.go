package anthropic

import "strings"

// maxName is the API's limit for a tool's name, ^[a-zA-Z0-9_-]{1,128}$.
const maxName = 128

// escapedName begins a name that was escaped. A client's own name that begins so is escaped as well, so that the two
// directions undo each other for every name and nothing has to be remembered between request and answer (D14).
const escapedName = "x__"

func plainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) || c == '_' || c == '-') {
			return false
		}
	}
	return true
}

const upperHex = "0123456789ABCDEF"

// encodeName is a tool's name as the API takes it: foo/bar is x__foo_x2Fbar. Every byte that the API does not take
// becomes _xHH; so does the underscore of a literal _x.
func encodeName(name string) string {
	if plainName(name) && !strings.HasPrefix(name, escapedName) {
		return name
	}
	b := make([]byte, 0, len(escapedName)+2*len(name))
	b = append(b, escapedName...)
	for i := range len(name) {
		c := name[i]
		if plainName(name[i:i+1]) && !(c == '_' && i+1 < len(name) && name[i+1] == 'x') {
			b = append(b, c)
			continue
		}
		b = append(b, '_', 'x', upperHex[c>>4], upperHex[c&15])
	}
	return string(b)
}

// decodeName undoes encodeName. A name that encodeName cannot have made stays as it is.
func decodeName(name string) string {
	rest, ok := strings.CutPrefix(name, escapedName)
	if !ok {
		return name
	}
	b := make([]byte, 0, len(rest))
	for i := 0; i < len(rest); i++ {
		if !strings.HasPrefix(rest[i:], "_x") {
			b = append(b, rest[i])
			continue
		}
		if i+3 >= len(rest) {
			return name
		}
		hi, lo := strings.IndexByte(upperHex, rest[i+2]), strings.IndexByte(upperHex, rest[i+3])
		if hi < 0 || lo < 0 {
			return name
		}
		b = append(b, byte(hi<<4|lo))
		i += 3
	}
	return string(b)
}
