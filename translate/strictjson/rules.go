package strictjson

import (
	"fmt"

	"dragoman/internal/fault"
)

// Invalid faults about the member at path, which begins the message; the first fault stays.
func (s *Scanner) Invalid(path, format string, args ...any) {
	if s.fault == nil {
		s.Fail(fault.Invalid(path, "%s %s", path, fmt.Sprintf(format, args...)))
	}
}

// Here is Invalid for a member of the object that the cursor has just left, or for that object itself when name is "".
func (s *Scanner) Here(name, format string, args ...any) {
	if s.fault != nil {
		return
	}
	path := s.Path()
	if path != "" && name != "" {
		path += "."
	}
	s.Invalid(path+name, format, args...)
}

// Need faults unless a member of the object left last was of the kind want. It is for rules that depend on a member which may stand
// behind the one they are about; got is then noted by Kind or NonEmpty.
func (s *Scanner) Need(name string, got, want Kind) {
	switch {
	case got == want:
	case got == None || got == Null:
		s.Here(name, "is required.")
	default:
		s.Here(name, "must be %s, not %s.", want, got)
	}
}

// NonEmpty is the kind of the value before the cursor. An empty string counts as absent; a string is read.
func (s *Scanner) NonEmpty() Kind {
	kind := s.Kind()
	if kind == String && len(s.RawString()) <= len(`""`) {
		return None
	}
	return kind
}

// Between reads a whole number from low to high; path is named when it is another.
func (s *Scanner) Between(path string, low, high int64) int64 {
	n := s.Int()
	if n < low || n > high {
		s.Invalid(path, "must be between %d and %d.", low, high)
	}
	return n
}

// InRange reads a number from low to high; path is named when it is another.
func (s *Scanner) InRange(path string, low, high float64) {
	if f := s.Float(); f < low || f > high {
		s.Invalid(path, "must be between %g and %g.", low, high)
	}
}
