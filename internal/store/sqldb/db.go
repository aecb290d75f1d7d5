// Package sqldb keeps the ledger in a database: SQLite in a file, or PostgreSQL. Both have the same tables (migrations/), and one code
// writes and reads them.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"dragoman/internal/ledger"
)

// DB is an open database. It is a ledger.Store and safe for concurrent use.
type DB struct {
	dialect dialect
	write   *sql.DB // one connection: transactions follow each other
	read    *sql.DB

	keysReady  atomic.Bool // as ready, for the keys, who do not wait for mu
	adminReady atomic.Bool // and for those who administer

	mu         sync.Mutex // guards what follows
	ready      bool       // migrated
	statements map[string]*sql.Stmt
	dims       map[dim]ids
	names      map[name]int64 // of the sets of fewer names
	tags       map[string]int64
	prices     map[string]bool
	partitions map[string]bool

	before  before
	rows    [2][]any // room for the rows of one statement, of requests and of attempts
	kinds   []kind   // and of requests that are alike
	wal     string   // SQLite's log, "" for PostgreSQL
	walNext int64    // its size at which a checkpoint that somebody kept from ending is tried again
}

var _ ledger.Store = (*DB)(nil)

// dialect is where the two differ.
type dialect struct {
	name     string // folder of the migrations
	postgres bool
}

// readers is how many queries run at the same time.
const readers = 4

// OpenSQLite opens a file, which is made when it is not there, for this user alone.
func OpenSQLite(path string) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	// What the write-ahead log releases must be on the disk: FULL, one fsync for each transaction.
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	f.Close()
	write, err := sql.Open("sqlite", sqliteDSN(path, "journal_mode(wal)", "synchronous(full)", "cache_size(-65536)", fmt.Sprintf("journal_size_limit(%d)", walLimit/2))+"&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	read, err := sql.Open("sqlite", sqliteDSN(path, "query_only(1)", "cache_size(-65536)", "temp_store(memory)"))
	if err != nil {
		write.Close()
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	db := newDB(dialect{name: "sqlite"}, write, read)
	db.wal = path + "-wal"
	return db, nil
}

func sqliteDSN(path string, pragmas ...string) string {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)"
	for _, p := range pragmas {
		dsn += "&_pragma=" + p
	}
	return dsn
}

// OpenPostgres connects when it is first asked: a server that is away is an error of the calls. dsn is a URL or key=value pairs; the
// error never shows it.
func OpenPostgres(dsn string) (*DB, error) {
	c, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, errors.New("the ledger's database: the dsn cannot be read: write postgres://user:password@host:5432/database, or key=value pairs")
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = 5 * time.Second
	}
	open := func() *sql.DB { return stdlib.OpenDB(*c) }
	return newDB(dialect{name: "postgres", postgres: true}, open(), open()), nil
}

func newDB(d dialect, write, read *sql.DB) *DB {
	write.SetMaxOpenConns(1)
	write.SetMaxIdleConns(1)
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	read.SetConnMaxIdleTime(time.Minute)
	db := &DB{dialect: d, write: write, read: read, statements: map[string]*sql.Stmt{}}
	db.forget()
	return db
}

// forget empties what is known of the database: after a failure somebody may have put another in its place.
func (db *DB) forget() {
	db.ready = false
	db.partitions = map[string]bool{}
	db.forgetNames()
}

// forgetNames empties what is known of names and prices.
func (db *DB) forgetNames() {
	db.before = before{}
	db.dims, db.names, db.tags, db.prices = map[dim]ids{}, map[name]int64{}, map[string]int64{}, map[string]bool{}
}

// Close closes all connections.
func (db *DB) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, s := range db.statements {
		_ = s.Close()
	}
	return errors.Join(db.write.Close(), db.read.Close())
}

// rebind writes ? as the database wants it.
func (d dialect) rebind(query string) string {
	if !d.postgres {
		return query
	}
	var b strings.Builder
	n := 0
	for i := 0; i < len(query); i++ {
		if query[i] != '?' {
			b.WriteByte(query[i])
			continue
		}
		b.WriteByte('$')
		if i+1 < len(query) && query[i+1] >= '0' && query[i+1] <= '9' {
			continue // a number of its own, of one that came before
		}
		n++
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}

// stmt is a prepared statement of the writing side; mu is held.
func (db *DB) stmt(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := db.statements[query]; s != nil {
		return s, nil
	}
	s, err := db.write.PrepareContext(ctx, db.dialect.rebind(query))
	if err == nil {
		db.statements[query] = s
	}
	return s, err
}

// query asks the reading side.
func (db *DB) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return db.read.QueryContext(ctx, db.dialect.rebind(query), args...)
}

// scanOne reads one row of the reading side.
func (db *DB) scanOne(ctx context.Context, query string, args []any, into ...any) error {
	return db.read.QueryRowContext(ctx, db.dialect.rebind(query), args...).Scan(into...)
}

// inTx runs f in one transaction of the writing side.
func (db *DB) inTx(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := db.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}
