package route

import (
	"dragoman/internal/config"
)

// strategy says how good the candidates that can serve a request are: it sets Score, the parts that it comes from, and who is lifted.
// Excluded candidates are no concern of it.
type strategy interface {
	score(cs []Scored, in *input)
}

// strategies is every strategy by its name in the config: a new one is a type and a line here.
var strategies = map[config.Strategy]strategy{
	config.Balanced:   composite{},
	config.Cost:       composite{}, // with other weights, as the next two
	config.Quality:    composite{},
	config.Latency:    composite{},
	config.Fallback:   fallback{},
	config.Weighted:   weighted{},
	config.Canarying:  canary{},
	config.Experiment: experiment{},
	config.Mirroring:  composite{}, // any route may have a mirror
}

// input is what a strategy may look at, and the decision that it may add to.
type input struct {
	query    *Query
	weights  config.Weights
	decision *Decision
}

// drawn is the uniform number of a weighted draw: the same for the same user or conversation, where the route wants that.
func (in *input) drawn() float64 {
	if in.query.Draw == 0 {
		return in.query.Random
	}
	return uniform(mix(in.query.Draw ^ hash(in.query.Route.Name)))
}

// fallback keeps the order of the config: all are equally good.
type fallback struct{}

func (fallback) score(cs []Scored, _ *input) {
	for i := range cs {
		cs[i].native, cs[i].Headroom = false, 0
	}
}

// weighted draws the first by weight; the others follow by weight, as who would have been drawn most often.
type weighted struct{}

func (weighted) score(cs []Scored, in *input) {
	if drawn := draw(cs, in.drawn(), (*Scored).eligible); drawn >= 0 {
		cs[drawn].Lifted = Drawn
	}
}

// draw sets the scores to the weights, and finds the candidate among those that may be drawn in whose part of the line of their weights the
// point lies. Without any weight none is drawn.
func draw(cs []Scored, point float64, may func(*Scored) bool) int {
	var sum float64
	for i := range cs {
		c := &cs[i]
		if c.native, c.Headroom = false, 0; c.Excluded == Able {
			c.Score = max(c.Weight, 0)
		}
		if may(c) {
			sum += c.Score
		}
	}
	at, drawn := sum*point, -1
	for i := range cs {
		if c := &cs[i]; may(c) && c.Score > 0 {
			if drawn = i; at < c.Score {
				break
			}
			at -= c.Score
		}
	}
	return drawn
}

// experiment gives each user, conversation or request one of its variants, whether that can be asked now or not: results are those of
// whom the variant was meant for. The others stand in when it fails.
type experiment struct{}

func (experiment) score(cs []Scored, in *input) {
	drawn := draw(cs, in.drawn(), func(c *Scored) bool { return c.Excluded == Able })
	if drawn < 0 {
		return
	}
	in.decision.Arm = in.variant(&cs[drawn])
	for i := range cs {
		if in.variant(&cs[i]) == in.decision.Arm {
			cs[i].Lifted = Drawn // a variant may be served by several providers
		}
	}
}

// canary orders the baseline as balanced does, and draws whether the model on trial goes before it. Else it goes last: when all of the
// baseline is down it is better than nothing.
type canary struct{}

func (canary) score(cs []Scored, in *input) {
	c := in.query.Route.Canary
	in.compose(cs)
	in.prefer(cs, c.Model)
	in.decision.Arm = baselineArm
	on := in.drawn() < in.query.Learnt.share(c, in.query.Now)
	for i := range cs {
		if cs[i].Model != c.Model {
			continue
		}
		cs[i].Lifted = Last
		if on && cs[i].Excluded == Able {
			cs[i].Lifted, in.decision.Arm = Drawn, canaryArm
		}
	}
	if in.decision.Arm == canaryArm {
		for i := range cs {
			if cs[i].Model != c.Model {
				cs[i].Lifted = NoLift // only one can be first
			}
		}
	}
}

// variant is what the configuration calls a candidate's arm.
func (in *input) variant(c *Scored) string { return in.query.Route.Candidates[c.place].Variant }
