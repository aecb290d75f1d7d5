package route

import (
	"math"

	"dragoman/internal/config"
)

const (
	// typicalOutput is the output that a request's price is compared at, in tokens, until the route's own is known. A cap below it
	// counts instead; a cap above it says little about how long the answer will be.
	typicalOutput = 500
	// cheap and quick are differences too small to matter, in micro-USD and seconds: they keep the ratios of tiny amounts from deciding.
	cheap = 10
	quick = 0.05
	// unpriced is the price part of a model whose price is unknown: worse than an average one, because unknown is not
	// free, and better than nothing, because it is not the dearest either. A model of one's own machine costs nothing.
	unpriced = 0.3
	// defaultTask is the class of a model's quality that stands for all others.
	defaultTask = "default"
)

// composite weighs price, expected latency, quality and headroom by the route's weights, and the sum by health. A price or latency twice
// the best one's gets about half of its part: ratios, so that one absurd candidate does not make all others equal.
type composite struct{}

func (composite) score(cs []Scored, in *input) {
	in.compose(cs)
	in.prefer(cs, nil)
}

// compose sets the scores.
func (in *input) compose(cs []Scored) {
	scorePrice(cs)
	scoreLatency(cs)
	scoreQuality(cs, in.query.Task)
	w := in.weights
	for i := range cs {
		if c := &cs[i]; c.Excluded == Able {
			c.Headroom = min(1, c.Headroom/enough)
			c.Score = (w.Price*c.Price + w.Latency*c.Latency + w.Quality*c.Quality + w.Headroom*c.Headroom) * c.Health
		}
	}
}

// prefer lifts the candidate that goes first although others have better scores: a local one that is good enough, and of those that
// score alike the one where the conversation is at home. apart is left out of it.
func (in *input) prefer(cs []Scored, apart *config.Model) {
	best, local := -1, -1
	for i := range cs {
		c := &cs[i]
		if !c.eligible() || c.Model == apart {
			continue
		}
		if best < 0 || c.Score > cs[best].Score {
			best = i
		}
		if c.Model.Provider.Local && (local < 0 || c.Score > cs[local].Score) {
			local = i
		}
	}
	if best < 0 {
		return
	}
	r := in.query.Route
	top, lift := best, NoLift
	if local >= 0 && cs[local].Score >= r.LocalFirst*cs[best].Score {
		top, lift = local, LocalFirst
	}
	if home := in.home(cs, top, apart); home != top {
		top, lift = home, Conversation
	}
	if top != best {
		cs[top].Lifted = lift
	}
}

// scorePrice compares what this request is expected to cost.
func scorePrice(cs []Scored) {
	least := math.Inf(1)
	for i := range cs {
		if c := &cs[i]; c.Excluded == Able && (c.Cost != unpricedCost || c.Model.Provider.Local) {
			least = min(least, float64(max(c.Cost, 0)))
		}
	}
	for i := range cs {
		switch c := &cs[i]; {
		case c.Excluded != Able:
		case c.Cost == unpricedCost && !c.Model.Provider.Local:
			c.Price = unpriced
		default:
			c.Price = (least + cheap) / (float64(max(c.Cost, 0)) + cheap)
		}
	}
}

// scoreLatency compares the expected times to the end of the answer. One that is unknown gets the average of the known ones, so that a
// model is neither preferred nor avoided for never having been asked.
func scoreLatency(cs []Scored) {
	least := math.Inf(1)
	for i := range cs {
		if c := &cs[i]; c.Excluded == Able && c.Seconds > 0 {
			least = min(least, c.Seconds)
		}
	}
	var known mean
	for i := range cs {
		if c := &cs[i]; c.Excluded == Able && c.Seconds > 0 {
			c.Latency = (least + quick) / (c.Seconds + quick)
			known.add(c.Latency)
		}
	}
	for i := range cs {
		if c := &cs[i]; c.Excluded == Able && c.Seconds == 0 {
			c.Latency = known.value()
		}
	}
}

// scoreQuality takes the catalogue's, or the user's own benchmark's, word for the class of task. One that is unknown gets the average
// of the known ones.
func scoreQuality(cs []Scored, task string) {
	const unknown = -1
	var known mean
	for i := range cs {
		c := &cs[i]
		if c.Excluded != Able {
			continue
		}
		c.Quality = unknown
		if quality, ok := qualityOf(c.Model, task); ok {
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

func qualityOf(m *config.Model, task string) (float64, bool) {
	if task != "" {
		if q, ok := m.Quality[task]; ok {
			return q, true
		}
	}
	q, ok := m.Quality[defaultTask]
	return q, ok
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
