package main

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketsAreNarrowAndInOrder(t *testing.T) {
	last := -1
	for _, v := range []uint64{0, 1, 127, 128, 255, 256, 257, 258, 511, 512, 1000, 1e6, 1e9, 1e12, 1 << 62, math.MaxInt64} {
		b := bucket(v)
		if b < last {
			t.Errorf("bucket(%d) = %d, below an earlier one", v, b)
		}
		last = b
		if off := math.Abs(float64(middle(b)) - float64(v)); off > float64(v)/128 {
			t.Errorf("%d lies in a bucket whose middle is %d", v, middle(b))
		}
	}
	if n := len(histogram{}.counts); last >= n {
		t.Errorf("the largest duration lies in bucket %d of %d", last, n)
	}
}

func TestEveryBucketHoldsItsMiddle(t *testing.T) {
	for i := range bucket(math.MaxInt64) {
		if got := bucket(middle(i)); got != i {
			t.Fatalf("bucket(middle(%d)) = %d", i, got)
		}
	}
}

func TestQuantilesAgreeWithSorting(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h histogram
	var all []time.Duration
	for range 5000 {
		d := time.Duration(math.Exp(random.Float64()*20) + 1)
		h.add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, .01, .5, .9, .99, .999, 1} {
		want := all[max(0, int(math.Ceil(q*float64(len(all))))-1)]
		got := h.quantile(q)
		if math.Abs(float64(got-want)) > float64(want)/128+1 {
			t.Errorf("quantile(%g) = %v, want %v", q, got, want)
		}
	}
}

func TestQuantileOfFewSamples(t *testing.T) {
	var h histogram
	if got := h.quantile(.5); got != 0 {
		t.Errorf("median of nothing: %v", got)
	}
	h.add(100)
	h.add(200)
	h.add(-5) // a clock that went back
	for q, want := range map[float64]time.Duration{0: 0, .33: 0, .34: 100, .66: 100, .67: 200, 1: 200} {
		if got := h.quantile(q); got != want {
			t.Errorf("quantile(%g) = %v, want %v", q, got, want)
		}
	}
}

func TestMergedHistogramsCountAsOne(t *testing.T) {
	var a, b histogram
	for range 99 {
		a.add(time.Microsecond)
	}
	b.add(time.Second)
	a.merge(&b)
	if a.total != 100 {
		t.Errorf("%d samples, want 100", a.total)
	}
	if got := a.quantile(1); got < 990*time.Millisecond || got > 1010*time.Millisecond {
		t.Errorf("the slowest is %v, want 1s", got)
	}
	if got := a.quantile(.99); got > 2*time.Microsecond {
		t.Errorf("p99 is %v, want 1µs", got)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		of   []float64
		want float64
	}{{nil, 0}, {[]float64{7}, 7}, {[]float64{9, 1}, 5}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 3, 100}, 3.5}} {
		if got := median(c.of); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.of, got, c.want)
		}
	}
	order := []float64{3, 1, 2}
	median(order)
	if !slices.Equal(order, []float64{3, 1, 2}) {
		t.Error("median changed the order of the rounds")
	}
}
