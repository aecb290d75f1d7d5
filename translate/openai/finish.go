package openai

import (
	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// finishOf reads a finish_reason. Some providers say stop for an answer that ends in tool calls; another schema's clients
// would not run them then.
func finishOf(word string, calls bool) chat.Finish {
	switch word {
	case "stop":
		if calls {
			return chat.FinishToolCalls
		}
		return chat.FinishStop
	case "length":
		return chat.FinishLength
	case "tool_calls", "function_call":
		return chat.FinishToolCalls
	case "content_filter":
		return chat.FinishContentFilter
	case "":
		if calls {
			return chat.FinishToolCalls
		}
	}
	return chat.FinishOther
}

// end reads how a choice ended, with its calls or without.
func (c *choice) end(calls bool) (f chat.Finish, raw, stop string) {
	raw = string(strictjson.AppendText(nil, c.finish))
	if f = finishOf(raw, calls); f == chat.FinishStop && c.stopReason != nil {
		return chat.FinishStopSequence, raw, string(strictjson.AppendText(nil, c.stopReason))
	}
	return f, raw, ""
}

// finishWords are the schema's words (D96). Its clients know no others, so a finish without a word of its own becomes the
// nearest, and native_finish_reason beside it holds what the provider said (D97, D105; the name is OpenRouter's).
var finishWords = map[chat.Finish]struct {
	word   string
	native bool
}{
	chat.FinishStop:          {"stop", false},
	chat.FinishStopSequence:  {"stop", false},
	chat.FinishLength:        {"length", false},
	chat.FinishToolCalls:     {"tool_calls", false},
	chat.FinishContentFilter: {"content_filter", false},
	chat.FinishRefusal:       {"content_filter", true},
	chat.FinishPause:         {"stop", true},
	chat.FinishContext:       {"length", true},
	chat.FinishOther:         {"stop", true},
}

// appendFinish appends the finish_reason member and its extensions: the provider's own word, and the stop sequence that
// matched (D54) under vLLM's name for it.
func appendFinish(dst []byte, f chat.Finish, raw, stop string) []byte {
	w, ok := finishWords[f]
	if !ok {
		w.word, w.native = "stop", true
	}
	dst = append(dst, `,"finish_reason":"`...)
	dst = append(dst, w.word...)
	dst = append(dst, '"')
	if w.native && raw != "" && raw != w.word {
		dst = strictjson.AppendString(append(dst, `,"native_finish_reason":`...), raw)
	}
	if f == chat.FinishStopSequence && stop != "" {
		dst = strictjson.AppendString(append(dst, `,"stop_reason":`...), stop)
	}
	return dst
}
