package classify

import "math"

// Buckets is how many weights hashed words and pairs of words share, maxGrams how many of them a text has at most.
const (
	Buckets  = 1 << 14
	maxGrams = 1024
)

// Sample is a text as a model sees it.
type Sample struct {
	Dense [NumFeatures]float32
	Grams [maxGrams]uint16 // buckets of its words and pairs of words, each once
	N     int              // how many Grams there are
}

// Read looks at a text: its features and its hashed n-grams.
func (s *Sample) Read(t Text) { s.read(&t, true) }

// GramScale is the value that each n-gram of the sample has, so that long texts don't outweigh short ones.
func (s *Sample) GramScale() float64 { return 1 / math.Sqrt(float64(max(1, s.N))) }

// counts is what is counted on the way through a text.
type counts struct {
	runes, words, letters, longWords, distinct, sentences          int
	numbers, bigNumbers, math, codeMarks, identifiers              int
	lines, indented, items, options, optionRunes, names, paragraph int
	questions, exclamations, quotes, upper, commas, emoji          int
	blank, fence, link, colonBreak                                 bool
	last                                                           rune // other than space
	scripts                                                        [scripts]int
	lexica                                                         [Lexica]uint16
	asked                                                          uint32 // lexica as bits
	seen                                                           [Buckets / 64]uint64
}

func (s *Sample) read(t *Text, grams bool) {
	var c counts
	r := reader{s: s, c: &c, grams: grams}
	r.system(clip(t.System, systemBytes))
	if len(t.User) <= headBytes+tailBytes {
		r.text(t.User, true, true)
	} else {
		r.text(clip(t.User, headBytes), true, false)
		r.text(clipFront(t.User, tailBytes), false, true)
	}
	s.finish(t, &c)
}
