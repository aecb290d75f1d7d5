package route

import (
	"encoding/json"
	"strconv"
)

// maxExplained bounds how many candidates an explanation lists: it is a header's value.
const maxExplained = 20

// Explain says in one line of printable ASCII, fit for a header, why the plan is what it is:
//
//	auto balanced: openai/gpt-5-mini 0.82 (price 1.00 latency 0.71 quality 0.70 health 1.00) > claude/haiku 0.64 (…); no tools: local/llama; plan: openai, claude
func (d *Decision) Explain() string {
	b := make([]byte, 0, 512)
	b = append(appendName(b, d.Route), ' ')
	b = append(append(b, d.Strategy...), ':')
	for i := range d.Candidates {
		if i == maxExplained {
			b = append(b, " and "...)
			b = strconv.AppendInt(b, int64(len(d.Candidates)-i), 10)
			b = append(b, " more"...)
			break
		}
		b = d.appendCandidate(b, i)
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
	return string(b)
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
	b = append(appendPart(b, " health ", c.Health), ')')
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
func (s Scored) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Provider string  `json:"provider"`
		Model    string  `json:"model"`
		Score    float64 `json:"score"`
		Price    float64 `json:"price"`
		Latency  float64 `json:"latency"`
		Quality  float64 `json:"quality"`
		Health   float64 `json:"health"`
		Weight   float64 `json:"weight"`
		Usable   bool    `json:"usable"`
		Excluded string  `json:"excluded,omitempty"`
	}{
		string(s.Model.Provider.Name), s.Model.Name, s.Score, s.Price, s.Latency, s.Quality, s.Health, s.Weight, s.Usable, s.Excluded.String(),
	})
}
