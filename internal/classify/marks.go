package classify

// Classes of ASCII characters.
const (
	lower uint8 = 1 << iota
	upperCase
	digit
	codeMark
	mathMark
)

var ascii = func() (class [128]uint8) {
	for c := range class {
		switch {
		case c >= 'a' && c <= 'z':
			class[c] = lower
		case c >= 'A' && c <= 'Z':
			class[c] = upperCase
		case c >= '0' && c <= '9':
			class[c] = digit
		}
	}
	for _, c := range `{}[];<>=|&\_` {
		class[c] |= codeMark
	}
	for _, c := range `+=^%$\<>*` {
		class[c] |= mathMark
	}
	return class
}()

// mark reads an ASCII character that is neither letter nor digit. rest is what follows it.
func (r *reader) mark(ch rune, rest string) {
	if ch == '\'' && r.length > 0 && rest != "" && ascii[rest[0]&0x7f]&(lower|upperCase) != 0 {
		return // don't is one word
	}
	if r.digits > 0 && r.length == 0 && (ch == '.' || ch == ',') && rest != "" && ascii[rest[0]&0x7f]&digit != 0 && rest[0] < 0x80 {
		return // 1,000.5 is one number
	}
	if r.silent {
		r.endWord()
		return
	}
	c := r.c
	if ascii[ch]&codeMark != 0 {
		c.codeMarks++
	}
	if ascii[ch]&mathMark != 0 {
		c.math++
	}
	if ch == '_' {
		r.underscore()
		return
	}
	r.under = 0
	if ch == '(' && r.length > 0 {
		c.identifiers++ // a call: prose has a space before a bracket
	}
	ended := r.length > 0
	r.endWord()
	if ch == '`' {
		r.ticks++
		c.fence = c.fence || r.ticks == 3
		c.codeMarks++
		return
	}
	r.ticks = 0
	r.punctuation(ch, rest, ended)
}

// underscore is part of a name, or of a blank to fill in.
func (r *reader) underscore() {
	if r.under++; r.under == 3 {
		r.c.blank = true
	}
	if r.length > 0 {
		r.mixed = true
		r.endWord()
	}
}

func (r *reader) punctuation(ch rune, rest string, afterWord bool) {
	c := r.c
	switch ch {
	case '.':
		if atEnd(rest) {
			r.sentence()
		} else if afterWord && ascii[rest[0]&0x7f]&lower != 0 {
			c.identifiers++ // package.name
		}
	case '?':
		c.questions++
		r.sentence()
	case '!':
		c.exclamations++
		r.sentence()
	case '\n':
		r.before = 0
	case ',':
		c.commas++
	case '"':
		c.quotes++
	case ':':
		r.colon(rest)
	}
}

// colon may be part of a URL or of a smiley.
func (r *reader) colon(rest string) {
	if len(rest) < 2 {
		return
	}
	switch {
	case rest[0] == '/' && rest[1] == '/':
		r.c.link = true
	case rest[0] == ')' || rest[0] == '-' && rest[1] == ')' || rest[0] == 'D' && rest[1] <= ' ':
		r.c.emoji++
	}
}

func atEnd(rest string) bool {
	return rest == "" || rest[0] == ' ' || rest[0] == '\n' || rest[0] == '"' || rest[0] == ')'
}
