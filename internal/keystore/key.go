package keystore

import (
	"context"
	"errors"
	"time"

	"dragoman/internal/config"
	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Key is a caller's key as an administrator sees it. The secret that callers send is not part of it: it is shown once, when it is made.
type Key struct {
	ID        string // key_ and 26 lower-case letters and digits; in the order in which they were made
	Place     config.Place
	Spec      *dragomanv1.Key // name, models, limits, budgets, providers, data_regions, tags; never a hash
	Prefix    string          // the beginning of its secret, for display: dgm_ab12cd…
	Created   time.Time
	CreatedBy string
	Expires   time.Time // zero: never
	Revoked   time.Time // zero: it is not
	RevokedBy string
	LastUsed  time.Time // zero: never; up to a minute late, longer while the database is away
	Overlap   time.Time // until when the secret before the last rotation is accepted, too; zero: it is not
}

// Path is the key as people write it: tenant/key, tenant/team/key, tenant/team/@user/key.
func (k *Key) Path() string { return k.Place.String() + "/" + k.Spec.GetName() }

// Filter says which keys to list.
type Filter struct {
	Tenant, Team, User string // "": any
	Name               string // "": any
	Revoked            bool   // those that were revoked, too
	After              string // an ID: only keys made after that one
	Limit              int    // 0: 100; at most MaxList
}

// What a list may have.
const (
	defaultList = 100
	MaxList     = 1000
)

// MaxKeys is how many keys that are not revoked a database may hold: every replica has them in memory, about 500 bytes each.
const MaxKeys = 1_000_000

// Errors of the methods of a Store, beside those of the database and of what is asked for.
var (
	ErrNotFound = errors.New("there is no such key")
	// ErrSecret says that the database's keys were made with another identity.keys.secret.
	ErrSecret = errors.New("identity.keys.secret is not the one that the database's keys were made with")
)

// Record is a key as the database keeps it.
type Record struct {
	ID        string
	Place     config.Place
	Name      string // unique within its place among the keys that are not revoked
	Spec      string // protojson of a dragomanv1.Key
	Created   time.Time
	CreatedBy string
	Expires   time.Time
	Revoked   time.Time
	RevokedBy string
	LastUsed  time.Time
	Revision  int64    // of the table, when the record was last changed
	Secrets   []Secret // newest first; all but the first have an end
}

// Secret is what callers send for a key, as it is kept.
type Secret struct {
	Hash    Hash
	Prefix  string
	Created time.Time
	Expires time.Time // zero: with its key
}

// State is what can be said of the whole table.
type State struct {
	Revision int64  // grows with each change
	Check    string // says which secret the hashes are made with; "" before anybody has said so
}

// Use is a key's last use.
type Use struct {
	ID string
	At time.Time
}

// Database keeps the keys. Its methods are safe for concurrent use. Changes follow each other: one that has a higher revision is not visible
// before one that has a lower.
type Database interface {
	KeyState(ctx context.Context) (State, error)
	// ClaimKeys sets the check of a table without keys, and returns the one that it has then.
	ClaimKeys(ctx context.Context, check string) (string, error)
	// KeysSince calls each with every key that was changed after a revision, in the order of their revisions. What each gets it may keep.
	KeysSince(ctx context.Context, revision int64, each func(*Record) error) error
	// AddKey stores a new key, whose Revision it sets. The error is ErrTaken where a key of its place that is not revoked has its name,
	// and ErrFull where there are most of them.
	AddKey(ctx context.Context, r *Record, most int64) error
	// ChangeKey lets change write into a key with its secrets and stores what that leaves. An error of change is its own, and nothing is
	// stored.
	ChangeKey(ctx context.Context, id string, change func(*Record) error) (*Record, error)
	// Key is one key with its secrets; the error is ErrNotFound where there is none.
	Key(ctx context.Context, id string) (*Record, error)
	// Keys are those that a filter lets through, in the order of their ids.
	Keys(ctx context.Context, f Filter) ([]*Record, error)
	// NoteUses notes when keys were last used; what is known to be later stays.
	NoteUses(ctx context.Context, uses []Use) error
	// PruneKeys removes the keys that were revoked, or have expired, before a moment, and the secrets of others that have.
	PruneKeys(ctx context.Context, before time.Time) (removed int64, err error)
}

// Errors of a Database.
var (
	ErrTaken = errors.New("the name is taken")
	ErrFull  = errors.New("there are too many keys")
)
