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
var DefaultWeights = Weights{Price: 0.4, Latency: 0.3, Quality: 0.3}

// setDefaults fills in what cfg leaves out and makes relative paths absolute from dir. env is only asked which of a vendor's own
// variables is set.
func setDefaults(cfg *dragomanv1.Config, dir string, env lookup) {
	cfg.Listen = orNew(cfg.Listen)
	cfg.Listen.Address = address(cfg.Listen.Address, DefaultListen)
	cfg.Admin = orNew(cfg.Admin)
	cfg.Admin.Address = address(cfg.Admin.Address, DefaultAdmin)
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
	for _, r := range cfg.Routes {
		r.Strategy = or(r.Strategy, string(Balanced))
		r.Unsupported = or(r.Unsupported, "reject")
		r.Context = or(r.Context, string(OverlongNext))
	}
	absolutePaths(cfg, dir)
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

	h := orNew(cfg.Health)
	cfg.Health = h
	h.HalfLife = orDuration(h.HalfLife, 10*time.Second)
	h.Floor = or(h.Floor, 1)

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
	if r := cfg.GetStore().GetRedis(); r != nil {
		if r.Tls != nil {
			r.Tls.Ca = absolute(r.Tls.Ca, dir)
		}
		if f, ok := r.GetPassword().GetSource().(*dragomanv1.Secret_File); ok {
			f.File = absolute(f.File, dir)
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
	if f, ok := cfg.GetObjects().GetSecret().GetSource().(*dragomanv1.Secret_File); ok {
		f.File = absolute(f.File, dir)
	}
	for _, p := range cfg.Providers {
		if p.Tls != nil {
			p.Tls.Ca = absolute(p.Tls.Ca, dir)
		}
		for _, c := range p.Credentials {
			for _, ref := range []*dragomanv1.Secret{c.Secret, c.GetAws().GetAccessKeyId(), c.GetAws().GetSecretAccessKey(),
				c.GetAws().GetSessionToken(), c.GetGoogle().GetKey(), c.GetEntra().GetClientSecret()} {
				if f, ok := ref.GetSource().(*dragomanv1.Secret_File); ok {
					f.File = absolute(f.File, dir)
				}
			}
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
