package fakeprovider

import (
	"fmt"
	"strings"
	"unicode"
)

// anthropicMessages checks the turns: who begins, what may stand where, the pairing of tool calls and results, prefill.
func anthropicMessages(body map[string]any) *apiError {
	messages := list(body["messages"])
	if len(messages) == 0 {
		return refuseAt("messages", "at least one message is required")
	}
	if str(obj(messages[0])["role"]) != "user" {
		return refuseAt("messages", `first message must use the "user" role`)
	}
	seen := map[string]bool{}
	for i, m := range messages {
		msg := obj(m)
		if e := contentAllowed(i, len(messages), msg); e != nil {
			return e
		}
		for _, id := range blockIDs(msg, "tool_use", "id") {
			if seen[id] {
				return refuseAt("messages", "`tool_use` ids must be unique")
			}
			seen[id] = true
		}
		if e := pairing(i, messages); e != nil {
			return e
		}
	}
	if e := prefill(body, obj(messages[len(messages)-1])); e != nil {
		return e
	}
	return thinkingFirst(body, messages)
}

// contentAllowed: which blocks a role may have, and none empty but a last assistant message.
func contentAllowed(i, n int, msg map[string]any) *apiError {
	role := str(msg["role"])
	text, isText := msg["content"].(string)
	if empty := isText && text == "" || !isText && len(list(msg["content"])) == 0; empty && (role == "user" || i < n-1) {
		return refuseAt(fmt.Sprintf("messages.%d", i), "all messages must have non-empty content except for the optional final assistant message")
	}
	for _, b := range list(msg["content"]) {
		kind := str(obj(b)["type"])
		owner := blockOwner[kind]
		if owner != "" && owner != role {
			return refuseAt(fmt.Sprintf("messages.%d", i), "`%s` blocks can only be in `%s` messages", kind, owner)
		}
	}
	return nil
}

var blockOwner = map[string]string{
	"tool_use": "assistant", "thinking": "assistant", "redacted_thinking": "assistant", "server_tool_use": "assistant",
	"tool_result": "user", "image": "user", "search_result": "user",
}

func blockIDs(msg map[string]any, kind, field string) []string {
	var ids []string
	for _, b := range list(msg["content"]) {
		if blk := obj(b); str(blk["type"]) == kind {
			ids = append(ids, str(blk[field]))
		}
	}
	return ids
}

// pairing: every call of message i-1 has its one result at the head of message i, and message i has no other results.
func pairing(i int, messages []any) *apiError {
	msg := obj(messages[i])
	calls := map[string]bool{}
	if i > 0 {
		for _, id := range blockIDs(obj(messages[i-1]), "tool_use", "id") {
			calls[id] = true
		}
	}
	answered := map[string]bool{}
	head := true
	for j, b := range list(msg["content"]) {
		blk := obj(b)
		if str(blk["type"]) != "tool_result" {
			head = false
			continue
		}
		id, at := str(blk["tool_use_id"]), fmt.Sprintf("messages.%d.content.%d", i, j)
		switch {
		case !calls[id]:
			return refuseAt(at, "unexpected `tool_use_id` found in `tool_result` blocks: %s. Each `tool_result` block must have a corresponding `tool_use` block in the previous message.", id)
		case answered[id]:
			return refuseAt(at, "each tool_use must have a single result. Found multiple `tool_result` blocks with id: %s", id)
		}
		answered[id] = head
	}
	if i == 0 {
		return nil
	}
	return unansweredCalls(i-1, messages, answered)
}

func unansweredCalls(i int, messages []any, answered map[string]bool) *apiError {
	var missing []string
	for _, id := range blockIDs(obj(messages[i]), "tool_use", "id") {
		if !answered[id] {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return refuseAt(fmt.Sprintf("messages.%d", i), "`tool_use` ids were found without `tool_result` blocks immediately after: %s. Each `tool_use` block must have a corresponding `tool_result` block in the next message.", strings.Join(missing, ", "))
}

// prefill checks a last message of the assistant, which the answer goes on from.
func prefill(body, last map[string]any) *apiError {
	if str(last["role"]) != "assistant" {
		return nil
	}
	if ids := blockIDs(last, "tool_use", "id"); len(ids) > 0 {
		return unansweredCalls(len(list(body["messages"]))-1, list(body["messages"]), nil)
	}
	if thinks(body) {
		return refuseAt("messages", "final assistant content cannot be prefilled when thinking is enabled")
	}
	text, _ := last["content"].(string)
	if blocks := list(last["content"]); len(blocks) > 0 {
		text = str(obj(blocks[len(blocks)-1])["text"])
	}
	if strings.TrimRightFunc(text, unicode.IsSpace) != text {
		return refuseAt("messages", "final assistant content cannot end with trailing whitespace")
	}
	return nil
}

// thinkingFirst: with manual thinking, the assistant turn whose calls are being answered must begin with its thinking (D76).
func thinkingFirst(body map[string]any, messages []any) *apiError {
	if str(obj(body["thinking"])["type"]) != "enabled" || len(messages) < 2 {
		return nil
	}
	i := len(messages) - 2
	msg := obj(messages[i])
	if len(blockIDs(msg, "tool_use", "id")) == 0 {
		return nil
	}
	switch kind := str(obj(list(msg["content"])[0])["type"]); kind {
	case "thinking", "redacted_thinking":
		return nil
	default:
		return refuseAt(fmt.Sprintf("messages.%d.content.0.type", i),
			"Expected `thinking` or `redacted_thinking`, but found `%s`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). We recommend you include thinking blocks from previous turns. To avoid this requirement, disable `thinking`. Please consult our documentation at https://docs.claude.com/en/docs/build-with-claude/extended-thinking", kind)
	}
}

// signatures: every thinking block must be one that this fake made, unchanged.
func (v *anthropic) signatures(body map[string]any) *apiError {
	for i, m := range list(body["messages"]) {
		for j, b := range list(obj(m)["content"]) {
			blk, at := obj(b), fmt.Sprintf("messages.%d.content.%d", i, j)
			switch str(blk["type"]) {
			case "thinking":
				if !v.signer.validThinking(str(blk["thinking"]), str(blk["signature"])) {
					return refuseAt(at, "Invalid `signature` in `thinking` block")
				}
			case "redacted_thinking":
				if !v.signer.validRedacted(str(blk["data"])) {
					return refuseAt(at, "Invalid `data` in `redacted_thinking` block")
				}
			}
		}
	}
	return nil
}
