// Package health turns what happened to attempts into what share of its traffic each cluster should get. Outcomes are
// reported from Envoy's per-attempt access log and from the processor; weights are read by xds, which publishes them, and
// by processor/route, which orders providers by them.
//
// A cluster that keeps failing is taken out, for longer each time in a row; then one attempt at a time shows whether it is back, and
// its traffic returns step by step. Replicas tell each other (Share). Nobody is refused because of health: when all of a provider's
// clusters are out its group keeps them, and a provider that is out is asked last, not never.
package health

import (
	"context"
	"math/rand/v2"
	"slices"
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
)

// Tracker collects outcomes and publishes views. Its methods are safe for concurrent use.
type Tracker struct {
	now      func() time.Time
	random   func() float64
	settings atomic.Pointer[settings]
	dirty    atomic.Bool
	set      atomic.Pointer[set]
	view     atomic.Pointer[View]
	changes  chan struct{}

	mu       sync.Mutex // one publish or configuration at a time
	signaled *View      // what the last signal of Changes was about

	shared   atomic.Pointer[Share]
	together atomic.Bool // the last exchange with the other replicas went well
	noteMu   sync.Mutex
	pending  map[noteKey]Note // to be told
}

// settings are config.Health with every default, and what chance is drawn from.
type settings struct {
	config.Health
	random func() float64
}

// set is the clusters of one configuration. It is immutable; the clusters in it are not.
type set struct {
	clusters  []*cluster // in the order of the config
	byName    map[config.ClusterName]*cluster
	providers map[config.ProviderName]*provider
}

// New makes a Tracker that knows no clusters yet.
func New(s config.Health, now func() time.Time) *Tracker {
	t := &Tracker{
		now: now, random: rand.Float64, changes: make(chan struct{}, 1), signaled: &View{}, pending: make(map[noteKey]Note),
	}
	t.set.Store(&set{})
	t.view.Store(&View{})
	t.SetSettings(s)
	return t
}

// SetRandom replaces the source of chance, uniform in [0, 1), of the jitter of pauses. It is to be called before anything else.
func (t *Tracker) SetRandom(f func() float64) {
	t.random = f
	t.SetSettings(t.settings.Load().Health)
}

// SetSettings changes the settings, at a reload. Zero values stand for the defaults of the configuration.
func (t *Tracker) SetSettings(h config.Health) {
	t.settings.Store(&settings{Health: h.WithDefaults(), random: t.random})
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
		k := t.keep(old, c, next.provider(old, c.Provider))
		next.byName[c.Name] = k
		next.clusters = append(next.clusters, k)
	}
	t.set.Store(next)
	t.mu.Unlock()
	t.Publish()
}

// provider finds or makes a provider of the next set, with its history when it has one.
func (s *set) provider(old *set, of *config.Provider) *provider {
	p := s.providers[of.Name]
	if p == nil {
		if p = old.providers[of.Name]; p == nil {
			p = &provider{name: of.Name, models: make(map[string]*latencies)}
		}
		s.providers[of.Name] = p
	}
	p.byModel.Store(of.LimitedBy == config.LimitedByModel)
	return p
}

func (t *Tracker) keep(old *set, c *config.Cluster, p *provider) *cluster {
	k := old.byName[c.Name]
	if k == nil {
		return &cluster{name: c.Name, secret: c.Secret, provider: p, weight: c.Weight, at: t.now()}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.weight = c.Weight
	if k.secret != c.Secret {
		k.secret, k.limit, k.out, k.models = c.Secret, pause{}, outage{}, nil
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
	now, s := t.now(), t.settings.Load()
	if note, tell := c.report(&o, now, s); tell {
		t.tell(note)
	}
	if o.Class == Success && o.Model != "" && (o.TTFT > 0 || o.Whole > 0) {
		c.provider.observe(&o, now, s.HalfLife)
	}
	if !t.dirty.Load() { // loaded first, so that a busy gateway does not write this cache line for each request
		t.dirty.Store(true)
	}
}

// Trial asks to send one request to a cluster that is half open. True is said to one at a time, over all replicas that share what they
// know; whoever gets it calls EndTrial when that request is over. Its outcome comes by Report like any other.
func (t *Tracker) Trial(name config.ClusterName) bool {
	c := t.set.Load().byName[name]
	return c != nil && c.begin(t.now(), t.together.Load())
}

// EndTrial lets the next trial begin a moment later, should the one that is over have changed nothing: its client went away.
func (t *Tracker) EndTrial(name config.ClusterName) {
	if c := t.set.Load().byName[name]; c != nil {
		c.mu.Lock()
		if !c.trial.IsZero() {
			c.trial = t.now().Add(trialGrace)
		}
		c.mu.Unlock()
	}
}

// View is the last published view. It is never nil.
func (t *Tracker) View() *View { return t.view.Load() }

// Changes signals that View has changed enough to push new weights: a cluster went out or came in, or five points of a percentage.
// Signals are coalesced, and at most four a second.
func (t *Tracker) Changes() <-chan struct{} { return t.changes }

// Run publishes, and exchanges with other replicas, until ctx ends.
func (t *Tracker) Run(ctx context.Context) {
	var sharing sync.WaitGroup
	defer sharing.Wait()
	sharing.Go(func() { t.runShare(ctx) })
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
	s, now, settings := t.set.Load(), t.now(), t.settings.Load()
	v := &View{
		clusters:   make(map[config.ClusterName]*Status, len(s.clusters)),
		providers:  make(map[config.ProviderName][]*Status, len(s.providers)),
		ttft:       make(map[modelKey]time.Duration),
		whole:      make(map[modelKey]time.Duration),
		restricted: make(map[restriction]time.Time),
		list:       make([]Status, len(s.clusters)),
	}
	for i, c := range s.clusters {
		st := &v.list[i]
		*st = c.status(now, settings)
		v.clusters[c.name] = st
		v.providers[st.Provider] = append(v.providers[st.Provider], st)
		if st.State == HalfOpen {
			v.halfOpen = append(v.halfOpen, c.name)
		}
		c.collect(v.restricted, now)
	}
	for r := range v.restricted {
		st := v.clusters[r.cluster]
		st.Models = append(st.Models, r.model)
	}
	for i := range v.list {
		slices.Sort(v.list[i].Models)
	}
	for _, p := range s.providers {
		p.collect(v, now, settings.HalfLife)
	}
	v.panicked(settings)
	return v
}

// recovering says whether the view will change without any news.
func (v *View) recovering() bool {
	for i := range v.list {
		if s := &v.list[i]; s.Percent < 100 || s.State != Healthy {
			return true
		}
	}
	return len(v.restricted) > 0
}
