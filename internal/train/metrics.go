package train

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
)

// Judged is one prompt of a benchmark: what a router scored it, and how good both models' answers were.
type Judged struct {
	Score        float64 // higher: rather to the strong model
	Weak, Strong float64 // quality, on one scale for all prompts
	Group        string  // for resampling whole groups, may be empty
}

// Routing is how well scores send prompts to the strong model, measured as RouteLLM does (arXiv 2406.18665, section 4).
type Routing struct {
	Rows   int     `json:"rows"`
	Weak   float64 `json:"weak"`   // mean quality when the weak model answers all
	Strong float64 `json:"strong"` // when the strong one does
	// APGR is the mean performance gap recovered over all shares of calls to the strong model: the area under the curve of PGR, 0.5 when
	// routing by chance.
	APGR float64 `json:"apgr"`
	// CPT50 and CPT80 are the shares of calls to the strong model, 0..1, that it takes to recover 50 % and 80 % of the gap.
	CPT50 float64 `json:"cpt50"`
	CPT80 float64 `json:"cpt80"`
}

// ErrNoGap says that routing cannot be measured: the strong model is no better than the weak one over all prompts.
var ErrNoGap = errors.New("over all prompts the strong model is no better than the weak one: there is no gap to recover")

// Measure computes the metrics. Prompts of equal score count as if in random order.
func Measure(rows []Judged) (Routing, error) {
	c := newCurve(rows)
	ones := make([]float64, len(rows))
	for i := range ones {
		ones[i] = 1
	}
	return c.measure(ones)
}

// curve is rows by falling score; borders are the ends of the runs of equal scores.
type curve struct {
	rows    []Judged
	borders []int
}

func newCurve(rows []Judged) *curve {
	c := &curve{rows: slices.Clone(rows)}
	slices.SortStableFunc(c.rows, func(a, b Judged) int {
		switch {
		case a.Score > b.Score:
			return -1
		case a.Score < b.Score:
			return 1
		}
		return 0
	})
	for i := 1; i <= len(c.rows); i++ {
		if i == len(c.rows) || c.rows[i].Score != c.rows[i-1].Score {
			c.borders = append(c.borders, i)
		}
	}
	return c
}

// measure weighs the rows, in the order of c.rows: resampling is weights.
func (c *curve) measure(weights []float64) (Routing, error) {
	r := Routing{Rows: len(c.rows), CPT50: 1, CPT80: 1}
	total := 0.0
	for i, w := range weights {
		total += w
		r.Weak += w * c.rows[i].Weak
		r.Strong += w * c.rows[i].Strong
	}
	gap := r.Strong - r.Weak
	if total == 0 || gap <= 1e-12*total {
		return r, ErrNoGap
	}
	r.Weak, r.Strong = r.Weak/total, r.Strong/total
	calls, pgr, from := 0.0, 0.0, 0
	cpt50, cpt80 := false, false
	for _, to := range c.borders {
		x, y := calls, pgr
		for i := from; i < to; i++ {
			calls += weights[i] / total
			pgr += weights[i] * (c.rows[i].Strong - c.rows[i].Weak) / gap
		}
		r.APGR += (calls - x) * (y + pgr) / 2
		cpt50 = cpt50 || reached(0.5, x, y, calls, pgr, &r.CPT50)
		cpt80 = cpt80 || reached(0.8, x, y, calls, pgr, &r.CPT80)
		from = to
	}
	return r, nil
}

// reached says whether the piece of the curve from (x0, y0) to (x1, y1) reaches the level for the first time, and where.
func reached(level, x0, y0, x1, y1 float64, at *float64) bool {
	if y1 < level || y1 == y0 {
		return false
	}
	*at = x0 + (x1-x0)*max(0, level-y0)/(y1-y0)
	return true
}

// Interval is a 95 % bootstrap interval.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Intervals are the intervals of a Routing's figures.
type Intervals struct {
	APGR, CPT50, CPT80 Interval
}

// Bootstrap resamples the prompts, or with grouped whole groups, `times` times with a fixed seed. Samples without a gap are left out.
func Bootstrap(rows []Judged, grouped bool, times int) Intervals {
	c := newCurve(rows)
	random := rand.New(rand.NewPCG(1, 2))
	unit, units := make([]int, len(c.rows)), len(c.rows)
	if grouped {
		units = numberGroups(c.rows, unit)
	} else {
		for i := range unit {
			unit[i] = i
		}
	}
	var apgr, cpt50, cpt80 []float64
	drawn, weights := make([]float64, units), make([]float64, len(c.rows))
	for range times {
		clear(drawn)
		for range units {
			drawn[random.IntN(units)]++
		}
		for i := range weights {
			weights[i] = drawn[unit[i]]
		}
		if r, err := c.measure(weights); err == nil {
			apgr, cpt50, cpt80 = append(apgr, r.APGR), append(cpt50, r.CPT50), append(cpt80, r.CPT80)
		}
	}
	return Intervals{interval(apgr), interval(cpt50), interval(cpt80)}
}

func numberGroups(rows []Judged, unit []int) int {
	numbers := map[string]int{}
	for i := range rows {
		n, ok := numbers[rows[i].Group]
		if !ok {
			n = len(numbers)
			numbers[rows[i].Group] = n
		}
		unit[i] = n
	}
	return len(numbers)
}

func interval(sample []float64) Interval {
	if len(sample) == 0 {
		return Interval{math.NaN(), math.NaN()}
	}
	slices.Sort(sample)
	at := func(q float64) float64 { return sample[int(math.Round(q*float64(len(sample)-1)))] }
	return Interval{at(0.025), at(0.975)}
}
