package route

import (
	"dragoman/internal/config"
	"dragoman/internal/health"
)

// strategy says how good the candidates that can serve a request are: it sets Score, and the parts that it comes from.
// Excluded candidates are no concern of it.
type strategy interface {
	score(cs []Scored, in *input)
}

// strategies is every strategy by its name in the config: a new one is a type and a line here.
var strategies = map[config.Strategy]strategy{
	config.Fallback: fallback{},
	config.Weighted: weighted{},
	config.Balanced: balanced{},
}

// input is what a strategy may look at.
type input struct {
	query   *Query
	view    *health.View
	weights config.Weights
}

// fallback keeps the order of the config: all are equally good.
type fallback struct{}

func (fallback) score(cs []Scored, _ *input) {
	for i := range cs {
		cs[i].native = false
	}
}

// weighted draws the first by weight; the others follow by weight, as who would have been drawn most often.
type weighted struct{}

func (weighted) score(cs []Scored, in *input) {
	var sum float64
	for i := range cs {
		c := &cs[i]
		if c.native = false; c.Excluded == Able {
			c.Score = max(c.Weight, 0)
		}
		if c.eligible() {
			sum += c.Score
		}
	}
	// The point lies in the part of one candidate on the line of their weights. Without any weight nothing is drawn.
	at, drawn := sum*in.query.Random, -1
	for i := range cs {
		if c := &cs[i]; c.eligible() && c.Score > 0 {
			if drawn = i; at < c.Score {
				break
			}
			at -= c.Score
		}
	}
	if drawn >= 0 {
		cs[drawn].drawn = true
	}
}

func (c *Scored) eligible() bool { return c.Usable && c.Excluded == Able }
