package semantic

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxWords bounds what the guards look at; a text of more words is not compared.
const maxWords = 512

// token is a word, number or sign of a text.
type token struct {
	text   string // lower case, contractions spelt out
	lemma  string // what is compared
	class  class
	number bool   // lemma is its value
	unit   string // of a number: its name, "" without
	date   bool   // names a time
	sign   bool   // neither word nor number: an operator, a symbol
	name   bool   // written like a name, or known to no dictionary
	proper bool   // written like a name
	known  bool
	after  byte // what separates it from the word before: ' ', ',' or '-'
}

func (t *token) content() bool { return t.class&function == 0 && !t.sign }

// scanned is a text as a list of words, and how it was written.
type scanned struct {
	tokens  []token
	scripts scripts
	tooLong bool
}

// scan splits text into words. The order of checks follows how often they meet something in English text.
func scan(l *lexicon, text string) scanned {
	s := scanner{lexicon: l, rest: text, separator: ' ', start: true}
	s.out.tokens = make([]token, 0, len(text)/5+4)
	for s.rest != "" && !s.out.tooLong {
		s.next()
		s.out.tooLong = len(s.out.tokens) > maxWords
	}
	s.judgeCapitals()
	return s.out
}

type scanner struct {
	lexicon   *lexicon
	rest      string
	separator byte
	start     bool // of a sentence: a capital says nothing there
	out       scanned

	capitals, lower int // function words inside sentences that begin with either
}

func (s *scanner) next() {
	r, n := utf8.DecodeRuneInString(s.rest)
	switch {
	case r == ' ' || unicode.IsSpace(r):
		if s.separator == 0 || s.separator == '-' {
			s.separator = ' '
		}
		s.rest = s.rest[n:]
	case isDigit(r):
		s.number("")
	case unicode.IsLetter(r) || unicode.IsMark(r):
		s.word()
	case strings.ContainsRune("$£€¥₹", r):
		s.rest = s.rest[n:]
		s.currency(string(r))
	case r == '-' || r == '–' || r == '—':
		s.dash(n)
	case r == '.' || r == '?' || r == '!' || r == '\n' || r == ':' || r == ';':
		s.separator, s.start, s.rest = ',', true, s.rest[n:]
	case strings.ContainsRune(`,()[]{}"'’‘“”«»…¿¡_|\`+"`", r):
		s.separator, s.rest = ',', s.rest[n:]
	default:
		s.symbol(r, n)
	}
}

// dash joins words, stands between clauses, or is a minus sign before a number.
func (s *scanner) dash(n int) {
	next, _ := utf8.DecodeRuneInString(s.rest[n:])
	switch {
	case isDigit(next) && s.separator == ' ' && len(s.out.tokens) > 0:
		s.rest = s.rest[n:]
		s.number("-")
		return
	case s.separator == 0:
		s.separator = '-'
	default:
		s.separator = ','
	}
	s.rest = s.rest[n:]
}

func (s *scanner) symbol(r rune, n int) {
	s.rest = s.rest[n:]
	switch r {
	case '&':
		s.add(token{text: "and", lemma: "and", class: s.lexicon.class["and"]})
	case '%':
		if last := s.last(); last != nil && last.number {
			last.unit, last.text = "percent", last.text+"%"
			return
		}
		s.add(token{text: "%", lemma: "percent"})
	case '/':
		if last := s.last(); last == nil || !last.number {
			s.separator = ','
			return
		}
		fallthrough
	default:
		s.add(token{text: string(r), lemma: string(r), sign: true})
	}
}

func (s *scanner) last() *token {
	if len(s.out.tokens) == 0 {
		return nil
	}
	return &s.out.tokens[len(s.out.tokens)-1]
}

func (s *scanner) add(t token) {
	t.after = s.separator
	if t.after == 0 {
		t.after = ' '
	}
	s.out.tokens = append(s.out.tokens, t)
	s.separator, s.start = 0, false
}

// word reads letters, with digits and apostrophes inside, and + or # behind (C++).
func (s *scanner) word() {
	end, digits, nonASCII := 0, false, false
	for i, r := range s.rest {
		if unicode.IsLetter(r) || unicode.IsMark(r) || isDigit(r) || (r == '\'' || r == '’') && letterAfter(s.rest[i+utf8.RuneLen(r):]) {
			s.out.scripts.count(r)
			end = i + utf8.RuneLen(r)
			digits, nonASCII = digits || isDigit(r), nonASCII || r >= utf8.RuneSelf
			if isIdeograph(r) {
				break
			}
			continue
		}
		break
	}
	if end == 0 { // a letter that is no text
		_, n := utf8.DecodeRuneInString(s.rest)
		s.rest = s.rest[n:]
		return
	}
	for end < len(s.rest) && (s.rest[end] == '+' || s.rest[end] == '#') && end < 4 {
		end, digits = end+1, true
	}
	raw := s.rest[:end]
	s.rest = s.rest[end:]
	if end == 1 {
		raw = s.abbreviation(raw)
	}
	first, _ := utf8.DecodeRuneInString(raw)
	capital := unicode.IsUpper(first)
	shout := len(raw) > 1 && raw == strings.ToUpper(raw) && capital
	text := strings.ToLower(raw)
	if nonASCII {
		text = strings.ReplaceAll(text, "’", "'")
	}
	if v, ok := romans[raw]; ok {
		s.add(token{text: strings.ToLower(raw), lemma: v, number: true, known: true})
		return
	}
	name := capital && !s.start || shout || digits || capital && strings.ToLower(raw[1:]) != raw[1:]
	if !s.start && text != "i" && s.lexicon.class[text]&function != 0 {
		if capital {
			s.capitals++
		} else {
			s.lower++
		}
	}
	s.spell(text, name, digits)
}

// romans are the numerals that are nothing else in English: the Second World War is II.
var romans = map[string]string{"II": "2", "III": "3", "IV": "4", "VI": "6", "VII": "7", "VIII": "8", "IX": "9", "XI": "11", "XII": "12", "XIII": "13",
	"XIV": "14", "XV": "15", "XVI": "16", "XVII": "17", "XVIII": "18"}

// abbreviation reads on where a letter is followed by letters with dots: U.S., p.m.
func (s *scanner) abbreviation(first string) string {
	n := 0
	for n+1 < len(s.rest) && s.rest[n] == '.' && isASCIILetter(s.rest[n+1]) && (n+2 == len(s.rest) || !isASCIILetter(s.rest[n+2])) && n < 10 {
		n += 2
	}
	if n == 0 {
		return first
	}
	raw := first + strings.ReplaceAll(s.rest[:n], ".", "")
	s.rest = strings.TrimPrefix(s.rest[n:], ".")
	return raw
}

// spell adds a word without its contraction: doesn't becomes does not, what's what.
func (s *scanner) spell(text string, name, digits bool) {
	if i := strings.IndexByte(text, '\''); i > 0 {
		switch {
		case text == "one's":
			s.plain("your", false, false)
			return
		case strings.HasSuffix(text, "n't"):
			base := text[:len(text)-3]
			switch base {
			case "ca":
				base = "can"
			case "wo":
				base = "will"
			case "sha":
				base = "shall"
			}
			s.plain(base, false, false)
			s.plain("not", false, false)
			return
		case i == len(text)-2 && text[i+1] == 's' && s.lexicon.class[text[:i]]&function != 0 && !strings.HasSuffix(text[:i], "one") &&
			!strings.HasSuffix(text[:i], "body"): // what's, it's, there's; but someone's is possessive
			s.plain(text[:i], false, false)
			s.plain("is", false, false)
			return
		case i == len(text)-2 && text[i+1] == 's' || i == len(text)-1:
			text = text[:i]
		case i >= len(text)-3: // 're 've 'll 'd 'm
			s.plain(text[:i], name, digits)
			s.plain(text[i+1:], false, false)
			return
		}
	}
	if whole, ok := undotted[text]; ok {
		for _, w := range whole {
			s.plain(w, false, false)
		}
		return
	}
	s.plain(text, name, digits)
}

// undotted are contractions as they are typed in haste.
var undotted = map[string][]string{
	"whats": {"what", "is"}, "hows": {"how", "is"}, "wheres": {"where", "is"}, "whos": {"who", "is"}, "whens": {"when", "is"}, "im": {"i", "am"}, "iam": {"i", "am"}, "ive": {"i"}, "id": {"id"},
	"dont": {"do", "not"}, "doesnt": {"does", "not"}, "didnt": {"did", "not"}, "cant": {"can", "not"}, "cannot": {"can", "not"},
	"wont": {"will", "not"}, "isnt": {"is", "not"}, "arent": {"are", "not"}, "wasnt": {"was", "not"}, "werent": {"were", "not"},
	"shouldnt": {"should", "not"}, "wouldnt": {"would", "not"}, "couldnt": {"could", "not"}, "hasnt": {"has", "not"}, "havent": {"have", "not"},
	"mustnt": {"must", "not"},
}

func (s *scanner) plain(text string, name, digits bool) {
	l := s.lexicon
	t := token{text: text, class: l.class[text]}
	if t.class&filler != 0 {
		return
	}
	if t.class&(function|negation) != 0 {
		// US is a country and us is not, but in capitals everything is.
		if !(name && text == "us") {
			t.lemma, t.known = text, true
			s.add(t)
			return
		}
		t.class = 0
	}
	if unit, ok := l.units[text]; ok {
		if last := s.last(); last != nil && last.number && last.unit == "" {
			last.unit, last.text = unit, last.text+" "+unit
			s.separator = 0
			return
		}
	}
	if v, ok := l.numbers[text]; ok {
		s.spelt(t, v)
		return
	}
	if v, ok := l.calendar[text]; ok {
		t.lemma, t.date, t.known = v, true, true
		s.add(t)
		return
	}
	if text == "may" || text == "march" {
		t.date = name
	}
	t.lemma = l.lemma(text)
	t.known = l.isKnown(text) || l.isKnown(t.lemma) || l.isKnown(l.manner(text))
	if _, ok := l.lemmas[text]; ok {
		t.known = true
	}
	t.proper = name || digits
	t.name = t.proper || !t.known && len(text) > 2
	s.add(t)
}

// judgeCapitals takes what capitals said back where even function words have one: a title, or somebody shouts.
func (s *scanner) judgeCapitals() {
	if s.capitals <= s.lower {
		return
	}
	for i := range s.out.tokens {
		if t := &s.out.tokens[i]; t.known && !strings.ContainsAny(t.text, "0123456789+#") {
			t.name, t.proper = false, false
		}
	}
}

func isDigit(r rune) bool { return r >= '0' && r <= '9' }

func letterAfter(s string) bool {
	r, _ := utf8.DecodeRuneInString(s)
	return unicode.IsLetter(r)
}

func isIdeograph(r rune) bool {
	return r >= 0x2E80 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai)
}
