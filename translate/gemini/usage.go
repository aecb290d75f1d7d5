package gemini

import (
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// maxCount is more than any answer can use; a provider that reports more must not overflow a budget.
const maxCount = 1 << 40

// readUsage makes disjoint classes of usageMetadata: the prompt's count has what was read from a cache in it (D84), while
// thoughts and the results of server-side tools are counted apart from everything (D87). It is cumulative (D94).
func readUsage(s *strictjson.Scanner) (u chat.Usage) {
	if s.Kind() != strictjson.Object {
		return u
	}
	var prompt, candidates, tools int64
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "promptTokenCount":
			u.Known = u.Known || s.Kind() == strictjson.Number
			prompt = count(s)
		case "candidatesTokenCount":
			u.Known = u.Known || s.Kind() == strictjson.Number
			candidates = count(s)
		case "thoughtsTokenCount":
			u.Reasoning = count(s)
		case "toolUsePromptTokenCount":
			tools = count(s)
		case "cachedContentTokenCount":
			u.CacheRead = count(s)
		case "promptTokensDetails":
			u.AudioInput = audioTokens(s)
		case "candidatesTokensDetails":
			u.AudioOutput = audioTokens(s)
		}
	}
	if !u.Known {
		return chat.Usage{}
	}
	u.CacheRead = min(u.CacheRead, prompt)
	u.Input = prompt - u.CacheRead + tools
	u.Output = candidates + u.Reasoning
	u.AudioInput, u.AudioOutput = min(u.AudioInput, u.Input), min(u.AudioOutput, u.Output)
	return u
}

// count reads a number of tokens, 0 for what is none.
func count(s *strictjson.Scanner) int64 {
	if s.Kind() != strictjson.Number {
		return 0
	}
	n, err := strconv.ParseInt(view(s.Skip()), 10, 64)
	if err != nil {
		return 0
	}
	return min(max(n, 0), maxCount)
}

// audioTokens reads the entry of a list of counts by modality that is about sound.
func audioTokens(s *strictjson.Scanner) (n int64) {
	if s.Kind() != strictjson.Array {
		return 0
	}
	for s.Enter(strictjson.Array); s.Next(); {
		if s.Kind() != strictjson.Object {
			continue
		}
		audio, tokens := false, int64(0)
		for s.Enter(strictjson.Object); s.Next(); {
			switch string(s.Key()) {
			case "modality":
				audio = string(text(s)) == `"AUDIO"`
			case "tokenCount":
				tokens = count(s)
			}
		}
		if audio {
			n = tokens
		}
	}
	return n
}

// appendUsage writes usageMetadata.
func appendUsage(b []byte, u *chat.Usage) []byte {
	b = strconv.AppendInt(append(b, `{"promptTokenCount":`...), u.Prompt(), 10)
	b = strconv.AppendInt(append(b, `,"candidatesTokenCount":`...), max(u.Output-u.Reasoning, 0), 10)
	b = strconv.AppendInt(append(b, `,"totalTokenCount":`...), u.Total(), 10)
	if u.CacheRead > 0 {
		b = strconv.AppendInt(append(b, `,"cachedContentTokenCount":`...), u.CacheRead, 10)
	}
	if u.Reasoning > 0 {
		b = strconv.AppendInt(append(b, `,"thoughtsTokenCount":`...), u.Reasoning, 10)
	}
	if u.AudioInput > 0 {
		b = append(strconv.AppendInt(append(b, `,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":`...), u.AudioInput, 10), `}]`...)
	}
	if u.AudioOutput > 0 {
		b = append(strconv.AppendInt(append(b, `,"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":`...), u.AudioOutput, 10), `}]`...)
	}
	return append(b, '}')
}

// text is a string's JSON text, nil for another kind.
func text(s *strictjson.Scanner) []byte {
	if s.Kind() != strictjson.String {
		return nil
	}
	return s.RawString()
}
