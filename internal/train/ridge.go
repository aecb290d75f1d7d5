package train

import (
	"math"

	"dragoman/internal/classify"
)

// Strengths of the penalties. They were chosen on the third of RouteLLM's MMLU that the project may look at, so that the figures there
// flatter a little.
const (
	// denseRidge is so strong that, up to some ten thousand prompts, each feature weighs by its own correlation with the label. Labels of
	// single prompts are mostly noise: weights that are fitted jointly follow it, and lose on subjects that they have not seen.
	denseRidge = 1e5
	gramRidge  = 30.0
	// denseVoice is the spread of the features' part in the score, in that of the n-grams' part.
	denseVoice = 1.5
	// groupShrink is how many prompts' worth of the overall mean a group's mean is mixed with.
	groupShrink = 30.0
	// minGramRows is how many prompts it takes to learn words: below, they are noise.
	minGramRows = 300
	cgSteps     = 60
)

// fitDifficulty fits the score that ranks prompts by expected gain. It has two voices. The features' one, the built-in model's score
// among them, is ridge regression on the gains. The words' one is ridge regression of hashed n-grams on the gains, or where
// prompts come in groups on the means of their groups: that is the gain without the noise, and learns what kind of prompt this is.
func fitDifficulty(samples []sample, gains []float64, groups []string) weights {
	dense := fitDense(samples, gains)
	if len(samples) < minGramRows {
		return dense
	}
	grams := fitGrams(samples, smooth(gains, groups))
	features, words := make([]float64, len(samples)), make([]float64, len(samples))
	for i := range samples {
		features[i], words[i] = dense.score(&samples[i]), grams.gramSum(&samples[i])
	}
	voice := 1.0
	if s := deviation(features); s > 1e-12 {
		voice = denseVoice * max(deviation(words), 1e-9) / s
	}
	grams.bias += voice * dense.bias
	grams.dense = dense.dense
	for i := range grams.dense {
		grams.dense[i] *= voice
	}
	return grams
}

// smooth replaces each gain by its group's mean, shrunk towards the mean of all. Without groups it is the gain itself.
func smooth(gains []float64, groups []string) []float64 {
	type mean struct{ sum, n float64 }
	byGroup, all := map[string]mean{}, mean{}
	for i, g := range gains {
		m := byGroup[groups[i]]
		byGroup[groups[i]] = mean{m.sum + g, m.n + 1}
		all = mean{all.sum + g, all.n + 1}
	}
	out := make([]float64, len(gains))
	for i, group := range groups {
		if m := byGroup[group]; len(byGroup) > 1 {
			out[i] = (m.sum + groupShrink*all.sum/all.n) / (m.n + groupShrink)
		} else {
			out[i] = gains[i]
		}
	}
	return out
}

// fitDense solves the normal equations of ridge regression on centred features in units of their spread.
func fitDense(samples []sample, y []float64) weights {
	n, d := float64(len(samples)), len(samples[0].dense)
	means, spread := make([]float64, d), spreads(samples)
	for i := range samples {
		add(means, 1/n, samples[i].dense)
	}
	middle := 0.0
	for _, v := range y {
		middle += v / n
	}
	a, b := make([][]float64, d), make([]float64, d)
	for i := range a {
		a[i] = make([]float64, d)
		a[i][i] = denseRidge
	}
	z := make([]float64, d)
	for j := range samples {
		for i, v := range samples[j].dense {
			if z[i] = 0; spread[i] > 0 {
				z[i] = (v - means[i]) / spread[i]
			}
		}
		for i, v := range z {
			add(a[i][:i+1], v, z[:i+1])
		}
		add(b, y[j]-middle, z)
	}
	cholesky(a, b)
	w := weights{bias: middle, dense: b}
	for i := range w.dense {
		if spread[i] == 0 {
			w.dense[i] = 0
			continue
		}
		w.dense[i] /= spread[i]
		w.bias -= w.dense[i] * means[i]
	}
	return w
}

// cholesky solves a·x = b into b. Of a, which is positive definite, the lower triangle is read, and overwritten.
func cholesky(a [][]float64, b []float64) {
	for i := range a {
		for j := 0; j <= i; j++ {
			sum := a[i][j] - dot(a[i][:j], a[j][:j])
			if i == j {
				a[i][i] = math.Sqrt(sum)
			} else {
				a[i][j] = sum / a[j][j]
			}
		}
	}
	for i := range b {
		b[i] = (b[i] - dot(a[i][:i], b[:i])) / a[i][i]
	}
	for i := len(b) - 1; i >= 0; i-- {
		for j := i + 1; j < len(b); j++ {
			b[i] -= a[j][i] * b[j]
		}
		b[i] /= a[i][i]
	}
}

// fitGrams is ridge regression of n-grams by conjugate gradients. Rare ones may weigh more than frequent ones (their inverse document
// frequency); one that only a single prompt has says nothing.
func fitGrams(samples []sample, y []float64) weights {
	n := float64(len(samples))
	idf := make([]float64, classify.Buckets)
	for i := range samples {
		for _, bucket := range samples[i].grams {
			idf[bucket]++
		}
	}
	for i, count := range idf {
		if idf[i] = 0; count > 1 {
			idf[i] = math.Log((n + 1) / (count + 1))
		}
	}
	middle := 0.0
	for _, v := range y {
		middle += v / n
	}
	x, r := make([]float64, classify.Buckets), make([]float64, classify.Buckets)
	for i := range samples {
		scatter(r, &samples[i], idf, y[i]-middle)
	}
	p, ap := append([]float64(nil), r...), make([]float64, classify.Buckets)
	rr := dot(r, r)
	for first, step := rr, 0; step < cgSteps && rr > 1e-8*first; step++ {
		for i := range ap {
			ap[i] = gramRidge * p[i]
		}
		for i := range samples {
			scatter(ap, &samples[i], idf, gather(p, &samples[i], idf))
		}
		alpha := rr / dot(p, ap)
		add(x, alpha, p)
		add(r, -alpha, ap)
		before := rr
		rr = dot(r, r)
		for i := range p {
			p[i] = r[i] + rr/before*p[i]
		}
	}
	for i := range x {
		x[i] *= idf[i]
	}
	return weights{bias: middle, grams: x}
}

func gather(w []float64, s *sample, idf []float64) (sum float64) {
	for _, bucket := range s.grams {
		sum += w[bucket] * idf[bucket]
	}
	return sum * s.value
}

func scatter(to []float64, s *sample, idf []float64, v float64) {
	v *= s.value
	for _, bucket := range s.grams {
		to[bucket] += v * idf[bucket]
	}
}

func deviation(v []float64) float64 {
	sum, squares := 0.0, 0.0
	for _, x := range v {
		sum, squares = sum+x, squares+x*x
	}
	n := float64(len(v))
	return math.Sqrt(max(0, squares/n-sum/n*sum/n))
}
