package config

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/translate/chat"
)

// Health says how results become cluster weights.
type Health struct {
	HalfLife            time.Duration // of what was observed
	Floor               uint32        // percent of the configured weight
	Failures            uint32        // in a row, that take a cluster out
	Ratio               float64       // of failures among recent attempts, that takes it out
	Backoff, MaxBackoff time.Duration // for how long
	SlowStart           time.Duration // until it has all of its traffic again; negative: at once
	Panic               uint32        // percent of a provider's weight that has to be left
}

// The defaults of Health.
const (
	defaultHalfLife   = 10 * time.Second
	defaultFloor      = 1
	defaultFailures   = 5
	defaultRatio      = 0.5
	defaultOpen       = time.Second
	defaultOpenMost   = time.Minute
	defaultSlowStart  = 10 * time.Second
	defaultPanic      = 10
	defaultCheck      = 10 * time.Second
	defaultCheckMost  = 2 * time.Second
	defaultBudget     = 20
	leastRetryAllowed = 10
)

// WithDefaults fills in what is zero.
func (h Health) WithDefaults() Health {
	h.HalfLife, h.Floor, h.Failures, h.Ratio = or(h.HalfLife, defaultHalfLife), min(100, or(h.Floor, defaultFloor)), or(h.Failures, defaultFailures), or(h.Ratio, defaultRatio)
	h.Backoff, h.MaxBackoff = or(h.Backoff, defaultOpen), or(h.MaxBackoff, defaultOpenMost)
	h.SlowStart, h.Panic = or(h.SlowStart, defaultSlowStart), or(h.Panic, defaultPanic)
	return h
}

// ActiveCheck is what each cluster of a provider is asked for at an interval.
type ActiveCheck struct {
	Path              string // with the provider's base path
	Interval, Timeout time.Duration
}

// What a provider's rate limits count.
const (
	LimitedByModel      = "model"
	LimitedByCredential = "credential"
)

// Mark tells credentials apart without telling them: 8 hex digits, "" without one.
func (s Secret) Mark() string {
	if s.value == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("dragoman health " + s.value))
	return hex.EncodeToString(sum[:4])
}

// healthDefaults fill in what the configuration leaves out of health, active checks and a budget of retries.
func healthDefaults(cfg *dragomanv1.Config) {
	h := orNew(cfg.Health)
	cfg.Health = h
	h.HalfLife = orDuration(h.HalfLife, defaultHalfLife)
	h.Floor = or(h.Floor, defaultFloor)
	h.Failures = or(h.Failures, defaultFailures)
	h.FailureRatio = or(h.FailureRatio, defaultRatio)
	h.Backoff = orDuration(h.Backoff, defaultOpen)
	h.MaxBackoff = orDuration(h.MaxBackoff, max(defaultOpenMost, h.Backoff.AsDuration()))
	h.SlowStart = orDuration(h.SlowStart, defaultSlowStart)
	h.Panic = or(h.Panic, defaultPanic)
	cfg.Retry.Budget = orPointer(cfg.Retry.Budget, defaultBudget)
	for _, p := range cfg.Providers {
		if p.Check != nil {
			p.Check.Path = or(p.Check.Path, checkPath(p))
			p.Check.Interval = orDuration(p.Check.Interval, defaultCheck)
			p.Check.Timeout = orDuration(p.Check.Timeout, min(defaultCheckMost, p.Check.Interval.AsDuration()))
		}
		p.LimitedBy = or(p.LimitedBy, limitedBy(p))
	}
}

// checkPath is where a provider lists its models, "" when it does not beside its other paths.
func checkPath(p *dragomanv1.Provider) string {
	if p.Schema == string(chat.Bedrock) || p.Dialect == "vertex" || p.Dialect == "azure" && p.ApiVersion != "" {
		return ""
	}
	return "/models"
}

func limitedBy(p *dragomanv1.Provider) string {
	if p.Schema == string(chat.Cohere) {
		return LimitedByCredential
	}
	return LimitedByModel
}

// health compiles the settings; fields has checked each by itself.
func (b *builder) health() {
	h := b.cfg.Health
	b.snap.Health = Health{
		HalfLife: h.HalfLife.AsDuration(), Floor: h.Floor, Failures: h.Failures, Ratio: h.FailureRatio,
		Backoff: h.Backoff.AsDuration(), MaxBackoff: h.MaxBackoff.AsDuration(), SlowStart: h.SlowStart.AsDuration(), Panic: h.Panic,
	}
	if b.snap.Health.SlowStart == 0 {
		b.snap.Health.SlowStart = -1 // 0 would be the default
	}
	if h.Backoff.AsDuration() > h.MaxBackoff.AsDuration() {
		b.fail("health.backoff", "must not be longer than health.max_backoff (%s)", h.MaxBackoff.AsDuration())
	}
}

// check compiles a provider's active check.
func (b *builder) check(path string, p *dragomanv1.Provider, out *Provider) {
	out.LimitedBy = p.LimitedBy
	c := p.Check
	if c == nil {
		return
	}
	switch {
	case c.Path == "":
		b.fail(path+".check.path", "is missing: this provider has no list of models to ask for")
	case !strings.HasPrefix(c.Path, "/") || strings.ContainsFunc(c.Path, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		b.fail(path+".check.path", "must begin with / and hold visible ASCII characters alone")
	case c.Timeout.AsDuration() > c.Interval.AsDuration():
		b.fail(path+".check.timeout", "must not be longer than check.interval (%s)", c.Interval.AsDuration())
	}
	b.loopback()
	out.Check = &ActiveCheck{Path: c.Path, Interval: c.Interval.AsDuration(), Timeout: c.Timeout.AsDuration()}
}

// routeRetry is the settings of a route: its own, and of the rest the top level's.
func (b *builder) routeRetry(path string, r *dragomanv1.RouteRetry) *Retry {
	if r == nil {
		return nil
	}
	out := b.snap.Retry
	out.MaxAttempts = or(int(r.MaxAttempts), out.MaxAttempts)
	if r.Timeout != nil {
		out.Timeout = r.Timeout.AsDuration()
		out.PerTryTimeout = min(out.PerTryTimeout, out.Timeout)
	}
	if r.PerTryTimeout != nil {
		out.PerTryTimeout = r.PerTryTimeout.AsDuration()
	}
	if r.IdleTimeout != nil {
		out.IdleTimeout = r.IdleTimeout.AsDuration()
	}
	if r.Backoff != nil {
		out.Backoff = r.Backoff.AsDuration()
	}
	out.Probe = or(Probe(r.Probe), out.Probe)
	if out.PerTryTimeout > out.Timeout {
		b.fail(path+".per_try_timeout", "must not be longer than the route's timeout (%s)", out.Timeout)
	}
	return &out
}

// policyFallback resolves who is asked when a provider's content policy refuses.
func (b *builder) policyFallback(path, model string) *Model {
	if model == "" {
		return nil
	}
	models := b.candidate(path, &dragomanv1.Candidate{Model: model})
	if len(models) == 0 {
		return nil
	}
	return models[0]
}

// RetryOf is how the attempts of a route's requests follow each other.
func (s *Snapshot) RetryOf(r *Route) *Retry {
	if r != nil && r.Retry != nil {
		return r.Retry
	}
	return &s.Retry
}

// MostRetry is the largest of all routes' settings, for what Envoy needs to know once.
func (s *Snapshot) MostRetry() Retry {
	most := s.Retry
	for _, r := range s.Routes {
		if r.Retry != nil {
			most.MaxAttempts = max(most.MaxAttempts, r.Retry.MaxAttempts)
			most.Timeout = max(most.Timeout, r.Retry.Timeout)
			most.PerTryTimeout = max(most.PerTryTimeout, r.Retry.PerTryTimeout)
			if r.Retry.Probe != ProbeNone && most.Probe == ProbeNone {
				most.Probe = r.Retry.Probe
			}
		}
		if r.OnContentPolicy != nil {
			most.MaxAttempts = max(most.MaxAttempts, s.RetryOf(r).MaxAttempts+1)
			if most.Probe == ProbeNone {
				most.Probe = ProbeStreams
			}
		}
	}
	return most
}

// RetriesAllowed is how many of the requests in flight may be at a further attempt at a provider that has failed them.
func (r *Retry) RetriesAllowed(inFlight int64) int64 {
	return max(leastRetryAllowed, inFlight*int64(r.Budget)/100)
}
