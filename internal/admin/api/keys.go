package api

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/keystore"
	adminv1 "dragoman/proto/dragoman/admin/v1"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

const (
	defaultPage = 100
	maxPage     = 1000
)

func pageSize(n int32) int {
	if n <= 0 {
		return defaultPage
	}
	return min(int(n), maxPage)
}

// keys is the key store, or why there is none.
func (s *Server) keys() (Keys, error) {
	if s.o.Keys == nil {
		return nil, status.Error(codes.FailedPrecondition, "this gateway keeps no keys but those of its configuration: write identity: {keys: {}} into it")
	}
	return s.o.Keys, nil
}

// keyError turns the key store's errors into what callers are told.
func (s *Server) keyError(err error) error {
	var f *fault.Fault
	switch {
	case errors.Is(err, keystore.ErrNotFound), errors.Is(err, config.ErrNoPlace):
		return access.ErrNotFound()
	case errors.As(err, &f) && f.Kind == fault.InvalidRequest:
		if f.Code == "key_exists" {
			return status.Error(codes.AlreadyExists, f.Error())
		}
		return status.Error(codes.InvalidArgument, f.Error())
	case errors.Is(err, keystore.ErrSecret):
		return status.Error(codes.FailedPrecondition, err.Error())
	default:
		return s.away("the database of keys", err)
	}
}

// CreateKey implements adminv1.AdminServer.
func (s *Server) CreateKey(ctx context.Context, r *adminv1.CreateKeyRequest) (*adminv1.CreateKeyResponse, error) {
	call := access.CallOf(ctx)
	at := config.Place{Tenant: r.Tenant, Team: r.Team, User: r.User}
	call.Subject = at.String() + "/" + r.Spec.GetName()
	if r.Tenant == "" {
		return nil, invalid("tenant is missing")
	}
	if err := call.At(r.Tenant, r.Team); err != nil {
		return nil, err
	}
	expires, err := moment("expires", r.Expires)
	if err != nil {
		return nil, err
	}
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	k, secret, err := keys.Create(ctx, call.String(), at, specOf(r.Spec), expires)
	if err != nil {
		return nil, s.keyError(err)
	}
	call.Subject, call.User, call.Key = k.Path(), k.Place.User, k.Spec.GetName()
	return &adminv1.CreateKeyResponse{Key: showKey(k), Secret: secret}, nil
}

// own finds a key that the caller may see.
func (s *Server) own(ctx context.Context, id string) (Keys, *keystore.Key, error) {
	call := access.CallOf(ctx)
	call.Subject = id
	keys, err := s.keys()
	if err != nil {
		return nil, nil, err
	}
	if id == "" {
		return nil, nil, invalid("id is missing")
	}
	k, err := keys.Get(ctx, id)
	if err != nil {
		return nil, nil, s.keyError(err)
	}
	if err := call.At(k.Place.Tenant, k.Place.Team); err != nil {
		return nil, nil, err
	}
	call.Subject, call.User, call.Key = k.Path(), k.Place.User, k.Spec.GetName()
	return keys, k, nil
}

// GetKey implements adminv1.AdminServer.
func (s *Server) GetKey(ctx context.Context, r *adminv1.GetKeyRequest) (*adminv1.GetKeyResponse, error) {
	_, k, err := s.own(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	return &adminv1.GetKeyResponse{Key: showKey(k)}, nil
}

// RotateKey implements adminv1.AdminServer.
func (s *Server) RotateKey(ctx context.Context, r *adminv1.RotateKeyRequest) (*adminv1.RotateKeyResponse, error) {
	keys, k, err := s.own(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	if r.Overlap != nil && r.Overlap.CheckValid() != nil {
		return nil, invalid("overlap is no duration")
	}
	k, secret, err := keys.Rotate(ctx, access.CallOf(ctx).String(), k.ID, r.Overlap.AsDuration())
	if err != nil {
		return nil, s.keyError(err)
	}
	return &adminv1.RotateKeyResponse{Key: showKey(k), Secret: secret}, nil
}

// RevokeKey implements adminv1.AdminServer.
func (s *Server) RevokeKey(ctx context.Context, r *adminv1.RevokeKeyRequest) (*adminv1.RevokeKeyResponse, error) {
	keys, k, err := s.own(ctx, r.Id)
	if err != nil {
		return nil, err
	}
	if k, err = keys.Revoke(ctx, access.CallOf(ctx).String(), k.ID); err != nil {
		return nil, s.keyError(err)
	}
	return &adminv1.RevokeKeyResponse{Key: showKey(k)}, nil
}

// ListKeys implements adminv1.AdminServer.
func (s *Server) ListKeys(ctx context.Context, r *adminv1.ListKeysRequest) (*adminv1.ListKeysResponse, error) {
	if r.Team != "" && r.Tenant == "" {
		return nil, invalid("a team needs its tenant")
	}
	places, err := access.CallOf(ctx).Places(r.Tenant, r.Team)
	if err != nil {
		return nil, err
	}
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	size := pageSize(r.PageSize)
	var all []*keystore.Key
	for _, at := range places { // none of which holds another
		some, err := keys.List(ctx, keystore.Filter{Tenant: at.Tenant, Team: at.Team, User: r.User, Revoked: r.Revoked, After: r.PageToken, Limit: min(size+1, keystore.MaxList)})
		if err != nil {
			return nil, s.keyError(err)
		}
		all = append(all, some...)
	}
	slices.SortFunc(all, func(a, b *keystore.Key) int { return strings.Compare(a.ID, b.ID) })
	out := &adminv1.ListKeysResponse{}
	if len(all) > size || len(all) == keystore.MaxList {
		all = all[:size]
		out.NextPageToken = all[size-1].ID
	}
	for _, k := range all {
		out.Keys = append(out.Keys, showKey(k))
	}
	return out, nil
}

func specOf(k *adminv1.KeySpec) *dragomanv1.Key {
	return &dragomanv1.Key{Name: k.GetName(), Models: k.GetModels(), Limits: k.GetLimits(), Budgets: k.GetBudgets(), Providers: k.GetProviders(),
		DataRegions: k.GetDataRegions(), Tags: k.GetTags()}
}

func showKey(k *keystore.Key) *adminv1.Key {
	return &adminv1.Key{Id: k.ID, Tenant: k.Place.Tenant, Team: k.Place.Team, User: k.Place.User, Prefix: k.Prefix, CreatedBy: k.CreatedBy, RevokedBy: k.RevokedBy,
		Created: stamp(k.Created), Expires: stamp(k.Expires), Revoked: stamp(k.Revoked), LastUsed: stamp(k.LastUsed), Overlap: stamp(k.Overlap),
		Spec: &adminv1.KeySpec{Name: k.Spec.GetName(), Models: k.Spec.GetModels(), Limits: k.Spec.GetLimits(), Budgets: k.Spec.GetBudgets(),
			Providers: k.Spec.GetProviders(), DataRegions: k.Spec.GetDataRegions(), Tags: k.Spec.GetTags()}}
}

// stamp is nil for no time.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// moment is the zero time for none.
func moment(field string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, invalid("%s is no time", field)
	}
	return t.AsTime(), nil
}
