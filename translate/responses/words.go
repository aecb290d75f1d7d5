package responses

// The schema's own words: roles, types of items, of their contents, of tools and formats, and states.
const (
	roleUser      = "user"
	roleAssistant = "assistant"
	roleSystem    = "system"
	roleDeveloper = "developer"

	messageItem    = "message"
	callItem       = "function_call"
	outputItem     = "function_call_output"
	customItem     = "custom_tool_call"
	customOutItem  = "custom_tool_call_output"
	reasoningItem  = "reasoning"
	imageItem      = "image_generation_call"
	referenceItem  = "item_reference"
	inputText      = "input_text"
	inputImage     = "input_image"
	inputFile      = "input_file"
	inputAudio     = "input_audio"
	outputText     = "output_text"
	refusalPart    = "refusal"
	summaryText    = "summary_text"
	reasoningText  = "reasoning_text"
	urlCitation    = "url_citation"
	functionType   = "function"
	customType     = "custom"
	allowedType    = "allowed_tools"
	jsonSchemaType = "json_schema"
	jsonObjectType = "json_object"
	textType       = "text"

	statusCompleted  = "completed"
	statusIncomplete = "incomplete"
	statusFailed     = "failed"
	statusInProgress = "in_progress"

	maxOutputTokens = "max_output_tokens" // a member, and the reason of an incomplete answer
	contentFilter   = "content_filter"

	includeEncrypted = "reasoning.encrypted_content"
	includeLogProbs  = "message.output_text.logprobs"
)

// Members of a request that other files name.
const (
	previousMember     = "previous_response_id"
	instructionsMember = "instructions"
	inputMember        = "input"
)
