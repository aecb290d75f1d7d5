package route

import (
	"slices"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

// Exclusion is why a candidate cannot serve a request.
type Exclusion uint8

// The exclusions.
const (
	Able            Exclusion = iota
	NoTools                   // the request has tools
	NoImages                  // the request has images
	NoStreaming               // the request is to be streamed
	ContextTooSmall           // prompt and output cap do not fit the window
	OutputTooSmall            // the output cap is over what the model can write
	OtherProvider             // the provider is not among the allowed ones
	OtherRegion               // the provider keeps data elsewhere, or nobody knows where
	TooDear                   // over a ceiling of cost or price, or nobody knows
	TooSlow                   // expected to take longer than the ceiling
	exclusions
)

var exclusionNames = [exclusions]string{"", "no tools", "no images", "no streaming", "context too small", "output too small",
	"provider not allowed", "other data region", "too dear", "too slow"}

// String says it in a word or two; "" for Able.
func (e Exclusion) String() string {
	if e < exclusions {
		return exclusionNames[e]
	}
	return "unknown"
}

// filter marks what cannot serve the request and counts the rest. What is not known of a model is taken as able: the
// provider knows better.
//
// The prompt's size is an estimate. A candidate whose window it seems to exceed by less than a quarter, or that is too small
// only with the output cap, is therefore excluded only while another one fits; else the provider is asked.
func filter(cs []Scored, q *Query) (able int, err error) {
	if len(cs) == 0 {
		return 0, fault.New(fault.Unavailable, "The route %q has no candidates.", clip(q.Route.Name))
	}
	fits, tight := 0, 0
	for i := range cs {
		c := &cs[i]
		var hard bool
		c.Excluded, hard = exclusion(c, q)
		switch {
		case c.Excluded == Able:
			fits++
		case !hard:
			tight++
		}
	}
	if fits == 0 && tight > 0 {
		for i := range cs {
			if _, hard := exclusion(&cs[i], q); !hard {
				cs[i].Excluded = Able
			}
		}
		fits = tight
	}
	if fits == 0 {
		return 0, nobody(cs, q)
	}
	return fits, nil
}

// exclusion is the first reason that applies. hard says that it is beyond doubt.
func exclusion(c *Scored, q *Query) (why Exclusion, hard bool) {
	if why := forbidden(c, &q.Route.Ceilings); why != Able {
		return why, true
	}
	if why := forbidden(c, &q.Ceilings); why != Able {
		return why, true
	}
	m := c.Model
	if can := m.Traits(); can != 0 {
		switch {
		case q.Tools && can&config.HasTools == 0:
			return NoTools, true
		case q.Images && can&config.HasImages == 0:
			return NoImages, true
		case q.Stream && can&config.Streams == 0:
			return NoStreaming, true
		}
	}
	if m.Context > 0 && !q.AnyWindow {
		switch {
		case q.InputTokens-m.Context > m.Context/4:
			return ContextTooSmall, true
		case q.InputTokens > m.Context, q.MaxTokens > m.Context-q.InputTokens:
			return ContextTooSmall, false
		}
	}
	if m.MaxOutput > 0 && q.MaxTokens > m.MaxOutput {
		return OutputTooSmall, false
	}
	return Able, false
}

// MayAsk says whether a provider is within the allowed providers and data regions, whatever the model.
func MayAsk(p *config.Provider, limit *config.Ceilings) bool { return elsewhere(p, limit) == Able }

// elsewhere says which of them excludes a provider.
func elsewhere(p *config.Provider, limit *config.Ceilings) Exclusion {
	switch {
	case limit.Providers != nil && !slices.Contains(limit.Providers, string(p.Name)):
		return OtherProvider
	case limit.DataRegions != nil && (p.DataRegion == "" || !slices.Contains(limit.DataRegions, p.DataRegion)):
		return OtherRegion
	}
	return Able
}

// forbidden says which ceiling excludes a candidate.
func forbidden(c *Scored, limit *config.Ceilings) Exclusion {
	p := c.Model.Provider
	if why := elsewhere(p, limit); why != Able {
		return why
	}
	switch {
	case limit.Cost > 0 && !within(c.Cost, limit.Cost, p):
		return TooDear
	case (limit.InputPrice > 0 || limit.OutputPrice > 0) && !affordable(c.Model, limit):
		return TooDear
	case limit.Latency > 0 && c.Seconds > limit.Latency.Seconds():
		return TooSlow
	}
	return Able
}

// within takes an unknown cost for too much, unless the machine is one's own.
func within(cost, most config.MicroUSD, p *config.Provider) bool {
	if cost == unpricedCost {
		return p.Local
	}
	return cost <= most
}

func affordable(m *config.Model, limit *config.Ceilings) bool {
	if m.Price == nil {
		return m.Provider.Local
	}
	return (limit.InputPrice == 0 || m.Price.Input <= limit.InputPrice) && (limit.OutputPrice == 0 || m.Price.Output <= limit.OutputPrice)
}

// nobody is the error for a request that no candidate can serve: the window when that alone would have made the
// difference for one of them, else what they lack.
func nobody(cs []Scored, q *Query) error {
	var largest int64
	lacking := Able
	for i := range cs {
		if cs[i].Excluded == ContextTooSmall {
			largest = max(largest, cs[i].Model.Context)
		} else if lacking == Able {
			lacking = cs[i].Excluded
		}
	}
	if largest > 0 {
		f := fault.New(fault.ContextLength, "The prompt has about %d tokens; the largest context window behind %q has %d. Shorten it.",
			q.InputTokens, clip(q.Asked), largest)
		f.Param, f.Code = "messages", "context_length_exceeded"
		return f
	}
	if lacking >= OtherProvider {
		kind := fault.Unsupported
		if lacking == TooSlow {
			kind = fault.Unavailable // it may be quicker soon
		}
		f := fault.New(kind, "No model behind %q stays within what the route and the request allow: %s.", clip(q.Asked), lacking)
		f.Param, f.Code = "model", "over_ceiling"
		return f
	}
	what, param := "tools", "tools"
	switch lacking {
	case NoImages:
		what, param = "images", "messages"
	case NoStreaming:
		what, param = "streaming", "stream"
	}
	f := fault.New(fault.Unsupported, "No model behind %q supports %s.", clip(q.Asked), what)
	f.Param, f.Code = param, "unsupported_by_model"
	return f
}

// clip shortens what a client sent before it is shown back.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
