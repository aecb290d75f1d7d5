package gemini

import (
	"math"
	"strconv"

	"dragoman/translate/chat"
	"dragoman/translate/strictjson"
)

const (
	// maxStops is the service's limit of stopSequences.
	maxStops = 5
	// maxTemperature is the models' (D48).
	maxTemperature = 2
	// maxLogProbs is the service's limit of logprobs.
	maxLogProbs = 20
)

// settings writes the members of generationConfig.
type settings struct {
	b   []byte
	any bool
}

func (s *settings) key(name string) {
	if s.any {
		s.b = append(s.b, ',')
	}
	s.any = true
	s.b = append(append(append(s.b, '"'), name...), `":`...)
}

func (s *settings) int(name string, n int64) {
	s.key(name)
	s.b = strconv.AppendInt(s.b, n, 10)
}

func (s *settings) float(name string, f float64) {
	s.key(name)
	s.b = strconv.AppendFloat(s.b, f, 'g', -1, 64)
}

func (e *encoder) generationConfig(b []byte) []byte {
	from := len(b)
	s := settings{b: append(b, `,"generationConfig":{`...)}
	e.limits(&s)
	e.sampling(&s)
	e.format(&s)
	e.thinking(&s)
	if !s.any {
		return s.b[:from]
	}
	return append(s.b, '}')
}

func (e *encoder) limits(s *settings) {
	r := e.r
	if r.MaxTokens != nil {
		n := *r.MaxTokens
		if e.t.MaxOutput > 0 {
			n = min(n, e.t.MaxOutput) // more is refused, and never more output
		}
		s.int("maxOutputTokens", min(n, maxTokens))
	}
	if r.N != nil && *r.N > 1 { // D56
		s.int("candidateCount", *r.N)
	}
	e.stops(s)
}

// stops writes the stop sequences, of which there may be five; a blank one is refused (D53).
func (e *encoder) stops(s *settings) {
	n := 0
	for _, stop := range e.r.Stop {
		switch {
		case stop == "":
			e.drop("stop")
			continue
		case n == maxStops:
			e.lose("stop", "Google's models take at most %d stop sequences.", maxStops)
			continue
		case n == 0:
			s.key("stopSequences")
			s.b = append(s.b, '[')
		default:
			s.b = append(s.b, ',')
		}
		s.b = strictjson.AppendString(s.b, stop)
		n++
	}
	if n > 0 {
		s.b = append(s.b, ']')
	}
}

func (e *encoder) sampling(s *settings) {
	r := e.r
	if t := r.Temperature; t != nil {
		if *t > maxTemperature {
			e.drop("temperature") // clamped
		}
		s.float("temperature", min(*t, maxTemperature))
	}
	if r.TopP != nil {
		s.float("topP", *r.TopP)
	}
	if r.TopK != nil {
		s.int("topK", *r.TopK)
	}
	if r.Seed != nil { // an int32: one that does not fit is not cut down to another one (D55)
		if *r.Seed < math.MinInt32 || *r.Seed > math.MaxInt32 {
			e.drop("seed")
		} else {
			s.int("seed", *r.Seed)
		}
	}
	e.penalty(s, "presence_penalty", "presencePenalty", r.PresencePenalty)
	e.penalty(s, "frequency_penalty", "frequencyPenalty", r.FrequencyPenalty)
	if r.LogProbs != nil && *r.LogProbs {
		s.key("responseLogprobs")
		s.b = append(s.b, "true"...)
		if n := r.TopLogProbs; n != nil && *n > 0 {
			s.int("logprobs", min(*n, maxLogProbs))
		}
	}
}

// penalty: newer models refuse penalties (D50). 0 is the default everywhere.
func (e *encoder) penalty(s *settings, client, name string, p *float64) {
	switch {
	case p == nil || *p == 0:
	case !e.traits.penalties:
		e.drop(client)
	default:
		s.float(name, *p)
	}
}

// format writes structured output (D61, D62).
func (e *encoder) format(s *settings) {
	if e.r.Format == nil {
		return
	}
	s.key("responseMimeType")
	s.b = append(s.b, `"application/json"`...)
	if e.schema == nil {
		return
	}
	if e.traits.jsonSchema {
		s.key("responseJsonSchema")
	} else {
		s.key("responseSchema")
	}
	s.b = append(s.b, e.schema...)
}

// budgets turns an effort into tokens for models that take only a budget: the figures of Google's own OpenAI-compatible
// endpoint. More than high is as much as the model has.
var budgets = map[string]int64{"minimal": 1024, "low": 1024, "medium": 8192, "high": 24_576, "xhigh": math.MaxInt32, "max": math.MaxInt32}

// levels turns an effort into a level; a budget counts as the effort that comes nearest.
var levels = map[string]string{"minimal": "MINIMAL", "low": "LOW", "medium": "MEDIUM", "high": "HIGH", "xhigh": "HIGH", "max": "HIGH"}

// thinking says how much to think, in the one way that the model has (D59), and that the thoughts be shown.
func (e *encoder) thinking(s *settings) {
	rs := e.r.Reasoning
	if rs == nil {
		return
	}
	off := rs.Disabled || rs.Effort == "none"
	var how settings
	switch {
	case e.traits.levels:
		e.level(&how, rs, off)
	case e.traits.budget.high > 0:
		e.budget(&how, rs, off)
	default: // it does not think
		if !off {
			e.drop("reasoning_effort")
		}
		return
	}
	if !off && rs.Display != "omitted" {
		how.key("includeThoughts")
		how.b = append(how.b, "true"...)
	}
	if how.any {
		s.key("thinkingConfig")
		s.b = append(append(append(s.b, '{'), how.b...), '}')
	}
}

// level: these models cannot be kept from thinking, only told to think little.
func (e *encoder) level(s *settings, rs *chat.Reasoning, off bool) {
	level := levels[rs.Effort]
	switch {
	case off:
		e.drop("reasoning_effort")
		level = "MINIMAL"
	case level == "" && rs.Budget > 0:
		level = levelOf(rs.Budget)
	}
	if level == "MINIMAL" && !e.traits.minimal {
		level = "LOW"
	}
	if level == "MEDIUM" && !e.traits.medium {
		level = "HIGH"
	}
	if level != "" {
		s.key("thinkingLevel")
		s.b = append(append(append(s.b, '"'), level...), '"')
	}
}

func levelOf(budget int64) string {
	switch {
	case budget <= 1024:
		return "LOW"
	case budget <= 8192:
		return "MEDIUM"
	default:
		return "HIGH"
	}
}

// budget brings the wish into the model's range, and to at most half of the output cap, which counts thoughts too, so
// that an answer remains (D47). -1 lets the model decide.
func (e *encoder) budget(s *settings, rs *chat.Reasoning, off bool) {
	r := e.traits.budget
	want := rs.Budget
	if want <= 0 {
		want = budgets[rs.Effort]
	}
	switch {
	case off && r.off:
		s.int("thinkingBudget", 0)
		return
	case off:
		e.drop("reasoning_effort")
		want = r.low
	case want <= 0:
		s.int("thinkingBudget", -1)
		return
	}
	if n := e.r.MaxTokens; n != nil && want > *n/2 {
		want = *n / 2
	}
	s.int("thinkingBudget", min(max(want, r.low), r.high))
}
