package config

import (
	"net"
	"path/filepath"
	"strconv"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Every default of the configuration stands in this file, except three that the command decides: processor.address
// (`run` uses a socket in its private folder), envoy.binary (searched) and log.format (text on a terminal). What
// depends on a name that is known (schema, endpoint, credential of "openai") is in schema.go.
const (
	DefaultListen    = "127.0.0.1:8080"
	DefaultAdmin     = "127.0.0.1:8081"
	DefaultProcessor = "127.0.0.1:8082"

	defaultWeight = 100
)

// DefaultWeights of the balanced strategy.
var DefaultWeights = Weights{Price: 0.4, Latency: 0.3, Quality: 0.3}

// setDefaults fills in what cfg leaves out and makes relative paths absolute from dir.
func setDefaults(cfg *dragomanv1.Config, dir string) {
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
	for _, p := range cfg.Providers {
		providerDefaults(p)
	}
	for _, r := range cfg.Routes {
		r.Strategy = or(r.Strategy, string(Balanced))
	}
	absolutePaths(cfg, dir)
}

// requestDefaults are the bounds of one request and of its attempts.
func requestDefaults(cfg *dragomanv1.Config) {
	l := orNew(cfg.Limits)
	cfg.Limits = l
	l.MaxBodyBytes = or(l.MaxBodyBytes, 32<<20)
	l.MaxResponseBytes = or(l.MaxResponseBytes, 32<<20)
	l.MaxEventBytes = or(l.MaxEventBytes, 4<<20)
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

	cfg.Cache = orNew(cfg.Cache)
	if e := cfg.Cache.Exact; e != nil {
		e.Ttl = orDuration(e.Ttl, time.Hour)
		e.MaxBytes = or(e.MaxBytes, 64<<20)
	}
}

// providerDefaults fill in what is known of a provider by its name or its endpoint's host: `{name: openai}` alone is a whole
// provider.
func providerDefaults(p *dragomanv1.Provider) {
	v := vendorOf(p.Name)
	if v != nil && p.Endpoint == "" && len(p.Endpoints) == 0 && or(p.Schema, string(v.schema)) == string(v.schema) {
		p.Endpoint = v.endpoint
	}
	if p.Endpoint != "" && len(p.Endpoints) == 0 {
		p.Endpoints = []*dragomanv1.Endpoint{{Url: p.Endpoint}}
		p.Endpoint = ""
	}
	official := officialAt(p.Endpoints)
	if v != nil || official != nil {
		p.Schema = or(p.Schema, string(orVendor(official, v).schema))
	}
	if official != nil && len(p.Credentials) == 0 {
		p.Credentials = []*dragomanv1.Credential{{Secret: envSecret(official.keyEnv)}}
	}
	p.Catalogue = or(p.Catalogue, catalogueOf(p, official, v))
	p.Locality = or(p.Locality, "remote")
	p.Http = or(p.Http, "auto")
	for i, e := range p.Endpoints {
		if len(p.Endpoints) > 1 {
			e.Name = or(e.Name, strconv.Itoa(i+1))
		}
		e.Weight = orPointer(e.Weight, defaultWeight)
	}
	for i, c := range p.Credentials {
		if len(p.Credentials) > 1 {
			c.Name = or(c.Name, strconv.Itoa(i+1))
		}
		c.Weight = orPointer(c.Weight, defaultWeight)
		c.Scheme = or(c.Scheme, "api_key")
	}
}

// catalogueOf guesses whose models a provider serves: those of the vendor whose host it is, or whose name it has. A server of
// one's own that takes no key hardly serves a vendor's models, whatever it is called.
func catalogueOf(p *dragomanv1.Provider, official, named *vendor) string {
	if named != nil && len(p.Credentials) == 0 {
		named = nil
	}
	if v := orVendor(official, named); v != nil && p.Schema == string(v.schema) {
		return v.name
	}
	return "none"
}

// officialAt finds the vendor whose own API the first endpoint is, nil when it is nobody's.
func officialAt(endpoints []*dragomanv1.Endpoint) *vendor {
	for i := range vendors {
		if len(endpoints) > 0 && sameHost(endpoints[0].Url, vendors[i].endpoint) {
			return &vendors[i]
		}
	}
	return nil
}

func orVendor(a, b *vendor) *vendor {
	if a != nil {
		return a
	}
	return b
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
			if f, ok := c.GetSecret().GetSource().(*dragomanv1.Secret_File); ok {
				f.File = absolute(f.File, dir)
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
