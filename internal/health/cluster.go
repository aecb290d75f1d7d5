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
	// otherwise outweigh minutes of successes at the small weight that the outage left.
	evidence = 100

	limitPause    = time.Second      // after a 429 that does not say for how long; doubled each time in a row
	limitPauseMax = 30 * time.Second // bound of that doubling
	retryAfterMax = 15 * time.Minute // a provider that says "tomorrow" is asked again before
	deadPause     = 10 * time.Second // after a refused credential; doubled each time in a row
	deadPauseMax  = 5 * time.Minute  // bound of that doubling
)

// cluster is what is known of one cluster. Its lock is held for a few dozen nanoseconds an outcome.
type cluster struct {
	name     config.ClusterName
	secret   config.Secret
	provider *provider

	mu          sync.Mutex
	good, bad   float64 // decayed to `at`
	at          time.Time
	retryAt     time.Time // blocked until then
	blocked     State     // Limited or Dead, why
	strikes     int       // blocks in a row, without a success after one of them
	lastClass   Class     // last failure
	lastStatus  int
	lastFailure time.Time
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

// report takes one outcome in.
func (c *cluster) report(o *Outcome, now time.Time, halfLife time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decay(now, halfLife)
	if o.Class == Success {
		c.good++
		c.bound()
		if !now.Before(c.retryAt) || c.blocked == Dead {
			// A success proves the credential. It does not void a provider's Retry-After: it may have been under way before.
			c.strikes, c.retryAt = 0, time.Time{}
		}
		return
	}
	c.bad += o.Class.weight()
	c.bound()
	c.lastClass, c.lastStatus, c.lastFailure = o.Class, o.Status, now
	switch {
	case o.Class == RateLimited && o.RetryAfter > 0:
		c.block(Limited, now, min(o.RetryAfter, retryAfterMax))
	case o.Class == RateLimited:
		c.block(Limited, now, c.pause(now, limitPause, limitPauseMax))
	case o.Class == AuthDead && o.Status != 403:
		// A 403 may be about one model that the account lacks, which any client can ask for: it counts as a failure and does
		// not take the cluster away from everybody.
		c.block(Dead, now, c.pause(now, deadPause, deadPauseMax))
	}
}

// pause doubles with every block in a row. Outcomes that arrive while the cluster is blocked are of attempts made
// before: they are the same strike.
func (c *cluster) pause(now time.Time, first, most time.Duration) time.Duration {
	if !now.Before(c.retryAt) {
		c.strikes++
	}
	d := first << min(max(c.strikes-1, 0), 16)
	return min(d, most)
}

// block keeps the later of two deadlines: a short Retry-After must not shorten a long one.
func (c *cluster) block(why State, now time.Time, d time.Duration) {
	if until := now.Add(d); until.After(c.retryAt) {
		c.retryAt, c.blocked = until, why
	}
}

func (c *cluster) bound() {
	if n := c.good + c.bad; n > evidence {
		c.good, c.bad = c.good*evidence/n, c.bad*evidence/n
	}
}

// status is what the view shows at now. floor is in percent, 1..100.
func (c *cluster) status(now time.Time, halfLife time.Duration, floor uint32) Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.decay(now, halfLife)
	rate := (c.good + prior) / (c.good + c.bad + prior)
	s := Status{
		Cluster: c.name, Provider: c.provider.name, Good: c.good, Bad: c.bad,
		LastFailure: c.lastFailure, LastStatus: c.lastStatus, LastClass: "",
	}
	if c.lastClass != 0 {
		s.LastClass = c.lastClass.String()
	}
	if now.Before(c.retryAt) {
		s.State, s.RetryAt, s.Percent = c.blocked, c.retryAt, floor
		return s
	}
	switch {
	case rate >= 0.9:
		s.State = Healthy
	case rate >= 0.5:
		s.State = Degraded
	default:
		s.State = Unhealthy
	}
	// Squared: at half the attempts failing a cluster gets a quarter of its traffic.
	s.Percent = min(100, max(floor, uint32(math.Round(100*rate*rate))))
	return s
}
