package health

import (
	"time"

	"dragoman/internal/config"
)

// Status is what is known of one cluster at the moment the view was built. The admin API shows it as it is.
type Status struct {
	Cluster     config.ClusterName  `json:"cluster"`
	Provider    config.ProviderName `json:"provider"`
	Percent     uint32              `json:"percent"` // of the configured weight; 0: nothing but a trial
	State       State               `json:"state"`
	RetryAt     time.Time           `json:"retry_at,omitzero"` // of Open, Limited and Dead
	Models      []string            `json:"models,omitempty"`  // that it does not serve for a time
	Good        float64             `json:"good"`              // decayed attempts
	Bad         float64             `json:"bad"`
	LastFailure time.Time           `json:"last_failure,omitzero"`
	LastClass   string              `json:"last_class,omitempty"`
	LastStatus  int                 `json:"last_status,omitempty"`

	weight uint32
}

// usable says whether an attempt now has a fair chance.
func (s *Status) usable(now time.Time) bool {
	switch s.State {
	case Limited:
		// The view may be some hundred milliseconds old; the deadline is exact.
		return !now.Before(s.RetryAt)
	case Dead, Open, HalfOpen:
		return false // what its time brings is a trial
	default:
		return true
	}
}

type modelKey struct {
	provider config.ProviderName
	model    string
}

type restriction struct {
	cluster config.ClusterName
	model   string
}

// View is the health of everything at one moment. It is immutable. The zero View knows nothing, and takes what it does not
// know for healthy.
type View struct {
	clusters   map[config.ClusterName]*Status
	providers  map[config.ProviderName][]*Status
	ttft       map[modelKey]time.Duration
	whole      map[modelKey]time.Duration
	restricted map[restriction]time.Time
	halfOpen   []config.ClusterName
	list       []Status // in the order of the config
}

// Percent is the share of its configured weight that a cluster is to get in its provider's group: 100 for one that the view does not
// know, 0 for one that is to be left out. Never is every cluster of a provider 0.
func (v *View) Percent(name config.ClusterName) uint32 {
	if s := v.clusters[name]; s != nil {
		return s.Percent
	}
	return 100
}

// State of a cluster.
func (v *View) State(name config.ClusterName) State {
	if s := v.clusters[name]; s != nil {
		return s.State
	}
	return Healthy
}

// RetryAt is when an Open, Limited or Dead cluster is to be tried again, else the zero time.
func (v *View) RetryAt(name config.ClusterName) time.Time {
	if s := v.clusters[name]; s != nil {
		return s.RetryAt
	}
	return time.Time{}
}

// Usable says whether an attempt at the cluster has a fair chance now, whatever the model.
func (v *View) Usable(name config.ClusterName, now time.Time) bool {
	s := v.clusters[name]
	return s == nil || s.usable(now)
}

// UsableFor says whether an attempt at the cluster for a model, by the provider's own id, has a fair chance now.
func (v *View) UsableFor(name config.ClusterName, modelID string, now time.Time) bool {
	return v.Usable(name, now) && !now.Before(v.restricted[restriction{name, modelID}])
}

// Restricted says whether any cluster does not serve some model for a time: else UsableFor and Usable say the same.
func (v *View) Restricted() bool { return len(v.restricted) > 0 }

// ModelRetryAt is when a model may be asked of a cluster again, the zero time when it may be now.
func (v *View) ModelRetryAt(name config.ClusterName, modelID string, now time.Time) time.Time {
	at := v.RetryAt(name)
	if until := v.restricted[restriction{name, modelID}]; until.After(at) {
		at = until
	}
	if now.Before(at) {
		return at
	}
	return time.Time{}
}

// HalfOpen lists the clusters whose next request should be a trial: see Tracker.Trial. The caller must not write to it.
func (v *View) HalfOpen() []config.ClusterName { return v.halfOpen }

// Provider sums its clusters up: the percent of the best one that is usable, else of the best one at all, and whether
// any is usable.
func (v *View) Provider(name config.ProviderName, now time.Time) (percent uint32, usable bool) {
	return v.ProviderFor(name, "", now)
}

// ProviderFor is Provider for one model, by the provider's own id.
func (v *View) ProviderFor(name config.ProviderName, modelID string, now time.Time) (percent uint32, usable bool) {
	return v.summary(v.providers[name], modelID, now)
}

// Group is a provider's clusters in the order of the configuration, and what Provider says of them. The caller must not write to it.
func (v *View) Group(name config.ProviderName, modelID string, now time.Time) (list []*Status, percent uint32, usable bool) {
	list = v.providers[name]
	percent, usable = v.summary(list, modelID, now)
	return list, percent, usable
}

func (v *View) summary(list []*Status, modelID string, now time.Time) (percent uint32, usable bool) {
	if len(list) == 0 {
		return 100, true
	}
	for _, s := range list {
		ok := s.usable(now) && (len(v.restricted) == 0 || !now.Before(v.restricted[restriction{s.Cluster, modelID}]))
		if ok && !usable {
			percent, usable = s.Percent, true
		} else if ok == usable {
			percent = max(percent, s.Percent)
		}
	}
	return percent, usable
}

// TTFT is the decaying mean time to the first token of a model's streams, by the provider's own id for it. ok is false when nothing is
// known, or only from too long ago.
func (v *View) TTFT(p config.ProviderName, modelID string) (d time.Duration, ok bool) {
	d, ok = v.ttft[modelKey{p, modelID}]
	return d, ok
}

// Whole is the same of the whole time that answers which are not streamed take.
func (v *View) Whole(p config.ProviderName, modelID string) (d time.Duration, ok bool) {
	d, ok = v.whole[modelKey{p, modelID}]
	return d, ok
}

// List is every cluster in the order of the config. The caller must not write to it.
func (v *View) List() []Status { return v.list }

// panicked puts clusters back into the groups of providers of which too little is left. Where nothing is left every one stays: somebody
// has to be asked, and the cause of the refusal is what the client should see.
func (v *View) panicked(s *settings) {
	for _, group := range v.providers {
		var all, in uint64
		for _, c := range group {
			all += uint64(c.weight)
			if c.Percent > 0 {
				in += uint64(c.weight)
			}
		}
		if in > 0 && 100*in >= uint64(s.Panic)*all {
			continue
		}
		for _, c := range group {
			switch {
			case c.Percent > 0:
			case in == 0:
				c.Percent = s.Floor
			case c.State == Open || c.State == HalfOpen:
				c.Percent = max(s.Floor, s.Panic)
			}
		}
	}
}

// materially says whether weights should be pushed because of what changed from old to v.
func (v *View) materially(old *View) bool {
	for i := range v.list {
		s := &v.list[i]
		// A cluster that no signal was about yet has its whole weight.
		before := old.Percent(s.Cluster)
		if diff(s.Percent, before) >= materialPoints || (s.Percent == 0) != (before == 0) {
			return true
		}
	}
	return false
}

func diff(a, b uint32) uint32 {
	if a > b {
		return a - b
	}
	return b - a
}
