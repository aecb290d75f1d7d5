// Package admin is Dragoman's own HTTP port: metrics, liveness, readiness and the applied configuration. It is meant for
// operators and monitoring, listens on loopback unless told otherwise, and shows no secret.
package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"dragoman/processor/cache"
)

// Options are what the port shows. Everything is required.
type Options struct {
	Registry *prometheus.Registry
	// Ready says why the gateway cannot serve yet or any more, nil when it can.
	Ready func() error
	// Status is shown as JSON at /status: it must hold no secret.
	Status func() any
	// Cache is the tiers of the cache in force.
	Cache func() []cache.Admin
	// Usage answers GET /usage; nil while there is no ledger.
	Usage http.Handler
	// Audit is told what was changed through this port: what was done, to what, and how that ended; nil: nobody is.
	Audit func(action, subject, detail, outcome string)
}

// Handler serves /metrics, /healthz (the process is alive), /readyz (it can serve), /status, and what changes the cache.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := o.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(o.Status())
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "Dragoman's admin port.\n\n/metrics  Prometheus\n/healthz  alive\n/readyz   ready to serve\n/status   configuration, clusters and their health\n"+
			"/usage    what was used and what it cost: ?by=team&since=30d&tenant=acme&format=csv\n"+
			"\nFor programs on this machine:\n\n"+
			"DELETE /cache?tenant=&model=&older_than=&key=  purge the entries for which all that is given holds; ?all=true all\n"+
			"POST /cache/feedback {\"key\": …, \"wrong\": true}  an answer from the cache was wrong: x-dragoman-cache-entry names it\n")
	})
	if o.Usage != nil {
		mux.HandleFunc("GET /usage", local(o.Usage.ServeHTTP)) // whose usage is anybody's business needs a role
	}
	cacheEndpoints(mux, o.Cache, o.Audit)
	return mux
}

// NewServer bounds what a stuck or hostile peer of the admin port can hold.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
	}
}
