package sqldb

import (
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"dragoman/internal/admin/access"
)

const sessionColumns = "hash, kind, name, grants, created_us, expires_us"

// AddSession implements access.Store.
func (db *DB) AddSession(ctx context.Context, s *access.Session) error {
	grants, err := json.Marshal(s.Grants)
	if err != nil {
		return err
	}
	return db.adminTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, db.dialect.rebind("INSERT INTO dragoman_admin_sessions ("+sessionColumns+") VALUES (?, ?, ?, ?, ?, ?)"),
			hex.EncodeToString(s.Hash[:]), s.Kind, s.Name, string(grants), micros(s.Created), micros(s.Expires)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, db.dialect.rebind(`DELETE FROM dragoman_admin_sessions WHERE kind = ? AND name = ? AND hash NOT IN
			(SELECT hash FROM dragoman_admin_sessions WHERE kind = ? AND name = ? ORDER BY created_us DESC, hash LIMIT ?)`),
			s.Kind, s.Name, s.Kind, s.Name, access.MaxSessions)
		return err
	})
}

// SessionByHash implements access.Store.
func (db *DB) SessionByHash(ctx context.Context, hash [32]byte) (s *access.Session, err error) {
	err = db.adminDo(ctx, func() error {
		rows, err := db.query(ctx, "SELECT "+sessionColumns+" FROM dragoman_admin_sessions WHERE hash = ?", hex.EncodeToString(hash[:]))
		if err != nil {
			return err
		}
		list, err := scanSessions(rows)
		if err == nil && len(list) == 0 {
			err = access.ErrNone
		}
		if err == nil {
			s = list[0]
		}
		return err
	})
	return s, err
}

func scanSessions(rows *sql.Rows) (out []*access.Session, err error) {
	defer rows.Close()
	for rows.Next() {
		s := &access.Session{}
		var hash, grants string
		var created, expires int64
		if err := rows.Scan(&hash, &s.Kind, &s.Name, &grants, &created, &expires); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(grants), &s.Grants); err != nil {
			return nil, err
		}
		s.Hash, s.Created, s.Expires = unhex(hash), instant(created), instant(expires)
		out = append(out, s)
	}
	return out, rows.Err()
}

// EndSession implements access.Store.
func (db *DB) EndSession(ctx context.Context, hash [32]byte) error {
	return db.change(ctx, "DELETE FROM dragoman_admin_sessions WHERE hash = ?", hex.EncodeToString(hash[:]))
}

// PruneSessions implements access.Store.
func (db *DB) PruneSessions(ctx context.Context, now time.Time) (out []*access.Session, err error) {
	err = db.adminTx(ctx, func(tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, db.dialect.rebind("DELETE FROM dragoman_admin_sessions WHERE expires_us <= ? RETURNING "+sessionColumns), micros(now))
		if err != nil {
			return err
		}
		out, err = scanSessions(rows)
		return err
	})
	return out, err
}

// LoginSecret implements access.Store.
func (db *DB) LoginSecret(ctx context.Context, fresh [32]byte) (secret [32]byte, err error) {
	err = db.adminTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, db.dialect.rebind("INSERT INTO dragoman_admin_secret (id, secret) VALUES (1, ?) ON CONFLICT DO NOTHING"),
			hex.EncodeToString(fresh[:])); err != nil {
			return err
		}
		var text string
		if err := tx.QueryRowContext(ctx, "SELECT secret FROM dragoman_admin_secret WHERE id = 1").Scan(&text); err != nil {
			return err
		}
		if len(text) != 2*len(secret) {
			return errors.New("the secret of logins is damaged: delete the row of dragoman_admin_secret")
		}
		secret = unhex(text)
		return nil
	})
	return secret, err
}
