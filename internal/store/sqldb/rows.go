package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
)

// Charges calls each with every request and every failed attempt of a period, in the order of their time, requests first.
func (db *DB) Charges(ctx context.Context, since, until time.Time, each func(*ledger.Charge) error) error {
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	const requests = `SELECT r.at_us, r.id, r.attempts, 1, d.organisation, d.tenant, d.team, d.user_id, d.key_name, d.route, r.asked, d.model, d.provider, r.cluster,
		r.endpoint, r.stream, r.cache, r.status, r.outcome, r.reason, r.input, r.cache_read, r.cache_write, r.cache_write_1h, r.output, r.reasoning,
		r.estimated, r.cost, r.price, r.duration_us, r.ttft_us, r.saved_tokens, r.saved_cost, r.tags
		FROM dragoman_requests r JOIN dragoman_dims d ON d.id = r.dim WHERE r.at_us >= ? AND r.at_us < ? ORDER BY r.at_us, r.id`
	const attempts = `SELECT a.at_us, a.request_id, a.number, 0, d.organisation, d.tenant, d.team, d.user_id, d.key_name, d.route, '', d.model, d.provider, a.cluster,
		'', 0, '', a.status, a.outcome, '', a.input, a.cache_read, a.cache_write, a.cache_write_1h, a.output, a.reasoning,
		0, a.cost, a.price, a.duration_us, 0, 0, 0, a.tags
		FROM dragoman_attempts a JOIN dragoman_dims d ON d.id = a.dim WHERE a.at_us >= ? AND a.at_us < ? ORDER BY a.at_us, a.request_id, a.number`
	for _, query := range []string{requests, attempts} {
		rows, err := db.query(ctx, query, since.UnixMicro(), until.UnixMicro())
		if err != nil {
			return fmt.Errorf("the ledger's database: %w", err)
		}
		if err := eachCharge(rows, each); err != nil {
			return err
		}
	}
	return nil
}

func eachCharge(rows *sql.Rows, each func(*ledger.Charge) error) error {
	defer rows.Close()
	for rows.Next() {
		var c ledger.Charge
		var at int64
		var final, stream, estimated int
		var cost sql.NullInt64
		var price sql.NullString
		var tags string
		err := rows.Scan(&at, &c.RequestID, &c.Attempt, &final, &c.Organisation, &c.Tenant, &c.Team, &c.User, &c.Key, &c.Route, &c.Asked, &c.Model, &c.Provider,
			&c.Cluster, &c.Endpoint, &stream, &c.Cache, &c.Status, &c.Outcome, &c.Reason, &c.Input, &c.CacheRead, &c.CacheWrite, &c.CacheWrite1h, &c.Output,
			&c.Reasoning, &estimated, &cost, &price, &c.DurationUS, &c.TTFTUS, &c.SavedTokens, &c.Saved, &tags)
		if err != nil {
			return fmt.Errorf("the ledger's database: %w", err)
		}
		c.Time, c.Final, c.Stream, c.Estimated = time.UnixMicro(at).UTC(), final == 1, stream == 1, estimated == 1
		c.Price, c.Tags = price.String, tagsOf(tags)
		if cost.Valid {
			m := config.MicroUSD(cost.Int64)
			c.Cost = &m
		}
		if err := each(&c); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("the ledger's database: %w", err)
	}
	return nil
}

// Prices are the prices that charges were made with, by their version.
func (db *DB) Prices(ctx context.Context) (map[string]*config.Price, error) {
	if err := db.Migrate(ctx); err != nil {
		return nil, err
	}
	rows, err := db.query(ctx, "SELECT version, input, output, cache_read, cache_write, cache_write_1h, long_above, long_input, long_output, long_cache_read, long_cache_write, long_cache_write_1h FROM dragoman_prices")
	if err != nil {
		return nil, fmt.Errorf("the ledger's database: %w", err)
	}
	defer rows.Close()
	out := map[string]*config.Price{}
	for rows.Next() {
		var version string
		p, long := &config.Price{}, [6]sql.NullInt64{}
		if err := rows.Scan(&version, &p.Input, &p.Output, &p.CacheRead, &p.CacheWrite, &p.CacheWrite1h, &long[0], &long[1], &long[2], &long[3], &long[4], &long[5]); err != nil {
			return nil, fmt.Errorf("the ledger's database: %w", err)
		}
		if long[0].Valid {
			m := func(i int) config.MicroUSD { return config.MicroUSD(long[i].Int64) }
			p.Above, p.Long = long[0].Int64, &config.Price{Input: m(1), Output: m(2), CacheRead: m(3), CacheWrite: m(4), CacheWrite1h: m(5)}
		}
		out[version] = p
	}
	return out, rows.Err()
}
