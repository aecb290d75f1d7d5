package bedrock

import (
	"github.com/tidwall/gjson"

	"dragoman/translate/chat"
)

// readUsage reads TokenUsage. inputTokens leaves out what was read from or written to the cache, as chat.Usage does (D84);
// outputTokens includes thinking, whose part is not told (D88).
func readUsage(v gjson.Result) (u chat.Usage) {
	if !v.IsObject() {
		return u
	}
	written, long := int64(0), int64(0)
	v.ForEach(func(key, m gjson.Result) bool {
		switch key.Str {
		case "inputTokens":
			u.Input = count(m)
		case "outputTokens":
			u.Output = count(m)
			u.Known = m.Type == gjson.Number
		case "cacheReadInputTokens":
			u.CacheRead = count(m)
		case "cacheWriteInputTokens":
			written = count(m)
		case "cacheDetails":
			m.ForEach(func(_, d gjson.Result) bool {
				if d.Get("ttl").Str == "1h" {
					long = min(long+count(d.Get("inputTokens")), maxCount)
				}
				return true
			})
		}
		return true
	})
	u.CacheWrite, u.CacheWrite1h = max(written-long, 0), long // D89
	return u
}

// maxCount is more than any answer can use; a provider that reports more must not overflow a budget.
const maxCount = 1 << 40

func count(v gjson.Result) int64 { return min(max(v.Int(), 0), maxCount) }
