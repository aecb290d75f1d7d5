package observe

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// other is the value of a label whose real value is not told apart any more.
const other = "other"

// bounded lets the first so many different values of a label through and calls the rest "other": a client must not be able
// to grow the process, or the monitoring behind it, by asking for ever new models.
type bounded struct {
	most int
	mu   sync.RWMutex
	seen map[string]struct{}
}

func newBounded(most int) *bounded { return &bounded{most: most, seen: make(map[string]struct{})} }

// known is v when it was let through before, else "other". An empty value stays empty.
func (b *bounded) known(v string) string {
	if v == "" {
		return v
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if _, ok := b.seen[v]; ok {
		return v
	}
	return other
}

// maxLabel is the longest value of a label, in bytes.
const maxLabel = 200

// value lets v through while there is room. What Prometheus could not take, or nobody could read, is "other".
func (b *bounded) value(v string) string {
	if k := b.known(v); k == v {
		return v
	}
	if len(v) > maxLabel || !utf8.ValidString(v) {
		return other
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.seen[v]; !ok && len(b.seen) >= b.most {
		return other
	}
	b.seen[strings.Clone(v)] = struct{}{} // v may be a part of a request's body, which must not live on here
	return v
}
