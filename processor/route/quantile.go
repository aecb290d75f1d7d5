package route

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// A series remembers how long something took: counts in logarithmic buckets that fade with time, of which one quantile is
// published after each observation, so that reading it costs a load. Three quarters is what is published: a model that is quick half of
// the time and slow the other half is not a quick one.
const (
	quantile    = 0.75
	perDoubling = 4 // buckets to a factor of two: a quantile is right to 9 %
	buckets     = 96
	smallest    = 50e-6 // seconds: where the second bucket begins; the last one begins at 12 minutes
	halfLife    = 5 * time.Minute
	// forgetAfter without an observation a series says nothing any more: a model that was slow once and is not asked since is tried
	// again.
	forgetAfter = 10 * time.Minute
)

// series is safe for concurrent use. The zero value has seen nothing.
type series struct {
	mu     sync.Mutex
	counts [buckets]float32
	total  float32
	base   time.Time // a sample at this time weighs 1, later ones more: nothing has to be decayed until that grows too large
	value  atomic.Uint64
	last   atomic.Int64 // Unix nanoseconds of the last observation, 0: none
}

// observe adds one duration.
func (s *series) observe(d time.Duration, now time.Time) {
	if d < 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.base.IsZero() {
		s.base = now
	}
	weight := math.Exp2(float64(now.Sub(s.base)) / float64(halfLife))
	if weight > 1e6 {
		s.rebase(now, weight)
		weight = 1
	}
	s.counts[bucketOf(d.Seconds())] += float32(weight)
	s.total += float32(weight)
	s.value.Store(math.Float64bits(s.quantile()))
	s.last.Store(max(now.UnixNano(), s.last.Load()))
}

// rebase makes samples of now weigh 1 again. What has faded to nothing is dropped.
func (s *series) rebase(now time.Time, weight float64) {
	s.base, s.total = now, 0
	for i := range s.counts {
		if s.counts[i] /= float32(weight); s.counts[i] < 1e-4 {
			s.counts[i] = 0
		}
		s.total += s.counts[i]
	}
}

func bucketOf(seconds float64) int {
	if seconds <= smallest {
		return 0
	}
	return min(1+int(perDoubling*math.Log2(seconds/smallest)), buckets-1)
}

// quantile is in seconds, in the geometric middle of its bucket.
func (s *series) quantile() float64 {
	want, seen := quantile*s.total, float32(0)
	for i := range s.counts {
		if seen += s.counts[i]; seen >= want && s.counts[i] > 0 {
			return smallest * math.Exp2((float64(i)-0.5)/perDoubling)
		}
	}
	return 0
}

// read is the published quantile in seconds; ok is false when nothing is known, or only from too long ago.
func (s *series) read(now time.Time) (seconds float64, ok bool) {
	last := s.last.Load()
	if last == 0 || now.UnixNano()-last > int64(forgetAfter) {
		return 0, false
	}
	return math.Float64frombits(s.value.Load()), true
}
