package chaos

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dragoman/test/harness"
)

// heapTrace follows Dragoman's memory through a run. Resident memory says little: it is what the collector lets pile up between two of its
// runs. What it found alive last is the size that it has set itself for the next run, divided by what GOGC allows.
type heapTrace struct{ points []heapPoint }

type heapPoint struct {
	at             time.Duration
	live, resident float64 // MB
	collections    float64
}

// samples of one run.
const samples = 12

func (h *heapTrace) run(ctx context.Context, t *testing.T, g *harness.Gateway, length time.Duration) {
	begin := time.Now()
	tick := time.NewTicker(length / (samples + 1))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		percent := metric(t, g, "go_gc_gogc_percent")
		h.points = append(h.points, heapPoint{
			at:          time.Since(begin),
			live:        metric(t, g, "go_memstats_next_gc_bytes") / (1 + percent/100) / 1e6,
			resident:    metric(t, g, "process_resident_memory_bytes") / 1e6,
			collections: metric(t, g, "go_gc_duration_seconds_count"),
		})
	}
}

// wantFlat: after the first half, in which tables fill to what the configuration has, no more is alive at the end than before. A short run
// is over before the collector has run often enough to say more than that it is small.
func (h *heapTrace) wantFlat(t *testing.T) {
	t.Helper()
	var b strings.Builder
	for _, p := range h.points {
		fmt.Fprintf(&b, " %v %.1f/%.0f (%.0f)", p.at.Round(time.Second), p.live, p.resident, p.collections)
	}
	t.Logf("heap: MB alive/resident (collections):%s", b.String())
	if len(h.points) < samples/2 {
		t.Fatalf("only %d samples", len(h.points))
	}
	half := len(h.points) / 2
	largest := func(points []heapPoint) float64 {
		return slices.MaxFunc(points, func(a, b heapPoint) int { return int(1000 * (a.live - b.live)) }).live
	}
	if early, late := largest(h.points[:half]), largest(h.points[half:]); late > 1.3*early+8 {
		t.Errorf("%.1f MB are alive in the second half, %.1f in the first", late, early)
	}
}
