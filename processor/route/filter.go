package route

import (
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
	exclusions
)

var exclusionNames = [exclusions]string{"", "no tools", "no images", "no streaming", "context too small", "output too small"}

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
	m := c.Model
	if can := m.Capabilities; can != nil {
		switch {
		case q.Tools && !can["tools"]:
			return NoTools, true
		case q.Images && !can["images"]:
			return NoImages, true
		case q.Stream && !can["streaming"]:
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
