// Package config reads, validates and compiles the configuration: YAML or environment → dragomanv1.Config → Snapshot. A
// Snapshot is immutable; each request keeps the one it started with.
package config

import (
	"net/netip"
	"time"

	"dragoman/internal/classify"
	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/translate/chat"
)

// Names of things, kept apart by type.
type (
	ProviderName string // also the name of the provider's weighted group
	// ClusterName is provider/endpoint/credential; also the name of the cluster's single group. The endpoint's and the
	// credential's part stand only where it was given a name or has siblings; without either the name is
	// provider/default. So it is unique, has always a slash (a provider's own name has none), stays when a secret's value
	// changes, and stays when a named credential gets a sibling.
	ClusterName string
	MicroUSD    int64 // money, in millionths of a US dollar
)

// Snapshot is one compiled, valid configuration. Nothing in it is written after Compile returned it, but for what it
// remembers of callers.
type Snapshot struct {
	Version    string             // 12 hex digits over the whole configuration; secrets and certificates count by hash
	Source     string             // where it came from: a file's path, or "environment"
	Config     *dragomanv1.Config // with every default filled in and paths made absolute
	Loaded     time.Time
	Providers  []*Provider // in the order of the config
	Clusters   []*Cluster  // in the order of their providers
	Models     []*Model    // usable catalogue: models of configured providers, sorted by name then provider
	Routes     []*Route    // `auto` always exists
	Rules      []*Rule     // in their order
	Keys       *Keys
	Limits     Limits
	Retry      Retry
	Health     Health
	Cache      Cache
	Coalesce   Coalesce
	Semantic   Semantic
	Headers    []string  // of clients, that rules may read beside wiring.ClientHeaders; in lower case
	Loopback   string    // where Envoy takes the gateway's own requests: host:port or unix:///path; "": nowhere
	Redis      *Redis    // nil: all state is in process
	Ledger     *Ledger   // nil: none is configured, or it is off
	KeyStore   *KeyStore // nil: keys stand in the configuration alone
	Identity   *Identity // nil: callers are known by their keys alone
	Vault      *Vault    // nil: none is configured
	Media      Media
	Objects    Objects
	Classifier *classify.Model
	Turns      Turns
	Quota      Quota
	Admin      *Admin     // never nil
	TLS        *ServerTLS // of the client-facing listener, nil for cleartext
	Demo       bool       // the providers are the built-in demo ones
	Found      []Found    // what was found and what is lacking, for the table that `run` prints
	Warnings   []string   // for the operator, shown at start and on reload

	empty     bool // the file says nothing
	exact     bool // Route.Exact of models that only their provider knows
	semantic  bool // Route.Semantic of the same
	providers map[ProviderName]*Provider
	clusters  map[ClusterName]*Cluster
	routes    map[string]*Route // configured ones and auto, by name
	callers   *callers
	lookup    map[string]*Route // routes, then catalogue names, aliases and provider/model of known models
}

// ServerTLS is what the client-facing listener shows and asks for, as PEM. Its files are read at load, so that a certificate
// that does not fit its key is a faulty configuration and not a broken listener.
type ServerTLS struct {
	Certificate   []byte // the chain, leaf first
	PrivateKey    Secret
	ClientCA      []byte // nil: no client certificates are asked for
	RequireClient bool
}

// Found is a row of the table that `run` prints.
type Found struct {
	Provider   ProviderName
	Schema     chat.Schema
	Endpoint   string // base URL
	Credential string // where it comes from ("env OPENAI_API_KEY"), "none"; several joined by commas
	Models     int    // of the usable catalogue
	Lacks      string // "" when it is usable: "OPENAI_API_KEY is not set"
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
	CAData   []byte // what it holds
	BasePath string // of the first endpoint; all endpoints of a provider share it
	Demo     bool
	Missing  string // why it cannot be used (a credential's variable is empty); only in the discovery table
	Dialect  string // how it deviates from its schema (azure, vertex, mistral, …), "" when it does not
	// APIs that it serves beyond chat in its own schema, by the words of Provider.apis: responses, embeddings, …
	APIs       map[string]bool
	APIVersion string // azure: of the classic API, "" for the v1 API
	Check      *ActiveCheck
	LimitedBy  string // LimitedByModel or LimitedByCredential
	DataRegion string // where data is kept and processed, "" when nobody said
}

// Cluster is one endpoint × credential of a provider: one Envoy cluster, one secret.
type Cluster struct {
	Name       ClusterName
	Index      int // position in Snapshot.Clusters
	Provider   *Provider
	Host       string // DNS name or IP
	Port       uint32
	TLS        bool
	ServerName string // SNI and verified name; an IP address where the endpoint is one (no SNI then)
	BasePath   string
	Weight     uint32 // configured
	Secret     Secret // value ready to use, zero for a provider without credentials
	SecretName string // of the SDS resource, shared by the clusters of one credential; "" without credentials
	Header     string // that carries the secret, in lower case: authorization, x-api-key
	Prefix     string // before the value in it: "Bearer ", ""
	// Signing is set instead of Secret, SecretName and Header where requests are signed.
	Signing *Signing
	// Grant is set instead of Secret where Dragoman gets tokens for the secret resource SecretName.
	Grant *Grant
	// Limits of its credential, shared by the clusters of that; nil: unknown.
	Limits *CredentialLimits
}

// Model is one model at one provider.
type Model struct {
	Name         string // what clients ask for; provider/ID for one that no catalogue knows
	Ref          string // provider/ID
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
	Pinned       bool // a dated version, an embedding model, an Azure deployment that is not listed …: to be asked for by name, never a candidate of `auto`
	traits       Traits
}

// Route is a name a client may ask for.
type Route struct {
	Name       string
	Strategy   Strategy
	Candidates []Candidate
	Weights    Weights  // sum 1
	Implicit   bool     // not configured: stands for a model that was asked for directly
	Lossy      bool     // what has no counterpart is dropped even where it changes the meaning; else refused
	Overlong   Overlong // what becomes of a request that is too long for the model
	Exact      bool     // the exact tier of the cache and coalescing serve it, when they are on
	Semantic   bool     // so does the semantic tier
	Routing
	Retry *Retry // its own, nil: Snapshot.Retry (see RetryOf)
	// OnContentPolicy is asked when a provider's content policy refuses the request; nil: nobody else.
	OnContentPolicy *Model
	Worst           Worst // that a request can cost; see Ceiling
}

// Overlong says what becomes of a request that does not fit a model's context window.
type Overlong string

// What may become of it.
const (
	OverlongReject Overlong = "reject"          // a clear error
	OverlongNext   Overlong = "next"            // the next candidate with a larger window
	TruncateOldest Overlong = "truncate_oldest" // the oldest turns are left out
	TruncateMiddle Overlong = "truncate_middle" // turns from the middle are left out
)

// Turns says how long stored conversations live.
type Turns struct {
	TTL      time.Duration
	MaxBytes int // in process
}

// Media says whether Dragoman fetches what a request of a trusted tenant names by URL.
type Media struct {
	Fetch    bool
	MaxBytes int64          // of one file
	Timeout  time.Duration  // of one file
	Allow    []netip.Prefix // networks to fetch from beside the public ones
}

// Candidate is one model of a route.
type Candidate struct {
	Model   *Model
	Weight  float64
	Variant string // of an experiment: what its results are named
}

// Weights of the composite score, summing to 1.
type Weights struct{ Price, Latency, Quality, Headroom float64 }

// Limits bound one request.
type Limits struct {
	MaxBody       int
	MaxResponse   int
	MaxEvent      int
	MaxUpload     int64 // of a body that is passed on as it comes
	UploadTimeout time.Duration
}

// Objects says by what the ids of files and batches are sealed.
type Objects struct {
	Secret Secret // zero: none is configured, and a random one per process serves
}

// Retry is how attempts follow each other.
type Retry struct {
	MaxAttempts                                                  int
	PerTryTimeout, IdleTimeout, Timeout, ConnectTimeout, Backoff time.Duration
	Probe                                                        Probe
	Budget                                                       uint32 // see RetriesAllowed; percent
}

// Probe says which answers an attempt filter holds until it has seen their first event.
type Probe string

// The probes.
const (
	ProbeStreams Probe = "streams"
	ProbeAll     Probe = "all"
	ProbeNone    Probe = "none"
)
