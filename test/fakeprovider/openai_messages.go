package fakeprovider

import (
	"fmt"
	"strings"
)

// openaiMessages checks the turns: the pairing of calls and results, ids, names, contents.
func openaiMessages(body map[string]any) *apiError {
	open := map[string]bool{} // calls of the last assistant message that wait for a result
	var order []string
	afterCalls := false
	for i, m := range list(body["messages"]) {
		msg := obj(m)
		at := fmt.Sprintf("messages.[%d]", i)
		role := str(msg["role"])
		if role == "tool" {
			if !afterCalls {
				return invalid(at+".role", "", "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.")
			}
			id := str(msg["tool_call_id"])
			if waiting, known := open[id]; !known || !waiting {
				return invalid(at+".tool_call_id", "", "Invalid parameter: 'tool_call_id' of '%s' not found in 'tool_calls' of previous message.", id)
			}
			open[id] = false
			continue
		}
		if e := unanswered(i, order, open); e != nil {
			return e
		}
		open, order, afterCalls = map[string]bool{}, nil, false
		if e := openaiTurn(i, msg); e != nil {
			return e
		}
		for _, c := range list(msg["tool_calls"]) {
			id := str(obj(c)["id"])
			if _, twice := open[id]; twice {
				return invalid(at+".tool_calls", "", "Duplicate value for 'tool_call_id' of '%s' in message[%d].", id, i)
			}
			open[id], order, afterCalls = true, append(order, id), true
		}
	}
	return unanswered(len(list(body["messages"])), order, open)
}

func unanswered(at int, order []string, open map[string]bool) *apiError {
	var missing []string
	for _, id := range order {
		if open[id] {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return invalid(fmt.Sprintf("messages.[%d].role", at), "",
		"An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: %s",
		strings.Join(missing, ", "))
}

// openaiTurn checks one message that is no tool result.
func openaiTurn(i int, msg map[string]any) *apiError {
	at := fmt.Sprintf("messages[%d]", i)
	if name, ok := msg["name"].(string); ok {
		if e := openaiName(at+".name", name); e != nil {
			return e
		}
	}
	for j, p := range list(msg["content"]) {
		if raw, ok := obj(obj(p)["image_url"])["url"].(string); ok {
			if e := openaiImage(fmt.Sprintf("%s.content[%d].image_url.url", at, j), raw); e != nil {
				return e
			}
		}
	}
	if str(msg["role"]) != "assistant" {
		return nil
	}
	calls, given := msg["tool_calls"].([]any)
	if given && len(calls) == 0 {
		return invalid(at+".tool_calls", "empty_array",
			"Invalid '%s.tool_calls': empty array. Expected an array with minimum length 1, but got an empty array instead.", at)
	}
	if msg["content"] == nil && len(calls) == 0 && msg["function_call"] == nil && msg["refusal"] == nil && msg["audio"] == nil {
		return invalid(fmt.Sprintf("messages.[%d].content", i), "", "Invalid value for 'content': expected a string, got null.")
	}
	for j, c := range calls {
		if e := openaiCall(fmt.Sprintf("%s.tool_calls[%d]", at, j), obj(c)); e != nil {
			return e
		}
	}
	return nil
}

// openaiCall: chat completions take ids of at most 40 characters ("string too long. Expected a string with maximum
// length 40"), shorter than most vendors'.
func openaiCall(at string, call map[string]any) *apiError {
	if id := str(call["id"]); len(id) > 40 {
		return invalid(at+".id", "string_above_max_length",
			"Invalid '%s.id': string too long. Expected a string with maximum length 40, but got a string with length %d instead.", at, len(id))
	} else if id == "" {
		return invalid(at+".id", "empty_string", "Invalid '%s.id': empty string. Expected a string with minimum length 1, but got an empty string instead.", at)
	}
	f := obj(call["function"])
	if f == nil {
		return nil
	}
	return openaiName(at+".function.name", str(f["name"]))
}
