package fakeprovider

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxOutput is the output cap of the fake's models, in tokens.
const maxOutput = 64000

// anthropicRules are what Anthropic demands beyond the types, each with the vendor's own message.
var anthropicRules = []func(body map[string]any) *apiError{
	anthropicLimits, anthropicThinking, anthropicTools, anthropicCacheMarks, anthropicOutput, anthropicTexts, anthropicMessages,
}

// since2026 is what API version 2026-10-21 no longer takes (platform.claude.com/docs/en/api/migration-2026-10-21).
func since2026(body map[string]any) *apiError {
	for _, name := range []string{"temperature", "top_p", "top_k"} {
		if _, given := body[name]; given {
			return refuseAt(name, "Extra inputs are not permitted")
		}
	}
	for i, m := range list(body["messages"]) {
		for j, b := range list(obj(m)["content"]) {
			blk, role, at := obj(b), str(obj(m)["role"]), fmt.Sprintf("messages.%d.content.%d", i, j)
			switch {
			case str(blk["type"]) == "document" && role == "assistant":
				return refuseAt(at, "`document` blocks are not permitted in `assistant` messages")
			case str(blk["type"]) == "text" && role == "user" && len(list(blk["citations"])) > 0:
				return refuseAt(at, "`citations` are not permitted on `text` blocks in `user` messages")
			}
		}
	}
	return nil
}

func anthropicLimits(body map[string]any) *apiError {
	if n := integer(body["max_tokens"]); n > maxOutput {
		return refuseAt("max_tokens", "%d > %d, which is the maximum allowed number of output tokens for %s", n, maxOutput, body["model"])
	}
	for _, s := range list(body["stop_sequences"]) {
		if blank(str(s)) {
			return refuseAt("stop_sequences", "each stop sequence must contain non-whitespace")
		}
	}
	if body["temperature"] != nil && body["top_p"] != nil {
		return refuseAt("", "`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
	}
	if id := str(obj(body["metadata"])["user_id"]); strings.Contains(id, "@") {
		return refuseAt("metadata.user_id", "user_id appears to contain an email address")
	}
	return nil
}

func anthropicThinking(body map[string]any) *apiError {
	if !thinks(body) {
		return nil
	}
	if budget := integer(obj(body["thinking"])["budget_tokens"]); budget > 0 && integer(body["max_tokens"]) <= budget {
		return refuseAt("", "`max_tokens` must be greater than `thinking.budget_tokens`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#max-tokens-and-context-window-size")
	}
	if t, ok := number(body["temperature"]); ok && t != 1 {
		return refuseAt("", "`temperature` may only be set to 1 when thinking is enabled or in adaptive mode. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking#important-considerations-when-using-extended-thinking")
	}
	if p, ok := number(body["top_p"]); ok && p < 0.95 {
		return refuseAt("", "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.")
	}
	if body["top_k"] != nil {
		return refuseAt("", "`top_k` must be unset when thinking is enabled.")
	}
	if c := str(obj(body["tool_choice"])["type"]); c == "any" || c == "tool" {
		return refuseAt("", "Thinking may not be enabled when tool_choice forces tool use.")
	}
	return nil
}

func anthropicTools(body map[string]any) *apiError {
	tools := list(body["tools"])
	names := map[string]bool{}
	for _, t := range tools {
		name := str(obj(t)["name"])
		if names[name] {
			return refuseAt("tools", "Tool names must be unique.")
		}
		names[name] = true
		if boolean(obj(t)["strict"]) {
			if e := closedSchema("tools."+name+".input_schema", obj(obj(t)["input_schema"]), 0); e != nil {
				return e
			}
		}
	}
	choice := obj(body["tool_choice"])
	if choice != nil && len(tools) == 0 {
		return refuseAt("tool_choice", "`tool_choice` may only be specified while providing `tools`.")
	}
	if name := str(choice["name"]); str(choice["type"]) == "tool" && !names[name] {
		return refuseAt("", "Tool '%s' not found in provided tools", name)
	}
	if len(tools) == 0 && hasToolBlocks(body) {
		return refuseAt("", "Requests which include `tool_use` or `tool_result` blocks must define tools")
	}
	return nil
}

func hasToolBlocks(body map[string]any) bool {
	for _, m := range list(body["messages"]) {
		for _, b := range list(obj(m)["content"]) {
			if kind := str(obj(b)["type"]); kind == "tool_use" || kind == "tool_result" {
				return true
			}
		}
	}
	return false
}

// anthropicCacheMarks counts breakpoints in the order tools, system, messages.
func anthropicCacheMarks(body map[string]any) *apiError {
	count, short := 0, false
	var failure *apiError
	for _, part := range []string{"tools", "system", "messages"} {
		walkMarks(body[part], func(mark map[string]any) {
			count++
			if str(mark["ttl"]) == "1h" && short {
				failure = refuseAt("", "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed in the following order: `tools`, `system`, `messages`.")
			}
			short = short || str(mark["ttl"]) != "1h"
		})
	}
	if body["cache_control"] != nil {
		count++
	}
	if count > 4 {
		return refuseAt("", "A maximum of 4 blocks with cache_control may be provided. Found %d.", count)
	}
	return failure
}

// walkMarks visits cache marks in document order. A tool's input is data, not blocks.
func walkMarks(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			walkMarks(e, visit)
		}
	case map[string]any:
		walkMarks(v["content"], visit)
		if mark := obj(v["cache_control"]); mark != nil {
			visit(mark)
		}
	}
}

func anthropicOutput(body map[string]any) *apiError {
	format := obj(obj(body["output_config"])["format"])
	if format == nil {
		return nil
	}
	return closedSchema("output_config.format.schema", obj(format["schema"]), 0)
}

// unsupportedKeywords of schemas that output is forced into.
var unsupportedKeywords = []string{
	"oneOf", "not", "if", "patternProperties", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
	"minLength", "maxLength", "maxItems", "uniqueItems", "minProperties", "maxProperties", "$ref", "$defs", "definitions",
}

// closedSchema: objects must be closed, and only a part of JSON Schema is supported (D63).
func closedSchema(path string, s map[string]any, depth int) *apiError {
	if depth > 32 {
		return refuseAt(path, "Schema is too deeply nested")
	}
	for _, k := range unsupportedKeywords {
		if _, ok := s[k]; ok {
			return refuseAt(path, "Schema type '%s' is not supported", k)
		}
	}
	if typeOf(s) == "object" {
		switch closed, given := s["additionalProperties"]; {
		case !given:
			return refuseAt(path, "For 'object' type, 'additionalProperties' must be explicitly set to false")
		case closed != false:
			return refuseAt(path, "For 'object' type, 'additionalProperties: %v' is not supported. Please set 'additionalProperties' to false", closed)
		}
	}
	properties := obj(s["properties"])
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		if e := closedSchema(path+".properties."+name, obj(properties[name]), depth+1); e != nil {
			return e
		}
	}
	if items := obj(s["items"]); items != nil {
		return closedSchema(path+".items", items, depth+1)
	}
	for _, k := range []string{"anyOf", "allOf"} {
		for i, sub := range list(s[k]) {
			if e := closedSchema(fmt.Sprintf("%s.%s.%d", path, k, i), obj(sub), depth+1); e != nil {
				return e
			}
		}
	}
	return nil
}

// anthropicTexts: no empty text, anywhere.
func anthropicTexts(body map[string]any) *apiError {
	for _, b := range list(body["system"]) {
		if e := emptyText("system", obj(b)); e != nil {
			return e
		}
	}
	for i, m := range list(body["messages"]) {
		for j, b := range list(obj(m)["content"]) {
			blk := obj(b)
			if e := emptyText("messages", blk); e != nil {
				return e
			}
			if source := obj(blk["source"]); str(blk["type"]) == "image" {
				if e := mediaMismatch(fmt.Sprintf("messages.%d.content.%d.image.source.base64", i, j), source); e != nil {
					return e
				}
			}
			for _, inner := range list(blk["content"]) {
				if e := emptyText("messages", obj(inner)); e != nil {
					return e
				}
			}
		}
	}
	return nil
}

func emptyText(where string, blk map[string]any) *apiError {
	if str(blk["type"]) != "text" {
		return nil
	}
	switch text := str(blk["text"]); {
	case text == "":
		return refuseAt(where, "text content blocks must be non-empty")
	case blank(text):
		return refuseAt(where, "text content blocks must contain non-whitespace text")
	}
	return nil
}
