package config

import (
	"net"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Every default of the configuration stands in this file, except three that the command decides: processor.address
// (`run` uses a socket in its private folder), envoy.binary (searched) and log.format (text on a terminal). What
// depends on a name that is known (schema, endpoint, credential of "openai") is in vendors.go, applied by known.go.
const (
	DefaultListen    = "127.0.0.1:8080"
	DefaultAdmin     = "127.0.0.1:8081"
	DefaultProcessor = "127.0.0.1:8082"
	DefaultLoopback  = "127.0.0.1:8083"

	defaultWeight = 100
)

// DefaultWeights of the balanced strategy.
var DefaultWeights = Weights{Price: 0.35, Latency: 0.25, Quality: 0.3, Headroom: 0.1}

// setDefaults fills in what cfg leaves out and makes relative paths absolute from dir. env is only asked which of a vendor's own
// variables is set.
func setDefaults(cfg *dragomanv1.Config, dir string, env lookup) {
	cfg.Listen = orNew(cfg.Listen)
	cfg.Listen.Address = address(cfg.Listen.Address, DefaultListen)
	cfg.Admin = orNew(cfg.Admin)
	adminDefaults(cfg.Admin, dir)
	cfg.Processor = orNew(cfg.Processor)
	if cfg.Processor.Address == "" {
		cfg.Processor.Address = DefaultProcessor
	}
	cfg.Envoy = orNew(cfg.Envoy)
	cfg.Envoy.AdminAddress = address(cfg.Envoy.AdminAddress, "127.0.0.1:0")
	cfg.Envoy.LogLevel = or(cfg.Envoy.LogLevel, "warning")
	cfg.Log = orNew(cfg.Log)
	cfg.Log.Level = or(cfg.Log.Level, "info")

	requestDefaults(cfg)
	mediaDefaults(cfg)
	for _, p := range cfg.Providers {
		providerDefaults(p, env)
	}
	healthDefaults(cfg)
	for _, r := range cfg.Routes {
		r.Strategy = or(r.Strategy, string(Balanced))
		r.Unsupported = or(r.Unsupported, "reject")
		r.Context = or(r.Context, string(OverlongNext))
		routingDefaults(r)
	}
	vaultDefaults(cfg.Vault, env)
	absolutePaths(cfg, dir)
	if cfg.Ledger != nil {
		ledgerDefaults(cfg.Ledger, dir, env)
	}
	identityDefaults(cfg.Identity, dir)
	if k := cfg.GetIdentity().GetKeys(); k != nil {
		keyStoreDefaults(k, dir)
	}
}

// localFirst is from which part of the best score on a local candidate goes first.
func localFirst(s Strategy) float64 {
	if s == Quality {
		return 0.9 // who asks for quality by name shall get it
	}
	return 0.7
}

// defaultAffinity is of routes that say nothing: providers cache prompts from 1024 tokens on.
var defaultAffinity = Affinity{On: true, MinTokens: 1024, Load: 1.25, Tolerance: 0.1}

// defaultRouting is of routes that nobody configured.
func defaultRouting(s Strategy) Routing {
	return Routing{LocalFirst: localFirst(s), Sticky: StickyNone, Affinity: defaultAffinity}
}

// routingDefaults fill in what a route says about choosing.
func routingDefaults(r *dragomanv1.Route) {
	s := Strategy(r.Strategy)
	r.LocalFirst = orPointer(r.LocalFirst, localFirst(s))
	sticky := StickyNone
	if s == Experiment {
		sticky = StickyUser
	}
	r.Sticky = or(r.Sticky, string(sticky))
	r.Affinity = orNew(r.Affinity)
	a := r.Affinity
	a.Enabled = orPointer(a.Enabled, defaultAffinity.On)
	a.MinTokens = or(a.MinTokens, uint32(defaultAffinity.MinTokens))
	a.Load = orPointer(a.Load, defaultAffinity.Load)
	a.Tolerance = orPointer(a.Tolerance, defaultAffinity.Tolerance)
	if q := r.Queue; q != nil {
		q.Length = or(q.Length, 100)
		q.Wait = orDuration(q.Wait, 10*time.Second)
	}
	if c := r.Canary; c != nil {
		c.Share = orPointer(c.Share, 0.05)
		c.ErrorMargin = orPointer(c.ErrorMargin, 0.05)
		c.LatencyMargin = orPointer(c.LatencyMargin, 0.5)
		c.MinRequests = or(c.MinRequests, 50)
		c.Window = orDuration(c.Window, 10*time.Minute)
	}
	if m := r.Mirror; m != nil {
		m.Share = orPointer(m.Share, 1)
		m.MaxInFlight = or(m.MaxInFlight, 10)
	}
}

// mediaDefaults bound what is fetched of the web.
func mediaDefaults(cfg *dragomanv1.Config) {
	cfg.Turns = orNew(cfg.Turns)
	cfg.Turns.Ttl = orDuration(cfg.Turns.Ttl, 24*time.Hour)
	cfg.Turns.MaxBytes = or(cfg.Turns.MaxBytes, 64<<20)
	cfg.Media = orNew(cfg.Media)
	f := orNew(cfg.Media.Fetch)
	cfg.Media.Fetch = f
	f.MaxBytes = or(f.MaxBytes, 20<<20)
	f.Timeout = orDuration(f.Timeout, 10*time.Second)
}

// requestDefaults are the bounds of one request and of its attempts.
func requestDefaults(cfg *dragomanv1.Config) {
	l := orNew(cfg.Limits)
	cfg.Limits = l
	l.MaxBodyBytes = or(l.MaxBodyBytes, 32<<20)
	l.MaxResponseBytes = or(l.MaxResponseBytes, 32<<20)
	l.MaxEventBytes = or(l.MaxEventBytes, 4<<20)
	l.MaxUploadBytes = or(l.MaxUploadBytes, 512<<20)
	l.UploadTimeout = orDuration(l.UploadTimeout, 60*time.Second)

	r := orNew(cfg.Retry)
	cfg.Retry = r
	r.MaxAttempts = or(r.MaxAttempts, 4)
	r.Timeout = orDuration(r.Timeout, 600*time.Second)
	// A shorter whole timeout shortens what lies within it, so that one line is enough to say "at most 20 seconds".
	r.PerTryTimeout = orDuration(r.PerTryTimeout, min(60*time.Second, r.Timeout.AsDuration()))
	r.IdleTimeout = orDuration(r.IdleTimeout, 60*time.Second)
	r.ConnectTimeout = orDuration(r.ConnectTimeout, min(5*time.Second, r.PerTryTimeout.AsDuration()))
	r.Backoff = orDuration(r.Backoff, 100*time.Millisecond)
	r.Probe = or(r.Probe, string(ProbeStreams))

	quotaDefaults(cfg)
	cacheDefaults(cfg)
	semanticDefaults(cfg)
}

// address turns the short forms into what Envoy takes: an IP address and a port.
func address(written, fallback string) string {
	host, port, err := net.SplitHostPort(or(written, fallback))
	if err != nil {
		return written
	}
	switch host {
	case "localhost":
		host = "127.0.0.1"
	case "", "*":
		host = "0.0.0.0"
	}
	return net.JoinHostPort(host, port)
}

func absolutePaths(cfg *dragomanv1.Config, dir string) {
	eachSecret(cfg.ProtoReflect(), "", func(_ string, s *dragomanv1.Secret) { secretDefaults(s, dir) })
	if v := cfg.Vault; v != nil {
		if v.Tls != nil {
			v.Tls.Ca = absolute(v.Tls.Ca, dir)
		}
		if v.Kubernetes != nil {
			v.Kubernetes.TokenFile = absolute(v.Kubernetes.TokenFile, dir)
		}
	}
	if w := cfg.GetClassifier().GetWeights(); w != nil {
		w.File = absolute(w.File, dir)
	}
	for _, o := range cfg.GetCatalogue().GetOverrides() {
		o.File = absolute(o.File, dir)
	}
	if r := cfg.GetStore().GetRedis(); r != nil {
		if r.Tls != nil {
			r.Tls.Ca = absolute(r.Tls.Ca, dir)
		}
	}
	if l := cfg.GetCache().GetSemantic().GetEmbedder().GetLocal(); l != nil {
		l.Path = absolute(l.Path, dir)
	}
	if t := cfg.Listen.Tls; t != nil {
		t.Certificate = absolute(t.Certificate, dir)
		t.PrivateKey = absolute(t.PrivateKey, dir)
		t.ClientCa = absolute(t.ClientCa, dir)
	}
	for _, p := range cfg.Providers {
		if p.Tls != nil {
			p.Tls.Ca = absolute(p.Tls.Ca, dir)
		}
		for _, c := range p.Credentials {
			if c.Aws != nil {
				c.Aws.File = absolute(c.Aws.File, dir)
			}
			if c.Entra != nil {
				c.Entra.TokenFile = absolute(c.Entra.TokenFile, dir)
			}
		}
	}
}

func absolute(path, dir string) string {
	if path == "" || dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func or[T comparable](value, fallback T) T {
	var zero T
	if value == zero {
		return fallback
	}
	return value
}

func orNew[T any](value *T) *T {
	if value == nil {
		return new(T)
	}
	return value
}

func orPointer[T any](value *T, fallback T) *T {
	if value == nil {
		return &fallback
	}
	return value
}

func orDuration(value *durationpb.Duration, fallback time.Duration) *durationpb.Duration {
	if value == nil {
		return durationpb.New(fallback)
	}
	return value
}

func envSecret(name string) *dragomanv1.Secret {
	return &dragomanv1.Secret{Source: &dragomanv1.Secret_Env{Env: name}}
}
