package semantic

import "unicode"

// scripts counts letters by writing system; the last is all others.
type scripts [6]uint16

func (s *scripts) count(r rune) {
	i := len(s) - 1
	switch {
	case r < 0x250 || r >= 0x1E00 && r < 0x1F00:
		i = 0
	case unicode.Is(unicode.Cyrillic, r):
		i = 1
	case unicode.Is(unicode.Greek, r):
		i = 2
	case unicode.Is(unicode.Arabic, r):
		i = 3
	case isIdeograph(r):
		i = 4
	}
	if s[i] < 1<<15 {
		s[i]++
	}
}

// main is the writing system that most letters are of.
func (s *scripts) main() int {
	best := 0
	for i, n := range s {
		if n > s[best] {
			best = i
		}
	}
	return best
}
