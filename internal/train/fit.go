package train

import (
	"math"

	"dragoman/internal/classify"
)

// taskRidge is the strength of the penalty on the tasks' weights, divided by the number of rows; iterations bounds the search.
const (
	taskRidge  = 1.0
	iterations = 150
)

// sample is a row as the fit sees it.
type sample struct {
	dense []float64 // features, and last the built-in model's score
	grams []uint16
	value float64 // of each n-gram
}

func sampleOf(t classify.Text, prior *classify.Model) sample {
	var s classify.Sample
	s.Read(t)
	dense := make([]float64, classify.NumFeatures, classify.NumFeatures+1)
	for i, v := range s.Dense {
		dense[i] = float64(v)
	}
	if prior != nil {
		dense = append(dense, prior.Score(&s))
	}
	return sample{dense, append([]uint16(nil), s.Grams[:s.N]...), s.GramScale()}
}

// weights is one fitted linear model. dense is in the units of the samples.
type weights struct {
	bias  float64
	dense []float64
	grams []float64 // empty without n-grams
}

func (w *weights) score(s *sample) float64 {
	sum := w.bias + dot(w.dense, s.dense)
	if len(w.grams) > 0 {
		sum += w.gramSum(s)
	}
	return sum
}

func (w *weights) gramSum(s *sample) (sum float64) {
	for _, bucket := range s.grams {
		sum += w.grams[bucket]
	}
	return sum * s.value
}

// problem is a ridge-penalised softmax regression on the features: a linear score for each output, targets that sum to 1.
type problem struct {
	samples []sample
	targets [][]float64 // by sample, `outputs` long
	outputs int
	spread  []float64 // standard deviation of each dense feature: penalties are in these units
	ridge   float64
}

func newProblem(samples []sample, targets [][]float64, ridge float64) *problem {
	return &problem{samples: samples, targets: targets, outputs: len(targets[0]), spread: spreads(samples), ridge: ridge}
}

// spreads are standard deviations; 0 for a feature that is the same everywhere.
func spreads(samples []sample) []float64 {
	n := len(samples[0].dense)
	out := make([]float64, n)
	for i := range n {
		sum, squares := 0.0, 0.0
		for j := range samples {
			v := samples[j].dense[i]
			sum, squares = sum+v, squares+v*v
		}
		mean := sum / float64(len(samples))
		if out[i] = math.Sqrt(max(0, squares/float64(len(samples))-mean*mean)); out[i] < 1e-6 {
			out[i] = 0
		}
	}
	return out
}

// size is how many numbers one output has: a bias, and weights in units of spread.
func (p *problem) size() int { return 1 + len(p.spread) }

func (p *problem) solve() []weights {
	x := make([]float64, p.outputs*p.size())
	minimise(x, iterations, p.loss)
	out := make([]weights, p.outputs)
	for k := range out {
		out[k] = p.weights(x[k*p.size() : (k+1)*p.size()])
	}
	return out
}

func (p *problem) weights(x []float64) weights {
	w := weights{bias: x[0], dense: make([]float64, len(p.spread))}
	for i, spread := range p.spread {
		if spread > 0 {
			w.dense[i] = x[1+i] / spread
		}
	}
	return w
}

// loss is the mean cross-entropy plus penalties; it writes the gradient.
func (p *problem) loss(x, gradient []float64) float64 {
	clear(gradient)
	n, size := float64(len(p.samples)), p.size()
	current := make([]weights, p.outputs)
	for k := range current {
		current[k] = p.weights(x[k*size : (k+1)*size])
	}
	total := 0.0
	scores, errs := make([]float64, p.outputs), make([]float64, p.outputs)
	for j := range p.samples {
		s := &p.samples[j]
		for k := range current {
			scores[k] = current[k].score(s)
		}
		total += crossEntropy(scores, p.targets[j], errs) / n
		for k, e := range errs {
			g := gradient[k*size : (k+1)*size]
			e /= n
			g[0] += e
			for i, v := range s.dense {
				if p.spread[i] > 0 {
					g[1+i] += e * v / p.spread[i]
				}
			}
		}
	}
	for k := range current {
		for i := 1; i < size; i++ {
			w := x[k*size+i]
			total += p.ridge / n * w * w / 2
			gradient[k*size+i] += p.ridge / n * w
		}
	}
	return total
}

// crossEntropy of one sample, and its derivative by each score.
func crossEntropy(scores, targets, derivative []float64) float64 {
	top := math.Inf(-1)
	for _, s := range scores {
		top = max(top, s)
	}
	sum, loss := 0.0, 0.0
	for _, s := range scores {
		sum += math.Exp(s - top)
	}
	for k, s := range scores {
		derivative[k] = math.Exp(s-top)/sum - targets[k]
		loss -= targets[k] * (s - top - math.Log(sum))
	}
	return loss
}
