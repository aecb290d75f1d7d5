package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"dragoman/internal/ledger"
)

// byTime are the tables whose rows have a time: partitions by month in PostgreSQL; in SQLite, whose rows lie in the order of their time, one
// table each, from whose beginning is deleted. (Tables by month would make every question a union, and VACUUM no cheaper.)
var byTime = []string{"dragoman_requests", "dragoman_attempts", "dragoman_audit"}

// partitionLock keeps replicas from making the same partition at the same time.
const partitionLock = 0x647261676f706172

// partition makes the partitions that a batch's rows go to.
func (db *DB) partition(ctx context.Context, b *ledger.Batch) error {
	if !db.dialect.postgres {
		return nil
	}
	for i := range b.Records {
		r := b.Records[i].Record
		if err := db.partitionFor(ctx, "dragoman_requests", r.Time); err != nil {
			return err
		}
		for j := range r.Failed {
			if err := db.partitionFor(ctx, "dragoman_attempts", r.Failed[j].Time); err != nil {
				return err
			}
		}
	}
	for i := range b.Entries {
		if err := db.partitionFor(ctx, "dragoman_audit", b.Entries[i].Entry.Time); err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) partitionFor(ctx context.Context, table string, at time.Time) error {
	name := fmt.Sprintf("%s_%04d_%02d", table, at.UTC().Year(), at.UTC().Month())
	if db.partitions[name] {
		return nil
	}
	from, to := month(at)
	err := db.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(partitionLock)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s PARTITION OF %s FOR VALUES FROM (%d) TO (%d)", name, table, from, to))
		return err
	})
	if err == nil {
		db.partitions[name] = true
	}
	return err
}

// pruneStep is how many rows one transaction deletes in SQLite, so that what arrives meanwhile waits for milliseconds.
const pruneStep = 5000

// Prune removes what has outlived its time. PostgreSQL drops whole months, so that rows live up to a month longer. Where a chain of the
// audit trail loses its beginning, an anchor keeps the hash that it goes on from.
func (db *DB) Prune(ctx context.Context, now time.Time, r ledger.Retention) (removed int64, err error) {
	for _, table := range byTime {
		keep := r.Records
		if table == "dragoman_audit" {
			keep = r.Audit
		}
		if keep <= 0 {
			continue
		}
		n, err := db.pruneTable(ctx, table, now.Add(-keep).UnixMicro())
		removed += n
		if err != nil {
			return removed, fmt.Errorf("the ledger's retention: %w", err)
		}
	}
	if r.Hours > 0 {
		n, err := db.pruneHours(ctx, now.Add(-r.Hours).Unix())
		removed += n
		if err != nil {
			return removed, fmt.Errorf("the ledger's retention: %w", err)
		}
	}
	return removed, nil
}

func (db *DB) pruneHours(ctx context.Context, before int64) (removed int64, err error) {
	err = db.writeTx(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, db.dialect.rebind("DELETE FROM dragoman_sums WHERE "+anyTag+" AND "+grains(hourly)+" AND start_s < ?"), before)
		if err != nil {
			return err
		}
		removed, err = r.RowsAffected()
		return err
	})
	return removed, err
}

// writeTx is inTx for those who do not hold mu.
func (db *DB) writeTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.migrate(ctx); err != nil {
		return err
	}
	return db.inTx(ctx, f)
}

func (db *DB) pruneTable(ctx context.Context, table string, before int64) (removed int64, err error) {
	if db.dialect.postgres {
		return db.dropPartitions(ctx, table, before)
	}
	for {
		n := int64(0)
		err := db.writeTx(ctx, func(tx *sql.Tx) error {
			// The row where this step ends: only complete times are deleted.
			upTo := before
			err := tx.QueryRowContext(ctx, fmt.Sprintf("SELECT at_us FROM %s WHERE at_us < ? ORDER BY at_us LIMIT 1 OFFSET %d", table, pruneStep), before).Scan(&upTo)
			if err != nil && err != sql.ErrNoRows {
				return err
			}
			if table == "dragoman_audit" {
				if err := db.anchor(ctx, tx, "at_us < ?", upTo); err != nil {
					return err
				}
			}
			r, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE at_us < ?", upTo)
			if err == nil {
				n, err = r.RowsAffected()
			}
			return err
		})
		removed += n
		if err != nil || n == 0 {
			return removed, err
		}
	}
}

// anchor keeps the last entries of the chains among those that go.
func (db *DB) anchor(ctx context.Context, tx *sql.Tx, where string, args ...any) error {
	query := `INSERT INTO dragoman_audit_anchors (writer, number, hash)
		SELECT a.writer, a.number, a.hash FROM dragoman_audit a
		JOIN (SELECT writer, MAX(number) AS number FROM dragoman_audit WHERE ` + where + ` GROUP BY writer) m ON m.writer = a.writer AND m.number = a.number
		WHERE true
		ON CONFLICT (writer) DO UPDATE SET number = excluded.number, hash = excluded.hash WHERE excluded.number > dragoman_audit_anchors.number`
	_, err := tx.ExecContext(ctx, db.dialect.rebind(query), args...)
	return err
}

// dropPartitions drops the months that end before a time.
func (db *DB) dropPartitions(ctx context.Context, table string, before int64) (removed int64, err error) {
	rows, err := db.query(ctx, "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent WHERE p.relname = ? AND p.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())", table)
	if err != nil {
		return 0, err
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			rows.Close()
			return 0, err
		}
		names = append(names, name)
	}
	if err := rows.Close(); err != nil {
		return 0, err
	}
	for _, name := range names {
		at, err := time.Parse("2006_01", strings.TrimPrefix(name, table+"_"))
		if err != nil {
			continue // somebody else's
		}
		if _, to := month(at); to > before {
			continue
		}
		if err := db.drop(ctx, table, name, &removed); err != nil {
			return removed, err
		}
	}
	return removed, nil
}

func (db *DB) drop(ctx context.Context, table, name string, removed *int64) error {
	n := int64(0)
	err := db.writeTx(ctx, func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, "SELECT COUNT(*) FROM "+name).Scan(&n); err != nil {
			return err
		}
		if table == "dragoman_audit" {
			at, _ := time.Parse("2006_01", strings.TrimPrefix(name, table+"_"))
			from, to := month(at)
			if err := db.anchor(ctx, tx, "at_us >= ? AND at_us < ?", from, to); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, "DROP TABLE "+name)
		return err
	})
	if err != nil {
		return err
	}
	db.mu.Lock()
	delete(db.partitions, name)
	db.mu.Unlock()
	*removed += n
	return nil
}
