package classify

import "math"

// Features, by number. Each is about 0 to 1 (2 at most), so that weights can be compared. features says what each is.
const (
	fLength = iota
	fSentence
	fWordLength
	fLongWords
	fDistinct
	fNumbers
	fNumberShare
	fBigNumbers
	fMath
	fCodeMarks
	fCodeFence
	fIdentifiers
	fIndented
	fLines
	fItems
	fOptions
	fOptionLength
	fBlank
	fQuestions
	fQuestionEnd
	fExclamation
	fColonBreak
	fQuoted
	fMaterial
	fLink
	fUpper
	fNames
	fCommas
	fShort
	fHan
	fKana
	fCyrillic
	fOtherScript
	fTwoScripts
	fEmoji
	fSystem
	fStructured
	fTools
	fMedia
	fTurns
	fContext
	fLexica                             // one for each Lexicon: how many of its words there are
	fAsked      = fLexica + int(Lexica) // one for each of the first askedLexica: at the ends, where instructions stand
	NumFeatures = fAsked + int(askedLexica)
)

// askedLexica are those that name what is to be done: they count apart where instructions stand.
const askedLexica = LexLanguage + 1

// Feature describes one for people.
type Feature struct{ Name, Doc string }

var features = [NumFeatures]Feature{
	fLength:       {"length", "length of the last user turn: 0.5 is 300 bytes, 1 is 100,000"},
	fSentence:     {"sentence_length", "mean words of a sentence, 40 is 1"},
	fWordLength:   {"word_length", "mean letters of a word, 10 is 1"},
	fLongWords:    {"long_words", "share of words with nine letters or more, half is 1"},
	fDistinct:     {"distinct_words", "share of words that are not repeated, in texts of 20 words or more"},
	fNumbers:      {"numbers", "how many numbers, 15 is 1"},
	fNumberShare:  {"number_share", "numbers for each word, a third is 1"},
	fBigNumbers:   {"big_numbers", "how many numbers of three digits or more, 7 is 1"},
	fMath:         {"math", "mathematical signs, LaTeX commands and Greek letters, 15 is 1"},
	fCodeMarks:    {"code_marks", "braces, semicolons, arrows and the like, a twelfth of all characters is 1"},
	fCodeFence:    {"code_fence", "a block of code is fenced off"},
	fIdentifiers:  {"identifiers", "words_with_underscores, camelCase, calls(), 7 are 1"},
	fIndented:     {"indented", "share of indented lines"},
	fLines:        {"lines", "how many lines, 63 is 1"},
	fItems:        {"items", "lines that begin like items of a list, 15 is 1"},
	fOptions:      {"options", "lines that begin like answers to choose from (A., B)), 4 is 1"},
	fOptionLength: {"option_length", "mean length of answers to choose from, 100 letters are 1"},
	fBlank:        {"blank", "a blank to fill in (___)"},
	fQuestions:    {"questions", "how many question marks, 3 is 1"},
	fQuestionEnd:  {"question_end", "it ends with a question mark"},
	fExclamation:  {"exclamation", "how many exclamation marks, 3 is 1"},
	fColonBreak:   {"colon_break", "a colon before a line break: an instruction, then its material"},
	fQuoted:       {"quoted", "pairs of quotation marks, 3 are 1"},
	fMaterial:     {"material", "share of the text after its first paragraph"},
	fLink:         {"link", "a URL"},
	fUpper:        {"upper", "share of words in capitals, a fifth is 1"},
	fNames:        {"names", "share of words with a capital inside of a sentence, a fifth is 1"},
	fCommas:       {"commas", "commas for each word, a fifth is 1"},
	fShort:        {"short", "six words or fewer; fewer are more"},
	fHan:          {"han", "share of Chinese characters"},
	fKana:         {"kana", "share of Japanese syllables"},
	fCyrillic:     {"cyrillic", "share of Cyrillic letters"},
	fOtherScript:  {"other_script", "share of letters of other scripts than these and Latin"},
	fTwoScripts:   {"two_scripts", "share of the second most frequent script, a third is 1"},
	fEmoji:        {"emoji", "pictures and smileys, 3 are 1"},
	fSystem:       {"system", "length of the system prompt, 511 bytes are 1"},
	fStructured:   {"structured", "an answer in JSON is asked for"},
	fTools:        {"tools", "how many tools are offered, 15 are 1"},
	fMedia:        {"media", "images, documents or sound come with it"},
	fTurns:        {"turns", "how many turns the conversation has, 31 are 1"},
	fContext:      {"context", "length of the whole conversation beyond the last turn, 100,000 bytes are 1"},
}

func init() {
	for l := range Lexica {
		features[fLexica+int(l)] = Feature{lexiconNames[l] + "_words", "words of the lexicon " + lexiconNames[l] + ", 7 are 1"}
		if l < askedLexica {
			features[fAsked+int(l)] = Feature{lexiconNames[l] + "_asked", "words of the lexicon " + lexiconNames[l] + " where instructions stand: at the ends, or in the system prompt"}
		}
	}
}

// Features lists them all in the order of Sample.Dense.
func Features() []Feature { return append([]Feature(nil), features[:]...) }

// featureNamed finds a feature's number.
func featureNamed(name string) (int, bool) {
	for i := range features {
		if features[i].Name == name {
			return i, true
		}
	}
	return 0, false
}

// many is a count as 0..2: 1 at full, each doubling adds the same.
func many(n, full int) float32 {
	return min(2, float32(math.Log1p(float64(n))/math.Log1p(float64(full))))
}

// share is n of all, 1 at full, 2 at most.
func share(n, all int, full float32) float32 {
	if all <= 0 {
		return 0
	}
	return min(2, float32(n)/float32(all)/full)
}

func flag(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

// finish turns the counts into features.
func (s *Sample) finish(t *Text, c *counts) {
	d := &s.Dense
	size := max(t.UserBytes, len(t.User))
	d[fLength] = min(2, float32(math.Log1p(float64(size)/10)/math.Log1p(10_000)))
	d[fSentence] = share(c.words, max(1, c.sentences), 40)
	d[fWordLength] = share(c.letters, c.words, 10)
	d[fLongWords] = share(c.longWords, c.words, 0.5)
	if c.words >= 20 {
		d[fDistinct] = share(c.distinct, c.words, 1)
	}
	d[fNumbers] = many(c.numbers, 15)
	d[fNumberShare] = share(c.numbers, c.words+c.numbers, 1.0/3)
	d[fBigNumbers] = many(c.bigNumbers, 7)
	d[fMath] = many(c.math, 15)
	d[fCodeMarks] = share(c.codeMarks, c.runes, 1.0/12)
	d[fCodeFence] = flag(c.fence)
	d[fIdentifiers] = many(c.identifiers, 7)
	d[fIndented] = share(c.indented, c.lines, 1)
	d[fLines] = many(c.lines, 63)
	d[fItems] = many(c.items, 15)
	d[fOptions] = many(c.options, 4)
	d[fOptionLength] = share(c.optionRunes, c.options, 100)
	d[fBlank] = flag(c.blank)
	d[fQuestions] = many(c.questions, 3)
	d[fQuestionEnd] = flag(c.last == '?')
	d[fExclamation] = many(c.exclamations, 3)
	d[fColonBreak] = flag(c.colonBreak)
	d[fQuoted] = many(c.quotes/2, 3)
	if c.paragraph > 0 {
		d[fMaterial] = 1 - float32(c.paragraph)/float32(c.runes)
	}
	d[fLink] = flag(c.link)
	d[fUpper] = share(c.upper, c.words, 0.2)
	d[fNames] = share(c.names, c.words, 0.2)
	d[fCommas] = share(c.commas, c.words, 0.2)
	d[fShort] = max(0, 1-float32(c.words)/7)
	s.scripts(c)
	d[fEmoji] = many(c.emoji, 3)
	d[fSystem] = many(len(t.System), 511)
	d[fStructured] = flag(t.Structured)
	d[fTools] = many(t.Tools, 15)
	d[fMedia] = flag(t.Media > 0)
	d[fTurns] = many(max(0, t.Turns-1), 31)
	d[fContext] = min(2, float32(math.Log1p(float64(max(0, t.Bytes-size))/10)/math.Log1p(10_000)))
	for l := range Lexica {
		d[fLexica+int(l)] = many(int(c.lexica[l]), 7)
	}
	for l := range askedLexica {
		d[fAsked+int(l)] = flag(c.asked&(1<<l) != 0)
	}
}

func (s *Sample) scripts(c *counts) {
	most, second, all := 0, 0, 0
	for _, n := range c.scripts {
		all += n
		if n > most {
			most, second = n, most
		} else if n > second {
			second = n
		}
	}
	d := &s.Dense
	d[fHan] = share(c.scripts[han], all, 1)
	d[fKana] = share(c.scripts[kana], all, 1)
	d[fCyrillic] = share(c.scripts[cyrillic], all, 1)
	d[fOtherScript] = share(c.scripts[otherScript], all, 1)
	if c.scripts[kana] == 0 { // Japanese mixes two by itself
		d[fTwoScripts] = share(second, all, 1.0/3)
	}
}
