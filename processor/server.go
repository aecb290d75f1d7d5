// Package processor is Dragoman's external processor: the policy that Envoy asks about each request. Start reading at
// request.go; this file is the gRPC loop only.
package processor

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"dragoman/internal/config"
	"dragoman/internal/fetch"
	"dragoman/internal/health"
	"dragoman/internal/observe"
	"dragoman/internal/wiring"
	"dragoman/processor/account"
	"dragoman/processor/auth"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/processor/limit"
	"dragoman/processor/objects"
	"dragoman/processor/queue"
	"dragoman/processor/route"
	"dragoman/processor/turns"
)

// Options are what a Server works with. Everything is required but Keys, First, Loopback and Shared.
type Options struct {
	Config   func() *config.Snapshot // the current snapshot; a request keeps the one it started with
	Health   *health.Tracker
	Counters limit.Counters
	Cache    func() cache.Backend // of the current snapshot; cache.None when off
	Ledger   account.Ledger
	Turns    func() turns.Store
	Semantic func() *semantic.Tier   // of the current snapshot; nil when off
	Keys     auth.Store              // that are made while the gateway runs; nil: there are none
	First    func(*config.Principal) // told of who calls by a token or certificate for the first time under a configuration; may be nil, must not block
	OwnKey   string                  // by which the gateway's own requests are known; "": there are none
	Fetch    func() *fetch.Fetcher   // of the current snapshot; nil when requests' URLs are not fetched
	Metrics  *observe.Metrics
	Log      *slog.Logger
	Now      func() time.Time
	Random   func() float64 // uniform in [0, 1)
	// Loopback sends the gateway's own requests through Envoy; nil where there is no such way.
	Loopback http.RoundTripper
	NewID    func() string // unique id of an exchange
	// Shared is where replicas count together what credentials are granted; nil, or a nil answer, where each counts alone.
	Shared func() route.Shared
}

// Server is the ext_proc service of both filters: "request" (downstream, one stream a request) and "attempt" (upstream,
// a stream for later attempts and probed answers).
type Server struct {
	Options
	exchanges  *registry
	learnt     *route.Learnt
	queues     *queue.Queues
	mirrors    mirrors
	ruleErrors sync.Map // by rule: *sync.Once
	flights    *cache.Flights
	streams    atomic.Int64               // open request streams
	repeats    atomic.Int64               // of them, those that ask a provider again that has failed them
	unsaved    *objects.Keeper            // without a configured secret: ids end with the process
	saved      atomic.Pointer[keptSecret] // the keeper of the last configured one
	warned     sync.Once                  // of what unsaved means
}

// New makes a Server.
func New(o Options) *Server {
	learnt := route.NewLearnt()
	learnt.ShareBy(o.Shared)
	return &Server{Options: o, exchanges: newRegistry(), learnt: learnt, queues: queue.New(), flights: cache.NewFlights(), unsaved: objects.NewRandomKeeper()}
}

// Register adds envoy.service.ext_proc.v3.ExternalProcessor to a gRPC server, which must have been made with NewCodec.
func (s *Server) Register(g *grpc.Server) {
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.ext_proc.v3.ExternalProcessor",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "Process", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return s.Process(stream) },
		}},
	}, s)
}

// stream is what is needed of a grpc.ServerStream whose messages are inbound and outbound.
type stream interface {
	Context() context.Context
	RecvMsg(m any) error
	SendMsg(m any) error
}

// Process serves one stream of either filter.
func (s *Server) Process(stream stream) (err error) {
	defer func() {
		// One request's bug must not end everybody's streams.
		if p := recover(); p != nil {
			s.Log.Error("panic in a stream", "panic", p, "stack", string(debug.Stack()))
			s.Metrics.Panic()
			err = status.Error(codes.Internal, "internal error")
		}
	}()
	if filterOf(stream.Context()) == wiring.FilterAttempt {
		return s.serveAttempt(stream)
	}
	return s.serveRequest(stream)
}

func filterOf(ctx context.Context) string {
	if v := metadata.ValueFromIncomingContext(ctx, wiring.MetaFilter); len(v) > 0 {
		return v[0]
	}
	return ""
}

// filterCluster is the cluster whose filter has opened an attempt stream.
func filterCluster(ctx context.Context) config.ClusterName {
	if v := metadata.ValueFromIncomingContext(ctx, wiring.MetaCluster); len(v) > 0 {
		return config.ClusterName(v[0])
	}
	return ""
}

// serveRequest is the loop of the downstream filter. Messages arrive in order; a timer may act between two of them, so
// both hold the exchange's lock.
func (s *Server) serveRequest(stream stream) error {
	s.streams.Add(1)
	defer s.streams.Add(-1)
	ex := newExchange(s, stream)
	defer ex.close()
	var in inbound
	for {
		if err := stream.RecvMsg(&in); err != nil {
			return ignoreEnd(err)
		}
		ended, err := ex.receive(&in)
		if err != nil || ended {
			return err
		}
	}
}

// receive dispatches one message. ended says that the last message was sent: Envoy needs nothing more from the stream.
func (ex *Exchange) receive(in *inbound) (ended bool, err error) {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	if ex.ended {
		return true, nil
	}
	begin := time.Now()
	switch in.kind {
	case requestHeadersMessage:
		err = ex.onRequestHeaders(in)
	case requestBodyMessage:
		err = ex.onRequestBody(in.body, in.last)
	case requestTrailersMessage:
		ex.trailers = true
		err = ex.onRequestBody(nil, true)
	case responseHeadersMessage:
		err = ex.onResponseHeaders(in)
	case responseBodyMessage:
		err = ex.onResponseBody(in.body, in.last)
	case responseTrailersMessage:
		ex.responseTrailers = true
		err = ex.onResponseBody(nil, true)
	}
	ex.overhead += time.Since(begin)
	return ex.ended, err
}

// ignoreEnd: Envoy ends a stream by cancelling it, also when all went well. What that meant for the request is the
// exchange's to say, from where it stood.
func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || status.Code(err) == codes.Canceled || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// InFlight is the number of requests being served.
func (s *Server) InFlight() int64 { return s.streams.Load() }
