package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"dragoman/internal/ledger"
)

// Usage answers a query from the sums. It sees what Apply has stored.
func (db *DB) Usage(ctx context.Context, q ledger.Query) (*ledger.Usage, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	rows, err := db.sum(ctx, newQuestion(q.By, q.Where), q.Since, q.Until, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	return answer(&q, rows), nil
}

// chunkRows is about how many sums a question that tells times apart reads before it looks whether it has its limit.
const chunkRows = 12_000

// sum makes the groups of a question's period, in any order. It reads in one transaction: what is added and what is taken away belong together.
// Where an answer is cut off after so many groups in the order of time, it does not read on.
func (db *DB) sum(ctx context.Context, q *question, since, until time.Time, limit int) (rows []*ledger.Row, err error) {
	tx, err := db.read.BeginTx(ctx, db.dialect.snapshot())
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	a := &adding{db: db, ctx: ctx, tx: tx, q: q, groups: map[group]*ledger.Row{}, number: map[string]int32{}}
	stored, err := a.stored()
	if err != nil {
		return nil, err
	}
	for at, step := since, q.step(until.Sub(since)); at.Before(until); {
		to := until
		if step {
			n, err := a.met()
			if err != nil {
				return nil, err
			}
			to = minTime(until, q.after(at, max(1, chunkRows/max(1, n))))
		}
		c := cover{by: q.finest, hours: stored.from}
		end := to
		if to.Equal(until) {
			end = q.openEnd(to, stored)
		}
		for _, p := range parts(q.set, c.period(at, end)) {
			if err := a.add(&p); err != nil {
				return nil, err
			}
		}
		if at = to; step && a.count() > limit {
			break
		}
	}
	return a.rows()
}

// step says whether a period is better summed piece by piece: the answer is ordered by the finest period, and may be cut off early.
func (q *question) step(length time.Duration) bool {
	at := slices.IndexFunc(q.by, isPeriod)
	return at >= 0 && q.by[at] == q.finest && len(q.by) > 1 && length > 2*day
}

// after is the beginning of the n-th finest period after a time.
func (q *question) after(at time.Time, n int) time.Time {
	switch q.finest {
	case "hour":
		return at.Add(time.Duration(n) * time.Hour)
	case "day":
		return at.Truncate(day).AddDate(0, 0, n)
	default:
		return monthOf(at).AddDate(0, n, 0)
	}
}

func isPeriod(by string) bool { return slices.Contains(ledger.Periods, by) }

// hours are the first and the last hour that the database has sums of.
type hours struct{ from, last int64 }

// openEnd is the end of the month or day in which a period ends, when nothing is stored after it: its whole sum is read instead of its hours.
func (q *question) openEnd(until time.Time, stored hours) time.Time {
	switch {
	case stored.last >= until.Unix() || q.finest == "hour":
		return until
	case q.finest == "day":
		return until.Add(day - 1).Truncate(day)
	case until.Equal(monthOf(until)):
		return until
	default:
		return monthOf(until).AddDate(0, 1, 0)
	}
}

// snapshot is how a transaction sees one state. SQLite's do so by themselves.
func (d dialect) snapshot() *sql.TxOptions {
	if !d.postgres {
		return nil
	}
	return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
}

// adding is a question on its way.
type adding struct {
	db     *DB
	ctx    context.Context
	tx     *sql.Tx
	q      *question
	groups map[group]*ledger.Row
	labels [setCount]map[int64]int32 // of the ids of a set, once it is read
	number map[string]int32          // of labels
	names  [][]string                // that labels stand for, in the order of question.by
}

// group is what rows have in common that are summed.
type group struct {
	shown, tag int64
	label      int32
}

func (a *adding) stored() (h hours, err error) {
	var from, last sql.NullInt64
	query := fmt.Sprintf("SELECT (SELECT MIN(start_s) FROM dragoman_sums WHERE tag = 0 AND grain = %d), (SELECT MAX(start_s) FROM dragoman_sums WHERE tag = 0 AND grain = %d)",
		sets[ofAll].grain+hourly, sets[ofAll].grain+hourly)
	err = a.tx.QueryRowContext(a.ctx, query).Scan(&from, &last)
	if !from.Valid { // no hours: nothing is known of what was, and nothing is taken away
		const never = 1 << 62
		return hours{never, never}, err
	}
	return hours{from.Int64, last.Int64}, err
}

// met is how many names a question may meet in one slice.
func (a *adding) met() (n int, err error) {
	n = 1
	if a.q.set != ofAll {
		if err := a.load(a.q.set); err != nil {
			return 0, err
		}
		n = len(a.labels[a.q.set])
	}
	if a.q.tagged {
		var tags int
		err = a.tx.QueryRowContext(a.ctx, "SELECT COUNT(*) FROM dragoman_tags").Scan(&tags)
		n *= max(1, tags)
	}
	return n, err
}

// load reads the names of a set, as far as they are told apart.
func (a *adding) load(of int) error {
	if of == ofAll || a.labels[of] != nil {
		return nil
	}
	a.labels[of] = map[int64]int32{}
	text, args := a.q.labels(of)
	var id int64
	into := []any{&id}
	names := make([]string, len(a.q.by))
	for i, by := range a.q.by {
		if by != ledger.TagDimension && !isPeriod(by) {
			into = append(into, &names[i])
		}
	}
	return eachRow(a.ctx, a.tx, a.db.dialect.rebind(text), args, func(rows *sql.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		key := strings.Join(names, "\x00")
		n, ok := a.number[key]
		if !ok {
			n = int32(len(a.names))
			a.number[key], a.names = n, append(a.names, slices.Clone(names))
		}
		a.labels[of][id] = n
		return nil
	})
}

// add adds a part's rows to their groups, or takes them away.
func (a *adding) add(p *part) error {
	if err := a.load(p.set); err != nil {
		return err
	}
	text, args := a.q.statement(p)
	var g group
	var dim int64
	var row ledger.Row
	into := []any{&g.shown, &g.tag, &dim, &row.Requests, &row.Errors, &row.Refused, &row.Hits, &row.Attempts, &row.Input, &row.CacheRead, &row.CacheWrite, &row.Output,
		(*int64)(&row.Cost), &row.Unpriced, &row.Estimated, &row.SavedTokens, (*int64)(&row.Saved), &row.DurationUS}
	return eachRow(a.ctx, a.tx, a.db.dialect.rebind(text), args, func(rows *sql.Rows) error {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if g.label = 0; p.set != ofAll {
			g.label = a.labels[p.set][dim]
		}
		have := a.groups[g]
		if have == nil {
			have = &ledger.Row{}
			a.groups[g] = have
		}
		if p.minus {
			have.Subtract(&row)
		} else {
			have.Add(&row)
		}
		return nil
	})
}

// count is how many groups there are so far of which something is left: every sum is of requests or of attempts.
func (a *adding) count() (n int) {
	for _, r := range a.groups {
		if r.Requests != 0 || r.Attempts != 0 {
			n++
		}
	}
	return n
}

// rows are these groups with their names.
func (a *adding) rows() ([]*ledger.Row, error) {
	tags := map[int64]string{}
	if a.q.tagged {
		err := eachRow(a.ctx, a.tx, "SELECT id, tag FROM dragoman_tags", nil, func(rows *sql.Rows) error {
			var id int64
			var tag string
			err := rows.Scan(&id, &tag)
			tags[id] = tag
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]*ledger.Row, 0, len(a.groups))
	for g, r := range a.groups {
		if r.Requests == 0 && r.Attempts == 0 {
			continue
		}
		r.Group = make([]string, len(a.q.by))
		if len(a.names) > 0 {
			copy(r.Group, a.names[g.label])
		}
		for i, by := range a.q.by {
			switch {
			case isPeriod(by):
				r.Group[i] = period(by, g.shown)
			case by == ledger.TagDimension:
				r.Group[i] = tags[g.tag]
			}
		}
		out = append(out, r)
	}
	return out, nil
}

// period is a row's start as the group that it belongs to.
func period(by string, start int64) string {
	t := time.Unix(start, 0).UTC()
	switch by {
	case "hour":
		return t.Format("2006-01-02T15:04Z")
	case "day":
		return t.Format(time.DateOnly)
	default:
		return t.Format("2006-01")
	}
}

// answer orders the groups: by their period where they have one, else the dearest first.
func answer(q *ledger.Query, order []*ledger.Row) *ledger.Usage {
	u := &ledger.Usage{By: q.By, Since: q.Since, Until: q.Until}
	at := slices.IndexFunc(q.By, isPeriod)
	slices.SortFunc(order, func(a, b *ledger.Row) int {
		if at >= 0 && a.Group[at] != b.Group[at] {
			return strings.Compare(a.Group[at], b.Group[at])
		}
		if a.Cost != b.Cost {
			return int(min(max(b.Cost-a.Cost, -1), 1))
		}
		if a.Requests != b.Requests {
			return int(min(max(b.Requests-a.Requests, -1), 1))
		}
		return slices.Compare(a.Group, b.Group)
	})
	if u.Truncated = len(order) > q.Limit; u.Truncated {
		order = order[:q.Limit]
	}
	u.Rows = make([]ledger.Row, len(order))
	for i, r := range order {
		u.Rows[i] = *r
		u.Total.Add(r)
	}
	return u
}
