package sqldb

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed migrations
var migrations embed.FS

// migrationLock keeps replicas that start at the same time from migrating at the same time (PostgreSQL).
const migrationLock = 0x647261676f6d616e

type migration struct {
	version int
	name    string
	text    string
}

// listed are a dialect's migrations in their order.
func listed(dialect string) ([]migration, error) {
	entries, err := migrations.ReadDir("migrations/" + dialect)
	if err != nil {
		return nil, err
	}
	var out []migration
	for _, e := range entries {
		number, _, _ := strings.Cut(e.Name(), "_")
		n, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %s: its name must begin with a number", e.Name())
		}
		text, err := migrations.ReadFile(path.Join("migrations", dialect, e.Name()))
		if err != nil {
			return nil, err
		}
		out = append(out, migration{version: n, name: e.Name(), text: string(text)})
	}
	slices.SortFunc(out, func(a, b migration) int { return a.version - b.version })
	return out, nil
}

// Migrate brings the tables to this program's state. A database of a later program is an error.
func (db *DB) Migrate(ctx context.Context) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.migrate(ctx)
}

// migrate is Migrate with mu held; it does nothing a second time.
func (db *DB) migrate(ctx context.Context) error {
	if db.ready {
		return nil
	}
	list, err := listed(db.dialect.name)
	if err != nil {
		return err
	}
	// To make new sums of a large ledger takes longer than a batch may: it ends when it is done, or when the process does.
	whole, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	defer context.AfterFunc(ctx, func() {
		if ctx.Err() == context.Canceled {
			end()
		}
	})()
	err = patiently(ctx, func() error { return db.upgrade(whole, list) })
	if err != nil {
		return fmt.Errorf("the ledger's tables: %w", err)
	}
	if err := db.prepareAll(ctx); err != nil {
		return fmt.Errorf("the ledger's tables: %w", err)
	}
	db.ready = true
	return nil
}

// patiently waits for a process that is opening the same new file: SQLite asks nobody's busy_timeout while it turns a database to WAL.
func patiently(ctx context.Context, f func() error) error {
	for tries := 0; ; tries++ {
		err := f()
		var busy *driver.Error
		if tries == 100 || !errors.As(err, &busy) || busy.Code()&0xff != sqlite3.SQLITE_BUSY {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// upgrade brings the tables to the newest version.
func (db *DB) upgrade(ctx context.Context, list []migration) error {
	return db.inTx(ctx, func(tx *sql.Tx) error {
		if db.dialect.postgres {
			if _, err := tx.ExecContext(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS dragoman_migrations (version INTEGER PRIMARY KEY, applied_us BIGINT NOT NULL)"); err != nil {
			return err
		}
		var have int
		if err := tx.QueryRowContext(ctx, "SELECT COALESCE(MAX(version), 0) FROM dragoman_migrations").Scan(&have); err != nil {
			return err
		}
		if newest := list[len(list)-1].version; have > newest {
			return fmt.Errorf("the database is at version %d of the ledger's tables, and this program knows %d: it is older than the one that wrote it", have, newest)
		}
		for _, m := range list {
			if m.version <= have {
				continue
			}
			if _, err := tx.ExecContext(ctx, m.text); err != nil {
				return fmt.Errorf("migration %s: %w", m.name, err)
			}
			if _, err := tx.ExecContext(ctx, db.dialect.rebind("INSERT INTO dragoman_migrations (version, applied_us) VALUES (?, ?)"), m.version, time.Now().UnixMicro()); err != nil {
				return err
			}
		}
		return nil
	})
}
