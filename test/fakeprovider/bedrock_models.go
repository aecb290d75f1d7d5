package fakeprovider

import "strings"

// bedrockModel is what a model takes, by the user guide's tables of models and features.
type bedrockModel struct {
	claude, nova    bool
	system, tools   bool
	anyTool, named  bool
	media, status   bool
	cache, textForm bool
	extra           []string // members of additionalModelRequestFields
}

func bedrockModelOf(id string) bedrockModel {
	if i := strings.LastIndexByte(id, '/'); i >= 0 {
		id = id[i+1:]
	}
	has := func(s string) bool { return strings.Contains(id, s) }
	switch {
	case has("anthropic.claude"):
		newest := has("-4-5") || has("-4-6") || has("-4-7") || has("-5-")
		m := bedrockModel{claude: true, system: true, tools: true, anyTool: true, named: true, media: true, status: true, textForm: newest,
			cache: newest || has("claude-3-7") || has("-4-"), extra: []string{"thinking", "top_k", "anthropic_beta"}}
		if newest {
			m.extra = append(m.extra, "tool_choice")
		}
		return m
	case has("amazon.nova"):
		return bedrockModel{nova: true, system: true, tools: true, anyTool: true, named: true, media: true, status: true, cache: true,
			extra: []string{"inferenceConfig", "reasoningConfig"}}
	case has("mistral.mistral-large"):
		return bedrockModel{system: true, tools: true, anyTool: true, media: true, extra: []string{"top_k"}}
	case has("openai.gpt-oss"):
		return bedrockModel{system: true, tools: true, textForm: true, extra: []string{"reasoning_effort"}}
	case has("meta.llama3"), has("meta.llama4"):
		return bedrockModel{system: true, tools: true, media: true}
	case has("amazon.titan"):
		return bedrockModel{}
	}
	return bedrockModel{system: true, tools: true, anyTool: true, named: true, media: true, status: true, extra: []string{"top_k"}}
}
