package sqldb

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"

	"dragoman/internal/ledger"
)

// Entries calls each with the entries of the audit trail, chain by chain in the order of their numbers.
func (db *DB) Entries(ctx context.Context, each func(*ledger.Entry) error) error {
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	rows, err := db.query(ctx, "SELECT "+entryColumns+" FROM dragoman_audit ORDER BY writer, number")
	if err != nil {
		return fmt.Errorf("the ledger's database: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		a, err := scanEntry(rows)
		if err != nil {
			return fmt.Errorf("the ledger's database: %w", err)
		}
		if err := each(a); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("the ledger's database: %w", err)
	}
	return nil
}

// Anchors are where chains begin whose oldest entries are gone.
func (db *DB) Anchors(ctx context.Context) (map[string]ledger.Head, error) {
	if err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	rows, err := db.query(ctx, "SELECT writer, number, hash FROM dragoman_audit_anchors")
	if err != nil {
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	return scanAnchors(rows)
}

func scanAnchors(rows *sql.Rows) (map[string]ledger.Head, error) {
	defer rows.Close()
	out := map[string]ledger.Head{}
	for rows.Next() {
		var h ledger.Head
		var hash string
		if err := rows.Scan(&h.Writer, &h.Number, &hash); err != nil {
			return nil, fmt.Errorf("the ledger's database: %w", err)
		}
		b, _ := hex.DecodeString(hash)
		if len(b) == sha256.Size {
			copy(h.Hash[:], b)
		}
		out[h.Writer] = h
	}
	return out, rows.Err()
}
