package train

import "math/rand/v2"

// measureFolds averages the metrics of folds by their sizes, with intervals from resampling each fold's prompts. A fold without a gap
// between the models counts in nothing.
func measureFolds(folds [][]Judged) (Routing, Intervals, error) {
	var curves []*curve
	for _, judged := range folds {
		curves = append(curves, newCurve(judged))
	}
	mean, ok := averaged(curves, func(i int, _ *curve) int { return 1 })
	if !ok {
		return mean, Intervals{}, ErrNoGap
	}
	random := rand.New(rand.NewPCG(1, 2))
	var apgr, cpt50, cpt80 []float64
	for range bootstraps {
		var drawn []float64
		var of *curve
		r, ok := averaged(curves, func(i int, c *curve) int {
			if c != of {
				of, drawn = c, make([]float64, len(c.rows))
				for range c.rows {
					drawn[random.IntN(len(c.rows))]++
				}
			}
			return int(drawn[i])
		})
		if ok {
			apgr, cpt50, cpt80 = append(apgr, r.APGR), append(cpt50, r.CPT50), append(cpt80, r.CPT80)
		}
	}
	return mean, Intervals{interval(apgr), interval(cpt50), interval(cpt80)}, nil
}

// averaged measures each curve with its rows weighed, and averages.
func averaged(curves []*curve, weight func(i int, c *curve) int) (mean Routing, ok bool) {
	total := 0.0
	for _, c := range curves {
		weights := make([]float64, len(c.rows))
		for i := range weights {
			weights[i] = float64(weight(i, c))
		}
		r, err := c.measure(weights)
		if err != nil {
			continue
		}
		n := float64(len(c.rows))
		total += n
		mean.Weak, mean.Strong, mean.APGR = mean.Weak+n*r.Weak, mean.Strong+n*r.Strong, mean.APGR+n*r.APGR
		mean.CPT50, mean.CPT80 = mean.CPT50+n*r.CPT50, mean.CPT80+n*r.CPT80
	}
	if total == 0 {
		return mean, false
	}
	mean.Weak, mean.Strong, mean.APGR = mean.Weak/total, mean.Strong/total, mean.APGR/total
	mean.CPT50, mean.CPT80 = mean.CPT50/total, mean.CPT80/total
	return mean, true
}
