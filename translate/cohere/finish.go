package cohere

import "dragoman/translate/chat"

// finishes are the schema's reasons (D103). ERROR_TOXIC and ERROR_LIMIT are those of API v1, which some hosts still send.
var finishes = map[string]chat.Finish{
	"COMPLETE":      chat.FinishStop,
	"STOP_SEQUENCE": chat.FinishStopSequence,
	"MAX_TOKENS":    chat.FinishLength,
	"TOOL_CALL":     chat.FinishToolCalls,
	"ERROR_TOXIC":   chat.FinishContentFilter,
	"ERROR_LIMIT":   chat.FinishContext,
}

// The reasons that are no answer.
const (
	finishError   = "ERROR"
	finishTimeout = "TIMEOUT"
)

// finishOf reads a finish_reason. An unknown one never costs the answer (D105).
func finishOf(word string, calls bool) chat.Finish {
	f, ok := finishes[word]
	switch {
	case !ok:
		return chat.FinishOther
	case f == chat.FinishStop && calls:
		return chat.FinishToolCalls
	default:
		return f
	}
}

// finishWord tells why another provider's model stopped. The schema has no word for a filter or a refusal: what was said
// stands, and it is complete.
func finishWord(f chat.Finish, raw string) string {
	if known, ok := finishes[raw]; ok && known == f {
		return raw
	}
	switch f {
	case chat.FinishStopSequence:
		return "STOP_SEQUENCE"
	case chat.FinishLength, chat.FinishContext:
		return "MAX_TOKENS"
	case chat.FinishToolCalls:
		return "TOOL_CALL"
	default:
		return "COMPLETE"
	}
}
