package config

import (
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Semantic is the cache's tier that answers questions by meaning.
type Semantic struct {
	On           bool
	Threshold    float64 // cosine similarity
	MaxEntries   int
	MaxBytes     int64
	TTL          time.Duration
	Timeout      time.Duration // of a lookup
	MaxTextBytes int           // of a question
	Shadow       bool
	MultiTurn    bool
	Redis        bool // entries are kept in Snapshot.Redis
	Guards       SemanticGuards
	Local        *LocalEmbedder    // or
	Endpoint     *EndpointEmbedder // exactly one of the two when On
}

// SemanticGuards says which are on.
type SemanticGuards struct {
	Numbers, Negation, Entities, Order, Substitution, Scope, Length, Script bool
}

// LocalEmbedder is the helper process on this machine.
type LocalEmbedder struct {
	Path    string // "": search the usual places
	Workers int    // 0: half the cores
}

// EndpointEmbedder is a provider's embeddings endpoint.
type EndpointEmbedder struct {
	Provider   *Provider
	Model      string
	Dimensions int // 0: the model's own
}

func semanticDefaults(cfg *dragomanv1.Config) {
	s := cfg.GetCache().GetSemantic()
	if s == nil {
		return
	}
	s.Threshold = orPointer(s.Threshold, 0.95)
	s.MaxEntries = or(s.MaxEntries, 100_000)
	s.MaxBytes = or(s.MaxBytes, 256<<20)
	s.Timeout = orDuration(s.Timeout, 50*time.Millisecond)
	s.MaxTextBytes = or(s.MaxTextBytes, 1000)
	s.Embedder = orNew(s.Embedder)
	if s.Embedder.Endpoint == nil {
		s.Embedder.Local = orNew(s.Embedder.Local)
	}
	g := orNew(s.Guards)
	s.Guards = g
	for _, on := range []**bool{&g.Numbers, &g.Negation, &g.Entities, &g.Order, &g.Substitution, &g.Scope, &g.Length, &g.Script} {
		*on = orPointer(*on, true)
	}
	if e := cfg.Cache.Exact; e != nil {
		s.Ttl = orDuration(s.Ttl, e.Ttl.AsDuration())
		s.Store = or(s.Store, e.Store)
	}
}

// semantic compiles the tier's settings.
func (b *builder) semantic() {
	s, exact := b.cfg.GetCache().GetSemantic(), b.cfg.GetCache().GetExact()
	b.snap.semantic = b.semanticOn(nil)
	if s == nil {
		return
	}
	const path = "cache.semantic"
	if exact == nil {
		b.fail(path, "needs cache.exact, which holds the answers that it finds: add `exact: {}`")
		return
	}
	ttl := s.Ttl.AsDuration()
	if ttl > exact.Ttl.AsDuration() {
		b.fail(path+".ttl", "must not be longer than cache.exact.ttl (%s), after which the answers are gone", exact.Ttl.AsDuration())
	}
	if s.Store == "redis" && b.cfg.GetStore().GetRedis() == nil {
		b.fail(path+".store", "is redis, and there is no store.redis")
	}
	g := s.Guards
	out := Semantic{On: true, Threshold: s.GetThreshold(), MaxEntries: int(s.MaxEntries), MaxBytes: int64(s.MaxBytes), TTL: ttl,
		Timeout: s.Timeout.AsDuration(), MaxTextBytes: int(s.MaxTextBytes), Shadow: s.Shadow, MultiTurn: s.MultiTurn, Redis: s.Store == "redis",
		Guards: SemanticGuards{g.GetNumbers(), g.GetNegation(), g.GetEntities(), g.GetOrder(), g.GetSubstitution(), g.GetScope(), g.GetLength(), g.GetScript()}}
	b.embedder(path+".embedder", s.Embedder, &out)
	if out.Guards == (SemanticGuards{}) && !s.Shadow {
		b.warn("%s: every guard is off: wrong answers will be served (of pairs made to look alike, one in eight)", path)
	}
	b.snap.Semantic = out
	if out.Endpoint != nil {
		b.loopback()
	}
}

func (b *builder) embedder(path string, e *dragomanv1.Embedder, out *Semantic) {
	if e.Local != nil && e.Endpoint != nil {
		b.fail(path, "is either local or endpoint")
		return
	}
	if l := e.Local; l != nil {
		out.Local = &LocalEmbedder{Path: l.Path, Workers: int(l.Workers)}
		return
	}
	p := b.snap.providers[ProviderName(e.Endpoint.Provider)]
	if p == nil && e.Endpoint.Provider != "" {
		b.fail(path+".endpoint.provider", "there is no provider %q", clip(e.Endpoint.Provider))
	}
	out.Endpoint = &EndpointEmbedder{Provider: p, Model: e.Endpoint.Model, Dimensions: int(e.Endpoint.Dimensions)}
}

// semanticOn says whether the semantic tier serves a route; nil is one that is not configured. It needs the exact tier there.
func (b *builder) semanticOn(r *dragomanv1.RouteCache) bool {
	if !b.exact(r) {
		return false
	}
	if r != nil && r.Semantic != nil {
		return *r.Semantic
	}
	return b.cfg.GetCache().GetSemantic().GetEveryRoute()
}

// loopback settles where Envoy takes the gateway's own requests.
func (b *builder) loopback() {
	at := b.cfg.Listen.Loopback
	if at == "" {
		at = DefaultLoopback
		if path, ok := strings.CutPrefix(b.cfg.Processor.Address, "unix://"); ok {
			at = "unix://" + filepath.Join(filepath.Dir(path), "loopback.sock")
		}
	}
	if path, ok := strings.CutPrefix(at, "unix://"); ok {
		if !filepath.IsAbs(path) || len(path) > 100 {
			b.fail("listen.loopback", "must be unix:// and an absolute path of at most 100 characters")
		}
	} else if ap, err := netip.ParseAddrPort(at); err != nil || !ap.Addr().IsLoopback() || ap.Port() == 0 {
		b.fail("listen.loopback", "must be a loopback address with a port, as 127.0.0.1:8083, or unix:///path")
	}
	b.snap.Loopback = at
}
