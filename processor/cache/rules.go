package cache

import (
	"math"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

// Cacheable says whether a request may be answered from the cache at all. Not so: several answers at once, a temperature
// above the rules' (the caller wants variety; without one it is 1, as all schemas have it), any parameter that this package
// does not know, which may be a search of the web, and, unless the rules say otherwise, tools and what they answered (an
// agent's next step depends on the world), images and documents. What a URL shows changes, so that one is never cached; nor
// is what a provider does on its own side.
func Cacheable(r *chat.Request, rules config.CacheRules) bool {
	switch {
	case r.Embedding != nil, r.Rerank != nil, r.N != nil && *r.N > 1, temperature(r) > rules.MaxTemperature:
		return false
	}
	for i := range r.Tools {
		if !rules.Tools || r.Tools[i].Kind != "" {
			return false
		}
	}
	for i := range r.Messages {
		if !partsCacheable(r.Messages[i].Parts, rules) {
			return false
		}
	}
	for i := range r.Extra {
		if classify(r.Extra[i].Name) == unknownExtra {
			return false
		}
	}
	return true
}

func temperature(r *chat.Request) float64 {
	if r.Temperature == nil {
		return 1
	}
	return *r.Temperature
}

func partsCacheable(ps []chat.Part, rules config.CacheRules) bool {
	for i := range ps {
		p := &ps[i]
		switch p.Kind {
		case chat.Text, chat.Thinking, chat.RedactedThinking, chat.Refusal:
		case chat.Image, chat.Document:
			if !rules.Images || p.Media == nil || p.Media.Data == "" {
				return false
			}
		case chat.ToolCall:
			if !rules.Tools {
				return false
			}
		case chat.ToolResult:
			if !rules.Tools || p.Result == nil || !partsCacheable(p.Result.Parts, rules) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// Storable says whether an answer is whole and worth repeating: every choice has content and stopped by itself, at a stop
// sequence or at the cap that the request set; a tool's call is content where the rules have tools. A refusal, a content
// filter's work or a pause may be different next time.
func Storable(r *chat.Response, rules config.CacheRules) bool {
	if r == nil || len(r.Choices) == 0 {
		return false
	}
	for i := range r.Choices {
		if !choiceStorable(&r.Choices[i], rules.Tools) {
			return false
		}
	}
	return true
}

func choiceStorable(c *chat.Choice, tools bool) bool {
	switch c.Finish {
	case chat.FinishStop, chat.FinishStopSequence, chat.FinishLength:
	case chat.FinishToolCalls:
		if !tools {
			return false
		}
	default:
		return false
	}
	content := false
	for i := range c.Parts {
		switch c.Parts[i].Kind {
		case chat.Text:
			content = content || c.Parts[i].Text != ""
		case chat.ToolCall:
			if !tools {
				return false
			}
			content = true
		case chat.Refusal:
			return false
		}
	}
	return content
}

// Directives are what a client's cache-control asks for (RFC 9111, section 5.2.1), as far as it means something here. The
// zero value asks for nothing.
type Directives struct {
	NoStore   bool // neither ask the cache nor fill it
	NoCache   bool // fill it, but don't ask
	HasMaxAge bool
	MaxAge    time.Duration // answers that are older are not wanted
}

// Read adds what one cache-control header says. A max-age that is no number asks for an answer of this moment, as the RFC
// advises.
func (d *Directives) Read(header string) {
	for header != "" {
		var one string
		one, header, _ = strings.Cut(header, ",")
		name, value, _ := strings.Cut(strings.TrimSpace(one), "=")
		switch name = strings.TrimSpace(name); {
		case strings.EqualFold(name, "no-store"):
			d.NoStore = true
		case strings.EqualFold(name, "no-cache"):
			d.NoCache = true
		case strings.EqualFold(name, "max-age"):
			d.maxAge(strings.Trim(value, `" `))
		}
	}
}

func (d *Directives) maxAge(value string) {
	// A number too large for the parser means, and is given as, the largest.
	seconds, err := strconv.ParseUint(value, 10, 32)
	if err != nil && seconds != math.MaxUint32 {
		seconds = 0
	}
	age := time.Duration(seconds) * time.Second
	if age == 0 {
		d.NoCache = true
	}
	if !d.HasMaxAge || age < d.MaxAge {
		d.HasMaxAge, d.MaxAge = true, age
	}
}
