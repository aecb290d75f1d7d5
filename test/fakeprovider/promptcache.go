package fakeprovider

import (
	"crypto/sha256"
	"encoding/json"
	"sync"
)

// promptCache is a provider's prompt cache as vendors describe theirs: a prompt whose beginning, turn by turn, was seen before at this
// server is charged less for the tokens of that beginning. Each server has its own.
type promptCache struct {
	mu    sync.Mutex
	known map[[32]byte]bool
}

// maxPrefixes bounds what a fake remembers; a real one forgets after minutes.
const maxPrefixes = 100_000

// account splits the tokens of an answer's prompt into read from the cache and not.
func (c *promptCache) account(body []byte, u Usage) *Usage {
	var request struct {
		Tools    json.RawMessage   `json:"tools"`
		System   json.RawMessage   `json:"system"`
		Messages []json.RawMessage `json:"messages"`
	}
	if json.Unmarshal(body, &request) != nil {
		return &u
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known == nil || len(c.known) > maxPrefixes {
		c.known = map[[32]byte]bool{}
	}
	h := sha256.New()
	h.Write(request.Tools)
	h.Write(request.System)
	words, cached := wordsOf(request.Tools)+wordsOf(request.System), int64(0)
	for _, m := range request.Messages {
		h.Write(m)
		h.Write([]byte{0})
		words += wordsOf(m)
		key := [32]byte(h.Sum(nil))
		if c.known[key] {
			cached = words
		}
		c.known[key] = true
	}
	cached = min(cached, u.Input)
	u.Input, u.CacheRead = u.Input-cached, u.CacheRead+cached
	return &u
}

func wordsOf(raw json.RawMessage) int64 {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return 0
	}
	return promptWords(v)
}
