package limit

import (
	"hash/maphash"
	"math/bits"
	"sync"
)

const (
	learners  = 1024 // names that are told apart; others share
	octaves   = 20   // outputs of up to 2^20 tokens
	minLearnt = 8    // answers before what was learnt counts
	forget    = 512  // answers after which old ones count half
)

// learner remembers how long answers are, by what was asked for: as a histogram in half octaves, of which old answers count less
// and less. Names share a row when their hashes do; the estimate is then one of both.
type learner struct {
	seed maphash.Seed
	rows [learners]row
}

type row struct {
	mu    sync.Mutex
	count uint32
	bins  [2 * octaves]uint16
}

func newLearner() *learner { return &learner{seed: maphash.MakeSeed()} }

func (l *learner) row(asked string) *row { return &l.rows[maphash.String(l.seed, asked)%learners] }

// learn notes the length of one answer in tokens.
func (l *learner) learn(asked string, tokens int64) {
	r := l.row(asked)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bins[bin(tokens)]++
	if r.count++; r.count < forget {
		return
	}
	r.count = 0
	for i := range r.bins {
		r.bins[i] /= 2
		r.count += uint32(r.bins[i])
	}
}

// estimate is the length that nine of ten answers do not exceed.
func (l *learner) estimate(asked string) int64 {
	r := l.row(asked)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count < minLearnt {
		return assumedOutput
	}
	above := r.count / 10
	for i := len(r.bins) - 1; i >= 0; i-- {
		if n := uint32(r.bins[i]); n <= above {
			above -= n
			continue
		}
		return top(i)
	}
	return assumedOutput
}

// bin is the half octave of a length, top its upper end.
func bin(tokens int64) int {
	n := uint64(max(tokens, 1))
	octave := bits.Len64(n) - 1
	i := 2 * octave
	if octave > 0 && n&(1<<(octave-1)) != 0 {
		i++
	}
	return min(i, 2*octaves-1)
}

func top(i int) int64 {
	octave := i / 2
	if i%2 == 1 || octave == 0 {
		return 1<<(octave+1) - 1
	}
	return 1<<octave + 1<<(octave-1) - 1
}
