package config

import (
	"strings"
	"sync/atomic"
	"time"
)

// MeterKind says what a meter counts.
type MeterKind uint8

// The kinds. Requests and tokens a minute flow off continuously; what is concurrent is given back at the end; budgets are spent.
const (
	MeterRequests     MeterKind = iota // a minute
	MeterTokens                        // a minute
	MeterConcurrent                    // requests at the same time
	MeterStreams                       // streamed requests at the same time
	MeterBudgetUSD                     // micro-USD in a window
	MeterBudgetTokens                  // tokens in a window
)

// String is the kind as metrics name it.
func (k MeterKind) String() string {
	return [...]string{"requests", "tokens", "concurrent_requests", "concurrent_streams", "usd_budget", "token_budget"}[k]
}

// Budget says whether the meter is one.
func (k MeterKind) Budget() bool { return k >= MeterBudgetUSD }

// Rate says whether what is counted flows off by itself.
func (k MeterKind) Rate() bool { return k <= MeterTokens }

// Mode says what happens at a limit.
type Mode uint8

// The modes.
const (
	Hard   Mode = iota // the request is refused
	Soft               // the client and the operator are told
	Shadow             // only metrics are
)

// String is the mode as the configuration and metrics name it.
func (m Mode) String() string { return [...]string{"hard", "soft", "shadow"}[m] }

// Unpriced says what a budget in USD makes of a request whose model has no known price.
type Unpriced uint8

// What it may make of it.
const (
	UnpricedRefuse Unpriced = iota
	UnpricedAssume
	UnpricedIgnore
)

// Meter is one limit or budget of one level of the hierarchy. It holds no count: those are kept by its Key.
type Meter struct {
	Key    string // of its counter among those of its organisation: the same over reloads for as long as it means the same
	Level  string // global, organisation:x, tenant:acme, team:acme/search, user:acme/search/ada, key:acme/search/ci
	Name   string // "requests per minute", or a budget's name
	Kind   MeterKind
	Mode   Mode
	Models []string // patterns; empty: of all requests
	Global bool     // of all organisations

	// Of budgets.
	Period    Period
	Overrides []Override
	WarnAt    []float64 // parts of the limit, ascending
	Unpriced  Unpriced
	Assumed   *Price // with UnpricedAssume

	limit   int64
	window  *atomic.Pointer[Window]
	counter *atomic.Pointer[counterName]
}

// counterName is a meter's counter among those of all organisations.
type counterName struct{ slot, name string }

// Override is another amount for a while.
type Override struct {
	Limit       int64 // micro-USD or tokens
	From, Until time.Time
	Reason      string
}

// NewMeter is a meter of that limit: requests, tokens or micro-USD.
func NewMeter(m Meter, limit int64) *Meter {
	m.limit, m.window, m.counter = limit, new(atomic.Pointer[Window]), new(atomic.Pointer[counterName])
	return &m
}

// Counter names the meter's counter among those of all organisations: that of a principal with this slot. What is global has one for all.
func (m *Meter) Counter(slot string) string {
	if m.Global {
		return m.Key
	}
	if c := m.counter.Load(); c != nil && c.slot == slot {
		return c.name
	}
	c := &counterName{slot, slot + "/" + m.Key}
	m.counter.Store(c)
	return c.name
}

// Limit is what holds at a time: requests, tokens or micro-USD.
func (m *Meter) Limit(now time.Time) int64 {
	for i := len(m.Overrides) - 1; i >= 0; i-- {
		if o := &m.Overrides[i]; !now.Before(o.From) && now.Before(o.Until) {
			return o.Limit
		}
	}
	return m.limit
}

// Window is the part of the calendar that a budget holds for at a time. A rolling one has none.
func (m *Meter) Window(now time.Time) Window {
	if w := m.window.Load(); w != nil && !now.Before(w.Start) && now.Before(w.End) {
		return *w
	}
	w := m.Period.Window(now)
	m.window.Store(&w)
	return w
}

// Concerns says whether a request that asks for r by that name counts: when the name, the route or a model that may serve it matches
// the meter's patterns.
func (m *Meter) Concerns(asked string, r *Route) bool {
	if len(m.Models) == 0 {
		return true
	}
	if matches(m.Models, asked) || matches(m.Models, r.Name) {
		return true
	}
	for i := range r.Candidates {
		if c := r.Candidates[i].Model; matches(m.Models, c.Name) || matches(m.Models, c.Ref) {
			return true
		}
	}
	return false
}

// Served says whether a request counts in the end: when the model that served it matches, or what was asked for.
func (m *Meter) Served(asked, route string, by *Model) bool {
	if len(m.Models) == 0 || by == nil {
		return true
	}
	return matches(m.Models, by.Name) || matches(m.Models, by.Ref) || matches(m.Models, asked) || matches(m.Models, route)
}

// matches says whether one of the patterns is name, or ends in a * and begins it.
func matches(patterns []string, name string) bool {
	for _, p := range patterns {
		if p == name {
			return true
		}
		if rest, ok := strings.CutSuffix(p, "*"); ok && strings.HasPrefix(name, rest) {
			return true
		}
	}
	return false
}

// Worst is what bounds the cost of a route's requests before it is known which candidate serves them.
type Worst struct {
	Input, Output MicroUSD // highest prices per million tokens, long prompts included; of the priced candidates
	MaxOutput     int64    // highest output cap, 0 when one is unknown
	Priced        bool     // a candidate has a price
	Unpriced      bool     // a candidate has none
}

// WorstOf looks at all candidates.
func WorstOf(candidates []Candidate) (w Worst) {
	capped := true
	for i := range candidates {
		m := candidates[i].Model
		if w.MaxOutput = max(w.MaxOutput, m.MaxOutput); m.MaxOutput == 0 {
			capped = false
		}
		if m.Price == nil {
			w.Unpriced = true
			continue
		}
		w.Priced = true
		in, out := m.Price.Highest()
		w.Input, w.Output = max(w.Input, in), max(w.Output, out)
	}
	if !capped {
		w.MaxOutput = 0
	}
	return w
}

// Highest are the prices per million tokens of the dearest class of input, and of output, whatever the prompt's length.
func (p *Price) Highest() (input, output MicroUSD) {
	input, output = max(p.Input, p.CacheRead, p.CacheWrite, p.CacheWrite1h), p.Output
	if p.Long != nil {
		in, out := p.Long.Highest()
		input, output = max(input, in), max(output, out)
	}
	return input, output
}

// Ceiling is the worst that a request of the route can cost.
func (r *Route) Ceiling() Worst {
	if r.Worst.Priced || r.Worst.Unpriced {
		return r.Worst
	}
	return WorstOf(r.Candidates)
}
