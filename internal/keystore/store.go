// Package keystore keeps the keys of callers that are made, rotated and revoked while the gateway runs. A database has them, shared by
// replicas; each replica has all of them in memory, looks for changes every second, and lets callers in by what it knows: no request waits
// for the database, and none is refused because it is away (C7). A file of the last known keys lets a replica start without it.
package keystore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Options say what a Store works with.
type Options struct {
	Database Database
	Secret   string                  // identity.keys.secret
	Settings config.KeyStore         // Cache "": no file is kept
	Config   func() *config.Snapshot // in force; places and specs have to fit it
	// First is told of each principal that has called under the configuration in force for the first time. It must not block.
	First  func(*config.Principal)
	Log    *slog.Logger
	Now    func() time.Time
	Random io.Reader
}

// Store is the keys of a database, safe for concurrent use. Create, Rotate, Revoke, Get and List ask the database; Lookup asks nobody, and
// knows nothing before Start.
type Store struct {
	o      Options
	hasher *hasher
	check  string
	cache  *cacheFile // nil: none
	table  table

	polling  sync.Mutex // one look at the database at a time; guards what follows
	loaded   bool       // the table is what the database had at revision
	revision int64

	started atomic.Bool
	status  atomic.Pointer[Status]
	seen    atomic.Int64     // when the database was last known to be as the table is, in microseconds; 0: never
	swept   *config.Snapshot // of Run alone
	prunes  int              // of keep alone
}

// New makes a Store that has not looked at its database yet.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.First == nil {
		o.First = func(*config.Principal) {}
	}
	s := &Store{o: o, hasher: newHasher([]byte(o.Secret)), check: checkOf(o.Secret)}
	if o.Settings.Cache != "" {
		s.cache = newCacheFile(o.Settings.Cache, o.Secret)
	}
	s.table.init()
	s.status.Store(&Status{Source: SourceNone})
	return s
}

// Create makes a key for callers of a place: its secret is shown here and never again. expires is zero for one that does not, unless
// identity.keys.max_age bounds it. The error is a *fault.Fault of the kind InvalidRequest where what is asked for cannot be, wraps
// config.ErrNoPlace, or is the database's.
func (s *Store) Create(ctx context.Context, by string, at config.Place, spec *dragomanv1.Key, expires time.Time) (*Key, string, error) {
	now := s.o.Now()
	text, err := s.fit(at, spec)
	if err != nil {
		return nil, "", err
	}
	if expires, err = s.lifetime(now, expires); err != nil {
		return nil, "", err
	}
	if err := s.claim(ctx); err != nil {
		return nil, "", err
	}
	id, err := newID(now, s.o.Random)
	if err != nil {
		return nil, "", err
	}
	secret, kept, err := s.newSecret(now)
	if err != nil {
		return nil, "", err
	}
	r := &Record{ID: id, Place: at, Name: spec.GetName(), Spec: text, Created: micro(now), CreatedBy: clip(by), Expires: expires, Secrets: []Secret{kept}}
	switch err := s.o.Database.AddKey(ctx, r, MaxKeys); {
	case errors.Is(err, ErrTaken):
		return nil, "", taken(at, spec.GetName())
	case errors.Is(err, ErrFull):
		return nil, "", fault.New(fault.InvalidRequest, "There are %d keys, which is the most: revoke some.", MaxKeys)
	case err != nil:
		return nil, "", err
	}
	return s.changed(ctx, r), secret, nil
}

// Rotate gives a key another secret. The one that it had is accepted for as long as overlap says, any older one no longer. The error is
// ErrNotFound, a *fault.Fault of the kind InvalidRequest, or the database's.
func (s *Store) Rotate(ctx context.Context, by, id string, overlap time.Duration) (*Key, string, error) {
	if overlap < 0 || overlap > maxOverlap {
		return nil, "", fault.Invalid("overlap", "must be from 0s to %s", maxOverlap)
	}
	if err := s.claim(ctx); err != nil {
		return nil, "", err
	}
	now := s.o.Now()
	secret, kept, err := s.newSecret(now)
	if err != nil {
		return nil, "", err
	}
	r, err := s.o.Database.ChangeKey(ctx, id, func(r *Record) error {
		switch {
		case !r.Revoked.IsZero():
			return fault.New(fault.InvalidRequest, "The key was revoked, and cannot be rotated: make a new one.")
		case over(r.Expires, now):
			return fault.New(fault.InvalidRequest, "The key has expired, and cannot be rotated: make a new one.")
		}
		until := micro(now).Add(overlap)
		for i := range r.Secrets {
			if end := &r.Secrets[i].Expires; end.IsZero() || end.After(until) {
				*end = until
			}
			until = micro(now)
		}
		r.Secrets = append([]Secret{kept}, r.Secrets[:min(len(r.Secrets), maxSecrets-1)]...)
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return s.changed(ctx, r), secret, nil
}

// Revoke ends a key. Replicas that can reach the database refuse it within twice identity.keys.refresh. Revoking it again changes nothing. The
// error is ErrNotFound or the database's.
func (s *Store) Revoke(ctx context.Context, by, id string) (*Key, error) {
	now := s.o.Now()
	r, err := s.o.Database.ChangeKey(ctx, id, func(r *Record) error {
		if r.Revoked.IsZero() {
			r.Revoked, r.RevokedBy = micro(now), clip(by)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.changed(ctx, r), nil
}

// Get is one key. The error is ErrNotFound or the database's.
func (s *Store) Get(ctx context.Context, id string) (*Key, error) {
	r, err := s.o.Database.Key(ctx, id)
	if err != nil {
		return nil, err
	}
	return s.shown(r), nil
}

// List are the keys that a filter lets through, in the order in which they were made. The error is the database's.
func (s *Store) List(ctx context.Context, f Filter) ([]*Key, error) {
	if f.Limit <= 0 {
		f.Limit = defaultList
	}
	f.Limit = min(f.Limit, MaxList)
	records, err := s.o.Database.Keys(ctx, f)
	if err != nil {
		return nil, err
	}
	out := make([]*Key, len(records))
	for i, r := range records {
		out[i] = s.shown(r)
	}
	return out, nil
}

// Find is the key that people write as ID or as its path (Key.Path): of several of that path the one that is not revoked. The error is
// ErrNotFound or the database's.
func (s *Store) Find(ctx context.Context, idOrPath string) (*Key, error) {
	if isID(idOrPath) {
		return s.Get(ctx, idOrPath)
	}
	at, name, ok := SplitPath(idOrPath)
	if !ok {
		return nil, fmt.Errorf("%w: %q is neither an ID nor a path such as tenant/team/key", ErrNotFound, clip(idOrPath))
	}
	keys, err := s.List(ctx, Filter{Tenant: at.Tenant, Team: at.Team, User: at.User, Name: name, Limit: MaxList})
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.Place == at {
			return k, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNotFound, clip(idOrPath))
}

// claim makes sure that the database's keys are hashed by this secret.
func (s *Store) claim(ctx context.Context) error {
	check, err := s.o.Database.ClaimKeys(ctx, s.check)
	if err == nil && check != s.check {
		err = ErrSecret
	}
	return err
}

// changed shows a record that was just stored, and takes it into a table that is in use: who gets the answer may call at once.
func (s *Store) changed(ctx context.Context, r *Record) *Key {
	if s.started.Load() {
		_ = s.Refresh(ctx) // else the next look finds it
	}
	return s.shown(r)
}
