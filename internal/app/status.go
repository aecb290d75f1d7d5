package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/credential"
	"dragoman/internal/health"
	"dragoman/internal/keystore"
	"dragoman/internal/ledger"
	"dragoman/internal/vault"
	"dragoman/processor/limit"
	"dragoman/processor/route"
	"dragoman/xds/server"
)

// status is what the admin port shows at /status. It holds no secret.
type status struct {
	Version  string              `json:"version"` // of the program
	Config   configStatus        `json:"config"`
	Envoy    server.Status       `json:"envoy"`
	InFlight int64               `json:"in_flight"`
	Clusters []health.Status     `json:"clusters"`
	Tokens   []credential.Status `json:"tokens,omitempty"` // of providers that want them
	Vault    *vault.Status       `json:"vault,omitempty"`  // secrets that the configuration has there
	Semantic *semanticStatus     `json:"semantic,omitempty"`
	Ledger   *ledger.Status      `json:"ledger,omitempty"`
	Keys     *keystore.Status    `json:"keys,omitempty"`    // that are made while the gateway runs
	Limits   []limit.Level       `json:"limits,omitempty"`  // absent, too, while the shared counters do not answer
	Routes   []route.Status      `json:"routes,omitempty"`  // that are on trial
	Waiting  map[string]int      `json:"waiting,omitempty"` // requests in the routes' lines
}

type configStatus struct {
	Version    string `json:"version"` // requests go by this one
	Newest     string `json:"newest"`  // read last; the same once Envoy has applied it
	Source     string `json:"source"`
	Loaded     string `json:"loaded"`
	Loads      uint64 `json:"loads"`
	Failures   uint64 `json:"failures"`
	LastError  string `json:"last_error,omitempty"`
	LastFailed string `json:"last_failed,omitempty"`
	Refused    string `json:"refused,omitempty"` // why Envoy does not take the newest
}

func (a *App) status() status {
	st := a.store.Status()
	s := status{
		Version: Version, Envoy: a.xds.Status(), InFlight: a.proc.InFlight(), Clusters: a.tracker.View().List(), Tokens: a.tokens.Status(), Vault: a.vault.Status(),
		Config: configStatus{
			Version: a.serving.Load().Version, Newest: st.Version, Source: st.Source, Loaded: st.Loaded.UTC().Format(time.RFC3339),
			Loads: st.Loads, Failures: st.Failures,
		},
	}
	if a.book != nil {
		l := a.book.Status()
		s.Ledger = &l
	}
	if a.keys.Store != nil {
		k := a.keys.Status()
		s.Keys = &k
	}
	s.Semantic = a.semantic.Load().status()
	s.Limits = a.limitStatus()
	s.Routes, s.Waiting = a.proc.Routes(a.serving.Load()), a.proc.Queues()
	if why := a.refused.Load(); why != nil {
		s.Config.Refused = *why
	}
	if st.LastError != nil {
		s.Config.LastError, s.Config.LastFailed = st.LastError.Error(), st.LastFailed.UTC().Format(time.RFC3339)
	}
	return s
}

// readiness is why the gateway cannot serve: it is stopping, or no Envoy has its configuration.
func (a *App) readiness() error {
	if a.stopping.Load() {
		return errors.New("shutting down")
	}
	st := a.xds.Status()
	if st.Envoys == 0 {
		return errors.New("no Envoy is connected")
	}
	for _, t := range st.Types {
		// An Envoy that refused an update still serves by its last good one.
		if t.Wanted != "" && t.Applied == "" && t.Refused == "" {
			return fmt.Errorf("Envoy has not applied its %s yet", t.Type)
		}
	}
	return nil
}

// watchStatus copies what changes slowly into metrics.
func (a *App) watchStatus(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	failures := uint64(0)
	for {
		st := a.store.Status()
		a.metrics.Config(a.serving.Load().Version, st.Loads, st.Failures, st.Loaded)
		if st.Failures > failures && st.LastError != nil {
			failures = st.Failures
			a.log.Error("a changed configuration was refused; the last good one stays in force", "error", st.LastError)
		}
		for _, c := range a.tracker.View().List() {
			a.metrics.Health(string(c.Cluster), float64(c.Percent))
		}
		a.metrics.Waiting(a.proc.Queues())
		for _, r := range a.proc.Routes(a.serving.Load()) {
			if r.Canary != nil {
				a.metrics.CanaryShare(r.Route, r.Canary.Share)
			}
		}
		a.showBook()
		a.showKeys()
		a.metrics.InFlight(a.proc.InFlight())
		a.metrics.Envoys(a.xds.Status().Envoys)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func levelOf(snap *config.Snapshot) slog.Level {
	var l slog.Level
	if l.UnmarshalText([]byte(snap.Config.GetLog().GetLevel())) != nil {
		return slog.LevelInfo
	}
	return l
}
