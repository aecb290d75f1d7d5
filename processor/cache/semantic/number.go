package semantic

import (
	"strconv"
	"strings"
)

// number reads digits with the signs that stand inside numbers: 1,000 9:15 1.5 2026-11-21 is three numbers. Letters that follow at
// once are a unit (10kg, 11am, 3rd) or make a name of it (4K, 520d, 9b).
func (s *scanner) number(sign string) {
	end := 0
	for end < len(s.rest) {
		c := s.rest[end]
		inside := (c == ',' || c == '.' || c == ':') && end+1 < len(s.rest) && isDigit(rune(s.rest[end+1]))
		if !isDigit(rune(c)) && !inside {
			break
		}
		end++
	}
	digits := s.rest[:end]
	letters := 0
	for end+letters < len(s.rest) && letters < 12 && isASCIILetter(s.rest[end+letters]) {
		letters++
	}
	tail := strings.ToLower(s.rest[end : end+letters])
	s.rest = s.rest[end+letters:]
	t := token{text: sign + digits + tail, number: true, known: true, lemma: sign + value(digits), unit: s.currencyBefore()}
	switch tail {
	case "":
	case "st", "nd", "rd", "th":
		t.lemma += ordinal(digits)
	default:
		if unit, ok := s.lexicon.units[tail]; ok && t.unit == "" {
			t.unit = unit
		} else {
			t.lemma, t.number, t.name = t.text, false, true
		}
	}
	s.add(t)
}

func ordinal(digits string) string {
	switch {
	case strings.HasSuffix(digits, "11"), strings.HasSuffix(digits, "12"), strings.HasSuffix(digits, "13"):
		return "th"
	case strings.HasSuffix(digits, "1"):
		return "st"
	case strings.HasSuffix(digits, "2"):
		return "nd"
	case strings.HasSuffix(digits, "3"):
		return "rd"
	}
	return "th"
}

// value is how numbers are compared: 1,000 and 1000 and 1000.0 are one.
func value(digits string) string {
	if strings.Contains(digits, ":") {
		return digits
	}
	plain := digits
	if i := strings.IndexByte(plain, ','); i > 0 && len(plain)-strings.LastIndexByte(plain, ',') == 4 {
		plain = strings.ReplaceAll(plain, ",", "")
	}
	if len(plain) > 15 {
		return plain // a card's or account's number: every digit counts
	}
	v, err := strconv.ParseFloat(plain, 64)
	if err != nil {
		return plain // a version, an address: 1.2.3
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

func isASCIILetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// currency stands before its number.
func (s *scanner) currency(sign string) {
	if s.rest != "" && isDigit(rune(s.rest[0])) {
		s.number("")
		last := s.last()
		if last.unit != "" { // $10k
			last.lemma += last.unit
		}
		last.unit, last.text = s.lexicon.units[sign], sign+last.text
		return
	}
	s.add(token{text: sign, lemma: s.lexicon.units[sign]})
}

// spelt adds a number word; twenty five and two hundred become one number.
func (s *scanner) spelt(t token, v string) {
	t.number, t.known, t.lemma = true, true, v
	last := s.last()
	if last == nil || !last.number || last.unit != "" || s.separator == ',' {
		s.add(t)
		return
	}
	a, errA := strconv.ParseFloat(last.lemma, 64)
	b, errB := strconv.ParseFloat(v, 64)
	switch {
	case errA != nil || errB != nil:
		s.add(t)
	case b >= 100 && a < b || b == 12 && t.text == "dozen":
		s.merge(a*b, t.text)
	case a >= 20 && a < 100 && b >= 1 && b < 10 && isASCIILetter(last.text[0]):
		s.merge(a+b, t.text)
	default:
		s.add(t)
	}
}

func (s *scanner) merge(value float64, text string) {
	last := s.last()
	last.lemma, last.text = strconv.FormatFloat(value, 'f', -1, 64), last.text+" "+text
	s.separator = 0
}

// currencyBefore takes back a currency's name that stands before its number (Rs. 500, USD 20).
func (s *scanner) currencyBefore() string {
	last := s.last()
	if last == nil || last.number || s.separator == '-' {
		return ""
	}
	switch unit := s.lexicon.units[last.text]; unit {
	case "dollar", "euro", "pound", "rupee", "yen":
		s.out.tokens = s.out.tokens[:len(s.out.tokens)-1]
		return unit
	}
	return ""
}
