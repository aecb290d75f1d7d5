// Package embed makes vectors of short texts for the semantic cache: by a small model in a helper process on this machine (Local),
// or by an OpenAI-style embeddings endpoint (Endpoint). Both give vectors of length 1, work for many callers at the same time, keep
// to the caller's deadline and refuse rather than queue without bound: without a vector the cache has a miss, no more.
package embed

import (
	"errors"
	"math"
	"time"

	"dragoman/internal/embed/wordpiece"
)

// Why there is no vector.
var (
	// ErrBusy says that too many texts wait already.
	ErrBusy = errors.New("too many texts wait to be embedded")
	// ErrAway says that the helper or endpoint does not work at the moment.
	ErrAway = errors.New("the embedder is away")
	// ErrClosed says that Close was called.
	ErrClosed = errors.New("the embedder is closed")
)

// Status is what an operator wants to know of an embedder.
type Status struct {
	Ready      bool   `json:"ready"`
	Problem    string `json:"problem,omitempty"`    // why not, "" when ready
	Dimensions int    `json:"dimensions,omitempty"` // of its vectors, 0: not known yet
	Restarts   int    `json:"restarts"`             // of the helper
}

// normalise scales v to length 1; false when it has none.
func normalise(v []float32) bool {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	n := math.Sqrt(sum)
	if n == 0 || math.IsNaN(n) || math.IsInf(n, 0) {
		return false
	}
	for i := range v {
		v[i] = float32(float64(v[i]) / n)
	}
	return true
}

// pause waits, unless done comes first.
func pause(d time.Duration, done <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-done:
		return false
	}
}

// TooLong says whether a text was refused because of its length; every other text may still be embedded.
func TooLong(err error) bool { return errors.Is(err, wordpiece.ErrTooLong) }
