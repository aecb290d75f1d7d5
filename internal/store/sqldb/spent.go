package sqldb

import (
	"context"
	"fmt"
	"time"

	"dragoman/internal/ledger"
)

// Spent is what a level has used since a moment. It sees what Apply has stored: ask after ledger.Flush.
func (db *DB) Spent(ctx context.Context, level ledger.Level, since time.Time) (out ledger.Spent, err error) {
	if err := db.Migrate(ctx); err != nil {
		return out, err
	}
	whole := since.UTC().Add(time.Hour - 1).Truncate(time.Hour)
	if since.Before(whole) { // the hour in which it begins is summed from its rows
		if err := db.spentInRows(ctx, &out, level, since, whole); err != nil {
			return out, fmt.Errorf("the ledger's database: %w", err)
		}
	}
	rows, err := db.sum(ctx, newQuestion(nil, levelFilter(level)), whole, monthOf(time.Now().UTC()).AddDate(0, 2, 0), 1)
	if err != nil {
		return out, fmt.Errorf("the ledger's database: %w", err)
	}
	for _, r := range rows {
		out.Cost += r.Cost
		out.Tokens += r.Input + r.CacheRead + r.CacheWrite + r.Output
		out.Requests += r.Requests
		out.Unpriced += r.Unpriced
	}
	return out, nil
}

func (db *DB) spentInRows(ctx context.Context, out *ledger.Spent, level ledger.Level, since, until time.Time) error {
	names, values := newQuestion(nil, levelFilter(level)).filters()
	for _, t := range []struct{ table, requests string }{{"dragoman_requests", "COUNT(*)"}, {"dragoman_attempts", "0"}} {
		var s ledger.Spent
		err := db.scanOne(ctx, "SELECT COALESCE(SUM(x.cost), 0), COALESCE(SUM(x.input + x.cache_read + x.cache_write + x.cache_write_1h + x.output), 0), "+t.requests+
			", COALESCE(SUM(CASE WHEN x.cost IS NULL THEN 1 ELSE 0 END), 0) FROM "+t.table+" x JOIN dragoman_dims d ON d.id = x.dim WHERE x.at_us >= ? AND x.at_us < ?"+names,
			append([]any{since.UnixMicro(), until.UnixMicro()}, values...), &s.Cost, &s.Tokens, &s.Requests, &s.Unpriced)
		if err != nil {
			return err
		}
		out.Cost += s.Cost
		out.Tokens += s.Tokens
		out.Requests += s.Requests
		out.Unpriced += s.Unpriced
	}
	return nil
}

// levelFilter is a level as a query's filter.
func levelFilter(l ledger.Level) map[string][]string {
	where := map[string][]string{}
	for name, value := range map[string]string{"organisation": l.Organisation, "tenant": l.Tenant, "team": l.Team, "user": l.User, "key": l.Key, "model": l.Model} {
		if value != "" {
			where[name] = []string{value}
		}
	}
	// A key or user of the tenant itself: one of a team may have the same name; and so may a user's key.
	if (l.Key != "" || l.User != "") && l.Tenant != "" {
		where["team"] = []string{l.Team}
	}
	if l.Key != "" && l.Tenant != "" {
		where["user"] = []string{l.User}
	}
	return where
}
