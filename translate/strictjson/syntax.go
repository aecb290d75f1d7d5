package strictjson

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func (s *Scanner) space() {
	b, i := s.b, s.i
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	s.i = i
}

// value reads the scalar at the cursor, or opens the container there.
func (s *Scanner) value() {
	if s.i >= len(s.b) {
		s.truncated()
		return
	}
	switch kindOf[s.b[s.i]] {
	case Object:
		s.open(true)
		return
	case Array:
		s.open(false)
		return
	case String:
		s.text()
	case Number:
		s.number()
	case Bool:
		if s.b[s.i] == 't' {
			s.literal("true")
		} else {
			s.literal("false")
		}
	case Null:
		s.literal("null")
	default:
		s.syntax(s.i, "expected a value, found "+s.found(s.i))
	}
	s.pending = false
	s.last = s.i
	s.space()
}

func (s *Scanner) open(object bool) {
	if s.depth == MaxDepth {
		s.failAt(s.i, "is nested deeper than 128 levels")
		return
	}
	f := &s.frames[s.depth]
	*f = frame{object: object, names: int32(len(s.names.list)), arena: int32(len(s.names.arena))}
	s.depth++
	s.i++
	s.pending = false
	s.space()
}

// advance goes on from behind a member (or from the opening bracket) to the next member's value, or out of the container.
func (s *Scanner) advance() bool {
	f := &s.frames[s.depth-1]
	if s.i >= len(s.b) {
		s.truncated()
		return false
	}
	c := s.b[s.i]
	if f.count > 0 && s.depth == 1 && f.object && !s.lenient {
		s.fields[len(s.fields)-1].End = s.last
	}
	switch {
	case c == '}' && f.object, c == ']' && !f.object:
		s.close(f)
		return false
	case f.count > 0 && c == ',':
		s.i++
		s.space()
	case f.count > 0:
		s.syntax(s.i, "expected a comma or the end of "+f.kind().String()+", found "+s.found(s.i))
		return false
	}
	if f.object && f.count == MaxMembers {
		s.failAt(s.i, "has an object of more than 65536 members")
		return false
	}
	f.count++
	s.pending = true
	if f.object {
		return s.key(f)
	}
	return true
}

func (f *frame) kind() Kind {
	if f.object {
		return Object
	}
	return Array
}

func (s *Scanner) close(f *frame) {
	s.names.leave(f)
	s.depth--
	s.i++
	s.last = s.i
	s.space()
}

// key reads a member's name and its colon.
func (s *Scanner) key(f *frame) bool {
	f.keyStart = 0 // a fault in the name itself is the object's, not the last member's
	if s.i >= len(s.b) {
		s.truncated()
		return false
	}
	if s.b[s.i] != '"' {
		s.syntax(s.i, "expected a member's name in double quotes, found "+s.found(s.i))
		return false
	}
	start := s.i
	escaped := s.text()
	if s.fault != nil {
		return false
	}
	f.key = s.names.span(s.b, start, s.i, escaped)
	if !s.lenient && !s.names.add(s.b, f) {
		s.failAt(start, "has the member "+quoted(s.names.text(s.b, f.key))+" twice in one object")
		return false
	}
	f.keyStart = int32(start)
	s.space()
	if s.i >= len(s.b) {
		s.truncated()
		return false
	}
	if s.b[s.i] != ':' {
		s.syntax(s.i, "expected a colon, found "+s.found(s.i))
		return false
	}
	s.i++
	s.space()
	if s.depth == 1 && !s.lenient {
		return s.field(f)
	}
	return true
}

func (s *Scanner) field(f *frame) bool {
	if len(s.fields) == MaxFields {
		s.fault = fault.New(fault.InvalidRequest, "The request body has more than %d members.", MaxFields)
		return false
	}
	if s.fields == nil {
		s.fields = make([]chat.Field, 0, 16)
	}
	name := view(s.names.text(s.b, f.key))
	if f.key.arena {
		name = string(s.names.text(s.b, f.key)) // the arena is reused
	}
	s.fields = append(s.fields, chat.Field{Name: name, KeyStart: int(f.keyStart), Start: s.i})
	return true
}

func (s *Scanner) literal(word string) {
	if len(s.b)-s.i >= len(word) && string(s.b[s.i:s.i+len(word)]) == word {
		s.i += len(word)
		return
	}
	for k := range len(word) {
		if s.i+k >= len(s.b) {
			s.truncated()
			return
		}
		if s.b[s.i+k] != word[k] {
			s.syntax(s.i+k, "expected "+word+", found "+s.found(s.i+k))
			return
		}
	}
}

func (s *Scanner) number() {
	b, i := s.b, s.i
	if b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	default:
		if i = s.digits(i); i < 0 {
			return
		}
	}
	if i < len(b) && b[i] == '.' {
		if i = s.digits(i + 1); i < 0 {
			return
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if i = s.digits(i); i < 0 {
			return
		}
	}
	s.i = i
}

// digits goes over one or more digits; -1 when there is none.
func (s *Scanner) digits(i int) int {
	start := i
	for i < len(s.b) && s.b[i]-'0' < 10 {
		i++
	}
	if i > start {
		return i
	}
	if i >= len(s.b) {
		s.truncated()
	} else {
		s.syntax(i, "expected a digit, found "+s.found(i))
	}
	return -1
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// stops marks, by its high bit, each byte of w that ends a run of plain text: a quote, a backslash, a control character.
// A mark above the first one may be false (a borrow crosses bytes); the first one is exact.
func stops(w uint64) uint64 {
	quote := w ^ (ones * '"')
	slash := w ^ (ones * '\\')
	return ((w-ones*0x20)&^w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
}

// text goes over the string at the cursor and says whether it has escapes.
func (s *Scanner) text() (escaped bool) {
	b, i := s.b, s.i+1
	check := uint64(highs)
	if s.lenient {
		check = 0
	}
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			if m := stops(w) | w&check; m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(b) {
			s.truncated()
			return escaped
		}
		switch c := b[i]; {
		case c == '"':
			s.i = i + 1
			return escaped
		case c == '\\':
			escaped = true
			if i = s.escape(i); i < 0 {
				return escaped
			}
		case c < 0x20:
			s.syntax(i, "the control character "+hexByte(c)+" in a string must be escaped")
			return escaped
		case c < utf8.RuneSelf || s.lenient:
			i++
		default:
			if i = s.runes(i); i < 0 {
				return escaped
			}
		}
	}
}

// runes goes over a run of characters beyond ASCII; -1 when one of them is not UTF-8.
func (s *Scanner) runes(i int) int {
	b := s.b
	for i < len(b) && b[i] >= utf8.RuneSelf {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			s.failAt(i, "is not valid UTF-8")
			return -1
		}
		i += n
	}
	return i
}

// escape goes over the escape sequence at i; -1 when it is none.
func (s *Scanner) escape(i int) int {
	b := s.b
	if i+1 >= len(b) {
		s.truncated()
		return -1
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for k := i + 2; k < i+6; k++ {
			if k >= len(b) {
				s.truncated()
				return -1
			}
			if unhex[b[k]] < 0 {
				s.syntax(k, "expected four hexadecimal digits after \\u, found "+s.found(k))
				return -1
			}
		}
		return i + 6
	default:
		s.syntax(i+1, "no escape sequence begins with a backslash and "+s.found(i+1))
		return -1
	}
}
