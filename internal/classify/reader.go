package classify

import (
	"math/bits"
	"unicode"
	"unicode/utf8"
)

// edgeBytes is how far from a text's ends an instruction is looked for.
const edgeBytes = 240

// The scripts that are told apart.
const (
	latin = iota
	han
	kana
	cyrillic
	otherScript
	scripts
)

// reader goes through a text once, rune by rune.
type reader struct {
	s     *Sample
	c     *counts
	grams bool

	edge    bool // an instruction may stand here
	silent  bool // only lexica at the edge count: this is the system prompt
	hash    uint64
	length  int    // letters of the word so far
	digits  int    // of the number so far
	capital int    // capitals of the word so far
	mixed   bool   // the word has an underscore, or a capital after a small letter
	stemmed uint32 // lexica of the word's stems
	before  uint64 // hash of the word before, 0 after the end of a sentence
	prior   rune   // the rune before
	line    int    // runes of the line so far
	blanks  int    // spaces that the line begins with
	first   rune   // the line's first other rune
	option  bool   // the line is an answer to choose from
	under   int    // underscores in a row
	ticks   int    // backticks in a row
}

// system looks for what is to be done, and nothing else.
func (r *reader) system(text string) {
	if text == "" {
		return
	}
	r.silent, r.edge = true, true
	r.run(text, true, true)
	r.silent, r.before = false, 0
}

// text reads one piece. begins and ends say whether the piece's ends are the text's.
func (r *reader) text(text string, begins, ends bool) {
	if text == "" {
		return
	}
	r.prior, r.line, r.blanks, r.first, r.before, r.option = '\n', 0, 0, 0, 0, false
	r.run(text, begins, ends)
	r.c.lines++
	if r.blanks > 1 {
		r.c.indented++
	}
	if r.c.last != '.' && r.c.last != '!' && r.c.last != '?' {
		r.c.sentences++
	}
}

func (r *reader) run(text string, begins, ends bool) {
	for i := 0; i < len(text); {
		ch, size := rune(text[i]), 1
		if ch >= utf8.RuneSelf {
			ch, size = utf8.DecodeRuneInString(text[i:])
		}
		r.edge = begins && i < edgeBytes || ends && i >= len(text)-edgeBytes
		switch {
		case ch < utf8.RuneSelf && ascii[ch]&(lower|upperCase) != 0:
			r.letter(ch, ascii[ch]&upperCase != 0)
		case ch < utf8.RuneSelf && ascii[ch]&digit != 0:
			r.digit(ch)
		case ch < utf8.RuneSelf:
			r.mark(ch, text[i+1:])
		case spaceless(ch):
			r.endWord()
			r.character(ch, text[i:])
		default:
			r.wide(ch)
		}
		ch = plain(ch)
		if !r.silent {
			r.c.runes++
			r.place(ch)
		}
		r.prior, i = ch, i+size
	}
	r.endWord()
}

// plain is the ASCII mark that does what a wide one does.
func plain(ch rune) rune {
	switch ch {
	case '？', '؟':
		return '?'
	case '。':
		return '.'
	case '！':
		return '!'
	case '：':
		return ':'
	}
	return ch
}

// place follows lines.
func (r *reader) place(ch rune) {
	if ch == '\n' {
		if r.prior == ':' {
			r.c.colonBreak = true
		}
		if r.line == r.blanks && r.c.paragraph == 0 && r.c.words > 0 { // an empty line
			r.c.paragraph = r.c.runes
		}
		if r.blanks > 1 && r.line > r.blanks {
			r.c.indented++
		}
		r.c.lines++
		r.line, r.blanks, r.first, r.option = 0, 0, 0, false
		return
	}
	if r.option {
		r.c.optionRunes++
	}
	if r.line++; ch == ' ' || ch == '\t' {
		if r.blanks == r.line-1 {
			r.blanks++
			if ch == '\t' {
				r.blanks++
				r.line++
			}
		}
		return
	}
	r.c.last = ch
	at := r.line - r.blanks // 1 for the first rune that is no space
	switch {
	case at == 1:
		r.first = ch
		if ch == '-' || ch == '*' || ch == '•' || ch == '#' {
			r.c.items++
		}
	case at == 2 && (ch == '.' || ch == ')'):
		switch {
		case r.first >= 'A' && r.first <= 'J' || r.first >= 'a' && r.first <= 'e':
			r.c.options++
			r.option = true
		case r.first >= '0' && r.first <= '9':
			r.c.items++
		}
	}
}

func (r *reader) letter(ch rune, capital bool) {
	if r.digits > 0 && r.length == 0 {
		r.endNumber()
	}
	r.under, r.ticks = 0, 0
	if capital {
		r.mixed = r.mixed || r.length > r.capital
		r.capital++
		ch |= 0x20
	}
	r.add(ch)
	if !r.silent {
		r.c.scripts[latin]++
	}
}

// add takes one lower-case letter into the word.
func (r *reader) add(ch rune) {
	if r.length == 0 {
		r.hash, r.stemmed = hashSeed, 0
	}
	r.hash = step(r.hash, ch)
	if r.length++; r.length >= minStem {
		r.stemmed |= words.find(r.hash, stem)
	}
}

func (r *reader) digit(ch rune) {
	if r.length > 0 { // a name such as x86
		r.add(ch)
		return
	}
	r.digits++
}

// endNumber counts a number; its words are its number of digits, because its value says nothing.
func (r *reader) endNumber() {
	if !r.silent {
		r.c.numbers++
		if r.digits >= 3 {
			r.c.bigNumbers++
		}
		r.gram(whole ^ uint64(min(r.digits, 5)))
	}
	r.before = whole
	r.digits = 0
}

// endWord counts the word or number that has just ended.
func (r *reader) endWord() {
	if r.digits > 0 {
		r.endNumber()
	}
	if r.length == 0 {
		return
	}
	lexica := r.stemmed | words.find(r.hash, whole)
	if r.before != 0 {
		lexica |= words.find(pair(r.before, r.hash), whole)
	}
	r.found(lexica)
	if !r.silent {
		c := r.c
		c.words++
		c.letters += r.length
		if r.length >= 9 {
			c.longWords++
		}
		if r.capital >= 2 && r.capital == r.length {
			c.upper++
		} else if r.mixed {
			c.identifiers++
		}
		if r.capital == 1 && r.length > 1 && r.before != 0 {
			c.names++
		}
		if r.gram(r.hash) {
			c.distinct++
		}
		if r.before != 0 {
			r.gram(pair(r.before, r.hash))
		}
	}
	r.before = r.hash
	r.length, r.capital, r.mixed, r.stemmed = 0, 0, false, 0
}

func (r *reader) found(lexica uint32) {
	if lexica == 0 {
		return
	}
	if r.edge {
		r.c.asked |= lexica
	}
	if !r.silent {
		for ; lexica != 0; lexica &= lexica - 1 {
			r.c.lexica[bits.TrailingZeros32(lexica)]++
		}
	}
}

// gram takes a hashed word or pair of words, and says whether its bucket is new.
func (r *reader) gram(h uint64) bool {
	h *= hashPrime
	bucket := uint16(h >> 50)
	if r.c.seen[bucket>>6]&(1<<(bucket&63)) != 0 {
		return false
	}
	r.c.seen[bucket>>6] |= 1 << (bucket & 63)
	if r.grams && r.s.N < maxGrams {
		r.s.Grams[r.s.N] = bucket
		r.s.N++
	}
	return true
}

// character reads one of a script without spaces: it is a word, and the beginning of the entries that stand here.
func (r *reader) character(ch rune, rest string) {
	h, single := hashSeed, uint64(0)
	lexica, n := uint32(0), 0
	for _, next := range rest {
		if n == maxInside || !spaceless(next) {
			break
		}
		h = step(h, next)
		if n++; n == 1 {
			single = h
		}
		lexica |= words.find(h, inside)
	}
	r.found(lexica)
	if r.silent {
		return
	}
	script := han
	switch {
	case ch < 0x3000:
		script = otherScript
	case ch <= 0x30ff:
		script = kana
	}
	c := r.c
	c.scripts[script]++
	if c.words++; c.words&1 == 0 { // about two characters make a word
		c.letters += 9
	}
	if r.gram(single) {
		c.distinct++
	}
	if r.before != 0 {
		r.gram(pair(r.before, single))
	}
	r.before = single
}

// wide reads what is neither ASCII nor of a script without spaces.
func (r *reader) wide(ch rune) {
	switch {
	case unicode.IsLetter(ch) || unicode.Is(unicode.Mn, ch):
		script := latin
		switch {
		case ch >= 0x370 && ch <= 0x3ff:
			if r.length == 0 && !r.silent {
				r.c.math++
			}
			script = otherScript
		case ch >= 0x400 && ch <= 0x52f:
			script = cyrillic
		case ch > 0x52f && (ch < 0x1e00 || ch > 0x1eff):
			script = otherScript
		}
		if low := unicode.ToLower(ch); low != ch {
			r.capital++
			ch = low
		}
		r.add(ch)
		if !r.silent {
			r.c.scripts[script]++
		}
	case ch == '’':
	case unicode.IsDigit(ch):
		r.digit(ch)
	default:
		r.endWord()
		r.wideMark(ch)
	}
}

func (r *reader) wideMark(ch rune) {
	c := r.c
	if r.silent {
		return
	}
	switch {
	case ch == '？' || ch == '؟':
		c.questions++
		r.sentence()
	case ch == '。':
		r.sentence()
	case ch == '！':
		c.exclamations++
		r.sentence()
	case ch == '，' || ch == '、':
		c.commas++
	case ch == '“' || ch == '”' || ch == '„' || ch == '«' || ch == '»' || ch == '「' || ch == '」' || ch == '『' || ch == '』':
		c.quotes++
	case ch >= 0x1f300 && ch <= 0x1faff || ch >= 0x2600 && ch <= 0x27bf:
		c.emoji++
	case ch >= 0x2200 && ch <= 0x22ff || ch == '×' || ch == '÷' || ch == '±' || ch == '²' || ch == '³' || ch == '√' || ch == '°':
		c.math++
	}
}

func (r *reader) sentence() {
	r.c.sentences++
	r.before = 0
}
