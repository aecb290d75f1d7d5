package health

import (
	"time"
)

const (
	// maxRestricted bounds the models of one cluster that are remembered as restricted: any client can make up names.
	maxRestricted = 256

	missingPause    = time.Minute      // after a 404 or 403 about a model; doubled each time in a row
	missingPauseMax = 15 * time.Minute // bound of that doubling
)

// models are those that a cluster does not serve for a time: most providers limit, and sell, by model. Its cluster's lock guards it.
type models map[string]*pause

// restrict takes in a 429, 403 or 404 about a model. ok is false when it changes nothing.
func (m *models) restrict(o *Outcome, now time.Time) (until time.Time, ok bool) {
	p := (*m)[o.Model]
	if p == nil {
		if !m.room(now) {
			return now, false
		}
		p = &pause{}
		(*m)[o.Model] = p
	}
	d := min(o.RetryAfter, retryAfterMax)
	switch {
	case o.Class != RateLimited:
		d = p.strike(now, missingPause, missingPauseMax)
	case d <= 0:
		d = p.strike(now, limitPause, limitPauseMax)
	}
	before := p.until
	p.extend(now.Add(d))
	return p.until, p.until.After(before)
}

// adopt takes in what another replica knows.
func (m *models) adopt(model string, until, now time.Time) bool {
	p := (*m)[model]
	if p == nil {
		if !now.Before(until) || !m.room(now) {
			return false
		}
		p = &pause{}
		(*m)[model] = p
	}
	before := p.until
	p.extend(until)
	return p.until.After(before)
}

// succeed forgets a pause that is over.
func (m *models) succeed(model string, now time.Time) {
	if p := (*m)[model]; p != nil && !now.Before(p.until) {
		delete(*m, model)
	}
}

// room makes some: pauses that were over for a while go.
func (m *models) room(now time.Time) bool {
	if *m == nil {
		*m = make(models)
	}
	if len(*m) < maxRestricted {
		return true
	}
	for name, p := range *m {
		if !now.Before(p.until) {
			delete(*m, name)
		}
	}
	return len(*m) < maxRestricted
}

// collect writes the pauses that last into a view's map.
func (c *cluster) collect(into map[restriction]time.Time, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, p := range c.models {
		switch {
		case now.Before(p.until):
			into[restriction{c.name, name}] = p.until
		case now.Sub(p.until) > missingPauseMax:
			delete(c.models, name) // its strikes, too
		}
	}
}
