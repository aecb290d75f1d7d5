// Package health turns what happened to attempts into what share of its traffic each cluster should get. Outcomes are
// reported from Envoy's per-attempt access log and from the processor; weights are read by xds, which publishes them, and
// by processor/route, which orders providers by them. Nothing here ever takes a cluster out: a floor of traffic, and counts
// that fade with time, are how it finds out that the cluster has recovered.
package health

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
)

const (
	// period of rebuilding the view. It bounds both how late a change is published and how often Changes can signal.
	period = 250 * time.Millisecond
	// materialPoints is the change of a published percentage that is worth a push.
	materialPoints = 5

	defaultHalfLife = 10 * time.Second
)

// Tracker collects outcomes and publishes views. Its methods are safe for concurrent use.
type Tracker struct {
	now      func() time.Time
	halfLife atomic.Int64 // time.Duration
	floor    atomic.Uint32
	dirty    atomic.Bool
	set      atomic.Pointer[set]
	view     atomic.Pointer[View]
	changes  chan struct{}

	mu       sync.Mutex // one publish or configuration at a time
	signaled *View      // what the last signal of Changes was about
}

// set is the clusters of one configuration. It is immutable; the clusters in it are not.
type set struct {
	clusters  []*cluster // in the order of the config
	byName    map[config.ClusterName]*cluster
	providers map[config.ProviderName]*provider
}

// New makes a Tracker that knows no clusters yet.
func New(settings config.Health, now func() time.Time) *Tracker {
	t := &Tracker{now: now, changes: make(chan struct{}, 1), signaled: &View{}}
	t.set.Store(&set{})
	t.view.Store(&View{})
	t.SetSettings(settings)
	return t
}

// SetSettings changes half-life and floor, at a reload. Zero values stand for the defaults, 10 s and 1 %.
func (t *Tracker) SetSettings(s config.Health) {
	if s.HalfLife <= 0 {
		s.HalfLife = defaultHalfLife
	}
	t.halfLife.Store(int64(s.HalfLife))
	t.floor.Store(min(100, max(1, s.Floor)))
	t.dirty.Store(true)
}

// SetClusters says which clusters there are, at the start and at each reload. A cluster that stays keeps its history,
// except that a changed credential clears what the old one was blocked for. It returns with the view published.
func (t *Tracker) SetClusters(clusters []*config.Cluster) {
	t.mu.Lock()
	old := t.set.Load()
	next := &set{
		byName:    make(map[config.ClusterName]*cluster, len(clusters)),
		providers: make(map[config.ProviderName]*provider),
	}
	for _, c := range clusters {
		if next.byName[c.Name] != nil {
			continue
		}
		k := t.keep(old, c, next.provider(old, c.Provider.Name))
		next.byName[c.Name] = k
		next.clusters = append(next.clusters, k)
	}
	t.set.Store(next)
	t.mu.Unlock()
	t.Publish()
}

// provider finds or makes a provider of the next set, with its history when it has one.
func (s *set) provider(old *set, name config.ProviderName) *provider {
	p := s.providers[name]
	if p == nil {
		if p = old.providers[name]; p == nil {
			p = &provider{name: name, models: make(map[string]*latency)}
		}
		s.providers[name] = p
	}
	return p
}

func (t *Tracker) keep(old *set, c *config.Cluster, p *provider) *cluster {
	k := old.byName[c.Name]
	if k == nil {
		return &cluster{name: c.Name, secret: c.Secret, provider: p, at: t.now()}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.secret != c.Secret {
		k.secret, k.retryAt, k.strikes = c.Secret, time.Time{}, 0
	}
	return k
}

// Report takes in how one attempt ended. An outcome of a cluster that is not configured (any more) is ignored.
func (t *Tracker) Report(o Outcome) {
	if o.Class == 0 || o.Class >= classes {
		return
	}
	c := t.set.Load().byName[o.Cluster]
	if c == nil {
		return
	}
	now, halfLife := t.now(), time.Duration(t.halfLife.Load())
	c.report(&o, now, halfLife)
	if o.Class == Success && o.TTFT > 0 && o.Model != "" {
		c.provider.observe(o.Model, o.TTFT, now, halfLife)
	}
	if !t.dirty.Load() { // loaded first, so that a busy gateway does not write this cache line for each request
		t.dirty.Store(true)
	}
}

// View is the last published view. It is never nil.
func (t *Tracker) View() *View { return t.view.Load() }

// Changes signals that View has changed enough to push new weights: a state, or five points of a percentage. Signals are
// coalesced, and at most four a second.
func (t *Tracker) Changes() <-chan struct{} { return t.changes }

// Run publishes until ctx ends.
func (t *Tracker) Run(ctx context.Context) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Without news a view still changes as long as a cluster is recovering: counts fade, deadlines pass.
			if t.dirty.Load() || t.View().recovering() {
				t.Publish()
			}
		}
	}
}

// Publish builds a view from what is known now. Run does it in time; a test with a clock of its own calls it.
func (t *Tracker) Publish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dirty.Store(false)
	v := t.build()
	t.view.Store(v)
	if !v.materially(t.signaled) {
		return
	}
	t.signaled = v
	select {
	case t.changes <- struct{}{}:
	default: // the reader has not come for the last one yet, and will see this view
	}
}

func (t *Tracker) build() *View {
	s, now := t.set.Load(), t.now()
	halfLife, floor := time.Duration(t.halfLife.Load()), t.floor.Load()
	v := &View{
		clusters:  make(map[config.ClusterName]*Status, len(s.clusters)),
		providers: make(map[config.ProviderName][]*Status, len(s.providers)),
		ttft:      make(map[modelKey]time.Duration),
		list:      make([]Status, len(s.clusters)),
	}
	for i, c := range s.clusters {
		v.list[i] = c.status(now, halfLife, floor)
		v.clusters[c.name] = &v.list[i]
		v.providers[c.provider.name] = append(v.providers[c.provider.name], &v.list[i])
	}
	for _, p := range s.providers {
		p.collect(v.ttft, now, halfLife)
	}
	return v
}

// recovering says whether the view will change without any news.
func (v *View) recovering() bool {
	for i := range v.list {
		if v.list[i].Percent < 100 {
			return true
		}
	}
	return false
}
