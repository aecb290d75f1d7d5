package fakeprovider

import "strings"

// The shapes of a Messages request, from the parameter types of the official SDK (anthropic-sdk-go v1.84.0, message.go;
// optional members that the Python SDK types as Optional also take null). Server-side tools and the blocks of their
// results are known by their type alone.

var cacheControl = null(object(need("type", literal("ephemeral")), may("ttl", literal("5m", "1h"))))

var citations = null(object(may("enabled", flag)))

func block(kind string, members ...member) shape {
	return object(append([]member{need("type", literal(kind)), may("cache_control", cacheControl)}, members...)...)
}

var textBlock = block("text", need("text", anyText), may("citations", null(array(dictionary))))

var imageBlock = block("image",
	need("source", tagged(map[string]shape{
		"base64": object(need("type", anyText), need("data", base64Data), need("media_type", literal("image/jpeg", "image/png", "image/gif", "image/webp"))),
		"url":    object(need("type", anyText), need("url", httpsURL)),
		"file":   object(need("type", anyText), need("file_id", someText)),
	})),
	may("transformations", null(object(may("oversized_image", literal("downsize", "error"))))))

var documentBlock = block("document",
	need("source", tagged(map[string]shape{
		"base64":  object(need("type", anyText), need("data", base64Data), need("media_type", literal("application/pdf"))),
		"text":    object(need("type", anyText), need("data", someText), need("media_type", literal("text/plain"))),
		"content": object(need("type", anyText), need("content", textOr(array(tagged(map[string]shape{"text": textBlock, "image": imageBlock}))))),
		"url":     object(need("type", anyText), need("url", httpsURL)),
		"file":    object(need("type", anyText), need("file_id", someText)),
	})),
	may("title", null(textUpTo(500))), may("context", null(someText)), may("citations", citations))

var searchResultBlock = block("search_result",
	need("content", array(textBlock)), need("source", anyText), need("title", anyText), may("citations", citations))

var toolReferenceBlock = block("tool_reference", need("tool_name", named(256, "^[a-zA-Z0-9_-]{1,256}$")))

var toolResultBlock = block("tool_result",
	need("tool_use_id", named(0, "^[a-zA-Z0-9_-]+$")), may("is_error", flag), may("toolset_name", null(someText)),
	may("content", textOr(array(tagged(map[string]shape{
		"text": textBlock, "image": imageBlock, "document": documentBlock,
		"search_result": searchResultBlock, "tool_reference": toolReferenceBlock,
	})))))

var toolUseBlock = block("tool_use",
	need("id", named(0, "^[a-zA-Z0-9_-]+$")), need("name", named(200, "^[a-zA-Z0-9_-]{1,200}$")), need("input", dictionary),
	may("caller", tagged(map[string]shape{"direct": dictionary, "code_execution_20250825": dictionary, "code_execution_20260120": dictionary})),
	may("toolset_name", null(someText)))

// Thinking blocks cannot be marked for the cache.
var (
	thinkingBlock = object(need("type", anyText), need("thinking", anyText), need("signature", anyText))
	redactedBlock = object(need("type", anyText), need("data", anyText))
)

var contentBlock = tagged(map[string]shape{
	"text": textBlock, "image": imageBlock, "document": documentBlock, "search_result": searchResultBlock,
	"thinking": thinkingBlock, "redacted_thinking": redactedBlock, "tool_use": toolUseBlock, "tool_result": toolResultBlock,
	"server_tool_use": dictionary, "web_search_tool_result": dictionary, "web_fetch_tool_result": dictionary,
	"code_execution_tool_result": dictionary, "bash_code_execution_tool_result": dictionary,
	"text_editor_code_execution_tool_result": dictionary, "tool_search_tool_result": dictionary, "container_upload": dictionary,
})

var customTool = object(
	need("name", named(128, "^[a-zA-Z0-9_-]{1,128}$")), need("input_schema", inputSchema), may("type", null(literal("custom"))),
	may("description", anyText), may("strict", flag), may("cache_control", cacheControl), may("eager_input_streaming", null(flag)),
	may("defer_loading", flag), may("allowed_callers", array(anyText)), may("input_examples", array(dictionary)))

// serverTools are the types of tools that the vendor runs or defines.
var serverTools = []string{
	"bash_", "browser_toolset_", "code_execution_", "computer_toolset_", "memory_", "text_editor_", "web_fetch_", "web_search_", "tool_search_tool_",
}

// toolShape: a tool without a type is a custom one.
func toolShape(path string, v any) *apiError {
	kind := str(obj(v)["type"])
	for _, prefix := range serverTools {
		if strings.HasPrefix(kind, prefix) {
			return need("name", someText).shape(path+"."+kind+".name", obj(v)["name"])
		}
	}
	return customTool(path+".custom", v)
}

// inputSchema: a JSON Schema of type object; `properties` may not be null (D16).
func inputSchema(path string, v any) *apiError {
	s, ok := v.(map[string]any)
	if !ok {
		return refuseAt(path, "Input should be a valid dictionary")
	}
	kind, given := s["type"]
	if !given {
		return refuseAt(path+".type", "Field required")
	}
	if kind != "object" {
		return refuseAt(path+".type", "Input should be 'object'")
	}
	if p, ok := s["properties"]; ok && obj(p) == nil {
		return refuseAt(path, "JSON schema is invalid. It must match JSON Schema draft 2020-12 (https://json-schema.org/draft/2020-12).")
	}
	for _, k := range []string{"oneOf", "allOf", "anyOf"} {
		if s[k] != nil {
			return refuseAt(path, "input_schema does not support oneOf, allOf, or anyOf at the top level")
		}
	}
	return nil
}

var display = null(literal("summarized", "omitted"))

var thinkingConfig = tagged(map[string]shape{
	"enabled":       object(need("type", anyText), need("budget_tokens", whole(1024)), may("display", display)),
	"adaptive":      object(need("type", anyText), may("display", display)),
	"disabled":      object(need("type", anyText)),
	"between_tools": object(need("type", anyText)),
})

var toolChoice = tagged(map[string]shape{
	"auto": object(need("type", anyText), may("disable_parallel_tool_use", flag)),
	"any":  object(need("type", anyText), may("disable_parallel_tool_use", flag)),
	"tool": object(need("type", anyText), need("name", someText), may("disable_parallel_tool_use", flag)),
	"none": object(need("type", anyText)),
})

var messagesRequest = object(
	need("model", someText),
	need("messages", array(object(need("role", messageRole), need("content", textOr(array(contentBlock)))))),
	need("max_tokens", whole(1)),
	may("system", textOr(array(tagged(map[string]shape{"text": textBlock})))),
	may("temperature", between(0, 1)), may("top_p", between(0, 1)), may("top_k", whole(0)),
	may("stop_sequences", array(anyText)), may("stream", flag),
	may("tools", array(toolShape)), may("tool_choice", toolChoice), may("thinking", thinkingConfig),
	may("metadata", object(may("user_id", null(textUpTo(256))))),
	may("service_tier", literal("auto", "standard_only")), may("speed", null(literal("standard", "fast"))),
	may("cache_control", cacheControl), may("container", null(anything)), may("inference_geo", null(someText)),
	may("diagnostics", null(object(may("previous_message_id", null(someText))))),
	may("output_config", object(
		may("effort", null(literal("low", "medium", "high", "xhigh", "max"))),
		may("format", null(object(need("type", literal("json_schema")), need("schema", dictionary)))))),
)

// messageRole: the models that take "system" inside messages are an exception (D2) that the fake's models do not make.
func messageRole(path string, v any) *apiError {
	if v == "system" {
		return refuseAt("messages", `Unexpected role "system". The Messages API accepts a top-level `+"`system`"+` parameter, not "system" as an input message role.`)
	}
	return literal("user", "assistant")(path, v)
}
