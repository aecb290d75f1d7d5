package health

import (
	"math"
	"sync"
	"time"

	"dragoman/internal/config"
)

const (
	// prior is how many successes a cluster starts with and always falls back to: one failure of a quiet cluster says
	// little, and with nothing observed any more the weight is whole again, so that traffic returns by itself.
	prior = 3
	// evidence bounds how many attempts are remembered. At a thousand requests a second a ten-second outage would
	// otherwise outweigh minutes of successes.
	evidence = 100
	// ratioFrom is how many attempts it takes for the share of failures to say something.
	ratioFrom = 10

	limitPause    = time.Second      // after a 429 that does not say for how long; doubled each time in a row
	limitPauseMax = 30 * time.Second // bound of that doubling
	retryAfterMax = 15 * time.Minute // a provider that says "tomorrow" is asked again before
	deadPause     = 10 * time.Second // after a refused credential; doubled each time in a row
	deadPauseMax  = 5 * time.Minute  // bound of that doubling
	quotaPause    = time.Minute      // without credit: somebody has to pay first

	// jitter is the part of a pause that is left to chance, so that replicas do not come back in step.
	jitter = 0.2
	// rampFrom is the share of its traffic that a recovered cluster begins with.
	rampFrom = 0.1
	// trialMost bounds how long one trial keeps others away: its exchange ends it, unless that was lost.
	trialMost = 10 * time.Minute
	// trialGrace is for the outcome of a trial that is over to come in: a failure is reported by Envoy's log of attempts.
	trialGrace = 500 * time.Millisecond
)

// cluster is what is known of one cluster. Its lock is held for a few dozen nanoseconds an outcome.
type cluster struct {
	name     config.ClusterName
	secret   config.Secret
	provider *provider
	weight   uint32 // configured

	mu        sync.Mutex
	good, bad float64 // decayed to `at`
	at        time.Time
	run       float64 // failures in a row, as much as they weigh
	limit     pause   // the provider's rate limit, of all models
	out       outage
	healed    time.Time // slow start counts from here, zero: there is none
	trial     time.Time // one is under way, at the longest until then
	lease     time.Time // the replicas' leave for one, at the longest until then
	leaseWait time.Time // not asked for again before
	models    models

	lastClass   Class // last failure
	lastStatus  int
	lastFailure time.Time
}

// pause is a time to wait for, longer with each one in a row.
type pause struct {
	until   time.Time
	strikes int
}

// extend keeps the later of two deadlines: a short Retry-After must not shorten a long one (C12).
func (p *pause) extend(until time.Time) {
	if until.After(p.until) {
		p.until = until
	}
}

// strike doubles the pause with every one in a row. What arrives during a pause is of attempts made before: the same strike.
func (p *pause) strike(now time.Time, first, most time.Duration) time.Duration {
	if !now.Before(p.until) {
		p.strikes++
	}
	return min(first<<min(max(p.strikes-1, 0), 16), most)
}

// outage is why a cluster gets no requests at all but a trial.
type outage struct {
	pause
	why   State // Open or Dead, Healthy: there is none
	since time.Time
	last  time.Duration // how long the last one's pause was
}

// decay brings the counts to now.
func (c *cluster) decay(now time.Time, halfLife time.Duration) {
	dt := now.Sub(c.at)
	if dt <= 0 {
		return // a clock that went back, or reports that overtook each other
	}
	c.at = now
	if c.good == 0 && c.bad == 0 {
		return
	}
	f := math.Exp2(-float64(dt) / float64(halfLife))
	c.good, c.bad = c.good*f, c.bad*f
}

// report takes one outcome in. The note, when there is one, is what other replicas should know.
func (c *cluster) report(o *Outcome, now time.Time, s *settings) (n Note, tell bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decay(now, s.HalfLife)
	switch {
	case o.Class == Success && o.Check:
		return c.reach(now)
	case o.Class == Success:
		return c.succeed(o, now)
	}
	c.bad += o.Class.weight()
	c.bound()
	c.lastClass, c.lastStatus, c.lastFailure = o.Class, o.Status, now
	switch o.Class {
	case RateLimited, NoModel:
		return c.restrict(o, now)
	case Quota:
		return c.takeOut(Dead, now, quotaPause, deadPauseMax, s)
	case AuthDead:
		// A 403 may be about one model that the account lacks, which any client can ask for: it does not take the cluster away
		// from everybody.
		if o.Status == 403 {
			return c.restrict(o, now)
		}
		return c.takeOut(Dead, now, deadPause, deadPauseMax, s)
	default:
		return c.fail(o, now, s)
	}
}

// succeed counts a success and ends an outage. One that was under way before the outage proves nothing.
func (c *cluster) succeed(o *Outcome, now time.Time) (n Note, tell bool) {
	c.good++
	c.run = 0
	c.bound()
	if !now.Before(c.limit.until) {
		// It does not void a provider's Retry-After: it may have been under way before.
		c.limit.strikes = 0
	}
	c.models.succeed(o.Model, now)
	if c.out.why == Healthy || !o.Start.IsZero() && o.Start.Before(c.out.since) {
		return n, false
	}
	c.heal(now)
	return c.note(Healthy, "", now, now), true
}

// reach takes in that an active check went well. The credential is good again; whether requests are answered shows a trial, at once.
func (c *cluster) reach(now time.Time) (n Note, tell bool) {
	switch {
	case c.out.why == Dead:
		c.heal(now)
		return c.note(Healthy, "", now, now), true
	case c.out.why == Open && now.Before(c.out.until):
		c.out.until = now
	}
	return n, false
}

// heal ends an outage: what was counted in it is over, and the traffic returns step by step.
func (c *cluster) heal(now time.Time) {
	c.out.why, c.out.since = Healthy, now
	c.good, c.bad, c.run = 0, 0, 0
	c.healed, c.trial = now, time.Time{}
}

// fail feeds the breaker.
func (c *cluster) fail(o *Outcome, now time.Time, s *settings) (n Note, tell bool) {
	if !o.Start.IsZero() && (o.Start.Before(c.healed) || c.out.why != Healthy && o.Start.Before(c.out.since)) {
		return n, false // of an outage that is over, or begun before this one: a timeout may come in a minute later
	}
	c.run += o.Class.weight()
	switch {
	case c.out.why == Dead:
		return n, false // its credential is what to wait for
	case c.out.why == Open && now.Before(c.out.until):
		return n, false // made before it opened, or because there was nobody else
	case c.out.why == Open, c.run >= float64(s.Failures), c.good+c.bad >= ratioFrom && c.bad >= s.Ratio*(c.good+c.bad):
		return c.takeOut(Open, now, s.Backoff, s.MaxBackoff, s)
	}
	return n, false
}

// takeOut begins an outage, or a longer one when the last one's end was no good. Recovered for as long as it was out counts as good.
func (c *cluster) takeOut(why State, now time.Time, first, most time.Duration, s *settings) (Note, bool) {
	if c.out.why == Healthy && now.Sub(c.out.since) > max(2*c.out.last, 3*s.SlowStart) {
		c.out.strikes = 0
	}
	began := c.out.why != why || !now.Before(c.out.until)
	d := c.out.strike(now, first, most)
	c.out.last = d
	if c.out.why == Healthy {
		c.out.since = now
	}
	c.out.why, c.trial = why, time.Time{}
	if began {
		c.out.extend(now.Add(d + time.Duration(jitter*s.random()*float64(d))))
	}
	return c.note(why, "", c.out.until, now), began
}

// restrict takes in that a provider will not serve a model, or anything, for a time. Whether the time counts for the one model depends
// on how the provider limits.
func (c *cluster) restrict(o *Outcome, now time.Time) (Note, bool) {
	if o.Model != "" && (o.Class != RateLimited || c.provider.byModel.Load()) {
		until, ok := c.models.restrict(o, now)
		return c.note(Limited, o.Model, until, now), ok
	}
	if o.Class != RateLimited {
		return Note{}, false
	}
	d := min(o.RetryAfter, retryAfterMax)
	if d <= 0 {
		d = c.limit.strike(now, limitPause, limitPauseMax)
	}
	before := c.limit.until
	c.limit.extend(now.Add(d))
	return c.note(Limited, "", c.limit.until, now), c.limit.until.Sub(before) > 0
}

func (c *cluster) bound() {
	if n := c.good + c.bad; n > evidence {
		c.good, c.bad = c.good*evidence/n, c.bad*evidence/n
	}
}

// state at now.
func (c *cluster) state(now time.Time) (s State, retryAt time.Time) {
	switch {
	case c.out.why == Dead && now.Before(c.out.until):
		return Dead, c.out.until
	case now.Before(c.limit.until):
		return Limited, c.limit.until
	case c.out.why == Open && now.Before(c.out.until):
		return Open, c.out.until
	case c.out.why != Healthy:
		return HalfOpen, time.Time{}
	}
	return Healthy, time.Time{}
}

// status is what the view shows at now. Its percent is 0 for a cluster that gets nothing but a trial.
func (c *cluster) status(now time.Time, s *settings) Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decay(now, s.HalfLife)
	st := Status{
		Cluster: c.name, Provider: c.provider.name, Good: c.good, Bad: c.bad,
		LastFailure: c.lastFailure, LastStatus: c.lastStatus, weight: c.weight,
	}
	if c.lastClass != 0 {
		st.LastClass = c.lastClass.String()
	}
	if st.State, st.RetryAt = c.state(now); st.State != Healthy {
		return st
	}
	rate := (c.good + prior) / (c.good + c.bad + prior)
	ramp := c.ramp(now, s.SlowStart)
	if rate < 0.9 || ramp < 1 {
		st.State = Degraded
	}
	// Squared: at half the attempts failing a cluster gets a quarter of its traffic.
	st.Percent = min(100, max(s.Floor, uint32(math.Round(100*rate*rate*ramp))))
	return st
}

// ramp is the share that slow start leaves, from rampFrom to 1.
func (c *cluster) ramp(now time.Time, slow time.Duration) float64 {
	from := c.healed
	if c.limit.until.After(from) {
		from = c.limit.until // all traffic at once would meet the next limit
	}
	if from.IsZero() || slow <= 0 {
		return 1
	}
	return min(1, rampFrom+(1-rampFrom)*max(0, float64(now.Sub(from))/float64(slow)))
}

// begin says whether a trial may be made now, and counts it as begun. leased says that other replicas have a say.
func (c *cluster) begin(now time.Time, leased bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if st, _ := c.state(now); st != HalfOpen || now.Before(c.trial) || leased && !now.Before(c.lease) {
		return false
	}
	c.trial = now.Add(trialMost)
	return true
}
