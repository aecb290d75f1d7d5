package fakeprovider

import (
	"fmt"
	"slices"
	"strings"
)

// responsesRules are what OpenAI demands beyond its description, each with the vendor's own message.
var responsesRules = []func(body map[string]any) *apiError{
	responsesUnserved, responsesModels, responsesTools, responsesFormat,
}

// responsesUnserved: what this fake does not do.
func responsesUnserved(body map[string]any) *apiError {
	for _, name := range []string{"conversation", "prompt", "context_management", "moderation"} {
		if body[name] != nil {
			return invalid(name, "unsupported_parameter", "Unsupported parameter: '%s' is not supported by this fake.", name)
		}
	}
	if boolean(body["background"]) {
		return invalid("background", "unsupported_parameter", "Unsupported parameter: 'background' is not supported by this fake.")
	}
	return nil
}

// responsesModels: what reasoning models take, and others do not.
func responsesModels(body map[string]any) *apiError {
	if !reasons(str(body["model"])) {
		if effort := obj(body["reasoning"])["effort"]; effort != nil {
			return invalid("reasoning.effort", "unsupported_parameter", "Unsupported parameter: 'reasoning.effort' is not supported with this model.")
		}
		if slices.Contains(list(body["include"]), any("reasoning.encrypted_content")) {
			return invalid("include", "", "Encrypted content is not supported with this model.")
		}
		return nil
	}
	for _, name := range []string{"temperature", "top_p"} {
		if f, ok := number(body[name]); ok && f != 1 {
			return invalid(name, "unsupported_parameter", "Unsupported parameter: '%s' is not supported with this model.", name)
		}
	}
	return nil
}

func responsesTools(body map[string]any) *apiError {
	tools := list(body["tools"])
	if len(tools) > 128 {
		return invalid("tools", "array_above_max_length",
			"Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length %d instead.", len(tools))
	}
	names := map[string]bool{}
	for i, t := range tools {
		tool := obj(t)
		at := fmt.Sprintf("tools[%d]", i)
		if e := openaiName(at+".name", str(tool["name"])); e != nil {
			return e
		}
		names[str(tool["name"])] = true
		if schema, ok := tool["parameters"].(map[string]any); ok {
			where := fmt.Sprintf("function '%s'", tool["name"])
			if e := openaiSchema(where, at+".parameters", "invalid_function_parameters", schema, boolean(tool["strict"])); e != nil {
				return e
			}
		}
	}
	choice := obj(body["tool_choice"])
	if name := str(choice["name"]); name != "" && !names[name] {
		return invalid("tool_choice", "", "Tool choice '%s' not found in 'tools' parameter.", name)
	}
	if len(tools) == 0 && str(body["tool_choice"]) == "required" {
		return invalid("tool_choice", "", "Tool choice 'required' must be specified with 'tools' parameter.")
	}
	return nil
}

func responsesFormat(body map[string]any) *apiError {
	format := obj(obj(body["text"])["format"])
	switch str(format["type"]) {
	case "json_object":
		if !mentionsJSON(body["input"]) {
			return invalid("input", "", "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.")
		}
	case "json_schema":
		if e := openaiName("text.format.name", str(format["name"])); e != nil {
			return e
		}
		where := fmt.Sprintf("response_format '%s'", format["name"])
		return openaiSchema(where, "text.format.schema", "invalid_json_schema", obj(format["schema"]), boolean(format["strict"]))
	}
	return nil
}

// responsesPairs: every output belongs to a call before it, and every call has its output by the end; contents fit who says
// them.
func responsesPairs(items []any) *apiError {
	open := map[string]bool{}
	var order []string
	for i, entry := range items {
		item := obj(entry)
		id := str(item["call_id"])
		switch str(item["type"]) {
		case "function_call", "custom_tool_call":
			if e := responsesCall(i, item); e != nil {
				return e
			}
			open[id], order = true, append(order, id)
		case "function_call_output", "custom_tool_call_output":
			if waiting, known := open[id]; !known || !waiting {
				return invalid("input", "", "No tool call found for function call output with call_id %s.", id)
			}
			open[id] = false
		case "", "message":
			if e := responsesContent(i, item); e != nil {
				return e
			}
		}
	}
	for _, id := range order {
		if open[id] {
			return invalid("input", "", "No tool output found for function call %s.", id)
		}
	}
	return nil
}

func responsesCall(i int, item map[string]any) *apiError {
	at := fmt.Sprintf("input[%d]", i)
	if id := str(item["call_id"]); len(id) > 64 {
		return invalid(at+".call_id", "string_above_max_length",
			"Invalid '%s.call_id': string too long. Expected a string with maximum length 64, but got a string with length %d instead.", at, len(id))
	} else if id == "" {
		return invalid(at+".call_id", "empty_string", "Invalid '%s.call_id': empty string. Expected a string with minimum length 1, but got an empty string instead.", at)
	}
	if id, ok := item["id"].(string); ok && !strings.HasPrefix(id, "fc_") && !strings.HasPrefix(id, "ctc_") {
		return invalid(at+".id", "invalid_value", "Invalid '%s.id': '%s'. Expected an ID that begins with 'fc'.", at, id)
	}
	return openaiName(at+".name", str(item["name"]))
}

func responsesContent(i int, item map[string]any) *apiError {
	at := fmt.Sprintf("input[%d]", i)
	if id, ok := item["id"].(string); ok && !strings.HasPrefix(id, "msg") {
		return invalid(at+".id", "invalid_value", "Invalid '%s.id': '%s'. Expected an ID that begins with 'msg'.", at, id)
	}
	for j, entry := range list(item["content"]) {
		part := obj(entry)
		kind := str(part["type"])
		where := fmt.Sprintf("%s.content[%d]", at, j)
		said := kind == "output_text" || kind == "refusal"
		if assistant := str(item["role"]) == "assistant"; assistant != said {
			want := "'input_text', 'input_image', and 'input_file'"
			if assistant {
				want = "'output_text' and 'refusal'"
			}
			return invalid(where, "invalid_value", "Invalid value: '%s'. Supported values are: %s.", kind, want)
		}
		if raw, ok := part["image_url"].(string); ok {
			if e := openaiImage(where+".image_url", raw); e != nil {
				return e
			}
		}
	}
	return nil
}
