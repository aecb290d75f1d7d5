package semantic

import (
	"strings"
	"unicode/utf8"
)

// maxRest bounds the words that may be left over on one side; more is another text anyway.
const maxRest = 24

// alignment says which content words of two texts are the same.
type alignment struct {
	a, b         []token
	at           []int // for each word of a: the place of its partner in b, or -1
	restA, restB []int // places of content words without partner; of other words in allA, allB
	allA, allB   []int // places of every word without partner
	tooMany      bool
	close        bool // the vectors are very much alike
}

// align pairs equal words first, the nearest of several; then synonyms, misspellings and compounds among what is left.
func align(l *lexicon, a, b []token) *alignment {
	al := &alignment{a: a, b: b, at: make([]int, len(a))}
	used := make([]bool, len(b))
	places := make(map[string][]int, len(b))
	for j := range b {
		places[b[j].lemma] = append(places[b[j].lemma], j)
	}
	for i := range a {
		al.at[i] = -1
		for _, j := range places[a[i].lemma] {
			if !used[j] && a[i].number == b[j].number && (al.at[i] < 0 || follows(al, i, j)) {
				al.at[i] = j
				if follows(al, i, j) {
					break
				}
			}
		}
		if al.at[i] >= 0 {
			used[al.at[i]] = true
		}
	}
	al.collect(used)
	if len(al.restA) > maxRest || len(al.restB) > maxRest {
		al.tooMany = true
		return al
	}
	al.similar(l)
	return al
}

// follows says whether j comes right after the partner of the word before i: then it is the same place of the sentence.
func follows(al *alignment, i, j int) bool { return i > 0 && al.at[i-1] >= 0 && al.at[i-1]+1 == j }

func (al *alignment) collect(used []bool) {
	for i := range al.a {
		if al.at[i] < 0 {
			al.allA = append(al.allA, i)
			if al.a[i].content() {
				al.restA = append(al.restA, i)
			}
		}
	}
	for j := range al.b {
		if !used[j] {
			al.allB = append(al.allB, j)
			if al.b[j].content() {
				al.restB = append(al.restB, j)
			}
		}
	}
}

// similar pairs what means the same among the content words that are left over.
func (al *alignment) similar(l *lexicon) {
	for x := 0; x < len(al.restA); x++ {
		for y := 0; y < len(al.restB); y++ {
			if i, j := al.restA[x], al.restB[y]; alike(l, &al.a[i], &al.b[j]) {
				al.at[i] = j
				al.restA, al.restB = drop(al.restA, x, 1), drop(al.restB, y, 1)
				al.allA, al.allB = without(al.allA, i), without(al.allB, j)
				x--
				break
			}
		}
	}
	al.compounds()
}

// compounds pairs wifi with wi fi, on either side.
func (al *alignment) compounds() {
	for x := 0; x < len(al.restA); x++ {
		for y := 0; y+1 < len(al.restB); y++ {
			i, j, k := al.restA[x], al.restB[y], al.restB[y+1]
			if k == j+1 && compound(&al.a[i], &al.b[j], &al.b[k]) {
				al.at[i] = j
				al.restA, al.restB = drop(al.restA, x, 1), drop(al.restB, y, 2)
				x--
				break
			}
		}
	}
	for y := 0; y < len(al.restB); y++ {
		for x := 0; x+1 < len(al.restA); x++ {
			i, k, j := al.restA[x], al.restA[x+1], al.restB[y]
			if k == i+1 && compound(&al.b[j], &al.a[i], &al.a[k]) {
				al.at[i] = j
				al.restA, al.restB = drop(al.restA, x, 2), drop(al.restB, y, 1)
				y--
				break
			}
		}
	}
}

func compound(whole, first, second *token) bool {
	return len(whole.text) == len(first.text)+len(second.text) && whole.text[:len(first.text)] == first.text &&
		whole.text[len(first.text):] == second.text
}

func drop(s []int, at, n int) []int { return append(s[:at:at], s[at+n:]...) }

func without(s []int, v int) []int {
	for i, x := range s {
		if x == v {
			return drop(s, i, 1)
		}
	}
	return s
}

// alike says whether one word stands for the other.
func alike(l *lexicon, a, b *token) bool {
	if a.number || b.number || a.date || b.date || a.sign || b.sign {
		return false
	}
	if !a.name && !b.name {
		x, y := l.manner(a.lemma), l.manner(b.lemma)
		if x == y || linked(l.synonyms, a.lemma, b.lemma) || linked(l.synonyms, x, y) {
			return true
		}
	}
	return misspelt(l, a, b) || misspelt(l, b, a) || inflected(a, b)
}

// inflected says whether two words that no list has, and that are no names, are forms of one: skedaddle, skedaddling.
func inflected(a, b *token) bool {
	if a.known || b.known || a.proper || b.proper {
		return false
	}
	x, y := stem(a.lemma), stem(b.lemma)
	return x == y && len(x) > 4
}

func stem(w string) string {
	for _, ending := range [...]string{"ing", "ed", "es", "e", "s"} {
		if s, ok := strings.CutSuffix(w, ending); ok {
			return s
		}
	}
	return w
}

// manner is the adjective of an adverb: quick for quickly. Some mean another thing: hardly, lately.
func (l *lexicon) manner(w string) string {
	switch w {
	case "hardly", "lately", "nearly", "shortly", "barely", "scarcely", "highly", "mostly", "largely", "lastly", "fairly", "evenly", "justly", "presently":
		return w
	}
	if adjective, ok := strings.CutSuffix(w, "ly"); ok && len(adjective) > 3 && l.isKnown(adjective) {
		return adjective
	}
	return w
}

// misspelt says whether wrong is a slip in typing right: one letter too many, too few, another, or two exchanged, and wrong is no word
// while right is a common one, and no name. Two words that both exist (unblock and unlock), or two that are both unknown (names, drugs), are
// different words.
func misspelt(l *lexicon, wrong, right *token) bool {
	if wrong.known || !right.known || right.class != 0 || len(wrong.text) < 4 || len(right.text) < 4 {
		return false
	}
	if _, exists := l.rare[wrong.text]; exists {
		return false
	}
	if _, name := l.names[right.text]; name {
		return false
	}
	for i := range len(wrong.text) {
		if c := wrong.text[i]; c < 'a' || c > 'z' {
			return false
		}
	}
	if wrong.lemma != wrong.text && oneSlip(wrong.lemma, right.lemma) {
		return true
	}
	return oneSlip(wrong.text, right.text)
}

// oneSlip: Damerau-Levenshtein distance of at most 1, the first letter the same: people seldom miss that one, and it is where un- and
// in- stand.
func oneSlip(a, b string) bool {
	if a[0] != b[0] || len(a) > len(b)+1 || len(b) > len(a)+1 || utf8.RuneCountInString(b) != len(b) {
		return false
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	switch {
	case len(a) == len(b)+1:
		return a[i+1:] == b[i:]
	case len(b) == len(a)+1:
		return a[i:] == b[i+1:]
	case i == len(a):
		return true
	case a[i+1:] == b[i+1:]:
		return true
	}
	return i+1 < len(a) && a[i] == b[i+1] && a[i+1] == b[i] && a[i+2:] == b[i+2:]
}
