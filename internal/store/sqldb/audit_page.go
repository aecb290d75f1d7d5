package sqldb

import (
	"context"
	"database/sql"
	"encoding/hex"
	"strings"
	"time"

	"dragoman/internal/ledger"
)

// AuditPage lists entries of the audit trail, the newest first.
func (db *DB) AuditPage(ctx context.Context, f ledger.PageFilter) (out []*ledger.Entry, err error) {
	var where []string
	var args []any
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	if f.Tenant != "" {
		add("tenant = ?", f.Tenant)
	}
	if f.Team != "" {
		add("team = ?", f.Team)
	}
	if begin, some := strings.CutSuffix(f.Action, "*"); some {
		add("substr(action, 1, ?) = ?", len(begin), begin)
	} else if f.Action != "" {
		add("action = ?", f.Action)
	}
	if b := f.Before; b != nil {
		at := b.Time.UnixMicro()
		add("at_us <= ? AND (at_us < ? OR at_us = ? AND (writer < ? OR writer = ? AND number < ?))", at, at, at, b.Writer, b.Writer, b.Number)
	}
	query := "SELECT " + entryColumns + " FROM dragoman_audit"
	if len(where) > 0 {
		query += " WHERE " + strings.Join(where, " AND ")
	}
	args = append(args, f.Limit)
	err = db.adminDo(ctx, func() error {
		rows, err := db.query(ctx, query+" ORDER BY at_us DESC, writer DESC, number DESC LIMIT ?", args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			a, err := scanEntry(rows)
			if err != nil {
				return err
			}
			out = append(out, a)
		}
		return rows.Err()
	})
	return out, err
}

const entryColumns = "at_us, writer, number, action, outcome, organisation, tenant, team, user_id, key_name, subject, detail, request_id, count, hash"

func scanEntry(rows *sql.Rows) (*ledger.Entry, error) {
	var at int64
	var hash string
	a := &ledger.Entry{}
	if err := rows.Scan(&at, &a.Writer, &a.Number, &a.Action, &a.Outcome, &a.Organisation, &a.Tenant, &a.Team, &a.User, &a.Key, &a.Subject, &a.Detail,
		&a.RequestID, &a.Count, &hash); err != nil {
		return nil, err
	}
	a.Time = time.UnixMicro(at).UTC()
	if b, err := hex.DecodeString(hash); err == nil {
		copy(a.Hash[:], b)
	}
	return a, nil
}
