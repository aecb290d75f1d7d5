package app

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dragoman/internal/config"
	"dragoman/internal/keystore"
	adminv1 "dragoman/proto/dragoman/admin/v1"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// remoteKeys is the store of keys of a running gateway, by its admin API, which writes the audit trail itself.
type remoteKeys struct {
	o Options
	r Remote
}

func (k remoteKeys) show(key *adminv1.Key, secret, what string, asJSON bool) error {
	(&keyTool{o: k.o}).show(keyOf(key), secret, what, asJSON)
	return nil
}

func (k remoteKeys) create(ctx context.Context, at config.Place, spec *dragomanv1.Key, expires time.Time, asJSON bool) error {
	in := &adminv1.CreateKeyRequest{Tenant: at.Tenant, Team: at.Team, User: at.User, Spec: &adminv1.KeySpec{Name: spec.Name, Models: spec.Models, Limits: spec.Limits,
		Budgets: spec.Budgets, Providers: spec.Providers, DataRegions: spec.DataRegions, Tags: spec.Tags}}
	if !expires.IsZero() {
		in.Expires = timestamppb.New(expires)
	}
	out := &adminv1.CreateKeyResponse{}
	if err := k.r.call(ctx, http.MethodPost, "/api/v1/keys", nil, in, out); err != nil {
		return err
	}
	return k.show(out.Key, out.Secret, "made", asJSON)
}

func (k remoteKeys) rotate(ctx context.Context, which string, overlap time.Duration, asJSON bool) error {
	id, err := k.find(ctx, which)
	if err != nil {
		return err
	}
	out := &adminv1.RotateKeyResponse{}
	if err := k.r.call(ctx, http.MethodPost, "/api/v1/keys/"+url.PathEscape(id)+":rotate", nil, &adminv1.RotateKeyRequest{Overlap: durationpb.New(overlap)}, out); err != nil {
		return err
	}
	return k.show(out.Key, out.Secret, "rotated", asJSON)
}

func (k remoteKeys) revoke(ctx context.Context, which string, asJSON bool) error {
	id, err := k.find(ctx, which)
	if err != nil {
		return err
	}
	out := &adminv1.RevokeKeyResponse{}
	if err := k.r.call(ctx, http.MethodPost, "/api/v1/keys/"+url.PathEscape(id)+":revoke", nil, &adminv1.RevokeKeyRequest{}, out); err != nil {
		return err
	}
	return k.show(out.Key, "", "revoked", asJSON)
}

// each calls f with every key of a place and below.
func (k remoteKeys) each(ctx context.Context, at config.Place, revoked bool, f func(*keystore.Key) error) error {
	query := url.Values{"pageSize": {"1000"}}
	for name, value := range map[string]string{"tenant": at.Tenant, "team": at.Team, "user": at.User} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if revoked {
		query.Set("revoked", "true")
	}
	for {
		out := &adminv1.ListKeysResponse{}
		if err := k.r.call(ctx, http.MethodGet, "/api/v1/keys", query, nil, out); err != nil {
			return err
		}
		for _, key := range out.Keys {
			if err := f(keyOf(key)); err != nil {
				return err
			}
		}
		if out.NextPageToken == "" {
			return nil
		}
		query.Set("pageToken", out.NextPageToken)
	}
}

// find is the id of a key that is named by it, or by its path.
func (k remoteKeys) find(ctx context.Context, which string) (id string, err error) {
	if !strings.Contains(which, "/") {
		return which, nil
	}
	at, _, ok := keystore.SplitPath(which)
	if !ok {
		return "", fmt.Errorf("%q is neither the ID of a key nor its path", which)
	}
	err = k.each(ctx, at, false, func(key *keystore.Key) error {
		if key.Path() == which {
			id = key.ID
		}
		return nil
	})
	if err == nil && id == "" {
		err = fmt.Errorf("%w: %s", keystore.ErrNotFound, which)
	}
	return id, err
}

// keyOf is a key of the API as the commands show it.
func keyOf(k *adminv1.Key) *keystore.Key {
	at := func(t *timestamppb.Timestamp) time.Time {
		if t == nil {
			return time.Time{}
		}
		return t.AsTime()
	}
	s := k.GetSpec()
	return &keystore.Key{ID: k.GetId(), Place: config.Place{Tenant: k.GetTenant(), Team: k.GetTeam(), User: k.GetUser()}, Prefix: k.GetPrefix(), Created: at(k.GetCreated()),
		CreatedBy: k.GetCreatedBy(), Expires: at(k.GetExpires()), Revoked: at(k.GetRevoked()), RevokedBy: k.GetRevokedBy(), LastUsed: at(k.GetLastUsed()), Overlap: at(k.GetOverlap()),
		Spec: &dragomanv1.Key{Name: s.GetName(), Models: s.GetModels(), Limits: s.GetLimits(), Budgets: s.GetBudgets(), Providers: s.GetProviders(), DataRegions: s.GetDataRegions(), Tags: s.GetTags()}}
}
