package semantic

import (
	"slices"
	"strings"
)

// Text is a user's question as the tier looks at it: once for its vector, and once beside each candidate.
type Text struct {
	normal  string
	tokens  []token
	scripts scripts
	english bool
	tooLong bool
}

// Analyse reads a question. Greetings, thanks and "could you tell me" around it are dropped, contractions spelt out: what is left
// is what is asked.
func Analyse(text string) *Text {
	l := english()
	s := scan(l, text)
	t := &Text{tokens: core(l, s.tokens), scripts: s.scripts, tooLong: s.tooLong}
	t.normal = join(l, t.tokens)
	t.tokens = begun(l, t.tokens)
	grammar, known := 0, 0
	for i := range t.tokens {
		if t.tokens[i].class&(function|negation) != 0 {
			grammar++
		}
		if t.tokens[i].known {
			known++
		}
	}
	t.english = grammar > 0 || 2*known >= len(t.tokens)
	return t
}

// Normal is what is embedded: lower case, without punctuation and politeness.
func (t *Text) Normal() string { return t.normal }

// core cuts politeness off both ends, over and over, while something is left.
func core(l *lexicon, ts []token) []token {
	for {
		n := l.openings.prefix(ts)
		m := l.closings.suffix(ts[n:])
		if n+m == 0 {
			return ts
		}
		ts = ts[n : len(ts)-m]
	}
}

// begun gives a question the usual beginning for the guards too: what time is when, and the reason is why. How to is left as it was
// written: who can or should do what counts.
func begun(l *lexicon, ts []token) []token {
	f, ok := l.frame(ts)
	if !ok || len(f.tokens) == 0 || f.as[len(f.as)-1] == "to" {
		return ts
	}
	return slices.Concat(f.tokens, ts[len(f.words):])
}

// join writes what is embedded. Articles are left out and the beginning of a question takes its usual form, because vectors make
// more of either than the answer does; every text ends like a question for the same reason.
func join(l *lexicon, ts []token) string {
	var b strings.Builder
	f, at := l.frameIn(ts)
	for i := 0; i < len(ts); i++ {
		if i == at {
			if b.Len() > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(strings.Join(f.as, " "))
			i += len(f.words) - 1
			continue
		}
		t := &ts[i]
		word := t.text
		if as, ok := l.spoken[word]; ok {
			word = as
		} else if as, ok := l.spellings[word]; ok && !t.number {
			word = as
		} else if t.class == 0 && !t.number && (t.known || !t.proper) {
			word = t.lemma
		} else if t.number && romans[strings.ToUpper(word)] != "" {
			word = t.lemma
		}
		switch {
		case word == "-":
			continue
		case b.Len() > 0 && t.after == '-':
			b.WriteByte('-')
		case b.Len() > 0:
			b.WriteByte(' ')
		}
		b.WriteString(word)
	}
	if b.Len() == 0 {
		return ""
	}
	b.WriteByte('?')
	return b.String()
}
