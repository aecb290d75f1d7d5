package api

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// WhoAmI implements adminv1.AdminServer.
func (s *Server) WhoAmI(ctx context.Context, _ *adminv1.WhoAmIRequest) (*adminv1.WhoAmIResponse, error) {
	call := access.CallOf(ctx)
	out := &adminv1.WhoAmIResponse{Identity: call.String(), Expires: stamp(call.Expires)}
	for _, g := range call.Grants {
		out.Grants = append(out.Grants, showGrant(g))
	}
	caller := &access.Caller{Identity: call.Identity}
	for method := range access.Methods {
		if _, err := access.Authorize(caller, method); err == nil {
			out.Methods = append(out.Methods, shortMethod(method))
		}
	}
	slices.Sort(out.Methods)
	return out, nil
}

func (s *Server) tokens() (access.Store, error) {
	if s.o.Tokens == nil {
		return nil, status.Error(codes.FailedPrecondition, "this gateway keeps no tokens but those of its configuration: it has no `ledger`, in whose database they would be")
	}
	return s.o.Tokens, nil
}

var tokenName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// IsTokenName says whether a token may have this name.
func IsTokenName(s string) bool { return tokenName.MatchString(s) }

// CreateToken implements adminv1.AdminServer.
func (s *Server) CreateToken(ctx context.Context, r *adminv1.CreateTokenRequest) (*adminv1.CreateTokenResponse, error) {
	call := access.CallOf(ctx)
	grant := config.RoleGrant{Role: config.Role(r.Grant.GetRole()), Tenant: r.Grant.GetTenant(), Team: r.Grant.GetTeam()}
	call.Subject = access.TokenPath(grant, r.Name) + " (" + grant.String() + ")"
	if !tokenName.MatchString(r.Name) {
		return nil, invalid("name must be 1 to 63 letters and digits, with . _ or - between them")
	}
	if err := grant.Check(); err != nil {
		return nil, invalid("%s", err)
	}
	if err := call.At(grant.Tenant, grant.Team); err != nil {
		return nil, err
	}
	if grant.Tenant != "" && !s.o.Config().HasPlace(grant.Tenant, grant.Team) {
		return nil, access.ErrNotFound()
	}
	expires, err := s.lifetime(call, r)
	if err != nil {
		return nil, err
	}
	return s.addToken(ctx, call, r.Name, grant, expires)
}

// lifetime is when the new token ends: not later than the one by which it is made.
func (s *Server) lifetime(call *access.Call, r *adminv1.CreateTokenRequest) (time.Time, error) {
	expires, err := moment("expires", r.Expires)
	switch {
	case err != nil:
		return expires, err
	case !expires.IsZero() && !expires.After(s.o.Now()):
		return expires, invalid("expires lies in the past")
	case call.Kind == access.KindToken && !call.Expires.IsZero() && (expires.IsZero() || expires.After(call.Expires)):
		return expires, status.Error(codes.PermissionDenied, "your own token expires before this one would: set expires")
	}
	return expires, nil
}

func (s *Server) addToken(ctx context.Context, call *access.Call, name string, grant config.RoleGrant, expires time.Time) (*adminv1.CreateTokenResponse, error) {
	store, err := s.tokens()
	if err != nil {
		return nil, err
	}
	if !call.MayGive(grant) {
		return nil, status.Error(codes.PermissionDenied, "a token cannot have more rights than you have")
	}
	if slices.ContainsFunc(s.o.Config().Admin.Tokens, func(t config.AdminToken) bool {
		return t.Name == name && t.Grant.Tenant == grant.Tenant && t.Grant.Team == grant.Team
	}) {
		return nil, status.Error(codes.AlreadyExists, "a token of the configuration has this name")
	}
	t, secret, err := access.NewToken(s.o.Random, s.o.Now(), name, grant, call.String(), expires)
	if err != nil {
		return nil, s.away("the source of random numbers", err)
	}
	switch err := store.AddToken(ctx, t); {
	case errors.Is(err, access.ErrTaken):
		return nil, status.Error(codes.AlreadyExists, err.Error())
	case err != nil:
		return nil, s.away("the database of tokens", err)
	}
	if grant.Role == config.RoleAdmin {
		s.o.Guard.AdminMade()
	}
	return &adminv1.CreateTokenResponse{Token: ShowToken(t), Secret: secret}, nil
}

// ListTokens implements adminv1.AdminServer. Those of the configuration come first.
func (s *Server) ListTokens(ctx context.Context, r *adminv1.ListTokensRequest) (*adminv1.ListTokensResponse, error) {
	call := access.CallOf(ctx)
	places, err := call.Places("", "")
	if err != nil {
		return nil, err
	}
	mine := func(g config.RoleGrant) bool {
		return slices.ContainsFunc(places, func(p config.Place) bool {
			return access.Covers(config.RoleGrant{Tenant: p.Tenant, Team: p.Team}, g.Tenant, g.Team)
		})
	}
	out := &adminv1.ListTokensResponse{}
	if r.PageToken == "" {
		for _, t := range s.o.Config().Admin.Tokens {
			if mine(t.Grant) {
				out.Tokens = append(out.Tokens, &adminv1.Token{Id: "config:" + t.Name, Name: t.Name, Grant: showGrant(t.Grant), CreatedBy: "the configuration"})
			}
		}
	}
	if s.o.Tokens == nil {
		return out, nil
	}
	size, after, found := pageSize(r.PageSize), r.PageToken, 0
	for {
		some, err := s.o.Tokens.Tokens(ctx, after, maxPage)
		if err != nil {
			return nil, s.away("the database of tokens", err)
		}
		for _, t := range some {
			after = t.ID
			if !mine(t.Grant) {
				continue
			}
			out.Tokens = append(out.Tokens, ShowToken(t))
			if found++; found == size {
				out.NextPageToken = after
				return out, nil
			}
		}
		if len(some) < maxPage {
			return out, nil
		}
	}
}

// RevokeToken implements adminv1.AdminServer.
func (s *Server) RevokeToken(ctx context.Context, r *adminv1.RevokeTokenRequest) (*adminv1.RevokeTokenResponse, error) {
	call := access.CallOf(ctx)
	call.Subject = r.Id
	store, err := s.tokens()
	if err != nil {
		return nil, err
	}
	t, err := store.TokenByID(ctx, r.Id)
	if errors.Is(err, access.ErrNone) {
		return nil, access.ErrNotFound()
	}
	if err != nil {
		return nil, s.away("the database of tokens", err)
	}
	if err := call.At(t.Grant.Tenant, t.Grant.Team); err != nil {
		return nil, err
	}
	call.Subject = access.TokenPath(t.Grant, t.Name)
	if err := store.RevokeToken(ctx, t.ID, call.String(), s.o.Now()); err != nil {
		return nil, s.away("the database of tokens", err)
	}
	if t, err = store.TokenByID(ctx, r.Id); err != nil {
		return nil, s.away("the database of tokens", err)
	}
	return &adminv1.RevokeTokenResponse{Token: ShowToken(t)}, nil
}

func showGrant(g config.RoleGrant) *adminv1.Grant {
	return &adminv1.Grant{Role: string(g.Role), Tenant: g.Tenant, Team: g.Team}
}

// ShowToken is a token as the API shows it.
func ShowToken(t *access.Token) *adminv1.Token {
	return &adminv1.Token{Id: t.ID, Name: t.Name, Grant: showGrant(t.Grant), Prefix: t.Prefix, Created: stamp(t.Created), CreatedBy: t.CreatedBy,
		Expires: stamp(t.Expires), Revoked: stamp(t.Revoked), RevokedBy: t.RevokedBy, LastUsed: stamp(t.LastUsed)}
}
