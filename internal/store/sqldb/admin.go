package sqldb

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
)

var _ access.Store = (*DB)(nil)

const tokenColumns = "id, name, hash, role, tenant, team, prefix, created_us, created_by, expires_us, revoked_us, revoked_by, last_used_us"

// adminDo runs f once the tables are there. It does not wait for who writes the ledger.
func (db *DB) adminDo(ctx context.Context, f func() error) error {
	if !db.adminReady.Load() {
		if err := db.Migrate(ctx); err != nil {
			return err
		}
		db.adminReady.Store(true)
	}
	err := f()
	if err == nil || errors.Is(err, access.ErrNone) || errors.Is(err, access.ErrTaken) {
		return err
	}
	if ctx.Err() == nil {
		db.adminReady.Store(false) // somebody may have put another database in its place
	}
	return fmt.Errorf("the ledger's database: %w", err)
}

// adminTx is adminDo in a transaction.
func (db *DB) adminTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	return db.adminDo(ctx, func() error { return db.inTx(ctx, f) })
}

// AddToken implements access.Store.
func (db *DB) AddToken(ctx context.Context, t *access.Token) error {
	return db.adminTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, db.dialect.rebind("INSERT INTO dragoman_admin_tokens ("+tokenColumns+
			") VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '', 0) ON CONFLICT DO NOTHING"), t.ID, t.Name, hex.EncodeToString(t.Hash[:]),
			string(t.Grant.Role), t.Grant.Tenant, t.Grant.Team, t.Prefix, micros(t.Created), t.CreatedBy, micros(t.Expires))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 1 {
			return err
		}
		return access.ErrTaken
	})
}

// TokenByHash implements access.Store.
func (db *DB) TokenByHash(ctx context.Context, hash [32]byte) (*access.Token, error) {
	return db.token(ctx, "hash", hex.EncodeToString(hash[:]))
}

// TokenByID implements access.Store.
func (db *DB) TokenByID(ctx context.Context, id string) (*access.Token, error) {
	return db.token(ctx, "id", id)
}

func (db *DB) token(ctx context.Context, column, value string) (*access.Token, error) {
	list, err := db.tokens(ctx, "WHERE "+column+" = ?", value)
	if err == nil && len(list) == 0 {
		return nil, access.ErrNone
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Tokens implements access.Store.
func (db *DB) Tokens(ctx context.Context, after string, limit int) ([]*access.Token, error) {
	return db.tokens(ctx, "WHERE id > ? ORDER BY id LIMIT ?", after, limit)
}

func (db *DB) tokens(ctx context.Context, where string, args ...any) (out []*access.Token, err error) {
	err = db.adminDo(ctx, func() error {
		rows, err := db.query(ctx, "SELECT "+tokenColumns+" FROM dragoman_admin_tokens "+where, args...)
		if err == nil {
			out, err = scanTokens(rows)
		}
		return err
	})
	return out, err
}

func scanTokens(rows *sql.Rows) (out []*access.Token, err error) {
	defer rows.Close()
	for rows.Next() {
		t := &access.Token{}
		var hash string
		var created, expires, revoked, used int64
		if err := rows.Scan(&t.ID, &t.Name, &hash, &t.Grant.Role, &t.Grant.Tenant, &t.Grant.Team, &t.Prefix, &created, &t.CreatedBy, &expires, &revoked,
			&t.RevokedBy, &used); err != nil {
			return nil, err
		}
		t.Hash = unhex(hash)
		t.Created, t.Expires, t.Revoked, t.LastUsed = instant(created), instant(expires), instant(revoked), instant(used)
		out = append(out, t)
	}
	return out, rows.Err()
}

// RevokeToken implements access.Store.
func (db *DB) RevokeToken(ctx context.Context, id, by string, at time.Time) error {
	if _, err := db.TokenByID(ctx, id); err != nil {
		return err
	}
	return db.change(ctx, "UPDATE dragoman_admin_tokens SET revoked_us = ?, revoked_by = ? WHERE id = ? AND revoked_us = 0", micros(at), by, id)
}

// UseToken implements access.Store.
func (db *DB) UseToken(ctx context.Context, id string, at time.Time) error {
	return db.change(ctx, "UPDATE dragoman_admin_tokens SET last_used_us = ? WHERE id = ? AND last_used_us < ?", micros(at), id, micros(at))
}

// HasAdminToken implements access.Store.
func (db *DB) HasAdminToken(ctx context.Context) (bool, error) {
	var n int
	err := db.adminDo(ctx, func() error {
		return db.scanOne(ctx, "SELECT COUNT(*) FROM (SELECT id FROM dragoman_admin_tokens WHERE role = ? LIMIT 1) AS found", []any{string(config.RoleAdmin)}, &n)
	})
	return n > 0, err
}

// change runs one statement that writes.
func (db *DB) change(ctx context.Context, query string, args ...any) error {
	return db.adminTx(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, db.dialect.rebind(query), args...)
		return err
	})
}

// micros is a time as it is stored; 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func unhex(s string) (out [32]byte) {
	if b, err := hex.DecodeString(s); err == nil {
		copy(out[:], b)
	}
	return out
}
