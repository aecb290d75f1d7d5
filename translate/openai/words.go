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

	thinkingType = "thinking" // of thinking_blocks
	redactedType = "redacted_thinking"
)
