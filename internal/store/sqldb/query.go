package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dragoman/internal/ledger"
)

// columnOf is the column of dragoman_dims for a dimension.
func columnOf(dimension string) string {
	switch dimension {
	case "user":
		return "user_id"
	case "key":
		return "key_name"
	default:
		return dimension
	}
}

// span is a part of a period: rows of one grain.
type span struct {
	grain    int
	from, to int64 // seconds
}

// spans covers a period with as few rows as it takes: whole months where there are, days and hours at their edges. by is the finest period
// that is to be told apart, "" for none.
func spans(since, until time.Time, by string) []span {
	var out []span
	add := func(grain int, from, to time.Time) {
		if n := len(out); from.Before(to) {
			if n > 0 && out[n-1].grain == grain && out[n-1].to == from.Unix() {
				out[n-1].to = to.Unix()
				return
			}
			out = append(out, span{grain, from.Unix(), to.Unix()})
		}
	}
	for at := since.UTC(); at.Before(until); {
		day := at.Truncate(24 * time.Hour)
		first := time.Date(at.Year(), at.Month(), 1, 0, 0, 0, 0, time.UTC)
		grain, to := hourly, minTime(day.AddDate(0, 0, 1), until)
		switch {
		case by == "hour":
			to = until
		case by != "day" && at.Equal(first) && !first.AddDate(0, 1, 0).After(until):
			grain, to = monthly, first.AddDate(0, 1, 0)
		case at.Equal(day) && !day.AddDate(0, 0, 1).After(until):
			grain, to = daily, day.AddDate(0, 0, 1)
		}
		add(grain, at, to)
		at = to
	}
	return out
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// finest is the finest period that a query tells apart.
func finest(by []string) string {
	for _, p := range ledger.Periods {
		if slices.Contains(by, p) {
			return p
		}
	}
	return ""
}

// Usage answers a query from the sums. It sees what Apply has stored.
func (db *DB) Usage(ctx context.Context, q ledger.Query) (*ledger.Usage, error) {
	if err := q.Check(); err != nil {
		return nil, err
	}
	if err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	text, args := usageQuery(&q)
	rows, err := db.query(ctx, text, args...)
	if err != nil {
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	defer rows.Close()
	merged := map[string]*ledger.Row{}
	var order []*ledger.Row
	for rows.Next() {
		start, row := int64(0), &ledger.Row{Group: make([]string, len(q.By))}
		into := []any{&start}
		for i, by := range q.By {
			if !slices.Contains(ledger.Periods, by) {
				into = append(into, &row.Group[i])
			}
		}
		into = append(into, &row.Requests, &row.Errors, &row.Refused, &row.Hits, &row.Attempts, &row.Input, &row.CacheRead, &row.CacheWrite, &row.Output,
			&row.Cost, &row.Unpriced, &row.Estimated, &row.SavedTokens, &row.Saved, &row.DurationUS)
		if err := rows.Scan(into...); err != nil {
			return nil, fmt.Errorf("the ledger's database: %w", err)
		}
		for i, by := range q.By {
			if slices.Contains(ledger.Periods, by) {
				row.Group[i] = period(by, start)
			}
		}
		key := strings.Join(row.Group, "\x00")
		if have := merged[key]; have != nil {
			have.Add(row)
			continue
		}
		merged[key] = row
		order = append(order, row)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	return answer(&q, order), nil
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
	at := slices.IndexFunc(q.By, func(by string) bool { return slices.Contains(ledger.Periods, by) })
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

// usageQuery sums by the ids first, and looks their names up for what is left: most of the work is on integers. Where times are told apart
// there is nothing to sum first, and where no names matter there are sums of all.
func usageQuery(q *ledger.Query) (text string, args []any) {
	timed, named := finest(q.By) != "", names(q)
	tagged := slices.Contains(q.By, ledger.TagDimension)
	inner, grain := []string{"dim"}, 0
	if !named {
		grain = together
	}
	if timed {
		inner = append(inner, "start_s")
	}
	if tagged {
		inner = append(inner, "tag")
	}
	var parts []string
	for _, s := range spans(q.Since, q.Until, finest(q.By)) {
		tag := "tag = 0"
		switch values := q.Where[ledger.TagDimension]; {
		case tagged:
			tag = "tag > 0"
		case len(values) > 0:
			tag = "tag = (SELECT id FROM dragoman_tags WHERE tag = ?)"
			args = append(args, values[0])
		}
		parts = append(parts, "SELECT "+strings.Join(append(slices.Clone(inner), sumColumns...), ", ")+" FROM dragoman_usage WHERE "+tag+" AND grain = ? AND start_s >= ? AND start_s < ?")
		args = append(args, s.grain+grain, s.from, s.to)
	}
	text = strings.Join(parts, " UNION ALL ")
	if !timed && named {
		text = "SELECT " + strings.Join(append(slices.Clone(inner), summed("")...), ", ") + " FROM (" + text + ") s GROUP BY " + strings.Join(inner, ", ")
	}
	return outer(q, text, args)
}

// names says whether a query tells apart or filters by anything but times and tags.
func names(q *ledger.Query) bool {
	for _, d := range ledger.Dimensions {
		if _, filtered := q.Where[d]; filtered || slices.Contains(q.By, d) {
			return true
		}
	}
	return false
}

// outer joins the names, filters and groups by them.
func outer(q *ledger.Query, inner string, args []any) (string, []any) {
	group := []string{"0"}
	if finest(q.By) != "" {
		group[0] = "u.start_s"
	}
	joins := ""
	if names(q) {
		joins = " JOIN dragoman_dims d ON d.id = u.dim"
	}
	for _, by := range q.By {
		switch {
		case slices.Contains(ledger.Periods, by):
		case by == ledger.TagDimension:
			joins += " JOIN dragoman_tags t ON t.id = u.tag"
			group = append(group, "t.tag")
		default:
			group = append(group, "d."+columnOf(by))
		}
	}
	where := ""
	for _, name := range ledger.Dimensions {
		values, ok := q.Where[name]
		if !ok {
			continue
		}
		where += " AND d." + columnOf(name) + " IN (?" + strings.Repeat(",?", len(values)-1) + ")"
		for _, v := range values {
			args = append(args, v)
		}
	}
	text := "SELECT " + strings.Join(append(slices.Clone(group), summed("u.")...), ", ") + " FROM (" + inner + ") u" + joins
	if where != "" {
		text += " WHERE" + strings.TrimPrefix(where, " AND")
	}
	if finest(q.By) == "" {
		group = group[1:]
	}
	if len(group) > 0 {
		return text + " GROUP BY " + strings.Join(group, ", "), args
	}
	return text + " HAVING COUNT(*) > 0", args
}

// summed are the sums of the columns as integers (PostgreSQL makes numerics of them).
func summed(prefix string) []string {
	out := make([]string, len(sumColumns))
	for i, c := range sumColumns {
		out[i] = "CAST(SUM(" + prefix + c + ") AS BIGINT) AS " + c
	}
	return out
}

// Spent is what a level has used since a moment. It sees what Apply has stored: ask after ledger.Flush.
func (db *DB) Spent(ctx context.Context, level ledger.Level, since time.Time) (out ledger.Spent, err error) {
	if err := db.Migrate(ctx); err != nil {
		return out, err
	}
	names, values := levelFilter(level)
	whole := since.UTC().Add(time.Hour - 1).Truncate(time.Hour)
	// The hour in which it begins is summed from its rows.
	for _, t := range []struct{ table, requests string }{{"dragoman_requests", "COUNT(*)"}, {"dragoman_attempts", "0"}} {
		if !since.Before(whole) {
			break
		}
		err := db.addSpent(ctx, &out, "SELECT COALESCE(SUM(x.cost), 0), COALESCE(SUM(x.input + x.cache_read + x.cache_write + x.cache_write_1h + x.output), 0), "+t.requests+
			", COALESCE(SUM(CASE WHEN x.cost IS NULL THEN 1 ELSE 0 END), 0) FROM "+t.table+" x JOIN dragoman_dims d ON d.id = x.dim WHERE x.at_us >= ? AND x.at_us < ?"+names,
			append([]any{since.UnixMicro(), whole.UnixMicro()}, values...))
		if err != nil {
			return out, err
		}
	}
	if level == (ledger.Level{}) {
		return out, db.spentTogether(ctx, &out, whole)
	}
	var parts []string
	var args []any
	for _, s := range spans(whole, time.Now().UTC().AddDate(0, 1, 0).Truncate(time.Hour), "") {
		parts = append(parts, "SELECT dim, cost, input + cache_read + cache_write + output AS tokens, requests, unpriced FROM dragoman_usage WHERE tag = 0 AND grain = ? AND start_s >= ? AND start_s < ?")
		args = append(args, s.grain, s.from, s.to)
	}
	if len(parts) == 0 {
		return out, nil
	}
	err = db.addSpent(ctx, &out, "SELECT COALESCE(SUM(x.cost), 0), COALESCE(SUM(x.tokens), 0), COALESCE(SUM(x.requests), 0), COALESCE(SUM(x.unpriced), 0) FROM ("+
		strings.Join(parts, " UNION ALL ")+") x JOIN dragoman_dims d ON d.id = x.dim WHERE true"+names, append(args, values...))
	return out, err
}

// spentTogether adds what everybody has used since a whole hour.
func (db *DB) spentTogether(ctx context.Context, out *ledger.Spent, whole time.Time) error {
	for _, s := range spans(whole, time.Now().UTC().AddDate(0, 1, 0).Truncate(time.Hour), "") {
		err := db.addSpent(ctx, out, "SELECT COALESCE(SUM(cost), 0), COALESCE(SUM(input + cache_read + cache_write + output), 0), COALESCE(SUM(requests), 0), COALESCE(SUM(unpriced), 0) FROM dragoman_usage WHERE tag = 0 AND grain = ? AND start_s >= ? AND start_s < ?",
			[]any{s.grain + together, s.from, s.to})
		if err != nil {
			return err
		}
	}
	return nil
}

func (db *DB) addSpent(ctx context.Context, out *ledger.Spent, query string, args []any) error {
	var s ledger.Spent
	if err := db.scanOne(ctx, query, args, &s.Cost, &s.Tokens, &s.Requests, &s.Unpriced); err != nil {
		return fmt.Errorf("the ledger's database: %w", err)
	}
	out.Cost += s.Cost
	out.Tokens += s.Tokens
	out.Requests += s.Requests
	out.Unpriced += s.Unpriced
	return nil
}

func levelFilter(l ledger.Level) (names string, values []any) {
	for _, f := range []struct{ column, value string }{{"organisation", l.Organisation}, {"tenant", l.Tenant}, {"team", l.Team}, {"user_id", l.User},
		{"key_name", l.Key}, {"model", l.Model}} {
		if f.value != "" {
			names += " AND d." + f.column + " = ?"
			values = append(values, f.value)
		}
	}
	if l.Key != "" && l.Team == "" { // a key of the tenant itself: one of a team may have the same name
		names += " AND d.team = ''"
	}
	return names, values
}
