package route

import (
	"math"

	"dragoman/translate/chat"
)

const (
	// typicalOutput is the output that a request's price is compared at, in tokens. A cap below it counts instead; a cap
	// above it says little about how long the answer will be.
	typicalOutput = 500
	// cheap and quick are differences too small to matter, in micro-USD and seconds: they keep the ratios of tiny amounts from deciding.
	cheap = 10
	quick = 0.05
	// unpriced is the price part of a model whose price is unknown: worse than an average one, because unknown is not
	// free, and better than nothing, because it is not the dearest either.
	unpriced = 0.3
	// defaultTask is the class of a model's quality that stands for all others.
	defaultTask = "default"
)

// balanced weighs price, observed latency and quality by the route's weights, and the sum by health. A price or latency twice
// the best one's gets about half of its part: ratios, so that one absurd candidate does not make all others equal.
type balanced struct{}

func (balanced) score(cs []Scored, in *input) {
	scorePrice(cs, in.query)
	scoreLatency(cs, in)
	scoreQuality(cs)
	w := in.weights
	for i := range cs {
		if c := &cs[i]; c.Excluded == Able {
			c.Score = (w.Price*c.Price + w.Latency*c.Latency + w.Quality*c.Quality) * c.Health
		}
	}
}

// unknown stands in a part for what is to be filled in.
const unknown = -1

// scorePrice compares what this request is expected to cost. The parts hold the cost in between.
func scorePrice(cs []Scored, q *Query) {
	output := int64(typicalOutput)
	if q.MaxTokens > 0 {
		output = min(output, q.MaxTokens)
	}
	usage := chat.Usage{Input: q.InputTokens, Output: output}
	least := math.Inf(1)
	for i := range cs {
		if c := &cs[i]; c.Excluded == Able && c.Model.Price != nil {
			c.Price = float64(c.Model.Price.Cost(usage))
			least = min(least, c.Price)
		}
	}
	for i := range cs {
		switch c := &cs[i]; {
		case c.Excluded != Able:
		case c.Model.Price == nil:
			c.Price = unpriced
		default:
			c.Price = (least + cheap) / (c.Price + cheap)
		}
	}
}

// scoreLatency compares times to the first token. One that is unknown gets the average of the known ones, so that a model
// is neither preferred nor avoided for never having been asked.
func scoreLatency(cs []Scored, in *input) {
	least := math.Inf(1)
	for i := range cs {
		c := &cs[i]
		if c.Excluded != Able {
			continue
		}
		c.Latency = unknown
		if d, ok := in.view.TTFT(c.Model.Provider.Name, c.Model.ID); ok {
			c.Latency = d.Seconds()
			least = min(least, c.Latency)
		}
	}
	var known mean
	for i := range cs {
		if c := &cs[i]; c.Excluded == Able && c.Latency != unknown {
			c.Latency = (least + quick) / (c.Latency + quick)
			known.add(c.Latency)
		}
	}
	for i := range cs {
		if c := &cs[i]; c.Latency == unknown {
			c.Latency = known.value()
		}
	}
}

// scoreQuality takes the catalogue's word. One that is unknown gets the average of the known ones.
func scoreQuality(cs []Scored) {
	var known mean
	for i := range cs {
		c := &cs[i]
		if c.Excluded != Able {
			continue
		}
		c.Quality = unknown
		if quality, ok := c.Model.Quality[defaultTask]; ok {
			c.Quality = min(max(quality, 0), 1)
			known.add(c.Quality)
		}
	}
	for i := range cs {
		if c := &cs[i]; c.Quality == unknown {
			c.Quality = known.value()
		}
	}
}

// mean is of parts that are known; the middle, when none is.
type mean struct{ sum, n float64 }

func (m *mean) add(v float64) { m.sum, m.n = m.sum+v, m.n+1 }

func (m *mean) value() float64 {
	if m.n == 0 {
		return 0.5
	}
	return m.sum / m.n
}
