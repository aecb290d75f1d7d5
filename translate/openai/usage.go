package openai

import (
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

// readUsage makes disjoint classes of a usage object, whose prompt_tokens include what was read from and written to the
// prompt cache, and whose completion_tokens include reasoning (D84, D88). A usage without either count says nothing (D91).
func readUsage(raw []byte) (u chat.Usage) {
	if raw == nil {
		return u
	}
	s := strictjson.NewLenient(raw)
	defer s.Release()
	var prompt, hit int64
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "prompt_tokens":
			u.Known = u.Known || s.Kind() == strictjson.Number
			prompt = countOf(s)
		case "completion_tokens":
			u.Known = u.Known || s.Kind() == strictjson.Number
			u.Output = countOf(s)
		case "prompt_cache_hit_tokens": // DeepSeek
			hit = countOf(s)
		case "prompt_tokens_details":
			readPromptDetails(s, &u)
		case "completion_tokens_details":
			readCompletionDetails(s, &u)
		}
	}
	if !u.Known {
		return chat.Usage{}
	}
	if u.CacheRead == 0 {
		u.CacheRead = hit
	}
	u.CacheRead = min(u.CacheRead, prompt)
	u.CacheWrite = min(u.CacheWrite, prompt-u.CacheRead)
	u.Input = prompt - u.CacheRead - u.CacheWrite
	u.Reasoning = min(u.Reasoning, u.Output)
	u.AudioInput, u.AudioOutput = min(u.AudioInput, u.Input), min(u.AudioOutput, u.Output)
	return u
}

func readPromptDetails(s *strictjson.Scanner, u *chat.Usage) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "cached_tokens":
			u.CacheRead = countOf(s)
		case "cache_write_tokens":
			u.CacheWrite = countOf(s)
		case "audio_tokens":
			u.AudioInput = countOf(s)
		}
	}
}

func readCompletionDetails(s *strictjson.Scanner, u *chat.Usage) {
	if s.Kind() != strictjson.Object {
		return
	}
	for s.Enter(strictjson.Object); s.Next(); {
		switch string(s.Key()) {
		case "reasoning_tokens":
			u.Reasoning = countOf(s)
		case "audio_tokens":
			u.AudioOutput = countOf(s)
		}
	}
}

// appendUsage writes a usage object (D85).
func appendUsage(dst []byte, u chat.Usage) []byte {
	dst = strconv.AppendInt(append(dst, `{"prompt_tokens":`...), u.Prompt(), 10)
	dst = strconv.AppendInt(append(dst, `,"completion_tokens":`...), u.Output, 10)
	dst = strconv.AppendInt(append(dst, `,"total_tokens":`...), u.Total(), 10)
	dst = strconv.AppendInt(append(dst, `,"prompt_tokens_details":{"cached_tokens":`...), u.CacheRead, 10)
	dst = strconv.AppendInt(append(dst, `,"audio_tokens":`...), u.AudioInput, 10)
	if w := u.CacheWrite + u.CacheWrite1h; w > 0 {
		dst = strconv.AppendInt(append(dst, `,"cache_write_tokens":`...), w, 10) // D89
	}
	dst = strconv.AppendInt(append(dst, `},"completion_tokens_details":{"reasoning_tokens":`...), u.Reasoning, 10)
	dst = strconv.AppendInt(append(dst, `,"audio_tokens":`...), u.AudioOutput, 10)
	return append(dst, '}', '}')
}
