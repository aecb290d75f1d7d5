package bedrock

import "dragoman/translate/chat"

// finishes are the words of StopReason, and those that Claude's own API has besides (D98). A guardrail's answer must not look
// like a usual one.
var finishes = map[string]chat.Finish{
	"end_turn":                      chat.FinishStop,
	"stop_sequence":                 chat.FinishStopSequence,
	"max_tokens":                    chat.FinishLength,
	"tool_use":                      chat.FinishToolCalls,
	"guardrail_intervened":          chat.FinishContentFilter,
	"content_filtered":              chat.FinishContentFilter,
	"model_context_window_exceeded": chat.FinishContext,
	"refusal":                       chat.FinishRefusal,
	"pause_turn":                    chat.FinishPause,
}

// finishOf reads a stopReason. An unknown one, and a malformed_model_output, never costs the answer (D105).
func finishOf(reason string) chat.Finish {
	if f, ok := finishes[reason]; ok {
		return f
	}
	return chat.FinishOther
}
