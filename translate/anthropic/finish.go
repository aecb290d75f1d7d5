package anthropic

import "dragoman/translate/chat"

// finishes are the schema's reasons to stop: those of the SDK's StopReason, and the beta's compaction (D96, D97).
var finishes = map[string]chat.Finish{
	"end_turn":                      chat.FinishStop,
	"stop_sequence":                 chat.FinishStopSequence,
	"max_tokens":                    chat.FinishLength,
	"tool_use":                      chat.FinishToolCalls,
	"refusal":                       chat.FinishRefusal,
	"pause_turn":                    chat.FinishPause,
	"compaction":                    chat.FinishPause, // the client resends to go on, as after pause_turn
	"model_context_window_exceeded": chat.FinishContext,
}

// finishOf reads a stop_reason. An unknown one never costs the answer (D105).
func finishOf(reason string) chat.Finish {
	if f, ok := finishes[reason]; ok {
		return f
	}
	return chat.FinishOther
}

// stopReason tells why another provider's model stopped (D104). A reason that nobody here knows goes on as it came: to
// call it end_turn would be a guess.
func stopReason(f chat.Finish, raw string) string {
	switch f {
	case chat.FinishStop:
		return "end_turn"
	case chat.FinishStopSequence:
		return "stop_sequence"
	case chat.FinishLength:
		return "max_tokens"
	case chat.FinishToolCalls:
		return "tool_use"
	case chat.FinishContentFilter, chat.FinishRefusal:
		return "refusal"
	case chat.FinishPause:
		return "pause_turn"
	case chat.FinishContext:
		return "model_context_window_exceeded"
	}
	if raw == "" {
		return "end_turn"
	}
	return raw
}
