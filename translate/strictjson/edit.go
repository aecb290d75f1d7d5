package strictjson

import (
	"dragoman/translate/chat"
)

// Scan checks a whole body, which must be an object, and returns its members. The error is a *fault.Fault.
func Scan(body []byte) ([]chat.Field, error) {
	s := New(body)
	defer s.Release()
	s.Enter(Object)
	err := s.End()
	return s.Fields(), err
}

// Check scans any one JSON value strictly and returns its kind. The error is a *fault.Fault.
func Check(text []byte) (Kind, error) { return check(New(text)) }

// CheckLenient is Check for a provider's bytes, as NewLenient.
func CheckLenient(text []byte) (Kind, error) { return check(NewLenient(text)) }

func check(s *Scanner) (Kind, error) {
	defer s.Release()
	kind := s.Kind()
	s.Skip()
	return kind, s.End()
}

// Member is a member to set: its name and its value's JSON text.
type Member struct {
	Name  string
	Value []byte
}

// Set makes a new body in one allocation: each member of set replaces the value of the field of its name, or is added at
// the end; every other byte stays. fields are what Scan returned for body, an object. It keeps neither argument. At most
// 16 members can be set; more is a bug of the caller and panics.
func Set(body []byte, fields []chat.Field, set ...Member) []byte {
	var where [16]int // position in fields plus one of each member of set
	size := len(body)
	for i := range set {
		where[i] = position(fields, set[i].Name) + 1
		if at := where[i]; at > 0 {
			size += len(set[i].Value) - (fields[at-1].End - fields[at-1].Start)
		} else {
			size += len(set[i].Name) + len(set[i].Value) + len(`,"":`) + 5*len(set[i].Name)
		}
	}
	out := make([]byte, 0, size)
	from := 0
	for k := range fields {
		for i := range set {
			if where[i] == k+1 {
				out = append(append(out, body[from:fields[k].Start]...), set[i].Value...)
				from = fields[k].End
			}
		}
	}
	end := objectEnd(body, fields)
	out = append(out, body[from:end]...)
	first := len(fields) == 0
	for i := range set {
		if where[i] == 0 {
			out = appendMember(out, set[i], first)
			first = false
		}
	}
	return append(out, body[end:]...)
}

func appendMember(dst []byte, m Member, first bool) []byte {
	if !first {
		dst = append(dst, ',')
	}
	dst = append(AppendString(dst, m.Name), ':')
	return append(dst, m.Value...)
}

func position(fields []chat.Field, name string) int {
	for i := range fields {
		if fields[i].Name == name {
			return i
		}
	}
	return -1
}

// objectEnd is where a member can be added: behind the last one, or behind the opening brace.
func objectEnd(body []byte, fields []chat.Field) int {
	if n := len(fields); n > 0 {
		return fields[n-1].End
	}
	for i, c := range body {
		if c == '{' {
			return i + 1
		}
	}
	return len(body)
}
