package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// Apply stores a batch in one transaction: its rows, their sums, and how far the writer's log is stored now. What was stored before, by
// number or by id, is not stored again.
func (db *DB) Apply(ctx context.Context, b *ledger.Batch) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	err := db.apply(ctx, b, false)
	if errors.Is(err, errKnown) {
		err = db.apply(ctx, b, true) // some of it is there already: row by row, to see what
	}
	if err != nil {
		db.forget()
		return fmt.Errorf("the ledger's database: %w", err)
	}
	return nil
}

// errKnown says that some rows were in the database before.
var errKnown = errors.New("rows are there already")

func (db *DB) apply(ctx context.Context, b *ledger.Batch, careful bool) error {
	if err := db.migrate(ctx); err != nil {
		return err
	}
	if err := db.prepare(ctx, b); err != nil {
		return err
	}
	return db.inTx(ctx, func(tx *sql.Tx) error {
		stored, err := db.watermark(ctx, tx, b.Writer)
		if err != nil || stored >= b.Through {
			return err
		}
		w := &writing{db: db, ctx: ctx, tx: tx, careful: careful}
		sums := usageSums{}
		if err := w.records(b, stored, sums); err != nil {
			return err
		}
		if err := w.entries(b, stored); err != nil {
			return err
		}
		if err := w.usage(sums); err != nil {
			return err
		}
		_, err = w.exec(writersUpsert, b.Writer, int64(b.Through), b.Received.UnixMicro())
		return err
	})
}

const writersUpsert = "INSERT INTO dragoman_writers (writer, number, stored_us) VALUES (?, ?, ?) ON CONFLICT (writer) DO UPDATE SET number = excluded.number, stored_us = excluded.stored_us"

// prepareAll prepares what transactions execute.
func (db *DB) prepareAll(ctx context.Context) error {
	queries := []string{writersUpsert}
	for _, t := range []*table{&requestsTable, &attemptsTable, &auditTable, &usageTable} {
		for _, n := range chunks {
			queries = append(queries, t.text(n))
		}
	}
	for _, q := range queries {
		if _, err := db.stmt(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// watermark is the number up to which a writer's records are stored. Its row is locked, so that two processes cannot both go on from it.
func (db *DB) watermark(ctx context.Context, tx *sql.Tx, writer string) (uint64, error) {
	query := "SELECT number FROM dragoman_writers WHERE writer = ?"
	if db.dialect.postgres {
		query += " FOR UPDATE"
	}
	var n int64
	err := tx.QueryRowContext(ctx, db.dialect.rebind(query), writer).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return uint64(n), err
}

// writing is one transaction.
type writing struct {
	db      *DB
	ctx     context.Context
	tx      *sql.Tx
	careful bool // row by row
}

func (w *writing) exec(query string, args ...any) (int64, error) {
	s := w.db.statements[query] // prepared before: the transaction has the only connection
	if s == nil {
		return 0, fmt.Errorf("not prepared: %s", query)
	}
	r, err := w.tx.StmtContext(w.ctx, s).ExecContext(w.ctx, args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// table is where rows go, many with one statement.
type table struct {
	columns int
	texts   map[int]string // the statement, by its number of rows
}

func newTable(insert string, columns int, suffix string) table {
	t := table{columns: columns, texts: map[int]string{}}
	row := "(?" + strings.Repeat(",?", columns-1) + ")"
	for _, n := range chunks {
		t.texts[n] = insert + " VALUES " + row + strings.Repeat(","+row, n-1) + suffix
	}
	return t
}

// text is the statement for n rows.
func (t *table) text(n int) string { return t.texts[n] }

const keepOld = " ON CONFLICT DO NOTHING"

var (
	requestsTable = newTable(`INSERT INTO dragoman_requests (at_us, id, dim, endpoint, client_schema, asked, cluster, stream, cache, status, outcome, reason, refused,
		attempts, input, cache_read, cache_write, cache_write_1h, output, reasoning, usage_known, estimated, cost, price, duration_us, ttft_us, overhead_us,
		saved_tokens, saved_cost, dropped, tags)`, 31, keepOld)
	attemptsTable = newTable(`INSERT INTO dragoman_attempts (at_us, request_id, number, dim, cluster, status, outcome, input, cache_read, cache_write, cache_write_1h,
		output, reasoning, usage_known, cost, price, duration_us, tags)`, 18, keepOld)
	auditTable = newTable(`INSERT INTO dragoman_audit (at_us, writer, number, action, outcome, organisation, tenant, team, user_id, key_name, subject, detail,
		request_id, count, hash)`, 15, keepOld)
)

// chunks are how many rows one statement takes: few sizes, so that each is prepared once. 31 × 64 parameters are below every database's bound.
var chunks = []int{64, 8, 1}

// rows inserts rows, whose values follow each other in args, and says how many were new.
func (w *writing) rows(t *table, args []any) (added int64, err error) {
	for _, n := range chunks {
		for len(args) >= n*t.columns {
			k, err := w.exec(t.text(n), args[:n*t.columns]...)
			if err != nil {
				return added, err
			}
			added, args = added+k, args[n*t.columns:]
		}
	}
	return added, nil
}

// records inserts requests and their attempts, and adds those that are new to sums.
func (w *writing) records(b *ledger.Batch, stored uint64, sums usageSums) error {
	var requests, attempts []any
	count, tries := int64(0), int64(0)
	for i := range b.Records {
		n := &b.Records[i]
		if n.Number <= stored {
			continue
		}
		r := n.Record
		requests = w.db.requestRow(requests, r)
		count++
		if w.careful {
			added, err := w.rows(&requestsTable, requests)
			requests = requests[:0]
			if err != nil {
				return err
			}
			if added == 0 {
				continue
			}
		}
		for j := range r.Failed {
			attempts = w.db.attemptRow(attempts, r, &r.Failed[j])
			tries++
		}
		w.db.add(sums, r)
	}
	if !w.careful {
		if added, err := w.rows(&requestsTable, requests); err != nil || added != count {
			return orKnown(err)
		}
	}
	added, err := w.rows(&attemptsTable, attempts)
	if err != nil || added != tries && !w.careful {
		return orKnown(err)
	}
	return nil
}

func orKnown(err error) error {
	if err != nil {
		return err
	}
	return errKnown
}

func (w *writing) entries(b *ledger.Batch, stored uint64) error {
	var args []any
	for i := range b.Entries {
		if n := &b.Entries[i]; n.Number > stored {
			args = entryRow(args, n.Entry)
		}
	}
	_, err := w.rows(&auditTable, args)
	return err
}

func (db *DB) requestRow(row []any, r *account.Record) []any {
	cost, price := charge(r.Priced, r.Cost, r.Price)
	u := &r.Usage
	return append(row, r.Time.UnixMicro(), r.ID, db.dims[dimOf(r)], r.Endpoint, string(r.Schema), r.Asked, r.Cluster, number(r.Stream), r.Cache, int64(r.Status),
		r.Outcome, r.Reason, number(r.Refused), int64(r.Attempts), u.Input, u.CacheRead, u.CacheWrite, u.CacheWrite1h, u.Output, u.Reasoning, number(u.Known),
		number(r.Estimated), cost, price, r.Duration.Microseconds(), r.TTFT.Microseconds(), r.Overhead.Microseconds(), r.SavedTokens, int64(r.Saved),
		int64(r.Dropped), tagsText(r.Tags))
}

func (db *DB) attemptRow(row []any, r *account.Record, a *account.Attempt) []any {
	cost, price := charge(a.Priced, a.Cost, a.Price)
	u := &a.Usage
	return append(row, a.Time.UnixMicro(), r.ID, int64(a.Number), db.dims[dimOfAttempt(r, a)], a.Cluster, int64(a.Status), a.Outcome, u.Input, u.CacheRead,
		u.CacheWrite, u.CacheWrite1h, u.Output, u.Reasoning, number(u.Known), cost, price, a.Duration.Microseconds(), tagsText(r.Tags))
}

func entryRow(row []any, a *ledger.Entry) []any {
	return append(row, a.Time.UnixMicro(), a.Writer, int64(a.Number), a.Action, a.Outcome, a.Organisation, a.Tenant, a.Team, a.User, a.Key, a.Subject,
		a.Detail, a.RequestID, int64(a.Count), fmt.Sprintf("%x", a.Hash))
}

// charge is a cost with the price that it was made with: both NULL when it is unknown. Nothing used of something unpriced costs nothing.
func charge(priced bool, cost config.MicroUSD, p *config.Price) (any, any) {
	switch {
	case !priced:
		return nil, nil
	case p == nil:
		return int64(cost), nil
	default:
		return int64(cost), ledger.PriceVersion(p)
	}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func tagsText(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	b, _ := json.Marshal(tags) // texts always marshal
	return string(b)
}

func tagsOf(text string) (tags []string) {
	if text != "" {
		_ = json.Unmarshal([]byte(text), &tags)
	}
	return tags
}

// cacheRead is what rows hold of the classes of a usage: sums have one class of cache writes.
func cacheWrites(u *chat.Usage) int64 { return u.CacheWrite + u.CacheWrite1h }

// month is the first moment of a time's month, and of the next, in microseconds.
func month(t time.Time) (from, to int64) {
	t = t.UTC()
	begin := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return begin.UnixMicro(), begin.AddDate(0, 1, 0).UnixMicro()
}
