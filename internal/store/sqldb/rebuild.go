package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/ledger"
	"dragoman/translate/chat"
)

// Verify compares the sums by hour and day with the rows that they were made of, and every cost with its tokens and its price.
func (db *DB) Verify(ctx context.Context) (*ledger.Check, error) {
	prices, err := db.Prices(ctx)
	if err != nil {
		return nil, err
	}
	c := &ledger.Check{}
	var hours sql.NullInt64 // before this they have outlived their time
	if err := db.scanOne(ctx, "SELECT MIN(start_s) FROM dragoman_sums WHERE tag = 0 AND grain = 11", nil, &hours); err != nil {
		return nil, err
	}
	err = db.eachDay(ctx, func(tx *sql.Tx, day time.Time, k *known) error {
		fromRows, n, err := db.sumDay(ctx, tx, day, k, func(at time.Time, id, price string, cost int64, u *chat.Usage) {
			p := prices[price]
			if p == nil {
				c.Fault("%s %s: its price %s is not in the database", at.Format(time.RFC3339), id, price)
				return
			}
			c.Repriced++
			if want := int64(p.Cost(*u)); want != cost && cost != maxCost {
				c.Fault("%s %s: costs %d micro-USD, and by its price %d", at.Format(time.RFC3339), id, cost, want)
			}
		})
		if err != nil {
			return err
		}
		kept, err := db.keptDay(ctx, tx, day)
		if err != nil {
			return err
		}
		c.Days++
		c.Rows += n
		compare(c, day, hours.Int64, fromRows, kept)
		return nil
	})
	return c, err
}

// maxCost is where a single cost was cut.
const maxCost = 1_000_000_000_000

func compare(c *ledger.Check, day time.Time, hours int64, fromRows, kept usageSums) {
	zero := &sums{}
	look := func(k usageKey) {
		a, b := fromRows[k], kept[k]
		if a == nil {
			a = zero
		}
		if b == nil {
			b = zero
		}
		if *a != *b && (k.start >= hours || k.grain%grainStep != hourly) {
			if k.tag == 0 && k.grain == daily {
				c.Drift += b[sumCost] - a[sumCost]
			}
			c.Fault("%s, dim %d, tag %d, grain %d: the sums say %d requests and %d micro-USD, the rows %d and %d", day.Format(time.DateOnly), k.dim, k.tag, k.grain,
				b[sumRequests], b[sumCost], a[sumRequests], a[sumCost])
		}
	}
	for k := range fromRows {
		look(k)
	}
	for k := range kept {
		if fromRows[k] == nil {
			look(k)
		}
	}
	slices.Sort(c.Faults)
}

// Rebuild makes the sums of all days that still have rows anew, and those of their months from their days.
func (db *DB) Rebuild(ctx context.Context) (days int, err error) {
	err = db.eachDay(ctx, func(tx *sql.Tx, day time.Time, k *known) error {
		fromRows, _, err := db.sumDay(ctx, tx, day, k, nil)
		if err != nil {
			return err
		}
		from, to := day.Unix(), day.AddDate(0, 0, 1).Unix()
		if _, err := tx.ExecContext(ctx, db.dialect.rebind("DELETE FROM dragoman_sums WHERE "+anyTag+" AND "+grains(hourly, daily)+" AND start_s >= ? AND start_s < ?"), from, to); err != nil {
			return err
		}
		w := &writing{db: db, ctx: ctx, tx: tx}
		if err := w.usage(fromRows); err != nil {
			return err
		}
		days++
		return db.rebuildMonth(ctx, tx, day)
	})
	return days, err
}

// rebuildMonth sums a month's days.
func (db *DB) rebuildMonth(ctx context.Context, tx *sql.Tx, day time.Time) error {
	from, to := month(day)
	from, to = from/1e6, to/1e6
	if _, err := tx.ExecContext(ctx, db.dialect.rebind("DELETE FROM dragoman_sums WHERE "+anyTag+" AND "+grains(monthly)+" AND start_s = ?"), from); err != nil {
		return err
	}
	columns := ""
	for _, c := range sumColumns {
		columns += ", CAST(SUM(" + c + ") AS BIGINT)"
	}
	_, err := tx.ExecContext(ctx, db.dialect.rebind("INSERT INTO dragoman_sums SELECT tag, grain + 1, CAST(? AS BIGINT), dim"+columns+
		" FROM dragoman_sums WHERE "+anyTag+" AND "+grains(daily)+" AND start_s >= ? AND start_s < ? GROUP BY tag, grain, dim"), from, from, to)
	return err
}

// anyTag finds rows of all tags, and of none, by the key, which begins with the tag.
const anyTag = "tag IN (SELECT 0 UNION ALL SELECT id FROM dragoman_tags)"

// grains are the conditions of those that are given, of every set.
func grains(which ...int) string {
	var all []string
	for i := range sets {
		for _, g := range which {
			all = append(all, strconv.FormatInt(sets[i].grain+int64(g), 10))
		}
	}
	return "grain IN (" + strings.Join(all, ", ") + ")"
}

// eachDay calls f with each day from the oldest row's on, in a transaction in which no sums change. The day of the oldest row, which may have lost
// rows to retention, is left out unless nothing was ever removed.
func (db *DB) eachDay(ctx context.Context, f func(tx *sql.Tx, day time.Time, k *known) error) error {
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	var oldest, newest, sumsFrom sql.NullInt64
	err := db.scanOne(ctx, "SELECT MIN(at_us), MAX(at_us) FROM (SELECT MIN(at_us) AS at_us FROM dragoman_requests UNION ALL SELECT MAX(at_us) FROM dragoman_requests UNION ALL SELECT MIN(at_us) FROM dragoman_attempts UNION ALL SELECT MAX(at_us) FROM dragoman_attempts) x", nil, &oldest, &newest)
	if err == nil {
		err = db.scanOne(ctx, "SELECT MIN(start_s) FROM dragoman_sums WHERE tag = 0 AND grain = 2", nil, &sumsFrom)
	}
	if err != nil || !oldest.Valid {
		return err
	}
	day := time.UnixMicro(oldest.Int64).UTC().Truncate(24 * time.Hour)
	if sumsFrom.Valid && sumsFrom.Int64 < day.Unix() {
		day = day.AddDate(0, 0, 1) // rows of this day may be gone
	}
	k := &known{}
	for ; day.UnixMicro() <= newest.Int64; day = day.AddDate(0, 0, 1) {
		err := db.writeTx(ctx, func(tx *sql.Tx) error {
			if db.dialect.postgres {
				if _, err := tx.ExecContext(ctx, "LOCK TABLE dragoman_sums IN EXCLUSIVE MODE"); err != nil {
					return err
				}
			}
			if err := k.load(ctx, tx); err != nil {
				return err
			}
			return f(tx, day, k)
		})
		if err != nil {
			return fmt.Errorf("the ledger's database: %w", err)
		}
	}
	return nil
}

// sumDay sums the rows of a day, by hour and by day.
func (db *DB) sumDay(ctx context.Context, tx *sql.Tx, day time.Time, k *known, charged func(at time.Time, id, price string, cost int64, u *chat.Usage)) (usageSums, int64, error) {
	out, n := hourSums{}, int64(0)
	from, to := day.UnixMicro(), day.AddDate(0, 0, 1).UnixMicro()
	for _, query := range []string{
		`SELECT at_us, id, dim, 1, outcome, refused, input, cache_read, cache_write, cache_write_1h, output, cost, price, estimated, saved_tokens, saved_cost, duration_us, tags
		FROM dragoman_requests WHERE at_us >= ? AND at_us < ?`,
		`SELECT at_us, request_id, dim, 0, outcome, 0, input, cache_read, cache_write, cache_write_1h, output, cost, price, 0, 0, 0, 0, tags
		FROM dragoman_attempts WHERE at_us >= ? AND at_us < ?`} {
		rows, err := tx.QueryContext(ctx, db.dialect.rebind(query), from, to)
		if err != nil {
			return nil, 0, err
		}
		for rows.Next() {
			n++
			if err := k.sumRow(rows, out, charged); err != nil {
				rows.Close()
				return nil, 0, err
			}
		}
		if err := rows.Close(); err != nil {
			return nil, 0, err
		}
	}
	return out.rows(daily), n, nil
}

func (k *known) sumRow(rows *sql.Rows, out hourSums, charged func(at time.Time, id, price string, cost int64, u *chat.Usage)) error {
	var at, dim, request, refused, estimated, savedTokens, savedCost, duration int64
	var id, outcome, tags string
	var cost sql.NullInt64
	var price sql.NullString
	var u chat.Usage
	if err := rows.Scan(&at, &id, &dim, &request, &outcome, &refused, &u.Input, &u.CacheRead, &u.CacheWrite, &u.CacheWrite1h, &u.Output, &cost, &price,
		&estimated, &savedTokens, &savedCost, &duration, &tags); err != nil {
		return err
	}
	t := time.UnixMicro(at).UTC()
	s := sums{sumAttempts: 1 - request}
	if request == 1 {
		s = sums{sumRequests: 1, sumErrors: number(outcome != "ok"), sumRefused: refused, sumHits: number(savedTokens > 0), sumEstimated: estimated,
			sumSavedTokens: savedTokens, sumSavedCost: savedCost, sumDuration: duration}
	}
	s.usage(&u, cost.Int64, cost.Valid)
	if price.Valid && charged != nil {
		charged(t, id, price.String, cost.Int64, &u)
	}
	of, ok := k.dims[dim]
	if !ok {
		return fmt.Errorf("the row %s has the dim %d, which is not there", id, dim)
	}
	out.spread(k.tags, tagsOf(tags), t, of, &s)
	return nil
}

// keptDay are the sums that the database has of a day.
func (db *DB) keptDay(ctx context.Context, tx *sql.Tx, day time.Time) (usageSums, error) {
	columns := ""
	for _, c := range sumColumns {
		columns += ", " + c
	}
	rows, err := tx.QueryContext(ctx, db.dialect.rebind("SELECT tag, grain, start_s, dim"+columns+" FROM dragoman_sums WHERE "+anyTag+" AND "+grains(hourly, daily)+" AND start_s >= ? AND start_s < ?"),
		day.Unix(), day.AddDate(0, 0, 1).Unix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := usageSums{}
	for rows.Next() {
		var k usageKey
		s := &sums{}
		into := []any{&k.tag, &k.grain, &k.start, &k.dim}
		for i := range s {
			into = append(into, &s[i])
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		out[k] = s
	}
	return out, rows.Err()
}
