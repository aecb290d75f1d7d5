package chat

import "testing"

func TestReasoningInWordsAndTokens(t *testing.T) {
	for _, c := range []struct {
		r              Reasoning
		tokens, medium int64
		level          string
		claude, xhigh  string
	}{
		{Reasoning{}, 0, 2048, "", "", ""},
		{Reasoning{Effort: "minimal"}, 1024, 1024, "minimal", "low", "low"},
		{Reasoning{Effort: "low"}, 1024, 1024, "low", "low", "low"},
		{Reasoning{Effort: "high", Budget: 5}, 5, 5, "high", "high", "high"},
		{Reasoning{Effort: "xhigh"}, 8192, 8192, "xhigh", "high", "xhigh"},
		{Reasoning{Effort: "max"}, 16384, 16384, "max", "max", "max"},
		{Reasoning{Effort: "colossal"}, 0, 2048, "colossal", "", ""},
		{Reasoning{Budget: -1}, 0, 2048, "", "", ""},
		{Reasoning{Budget: 1024}, 1024, 1024, "low", "low", "low"},
		{Reasoning{Budget: 1025}, 1025, 1025, "medium", "medium", "medium"},
		{Reasoning{Budget: 8193}, 8193, 8193, "high", "high", "high"},
	} {
		if got := c.r.Tokens(); got != c.tokens {
			t.Errorf("%+v: %d tokens, want %d", c.r, got, c.tokens)
		}
		if got := c.r.MediumTokens(); got != c.medium {
			t.Errorf("%+v: %d tokens at least, want %d", c.r, got, c.medium)
		}
		if got := c.r.Level(); got != c.level {
			t.Errorf("%+v: level %q, want %q", c.r, got, c.level)
		}
		if a, b := c.r.ClaudeEffort(false), c.r.ClaudeEffort(true); a != c.claude || b != c.xhigh {
			t.Errorf("%+v: Claude is told %q and %q, want %q and %q", c.r, a, b, c.claude, c.xhigh)
		}
	}
}
