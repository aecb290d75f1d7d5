package tokens

import (
	"unicode"
	"unicode/utf8"
)

// The pieces that text is split into before bytes are merged are defined by a regular expression for each encoding
// (OpenAI's tiktoken, tiktoken_ext/openai_public.py). These scanners give the same pieces in linear time; the expression
// itself takes quadratic time for some inputs (line breaks that alternate with spaces).

// class is what the expressions tell apart, as bits.
type class uint8

const (
	upper   class = 1 << iota // Lu, Lt
	lower                     // Ll
	either                    // Lm, Lo: of either case
	mark                      // M
	number                    // N
	space                     // \s
	newline                   // \r, \n; space too
	other   class = 0

	letter = upper | lower | either
	head   = upper | either | mark // what a word of o200k may begin with
	tail   = lower | either | mark // what it may end with
)

var ascii = func() (table [utf8.RuneSelf]class) {
	for c := range rune(utf8.RuneSelf) {
		table[c] = classify(c)
	}
	return table
}()

func classify(r rune) class {
	switch {
	case r == '\r' || r == '\n':
		return space | newline
	case unicode.IsSpace(r):
		return space
	case unicode.IsLower(r) && unicode.Is(unicode.Ll, r):
		return lower
	case unicode.In(r, unicode.Lu, unicode.Lt):
		return upper
	case unicode.IsLetter(r):
		return either
	case unicode.IsMark(r):
		return mark
	case unicode.IsNumber(r):
		return number
	default:
		return other
	}
}

// classAt is the class and length of the rune at i. At the end of the text its length is 0.
func classAt(s string, i int) (class, int) {
	if i >= len(s) {
		return other, 0
	}
	if c := s[i]; c < utf8.RuneSelf {
		return ascii[c], 1
	}
	r, size := utf8.DecodeRuneInString(s[i:])
	if r >= 0x4E00 && r <= 0x9FFF || r >= 0xAC00 && r <= 0xD7A3 {
		return either, size // Han, Hangul: as classify says, without a search in its tables
	}
	return classify(r), size
}

// run is where the runes of the classes that begin at i end, at most limit of them when limit is not 0.
func run(s string, i int, classes class, limit int) int {
	for n := 0; limit == 0 || n < limit; n++ {
		c, size := classAt(s, i)
		if size == 0 || c&classes == 0 {
			break
		}
		i += size
	}
	return i
}

// cl100kPiece is the length of the first piece of:
//
//	'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s
func cl100kPiece(s string) int {
	if n := contraction(s); n > 0 {
		return n
	}
	first, size := classAt(s, 0)
	switch {
	case first&letter != 0:
		return run(s, size, letter, 0)
	case first&number != 0:
		return run(s, 0, number, 3)
	case first&newline == 0:
		if end := run(s, size, letter, 0); end > size {
			return end
		}
	}
	if n := symbols(s, first, size, false); n > 0 {
		return n
	}
	return blank(s, true)
}

// o200kPiece is the length of the first piece of, on one line:
//
//	[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?
//	|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+
func o200kPiece(s string) int {
	first, size := classAt(s, 0)
	if first&number != 0 {
		return run(s, 0, number, 3)
	}
	starts := [2]int{0, 0} // with the optional character before the word, then without
	n := 1
	if first&(letter|newline) == 0 {
		starts[0], n = size, 2
	}
	for _, from := range starts[:n] {
		if end := wordWithTail(s, from); end > 0 {
			return end + contraction(s[end:])
		}
	}
	for _, from := range starts[:n] {
		if end := run(s, from, head, 0); end > from {
			return end + contraction(s[end:])
		}
	}
	if n := symbols(s, first, size, true); n > 0 {
		return n
	}
	return blank(s, false)
}

// wordWithTail is the end of head* tail+ at i, 0 when there is none. Where nothing of tail follows the heads, the last of
// them that may be a tail is it.
func wordWithTail(s string, i int) int {
	last := 0 // the end of the last rune that is both
	for {
		c, size := classAt(s, i)
		if size == 0 || c&head == 0 {
			if c&tail != 0 {
				return run(s, i, tail, 0)
			}
			return last
		}
		i += size
		if c&tail != 0 {
			last = i
		}
	}
}

// contraction is the length of 's, 't, 're, 've, 'm, 'll or 'd, in either case, at the start of s.
func contraction(s string) int {
	if len(s) < 2 || s[0] != '\'' {
		return 0
	}
	second := byte(0)
	if len(s) > 2 {
		second = s[2] | 0x20
	}
	switch s[1] | 0x20 {
	case 's', 't', 'm', 'd':
		if isLetter(s[1]) {
			return 2
		}
	case 'r', 'v':
		if isLetter(s[1]) && second == 'e' && isLetter(s[2]) {
			return 3
		}
	case 'l':
		if isLetter(s[1]) && second == 'l' && isLetter(s[2]) {
			return 3
		}
	}
	if len(s) > 2 && s[1:3] == "ſ" { // folds to s
		return 3
	}
	return 0
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// symbols is the length of ` ?[^\s\p{L}\p{N}]+[\r\n]*`, with slashes among the line breaks for o200k.
func symbols(s string, first class, size int, slashes bool) int {
	from := 0
	if s[0] == ' ' {
		from, size = 1, 0
		if first, size = classAt(s, 1); size == 0 {
			return 0
		}
	}
	if first&(space|letter|number) != 0 {
		return 0
	}
	end := from + size
	for {
		c, size := classAt(s, end)
		if size == 0 || c&(space|letter|number) != 0 {
			break
		}
		end += size
	}
	for end < len(s) && (s[end] == '\r' || s[end] == '\n' || slashes && s[end] == '/') {
		end++
	}
	return end
}

// blank is the length of `\s*[\r\n]+|\s+(?!\S)|\s+`: through the last line break of a run of white space, else without
// its last character, which belongs to the word behind it. whole says that a run at the end of the text is not divided.
func blank(s string, whole bool) int {
	end, lastSize, afterBreak := 0, 0, 0
	for {
		c, size := classAt(s, end)
		if size == 0 || c&space == 0 {
			break
		}
		end, lastSize = end+size, size
		if c&newline != 0 {
			afterBreak = end
		}
	}
	switch {
	case whole && end == len(s):
		return end
	case afterBreak > 0:
		return afterBreak
	case end == len(s) || end == lastSize:
		return end
	default:
		return end - lastSize
	}
}
