package semantic

import "strings"

// mood is what the auxiliary verbs of a question say about it: when, and whether it is about what can, ought to or has to be.
type mood struct {
	past, present bool // tense of the first auxiliary
	modal         modal
	auxiliary     bool
}

type modal uint8

// The kinds of modal verbs. Permission and ability are one: can I, may I. So are the others: does it, will it.
const (
	plain modal = iota
	can
	ought
	must
)

// moods are what auxiliaries say.
var moods = map[string]mood{
	"was": {past: true}, "were": {past: true}, "did": {past: true}, "had": {past: true},
	"is": {present: true}, "are": {present: true}, "am": {present: true}, "do": {present: true}, "does": {present: true}, "has": {present: true},
	"have": {present: true}, "will": {present: true}, "shall": {present: true}, "would": {},
	"can": {modal: can}, "could": {modal: can}, "may": {modal: can}, "might": {modal: can},
	"should": {modal: ought}, "ought": {modal: ought}, "must": {modal: must},
}

func auxiliary(t *token) bool {
	if t.class&function == 0 {
		return false
	}
	_, ok := moods[t.text]
	return ok
}

// moodOf reads the first auxiliary of a text.
func moodOf(ts []token) (m mood) {
	for i := range ts {
		if auxiliary(&ts[i]) {
			m = moods[ts[i].text]
			m.auxiliary = true
			break
		}
	}
	return m
}

// moodsDiffer: who was it and who is it, can I and should I ask for different things. Which modal verb it is matters where the
// question is answered by yes or no, or by a reason; how can I, how should I and how do I are the same.
func moodsDiffer(l *lexicon, al *alignment) bool {
	a, b := moodOf(al.a), moodOf(al.b)
	if a.past && b.present || a.present && b.past {
		return true
	}
	if !a.auxiliary && !b.auxiliary && tensesDiffer(l, al) {
		return true
	}
	return a.modal != b.modal && (a.modal > can || b.modal > can) && a.modal+b.modal != 0 && closed(l, al.a) && closed(l, al.b)
}

// closed says whether a question begins with its verb, or asks for a reason or a time.
func closed(l *lexicon, ts []token) bool {
	if len(ts) == 0 {
		return false
	}
	what, asks := l.asking[ts[0].text]
	return asks && what != "person" && what != "place" || moodOf(ts[:1]).auxiliary
}

// tensesDiffer: the same verb stands in the past in one text only, and no auxiliary says when.
func tensesDiffer(l *lexicon, al *alignment) bool {
	for i, j := range al.at {
		if j >= 0 && al.a[i].text != al.b[j].text && al.a[i].lemma == al.b[j].lemma && isPast(l, &al.a[i]) != isPast(l, &al.b[j]) {
			return true
		}
	}
	return false
}

func isPast(l *lexicon, t *token) bool {
	if t.class&function != 0 || t.name {
		return false
	}
	_, irregular := l.past[t.text]
	return irregular || t.text != t.lemma && strings.HasSuffix(t.text, "ed")
}

// persons are the pronouns that say whom a question is about. I, you, we and one are whoever asks.
var persons = map[string]uint8{
	"he": 1, "him": 1, "his": 1, "himself": 1, "she": 2, "her": 2, "hers": 2, "herself": 2,
}

// personsDiffer: one is about him, and the other is not.
func personsDiffer(al *alignment) bool {
	var a, b uint8
	for i := range al.a {
		a |= persons[al.a[i].text]
	}
	for i := range al.b {
		b |= persons[al.b[i].text]
	}
	return a != b
}

// sides are who asks and who is asked.
var sides = map[string]int{"i": 1, "me": 1, "my": 1, "mine": 1, "we": 1, "us": 1, "our": 1, "you": -1, "your": -1, "yours": -1}

// sidesExchanged: can you call me, can I call you.
func sidesExchanged(al *alignment) bool {
	a, both := firstSide(al.a)
	b, two := firstSide(al.b)
	return both && two && a != b
}

// firstSide is who is named first; both says that the other is named too.
func firstSide(ts []token) (first int, both bool) {
	for i := range ts {
		side := sides[ts[i].text]
		switch {
		case side == 0:
		case first == 0:
			first = side
		case side != first:
			both = true
		}
	}
	return first, both
}

// measures says whether a question begins with how much or how many, or with a how that asks for the way.
func measures(ts []token) (quantity, manner bool) {
	for i := range ts {
		if ts[i].text == "how" && i+1 < len(ts) {
			next := &ts[i+1]
			quantity = next.text == "much" || next.text == "many"
			return quantity, next.class&function != 0
		}
	}
	return false, false
}

// measuresDiffer: how much is it, and how is it.
func measuresDiffer(al *alignment) bool {
	quantityA, mannerA := measures(al.a)
	quantityB, mannerB := measures(al.b)
	return quantityA && mannerB || quantityB && mannerA
}
