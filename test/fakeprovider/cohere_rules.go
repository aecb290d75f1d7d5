package fakeprovider

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"strings"
)

// The shapes of a chat request, from the types of the official SDKs (cohere-go v2.15.3 v_2.go, the Python SDK 7.3.1) and the
// ranges that their comments document.

var (
	cohereText     = object(need("type", literal("text")), need("text", anyText))
	cohereThinking = object(need("type", literal("thinking")), need("thinking", anyText))
	cohereImage    = object(need("type", literal("image_url")),
		need("image_url", object(need("url", cohereImageURL), may("detail", literal("auto", "low", "high")))))
	cohereDocument    = object(need("data", textOrObject), may("id", anyText))
	cohereToolContent = map[string]shape{
		"text": cohereText, "document": object(need("type", literal("document")), need("document", cohereDocument)),
	}
	cohereCall = object(need("id", someText), may("type", literal("function")),
		need("function", object(need("name", someText), need("arguments", anyText))))
	cohereTool = object(may("type", literal("function")), need("function", object(
		need("name", cohereName), may("description", anyText), need("parameters", dictionary))))
)

var cohereMessage = byRole(map[string]shape{
	"system": object(need("role", anyText), need("content", textOr(array(tagged(map[string]shape{"text": cohereText}))))),
	"user":   object(need("role", anyText), need("content", textOr(array(tagged(map[string]shape{"text": cohereText, "image_url": cohereImage}))))),
	"assistant": object(need("role", anyText), may("content", textOr(array(tagged(map[string]shape{"text": cohereText, "thinking": cohereThinking})))),
		may("tool_plan", anyText), may("tool_calls", array(cohereCall)), may("citations", array(dictionary))),
	"tool": object(need("role", anyText), need("tool_call_id", someText), need("content", textOr(array(tagged(cohereToolContent))))),
})

var cohereChat = object(
	need("model", someText), need("messages", array(cohereMessage)), may("stream", flag),
	may("tools", array(cohereTool)), may("strict_tools", flag), may("tool_choice", literal("REQUIRED", "NONE")),
	may("documents", array(textOrDocument)), may("citation_options", object(may("mode", literal("ENABLED", "DISABLED", "FAST", "ACCURATE", "OFF")))),
	may("response_format", tagged(map[string]shape{
		"text":        object(need("type", anyText)),
		"json_object": object(need("type", anyText), may("json_schema", dictionary)),
	})),
	may("safety_mode", literal("CONTEXTUAL", "STRICT", "OFF")), may("max_tokens", whole(1)), may("stop_sequences", upTo(5, array(anyText))),
	may("temperature", between(0, 1)), may("seed", whole(0)), may("frequency_penalty", between(0, 1)), may("presence_penalty", between(0, 1)),
	may("k", between(0, 500)), may("p", between(0.01, 0.99)), may("logprobs", flag), may("priority", whole(0)),
	may("thinking", object(need("type", literal("enabled", "disabled")), may("token_budget", whole(1)))),
)

// byRole is a union whose branch the member `role` names.
func byRole(branches map[string]shape) shape {
	return func(path string, v any) *apiError {
		o, ok := v.(map[string]any)
		if !ok {
			return refuseAt(path, "must be an object")
		}
		branch := branches[str(o["role"])]
		if branch == nil {
			return refuseAt(path+".role", "must be one of 'system', 'user', 'assistant', 'tool'")
		}
		return branch(path, v)
	}
}

// upTo wants a list of at most n.
func upTo(n int, s shape) shape {
	return func(path string, v any) *apiError {
		if len(list(v)) > n {
			return refuseAt(path, "must have at most %d elements, received %d", n, len(list(v)))
		}
		return s(path, v)
	}
}

func textOrObject(path string, v any) *apiError {
	if _, ok := v.(string); ok {
		return nil
	}
	return dictionary(path, v)
}

func textOrDocument(path string, v any) *apiError {
	if _, ok := v.(string); ok {
		return nil
	}
	return cohereDocument(path, v)
}

// cohereNamePattern is of the SDKs' comment on a tool's name.
var cohereNamePattern = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

func cohereName(path string, v any) *apiError {
	if s, ok := v.(string); !ok || !cohereNamePattern.MatchString(s) {
		return refuseAt(path, "tool names can only contain certain characters (A-Za-z0-9_) and can't begin with a digit")
	}
	return nil
}

// cohereImageURL wants a web URL or a base64 data URI of an image.
func cohereImageURL(path string, v any) *apiError {
	raw, _ := v.(string)
	if data, ok := strings.CutPrefix(raw, "data:"); ok {
		media, encoded, found := strings.Cut(data, ";base64,")
		_, err := base64.StdEncoding.DecodeString(encoded)
		if !found || err != nil || encoded == "" || !strings.HasPrefix(media, "image/") {
			return refuseAt(path, "invalid image format")
		}
		return nil
	}
	if u, err := url.Parse(raw); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return refuseAt(path, "image url must be a valid URL or data URI")
	}
	return nil
}

// cohereRules are what the types do not say, from the vendor's page on errors and the limitations in its reference.
var cohereRules = []func(map[string]any) *apiError{cohereTurnsInOrder, cohereToolRules, cohereFormatRules}

func cohereTurnsInOrder(body map[string]any) *apiError {
	messages := list(body["messages"])
	if len(messages) == 0 {
		return refuseCohere("invalid request: messages must not be empty.")
	}
	open := map[string]bool{} // calls without their result
	for i, m := range messages {
		msg := obj(m)
		role := str(msg["role"])
		if role != "tool" && len(open) > 0 {
			return refuseCohere("invalid request: all tool calls must be answered by tool results before the next turn.")
		}
		switch role {
		case "system":
			if i > 0 {
				return refuseCohere("system turn must be the first in the list")
			}
		case "user":
			if blank(textOf(msg["content"])) && !hasImage(msg["content"]) {
				return refuseCohere("invalid request: message must be at least 1 token long or tool results must be specified.")
			}
		case "assistant":
			if msg["content"] == nil && len(list(msg["tool_calls"])) == 0 {
				return refuseCohere("invalid request: all elements in history must have a message.")
			}
			for _, c := range list(msg["tool_calls"]) {
				open[str(obj(c)["id"])] = true
			}
		case "tool":
			id := str(msg["tool_call_id"])
			if !open[id] {
				return refuseCohere("invalid request: tool result with tool_call_id '%s' does not match any preceding tool call.", id)
			}
			delete(open, id)
		}
	}
	if last := str(obj(messages[len(messages)-1])["role"]); last != "user" && last != "tool" {
		return refuseCohere("invalid request: the last message must be from the user or a tool.")
	}
	return nil
}

func hasImage(content any) bool {
	for _, p := range list(content) {
		if str(obj(p)["type"]) == "image_url" {
			return true
		}
	}
	return false
}

func cohereToolRules(body map[string]any) *apiError {
	tools := list(body["tools"])
	if str(body["tool_choice"]) == "REQUIRED" && len(tools) == 0 {
		return refuseCohere("invalid request: tools must be specified when tool_choice is REQUIRED.")
	}
	names := map[string]bool{}
	for _, t := range tools {
		f := obj(obj(t)["function"])
		if name := str(f["name"]); names[name] {
			return refuseCohere("invalid request: duplicate tool name '%s'.", name)
		}
		names[str(f["name"])] = true
		parameters := obj(f["parameters"])
		if typeOf(parameters) != "object" && len(parameters) > 0 {
			return refuseCohere("invalid request: the parameters of a tool must be of type object.")
		}
		if boolean(body["strict_tools"]) && len(list(parameters["required"])) == 0 {
			return refuseCohere("invalid request: strict_tools requires every tool to have at least one required parameter.")
		}
	}
	return nil
}

func cohereFormatRules(body map[string]any) *apiError {
	format := obj(body["response_format"])
	if str(format["type"]) != "json_object" {
		return nil
	}
	switch schema := obj(format["json_schema"]); {
	case len(list(body["documents"])) > 0:
		return refuseCohere("invalid request: response_format is not supported with RAG.")
	case len(list(body["tools"])) > 0:
		return refuseCohere("invalid request: response_format is not supported with tools.")
	case schema != nil && typeOf(schema) != "object":
		return refuseCohere("invalid request: the top level of a json_schema must be of type object.")
	case schema != nil && len(list(schema["required"])) == 0:
		return refuseCohere("invalid request: every object of a json_schema must have at least one required field.")
	}
	return nil
}
