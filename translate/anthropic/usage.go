package anthropic

import (
	"strconv"

	"github.com/tidwall/gjson"

	"dragoman/translate/chat"
)

// readUsage overwrites u with the counts that v has: those of a stream are cumulative, and message_start's output is a
// placeholder (D93). input_tokens leaves out what was read from or written to the cache, as chat.Usage does (D84).
func readUsage(u *chat.Usage, v gjson.Result) {
	if !v.IsObject() {
		return
	}
	written, split, short, long := int64(0), false, int64(0), int64(0)
	seen := false
	v.ForEach(func(key, m gjson.Result) bool {
		if m.Type == gjson.Null {
			return true
		}
		switch key.Str {
		case "input_tokens":
			u.Input = count(m)
		case "output_tokens":
			u.Output = count(m)
			u.Known = true
		case "cache_read_input_tokens":
			u.CacheRead = count(m)
		case "cache_creation_input_tokens":
			written, seen = count(m), true
		case "cache_creation":
			short, long, split = count(m.Get("ephemeral_5m_input_tokens")), count(m.Get("ephemeral_1h_input_tokens")), true
		case "output_tokens_details":
			u.Reasoning = count(m.Get("thinking_tokens"))
		}
		return true
	})
	switch {
	case split: // the sum and its parts; what a part does not explain was written for the default time (D89)
		u.CacheWrite, u.CacheWrite1h = max(short, written-long), long
	case seen: // message_delta has the sum only: message_start said how it is split
		u.CacheWrite1h = min(u.CacheWrite1h, written)
		u.CacheWrite = written - u.CacheWrite1h
	}
}

// maxCount is more than any answer can use; a provider that reports more must not overflow a budget.
const maxCount = 1 << 40

func count(v gjson.Result) int64 { return min(max(v.Int(), 0), maxCount) }

// appendUsage writes the usage object. The schema requires the counts, so that an unknown one is shown as 0.
func appendUsage(b []byte, u *chat.Usage) []byte {
	b = strconv.AppendInt(append(b, `{"input_tokens":`...), u.Input, 10)
	b = strconv.AppendInt(append(b, `,"cache_creation_input_tokens":`...), u.CacheWrite+u.CacheWrite1h, 10)
	b = strconv.AppendInt(append(b, `,"cache_read_input_tokens":`...), u.CacheRead, 10)
	if u.CacheWrite+u.CacheWrite1h > 0 {
		b = strconv.AppendInt(append(b, `,"cache_creation":{"ephemeral_5m_input_tokens":`...), u.CacheWrite, 10)
		b = append(strconv.AppendInt(append(b, `,"ephemeral_1h_input_tokens":`...), u.CacheWrite1h, 10), '}')
	}
	b = strconv.AppendInt(append(b, `,"output_tokens":`...), u.Output, 10)
	if u.Reasoning > 0 {
		b = append(strconv.AppendInt(append(b, `,"output_tokens_details":{"thinking_tokens":`...), u.Reasoning, 10), '}')
	}
	return append(b, '}')
}
