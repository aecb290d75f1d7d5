// Package admin is Dragoman's own port: metrics, liveness and readiness for everybody, the admin API (api) as gRPC and as HTTP/JSON for
// whoever may (access), logins (login) and a page for people (page). It shows no secret but one that was just made.
package admin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"

	"dragoman/internal/admin/access"
	"dragoman/internal/admin/api"
	"dragoman/internal/admin/login"
	"dragoman/internal/admin/page"
	"dragoman/internal/config"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// Options are what the port shows. Everything is required but Logins and Usage.
type Options struct {
	Registry *prometheus.Registry
	// Ready says why the gateway cannot serve yet or any more, nil when it can.
	Ready func() error
	// Status is shown as JSON at /status: it must hold no secret.
	Status func() any
	API    *api.Server
	Guard  *access.Guard
	Config func() *config.Snapshot
	Logins *login.Logins // nil without a database: nobody can log in
	// Usage answers GET /usage; nil while there is no ledger.
	Usage http.Handler
}

// Handler serves the port. /metrics, /healthz, /readyz and /openapi.json are for everybody who reaches it; everything else asks who calls.
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
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "application/json")
		_, _ = w.Write(adminv1.OpenAPI)
	})
	identified := func(h http.Handler) http.Handler { return o.identify(sameOrigin(h)) }
	mux.Handle("/api/", identified(jsonAPI(o.API)))
	mux.Handle("GET /status", identified(o.status()))
	if o.Usage != nil {
		mux.Handle("GET /usage", identified(o.Usage))
	}
	cacheEndpoints(mux, o.API, identified)
	people := page.New(page.Options{Client: o.API.Client(), Logins: o.Logins, Config: o.Config})
	people.Register(func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, identified(h)) })
	service := identified(o.API.GRPC())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-content-type-options", "nosniff")
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("content-type"), "application/grpc") {
			service.ServeHTTP(w, r)
			return
		}
		w.Header().Set("cache-control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// identify finds out who calls; what that one may do is asked by what it calls.
func (o Options) identify(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r = r.WithContext(access.WithCaller(r.Context(), o.Guard.Identify(r)))
		h.ServeHTTP(w, r)
	})
}

// sameOrigin keeps pages of others from changing something by a browser that has a session here. Nothing changes by GET.
func sameOrigin(h http.Handler) http.Handler {
	return http.NewCrossOriginProtection().Handler(h)
}

// status is what GET /status has always shown.
func (o Options) status() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var shown any
		err := o.API.Do(r.Context(), adminv1.Admin_GetStatus_FullMethodName, func(context.Context) error {
			shown = o.Status()
			return nil
		})
		if err != nil {
			Fail(w, err)
			return
		}
		w.Header().Set("content-type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(shown)
	})
}

// NewServer bounds what a stuck or hostile peer of the admin port can hold. It speaks HTTP/1.1 and HTTP/2, in clear, too: gRPC clients
// begin with that.
func NewServer(h http.Handler) *http.Server {
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		Protocols: protocols, HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 100, MaxReceiveBufferPerConnection: 1 << 20, MaxReceiveBufferPerStream: 256 << 10},
	}
}

// TLS is how the port shows who it is: by the certificate in force, so that one is rotated without a restart.
func TLS(settings func() *config.ServerTLS) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			s := settings()
			if s == nil {
				return nil, fmt.Errorf("admin.tls was taken out of the configuration: the next start listens in clear")
			}
			pair, err := tls.X509KeyPair(s.Certificate, []byte(s.PrivateKey.Reveal()))
			if err != nil {
				return nil, err
			}
			c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}, Certificates: []tls.Certificate{pair}}
			if s.ClientCA != nil {
				c.ClientCAs, c.ClientAuth = x509.NewCertPool(), tls.VerifyClientCertIfGiven
				c.ClientCAs.AppendCertsFromPEM(s.ClientCA)
				if s.RequireClient {
					c.ClientAuth = tls.RequireAndVerifyClientCert
				}
			}
			return c, nil
		},
	}
}

var _ http.Handler = (*grpc.Server)(nil)
