// Package config reads, validates and compiles the configuration: YAML or environment → dragomanv1.Config → Snapshot. A
// Snapshot is immutable; each request keeps the one it started with.
package config

import (
	"time"

	"dragoman/internal/fault"
	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/translate/chat"
)

// Names of things, kept apart by type.
type (
	ProviderName string // also the name of the provider's weighted group
	ClusterName  string // provider/endpoint/credential; also the name of the cluster's single group
	MicroUSD     int64  // money, in millionths of a US dollar
)

// Snapshot is one compiled, valid configuration. Nothing in it is written after Compile returned it.
type Snapshot struct {
	Version   string             // 12 hex digits over the whole configuration, secret values included by hash
	Source    string             // where it came from: a file's path, or "environment"
	Config    *dragomanv1.Config // with every default filled in
	Loaded    time.Time
	Providers []*Provider // in the order of the config
	Clusters  []*Cluster  // in the order of their providers
	Models    []*Model    // usable catalogue: models of configured providers, sorted by name then provider
	Routes    []*Route    // `auto` always exists
	Keys      *Keys
	Limits    Limits
	Retry     Retry
	Health    Health
	Cache     Cache
	Demo      bool     // the providers are the built-in demo ones
	Warnings  []string // for the operator, shown at start and on reload

	providers map[ProviderName]*Provider
	clusters  map[ClusterName]*Cluster
	models    map[string][]*Model // by name and alias
	routes    map[string]*Route
}

// Provider is one upstream API.
type Provider struct {
	Name     ProviderName
	Index    int // position in Snapshot.Providers
	Schema   chat.Schema
	Local    bool
	Clusters []*Cluster
	HTTP     string // auto | http1 | http2
	CA       string // PEM file, "" = system roots
	BasePath string // of the first endpoint; all endpoints of a provider share it
	Demo     bool
	Missing  string // why it cannot be used (a credential's variable is empty); only in the discovery table
}

// Cluster is one endpoint × credential of a provider: one Envoy cluster, one secret.
type Cluster struct {
	Name       ClusterName
	Index      int // position in Snapshot.Clusters
	Provider   *Provider
	Host       string // DNS name or IP
	Port       uint32
	TLS        bool
	ServerName string // SNI and verified name
	BasePath   string
	Weight     uint32 // configured
	Secret     Secret // value ready to use, zero for a provider without credentials
	SecretName string // of the SDS resource, "" without credentials
}

// Secret is a resolved credential. It prints as its source, never as its value.
type Secret struct {
	value  string
	source string // "env OPENAI_API_KEY", "file /run/secrets/x"
}

// NewSecret wraps a resolved value.
func NewSecret(value, source string) Secret { return Secret{value: value, source: source} }

// Reveal is the value itself: only xds may call it.
func (s Secret) Reveal() string { return s.value }

// String hides the value.
func (s Secret) String() string {
	if s.source == "" {
		return "none"
	}
	return s.source
}

// GoString hides the value from %#v.
func (s Secret) GoString() string { return s.String() }

// Model is one model at one provider.
type Model struct {
	Name         string // what clients ask for; provider/ID for one that no catalogue knows
	Provider     *Provider
	ID           string // what the provider calls it
	Aliases      []string
	Price        *Price // nil: unknown, which is not free
	Context      int64
	MaxOutput    int64
	Quality      map[string]float64
	Capabilities map[string]bool // nil: unknown, taken as able
	Deprecated   bool
	Known        bool // from the catalogue or the config
}

// Price is in micro-USD per million tokens. A class without a price of its own costs what Input (or Output) costs.
type Price struct {
	Input, Output, CacheRead, CacheWrite, CacheWrite1h MicroUSD
	Source, Date                                       string
}

// Cost prices one usage, rounded up to a whole micro-USD.
func (p *Price) Cost(u chat.Usage) MicroUSD {
	sum := int64(p.Input)*u.Input + int64(p.CacheRead)*u.CacheRead + int64(p.CacheWrite)*u.CacheWrite +
		int64(p.CacheWrite1h)*u.CacheWrite1h + int64(p.Output)*u.Output
	return MicroUSD((sum + 999_999) / 1_000_000)
}

// Strategy of a route.
type Strategy string

// The strategies.
const (
	Fallback Strategy = "fallback"
	Weighted Strategy = "weighted"
	Balanced Strategy = "balanced"
)

// Route is a name a client may ask for.
type Route struct {
	Name       string
	Strategy   Strategy
	Candidates []Candidate
	Weights    Weights // sum 1
}

// Candidate is one model of a route.
type Candidate struct {
	Model  *Model
	Weight float64
}

// Weights of the balanced score, summing to 1.
type Weights struct{ Price, Latency, Quality float64 }

// Limits bound one request.
type Limits struct {
	MaxBody       int
	MaxResponse   int
	MaxEvent      int
	UploadTimeout time.Duration
}

// Retry is how attempts follow each other.
type Retry struct {
	MaxAttempts                                                    int
	PerTryTimeout, IdleTimeout, Timeout, ConnectTimeout, Backoff time.Duration
	Probe                                                          Probe
}

// Probe says which answers an attempt filter holds until it has seen their first event.
type Probe string

// The probes.
const (
	ProbeStreams Probe = "streams"
	ProbeAll     Probe = "all"
	ProbeNone    Probe = "none"
)

// Health settings.
type Health struct {
	HalfLife time.Duration
	Floor    uint32 // percent of the configured weight
}

// Cache settings. TTL 0: off.
type Cache struct {
	TTL      time.Duration
	MaxBytes int64
}

// Keys is every key by its hash.
type Keys struct {
	Open   bool // no keys configured: everybody is Anonymous
	ByHash map[[32]byte]*Principal
}

// Anonymous is the caller of an open gateway.
var Anonymous = &Principal{Tenant: "default", Key: "anonymous"}

// Principal is who calls: one key with all that stands above it.
type Principal struct {
	Tenant  string
	Team    string // "" when the key belongs to the tenant directly
	Key     string
	Models  []string // patterns; empty: all
	Revoked bool
	Levels  []Level // with limits only, from the tenant down
}

// Level is one counter set of the hierarchy.
type Level struct {
	ID       string // tenant:acme, team:acme/search, key:acme/search/ci
	Requests uint64 // per minute, 0: unlimited
	Tokens   uint64
}

// MayUse says whether the principal may ask for a route or model by this name.
func (p *Principal) MayUse(name string) bool {
	if len(p.Models) == 0 {
		return true
	}
	for _, m := range p.Models {
		if m == name {
			return true
		}
		if n := len(m); n > 0 && m[n-1] == '*' && len(name) >= n-1 && name[:n-1] == m[:n-1] {
			return true
		}
	}
	return false
}

// Provider finds one by name, nil when absent.
func (s *Snapshot) Provider(name ProviderName) *Provider { return s.providers[name] }

// Cluster finds one by name, nil when absent.
func (s *Snapshot) Cluster(name ClusterName) *Cluster { return s.clusters[name] }

// Route finds one by name, nil when absent.
func (s *Snapshot) Route(name string) *Route { return s.routes[name] }

// Lookup resolves what a client asked for: a route, a name or alias of the catalogue, or provider/model for any model of
// a provider, known or not. Anything else is fault.NotFound with code model_not_found.
func (s *Snapshot) Lookup(name string) (*Route, error) {
	if r := s.routes[name]; r != nil {
		return r, nil
	}
	if models := s.models[name]; len(models) > 0 {
		return implicitRoute(name, models), nil
	}
	if m := s.direct(name); m != nil {
		return implicitRoute(name, []*Model{m}), nil
	}
	f := fault.New(fault.NotFound, "The model %q does not exist here. Ask for a route or a model that GET /v1/models lists, or for provider/model.", clip(name))
	f.Param, f.Code = "model", "model_not_found"
	return nil, f
}

func implicitRoute(name string, models []*Model) *Route {
	r := &Route{Name: name, Strategy: Balanced, Weights: DefaultWeights}
	for _, m := range models {
		r.Candidates = append(r.Candidates, Candidate{Model: m, Weight: 1})
	}
	return r
}

// direct reads provider/model.
func (s *Snapshot) direct(name string) *Model {
	for i := 0; i < len(name); i++ {
		if name[i] != '/' {
			continue
		}
		p := s.providers[ProviderName(name[:i])]
		if p == nil || i+1 == len(name) {
			return nil
		}
		id := name[i+1:]
		for _, m := range s.Models {
			if m.Provider == p && (m.ID == id || m.Name == id) {
				return m
			}
		}
		return &Model{Name: name, Provider: p, ID: id}
	}
	return nil
}

// DefaultWeights of the balanced strategy.
var DefaultWeights = Weights{Price: 0.4, Latency: 0.3, Quality: 0.3}

// clip shortens what a client sent before it is shown back.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
