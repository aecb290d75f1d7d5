package bedrock

import "testing"

// TestD28_Families: what a request may hold follows from the model's id, with or without region and ARN.
func TestD28_Families(t *testing.T) {
	for model, want := range map[string]func(traits) bool{
		"anthropic.claude-3-haiku-20240307-v1:0": func(m traits) bool { return m.oneTool && !m.strict && m.think == noThinking && !m.cache && m.sampling },
		"us.anthropic.claude-3-7-sonnet-20250219-v1:0": func(m traits) bool {
			return m.think == claudeThink && m.cache && !m.cache1h && !m.adaptive && !m.single
		},
		"eu.anthropic.claude-haiku-4-5-20251001-v1:0": func(m traits) bool { return m.strict && m.cache1h && m.single && !m.adaptive && m.exactly1 },
		"global.anthropic.claude-opus-4-6-v1":         func(m traits) bool { return m.adaptive && m.sampling && !m.xhigh },
		"anthropic.claude-sonnet-5-v1:0":              func(m traits) bool { return m.adaptive && !m.sampling && m.xhigh },
		"amazon.nova-lite-v1:0":                       func(m traits) bool { return m.oneTool && m.think == noThinking && m.cache && !m.cacheTop },
		"us.amazon.nova-2-lite-v1:0":                  func(m traits) bool { return m.think == novaThink },
		"meta.llama3-3-70b-instruct-v1:0":             func(m traits) bool { return m.tools && !m.anyTool && !m.status },
		"mistral.mistral-large-2407-v1:0":             func(m traits) bool { return m.anyTool && !m.oneTool && !m.strict },
		"mistral.mistral-large-3-675b-instruct":       func(m traits) bool { return m.strict },
		"mistral.mistral-7b-instruct-v0:2":            func(m traits) bool { return !m.tools && !m.system },
		"deepseek.r1-v1:0":                            func(m traits) bool { return !m.tools && m.system },
		"deepseek.v3-v1:0":                            func(m traits) bool { return m.tools && m.strict },
		"openai.gpt-oss-120b-1:0":                     func(m traits) bool { return m.think == effortThink && m.strict },
		"cohere.command-r-plus-v1:0":                  func(m traits) bool { return m.topK == "k" },
		"amazon.titan-text-express-v1":                func(m traits) bool { return !m.tools && !m.system && !m.media },
		"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0": func(m traits) bool { return m.strict },
		"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0":                   func(m traits) bool { return m.oneTool && !m.strict },
		"arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc":                             func(m traits) bool { return m == unknown },
		"": func(m traits) bool { return m == unknown },
	} {
		if got := traitsOf(model); !want(got) {
			t.Errorf("%s: %+v", model, got)
		}
	}
}

func TestDecodedSize(t *testing.T) {
	for data, want := range map[string]int{"": 0, "AA==": 1, "AAA=": 2, "AAAA": 3, "AAAAAA==": 4, "+/+/": 3} {
		if n, ok := decodedSize(data); !ok || n != want {
			t.Errorf("%q: %d %v", data, n, ok)
		}
	}
	for _, data := range []string{"A", "AA", "AAA", "A===", "AA=A", "A-_A", "AAA\n", "====", "AAAA AAA"} {
		if n, ok := decodedSize(data); ok {
			t.Errorf("%q passed as %d bytes", data, n)
		}
	}
}
