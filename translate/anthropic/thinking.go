package anthropic

import (
	"strconv"

	"dragoman/translate/chat"
)

// thinking is what the request says about it.
type thinking struct {
	mode    string // "", enabled, adaptive, disabled
	budget  int64  // of enabled
	display string
	effort  string // output_config.effort
}

// on says whether the model will think, which excludes forced tool calls and free sampling.
func (t thinking) on() bool { return t.mode == "enabled" || t.mode == "adaptive" }

func (t thinking) append(b []byte) []byte {
	if t.mode == "" {
		return b
	}
	b = append(append(append(b, `,"thinking":{"type":"`...), t.mode...), '"')
	if t.mode == "enabled" {
		b = strconv.AppendInt(append(b, `,"budget_tokens":`...), t.budget, 10)
	}
	if t.on() && (t.display == "summarized" || t.display == "omitted") {
		b = append(append(append(b, `,"display":"`...), t.display...), '"')
	}
	return append(b, '}')
}

// minBudget is the least that the API takes.
const minBudget = 1024

// settleThinking decides whether and how much the model thinks (D58). Where thinking is impossible beside something that
// shapes the answer more, it is left out and named: a forced tool call (D30), or tool calls in the history that were made
// without thinking (D76).
func (e *encoder) settleThinking() {
	rs := e.r.Reasoning
	if rs == nil {
		return
	}
	t := &e.plan.thinking
	if rs.Disabled || rs.Effort == "none" {
		t.mode = "disabled"
		return
	}
	known := traitsOf(e.t.Model)
	if e.forced() || !known.adaptive && e.plan.turns.ThoughtlessCalls() {
		e.drop("reasoning_effort")
		return
	}
	t.display = rs.Display
	if known.adaptive {
		t.mode, t.effort = "adaptive", rs.ClaudeEffort(known.xhigh)
		return
	}
	e.fitBudget(max(rs.MediumTokens(), minBudget))
}

// fitBudget puts the budget below max_tokens, which counts thinking too: at most half of it, so that an answer remains
// (D47). A cap too small for the least budget is raised by that budget; where the model cannot write so much, it does
// not think.
func (e *encoder) fitBudget(want int64) {
	t := &e.plan.thinking
	switch {
	case e.r.MaxTokens == nil && e.t.MaxOutput == 0:
		e.plan.max += want
	case e.plan.max >= 2*minBudget:
		want = min(want, e.plan.max/2)
	case e.t.MaxOutput > 0 && e.plan.max+minBudget > e.t.MaxOutput:
		e.drop("reasoning_effort")
		return
	default:
		e.plan.max, want = e.plan.max+minBudget, minBudget
	}
	t.mode, t.budget = "enabled", want
}

// forced says whether the request demands a tool call, which the API refuses beside thinking.
func (e *encoder) forced() bool {
	c := e.r.ToolChoice
	return c != nil && (c.Mode == chat.ToolRequired || c.Mode == chat.ToolNamed) && e.plan.tools > 0
}
