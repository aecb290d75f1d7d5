package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
)

// Admin holds a store of administrators' tokens and sessions to its interface. open makes an empty one, and again another that shares it,
// as a replica does.
func Admin(t *testing.T, open, again func(t *testing.T) access.Store) {
	t.Run("tokens", func(t *testing.T) { adminTokens(t, open(t), again(t)) })
	t.Run("names", func(t *testing.T) { adminNames(t, open(t)) })
	t.Run("sessions", func(t *testing.T) { adminSessions(t, open(t), again(t)) })
	t.Run("the secret of logins", func(t *testing.T) { adminSecret(t, open(t), again(t)) })
}

var adminEpoch = time.Date(2026, 11, 21, 16, 0, 0, 123_456_000, time.UTC)

func newAdminToken(t *testing.T, n int, grant config.RoleGrant) *access.Token {
	t.Helper()
	k, _, err := access.NewToken(bytes.NewReader(bytes.Repeat([]byte{byte(n)}, 64)), adminEpoch.Add(time.Duration(n)*time.Second), fmt.Sprintf("t%d", n), grant, "test", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func adminTokens(t *testing.T, store, replica access.Store) {
	ctx := t.Context()
	if made, err := store.HasAdminToken(ctx); err != nil || made {
		t.Fatalf("an empty store has an admin: %v %v", made, err)
	}
	viewer := newAdminToken(t, 1, config.RoleGrant{Role: config.RoleViewer, Tenant: "acme", Team: "search"})
	viewer.Expires = adminEpoch.Add(time.Hour)
	admin := newAdminToken(t, 2, config.RoleGrant{Role: config.RoleAdmin})
	for i, k := range []*access.Token{viewer, admin} {
		if err := store.AddToken(ctx, k); err != nil {
			t.Fatal(err)
		}
		if made, err := replica.HasAdminToken(ctx); err != nil || made != (i == 1) {
			t.Errorf("after token %d: %v %v", i, made, err)
		}
	}
	if got, err := replica.TokenByHash(ctx, viewer.Hash); err != nil || *got != *viewer {
		t.Errorf("got %+v %v, want %+v", got, err, viewer)
	}
	if got, err := replica.TokenByID(ctx, admin.ID); err != nil || *got != *admin {
		t.Errorf("got %+v %v, want %+v", got, err, admin)
	}
	if _, err := store.TokenByHash(ctx, [32]byte{1}); !errors.Is(err, access.ErrNone) {
		t.Errorf("no such hash: %v", err)
	}
	if _, err := store.TokenByID(ctx, "x"); !errors.Is(err, access.ErrNone) {
		t.Errorf("no such id: %v", err)
	}
	for _, c := range []struct {
		after string
		limit int
		want  []string
	}{{"", 10, []string{viewer.ID, admin.ID}}, {"", 1, []string{viewer.ID}}, {viewer.ID, 10, []string{admin.ID}}, {admin.ID, 10, nil}} {
		list, err := store.Tokens(ctx, c.after, c.limit)
		var ids []string
		for _, k := range list {
			ids = append(ids, k.ID)
		}
		if err != nil || !slices.Equal(ids, c.want) {
			t.Errorf("after %q: %v %v, want %v", c.after, ids, err, c.want)
		}
	}
	adminUses(t, store, replica, admin)
}

func adminUses(t *testing.T, store, replica access.Store, admin *access.Token) {
	ctx := t.Context()
	for _, at := range []time.Duration{2, 1} { // the later one stays
		if err := store.UseToken(ctx, admin.ID, adminEpoch.Add(at*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	for _, by := range []string{"first", "second"} {
		if err := store.RevokeToken(ctx, admin.ID, by, adminEpoch.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := replica.TokenByHash(ctx, admin.Hash)
	if err != nil || !got.LastUsed.Equal(adminEpoch.Add(2*time.Minute)) || !got.Revoked.Equal(adminEpoch.Add(time.Hour)) || got.RevokedBy != "first" {
		t.Errorf("%+v %v", got, err)
	}
	if err := store.RevokeToken(ctx, "x", "test", adminEpoch); !errors.Is(err, access.ErrNone) {
		t.Errorf("revoking what is not there: %v", err)
	}
	if made, err := store.HasAdminToken(ctx); err != nil || !made {
		t.Errorf("revoking the last admin opens the port: %v %v", made, err)
	}
}

// adminNames: a name is taken within its tenant and team, until its token is revoked; of many at once one wins.
func adminNames(t *testing.T, store access.Store) {
	ctx := t.Context()
	named := func(n int, tenant string) *access.Token {
		k := newAdminToken(t, n, config.RoleGrant{Role: config.RoleViewer, Tenant: tenant})
		k.Name = "ci"
		return k
	}
	var wg sync.WaitGroup
	outcomes := make([]error, 8)
	for i := range outcomes {
		wg.Go(func() { outcomes[i] = store.AddToken(ctx, named(i, "acme")) })
	}
	wg.Wait()
	won := -1
	for i, err := range outcomes {
		switch {
		case err == nil && won < 0:
			won = i
		case !errors.Is(err, access.ErrTaken):
			t.Errorf("token %d: %v", i, err)
		}
	}
	if won < 0 {
		t.Fatal("nobody has the name")
	}
	if err := store.AddToken(ctx, named(20, "globex")); err != nil {
		t.Errorf("the name in another tenant: %v", err)
	}
	if err := store.RevokeToken(ctx, named(won, "acme").ID, "test", adminEpoch); err != nil {
		t.Fatal(err)
	}
	if err := store.AddToken(ctx, named(21, "acme")); err != nil {
		t.Errorf("the name of one that was revoked: %v", err)
	}
}

func adminSessions(t *testing.T, store, replica access.Store) {
	ctx := t.Context()
	session := func(n int, name string) *access.Session {
		return &access.Session{Hash: [32]byte{byte(n), 1}, Kind: access.KindOIDC, Name: name, Created: adminEpoch.Add(time.Duration(n) * time.Second), Expires: adminEpoch.Add(time.Hour + time.Duration(n)*time.Second),
			Grants: []config.RoleGrant{{Role: config.RoleViewer}, {Role: config.RoleMember, Tenant: "acme", Team: "search"}}}
	}
	for n := range access.MaxSessions + 5 {
		if err := store.AddSession(ctx, session(n, "ada@example.com")); err != nil {
			t.Fatal(err)
		}
	}
	other := session(200, "bo@example.com")
	if err := store.AddSession(ctx, other); err != nil {
		t.Fatal(err)
	}
	for n := range access.MaxSessions + 5 {
		_, err := replica.SessionByHash(ctx, session(n, "").Hash)
		if gone := errors.Is(err, access.ErrNone); gone != (n < 5) || !gone && err != nil {
			t.Errorf("session %d of %d: %v", n, access.MaxSessions+5, err)
		}
	}
	got, err := replica.SessionByHash(ctx, other.Hash)
	if err != nil || got.Name != other.Name || !got.Expires.Equal(other.Expires) || !slices.Equal(got.Grants, other.Grants) {
		t.Errorf("got %+v %v, want %+v", got, err, other)
	}
	if err := store.EndSession(ctx, other.Hash); err != nil {
		t.Fatal(err)
	}
	if _, err := replica.SessionByHash(ctx, other.Hash); !errors.Is(err, access.ErrNone) {
		t.Errorf("after the logout: %v", err)
	}
	// Those that end at n = 5 … 9, each said once by whichever replica.
	now := adminEpoch.Add(time.Hour + 9*time.Second)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ended := 0
	for _, s := range []access.Store{store, replica} {
		wg.Go(func() {
			list, err := s.PruneSessions(ctx, now)
			mu.Lock()
			defer mu.Unlock()
			if ended += len(list); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if ended != 5 {
		t.Errorf("%d sessions have ended, want 5", ended)
	}
}

func adminSecret(t *testing.T, store, replica access.Store) {
	first, err := store.LoginSecret(t.Context(), [32]byte{1})
	if err != nil || first != [32]byte{1} {
		t.Fatalf("%v %v", first, err)
	}
	if second, err := replica.LoginSecret(t.Context(), [32]byte{2}); err != nil || second != first {
		t.Errorf("replicas seal by different keys: %v %v", second, err)
	}
}
