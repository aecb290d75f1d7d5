// Package demo holds two small providers, one that speaks OpenAI chat completions and one that speaks Anthropic
// Messages. `dragoman run` serves them when it finds no other, so that a first request, a stream, a failover and the
// cache can be tried without an account. Their answers say that they are demos. A request whose last user text
// contains
//
//	fail please              is answered 503 by demo-openai, and normally by demo-anthropic: the gateway fails over
//	fail everywhere please   is answered 503 and 529 by both
//
// They import nothing of the gateway: to it they are two providers like any other.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounds of one demo provider.
const (
	maxBody     = 64 << 20
	maxInFlight = 256 // beyond it: 429
)

// Options make a provider exact for tests.
type Options struct {
	Pace time.Duration    // between two words of a stream; default 20 ms, negative: none
	Now  func() time.Time // default time.Now
	ID   func() string    // of an answer, without its prefix; default random
}

func (o Options) withDefaults() Options {
	if o.Pace == 0 {
		o.Pace = 20 * time.Millisecond
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.ID == nil {
		o.ID = randomID
	}
	return o
}

func randomID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Server is both providers, listening.
type Server struct {
	OpenAI    string // base URL, without path
	Anthropic string // base URL, without path

	servers []*http.Server
	done    sync.WaitGroup
	close   sync.Once
}

// Start serves both providers on free ports of 127.0.0.1 until Close. The error is the listener's.
func Start() (*Server, error) { return StartWith(Options{}) }

// StartWith is Start with options.
func StartWith(o Options) (*Server, error) {
	s := &Server{}
	for _, p := range []struct {
		url     *string
		handler http.Handler
	}{{&s.OpenAI, OpenAI(o)}, {&s.Anthropic, Anthropic(o)}} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			s.Close()
			return nil, err
		}
		*p.url = "http://" + listener.Addr().String()
		server := &http.Server{Handler: p.handler, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: time.Minute, IdleTimeout: 2 * time.Minute}
		s.servers = append(s.servers, server)
		s.done.Go(func() { _ = server.Serve(listener) }) // http.ErrServerClosed, after Close
	}
	return s, nil
}

// Close lets streams in flight finish for up to two seconds, and then cuts them. It may be called again.
func (s *Server) Close() {
	s.close.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		for _, server := range s.servers {
			if err := server.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
				_ = server.Close()
			}
		}
		s.done.Wait()
	})
}

// limited refuses more than maxInFlight requests at once.
func limited(next http.Handler, busy func(http.ResponseWriter)) http.Handler {
	slots := make(chan struct{}, maxInFlight)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
			next.ServeHTTP(w, r)
		default:
			w.Header().Set("Retry-After", "1")
			busy(w)
		}
	})
}
