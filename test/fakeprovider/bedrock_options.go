package fakeprovider

import (
	"encoding/base64"
	"fmt"
	"slices"
)

// bedrockCachePoints counts checkpoints in the order tools, system, messages.
func bedrockCachePoints(body map[string]any, m *bedrockModel) *apiError {
	count, short := 0, false
	var failure *apiError
	visit := func(at string, blocks []any) {
		for i, b := range blocks {
			point := obj(obj(b)["cachePoint"])
			if point == nil {
				continue
			}
			count++
			long := str(point["ttl"]) == "1h"
			switch {
			case !m.cache:
				failure = invalidAt("You invoked an unsupported model or your request did not allow prompt caching.")
			case m.nova && at == "tools":
				failure = invalidAt("This model doesn't support cachePoint among the tools.")
			case i == 0 || obj(blocks[i-1])["reasoningContent"] != nil:
				failure = invalidAt("A cachePoint at %s must follow the block that it marks.", at)
			case long && short:
				failure = invalidAt("a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block.")
			}
			short = short || !long
		}
	}
	visit("tools", list(obj(body["toolConfig"])["tools"]))
	visit("system", list(body["system"]))
	for _, msg := range list(body["messages"]) {
		visit("messages", list(obj(msg)["content"]))
	}
	if failure == nil && count > 4 {
		return invalidAt("A maximum of 4 blocks with cache_control may be provided. Found %d.", count)
	}
	return failure
}

func bedrockExtra(body map[string]any, m *bedrockModel) *apiError {
	for name := range obj(body["additionalModelRequestFields"]) {
		if !slices.Contains(m.extra, name) {
			return invalidAt("The model returned the following errors: extraneous key [%s] is not permitted", name)
		}
	}
	for _, beta := range list(obj(body["additionalModelRequestFields"])["anthropic_beta"]) {
		if !slices.Contains(bedrockBetas, str(beta)) {
			return invalidAt("The model returned the following errors: invalid beta flag")
		}
	}
	return nil
}

// bedrockBetas are the flags of the user guide's table.
var bedrockBetas = []string{"computer-use-2025-01-24", "token-efficient-tools-2025-02-19", "interleaved-thinking-2025-05-14", "output-128k-2025-02-19",
	"dev-full-thinking-2025-05-14", "context-1m-2025-08-07", "context-management-2025-06-27", "effort-2025-11-24", "tool-search-tool-2025-10-19", "tool-examples-2025-10-29"}

// bedrockThinking are Claude's and Nova's rules for it.
func bedrockThinking(body map[string]any, m *bedrockModel) *apiError {
	extra, inference := obj(body["additionalModelRequestFields"]), obj(body["inferenceConfig"])
	set := inference["temperature"] != nil || inference["topP"] != nil || inference["maxTokens"] != nil
	if r := obj(extra["reasoningConfig"]); str(r["maxReasoningEffort"]) == "high" && set {
		return invalidAt("temperature, topP and maxTokens must be unset when maxReasoningEffort is high.")
	}
	if _, both := number(inference["topP"]); both && m.claude && m.textForm && inference["temperature"] != nil {
		return invalidAt("The model returned the following errors: `temperature` and `top_p` cannot both be specified for this model. Please use only one.")
	}
	thinking := obj(extra["thinking"])
	if kind := str(thinking["type"]); kind == "" || kind == "disabled" {
		return nil
	}
	budget, most := integer(thinking["budget_tokens"]), integer(inference["maxTokens"])
	choice := obj(obj(body["toolConfig"])["toolChoice"])
	native := str(obj(extra["tool_choice"])["type"])
	t, hot := number(inference["temperature"])
	switch {
	case str(thinking["type"]) == "enabled" && budget < 1024:
		return invalidAt("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
	case most > 0 && most <= budget:
		return invalidAt("`max_tokens` must be greater than `thinking.budget_tokens`.")
	case hot && t != 1:
		return invalidAt("`temperature` may only be set to 1 when thinking is enabled.")
	case extra["top_k"] != nil:
		return invalidAt("`top_k` must be unset when thinking is enabled.")
	case choice["any"] != nil, choice["tool"] != nil, native == "any", native == "tool":
		return invalidAt("Thinking may not be enabled when tool_choice forces tool use.")
	}
	return nil
}

// bedrockFormat: the schema is text, and closed in every object.
func bedrockFormat(body map[string]any, m *bedrockModel) *apiError {
	format := obj(obj(body["outputConfig"])["textFormat"])
	if format == nil {
		return nil
	}
	if !m.textForm {
		return unsupportedField("outputConfig.textFormat")
	}
	text := str(obj(obj(format["structure"])["jsonSchema"])["schema"])
	schema, err := parseJSON([]byte(text))
	if err != nil || obj(schema) == nil {
		return invalidAt("outputConfig.textFormat.structure.jsonSchema.schema is not a JSON Schema: %v", err)
	}
	if e := closedSchema("schema", obj(schema), 0); e != nil {
		return invalidAt("%s", e.message)
	}
	return nil
}

// signatures: reasoning comes first in an assistant's message, signed by a model here, its text unchanged (D75, D78).
func (v *bedrock) signatures(body map[string]any, m *bedrockModel) *apiError {
	for i, msg := range list(body["messages"]) {
		other := false
		for j, b := range list(obj(msg)["content"]) {
			r := obj(obj(b)["reasoningContent"])
			if r == nil {
				other = true
				continue
			}
			at := fmt.Sprintf("messages.%d.content.%d", i, j)
			switch {
			case str(obj(msg)["role"]) != "assistant" || other:
				return invalidAt("%s: reasoningContent must come first in an assistant message.", at)
			case !m.claude:
				return invalidAt("This model doesn't support the reasoningContent field (%s).", at)
			case !v.validReasoning(r):
				return invalidAt("The model returned the following errors: %s: Invalid `signature` in `thinking` block", at)
			}
		}
	}
	return nil
}

func (v *bedrock) validReasoning(r map[string]any) bool {
	if t := obj(r["reasoningText"]); t != nil {
		return v.signer.validThinking(str(t["text"]), str(t["signature"]))
	}
	data, err := base64.StdEncoding.DecodeString(str(r["redactedContent"]))
	return err == nil && v.signer.validRedacted(string(data))
}
