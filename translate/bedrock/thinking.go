package bedrock

import (
	"strconv"
	"strings"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// thinking is what the request says about it.
type thinking struct {
	on      bool
	mode    string // "", enabled, adaptive, disabled
	budget  int64  // tokens, of Claude's enabled
	display string // Claude's
	effort  string
	fixed   bool // the model takes no sampling parameters beside it
}

// minBudget is the least that Claude takes.
const minBudget = 1024

// settleThinking decides whether and how much the model thinks, each family in its own terms (D60). Where thinking is
// impossible beside something that shapes the answer more, it is left out and named: a forced tool call (D30), or tool calls
// in the history that were made without thinking (D76).
func (e *encoder) settleThinking() {
	rs := e.r.Reasoning
	if rs == nil {
		return
	}
	off := rs.Disabled || rs.Effort == "none"
	switch e.model.think {
	case claudeThink:
		e.claudeThinking(rs, off)
	case novaThink:
		e.novaThinking(rs, off)
	case effortThink:
		if off { // gpt-oss always thinks
			e.drop("reasoning_effort")
			return
		}
		e.plan.thinking = thinking{on: true, effort: threeLevels(rs)}
	default:
		if !off {
			e.drop("reasoning_effort")
		}
	}
}

func (e *encoder) claudeThinking(rs *chat.Reasoning, off bool) {
	t := &e.plan.thinking
	if off {
		t.mode = "disabled"
		return
	}
	if e.plan.choice.mode != "" || !e.model.adaptive && e.plan.turns.ThoughtlessCalls() {
		e.drop("reasoning_effort")
		return
	}
	t.display = rs.Display
	if e.model.adaptive {
		t.on, t.mode, t.effort = true, "adaptive", rs.ClaudeEffort(e.model.xhigh)
		return
	}
	e.fitBudget(max(rs.MediumTokens(), minBudget))
}

// threeLevels is an effort for models that know low, medium and high.
func threeLevels(rs *chat.Reasoning) string {
	switch rs.Level() {
	case "minimal", "low":
		return "low"
	case "high", "xhigh", "max":
		return "high"
	default:
		return "medium"
	}
}

// novaThinking: Nova refuses an output cap and sampling parameters beside the highest effort (Nova 2 user guide, "Extended
// thinking"). The client's cap is kept: it is what the answer may cost.
func (e *encoder) novaThinking(rs *chat.Reasoning, off bool) {
	t := &e.plan.thinking
	if off {
		t.mode = "disabled"
		return
	}
	t.on, t.mode, t.effort = true, "enabled", threeLevels(rs)
	if t.effort != "high" {
		return
	}
	if e.plan.max > 0 {
		t.effort = "medium"
		e.drop("reasoning_effort")
		return
	}
	t.fixed = true
}

// fitBudget puts the budget below maxTokens, which counts thinking too: at most half of it, so that an answer remains
// (D47). A cap too small for the least budget is raised by that budget; where the model cannot write so much, it does
// not think.
func (e *encoder) fitBudget(want int64) {
	t := &e.plan.thinking
	switch limit := e.plan.max; {
	case limit == 0 && e.t.MaxOutput >= 2*minBudget:
		want = min(want, e.t.MaxOutput/2)
	case limit == 0:
	case limit >= 2*minBudget:
		want = min(want, limit/2)
	case e.t.MaxOutput > 0 && limit+minBudget > e.t.MaxOutput:
		e.drop("reasoning_effort")
		return
	default:
		e.plan.max, want = limit+minBudget, minBudget
	}
	t.on, t.mode, t.budget = true, "enabled", want
}

// additional writes what only the model's vendor has a word for, and asks for the stop sequence that matched, which
// Converse itself does not tell (D54).
func (e *encoder) additional(b []byte) []byte {
	m := members{b: b, open: `,"additionalModelRequestFields":{`}
	e.thinkingFields(&m)
	e.betaFields(&m)
	if k := e.plan.topK; k != nil {
		outer, inner, nested := strings.Cut(e.model.topK, ".")
		m.key(outer)
		if nested {
			m.b = append(append(append(m.b, `{"`...), inner...), `":`...)
		}
		m.b = strconv.AppendInt(m.b, *k, 10)
		if nested {
			m.b = append(m.b, '}')
		}
	}
	if c := &e.plan.choice; c.single {
		m.key("tool_choice")
		mode := c.mode
		if mode == "" {
			mode = "auto"
		}
		m.b = append(append(append(m.b, `{"type":"`...), mode...), '"')
		if c.name != "" {
			m.b = strictjson.AppendString(append(m.b, `,"name":`...), e.names.Out(c.name))
		}
		m.b = append(m.b, `,"disable_parallel_tool_use":true}`...)
	}
	b = m.close()
	if e.model.stopped && len(e.plan.stop) > 0 {
		b = append(b, `,"additionalModelResponseFieldPaths":["/stop_sequence"]`...)
	}
	return b
}

func (e *encoder) thinkingFields(m *members) {
	t := &e.plan.thinking
	switch {
	case e.model.think == effortThink && t.on:
		m.key("reasoning_effort")
		m.b = append(append(append(m.b, '"'), t.effort...), '"')
	case t.mode == "":
	case e.model.think == novaThink:
		m.key("reasoningConfig")
		m.b = append(append(append(m.b, `{"type":"`...), t.mode...), '"')
		if t.on {
			m.b = append(append(append(m.b, `,"maxReasoningEffort":"`...), t.effort...), '"')
		}
		m.b = append(m.b, '}')
	default:
		m.key("thinking")
		m.b = append(append(append(m.b, `{"type":"`...), t.mode...), '"')
		if t.budget > 0 {
			m.b = strconv.AppendInt(append(m.b, `,"budget_tokens":`...), t.budget, 10)
		}
		if t.on && (t.display == "summarized" || t.display == "omitted") {
			m.b = append(append(append(m.b, `,"display":"`...), t.display...), '"')
		}
		m.b = append(m.b, '}')
	}
}
