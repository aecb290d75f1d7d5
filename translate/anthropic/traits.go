package anthropic

import "strings"

// traits are what a request has to know of a model. They follow from its generation, which Claude's names carry; an
// unknown name has the traits of the oldest, whose requests the most endpoints take.
type traits struct {
	adaptive bool // thinks as much as it finds right, steered by effort; a budget is deprecated or refused
	sampling bool // takes temperature, top_p and top_k ("Models released after Claude Opus 4.6" do not)
	xhigh    bool // knows the effort xhigh
}

func traitsOf(model string) traits {
	g := generation(model)
	return traits{adaptive: g >= 406, sampling: g <= 406, xhigh: g >= 407}
}

// generation is 100 × major + minor of a Claude model: 406 of claude-opus-4-6 and of anthropic.claude-opus-4-6-v1:0,
// 500 of claude-sonnet-5; 0 when the name does not say. In claude-3-7-sonnet-20250219 the number stands before the
// family: those models are older than every trait asked for here.
func generation(model string) int {
	_, name, ok := strings.Cut(model, "claude-")
	if !ok {
		return 0
	}
	family, rest, ok := strings.Cut(name, "-")
	if !ok || family == "" || digit(family[0]) {
		return 0
	}
	if family == "mythos" && strings.HasPrefix(rest, "preview") {
		return 406
	}
	major, rest := number(rest)
	minor, _ := number(strings.TrimPrefix(rest, "-"))
	if major < 0 {
		return 0
	}
	return 100*major + max(minor, 0)
}

// number reads a number of one or two digits at the start of s, -1 when there is none: eight digits are a date.
func number(s string) (n int, rest string) {
	i := 0
	for i < len(s) && digit(s[i]) {
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

func digit(c byte) bool { return c >= '0' && c <= '9' }
