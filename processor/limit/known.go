package limit

import (
	"time"

	"dragoman/internal/config"
)

// Known is what this process remembers to be spent of a budget in its window around now; ok is false when it remembers nothing.
func (g *Gate) Known(slot string, m *config.Meter, now time.Time) (spent int64, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	k, ok := g.known[key(slot, m)]
	if !ok || k.spent < 0 || k.window != m.Window(now).Start.UnixMilli() {
		return 0, false
	}
	return k.spent, true
}
