package sqldb

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
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
	db.checkpoint(ctx)
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
		sums := hourSums{}
		if err := w.records(b, stored, sums); err != nil {
			return err
		}
		if err := w.entries(b, stored); err != nil {
			return err
		}
		if err := w.usage(sums.rows(monthly)); err != nil {
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
		queries = slices.AppendSeq(queries, maps.Values(t.texts))
		queries = slices.AppendSeq(queries, maps.Values(t.alike))
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

// records inserts requests and their attempts, and adds those that are new to sums.
func (w *writing) records(b *ledger.Batch, stored uint64, sums hourSums) error {
	requests := alike{pending: pending{w: w, table: &requestsTable, room: w.db.rows[0]}, kinds: w.db.kinds[:0]}
	attempts := pending{w: w, table: &attemptsTable, room: w.db.rows[1]}
	for i := range b.Records {
		n := &b.Records[i]
		if n.Number <= stored {
			continue
		}
		added, err := requests.add(n.Record, w.careful)
		if err != nil {
			return err
		}
		if w.careful && added == 0 {
			continue
		}
		for j := range n.Record.Failed {
			attempts.room = w.db.attemptRow(attempts.room, n.Record, &n.Record.Failed[j])
			if _, err := attempts.row(false); err != nil {
				return err
			}
		}
		w.db.add(sums, n.Record)
	}
	if err := requests.rest(); err != nil {
		return err
	}
	for _, p := range []*pending{&requests.pending, &attempts} {
		if err := p.flush(); err != nil {
			return err
		}
		if p.added != p.given && !w.careful {
			return errKnown
		}
	}
	w.db.rows, w.db.kinds = [2][]any{requests.room[:0], attempts.room[:0]}, requests.kinds
	return nil
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

func (db *DB) attemptRow(row []any, r *account.Record, a *account.Attempt) []any {
	cost, price := db.charge(a.Priced, a.Cost, a.Price)
	u := &a.Usage
	return append(row, a.Time.UnixMicro(), r.ID, int64(a.Number), db.idsOf(dimOfAttempt(r, a))[ofDims], a.Cluster, int64(a.Status), a.Outcome, u.Input, u.CacheRead,
		u.CacheWrite, u.CacheWrite1h, u.Output, u.Reasoning, number(u.Known), cost, price, a.Duration.Microseconds(), db.tagsText(r.Tags))
}

func entryRow(row []any, a *ledger.Entry) []any {
	return append(row, a.Time.UnixMicro(), a.Writer, int64(a.Number), a.Action, a.Outcome, a.Organisation, a.Tenant, a.Team, a.User, a.Key, a.Subject,
		a.Detail, a.RequestID, int64(a.Count), fmt.Sprintf("%x", a.Hash))
}

// charge is a cost with the price that it was made with: both NULL when it is unknown. Nothing used of something unpriced costs nothing.
func (db *DB) charge(priced bool, cost config.MicroUSD, p *config.Price) (any, any) {
	switch {
	case !priced:
		return nil, nil
	case p == nil:
		return int64(cost), nil
	default:
		return int64(cost), db.priceVersion(p)
	}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func tagsOf(text string) (tags []string) {
	if text != "" {
		_ = json.Unmarshal([]byte(text), &tags)
	}
	return tags
}

// cacheWrites are of one class in sums.
func cacheWrites(u *chat.Usage) int64 { return u.CacheWrite + u.CacheWrite1h }

// month is the first moment of a time's month, and of the next, in microseconds.
func month(t time.Time) (from, to int64) {
	t = t.UTC()
	begin := time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
	return begin.UnixMicro(), begin.AddDate(0, 1, 0).UnixMicro()
}
