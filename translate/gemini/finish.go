package gemini

import "dragoman/translate/chat"

// finishes are the schema's reasons to stop (D99): FinishReason of the SDK and of the discovery document.
var finishes = map[string]chat.Finish{
	"STOP":                     chat.FinishStop,
	"MAX_TOKENS":               chat.FinishLength,
	"SAFETY":                   chat.FinishContentFilter,
	"RECITATION":               chat.FinishContentFilter,
	"LANGUAGE":                 chat.FinishContentFilter,
	"BLOCKLIST":                chat.FinishContentFilter,
	"PROHIBITED_CONTENT":       chat.FinishContentFilter,
	"SPII":                     chat.FinishContentFilter,
	"MODEL_ARMOR":              chat.FinishContentFilter,
	"IMAGE_SAFETY":             chat.FinishContentFilter,
	"IMAGE_PROHIBITED_CONTENT": chat.FinishContentFilter,
	"IMAGE_RECITATION":         chat.FinishContentFilter,
	"IMAGE_OTHER":              chat.FinishContentFilter,
	"CONTINUATION":             chat.FinishPause,
}

// unspecified is the enum's zero value: the answer goes on.
const unspecified = "FINISH_REASON_UNSPECIFIED"

// failures are reasons that say that the model failed at a tool call (D101): before any content a fault that a retry
// mends, after it an unknown end.
var failures = map[string]bool{
	"MALFORMED_FUNCTION_CALL": true, "UNEXPECTED_TOOL_CALL": true, "TOO_MANY_TOOL_CALLS": true, "MISSING_THOUGHT_SIGNATURE": true,
	"MALFORMED_RESPONSE": true,
}

// finishOf reads a reason. The service says STOP for an answer that ends in tool calls (D100). An unknown reason never
// costs the answer (D105).
func finishOf(reason string, calls bool) chat.Finish {
	f, ok := finishes[reason]
	switch {
	case !ok && (reason != "" || !calls):
		return chat.FinishOther
	case !ok || f == chat.FinishStop && calls:
		return chat.FinishToolCalls
	}
	return f
}

// finishWords are the reasons in the schema's words, for answers of other providers.
var finishWords = map[chat.Finish]string{
	chat.FinishStop: "STOP", chat.FinishStopSequence: "STOP", chat.FinishToolCalls: "STOP", chat.FinishLength: "MAX_TOKENS",
	chat.FinishContext: "MAX_TOKENS", chat.FinishContentFilter: "SAFETY", chat.FinishRefusal: "SAFETY",
	chat.FinishPause: "OTHER", chat.FinishOther: "OTHER",
}

// finishReason tells why a model stopped. The word of this schema's own provider goes on as it came; of another's,
// message is shown beside a reason that does not say all (finishMessage).
func finishReason(f chat.Finish, raw string) (reason, message string) {
	if known, ok := finishes[raw]; ok && (known == f || known == chat.FinishStop && f == chat.FinishToolCalls) || failures[raw] {
		return raw, ""
	}
	reason, ok := finishWords[f]
	if !ok {
		reason = "OTHER"
	}
	if reason == "OTHER" || f == chat.FinishContext || f == chat.FinishRefusal {
		message = raw
	}
	return reason, message
}
