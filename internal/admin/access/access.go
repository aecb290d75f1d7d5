// Package access decides who may do what by the admin port: it knows identities and their roles, authenticates requests, and keeps the one
// table of methods (methods.go). What is not in the table nobody may do.
package access

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dragoman/internal/config"
)

// Kinds of identities.
const (
	KindToken  = "token"
	KindOIDC   = "oidc"
	KindGitHub = "github"
	KindLocal  = "local" // a program of this machine, while nobody has been set as admin
)

// Identity is who calls, and what that one may do.
type Identity struct {
	Kind    string
	Name    string // of the token; a person's address or login; "" of what is local
	Grants  []config.RoleGrant
	Expires time.Time // zero: never
	Session [32]byte  // hash of a person's session; zero for all others
}

// String is the identity as the audit trail has it: token:NAME, or token:TENANT/TEAM/NAME of one that has its place there, oidc:EMAIL,
// github:LOGIN, local.
func (id *Identity) String() string {
	switch {
	case id.Kind == KindLocal:
		return KindLocal
	case id.Kind == KindToken && len(id.Grants) == 1:
		return TokenPath(id.Grants[0], id.Name)
	}
	return id.Kind + ":" + id.Name
}

// TokenPath names a token: names are unique among those of the same tenant and team.
func TokenPath(g config.RoleGrant, name string) string {
	if g.Tenant == "" {
		return KindToken + ":" + name
	}
	return KindToken + ":" + config.Place{Tenant: g.Tenant, Team: g.Team}.String() + "/" + name
}

// Person says whether somebody has logged in.
func (id *Identity) Person() bool { return id.Session != [32]byte{} }

// Covers says whether a grant holds for a place; the empty tenant is all of them, and the empty team all of a tenant.
func Covers(g config.RoleGrant, tenant, team string) bool {
	return g.Tenant == "" || g.Tenant == tenant && (g.Team == "" || g.Team == team)
}

// MayGive says whether who has these grants may give another: only what one of its own allows already.
func (id *Identity) MayGive(g config.RoleGrant) bool {
	return slices.ContainsFunc(id.Grants, func(own config.RoleGrant) bool {
		return Covers(own, g.Tenant, g.Team) && includes(own.Role, g.Role)
	})
}

// Caller is what is known of a request's sender: an identity, or why there is none.
type Caller struct {
	Identity *Identity // nil with Err
	Err      error     // a status of gRPC
	Address  string    // host:port of the peer
}

type callerKey struct{}

// WithCaller notes who has sent a request.
func WithCaller(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerOf is who has sent a request. Never nil.
func CallerOf(ctx context.Context) *Caller {
	if c, ok := ctx.Value(callerKey{}).(*Caller); ok {
		return c
	}
	return &Caller{Err: errUnknown}
}

// What callers are told. It names neither what exists nor what would have been right.
var (
	errUnknown  = status.Error(codes.Unauthenticated, "log in at /login, or send a token: authorization: Bearer dga_…")
	errBad      = status.Error(codes.Unauthenticated, "the token is not known, has expired or was revoked")
	errEnded    = status.Error(codes.Unauthenticated, "the session has ended: log in again")
	errRole     = status.Error(codes.PermissionDenied, "your role does not allow this")
	errNowhere  = status.Error(codes.NotFound, "there is no such thing, or it is not yours")
	errAway     = status.Error(codes.Unavailable, "the database that knows tokens and sessions does not answer")
	errTooMany  = status.Error(codes.ResourceExhausted, "too many requests: wait a moment")
	errFailures = status.Error(codes.ResourceExhausted, "too many failed attempts from this address: wait a minute")
)

// ErrNotFound is the answer for what is not there, and for what is not the caller's.
func ErrNotFound() error { return errNowhere }

// Call is one call of a method, allowed as far as the caller's role goes. Its place is still to be asked for.
type Call struct {
	*Identity
	Method  Method
	Subject string // for the audit trail: what it was done to
	Tenant  string // and whose that is
	Team    string
	User    string
	Key     string // its name

	grants []config.RoleGrant // those whose role allows the method
	asked  bool
}

// Authorize says whether a caller's role allows a method, somewhere. The error is a status of gRPC.
func Authorize(c *Caller, method string) (*Call, error) {
	m, ok := Methods[method]
	if !ok {
		return nil, status.Error(codes.PermissionDenied, "nobody may do this")
	}
	if c.Err != nil {
		return nil, c.Err
	}
	call := &Call{Identity: c.Identity, Method: m}
	for _, g := range c.Identity.Grants {
		if m.allows(g.Role) && (m.Reach != Everything || g.Tenant == "") {
			call.grants = append(call.grants, g)
		}
	}
	if len(call.grants) == 0 {
		return nil, errRole
	}
	call.asked = m.Reach == Anywhere || m.Reach == Everything
	return call, nil
}

// At says whether the call may be about a place; the error is that of what is not there.
func (c *Call) At(tenant, team string) error {
	if !slices.ContainsFunc(c.grants, func(g config.RoleGrant) bool { return Covers(g, tenant, team) }) {
		return errNowhere
	}
	c.asked, c.Tenant, c.Team = true, tenant, team
	return nil
}

// Places are those that a list may be about, without any that another holds; one without a tenant is everything. They lie below
// tenant and team, when those are given: the error is that of what is not there.
func (c *Call) Places(tenant, team string) ([]config.Place, error) {
	if tenant != "" {
		return []config.Place{{Tenant: tenant, Team: team}}, c.At(tenant, team)
	}
	c.asked = true
	var out []config.Place
	for i, g := range c.grants {
		held := slices.ContainsFunc(c.grants[:i], func(o config.RoleGrant) bool { return Covers(o, g.Tenant, g.Team) }) ||
			slices.ContainsFunc(c.grants[i+1:], func(o config.RoleGrant) bool { return Covers(o, g.Tenant, g.Team) && !Covers(g, o.Tenant, o.Team) })
		if !held {
			out = append(out, config.Place{Tenant: g.Tenant, Team: g.Team})
		}
	}
	return out, nil
}

// Asked says whether it was asked for whom the call is. A method that answers without is at fault, and its answer must not go out.
func (c *Call) Asked() bool { return c.asked }

type callKey struct{}

// WithCall gives a method its call.
func WithCall(ctx context.Context, c *Call) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// CallOf is the call that a method answers.
func CallOf(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}
