// Package xds turns a configuration and the health of its clusters into Envoy's dynamic resources: listener, routes, clusters
// and secrets. Build is a pure function; START READING there. Package xds/server pushes what it returns.
package xds

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"

	"dragoman/internal/config"
)

// Weights gives the share of a cluster's configured weight that its health leaves it, in percent: 0 to 100.
// internal/health.View is one.
type Weights interface {
	Percent(config.ClusterName) uint32
}

// FullWeights leaves every cluster its configured weight: what holds before anything was observed.
type FullWeights struct{}

// Percent is always 100.
func (FullWeights) Percent(config.ClusterName) uint32 { return 100 }

// Params are Build's inputs beside the configuration.
type Params struct {
	// SystemRoots is the PEM file of CA certificates, as Envoy sees it, that verifies providers without a CA of their own. SystemRoots()
	// finds it. It may be empty only when no provider needs it.
	SystemRoots string
	// Previous are the configurations that requests still under way may have been ordered by. Their clusters and groups are
	// kept where the current configuration has none of the same name.
	Previous []*config.Snapshot
	// Tokens are the bearer tokens of clusters with a grant, by the grant's ID. One that is lacking holds up nothing: the requests of its
	// clusters fail, and are tried elsewhere.
	Tokens map[string]string
}

// Resources is one consistent state of Envoy. It prints without its secrets. Nothing in it is written after Build.
type Resources struct {
	Listeners []*listenerv3.Listener
	Routes    []*routev3.RouteConfiguration
	Clusters  []*clusterv3.Cluster
	Secrets   []*tlsv3.Secret
	Filters   []*corev3.TypedExtensionConfig // that listeners take from ECDS
	Version   string                         // 12 hex digits over all of the above
}

// String names the version and counts, never a secret.
func (r *Resources) String() string {
	return fmt.Sprintf("xds %s: %d listeners, %d routes, %d clusters, %d secrets",
		r.Version, len(r.Listeners), len(r.Routes), len(r.Clusters), len(r.Secrets))
}

// GoString hides the secrets from %#v.
func (r *Resources) GoString() string { return r.String() }

// Build compiles a configuration and the clusters' health to Envoy's resources. The same input gives the same bytes. It fails when
// the configuration cannot be expressed (a listen address that is no address) or the result contradicts itself; then nothing
// must be pushed and the last good resources stay.
func Build(s *config.Snapshot, w Weights, p Params) (*Resources, error) {
	all := union(s, p.Previous)
	l, err := listener(s)
	if err != nil {
		return nil, err
	}
	clusters, err := clusters(s, all, p.SystemRoots)
	if err != nil {
		return nil, err
	}
	r := &Resources{
		Listeners: []*listenerv3.Listener{l},
		Routes:    []*routev3.RouteConfiguration{routes(s, all, w)},
		Clusters:  clusters,
		Secrets:   secrets(all, p.Tokens, s.TLS),
		Filters:   tokenFilters(s.Identity),
	}
	if s.Loopback != "" {
		own, err := loopbackListener(s)
		if err != nil {
			return nil, err
		}
		r.Listeners = append(r.Listeners, own)
	}
	r.Version = Hash(r.messages())
	return r, r.check()
}

// Reweigh is what Build returns for the same configuration and other weights: only the routes are made anew, which costs a small
// part. r must come from Build with the same s and p.
func (r *Resources) Reweigh(s *config.Snapshot, w Weights, p Params) (*Resources, error) {
	out := *r
	out.Routes = []*routev3.RouteConfiguration{routes(s, union(s, p.Previous), w)}
	out.Version = Hash(out.messages())
	names := map[string]bool{}
	for _, c := range out.Clusters {
		names[c.GetName()] = true
	}
	if err := validate(out.Routes[0]); err != nil {
		return nil, fmt.Errorf("xds: routes are invalid: %w", err)
	}
	return &out, errors.Join(checkGroups(out.Routes[0], names)...)
}

// union lists the clusters of the current configuration and those that only an earlier one has, in a stable order.
func union(s *config.Snapshot, previous []*config.Snapshot) []*config.Cluster {
	all := append([]*config.Cluster(nil), s.Clusters...)
	known := make(map[config.ClusterName]bool, len(all))
	for _, c := range all {
		known[c.Name] = true
	}
	for _, old := range previous {
		for _, c := range old.Clusters {
			if !known[c.Name] {
				known[c.Name] = true
				all = append(all, c)
			}
		}
	}
	return all
}

// messages lists every resource in the order of its type and name.
func (r *Resources) messages() []proto.Message {
	return slices.Concat(messages(r.Listeners), messages(r.Routes), messages(r.Clusters), messages(r.Secrets), messages(r.Filters))
}

func messages[M proto.Message](list []M) []proto.Message {
	all := make([]proto.Message, len(list))
	for i, m := range list {
		all[i] = m
	}
	return all
}

// Hash is 12 hex digits over resources in their order, "" for none.
func Hash[M proto.Message](list []M) string {
	if len(list) == 0 {
		return ""
	}
	h := sha256.New()
	for _, m := range list {
		h.Write(marshal(m))
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// grace is added to a timeout of Envoy's that only backs up one of Dragoman's own, so that the latter, which answers in the client's
// schema with the real cause, fires first.
const grace = 5 * time.Second
