// Package wordpiece is BERT's tokenizer for uncased models: text is cleaned, lower-cased, stripped of accents, split at white
// space and punctuation, and each word is cut into the longest pieces that the vocabulary has (Devlin et al., BERT;
// google-research/bert, tokenization.py).
package wordpiece

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of what a vocabulary file and a word may be.
const (
	maxVocab    = 1 << 16 // ids are 16 bits wide
	maxPiece    = 256     // bytes
	maxWord     = 100     // runes; a longer word is unknown, as in the original
	continued   = "##"
	clsName     = "[CLS]"
	sepName     = "[SEP]"
	unknownName = "[UNK]"
)

// ErrTooLong says that a text has more tokens than were allowed.
var ErrTooLong = errors.New("the text has too many tokens")

// Tokenizer holds a vocabulary. It is not written to any more and may be shared.
type Tokenizer struct {
	whole, rest       map[string]uint16 // rest: pieces that continue a word, without their ##
	longest           int               // bytes of the longest piece
	cls, sep, unknown uint16
}

// Load reads vocab.txt: one piece a line, its id is the line's number from 0.
func Load(path string) (*Tokenizer, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	t, err := New(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// New reads a vocabulary.
func New(r io.Reader) (*Tokenizer, error) {
	t := &Tokenizer{whole: map[string]uint16{}, rest: map[string]uint16{}}
	lines := bufio.NewScanner(r)
	n := 0
	for ; lines.Scan(); n++ {
		piece := strings.TrimSuffix(lines.Text(), "\r")
		if n == maxVocab || len(piece) > maxPiece {
			return nil, fmt.Errorf("line %d: too many or too long pieces", n+1)
		}
		table := t.whole
		if tail, ok := strings.CutPrefix(piece, continued); ok && tail != "" {
			piece, table = tail, t.rest
		}
		if _, twice := table[piece]; !twice {
			table[piece] = uint16(n)
		}
		t.longest = max(t.longest, len(piece))
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for name, id := range map[string]*uint16{clsName: &t.cls, sepName: &t.sep, unknownName: &t.unknown} {
		v, ok := t.whole[name]
		if !ok {
			return nil, fmt.Errorf("%s is missing: this is no BERT vocabulary", name)
		}
		*id = v
	}
	return t, nil
}

// Encode is the ids of text between [CLS] and [SEP]. Its error is ErrTooLong when there would be more than limit: to cut a text off
// would make it look like every other with the same beginning.
func (t *Tokenizer) Encode(text string, limit int) ([]uint16, error) {
	ids := append(make([]uint16, 0, min(len(text)/3+8, max(limit, 2))), t.cls)
	text = normalise(text)
	for len(text) > 0 {
		word, tail := nextWord(text)
		text = tail
		if word == "" {
			continue
		}
		if ids = t.word(ids, word); len(ids) >= limit {
			return nil, ErrTooLong
		}
	}
	return append(ids, t.sep), nil
}

// nextWord cuts the first word off, or the white space before it (then word is empty).
func nextWord(s string) (word, tail string) {
	for i, r := range s {
		switch {
		case unicode.IsSpace(r):
			if i > 0 {
				return s[:i], s[i:]
			}
			return "", s[utf8.RuneLen(r):]
		case isPunctuation(r) || isIdeograph(r):
			if i > 0 {
				return s[:i], s[i:]
			}
			n := utf8.RuneLen(r)
			return s[:n], s[n:]
		}
	}
	return s, ""
}

// word appends the pieces of one word, the longest first.
func (t *Tokenizer) word(ids []uint16, word string) []uint16 {
	if len(word) > maxWord && utf8.RuneCountInString(word) > maxWord {
		return append(ids, t.unknown)
	}
	start := len(ids)
	table := t.whole
	for len(word) > 0 {
		end := min(len(word), t.longest)
		for ; end > 0; end-- {
			if id, ok := table[word[:end]]; ok {
				ids = append(ids, id)
				break
			}
		}
		if end == 0 {
			return append(ids[:start], t.unknown)
		}
		word, table = word[end:], t.rest
	}
	return ids
}

// normalise cleans, strips accents and lower-cases. ASCII text, the usual case, takes one pass.
func normalise(s string) string {
	if out, ok := ascii(s); ok {
		return out
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range cleaned(s) {
		if unicode.Is(unicode.Mn, r) {
			continue
		}
		// Rust's and Python's lower-casing, which the reference uses, turn this one letter into two.
		if r == 'İ' {
			b.WriteString("i̇")
			continue
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// cleaned drops control characters and takes letters and accents apart.
func cleaned(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\t' || r == '\n' || r == '\r' || unicode.IsSpace(r):
			return ' '
		case r == 0 || r == utf8.RuneError || unicode.In(r, unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs):
			return -1
		}
		return r
	}, s)
	return norm.NFD.String(s)
}

func ascii(s string) (string, bool) {
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= utf8.RuneSelf:
			return "", false
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == '\t' || c == '\n' || c == '\r':
			c = ' '
		case c < ' ' || c == 0x7f:
			continue
		}
		b = append(b, c)
	}
	return string(b), true
}

// isPunctuation counts every ASCII sign that is no letter, digit or space too, as BERT does.
func isPunctuation(r rune) bool {
	if r < utf8.RuneSelf {
		return r >= '!' && r <= '/' || r >= ':' && r <= '@' || r >= '[' && r <= '`' || r >= '{' && r <= '~'
	}
	return unicode.IsPunct(r)
}

// isIdeograph: each is a word of its own.
func isIdeograph(r rune) bool {
	return r >= 0x4E00 && r <= 0x9FFF || r >= 0x3400 && r <= 0x4DBF || r >= 0x20000 && r <= 0x2A6DF || r >= 0x2A700 && r <= 0x2B73F ||
		r >= 0x2B740 && r <= 0x2B81F || r >= 0x2B920 && r <= 0x2CEAF || r >= 0xF900 && r <= 0xFAFF || r >= 0x2F800 && r <= 0x2FA1F
}
