package main

import (
	"math/bits"
	"sort"
	"time"
)

// histogram counts durations in buckets that are under 1 % wide, so that its size depends on no duration of a run.
type histogram struct {
	counts [64 << subBits]uint64
	total  uint64
}

const subBits = 7 // 128 buckets for each power of two

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.total++
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.total += o.total
}

// quantile is the smallest duration that at least the share q (0 to 1) of what was added does not exceed, but for the
// bucket's width; 0 of nothing.
func (h *histogram) quantile(q float64) time.Duration {
	rank := uint64(q*float64(h.total) + 0.999999)
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if n > 0 && seen >= rank {
			return time.Duration(middle(i))
		}
	}
	return 0
}

// bucket numbers exactly below 2 × 128 ns, then by the highest eight bits.
func bucket(v uint64) int {
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift<<subBits + int(v>>shift)
}

// middle is the value in the middle of a bucket.
func middle(i int) uint64 {
	if i < 2<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return uint64(i-shift<<subBits)<<shift + 1<<shift/2
}

// median of what the rounds gave; 0 of nothing.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}
