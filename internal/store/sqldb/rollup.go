package sqldb

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"dragoman/internal/ledger"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// Grains of sums, to which that of the set is added. Months keep a question about a year as cheap as one about a day: see slices.
const (
	hourly = iota + 1
	daily
	monthly
	grainStep = 10 // between two sets
)

// usageKey is one row of dragoman_sums.
type usageKey struct {
	tag   int64
	grain int64
	start int64 // seconds
	dim   int64
}

// sums are the columns of dragoman_sums in their order.
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

// usageSums are the rows to be.
type usageSums map[usageKey]*sums

// hourKey is what the records of a batch are summed by first: most of them share it, and every row is made of such sums.
type hourKey struct {
	tag   int64
	start int64 // seconds, of the hour
	of    ids
}

type hourSums map[hourKey]*sums

func (h hourSums) add(tag int64, at time.Time, of ids, s *sums) {
	t := at.Unix()
	k := hourKey{tag, t - t%3600, of}
	have := h[k]
	if have == nil {
		have = &sums{}
		h[k] = have
	}
	have.add(s)
}

// rows are the sums of every set, by the grains up to one.
func (h hourSums) rows(coarsest int) usageSums {
	out := make(usageSums, 3*len(h))
	for k, s := range h {
		starts := startsOf(time.Unix(k.start, 0))
		for g, start := range starts[:coarsest] {
			for i := range sets {
				if g == 0 && !sets[i].hours {
					continue
				}
				key := usageKey{k.tag, sets[i].grain + hourly + int64(g), start, k.of[i]}
				have := out[key]
				if have == nil {
					have = &sums{}
					out[key] = have
				}
				have.add(s)
			}
		}
	}
	return out
}

// add adds a request and its attempts. Their dims and tags must be known.
func (db *DB) add(to hourSums, r *account.Record) {
	s := sums{sumRequests: 1, sumErrors: number(r.Outcome != "ok"), sumRefused: number(r.Refused), sumHits: number(r.SavedTokens > 0),
		sumEstimated: number(r.Estimated), sumSavedTokens: r.SavedTokens, sumSavedCost: int64(r.Saved), sumDuration: r.Duration.Microseconds()}
	s.usage(&r.Usage, int64(r.Cost), r.Priced)
	to.spread(db.tags, r.Tags, r.Time, db.idsOf(dimOf(r)), &s)
	for i := range r.Failed {
		a := &r.Failed[i]
		s := sums{sumAttempts: 1}
		s.usage(&a.Usage, int64(a.Cost), a.Priced)
		to.spread(db.tags, r.Tags, a.Time, db.idsOf(dimOfAttempt(r, a)), &s)
	}
}

// spread adds to all and to each tag.
func (h hourSums) spread(known map[string]int64, tags []string, at time.Time, of ids, s *sums) {
	h.add(0, at, of, s)
	for i, tag := range tags {
		if !slices.Contains(tags[:i], tag) {
			h.add(known[tag], at, of, s)
		}
	}
}

// startsOf are the beginnings of the hour, day and month of a time, in seconds.
func startsOf(t time.Time) [3]int64 {
	s := t.Unix()
	from, _ := month(t)
	return [3]int64{s - s%3600, s - s%86400, from / 1e6}
}

var usageTable = newTable("INSERT INTO dragoman_sums (tag, grain, start_s, dim, "+strings.Join(sumColumns, ", ")+")", 4+len(sumColumns), 0, upsert())

func upsert() string {
	b := " ON CONFLICT (tag, grain, start_s, dim) DO UPDATE SET "
	for i, c := range sumColumns {
		if i > 0 {
			b += ", "
		}
		b += fmt.Sprintf("%s = dragoman_sums.%s + excluded.%s", c, c, c)
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
		db.forgetNames()
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
