package openai

// The schema's own words.
const (
	roleSystem    = "system"
	roleDeveloper = "developer"
	roleUser      = "user"
	roleAssistant = "assistant"
	roleTool      = "tool"
	roleFunction  = "function" // legacy: the result of a function_call

	functionType   = "function"
	customType     = "custom"
	allowedType    = "allowed_tools"
	jsonSchemaType = "json_schema"
	jsonObjectType = "json_object"

	// An extension of Google's endpoint for OpenAI clients: what belongs to a tool call and its provider wants back.
	extraContent     = "extra_content"
	googleExtra      = "google"
	thoughtSignature = "thought_signature"

	thinkingType = "thinking" // of thinking_blocks
	redactedType = "redacted_thinking"
)
