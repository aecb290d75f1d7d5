package semantic

import (
	"embed"
	"maps"
	"slices"
	"strings"
	"sync"
)

//go:embed data/*.txt
var data embed.FS

// class is what a word is, as far as the guards care.
type class uint16

const (
	function class = 1 << iota // grammar, not content
	light                      // content too thin to matter alone
	weak                       // a verb that is thin, but not the same as other such verbs
	negation
	filler // a sound of hesitation
	preposition
	equals // what joins words of the same rank: and, between
)

// lexicon is what the guards know of English. It is read once and not written to any more.
type lexicon struct {
	known     map[string]struct{}
	rare      map[string]struct{} // words that are right though not known
	names     map[string]struct{} // of the known: nothing else
	class     map[string]class
	lemmas    map[string]string   // irregular forms and spellings
	past      map[string]struct{} // irregular forms of verbs that are past
	spellings map[string]string   // of the same word: the first is what counts
	synonyms  map[string][]string // by lemma, both ways
	opposites map[string][]string
	numbers   map[string]string
	units     map[string]string
	calendar  map[string]string
	asking    map[string]string
	openings  *phrases
	closings  *phrases
	spoken    map[string]string  // what a word is embedded as
	frames    map[string][]frame // by the first word, the longest first
}

var english = sync.OnceValue(func() *lexicon {
	l := &lexicon{known: set("known"), rare: set("rare"), names: set("names"), class: map[string]class{}, lemmas: map[string]string{}, past: map[string]struct{}{},
		synonyms: map[string][]string{}, opposites: map[string][]string{}}
	l.numbers, l.asking = table("numbers"), table("asking")
	l.units, l.calendar = groups("units"), groups("calendar")
	for name, c := range map[string]class{"function": function, "light": light, "weak": weak, "negations": negation, "fillers": filler,
		"prepositions": preposition, "equals": equals} {
		for _, words := range lines(name) {
			for _, w := range words {
				l.class[w] |= c
			}
		}
	}
	for _, words := range lines("irregular") {
		l.lemmas[words[0]] = words[1]
		if len(words) > 2 {
			l.past[words[0]] = struct{}{}
		}
	}
	l.spellings = groups("aliases")
	maps.Copy(l.lemmas, l.spellings)
	for _, words := range lines("synonyms") {
		l.link(l.synonyms, words[:1], words[1:])
	}
	for _, words := range lines("antonyms") {
		l.link(l.opposites, words[:1], words[1:])
	}
	for _, words := range lines("opposites") {
		left, right := split(words)
		l.link(l.opposites, left, right)
	}
	l.spoken = groups("spoken")
	l.openings, l.closings = newPhrases("openings"), newPhrases("closings")
	l.frames = l.newFrames()
	return l
})

// lines are the words of a data file's lines; # begins a comment line.
func lines(name string) (out [][]string) {
	b, err := data.ReadFile("data/" + name + ".txt")
	if err != nil {
		panic(err) // the binary was built without its own data
	}
	for line := range strings.Lines(string(b)) {
		if words := strings.Fields(line); len(words) > 0 && words[0] != "#" {
			out = append(out, words)
		}
	}
	return out
}

// set has the first word of every line.
func set(name string) map[string]struct{} {
	out := map[string]struct{}{}
	for _, words := range lines(name) {
		out[words[0]] = struct{}{}
	}
	return out
}

// table maps the first word of a line to the second.
func table(name string) map[string]string {
	out := map[string]string{}
	for _, words := range lines(name) {
		out[words[0]] = words[1]
	}
	return out
}

// groups maps every word of a line to the first.
func groups(name string) map[string]string {
	out := map[string]string{}
	for _, words := range lines(name) {
		for _, w := range words {
			out[w] = words[0]
		}
	}
	return out
}

func split(words []string) (left, right []string) {
	for i, w := range words {
		if w == "|" {
			return words[:i], words[i+1:]
		}
	}
	return words, nil
}

func (l *lexicon) link(to map[string][]string, left, right []string) {
	for _, a := range left {
		for _, b := range right {
			a, b := l.lemma(a), l.lemma(b)
			if a != b && !linked(to, a, b) {
				to[a], to[b] = append(to[a], b), append(to[b], a)
			}
		}
	}
}

func linked(in map[string][]string, a, b string) bool {
	for _, x := range in[a] {
		if x == b {
			return true
		}
	}
	return false
}

func (l *lexicon) isKnown(w string) bool { _, ok := l.known[w]; return ok }

// lemma leads a word's regular and irregular forms back to one. Both questions go through it, so it need not be right, only
// the same for both and seldom the same for different words.
func (l *lexicon) lemma(w string) string {
	if first, ok := l.lemmas[w]; ok {
		return first
	}
	s := l.american(l.strip(l.american(w)))
	if first, ok := l.lemmas[s]; ok {
		return first
	}
	return s
}

// american spells organise and honour as the vocabulary does, where it knows the word only so.
func (l *lexicon) american(w string) string {
	if len(w) < 5 || l.isKnown(w) {
		return w
	}
	for i, s := range spellings {
		if at := strings.LastIndex(w, s[0]); at > 1 {
			other := w[:at] + s[1] + w[at+len(s[0]):]
			if l.isKnown(other) || i < sure && at > 3 {
				return other
			}
		}
	}
	return w
}

// spellings are parts of British words, and their American forms. The first are right for words that no list has, too.
var spellings = [...][2]string{{"isation", "ization"}, {"ise", "ize"}, {"ising", "izing"}, {"ised", "ized"}, {"our", "or"}, {"yse", "yze"}, {"tre", "ter"},
	{"ogue", "og"}, {"lled", "led"}, {"lling", "ling"}, {"ae", "e"}, {"oe", "e"}}

const sure = 4

func (l *lexicon) strip(w string) string {
	n := len(w)
	switch {
	case n > 4 && strings.HasSuffix(w, "ies") && l.isKnown(w[:n-3]+"y"):
		return w[:n-3] + "y"
	case n > 3 && strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && (!l.isKnown(w) && n > 4 || !strings.HasSuffix(w, "us") && !strings.HasSuffix(w, "is")):
		if n > 4 && strings.HasSuffix(w, "es") && !l.isKnown(w[:n-1]) && l.isKnown(w[:n-2]) {
			return w[:n-2]
		}
		if l.isKnown(w[:n-1]) || !l.isKnown(w) {
			return w[:n-1]
		}
	case n > 5 && strings.HasSuffix(w, "ing"):
		return l.verb(w, w[:n-3])
	case n > 4 && strings.HasSuffix(w, "ed"):
		return l.verb(w, w[:n-2])
	case n > 6 && strings.HasSuffix(w, "est"):
		return l.verb(w, w[:n-3])
	}
	return w
}

// verb finds the infinitive of a form whose ending was cut off: make, plan, work of making, planning, working.
func (l *lexicon) verb(form, stem string) string {
	n := len(stem)
	switch {
	case l.isKnown(stem + "e"):
		return stem + "e"
	case n > 3 && stem[n-1] == stem[n-2] && l.isKnown(stem[:n-1]) && !l.isKnown(stem):
		return stem[:n-1]
	case strings.HasSuffix(stem, "i") && l.isKnown(stem[:n-1]+"y"):
		return stem[:n-1] + "y"
	case l.isKnown(stem):
		return stem
	}
	return form
}

// phrases are sequences of words, found by their first (or, at the end of a text, last) word.
type phrases struct{ by map[string][][]string }

func newPhrases(name string) *phrases {
	p := &phrases{by: map[string][][]string{}}
	for _, words := range lines(name) {
		p.by[words[0]] = append(p.by[words[0]], words)
		if last := words[len(words)-1]; last != words[0] {
			p.by[last] = append(p.by[last], words)
		}
	}
	return p
}

// prefix is how many words at the beginning of ws are the longest phrase; never all of them.
func (p *phrases) prefix(ws []token) int {
	best := 0
	if len(ws) == 0 {
		return 0
	}
	for _, phrase := range p.by[ws[0].text] {
		if len(phrase) > best && len(phrase) < len(ws) && same(phrase, ws) {
			best = len(phrase)
		}
	}
	return best
}

// suffix likewise, at the end.
func (p *phrases) suffix(ws []token) int {
	best := 0
	if len(ws) == 0 {
		return 0
	}
	for _, phrase := range p.by[ws[len(ws)-1].text] {
		if len(phrase) > best && len(phrase) < len(ws) && same(phrase, ws[len(ws)-len(phrase):]) {
			best = len(phrase)
		}
	}
	return best
}

func same(phrase []string, ws []token) bool {
	for i, w := range phrase {
		if ws[i].text != w {
			return false
		}
	}
	return true
}

// frame is a way to begin a question, and the one that stands for all that ask the same.
type frame struct {
	words, as []string
	tokens    []token // of as
}

func (l *lexicon) newFrames() map[string][]frame {
	out := map[string][]frame{}
	for _, words := range lines("frames") {
		left, right := split(words)
		out[left[0]] = append(out[left[0]], frame{left, right, scan(l, strings.Join(right, " ")).tokens})
	}
	for _, fs := range out {
		slices.SortStableFunc(fs, func(a, b frame) int { return len(b.words) - len(a.words) })
	}
	return out
}

// frame finds the longest that ws begins with.
func (l *lexicon) frame(ws []token) (frame, bool) {
	if len(ws) == 0 {
		return frame{}, false
	}
	for _, f := range l.frames[ws[0].text] {
		if len(f.words) <= len(ws) && same(f.words, ws) {
			return f, true
		}
	}
	return frame{}, false
}

// frameIn finds one at the beginning, or after a comma: for a late train, how do I get a refund. at is -1 without one.
func (l *lexicon) frameIn(ws []token) (f frame, at int) {
	for i := range ws {
		if i == 0 || ws[i].after == ',' {
			if f, ok := l.frame(ws[i:]); ok {
				return f, i
			}
		}
	}
	return frame{}, -1
}
