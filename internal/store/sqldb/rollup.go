package sqldb

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"dragoman/internal/ledger"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// Grains of sums. Months keep a question about a year as cheap as one about a day: none reads more than two months of days and two days of hours.
const (
	hourly = iota + 1
	daily
	monthly

	// Of all dims together (dim 0), so that a question that tells none apart reads a row for each hour, day or month.
	together = 10
)

// dim is one row of dragoman_dims.
type dim struct{ organisation, tenant, team, user, key, route, model, provider string }

// strange is the model of requests that failed for a name that no catalogue knows: clients can make up any number of those.
const strange = "(unknown)"

func dimOf(r *account.Record) dim {
	return dimFor(r, r.Provider, r.Model, r.Known, r.Outcome == "ok")
}

func dimOfAttempt(r *account.Record, a *account.Attempt) dim {
	return dimFor(r, a.Provider, a.Model, a.Known, r.Outcome == "ok")
}

func dimFor(r *account.Record, provider, model string, known, ok bool) dim {
	d := dim{r.Organisation, r.Tenant, r.Team, r.User, r.Key, r.Route, model, provider}
	if !known && !ok && model != "" {
		if d.route == model || d.route == r.Asked {
			d.route = strange
		}
		d.model = strange
	}
	return d
}

// usageKey is one row of dragoman_usage.
type usageKey struct {
	tag   int64
	grain int64
	start int64 // seconds
	dim   int64
}

// sums are the columns of dragoman_usage in their order.
type sums [15]int64

const (
	sumRequests = iota
	sumErrors
	sumRefused
	sumHits
	sumAttempts
	sumInput
	sumCacheRead
	sumCacheWrite
	sumOutput
	sumCost
	sumUnpriced
	sumEstimated
	sumSavedTokens
	sumSavedCost
	sumDuration
)

var sumColumns = []string{"requests", "errors", "refused", "hits", "attempts", "input", "cache_read", "cache_write", "output", "cost", "unpriced", "estimated",
	"saved_tokens", "saved_cost", "duration_us"}

func (s *sums) usage(u *chat.Usage, cost int64, priced bool) {
	s[sumInput] += u.Input
	s[sumCacheRead] += u.CacheRead
	s[sumCacheWrite] += cacheWrites(u)
	s[sumOutput] += u.Output
	s[sumCost] += cost
	s[sumUnpriced] += number(!priced)
}

func (s *sums) add(o *sums) {
	for i := range s {
		s[i] += o[i]
	}
}

type usageSums map[usageKey]*sums

// add adds a request and its attempts. Their dims and tags must be known.
func (db *DB) add(to usageSums, r *account.Record) {
	s := sums{sumRequests: 1, sumErrors: number(r.Outcome != "ok"), sumRefused: number(r.Refused), sumHits: number(r.SavedTokens > 0),
		sumEstimated: number(r.Estimated), sumSavedTokens: r.SavedTokens, sumSavedCost: int64(r.Saved), sumDuration: r.Duration.Microseconds()}
	s.usage(&r.Usage, int64(r.Cost), r.Priced)
	db.spread(to, r, r.Time, db.dims[dimOf(r)], &s)
	for i := range r.Failed {
		a := &r.Failed[i]
		s := sums{sumAttempts: 1}
		s.usage(&a.Usage, int64(a.Cost), a.Priced)
		db.spread(to, r, a.Time, db.dims[dimOfAttempt(r, a)], &s)
	}
}

// spread adds to every grain, for all and for each tag.
func (db *DB) spread(to usageSums, r *account.Record, at time.Time, dim int64, s *sums) {
	starts := startsOf(at)
	for i := -1; i < len(r.Tags); i++ {
		tag := int64(0)
		if i >= 0 {
			if slices.Contains(r.Tags[:i], r.Tags[i]) {
				continue
			}
			tag = db.tags[r.Tags[i]]
		}
		to.add(tag, starts[:], dim, s)
	}
}

// add adds to the hour, the day and so on of starts, for the dim and for all together.
func (to usageSums) add(tag int64, starts []int64, dim int64, s *sums) {
	for g, start := range starts {
		for _, k := range [...]usageKey{{tag, int64(g) + hourly, start, dim}, {tag, int64(g) + hourly + together, start, 0}} {
			if to[k] == nil {
				to[k] = &sums{}
			}
			to[k].add(s)
		}
	}
}

// startsOf are the beginnings of the hour, day and month of a time, in seconds.
func startsOf(t time.Time) [3]int64 {
	s := t.Unix()
	from, _ := month(t)
	return [3]int64{s - s%3600, s - s%86400, from / 1e6}
}

var usageTable = newTable("INSERT INTO dragoman_usage (tag, grain, start_s, dim, "+strings.Join(sumColumns, ", ")+")", 4+len(sumColumns), upsert())

func upsert() string {
	b := " ON CONFLICT (tag, grain, start_s, dim) DO UPDATE SET "
	for i, c := range sumColumns {
		if i > 0 {
			b += ", "
		}
		b += fmt.Sprintf("%s = dragoman_usage.%s + excluded.%s", c, c, c)
	}
	return b
}

// usage adds sums, in the order of their keys: replicas that write at the same time never wait for each other in a circle (C7).
func (w *writing) usage(all usageSums) error {
	keys := make([]usageKey, 0, len(all))
	for k := range all {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b usageKey) int {
		return cmp.Or(cmp.Compare(a.tag, b.tag), cmp.Compare(a.grain, b.grain), cmp.Compare(a.start, b.start), cmp.Compare(a.dim, b.dim))
	})
	args := make([]any, 0, len(keys)*usageTable.columns)
	for _, k := range keys {
		args = append(args, k.tag, k.grain, k.start, k.dim)
		for _, n := range all[k] {
			args = append(args, n)
		}
	}
	_, err := w.rows(&usageTable, args)
	return err
}

// maxNames bounds what is remembered of the database's names.
const maxNames = 100_000

// prepare makes sure that the names and prices of a batch, and the partitions that its rows go to, are there. It is no part of the
// transaction: names without rows do no harm, and what is remembered of them must not be undone.
func (db *DB) prepare(ctx context.Context, b *ledger.Batch) error {
	if len(db.dims) > maxNames || len(db.tags) > maxNames || len(db.prices) > maxNames {
		db.dims, db.tags, db.prices = map[dim]int64{}, map[string]int64{}, map[string]bool{}
	}
	for i := range b.Records {
		r := b.Records[i].Record
		if err := db.name(ctx, dimOf(r)); err != nil {
			return err
		}
		for j := range r.Failed {
			if err := db.name(ctx, dimOfAttempt(r, &r.Failed[j])); err != nil {
				return err
			}
		}
		for _, t := range r.Tags {
			if err := db.nameTag(ctx, t); err != nil {
				return err
			}
		}
	}
	if err := db.keepPrices(ctx, b); err != nil {
		return err
	}
	return db.partition(ctx, b)
}

const dimColumns = "organisation, tenant, team, user_id, key_name, route, model, provider"

// name finds or makes a dim's id.
func (db *DB) name(ctx context.Context, d dim) error {
	if _, ok := db.dims[d]; ok {
		return nil
	}
	values := []any{d.organisation, d.tenant, d.team, d.user, d.key, d.route, d.model, d.provider}
	id, err := db.identify(ctx, "SELECT id FROM dragoman_dims WHERE organisation = ? AND tenant = ? AND team = ? AND user_id = ? AND key_name = ? AND route = ? AND model = ? AND provider = ?",
		"INSERT INTO dragoman_dims ("+dimColumns+") VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", values)
	if err == nil {
		db.dims[d] = id
	}
	return err
}

func (db *DB) nameTag(ctx context.Context, tag string) error {
	if _, ok := db.tags[tag]; ok {
		return nil
	}
	id, err := db.identify(ctx, "SELECT id FROM dragoman_tags WHERE tag = ?", "INSERT INTO dragoman_tags (tag) VALUES (?) ON CONFLICT DO NOTHING", []any{tag})
	if err == nil {
		db.tags[tag] = id
	}
	return err
}

// identify selects, inserts when there is nothing, and selects again: another replica may have been faster.
func (db *DB) identify(ctx context.Context, choose, insert string, values []any) (id int64, err error) {
	for range 2 {
		s, err := db.stmt(ctx, choose)
		if err != nil {
			return 0, err
		}
		if err = s.QueryRowContext(ctx, values...).Scan(&id); err != sql.ErrNoRows {
			return id, err
		}
		if s, err = db.stmt(ctx, insert); err != nil {
			return 0, err
		}
		if _, err := s.ExecContext(ctx, values...); err != nil {
			return 0, err
		}
	}
	s, err := db.stmt(ctx, choose)
	if err == nil {
		err = s.QueryRowContext(ctx, values...).Scan(&id)
	}
	return id, err
}

func (db *DB) keepPrices(ctx context.Context, b *ledger.Batch) error {
	for version, p := range b.Prices {
		if db.prices[version] {
			continue
		}
		s, err := db.stmt(ctx, "INSERT INTO dragoman_prices VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING")
		if err != nil {
			return err
		}
		row := []any{version, int64(p.Input), int64(p.Output), int64(p.CacheRead), int64(p.CacheWrite), int64(p.CacheWrite1h), nil, nil, nil, nil, nil, nil}
		if l := p.Long; l != nil {
			for i, n := range []int64{p.Above, int64(l.Input), int64(l.Output), int64(l.CacheRead), int64(l.CacheWrite), int64(l.CacheWrite1h)} {
				row[6+i] = n
			}
		}
		if _, err := s.ExecContext(ctx, row...); err != nil {
			return err
		}
		db.prices[version] = true
	}
	return nil
}
