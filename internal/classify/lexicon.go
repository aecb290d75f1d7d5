package classify

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"math/bits"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lexicon is a set of words, in all languages, that mean one thing for a prompt.
type Lexicon uint8

// The lexica. What they hold is data: lexica.json.
const (
	LexCode Lexicon = iota
	LexSummarise
	LexTranslate
	LexClassify
	LexReason
	LexFollow
	LexGreet
	LexAsk
	LexCreate
	LexLanguage
	LexQuantity
	LexNegation
	LexCondition
	LexSequence
	LexCompare
	LexJudge
	LexLaw
	LexMedicine
	LexEconomy
	LexScience
	Lexica
)

var lexiconNames = [Lexica]string{
	"code", "summarise", "translate", "classify", "reason", "follow", "greet", "ask", "create", "language",
	"quantity", "negation", "condition", "sequence", "compare", "judge", "law", "medicine", "economy", "science",
}

//go:embed lexica.json
var lexicaJSON []byte

// words finds the lexica of words by their hash, while a text is read letter by letter.
var words = mustLexica(lexicaJSON)

// table is the compiled lexica: open addressing behind a bit for each of 2^16 hashes, because nearly every look-up is in vain.
type table struct {
	seen  [1 << 10]uint64
	slots []slot
	shift uint8
}

// slot holds the lexica of one entry as bits. How it has to stand is part of the hash.
type slot struct {
	hash   uint64
	lexica uint32
}

// The kinds of entries. A phrase of two words is whole; its hash is pair's.
const (
	whole  uint64 = 0x9e3779b97f4a7c15 // a word
	stem   uint64 = 0xc2b2ae3d27d4eb4f // the beginning of a word, `klassifizier*`
	inside uint64 = 0x165667b19e3779f9 // characters of a script without spaces, anywhere
)

const (
	hashSeed  uint64 = 0xcbf29ce484222325
	hashPrime uint64 = 0x100000001b3
	// maxInside is how many characters an entry of a script without spaces has at most, minStem how many letters a stem has at least.
	maxInside = 5
	minStem   = 2
)

// step adds a rune to a hash.
func step(h uint64, r rune) uint64 { return (h ^ uint64(r)) * hashPrime }

// pair is the hash of two words in a row.
func pair(first, second uint64) uint64 { return (bits.RotateLeft64(first, 23) ^ second) * hashPrime }

// find is the lexica of an entry, 0 when there is none.
func (t *table) find(h, kind uint64) uint32 {
	h ^= kind
	h *= hashPrime
	if t.seen[h>>54]&(1<<(h>>48&63)) == 0 {
		return 0
	}
	for i := h >> t.shift; ; i = (i + 1) & uint64(len(t.slots)-1) {
		if t.slots[i].hash == h {
			return t.slots[i].lexica
		}
		if t.slots[i].lexica == 0 {
			return 0
		}
	}
}

func (t *table) add(h, kind uint64, l Lexicon) {
	h ^= kind
	h *= hashPrime
	t.seen[h>>54] |= 1 << (h >> 48 & 63)
	i := h >> t.shift
	for t.slots[i].lexica != 0 && t.slots[i].hash != h {
		i = (i + 1) & uint64(len(t.slots)-1)
	}
	t.slots[i].hash = h
	t.slots[i].lexica |= 1 << l
}

func mustLexica(data []byte) *table {
	t, err := parseLexica(data)
	if err != nil {
		panic(err) // embedded; its tests find it
	}
	return t
}

// parseLexica compiles {"lexicon": {"language": "word stem* two_words 漢字"}}.
func parseLexica(data []byte) (*table, error) {
	var byName map[string]map[string]string
	if err := json.Unmarshal(data, &byName); err != nil {
		return nil, err
	}
	total := 0
	for name, languages := range byName {
		if _, ok := lexiconNamed(name); !ok {
			return nil, fmt.Errorf("lexica.json: no lexicon named %q", name)
		}
		for _, entries := range languages {
			total += len(strings.Fields(entries))
		}
	}
	log := bits.Len(uint(total * 2))
	t := &table{slots: make([]slot, 1<<log), shift: uint8(64 - log)}
	for name, languages := range byName {
		l, _ := lexiconNamed(name)
		for language, entries := range languages {
			for _, entry := range strings.Fields(entries) {
				if err := t.entry(entry, l); err != nil {
					return nil, fmt.Errorf("lexica.json: %s.%s: %q %w", name, language, entry, err)
				}
			}
		}
	}
	return t, nil
}

func lexiconNamed(name string) (Lexicon, bool) {
	for l, n := range lexiconNames {
		if n == name {
			return Lexicon(l), true
		}
	}
	return 0, false
}

func (t *table) entry(entry string, l Lexicon) error {
	first, second, two := strings.Cut(entry, "_")
	switch body, isStem := strings.CutSuffix(first, "*"); {
	case two:
		t.add(pair(hashWord(first), hashWord(second)), whole, l)
	case isStem && utf8.RuneCountInString(body) < minStem:
		return fmt.Errorf("is too short for a stem")
	case isStem:
		t.add(hashWord(body), stem, l)
	case spaceless(firstRune(first)):
		if utf8.RuneCountInString(first) > maxInside {
			return fmt.Errorf("has more than %d characters", maxInside)
		}
		t.add(hashWord(first), inside, l)
	default:
		t.add(hashWord(first), whole, l)
	}
	return nil
}

func firstRune(s string) rune {
	r, _ := utf8.DecodeRuneInString(s)
	return r
}

func hashWord(word string) uint64 {
	h := hashSeed
	for _, r := range word {
		if r != '\'' { // don't is read as dont
			h = step(h, unicode.ToLower(r))
		}
	}
	return h
}

// spaceless says whether a script writes no spaces between words: Chinese, Japanese, Thai.
func spaceless(r rune) bool {
	return r >= 0x0e00 && (r >= 0x4e00 && r <= 0x9fff || r >= 0x3040 && r <= 0x30ff || r >= 0x3400 && r <= 0x4dbf ||
		r <= 0x0e7f || r >= 0x20000 && r <= 0x3ffff)
}
