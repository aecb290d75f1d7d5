// Package api is the admin API: one service, called by gRPC, by HTTP/JSON and by the page for people. Every call of each of them goes
// through Server.intercept, which asks internal/admin/access whether it may, and tells the audit trail what became of it.
package api

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
	"dragoman/internal/keystore"
	"dragoman/internal/ledger"
	"dragoman/processor/cache"
	"dragoman/processor/limit"
	adminv1 "dragoman/proto/dragoman/admin/v1"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Keys keeps callers' keys: a *keystore.Store.
type Keys interface {
	Create(ctx context.Context, by string, at config.Place, spec *dragomanv1.Key, expires time.Time) (*keystore.Key, string, error)
	Rotate(ctx context.Context, by, id string, overlap time.Duration) (*keystore.Key, string, error)
	Revoke(ctx context.Context, by, id string) (*keystore.Key, error)
	Get(ctx context.Context, id string) (*keystore.Key, error)
	List(ctx context.Context, f keystore.Filter) ([]*keystore.Key, error)
}

// Question is what usage is asked for.
type Question struct {
	By, Where    []string // as in GetUsageRequest
	Since, Until string
	Limit        int
	Within       map[string][]string // and only of these, by dimension: what the caller may see
}

// Options are what the API works with. Tokens, Keys, Usage, AuditPage and Verify are nil where there is no ledger, or no key store.
type Options struct {
	Guard     *access.Guard
	Config    func() *config.Snapshot // in force
	Tokens    access.Store
	Keys      Keys
	Levels    func(ctx context.Context) ([]limit.Level, error) // where limits stand
	Usage     func(ctx context.Context, q Question) (*ledger.Usage, error)
	AuditPage func(ctx context.Context, f ledger.PageFilter) ([]*ledger.Entry, error)
	Verify    func(ctx context.Context, expected []string) (*ledger.Verdict, error)
	Cache     func() []cache.Admin
	Status    func() any // shown as JSON: it must hold no secret
	Reload    func() (version string, err error)
	Audit     *access.Auditor
	Now       func() time.Time
	Random    io.Reader
	Log       *slog.Logger
}

// Server answers the API's methods.
type Server struct {
	adminv1.UnimplementedAdminServer
	o         Options
	verifying sync.Mutex // one look through the whole trail at a time
}

// New makes a server.
func New(o Options) *Server { return &Server{o: o} }

const (
	// callTimeout bounds every method.
	callTimeout = 25 * time.Second
	// MaxRequest bounds what comes in, in bytes.
	MaxRequest = 1 << 20
)

// GRPC is the service for gRPC clients.
func (s *Server) GRPC() *grpc.Server {
	g := grpc.NewServer(grpc.UnaryInterceptor(s.intercept), grpc.MaxRecvMsgSize(MaxRequest))
	adminv1.RegisterAdminServer(g, s)
	return g
}

// intercept lets a call through that its caller may make, and tells the audit trail of changes and refusals.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	var resp any
	err := s.Do(ctx, info.FullMethod, func(ctx context.Context) (err error) {
		if m, ok := req.(proto.Message); ok && !clean(m.ProtoReflect()) {
			return invalid("the request holds a control character")
		}
		resp, err = handler(ctx, req)
		return err
	})
	if err != nil {
		return nil, err
	}
	return resp, nil
}

// Do runs f as a method of the API, for its caller. The error is a status of gRPC.
func (s *Server) Do(ctx context.Context, method string, f func(ctx context.Context) error) (err error) {
	caller := access.CallerOf(ctx)
	call, err := access.Authorize(caller, method)
	if err != nil {
		s.refused(caller, method, err)
		return err
	}
	ctx, cancel := context.WithTimeout(access.WithCall(ctx, call), callTimeout)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			s.o.Log.Error("a method of the admin API has panicked", "method", method, "panic", r)
			err = status.Error(codes.Internal, "the gateway is at fault: its log says more")
		}
		s.note(caller, call, method, err)
	}()
	if err = f(ctx); err == nil && !call.Asked() {
		s.o.Log.Error("a method of the admin API did not ask for whom it was called", "method", method)
		err = status.Error(codes.Internal, "the gateway is at fault: its log says more")
	}
	return err
}

// refused tells the trail of a call that was not let through.
func (s *Server) refused(caller *access.Caller, method string, err error) {
	e := access.Event{Action: "refused", Subject: shortMethod(method), Address: caller.Address, Outcome: outcome(err)}
	if caller.Identity != nil {
		e.Who = caller.Identity.String()
	}
	s.o.Audit.Note(e)
}

// note tells the trail of a change, and of what was refused for the place that it was about.
func (s *Server) note(caller *access.Caller, call *access.Call, method string, err error) {
	e := access.Event{Action: call.Method.Action, Subject: call.Subject, Who: call.String(), Address: caller.Address, Tenant: call.Tenant, Team: call.Team,
		User: call.User, Key: call.Key, Outcome: outcome(err)}
	switch {
	case e.Action != "":
	case status.Code(err) == codes.NotFound || status.Code(err) == codes.PermissionDenied:
		e.Action = "refused"
		if e.Subject == "" {
			e.Subject = shortMethod(method)
		}
	default:
		return
	}
	s.o.Audit.Note(e)
}

func shortMethod(method string) string { return method[strings.LastIndexByte(method, '/')+1:] }

// outcome is ok or the kind of fault, as the trail writes it: not_found.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	var b strings.Builder
	for i, r := range status.Code(err).String() {
		if i > 0 && r >= 'A' && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// away is for what a database or a store did not answer: its own words stay in the log.
func (s *Server) away(what string, err error) error {
	s.o.Log.Warn("the admin API could not answer", "what", what, "error", err)
	return status.Error(codes.Unavailable, what+" does not answer")
}
