package semantic

import (
	"slices"
	"strings"
)

// reordered: the same words, in another relation to each other. Allowed is that one part of the sentence moves as a whole ("For a
// delayed train, how do I …"), which shows by a preposition, a conjunction or a comma at its border.
func reordered(_ *lexicon, al *alignment) bool {
	if rolesDiffer(al) {
		return true
	}
	order, where := al.order()
	return !sorted(order) && !blockMoved(al, order, where)
}

// order lists, for the paired content words of a, the places of their partners in b; where has their own places.
func (al *alignment) order() (order, where []int) {
	for i, j := range al.at {
		if j >= 0 && al.a[i].content() && al.a[i].class&(light|weak|negation) == 0 {
			order, where = append(order, j), append(where, i)
		}
	}
	return order, where
}

func sorted(s []int) bool {
	for i := 1; i < len(s); i++ {
		if s[i] < s[i-1] {
			return false
		}
	}
	return true
}

// rolesDiffer: what stands after from, to, in, with … in one stands elsewhere in the other, and another word of both has taken its
// place. A part that moves takes its preposition along.
func rolesDiffer(al *alignment) bool {
	if sidesExchanged(al) {
		return true
	}
	for i := range al.a {
		ph := phraseOf(al.a, i)
		for _, x := range ph.all() {
			if al.at[x] < 0 || governed(al.b, al.at[x], al.a[i].lemma) {
				continue
			}
			if usurped(al, al.a[i].lemma) {
				return true
			}
		}
	}
	return false
}

// usurped says whether a preposition of b governs a word that it does not govern in a, where it is too.
func usurped(al *alignment, preposition string) bool {
	for j := range al.b {
		if al.b[j].lemma != preposition {
			continue
		}
		ph := phraseOf(al.b, j)
		for _, y := range ph.all() {
			if x := slices.Index(al.at, y); x >= 0 && !governed(al.a, x, preposition) {
				return true
			}
		}
	}
	return false
}

// maxPhrase is how many words of content a preposition may govern.
const maxPhrase = 4

// phrase is what a preposition governs: the places of words of content.
type phrase struct {
	places [maxPhrase]int
	n      int
}

func (p *phrase) all() []int { return p.places[:p.n] }

// phraseOf is the phrase of the preposition at i: up to the next preposition, verb of grammar or comma. It is empty for what joins equals
// (and, between). One preposition right behind another belongs to it: than to.
func phraseOf(ts []token, i int) (p phrase) {
	if ts[i].class&preposition == 0 || ts[i].class&equals != 0 {
		return p
	}
	for k := i + 1; k < len(ts) && p.n < maxPhrase; k++ {
		t := &ts[k]
		switch {
		case k > i+1 && (t.class&preposition != 0 || t.after == ','), auxiliary(t):
			return p
		case t.content() && t.class&(weak|negation) == 0:
			p.places[p.n] = k
			p.n++
		}
	}
	return p
}

// governs says whether the word at x is in the phrase of the one at i.
func governs(ts []token, i, x int) bool {
	if i >= x || ts[i].class&preposition == 0 {
		return false
	}
	p := phraseOf(ts, i)
	return slices.Contains(p.all(), x)
}

// governed says whether the word at x stands in the phrase of that preposition.
func governed(ts []token, x int, preposition string) bool {
	for i := x - 1; i >= 0; i-- {
		if ts[i].lemma == preposition && governs(ts, i, x) {
			return true
		}
	}
	return false
}

// sameObject says whether the first words that two prepositions govern are paired, or one of them governs nothing.
func sameObject(al *alignment, i, j int) bool {
	x, y := phraseOf(al.a, i), phraseOf(al.b, j)
	return x.n == 0 || y.n == 0 || al.at[x.places[0]] == y.places[0]
}

// blockMoved says whether exchanging two neighbouring parts of a gives the order of b, and a border of the parts can be seen in either
// text.
func blockMoved(al *alignment, order, where []int) bool {
	n := len(order)
	lo, hi := 0, n
	rank := ranks(order)
	for lo < n && rank[lo] == lo {
		lo++
	}
	for hi > lo && rank[hi-1] == hi-1 {
		hi--
	}
	// rank[lo:hi] must be k+lo.., then lo..: a rotation.
	cut := lo + 1
	for cut < hi && rank[cut] == rank[cut-1]+1 {
		cut++
	}
	if cut == hi || rank[cut] != lo {
		return false
	}
	for k := cut + 1; k < hi; k++ {
		if rank[k] != rank[k-1]+1 {
			return false
		}
	}
	// In a the parts begin at lo and cut; in b at the partners of the same.
	if predicated(al, where[lo:hi], order[lo:hi]) {
		return true
	}
	return border(al.a, where[cut]) || border(al.a, where[lo]) || border(al.b, order[lo]) || border(al.b, order[cut])
}

// ranks turns places into positions among each other.
func ranks(order []int) []int {
	out := make([]int, len(order))
	for i, x := range order {
		for _, y := range order {
			if y < x {
				out[i]++
			}
		}
	}
	return out
}

// border says whether a part of the sentence begins with the content word at i: after a comma, a preposition or a conjunction.
func border(ts []token, i int) bool {
	for ; i >= 0; i-- {
		if ts[i].after == ',' && i > 0 {
			return true
		}
		if i == 0 {
			return false
		}
		prev := &ts[i-1]
		if prev.class&preposition != 0 {
			return true
		}
		if prev.content() && prev.class&(light|weak) == 0 {
			return false
		}
	}
	return false
}

// predicated says whether two words that have changed places are a superlative and what it is said of: which is the tallest tower, which
// tower is the tallest.
func predicated(al *alignment, where, order []int) bool {
	if len(where) != 2 {
		return false
	}
	for k, i := range where {
		if strings.HasSuffix(al.a[i].text, "est") && al.a[i].text != al.a[i].lemma && (afterCopula(al.a, i) || afterCopula(al.b, order[k])) {
			return true
		}
	}
	return false
}

// afterCopula says whether nothing but grammar stands between is and the word.
func afterCopula(ts []token, i int) bool {
	for i--; i >= 0 && ts[i].class&function != 0; i-- {
		if copula(&ts[i]) {
			return true
		}
	}
	return false
}
