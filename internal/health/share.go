package health

import (
	"context"
	"time"

	"dragoman/internal/config"
)

// Note is what replicas tell each other: a cluster, or one model in it, is not to be asked until a time, or is well again.
type Note struct {
	Cluster config.ClusterName `json:"c"`
	Model   string             `json:"m,omitempty"` // "": the whole cluster
	Key     string             `json:"k,omitempty"` // which credential it is about: see config.Secret.Mark
	State   State              `json:"s"`           // Open, Limited, Dead; Healthy: it is well again
	Until   int64              `json:"u"`           // milliseconds since 1970
	At      int64              `json:"t"`           // when it was found out, the same unit: of two notes the later one counts
	Strikes int                `json:"n,omitempty"`
}

// Share is where replicas tell each other what they know. Its calls may fail at any time; each replica then stands alone.
type Share interface {
	// Exchange keeps the given notes and returns everybody's that still count.
	Exchange(ctx context.Context, tell []Note) ([]Note, error)
	// Lease asks for the right to make the next trial of a cluster; it ends by itself after ttl. The one who has it may ask again.
	Lease(ctx context.Context, cluster config.ClusterName, ttl time.Duration) (bool, error)
	// Release gives it back.
	Release(ctx context.Context, cluster config.ClusterName) error
}

const (
	// exchangeEvery is how often replicas ask each other: with the period of publishing, what one finds out is in everybody's weights
	// within a second.
	exchangeEvery = 300 * time.Millisecond
	exchangeMost  = time.Second
	// leaseTime is short: a replica that has no request to try with must not keep the others from it.
	leaseTime = 1500 * time.Millisecond
	// maxPending bounds what waits to be told.
	maxPending = 2048
)

type noteKey struct {
	cluster config.ClusterName
	model   string
}

// note is what others should know of this cluster.
func (c *cluster) note(s State, model string, until, now time.Time) Note {
	n := Note{Cluster: c.name, Model: model, Key: c.secret.Mark(), State: s, Until: until.UnixMilli(), At: now.UnixMilli()}
	if model == "" {
		n.Strikes = c.out.strikes
	}
	return n
}

// adopt takes in what another replica found out. changed says that it was news.
func (c *cluster) adopt(n *Note, now time.Time, s *settings) (changed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n.Key != c.secret.Mark() {
		return false // another credential's
	}
	at, until := time.UnixMilli(n.At), time.UnixMilli(n.Until)
	if most := now.Add(retryAfterMax); until.After(most) {
		until = most // a clock that is wrong blocks nothing for long
	}
	switch {
	case n.State == Limited && n.Model != "":
		return c.models.adopt(n.Model, until, now)
	case n.State == Limited:
		before := c.limit.until
		c.limit.extend(until)
		return now.Before(until) && c.limit.until.After(before)
	case n.State == Healthy:
		if c.out.why == Healthy || !at.After(c.out.since) {
			return false
		}
		c.heal(now)
		c.out.since = at
		return true
	case n.State == Open || n.State == Dead:
		// What was found out before this replica's own news is old.
		if !at.After(c.out.since.Truncate(time.Millisecond)) || !until.After(c.out.until) {
			return false
		}
		if c.out.why == Healthy {
			c.out.since = at
		}
		c.out.why, c.out.until, c.out.strikes = n.State, until, max(c.out.strikes, min(n.Strikes, 32))
		c.out.last = until.Sub(at)
		return true
	}
	return false
}

// tell keeps a note for the next exchange.
func (t *Tracker) tell(n Note) {
	if t.share() == nil {
		return
	}
	t.noteMu.Lock()
	defer t.noteMu.Unlock()
	if len(t.pending) < maxPending {
		t.pending[noteKey{n.Cluster, n.Model}] = n
	}
}

// SetShare says where the replicas' common knowledge is; nil: this one is alone.
func (t *Tracker) SetShare(s Share) {
	if s == nil {
		t.shared.Store(nil)
		return
	}
	t.shared.Store(&s)
}

func (t *Tracker) share() Share {
	if s := t.shared.Load(); s != nil {
		return *s
	}
	return nil
}

// runShare exchanges until ctx ends.
func (t *Tracker) runShare(ctx context.Context) {
	tick := time.NewTicker(exchangeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			t.Exchange(ctx)
		}
	}
}

// Exchange tells the other replicas what is new and takes in what they know. Run does it in time.
func (t *Tracker) Exchange(ctx context.Context) {
	share := t.share()
	if share == nil {
		t.together.Store(false)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, exchangeMost)
	defer cancel()
	told := t.takePending()
	notes, err := share.Exchange(ctx, told)
	t.together.Store(err == nil)
	if err != nil {
		for _, n := range told {
			t.putBack(n)
		}
		return
	}
	set, now, s, news := t.set.Load(), t.now(), t.settings.Load(), false
	for i := range notes {
		if c := set.byName[notes[i].Cluster]; c != nil && c.adopt(&notes[i], now, s) {
			news = true
		}
	}
	if news {
		t.dirty.Store(true)
	}
	t.leases(ctx, share, set, now)
}

func (t *Tracker) takePending() []Note {
	t.noteMu.Lock()
	defer t.noteMu.Unlock()
	told := make([]Note, 0, len(t.pending))
	for _, n := range t.pending {
		told = append(told, n)
	}
	clear(t.pending)
	return told
}

// putBack keeps what could not be told, unless there is newer.
func (t *Tracker) putBack(n Note) {
	t.noteMu.Lock()
	defer t.noteMu.Unlock()
	key := noteKey{n.Cluster, n.Model}
	if _, newer := t.pending[key]; !newer && len(t.pending) < maxPending {
		t.pending[key] = n
	}
}

// leases asks for the right to try what is half open, ahead of the request that will.
func (t *Tracker) leases(ctx context.Context, share Share, set *set, now time.Time) {
	for _, c := range set.clusters {
		c.mu.Lock()
		st, _ := c.state(now)
		trying, had, wait := now.Before(c.trial), now.Before(c.lease), now.Before(c.leaseWait)
		c.mu.Unlock()
		switch {
		case st == HalfOpen && !trying && (had || wait):
			// It runs out unused; then the others have their turn.
		case st == HalfOpen:
			ok, err := share.Lease(ctx, c.name, leaseTime)
			if err != nil {
				t.together.Store(false)
				return
			}
			c.mu.Lock()
			c.lease = time.Time{}
			if ok {
				c.lease, c.leaseWait = t.now().Add(leaseTime), t.now().Add(2*leaseTime)
			}
			c.mu.Unlock()
		case had && !trying:
			if share.Release(ctx, c.name) == nil {
				c.mu.Lock()
				c.lease = time.Time{}
				c.mu.Unlock()
			}
		}
	}
}
