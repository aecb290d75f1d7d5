package config

import (
	"time"

	"dragoman/internal/rules"
)

// Strategy of a route.
type Strategy string

// The strategies.
const (
	Fallback   Strategy = "fallback"
	Weighted   Strategy = "weighted"
	Balanced   Strategy = "balanced"
	Cost       Strategy = "cost"
	Quality    Strategy = "quality"
	Latency    Strategy = "latency"
	Canarying  Strategy = "canary"
	Experiment Strategy = "experiment"
	Mirroring  Strategy = "mirror"
)

// Strategies lists them as the configuration says them.
func Strategies() []string {
	return []string{string(Balanced), string(Cost), string(Quality), string(Latency), string(Fallback), string(Weighted),
		string(Canarying), string(Experiment), string(Mirroring)}
}

// Scores says whether candidates are ordered by the composite score.
func (s Strategy) Scores() bool { return s != Fallback && s != Weighted && s != Experiment }

// presets are the weights of the composite score by strategy; balanced ones for those that are not listed.
var presets = map[Strategy]Weights{
	Balanced: DefaultWeights,
	Cost:     {Price: 0.75, Latency: 0.05, Quality: 0.15, Headroom: 0.05},
	Quality:  {Price: 0.10, Latency: 0.05, Quality: 0.80, Headroom: 0.05},
	Latency:  {Price: 0.10, Latency: 0.75, Quality: 0.10, Headroom: 0.05},
}

// Preset is the weights that a strategy has when a route sets none.
func (s Strategy) Preset() Weights {
	if w, ok := presets[s]; ok {
		return w
	}
	return DefaultWeights
}

// Routing is what a route says about choosing, beyond its strategy and candidates.
type Routing struct {
	LocalFirst float64 // a local candidate goes first from this part of the best score on
	Ceilings   Ceilings
	Canary     *Canary // of strategy canary
	Mirror     *Mirror // nil: none
	Sticky     Sticky
	Affinity   Affinity
	Queue      *Queue     // nil: nothing waits
	Downgrade  *Downgrade // nil: never
	ByTask     bool       // qualities differ by the class of task, and count
}

// Ceilings exclude candidates; a zero one excludes none.
type Ceilings struct {
	Cost        MicroUSD // of a request, expected
	InputPrice  MicroUSD // per million tokens
	OutputPrice MicroUSD
	Latency     time.Duration // expected to the end of the answer
	DataRegions []string
	Providers   []string
}

// CredentialLimits are what a provider grants one credential; 0: unlimited.
type CredentialLimits struct {
	ID          string // provider/credential
	Requests    uint64 // per minute
	Tokens      uint64 // per minute
	Concurrency uint64
}

// Sticky says what a weighted draw is kept for.
type Sticky string

// What it may be kept for.
const (
	StickyUser         Sticky = "user"         // the end user's id, else the key
	StickyConversation Sticky = "conversation" // its id, else its beginning
	StickyKey          Sticky = "key"
	StickyNone         Sticky = "none"
)

// Canary is a model on trial.
type Canary struct {
	Model       *Model
	ID          string // changes when the canary does: a rollback is of one canary
	Share       float64
	Ramp        []RampStep
	Start       time.Time // zero: when the process first reads it
	ErrorMargin float64
	// LatencyMargin is by how much longer three quarters of its answers may take to begin, as a part.
	LatencyMargin float64
	MinRequests   int
	Window        time.Duration
}

// RampStep is what the share becomes some time after the start.
type RampStep struct {
	After time.Duration
	Share float64
}

// ShareAt is the canary's share some time after its start.
func (c *Canary) ShareAt(since time.Duration) float64 {
	share := c.Share
	for _, step := range c.Ramp {
		if since >= step.After {
			share = step.Share
		}
	}
	return share
}

// Mirror is a model that gets a share of the requests as well.
type Mirror struct {
	Model       *Model
	Share       float64
	MaxInFlight int
}

// Affinity keeps conversations together.
type Affinity struct {
	On        bool
	MinTokens int64
	Load      float64 // 0: unbounded
	Tolerance float64
}

// Queue holds what nobody can take at once.
type Queue struct {
	Length int
	Wait   time.Duration
}

// Downgrade is for a route under pressure; zero figures are no pressure.
type Downgrade struct {
	Candidates []Candidate
	BudgetLeft float64
	Queue      float64
	Latency    time.Duration
}

// Rule decides before a route's strategy. Exactly one of Route, Providers and Refuse is set.
type Rule struct {
	Name      string
	When      *rules.Condition
	Route     *Route
	Providers []string
	Refuse    *Refusal
}

// Refusal is what a rule tells the client.
type Refusal struct{ Message, Kind string }
