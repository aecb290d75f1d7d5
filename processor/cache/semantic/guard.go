package semantic

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Guard names one check, as it stands in the configuration and in metrics.
type Guard string

// The guards, in the order in which they look.
const (
	None         Guard = "" // nothing refuses
	Script       Guard = "script"
	Length       Guard = "length"
	Numbers      Guard = "numbers"
	Negation     Guard = "negation"
	Entities     Guard = "entities"
	Order        Guard = "order"
	Substitution Guard = "substitution"
	Scope        Guard = "scope"
)

// Guards lists them all.
var Guards = []Guard{Script, Length, Numbers, Negation, Entities, Order, Substitution, Scope}

// Set is which guards are on; the zero value is none.
type Set uint16

// All are on.
const All Set = 1<<8 - 1

// Has says whether g is on.
func (s Set) Has(g Guard) bool { return s&bit(g) != 0 }

// Without is s with g switched off.
func (s Set) Without(g Guard) Set { return s &^ bit(g) }

// Only is the set of one guard.
func Only(g Guard) Set { return bit(g) }

func bit(g Guard) Set {
	for i, x := range Guards {
		if x == g {
			return 1 << i
		}
	}
	return 0
}

// longest is how many times as many words one of two texts may have, with a few words to spare.
const (
	lengthRatio = 2
	lengthSpare = 4
)

// Check compares two questions whose vectors are alike and names the first guard that refuses to answer one with the other's
// answer; None when there is no objection. It is deterministic, symmetrical, and takes some 20 µs.
func (s Set) Check(a, b *Text, similarity float64) Guard {
	if s == 0 {
		return None
	}
	if s.Has(Script) && (a.scripts.main() != b.scripts.main() || a.english != b.english && min(len(a.tokens), len(b.tokens)) > 4) {
		return Script
	}
	if s.Has(Length) && (a.tooLong || b.tooLong || unequal(len(a.tokens), len(b.tokens))) {
		return Length
	}
	if a.tooLong || b.tooLong {
		return None
	}
	if a.normal > b.normal {
		a, b = b, a // what is paired with what can depend on the side
	}
	l := english()
	al := align(l, a.tokens, b.tokens)
	al.close = similarity >= closeVectors
	for _, check := range checks {
		if s.Has(check.guard) && check.refuses(l, al) {
			return check.guard
		}
	}
	return None
}

var checks = []struct {
	guard   Guard
	refuses func(*lexicon, *alignment) bool
}{
	{Numbers, numbersDiffer},
	{Negation, opposed},
	{Entities, namesDiffer},
	{Order, reordered},
	{Substitution, substituted},
	{Scope, narrowed},
}

func unequal(a, b int) bool { return max(a, b) > lengthRatio*min(a, b)+lengthSpare }

// numbersDiffer: every number, with its unit, every operator and everything that names a time must be in both.
func numbersDiffer(_ *lexicon, al *alignment) bool {
	for _, i := range al.allA {
		if t := &al.a[i]; t.number || t.date || t.sign {
			return true
		}
	}
	for _, j := range al.allB {
		if t := &al.b[j]; t.number || t.date || t.sign {
			return true
		}
	}
	for i, j := range al.at {
		if j >= 0 && al.a[i].unit != al.b[j].unit && (al.a[i].unit != "" && al.b[j].unit != "" || !measured(al.a, al.b[j].unit) || !measured(al.b, al.a[i].unit)) {
			return true
		}
	}
	return false
}

// measured says whether some number has the unit: in "1000 and 500 rupees" the first one shares the second one's.
func measured(ts []token, unit string) bool {
	for i := range ts {
		if ts[i].unit == unit {
			return true
		}
	}
	return unit == ""
}

// opposed: one is negated and the other is not, or a word of one is the opposite of a word of the other.
func opposed(l *lexicon, al *alignment) bool {
	if negations(al.a)%2 != negations(al.b)%2 {
		return true
	}
	for _, i := range al.allA {
		for _, j := range al.allB {
			a, b := al.a[i].lemma, al.b[j].lemma
			if al.a[i].class&al.b[j].class&preposition != 0 && !sameObject(al, i, j) {
				continue // stop it from barking, get it to stop
			}
			if opposite(l, a, b) {
				return true
			}
		}
	}
	return false
}

func opposite(l *lexicon, a, b string) bool {
	return linked(l.opposites, a, b) || prefixed(a, b) || prefixed(b, a)
}

func negations(ts []token) (n int) {
	for i := range ts {
		if ts[i].class&negation != 0 {
			n++
		}
	}
	return n
}

// reversing are the beginnings that turn a word into its opposite or into another step of the same affair.
var reversing = []string{"un", "in", "im", "il", "ir", "dis", "non", "mis", "de", "re", "pre", "post", "anti", "over", "under"}

func prefixed(long, short string) bool {
	n := len(long) - len(short)
	if n < 2 || n > 5 || len(short) < 3 || !strings.HasSuffix(long, short) {
		return strings.HasSuffix(long, "less") && strings.TrimSuffix(long, "less") == strings.TrimSuffix(short, "ful")
	}
	for _, p := range reversing {
		if long[:n] == p {
			return true
		}
	}
	return false
}

// namesDiffer: a name, or a word that no dictionary has, is in one only, or one is about him or her and the other is not.
func namesDiffer(l *lexicon, al *alignment) bool {
	if personsDiffer(al) || pluralNames(l, al) {
		return true
	}
	for _, i := range al.restA {
		if al.a[i].name {
			return true
		}
	}
	for _, j := range al.restB {
		if al.b[j].name {
			return true
		}
	}
	return false
}

// pluralNames: Alien and Aliens are two films. The New Year and New Year's are one, because a year is no name.
func pluralNames(l *lexicon, al *alignment) bool {
	for i, j := range al.at {
		if j < 0 || !al.a[i].proper || !al.b[j].proper || al.a[i].lemma != al.b[j].lemma {
			continue
		}
		if _, unit := l.units[al.a[i].lemma]; !unit && (al.a[i].text+"s" == al.b[j].text || al.a[i].text == al.b[j].text+"s") {
			return true
		}
	}
	return false
}

// substituted: both have words of content that the other lacks, or they ask for different things (who, when, where, why, how much), or
// in another mood.
func substituted(l *lexicon, al *alignment) bool {
	if al.tooMany || asks(l, al.a) != asks(l, al.b) || measuresDiffer(al) || moodsDiffer(l, al) {
		return true
	}
	if weight(al.a, al.restA) > 0 && weight(al.b, al.restB) > 0 {
		return true
	}
	return has(al.a, al.restA, weak) && has(al.b, al.restB, weak)
}

func has(ts []token, places []int, c class) bool {
	for _, i := range places {
		if ts[i].class&c != 0 {
			return true
		}
	}
	return false
}

// asks is what a question asks for: by its question word, which stands before all content or after an and or a comma. Elsewhere such
// words join clauses ("does it hurt when I run").
func asks(l *lexicon, ts []token) (what string) {
	content := false
	for i := range ts {
		if w, ok := l.asking[ts[i].text]; ok && (!content || ts[i-1].text == "and" || ts[i].after == ',') && (what == "" || w < what) {
			what = w
		}
		content = content || ts[i].content() && ts[i].class&(light|weak) == 0
	}
	return what
}

// closeVectors is the similarity from which on the model is believed that one more common word changes little, unless the word turns
// something of the other text round, adds to a list, or says how. It was chosen on one half of a set of question pairs and checked on the
// other: nine in ten of such pairs had the same answer.
const closeVectors = 0.95

// narrowed: one has words of content beyond those of the other, or asks what is in a thing where the other asks what it is.
func narrowed(l *lexicon, al *alignment) bool {
	extra := weight(al.a, al.restA) + weight(al.b, al.restB)
	if extra == 1 && al.close && min(len(al.a), len(al.b)) > 3 && !telling(l, al.a, al.restA, al.allA, al.b) && !telling(l, al.b, al.restB, al.allB, al.a) {
		extra = 0
	}
	return al.tooMany || extra > 0 || placed(al)
}

// telling says whether one of the words restricts or extends what is asked for, however little vectors make of it: an adverb of manner
// (naturally, permanently), the opposite of a word of the other text (advantages and disadvantages), one more part of a list, or what
// stands behind a preposition that the other has not either (in dogs, for students).
func telling(l *lexicon, ts []token, places, alone []int, other []token) bool {
	for _, i := range places {
		t := &ts[i]
		if t.class&light != 0 {
			continue
		}
		if restricts(ts, i, places, alone) {
			return true
		}
		if len(t.text) > 4 && strings.HasSuffix(t.text, "ly") || i > 0 && ts[i-1].class&equals != 0 || i+1 < len(ts) && ts[i+1].class&equals != 0 {
			return true
		}
		for k := range other {
			if opposite(l, t.lemma, other[k].lemma) {
				return true
			}
		}
	}
	return false
}

// restricts says whether the word at i is in the phrase of a preposition that only this text has, with nothing that the other has too. To
// is left out: it begins infinitives (the best companies to join).
func restricts(ts []token, i int, places, alone []int) bool {
	for _, p := range alone {
		if ts[p].text == "to" || !governs(ts, p, i) {
			continue
		}
		fresh := true
		ph := phraseOf(ts, p)
		for _, x := range ph.all() {
			fresh = fresh && slices.Contains(places, x)
		}
		if fresh {
			return true
		}
	}
	return false
}

// weight counts the words that are more than filling.
func weight(ts []token, places []int) (n int) {
	for _, i := range places {
		if t := &ts[i]; t.class&(light|weak) == 0 && utf8.RuneCountInString(t.text) > 1 {
			n++
		}
	}
	return n
}

// placed says whether a preposition that the other text lacks follows is or are, and nothing there has the place of what it governs:
// what is in it, who is with it.
func placed(al *alignment) bool {
	for _, i := range al.allA {
		if x := behindCopula(al.a, i); x >= 0 && al.at[x] >= 0 && !anyGoverns(al.b, al.at[x]) {
			return true
		}
	}
	for _, j := range al.allB {
		if y := behindCopula(al.b, j); y >= 0 {
			if x := slices.Index(al.at, y); x >= 0 && !anyGoverns(al.a, x) {
				return true
			}
		}
	}
	return false
}

// behindCopula is what a preposition right after is or are governs, -1 for all other words.
func behindCopula(ts []token, i int) int {
	if i > 0 && copula(&ts[i-1]) {
		if p := phraseOf(ts, i); p.n > 0 {
			return p.places[0]
		}
	}
	return -1
}

// anyGoverns says whether some preposition governs the word at x, or the text ends with one: what is it for.
func anyGoverns(ts []token, x int) bool {
	if ts[len(ts)-1].class&preposition != 0 {
		return true
	}
	for i := range x {
		if governs(ts, i, x) {
			return true
		}
	}
	return false
}

func copula(t *token) bool {
	switch t.text {
	case "is", "are", "was", "were":
		return true
	}
	return false
}
