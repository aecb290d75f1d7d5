package fakeprovider

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// openaiRules are what OpenAI demands beyond its description, each with the vendor's own message.
var openaiRules = []func(body map[string]any) *apiError{
	openaiCombinations, openaiReasoningModels, openaiTools, openaiToolChoice, openaiFormat, openaiMessages,
}

// openaiCombinations are members that need or exclude each other.
func openaiCombinations(body map[string]any) *apiError {
	switch {
	case body["max_tokens"] != nil && body["max_completion_tokens"] != nil:
		return invalid("max_tokens", "invalid_parameter_combination",
			"Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
	case body["stream_options"] != nil && !boolean(body["stream"]):
		return invalid("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	case body["top_logprobs"] != nil && !boolean(body["logprobs"]):
		return invalid("top_logprobs", "", "The 'top_logprobs' parameter is only allowed when 'logprobs' is enabled.")
	case body["metadata"] != nil && !boolean(body["store"]):
		return invalid("metadata", "", "The 'metadata' parameter is only allowed when 'store' is enabled.")
	case len(list(body["modalities"])) > 1 || body["audio"] != nil:
		return invalid("modalities", "", "This model does not support audio output.")
	}
	for _, name := range []string{"max_tokens", "max_completion_tokens"} {
		if body[name] != nil && integer(body[name]) < 1 {
			return invalid(name, "integer_below_min_value",
				"Invalid '%s': integer below minimum value. Expected a value >= 1, but got %d instead.", name, integer(body[name]))
		}
	}
	for token, bias := range obj(body["logit_bias"]) { // any of them: the message names none
		if f, _ := number(bias); f < -100 || f > 100 || strings.Trim(token, "0123456789") != "" {
			return invalid("logit_bias", "invalid_value", "Invalid 'logit_bias': token ids with a bias from -100 to 100 are expected.")
		}
	}
	return nil
}

// openaiReasoningModels: what the o series and gpt-5 do not take.
func openaiReasoningModels(body map[string]any) *apiError {
	model := str(body["model"])
	if !reasons(model) {
		if effort := body["reasoning_effort"]; effort != nil {
			return invalid("", "", "Unrecognized request argument supplied: reasoning_effort")
		}
		return nil
	}
	if body["max_tokens"] != nil {
		return invalid("max_tokens", "unsupported_parameter",
			"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
	}
	for _, name := range []string{"stop", "logprobs", "logit_bias", "presence_penalty", "frequency_penalty"} {
		if v := body[name]; v != nil && v != false {
			return invalid(name, "unsupported_parameter", "Unsupported parameter: '%s' is not supported with this model.", name)
		}
	}
	for _, name := range []string{"temperature", "top_p"} {
		if f, ok := number(body[name]); ok && f != 1 {
			return invalid(name, "unsupported_value",
				"Unsupported value: '%s' does not support %v with this model. Only the default (1) value is supported.", name, body[name])
		}
	}
	return nil
}

func reasons(model string) bool {
	for _, prefix := range []string{"o1", "o3", "o4", "gpt-5"} {
		if strings.HasPrefix(model, prefix) {
			return true
		}
	}
	return false
}

func openaiTools(body map[string]any) *apiError {
	tools, given := body["tools"].([]any)
	if given && len(tools) == 0 {
		return invalid("tools", "empty_array", "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	if len(tools) > 128 {
		return invalid("tools", "array_above_max_length",
			"Invalid 'tools': array too long. Expected an array with maximum length 128, but got an array with length %d instead.", len(tools))
	}
	if !given {
		for _, name := range []string{"tool_choice", "parallel_tool_calls"} {
			if body[name] != nil {
				return invalid(name, "", "Invalid value for '%s': '%s' is only allowed when 'tools' are specified.", name, name)
			}
		}
	}
	for i, t := range tools {
		f := obj(obj(t)["function"])
		if f == nil {
			continue
		}
		at := fmt.Sprintf("tools[%d].function", i)
		if e := openaiName(at+".name", str(f["name"])); e != nil {
			return e
		}
		schema, ok := f["parameters"].(map[string]any)
		if !ok {
			continue
		}
		where := fmt.Sprintf("function '%s'", f["name"])
		if e := openaiSchema(where, at+".parameters", "invalid_function_parameters", schema, boolean(f["strict"])); e != nil {
			return e
		}
	}
	return nil
}

func openaiName(path, name string) *apiError {
	if name == "" {
		return invalid(path, "empty_string", "Invalid '%s': empty string. Expected a string with minimum length 1, but got an empty string instead.", path)
	}
	if len(name) > 64 {
		return invalid(path, "string_above_max_length",
			"Invalid '%s': string too long. Expected a string with maximum length 64, but got a string with length %d instead.", path, len(name))
	}
	if !plainName(name) {
		return invalid(path, "invalid_value",
			"Invalid '%s': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'.", path)
	}
	return nil
}

func plainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return s != ""
}

// openaiSchema checks a schema that the model must follow. An empty one means no arguments.
func openaiSchema(where, path, code string, schema map[string]any, strict bool) *apiError {
	if len(schema) == 0 && !strict {
		return nil
	}
	if t := str(schema["type"]); t != "object" {
		got := t
		if got == "" {
			got = "None"
		}
		return invalid(path, code, "Invalid schema for %s: schema must be a JSON Schema of 'type: \"object\"', got 'type: \"%s\"'.", where, got)
	}
	if p, ok := schema["properties"]; ok && obj(p) == nil {
		return invalid(path, code, "Invalid schema for %s: %v is not of type 'object'.", where, p)
	}
	if strict {
		return openaiStrict(where, path, code, schema, nil)
	}
	return nil
}

// openaiStrict: every object closed, every property required.
func openaiStrict(where, path, code string, schema map[string]any, context []string) *apiError {
	in := "In context=(" + strings.Join(context, ", ") + ")"
	if typeOf(schema) == "object" {
		if closed, ok := schema["additionalProperties"].(bool); !ok || closed {
			return invalid(path, code, "Invalid schema for %s: %s, 'additionalProperties' is required to be supplied and to be false.", where, in)
		}
		required := map[string]bool{}
		for _, r := range list(schema["required"]) {
			required[str(r)] = true
		}
		properties := obj(schema["properties"])
		for _, name := range slices.Sorted(maps.Keys(properties)) {
			sub := properties[name]
			if !required[name] {
				return invalid(path, code,
					"Invalid schema for %s: %s, 'required' is required to be supplied and to be an array including every key in properties. Missing '%s'.", where, in, name)
			}
			if e := openaiStrict(where, path, code, obj(sub), append(context[:len(context):len(context)], "'properties'", "'"+name+"'")); e != nil {
				return e
			}
		}
	}
	if items := obj(schema["items"]); items != nil {
		return openaiStrict(where, path, code, items, append(context[:len(context):len(context)], "'items'"))
	}
	return nil
}

func openaiToolChoice(body map[string]any) *apiError {
	name := str(obj(obj(body["tool_choice"])["function"])["name"])
	if name == "" {
		return nil
	}
	for _, t := range list(body["tools"]) {
		if str(obj(obj(t)["function"])["name"]) == name {
			return nil
		}
	}
	return invalid("tool_choice", "", "Tool choice 'function' not found in 'tools' parameter: '%s'.", name)
}

func openaiFormat(body map[string]any) *apiError {
	format := obj(body["response_format"])
	switch str(format["type"]) {
	case "json_object":
		if !mentionsJSON(body["messages"]) {
			return invalid("messages", "", "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.")
		}
	case "json_schema":
		js := obj(format["json_schema"])
		if e := openaiName("response_format.json_schema.name", str(js["name"])); e != nil {
			return e
		}
		if schema, ok := js["schema"].(map[string]any); ok {
			where := fmt.Sprintf("response_format '%s'", js["name"])
			return openaiSchema(where, "response_format", "invalid_json_schema", schema, boolean(js["strict"]))
		}
		return invalid("response_format.json_schema.schema", "missing_required_parameter", "Missing required parameter: 'response_format.json_schema.schema'.")
	}
	return nil
}

func mentionsJSON(v any) bool {
	for _, m := range list(v) {
		if strings.Contains(strings.ToLower(textOf(obj(m)["content"])), "json") {
			return true
		}
	}
	return false
}

// openaiImage wants an https (or http) URL or a base64 data URL of an image.
func openaiImage(path, raw string) *apiError {
	if data, ok := strings.CutPrefix(raw, "data:"); ok {
		media, encoded, found := strings.Cut(data, ";base64,")
		_, err := base64.StdEncoding.DecodeString(encoded)
		if !found || !strings.HasPrefix(media, "image/") || err != nil || encoded == "" {
			return invalid(path, "invalid_value",
				"Invalid '%s'. Expected a base64-encoded data URL with an image MIME type (e.g. 'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), but got unsupported MIME type or data.", path)
		}
		switch media {
		case "image/png", "image/jpeg", "image/gif", "image/webp":
			return nil
		}
		return invalid("", "invalid_image_format", "You uploaded an unsupported image. Please make sure your image has of one the following formats: ['png', 'jpeg', 'gif', 'webp'].")
	}
	if u, err := url.Parse(raw); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return invalid(path, "invalid_value", "Invalid '%s'. Expected a valid URL, but got a value with an invalid format.", path)
	}
	return nil
}
