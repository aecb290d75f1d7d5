package sqldb

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"dragoman/internal/keystore"
)

var _ keystore.Database = (*DB)(nil)

// keysDo runs f once the tables are there. It does not wait for who writes the ledger.
func (db *DB) keysDo(ctx context.Context, f func() error) error {
	if !db.keysReady.Load() {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
		db.keysReady.Store(true)
	}
	err := f()
	if err == nil || errors.Is(err, errOwn) {
		return err
	}
	if ctx.Err() == nil {
		db.keysReady.Store(false) // somebody may have put another database in its place
	}
	return fmt.Errorf("the database of keys: %w", err)
}

// errOwn marks an error that is not the database's.
var errOwn = errors.New("")

// ownError is what a caller's function said.
type ownError struct{ error }

func (ownError) Is(target error) bool { return target == errOwn }
func (e ownError) Unwrap() error      { return e.error }

// plain takes the mark off.
func plain(err error) error {
	var own ownError
	if errors.As(err, &own) {
		return own.error
	}
	return err
}

// KeyState implements keystore.Database.
func (db *DB) KeyState(ctx context.Context) (s keystore.State, err error) {
	err = db.keysDo(ctx, func() error {
		return db.scanOne(ctx, "SELECT revision, secret_check FROM dragoman_key_state WHERE id = 1", nil, &s.Revision, &s.Check)
	})
	return s, err
}

// ClaimKeys implements keystore.Database. While there is no key, another check may take the place of the one before.
func (db *DB) ClaimKeys(ctx context.Context, check string) (string, error) {
	s, err := db.KeyState(ctx)
	if err != nil || s.Check == check {
		return s.Check, err
	}
	err = db.keysDo(ctx, func() error {
		return db.inTx(ctx, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, db.dialect.rebind("UPDATE dragoman_key_state SET secret_check = ? WHERE id = 1 AND NOT EXISTS (SELECT 1 FROM dragoman_keys)"), check)
			if err != nil {
				return err
			}
			return tx.QueryRowContext(ctx, "SELECT secret_check FROM dragoman_key_state WHERE id = 1").Scan(&s.Check)
		})
	})
	return s.Check, err
}

// AddKey implements keystore.Database.
func (db *DB) AddKey(ctx context.Context, r *keystore.Record, most int64) error {
	err := db.keysDo(ctx, func() error {
		return db.inTx(ctx, func(tx *sql.Tx) error {
			k := keysTx{db, ctx, tx}
			live, err := k.take(r, 1)
			if err != nil {
				return err
			}
			if live > most {
				return ownError{keystore.ErrFull}
			}
			var one int
			err = tx.QueryRowContext(ctx, db.dialect.rebind("SELECT 1 FROM dragoman_keys WHERE tenant = ? AND team = ? AND user_id = ? AND name = ? AND revoked_us = 0"),
				r.Place.Tenant, r.Place.Team, r.Place.User, r.Name).Scan(&one)
			if err == nil {
				return ownError{keystore.ErrTaken}
			}
			if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err := k.exec("INSERT INTO dragoman_keys (id, tenant, team, user_id, name, spec, created_us, created_by, expires_us, revoked_us, revoked_by, last_used_us, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
				r.ID, r.Place.Tenant, r.Place.Team, r.Place.User, r.Name, r.Spec, stamp(r.Created), r.CreatedBy, stamp(r.Expires), stamp(r.Revoked), r.RevokedBy,
				stamp(r.LastUsed), r.Revision); err != nil {
				return err
			}
			return k.secrets(r)
		})
	})
	return plain(err)
}

// ChangeKey implements keystore.Database.
func (db *DB) ChangeKey(ctx context.Context, id string, change func(*keystore.Record) error) (r *keystore.Record, err error) {
	err = db.keysDo(ctx, func() error {
		return db.inTx(ctx, func(tx *sql.Tx) error {
			k := keysTx{db, ctx, tx}
			revision := keystore.Record{}
			if _, err := k.take(&revision, 0); err != nil { // before the key is read: changes follow each other
				return err
			}
			rows, err := tx.QueryContext(ctx, db.dialect.rebind("SELECT "+keyColumns+" WHERE k.id = ?"+secretsInOrder), id)
			if err != nil {
				return err
			}
			list, err := scanKeys(rows)
			if err != nil {
				return err
			}
			if len(list) == 0 {
				return ownError{keystore.ErrNotFound}
			}
			r = list[0]
			live := r.Revoked.IsZero()
			if err := change(r); err != nil {
				return ownError{err}
			}
			r.Revision = revision.Revision
			if live && !r.Revoked.IsZero() {
				if err := k.exec("UPDATE dragoman_key_state SET live = live - 1 WHERE id = 1"); err != nil {
					return err
				}
			}
			if err := k.exec("UPDATE dragoman_keys SET spec = ?, expires_us = ?, revoked_us = ?, revoked_by = ?, revision = ? WHERE id = ?",
				r.Spec, stamp(r.Expires), stamp(r.Revoked), r.RevokedBy, r.Revision, r.ID); err != nil {
				return err
			}
			if err := k.exec("DELETE FROM dragoman_key_secrets WHERE key_id = ?", r.ID); err != nil {
				return err
			}
			return k.secrets(r)
		})
	})
	if err != nil {
		return nil, plain(err)
	}
	return r, nil
}

// keysTx is a transaction that changes keys.
type keysTx struct {
	db  *DB
	ctx context.Context
	tx  *sql.Tx
}

func (k keysTx) exec(query string, args ...any) error {
	_, err := k.tx.ExecContext(k.ctx, k.db.dialect.rebind(query), args...)
	return err
}

// take gives a record its revision, counts more keys that are not revoked, and says how many those are. It keeps others from changing keys
// until the transaction ends.
func (k keysTx) take(r *keystore.Record, more int) (live int64, err error) {
	err = k.tx.QueryRowContext(k.ctx, k.db.dialect.rebind("UPDATE dragoman_key_state SET revision = revision + 1, live = live + ? WHERE id = 1 RETURNING revision, live"), more).
		Scan(&r.Revision, &live)
	return live, err
}

func (k keysTx) secrets(r *keystore.Record) error {
	for _, s := range r.Secrets {
		if err := k.exec("INSERT INTO dragoman_key_secrets (hash, key_id, prefix, created_us, expires_us) VALUES (?, ?, ?, ?, ?)",
			hex.EncodeToString(s.Hash[:]), r.ID, s.Prefix, stamp(s.Created), stamp(s.Expires)); err != nil {
			return err
		}
	}
	return nil
}

// NoteUses implements keystore.Database.
func (db *DB) NoteUses(ctx context.Context, uses []keystore.Use) error {
	return db.keysDo(ctx, func() error {
		return db.inTx(ctx, func(tx *sql.Tx) error {
			s, err := tx.PrepareContext(ctx, db.dialect.rebind("UPDATE dragoman_keys SET last_used_us = ? WHERE id = ? AND last_used_us < ?"))
			if err != nil {
				return err
			}
			defer s.Close()
			for _, u := range uses {
				if _, err := s.ExecContext(ctx, stamp(u.At), u.ID, stamp(u.At)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// PruneKeys implements keystore.Database.
func (db *DB) PruneKeys(ctx context.Context, before time.Time) (removed int64, err error) {
	const ended = "(revoked_us > 0 AND revoked_us < ?) OR (expires_us > 0 AND expires_us < ?)"
	at := stamp(before)
	err = db.keysDo(ctx, func() error {
		return db.inTx(ctx, func(tx *sql.Tx) error {
			k := keysTx{db, ctx, tx}
			// The row first, as all who change keys do.
			if err := k.exec("UPDATE dragoman_key_state SET revision = revision WHERE id = 1"); err != nil {
				return err
			}
			if err := k.exec("DELETE FROM dragoman_key_secrets WHERE (expires_us > 0 AND expires_us < ?) OR key_id IN (SELECT id FROM dragoman_keys WHERE "+ended+")", at, at, at); err != nil {
				return err
			}
			done, err := tx.ExecContext(ctx, db.dialect.rebind("DELETE FROM dragoman_keys WHERE "+ended), at, at)
			if err != nil {
				return err
			}
			if removed, err = done.RowsAffected(); err != nil || removed == 0 {
				return err
			}
			return k.exec("UPDATE dragoman_key_state SET live = (SELECT COUNT(*) FROM dragoman_keys WHERE revoked_us = 0) WHERE id = 1")
		})
	})
	return removed, err
}

// stamp is a time in microseconds; 0 is never.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}
