package sqldb

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"dragoman/internal/keystore"
)

// keyColumns are those of a key and of one of its secrets; secretsInOrder has them follow each other, the newest first.
const (
	keyColumns = `k.id, k.tenant, k.team, k.user_id, k.name, k.spec, k.created_us, k.created_by, k.expires_us, k.revoked_us, k.revoked_by, k.last_used_us, k.revision,
		s.hash, s.prefix, s.created_us, s.expires_us FROM dragoman_keys k` + joinSecrets
	joinSecrets    = " LEFT JOIN dragoman_key_secrets s ON s.key_id = k.id"
	secretsInOrder = " ORDER BY k.id, s.created_us DESC, s.hash"
)

// KeysSince implements keystore.Database. One statement reads keys and secrets, so that both are of the same moment.
func (db *DB) KeysSince(ctx context.Context, revision int64, each func(*keystore.Record) error) error {
	return db.keysDo(ctx, func() error {
		rows, err := db.query(ctx, "SELECT "+keyColumns+" WHERE k.revision > ? ORDER BY k.revision, k.id, s.created_us DESC, s.hash", revision)
		if err != nil {
			return err
		}
		return eachKey(rows, each)
	})
}

// Key implements keystore.Database.
func (db *DB) Key(ctx context.Context, id string) (*keystore.Record, error) {
	list, err := db.keys(ctx, "SELECT "+keyColumns+" WHERE k.id = ?"+secretsInOrder, id)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, keystore.ErrNotFound
	}
	return list[0], nil
}

// Keys implements keystore.Database.
func (db *DB) Keys(ctx context.Context, f keystore.Filter) ([]*keystore.Record, error) {
	where, args := []string{"id > ?"}, []any{f.After}
	for _, c := range []struct{ column, value string }{{"tenant", f.Tenant}, {"team", f.Team}, {"user_id", f.User}, {"name", f.Name}} {
		if c.value != "" {
			where, args = append(where, c.column+" = ?"), append(args, c.value)
		}
	}
	if !f.Revoked {
		where = append(where, "revoked_us = 0")
	}
	columns, _, _ := strings.Cut(keyColumns, " FROM ")
	return db.keys(ctx, "SELECT "+columns+" FROM (SELECT * FROM dragoman_keys WHERE "+strings.Join(where, " AND ")+" ORDER BY id LIMIT ?) k"+joinSecrets+secretsInOrder,
		append(args, f.Limit)...)
}

func (db *DB) keys(ctx context.Context, query string, args ...any) (list []*keystore.Record, err error) {
	err = db.keysDo(ctx, func() error {
		rows, err := db.query(ctx, query, args...)
		if err != nil {
			return err
		}
		list, err = scanKeys(rows)
		return err
	})
	return list, err
}

func scanKeys(rows *sql.Rows) (list []*keystore.Record, err error) {
	err = eachKey(rows, func(r *keystore.Record) error {
		list = append(list, r)
		return nil
	})
	return list, err
}

// eachKey makes keys of rows that hold a secret each, those of a key together.
func eachKey(rows *sql.Rows, each func(*keystore.Record) error) error {
	defer rows.Close()
	var last *keystore.Record
	for rows.Next() {
		r, s, err := scanKey(rows)
		if err != nil {
			return err
		}
		if last == nil || last.ID != r.ID {
			if last != nil {
				if err := each(last); err != nil {
					return err
				}
			}
			last = r
		}
		if s != nil {
			last.Secrets = append(last.Secrets, *s)
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if last != nil {
		return each(last)
	}
	return nil
}

func scanKey(rows *sql.Rows) (*keystore.Record, *keystore.Secret, error) {
	r := &keystore.Record{}
	var created, expires, revoked, used int64
	var hash, prefix sql.NullString
	var made, ends sql.NullInt64
	if err := rows.Scan(&r.ID, &r.Place.Tenant, &r.Place.Team, &r.Place.User, &r.Name, &r.Spec, &created, &r.CreatedBy, &expires, &revoked, &r.RevokedBy, &used, &r.Revision,
		&hash, &prefix, &made, &ends); err != nil {
		return nil, nil, err
	}
	r.Created, r.Expires, r.Revoked, r.LastUsed = moment(created), moment(expires), moment(revoked), moment(used)
	if !hash.Valid {
		return r, nil, nil // all of its secrets have ended long ago
	}
	s := &keystore.Secret{Prefix: prefix.String, Created: moment(made.Int64), Expires: moment(ends.Int64)}
	b, err := hex.DecodeString(hash.String)
	if err != nil || len(b) != len(s.Hash) {
		return nil, nil, fmt.Errorf("the secret of the key %s is no hash", r.ID)
	}
	copy(s.Hash[:], b)
	return r, s, nil
}

// moment is the time of a number of microseconds, the zero time for 0.
func moment(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
