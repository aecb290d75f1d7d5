package health

import (
	"time"

	"dragoman/internal/config"
)

// Status is what is known of one cluster at the moment the view was built. The admin API shows it as it is.
type Status struct {
	Cluster     config.ClusterName  `json:"cluster"`
	Provider    config.ProviderName `json:"provider"`
	Percent     uint32              `json:"percent"` // of the configured weight, floor..100
	State       State               `json:"state"`
	RetryAt     time.Time           `json:"retry_at,omitzero"` // of Limited and Dead
	Good        float64             `json:"good"`              // decayed attempts
	Bad         float64             `json:"bad"`
	LastFailure time.Time           `json:"last_failure,omitzero"`
	LastClass   string              `json:"last_class,omitempty"`
	LastStatus  int                 `json:"last_status,omitempty"`
}

// usable says whether an attempt now has a fair chance.
func (s *Status) usable(now time.Time) bool {
	switch s.State {
	case Limited, Dead:
		// The view may be some hundred milliseconds old; the deadline is exact.
		return !now.Before(s.RetryAt)
	case Unhealthy:
		return false
	default:
		return true
	}
}

type modelKey struct {
	provider config.ProviderName
	model    string
}

// View is the health of everything at one moment. It is immutable. The zero View knows nothing, and takes what it does not
// know for healthy.
type View struct {
	clusters  map[config.ClusterName]*Status
	providers map[config.ProviderName][]*Status
	ttft      map[modelKey]time.Duration
	list      []Status // in the order of the config
}

// Percent is the share of its configured weight that a cluster is to get: 100 for one that the view does not know.
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

// RetryAt is when a Limited or Dead cluster is to be tried again, else the zero time.
func (v *View) RetryAt(name config.ClusterName) time.Time {
	if s := v.clusters[name]; s != nil {
		return s.RetryAt
	}
	return time.Time{}
}

// Usable says whether an attempt at the cluster has a fair chance now.
func (v *View) Usable(name config.ClusterName, now time.Time) bool {
	s := v.clusters[name]
	return s == nil || s.usable(now)
}

// Provider sums its clusters up: the percent of the best one that is usable, else of the best one at all, and whether
// any is usable.
func (v *View) Provider(name config.ProviderName, now time.Time) (percent uint32, usable bool) {
	list := v.providers[name]
	if len(list) == 0 {
		return 100, true
	}
	for _, s := range list {
		ok := s.usable(now)
		if ok && !usable {
			percent, usable = s.Percent, true
		} else if ok == usable {
			percent = max(percent, s.Percent)
		}
	}
	return percent, usable
}

// TTFT is the decaying mean time to the first token (first byte of a whole answer) of a model, by the provider's own id
// for it. ok is false when nothing is known, or only from too long ago.
func (v *View) TTFT(p config.ProviderName, modelID string) (d time.Duration, ok bool) {
	d, ok = v.ttft[modelKey{p, modelID}]
	return d, ok
}

// List is every cluster in the order of the config. The caller must not write to it.
func (v *View) List() []Status { return v.list }

// materially says whether weights should be pushed because of what changed from old to v.
func (v *View) materially(old *View) bool {
	for i := range v.list {
		s := &v.list[i]
		// A cluster that no signal was about yet has its whole weight.
		if s.State != old.State(s.Cluster) || diff(s.Percent, old.Percent(s.Cluster)) >= materialPoints {
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
