package gemini

import "strings"

// traits are what a request has to know of a model. They follow from its generation, which Gemini's names carry; an
// unknown name has the traits of the oldest, whose requests the most endpoints take.
type traits struct {
	// jsonSchema: the model takes JSON Schema in parametersJsonSchema and responseJsonSchema. Both are in the SDK's types
	// and in the discovery document. They are preferred (D17): nothing is lost in them, $ref and recursion included,
	// while the OpenAPI subset in parameters and responseSchema loses both. Models before 2.5 know the subset only.
	jsonSchema bool
	levels     bool // thinks by thinkingLevel (3 and later), else by thinkingBudget (D59)
	medium     bool // knows the level MEDIUM
	minimal    bool // knows the level MINIMAL
	budget     budget
	penalties  bool // takes presencePenalty and frequencyPenalty (D50)
	signatures bool // refuses calls of the current turn without a thoughtSignature (D79)
	// formatWithTools: structured output and functions may stand in one request.
	formatWithTools bool
}

// budget is the range of thinkingBudget in tokens; the zero value is a model that does not think.
type budget struct {
	low, high int64
	off       bool // 0 switches thinking off
}

// newest stands for names without a number: gemini-flash-latest is whatever came out last.
const newest = 99_00

func traitsOf(model string) traits {
	g := generation(model)
	pro := strings.Contains(model, "-pro")
	return traits{
		jsonSchema: g >= 205, levels: g >= 300, medium: g > 300 || !pro, minimal: !pro, budget: budgetOf(g, model),
		penalties: g < 205, signatures: g >= 300, formatWithTools: g >= 300,
	}
}

// budgetOf has the documented ranges of the 2.5 models, which alone take a budget.
func budgetOf(g int, model string) budget {
	switch {
	case g < 205:
		return budget{}
	case strings.Contains(model, "-pro"):
		return budget{low: 128, high: 32_768}
	case strings.Contains(model, "-lite"):
		return budget{low: 512, high: 24_576, off: true}
	default:
		return budget{low: 1, high: 24_576, off: true}
	}
}

// generation is 100 × major + minor of a Gemini model: 205 of gemini-2.5-flash and of models/gemini-2.5-pro-001, 300 of
// gemini-3-pro-preview; 0 when the name is no Gemini's.
func generation(model string) int {
	if i := strings.LastIndexByte(model, '/'); i >= 0 {
		model = model[i+1:]
	}
	rest, ok := strings.CutPrefix(model, "gemini-")
	if !ok {
		return 0
	}
	major, rest := number(rest)
	if major < 0 {
		if strings.HasSuffix(rest, "-latest") {
			return newest
		}
		return 0
	}
	minor := 0
	if after, dotted := strings.CutPrefix(rest, "."); dotted {
		minor, _ = number(after)
	}
	return 100*major + max(minor, 0)
}

// number reads a number of one or two digits at the start of s, -1 when there is none.
func number(s string) (n int, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		n = n*10 + int(s[i]-'0')
		if i++; i > 2 {
			return -1, s
		}
	}
	if i == 0 {
		return -1, s
	}
	return n, s[i:]
}
