package route

import (
	"encoding/json"
	"strconv"
)

// Explain says in one line of printable ASCII, fit for a header, why the plan is what it is:
//
//	auto balanced (price 0.35 latency 0.25 quality 0.30 headroom 0.10, 500 output tokens): openai/gpt-5-mini 0.82 (price 1.00 latency 0.71 quality 0.70 headroom 1.00 health 1.00, 1200 microusd, 1.204 s) > claude/haiku 0.64 (…); no tools: local/llama; plan: openai, claude
func (d *Decision) Explain() string {
	b := make([]byte, 0, 1024)
	b = append(appendName(b, d.Route), ' ')
	b = append(b, d.Strategy...)
	if d.Strategy.Scores() {
		b = appendPart(b, " (price ", d.Weights.Price)
		b = appendPart(b, " latency ", d.Weights.Latency)
		b = appendPart(b, " quality ", d.Weights.Quality)
		b = appendPart(b, " headroom ", d.Weights.Headroom)
		b = strconv.AppendInt(append(b, ", "...), d.Tokens, 10)
		b = append(b, " output tokens)"...)
	}
	b = append(b, ':')
	for i := range d.Candidates {
		b = d.appendCandidate(b, i)
	}
	if d.Left > 0 {
		b = append(b, "; and "...)
		b = strconv.AppendInt(b, int64(d.Left), 10)
		b = append(b, " more"...)
	}
	return string(d.appendPlan(b))
}

// appendPlan writes what follows from the scores.
func (d *Decision) appendPlan(b []byte) []byte {
	if d.Arm != "" {
		b = appendName(append(b, "; arm: "...), d.Arm)
	}
	if d.Mirror != nil {
		b = appendName(append(b, "; mirrored to: "...), d.Mirror.Model.Ref)
	}
	if d.Wait > 0 {
		b = append(append(b, "; rate-limited for "...), d.Wait.String()...)
	}
	if len(d.Plan) > 0 {
		b = append(b, "; plan: "...)
	}
	for i := range d.Plan {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendName(b, d.Plan[i].Group)
		if wait := d.Plan[i].Backoff; wait > 0 {
			b = append(append(b, " after "...), wait.String()...)
		}
	}
	return b
}

func (d *Decision) appendCandidate(b []byte, i int) []byte {
	c := &d.Candidates[i]
	switch {
	case c.Excluded != Able:
		b = append(append(append(b, "; "...), c.Excluded.String()...), ": "...)
		return appendModel(b, c)
	case i > 0:
		b = append(b, " >"...)
	}
	b = appendModel(append(b, ' '), c)
	b = appendPart(b, " ", c.Score)
	b = appendPart(b, " (price ", c.Price)
	b = appendPart(b, " latency ", c.Latency)
	b = appendPart(b, " quality ", c.Quality)
	b = appendPart(b, " headroom ", c.Headroom)
	b = appendPart(b, " health ", c.Health)
	if c.Cost != unpricedCost {
		b = strconv.AppendInt(append(b, ", "...), int64(c.Cost), 10)
		b = append(b, " microusd"...)
	}
	if c.Seconds > 0 {
		b = strconv.AppendFloat(append(b, ", "...), c.Seconds, 'f', 3, 64)
		b = append(b, " s"...)
	}
	b = append(b, ')')
	if c.Lifted != NoLift {
		b = append(append(b, ' '), c.Lifted.String()...)
	}
	if !c.Usable {
		b = append(b, " down"...)
	}
	return b
}

func appendModel(b []byte, c *Scored) []byte {
	b = append(appendName(b, string(c.Model.Provider.Name)), '/')
	return appendName(b, c.Model.ID)
}

func appendPart(b []byte, label string, v float64) []byte {
	return strconv.AppendFloat(append(b, label...), v, 'f', 2, 64)
}

// appendName writes a name that a client may have made up: only what a header can hold, and not endlessly.
func appendName(b []byte, s string) []byte {
	for i := 0; i < len(s) && i < 80; i++ {
		if c := s[i]; c > ' ' && c < 0x7f {
			b = append(b, c)
		} else {
			b = append(b, '?')
		}
	}
	return b
}

// MarshalJSON writes a candidate as `dragoman check` and the admin API show it.
func (c Scored) MarshalJSON() ([]byte, error) {
	out := struct {
		Provider string   `json:"provider"`
		Model    string   `json:"model"`
		Score    float64  `json:"score"`
		Price    float64  `json:"price"`
		Latency  float64  `json:"latency"`
		Quality  float64  `json:"quality"`
		Headroom float64  `json:"headroom"`
		Health   float64  `json:"health"`
		Weight   float64  `json:"weight"`
		Cost     *int64   `json:"expected_microusd,omitempty"` // absent: unknown
		Seconds  *float64 `json:"expected_seconds,omitempty"`
		Usable   bool     `json:"usable"`
		Lifted   string   `json:"lifted,omitempty"`
		Excluded string   `json:"excluded,omitempty"`
	}{
		Provider: string(c.Model.Provider.Name), Model: c.Model.Name, Score: c.Score, Price: c.Price, Latency: c.Latency, Quality: c.Quality,
		Headroom: c.Headroom, Health: c.Health, Weight: c.Weight, Usable: c.Usable, Lifted: c.Lifted.String(), Excluded: c.Excluded.String(),
	}
	if c.Cost != unpricedCost {
		cost := int64(c.Cost)
		out.Cost = &cost
	}
	if c.Seconds > 0 {
		out.Seconds = &c.Seconds
	}
	return json.Marshal(out)
}
