package wiring

import (
	"fmt"
	"strings"
	"testing"
)

func TestTargetSurvivesTheUserAgent(t *testing.T) {
	for model, want := range map[string]string{
		"gpt-5-mini": "gpt-5-mini", "eu.anthropic.claude:0": "eu.anthropic.claude:0", "org/model@v1": "org/model@v1",
		"": "", "has space": "", "new\nline": "", "ümlaut": "", "a)b": "", strings.Repeat("x", 200): "", "-": "",
	} {
		agent := fmt.Sprintf(UserAgent, Target(model))
		if got := TargetOf(agent); got != want {
			t.Errorf("%q: %q gives %q", model, agent, got)
		}
	}
	for _, foreign := range []string{"", "curl/8", "dragoman", "dragoman (x"} {
		if got := TargetOf(foreign); got != "" {
			t.Errorf("%q gives %q", foreign, got)
		}
	}
}
