package responses

import "dragoman/translate/chat"

// finishOf reads how an answer ended: its status, the reason of an incomplete one, and whether it calls tools.
func finishOf(status, reason string, calls bool) (f chat.Finish, raw string) {
	switch {
	case status == statusCompleted && calls:
		return chat.FinishToolCalls, status
	case status == statusCompleted:
		return chat.FinishStop, status
	case status == statusIncomplete && reason == maxOutputTokens:
		return chat.FinishLength, reason
	case status == statusIncomplete && reason == contentFilter:
		return chat.FinishContentFilter, reason
	case reason != "":
		return chat.FinishOther, reason
	default:
		return chat.FinishOther, status
	}
}

// ending is how the schema says a finish.
type ending struct {
	status, reason string
	native         bool // the provider's own word is shown beside it
}

// endings are the schema's words. A finish without a word of its own becomes the nearest, and native_finish_reason beside it
// holds what the provider said (D97, D105; the name is OpenRouter's).
var endings = map[chat.Finish]ending{
	chat.FinishStop:          {statusCompleted, "", false},
	chat.FinishStopSequence:  {statusCompleted, "", true},
	chat.FinishToolCalls:     {statusCompleted, "", false},
	chat.FinishLength:        {statusIncomplete, maxOutputTokens, false},
	chat.FinishContext:       {statusIncomplete, maxOutputTokens, true},
	chat.FinishContentFilter: {statusIncomplete, contentFilter, false},
	chat.FinishRefusal:       {statusIncomplete, contentFilter, true},
	chat.FinishPause:         {statusCompleted, "", true},
	chat.FinishOther:         {statusCompleted, "", true},
}

func endingOf(f chat.Finish) ending {
	if e, ok := endings[f]; ok {
		return e
	}
	return ending{statusCompleted, "", true}
}
