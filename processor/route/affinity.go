package route

import (
	"math"

	"github.com/cespare/xxhash/v2"

	"dragoman/internal/config"
	"dragoman/internal/health"
)

// Affinity keeps a conversation where its beginning is in a prompt cache. Every choice among equals is by weighted rendezvous hashing:
// each one's hash with the conversation's key, stretched by its weight, decides, so that a change of weights moves no more conversations
// than it has to, and every replica comes to the same choice. Load bounds it: who has more in flight than its share is passed over.

// minBound is what a cluster may have in flight whatever its share: few requests are no load.
const minBound = 8

// KeyOf makes a key of text, never 0.
func KeyOf(text string) uint64 { return max(hash(text), 1) }

func hash(s string) uint64 { return xxhash.Sum64String(s) }

// mix spreads the bits of x over all others (splitmix64).
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// uniform makes a number in (0, 1) of a hash.
func uniform(h uint64) float64 { return (float64(h>>12) + 0.5) / (1 << 52) }

// pull is how strongly a key is drawn to a name of a weight; who pulls most has it.
func pull(key uint64, name string, weight float64) float64 {
	return weight / -math.Log(uniform(mix(key^hash(name))))
}

// home is the candidate that the conversation belongs to among those that score like the one at top; top when there is no key.
func (in *input) home(cs []Scored, top int, apart *config.Model) int {
	q := in.query
	a := &q.Route.Affinity
	if q.Key == 0 || !a.On {
		return top
	}
	least, strongest := cs[top].Score*(1-a.Tolerance), -1.0
	local := cs[top].Model.Provider.Local
	for i := range cs {
		c := &cs[i]
		// A local one that was not preferred for being local is no worse than others.
		if !c.eligible() || c.Score < least || c.Model == apart || local && !c.Model.Provider.Local {
			continue
		}
		if p := pull(q.Key, c.Model.Ref, 1); p > strongest {
			top, strongest = i, p
		}
	}
	return top
}

// picker picks clusters of one provider for one model, the best first.
type picker struct {
	clusters []*config.Cluster
	model    *config.Model
	view     *health.View
	query    *Query
	key      uint64
	total    int64   // in flight
	weights  float64 // of all that are usable
}

// picks says whether Dragoman picks the cluster itself, and not Envoy by the published weights: to keep a conversation together, or
// because the configuration declares limits that Envoy does not know.
func picks(p *config.Provider, q *Query) bool {
	if len(p.Clusters) < 2 {
		return false
	}
	if q.Key != 0 && q.Route.Affinity.On {
		return true
	}
	for _, c := range p.Clusters {
		if c.Limits != nil {
			return q.Learnt != nil
		}
	}
	return false
}

func newPicker(m *config.Model, v *health.View, q *Query) *picker {
	p := &picker{clusters: m.Provider.Clusters, model: m, view: v, query: q, key: q.Key}
	if !q.Route.Affinity.On || p.key == 0 {
		p.key = mix(math.Float64bits(q.Random))
	}
	for _, c := range p.clusters {
		p.total += q.Learnt.InFlight(c.Name)
		p.weights += p.weight(c)
	}
	return p
}

// weight is a cluster's share of the traffic, 0 when it cannot be asked now.
func (p *picker) weight(c *config.Cluster) float64 {
	if !p.view.UsableFor(c.Name, p.model.ID, p.query.Now) || p.query.Learnt.free(c, p.query.needs(), p.query.Now) > 0 {
		return 0
	}
	return float64(c.Weight) * float64(p.view.Percent(c.Name))
}

// full says whether a cluster has more in flight than its share allows.
func (p *picker) full(c *config.Cluster, weight float64) bool {
	load := p.query.Route.Affinity.Load
	if load <= 0 {
		return false
	}
	bound := math.Ceil(load * float64(p.total+1) * weight / p.weights)
	return float64(p.query.Learnt.InFlight(c.Name)) >= max(bound, minBound)
}

// next is the cluster with the strongest pull below the given one, ones with room before those without; nil when there is none. Its pull
// is for the next call, which goes on from there.
func (p *picker) next(below float64) (best *config.Cluster, strongest float64) {
	strongest = -1
	for _, c := range p.clusters {
		weight := p.weight(c)
		if weight == 0 {
			continue
		}
		s := pull(p.key, string(c.Name), weight)
		s /= 1 + s // into (0, 1)
		if !p.full(c, weight) {
			s += 1
		}
		if s < below && s > strongest {
			best, strongest = c, s
		}
	}
	return best, strongest
}

// all is above every pull.
const all = 3.0
