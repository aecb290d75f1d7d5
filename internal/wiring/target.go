package wiring

import "strings"

// UserAgent is what providers get instead of the client's: which SDK a caller uses is not their business, and some edges refuse
// requests without any. %s stands for the model of the attempt.
const UserAgent = "dragoman (%s)"

// maxTarget is the longest model name that is told.
const maxTarget = 128

// noTarget is what Envoy writes for a header that is not there.
const noTarget = "-"

// Target is a model's id as HeaderTarget carries it: "-" for one that a header cannot hold, or that is longer than any real one.
func Target(model string) string {
	if model == "" || len(model) > maxTarget {
		return noTarget
	}
	for i := 0; i < len(model); i++ {
		if c := model[i]; c <= ' ' || c >= 0x7f || c == '(' || c == ')' {
			return noTarget
		}
	}
	return model
}

// TargetOf reads the model from a user agent that was made of it, "" when there is none.
func TargetOf(userAgent string) string {
	before, after, _ := strings.Cut(UserAgent, "%s")
	model, ok := strings.CutPrefix(userAgent, before)
	if !ok {
		return ""
	}
	if model, ok = strings.CutSuffix(model, after); !ok || model == noTarget {
		return ""
	}
	return model
}
