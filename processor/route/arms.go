package route

import (
	"fmt"
	"math"
	"sort"
	"strings"
	"sync"
	"time"

	"dragoman/internal/config"
)

// The names of a canary's two arms.
const (
	canaryArm   = "canary"
	baselineArm = "baseline"
)

type armKey struct{ route, arm string }

func (k armKey) clone() armKey { return armKey{strings.Clone(k.route), strings.Clone(k.arm)} }

// Arm is what became of the requests of one arm of a canary or an experiment.
type Arm struct {
	mu     sync.Mutex
	totals Totals
	first  series // to the first token or, of an answer that was not streamed, to its end
}

// Totals are an arm's results since the process began.
type Totals struct {
	Requests uint64 `json:"requests"`
	Failed   uint64 `json:"failed"` // the arm's own model gave no answer, be it that another one did
	Input    int64  `json:"input_tokens"`
	Output   int64  `json:"output_tokens"`
	Cost     int64  `json:"cost_microusd"`
}

// Result is what became of one request of an arm.
type Result struct {
	Failed        bool
	First         time.Duration // 0: unknown
	Input, Output int64         // tokens
	Cost          config.MicroUSD
}

// Report takes in what became of a request that Decision.Arm was chosen for. It says whether a canary was rolled back by it, and why.
func (l *Learnt) Report(r *config.Route, arm string, res Result, now time.Time) (rolledBack string) {
	if l == nil || arm == "" {
		return ""
	}
	if a := l.arms.ensure(armKey{r.Name, arm}, armKey.clone); a != nil {
		a.mu.Lock()
		a.totals.Requests++
		if res.Failed {
			a.totals.Failed++
		}
		a.totals.Input, a.totals.Output, a.totals.Cost = a.totals.Input+res.Input, a.totals.Output+res.Output, a.totals.Cost+int64(res.Cost)
		a.mu.Unlock()
		if res.First > 0 && !res.Failed {
			a.first.observe(res.First, now)
		}
	}
	if r.Canary == nil {
		return ""
	}
	if t := l.trials.ensure(r.Canary.ID, strings.Clone); t != nil {
		return t.report(r.Canary, arm == canaryArm, res, now)
	}
	return ""
}

// trial is one canary on its way: what was observed of both arms since it began.
type trial struct {
	mu       sync.Mutex
	started  time.Time
	canary   tally
	baseline tally
	ended    time.Time // rolled back, zero: not
	why      string
}

// tally is a fading count.
type tally struct {
	seen    int // not faded
	n, bad  float64
	at      time.Time
	latency series
}

func (t *tally) add(res Result, window time.Duration, now time.Time) {
	if dt := now.Sub(t.at); dt > 0 {
		f := math.Exp2(-float64(dt) / float64(window))
		t.n, t.bad, t.at = t.n*f, t.bad*f, now
	}
	t.seen++
	t.n++
	if res.Failed {
		t.bad++
	} else if res.First > 0 {
		t.latency.observe(res.First, now)
	}
}

func (t *tally) rate() float64 {
	if t.n == 0 {
		return 0
	}
	return t.bad / t.n
}

// report adds a result and judges.
func (t *trial) report(c *config.Canary, canary bool, res Result, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.started.IsZero() {
		t.started = now
	}
	if !canary {
		t.baseline.add(res, c.Window, now)
		return ""
	}
	t.canary.add(res, c.Window, now)
	if !t.ended.IsZero() {
		return ""
	}
	if why := t.judge(c, now); why != "" {
		t.ended, t.why = now, why
		return why
	}
	return ""
}

// chance is how many standard deviations a difference of error rates may be by chance: it is looked at after each request.
const chance = 2.5

// noticeable is a difference of latency in seconds that a person can feel; a share of very quick answers is noise.
const noticeable = 0.05

// deviation is the standard deviation of the difference of two error rates that are the same in truth.
func (t *trial) deviation() float64 {
	n, m := t.canary.n, t.baseline.n
	if n == 0 || m == 0 {
		return 0
	}
	p := (t.canary.bad + t.baseline.bad) / (n + m)
	return math.Sqrt(p * (1 - p) * (1/n + 1/m))
}

// judge says why a canary is to be taken back, "" when it is not.
func (t *trial) judge(c *config.Canary, now time.Time) string {
	if t.canary.seen < c.MinRequests {
		return ""
	}
	if worse, base := t.canary.rate(), t.baseline.rate(); worse > base+c.ErrorMargin && worse-base > chance*t.deviation() {
		return fmt.Sprintf("error rate %.3f against %.3f", worse, base)
	}
	slow, ok := t.canary.latency.read(now)
	base, known := t.baseline.latency.read(now)
	if ok && known && t.baseline.seen >= c.MinRequests && slow > base*(1+c.LatencyMargin) && slow-base > noticeable {
		return fmt.Sprintf("three quarters of the answers begin within %.3f s against %.3f s", slow, base)
	}
	return ""
}

// share is what part of the requests a canary gets now.
func (l *Learnt) share(c *config.Canary, now time.Time) float64 {
	if l == nil {
		return c.ShareAt(0)
	}
	t := l.trials.ensure(c.ID, strings.Clone)
	if t == nil {
		return 0
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.ended.IsZero() {
		return 0
	}
	if t.started.IsZero() {
		t.started = now
	}
	start := c.Start
	if start.IsZero() {
		start = t.started
	}
	if now.Before(start) {
		return 0
	}
	return c.ShareAt(now.Sub(start))
}

// Status is what operators see of a route that is on trial.
type Status struct {
	Route    string          `json:"route"`
	Strategy config.Strategy `json:"strategy"`
	Canary   *CanaryStatus   `json:"canary,omitempty"`
	Arms     []ArmStatus     `json:"arms,omitempty"`
}

// CanaryStatus is where a canary stands.
type CanaryStatus struct {
	Model      string    `json:"model"`
	Share      float64   `json:"share"`
	RolledBack bool      `json:"rolled_back"`
	Why        string    `json:"why,omitempty"`
	Since      time.Time `json:"since,omitzero"` // rolled back
}

// ArmStatus is an arm's results.
type ArmStatus struct {
	Arm string `json:"arm"`
	Totals
	First float64 `json:"first_seconds_p75"` // of those of the last minutes; 0: unknown
}

// Status lists the routes of a configuration that are on trial.
func (l *Learnt) Status(s *config.Snapshot, now time.Time) []Status {
	var list []Status
	for _, r := range s.Routes {
		if r.Canary == nil && r.Strategy != config.Experiment {
			continue
		}
		st := Status{Route: r.Name, Strategy: r.Strategy}
		if c := r.Canary; c != nil {
			st.Canary = &CanaryStatus{Model: c.Model.Ref, Share: l.share(c, now)}
			if t := l.trials.get(c.ID); t != nil {
				t.mu.Lock()
				st.Canary.RolledBack, st.Canary.Why, st.Canary.Since = !t.ended.IsZero(), t.why, t.ended
				t.mu.Unlock()
			}
		}
		l.arms.each(func(k armKey, a *Arm) {
			if k.route == r.Name {
				st.Arms = append(st.Arms, a.status(k.arm, now))
			}
		})
		sort.Slice(st.Arms, func(i, j int) bool { return st.Arms[i].Arm < st.Arms[j].Arm })
		list = append(list, st)
	}
	return list
}

func (a *Arm) status(name string, now time.Time) ArmStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	st := ArmStatus{Arm: name, Totals: a.totals}
	st.First, _ = a.first.read(now)
	return st
}

// ArmOf is the arm that a model belongs to, "" for a route that is not on trial.
func ArmOf(r *config.Route, m *config.Model) string {
	if r.Canary != nil {
		if m == r.Canary.Model {
			return canaryArm
		}
		return baselineArm
	}
	if r.Strategy == config.Experiment {
		for i := range r.Candidates {
			if r.Candidates[i].Model == m {
				return r.Candidates[i].Variant
			}
		}
	}
	return ""
}
