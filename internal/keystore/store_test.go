package keystore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// rig is a Store with what it works with.
type rig struct {
	*Store
	db    *memory
	clock *clock
	snap  atomic.Pointer[config.Snapshot]
	log   bytes.Buffer
	first []*config.Principal
}

// replica is a store of a database; change may write into its options.
func replica(t testing.TB, db *memory, c *clock, change func(*Options)) *rig {
	t.Helper()
	r := &rig{db: db, clock: c}
	r.snap.Store(snapshot(t, acme))
	o := Options{Database: db, Secret: testSecret, Settings: config.KeyStore{Refresh: time.Second, Cache: filepath.Join(t.TempDir(), "keys.cache")},
		Config: r.snap.Load, Now: c.now, Log: slog.New(slog.NewTextHandler(&r.log, nil)), First: func(p *config.Principal) { r.first = append(r.first, p) }}
	if change != nil {
		change(&o)
	}
	r.Store = New(o)
	return r
}

// started is a replica that has started.
func started(t testing.TB, db *memory, c *clock) *rig {
	t.Helper()
	r := replica(t, db, c, nil)
	if err := r.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return r
}

var search = config.Place{Tenant: "acme", Team: "search"}

func (r *rig) create(t testing.TB, at config.Place, name string, expires time.Time) (*Key, string) {
	t.Helper()
	k, secret, err := r.Create(context.Background(), "me", at, &dragomanv1.Key{Name: name}, expires)
	if err != nil {
		t.Fatal(err)
	}
	return k, secret
}

// says is the code that a lookup is refused with, "" when it is not.
func (r *rig) says(t testing.TB, secret string) string {
	t.Helper()
	p, err := r.Lookup(r.snap.Load(), secret)
	if err == nil {
		if p == nil {
			t.Fatal("neither a principal nor an error")
		}
		return ""
	}
	var f *fault.Fault
	if !errors.As(err, &f) || p != nil {
		t.Fatalf("%+v, %v", p, err)
	}
	if secret != "" && strings.Contains(err.Error(), secret[max(0, len(secret)-6):]) {
		t.Errorf("%v shows a part of the key", err)
	}
	return f.Code
}

func TestCreate(t *testing.T) {
	r := started(t, newMemory(), newClock())
	limit := uint64(7)
	spec := &dragomanv1.Key{Name: "laptop", Models: []string{"gpt-*"}, Limits: &dragomanv1.RateLimits{RequestsPerMinute: &limit}, Tags: map[string]string{"cost": "a1"}}
	at := config.Place{Tenant: "acme", Team: "search", User: "ada"}
	expires := r.clock.now().Add(24 * time.Hour)
	k, secret, err := r.Create(t.Context(), "token:ci", at, spec, expires)
	if err != nil {
		t.Fatal(err)
	}
	if !looksLikeKey(secret) || k.Prefix != secret[:10]+"…" || !isID(k.ID) || k.Path() != "acme/search/@ada/laptop" || k.CreatedBy != "token:ci" ||
		!k.Created.Equal(r.clock.now()) || !k.Expires.Equal(expires) || !k.LastUsed.IsZero() || k.Spec.GetLimits().GetRequestsPerMinute() != 7 {
		t.Errorf("%+v, %s", k, secret)
	}
	p, err := r.Lookup(r.snap.Load(), secret) // at once, on the replica that made it
	if err != nil {
		t.Fatal(err)
	}
	if p.Path() != "acme/search/@ada/laptop" || !slices.Equal(p.Models, []string{"gpt-*"}) || p.Tags["cost"] != "a1" || !p.Budgeted() {
		t.Errorf("%+v", p)
	}
	levels := []string{}
	for _, m := range p.Meters {
		levels = append(levels, m.Level)
	}
	if want := []string{"tenant:acme", "user:acme/search/@ada", "key:acme/search/@ada/laptop"}; !slices.Equal(levels, want) {
		t.Errorf("counts at %v, want %v", levels, want)
	}
	for _, m := range []any{r.log.String(), r.db.keys[k.ID]} {
		if strings.Contains(strings.ToLower(strings.TrimSpace(toText(m))), secret[4:]) {
			t.Errorf("%v holds the secret", m)
		}
	}
}

func toText(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case Record:
		return x.Spec + x.ID + x.Name + x.Secrets[0].Prefix
	}
	return ""
}

func TestCreateRefusesWhatCannotBe(t *testing.T) {
	r := started(t, newMemory(), newClock())
	r.create(t, search, "there", time.Time{})
	negative := -1.0
	for name, c := range map[string]struct {
		at      config.Place
		spec    *dragomanv1.Key
		expires time.Time
		says    string
	}{
		"no name":             {search, &dragomanv1.Key{}, time.Time{}, "name: is missing"},
		"a name of no kind":   {search, &dragomanv1.Key{Name: "a b"}, time.Time{}, "name: must be"},
		"a hash":              {search, &dragomanv1.Key{Name: "a", Hash: config.HashKey("x")}, time.Time{}, "hash: is for keys of the configuration"},
		"revoked":             {search, &dragomanv1.Key{Name: "a", Revoked: true}, time.Time{}, "revoked: "},
		"a pattern":           {search, &dragomanv1.Key{Name: "a", Models: []string{"*x"}}, time.Time{}, "models[0]: must be"},
		"a provider":          {search, &dragomanv1.Key{Name: "a", Providers: []string{"nobody"}}, time.Time{}, "providers[0]: no provider"},
		"a budget":            {search, &dragomanv1.Key{Name: "a", Budgets: []*dragomanv1.Budget{{Usd: &negative, Per: "day"}}}, time.Time{}, "budgets[0].usd: must be"},
		"too much":            {search, &dragomanv1.Key{Name: "a", Models: slices.Repeat([]string{strings.Repeat("m", 120)}, 200)}, time.Time{}, "more than 16384 bytes"},
		"the past":            {search, &dragomanv1.Key{Name: "a"}, r.clock.now(), "expires: lies in the past"},
		"taken":               {search, &dragomanv1.Key{Name: "there"}, time.Time{}, "name: another key"},
		"taken in the config": {config.Place{Tenant: "acme"}, &dragomanv1.Key{Name: "ci"}, time.Time{}, "name: another key"},
		"no tenant":           {config.Place{Tenant: "nobody"}, &dragomanv1.Key{Name: "a"}, time.Time{}, config.ErrNoPlace.Error()},
		"no team":             {config.Place{Tenant: "acme", Team: "nobody"}, &dragomanv1.Key{Name: "a"}, time.Time{}, config.ErrNoPlace.Error()},
		"no user's name":      {config.Place{Tenant: "acme", User: "a/b"}, &dragomanv1.Key{Name: "a"}, time.Time{}, "user's name must be"},
	} {
		t.Run(name, func(t *testing.T) {
			_, secret, err := r.Create(t.Context(), "me", c.at, c.spec, c.expires)
			if err == nil || secret != "" {
				t.Fatal("was made")
			}
			var f *fault.Fault
			switch text := err.Error(); {
			case errors.As(err, &f) && f.Kind != fault.InvalidRequest:
				t.Errorf("is a fault of the kind %s", f.Kind)
			case errors.As(err, &f) && !strings.Contains(f.Param+": "+f.Message, c.says), f == nil && !strings.Contains(text, c.says):
				t.Errorf("says %s; want %q", text, c.says)
			}
		})
	}
	if n := len(r.db.keys); n != 1 {
		t.Errorf("%d keys are stored", n)
	}
}

func TestMaxAge(t *testing.T) {
	c := newClock()
	r := replica(t, newMemory(), c, func(o *Options) { o.Settings.MaxAge = time.Hour })
	if k, _ := r.create(t, search, "a", time.Time{}); !k.Expires.Equal(c.now().Add(time.Hour)) {
		t.Errorf("a key that says nothing expires %s", k.Expires)
	}
	if k, _ := r.create(t, search, "b", c.now().Add(time.Minute)); !k.Expires.Equal(c.now().Add(time.Minute)) {
		t.Errorf("a shorter life is %s", k.Expires)
	}
	if _, _, err := r.Create(t.Context(), "me", search, &dragomanv1.Key{Name: "c"}, c.now().Add(61*time.Minute)); err == nil {
		t.Error("a longer life is taken")
	}
}

func TestExpiry(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, secret := r.create(t, search, "a", r.clock.now().Add(time.Minute))
	for _, step := range []struct {
		pass time.Duration
		code string
	}{{0, ""}, {time.Minute - time.Microsecond, ""}, {time.Microsecond, CodeExpired}, {time.Hour, CodeExpired}} {
		r.clock.pass(step.pass)
		if code := r.says(t, secret); code != step.code {
			t.Errorf("at %s: %q, want %q", r.clock.now(), code, step.code)
		}
	}
}

// A rotation gives a new secret at once; the one before is accepted for as long as it was said to overlap, and no older one.
func TestRotation(t *testing.T) {
	r := started(t, newMemory(), newClock())
	other := started(t, r.db, r.clock)
	k, first := r.create(t, search, "a", time.Time{})
	rotated, second, err := r.Rotate(t.Context(), "me", k.ID, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if rotated.Prefix != second[:10]+"…" || !rotated.Overlap.Equal(r.clock.now().Add(time.Hour)) || rotated.ID != k.ID || first == second {
		t.Errorf("%+v", rotated)
	}
	if err := other.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	both := func(secret, code string) {
		t.Helper()
		for name, r := range map[string]*rig{"here": r, "another replica": other} {
			if got := r.says(t, secret); got != code {
				t.Errorf("%s: %q, want %q", name, got, code)
			}
		}
	}
	both(first, "")
	both(second, "")
	_, third, err := r.Rotate(t.Context(), "me", k.ID, 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_ = other.Refresh(t.Context())
	both(first, CodeExpired) // two at a time, and not three
	both(second, "")
	both(third, "")
	r.clock.pass(30 * time.Minute)
	both(second, CodeExpired)
	both(third, "")
	if got, err := r.Get(t.Context(), k.ID); err != nil || !got.Overlap.IsZero() {
		t.Errorf("after the overlap: %+v, %v", got, err)
	}
	// Without an overlap the one before ends at once.
	_, fourth, err := r.Rotate(t.Context(), "me", k.ID, 0)
	if err != nil {
		t.Fatal(err)
	}
	_ = other.Refresh(t.Context())
	both(third, CodeExpired)
	both(fourth, "")
	for range 20 { // however often, few are kept
		if _, _, err := r.Rotate(t.Context(), "me", k.ID, 0); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(r.db.keys[k.ID].Secrets); n != maxSecrets {
		t.Errorf("%d secrets are kept", n)
	}
	_ = other.Refresh(t.Context())
	both(first, CodeInvalid)
}

func TestRotationIsRefused(t *testing.T) {
	r := started(t, newMemory(), newClock())
	k, _ := r.create(t, search, "a", r.clock.now().Add(time.Hour))
	for _, overlap := range []time.Duration{-1, maxOverlap + 1} {
		if _, _, err := r.Rotate(t.Context(), "me", k.ID, overlap); err == nil {
			t.Errorf("an overlap of %s is taken", overlap)
		}
	}
	if _, _, err := r.Rotate(t.Context(), "me", "key_nobody", 0); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	r.clock.pass(time.Hour)
	if _, _, err := r.Rotate(t.Context(), "me", k.ID, 0); err == nil {
		t.Error("an expired key is rotated")
	}
	k, _ = r.create(t, search, "b", time.Time{})
	if _, err := r.Revoke(t.Context(), "me", k.ID); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Rotate(t.Context(), "me", k.ID, 0); err == nil {
		t.Error("a revoked key is rotated")
	}
}

func TestRevoke(t *testing.T) {
	r := started(t, newMemory(), newClock())
	other := started(t, r.db, r.clock)
	k, secret := r.create(t, search, "a", time.Time{})
	_ = other.Refresh(t.Context())
	revoked, err := r.Revoke(t.Context(), "token:ci", k.ID)
	if err != nil || !revoked.Revoked.Equal(r.clock.now()) || revoked.RevokedBy != "token:ci" {
		t.Fatalf("%+v, %v", revoked, err)
	}
	if code := r.says(t, secret); code != CodeRevoked {
		t.Errorf("here: %q", code)
	}
	if code := other.says(t, secret); code != "" {
		t.Errorf("the other has not looked yet: %q", code)
	}
	_ = other.Refresh(t.Context())
	if code := other.says(t, secret); code != CodeRevoked {
		t.Errorf("there: %q", code)
	}
	r.clock.pass(time.Hour)
	if again, err := r.Revoke(t.Context(), "somebody", k.ID); err != nil || !again.Revoked.Equal(revoked.Revoked) || again.RevokedBy != "token:ci" {
		t.Errorf("once more: %+v, %v", again, err)
	}
	if _, err := r.Revoke(t.Context(), "me", "key_nobody"); !errors.Is(err, ErrNotFound) {
		t.Errorf("nobody's: %v", err)
	}
	r.create(t, search, "a", time.Time{}) // the name is free again
}

func TestFind(t *testing.T) {
	r := started(t, newMemory(), newClock())
	gone, _ := r.create(t, search, "a", time.Time{})
	if _, err := r.Revoke(t.Context(), "me", gone.ID); err != nil {
		t.Fatal(err)
	}
	ids := map[string]string{}
	for _, at := range []config.Place{{Tenant: "acme"}, search, {Tenant: "acme", User: "ada"}, {Tenant: "acme", Team: "search", User: "ada"}} {
		k, _ := r.create(t, at, "a", time.Time{})
		ids[k.Path()] = k.ID
	}
	for path, id := range ids {
		for _, which := range []string{path, id} {
			if k, err := r.Find(t.Context(), which); err != nil || k.ID != id {
				t.Errorf("%s: %+v, %v", which, k, err)
			}
		}
	}
	if k, err := r.Find(t.Context(), gone.ID); err != nil || k.Revoked.IsZero() {
		t.Errorf("by its ID a revoked one is found: %+v, %v", k, err)
	}
	for _, which := range []string{"", "a", "/", "acme", "acme/", "acme/b", "acme/@ada", "nobody/a", "acme/search/x/a", "key_nobody", "acme/../a"} {
		if k, err := r.Find(t.Context(), which); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %+v, %v", which, k, err)
		}
	}
}

func TestList(t *testing.T) {
	r := started(t, newMemory(), newClock())
	for n := range 5 {
		r.create(t, search, string(rune('a'+n)), time.Time{})
		r.clock.pass(time.Millisecond) // IDs are in the order of milliseconds
	}
	var names []string
	f := Filter{Tenant: "acme", Limit: 2}
	for {
		keys, err := r.List(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if len(keys) == 0 {
			break
		}
		for _, k := range keys {
			names = append(names, k.Spec.GetName())
		}
		f.After = keys[len(keys)-1].ID
	}
	if strings.Join(names, "") != "abcde" {
		t.Errorf("%v", names)
	}
}

// Whoever has another secret is told so, and changes nothing.
func TestAnotherSecret(t *testing.T) {
	r := started(t, newMemory(), newClock())
	_, secret := r.create(t, search, "a", time.Time{})
	other := replica(t, r.db, r.clock, func(o *Options) { o.Secret = strings.Repeat("x", 40) })
	if err := other.Start(t.Context()); !errors.Is(err, ErrSecret) {
		t.Errorf("a start says %v", err)
	}
	if _, _, err := other.Create(t.Context(), "me", search, &dragomanv1.Key{Name: "b"}, time.Time{}); !errors.Is(err, ErrSecret) {
		t.Errorf("a creation says %v", err)
	}
	if err := r.Refresh(t.Context()); err != nil || r.says(t, secret) != "" {
		t.Errorf("the first: %v", err)
	}
}
