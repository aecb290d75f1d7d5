package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// Ledger tests a database of the ledger. open makes an empty one; again opens the one that open made last, as another replica would.
func Ledger(t *testing.T, open, again func(t *testing.T) ledger.Database) {
	for name, test := range map[string]func(*testing.T, func(*testing.T) ledger.Database, func(*testing.T) ledger.Database){
		"rows come back": ledgerRows, "once": ledgerOnce, "usage": ledgerUsage, "spent": ledgerSpent, "replicas": ledgerReplicas,
		"retention": ledgerRetention, "unknown is not zero": ledgerUnknown, "rebuild": ledgerRebuild, "names": ledgerNames, "any period": ledgerPeriods,
	} {
		t.Run(name, func(t *testing.T) { test(t, open, again) })
	}
}

// Book makes records whose sums are known.
type Book struct {
	rand    *rand.Rand
	Records []*account.Record
	number  uint64
}

// NewBook is a book with a seed of its own.
func NewBook(seed uint64) *Book { return &Book{rand: rand.New(rand.NewPCG(seed, 1))} }

var bookPrice = &config.Price{Input: 250_000, Output: 2_000_000, CacheRead: 25_000, CacheWrite: 300_000, CacheWrite1h: 500_000,
	Above: 200_000, Long: &config.Price{Input: 500_000, Output: 4_000_000}}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// Record makes one at a time.
func (b *Book) Record(at time.Time) *account.Record {
	r := b.rand
	rec := &account.Record{
		ID: fmt.Sprintf("%016x-%d", r.Uint64(), len(b.Records)), Time: at.Truncate(time.Microsecond).UTC(), Organisation: pick(r, "", "org"), Tenant: pick(r, "acme", "globex", "müller"),
		Team: pick(r, "", "search", "chat"), User: pick(r, "", "ann", "bob"), Key: pick(r, "ci", "prod"), Endpoint: "/v1/chat/completions", Schema: chat.OpenAI,
		Asked: "auto", Route: pick(r, "auto", "gpt-5-mini"), Model: pick(r, "gpt-5-mini", "claude-haiku"), Known: true, Provider: pick(r, "openai", "claude"),
		Cluster: "openai/primary", Stream: r.IntN(2) == 0, Cache: pick(r, "", "miss"), Status: 200, Outcome: "ok", Attempts: 1,
		Usage: chat.Usage{Known: true, Input: r.Int64N(300_000), CacheRead: r.Int64N(100), CacheWrite: r.Int64N(50), CacheWrite1h: r.Int64N(10), Output: r.Int64N(5000), Reasoning: 7},
		Price: bookPrice, Priced: true, Duration: time.Duration(r.IntN(1e6)) * time.Microsecond, TTFT: time.Millisecond, Overhead: 80 * time.Microsecond,
	}
	rec.Cost = rec.Price.Cost(rec.Usage)
	switch r.IntN(10) {
	case 0:
		rec.Outcome, rec.Status, rec.Refused, rec.Reason = "rate_limited", 429, true, "tokens_per_minute"
		rec.Usage, rec.Cost, rec.Price, rec.Model, rec.Provider, rec.Cluster, rec.Attempts = chat.Usage{}, 0, nil, "", "", "", 0
	case 1:
		rec.Cache, rec.SavedTokens, rec.Saved = "hit", 900, 55
		rec.Usage, rec.Cost, rec.Price, rec.Model, rec.Provider, rec.Cluster, rec.Attempts = chat.Usage{}, 0, nil, "", "", "", 0
	case 2:
		rec.Priced, rec.Price, rec.Cost, rec.Estimated = false, nil, 0, true
	case 3:
		rec.Attempts = 2
		a := account.Attempt{Number: 1, Time: rec.Time.Add(time.Millisecond), Provider: "claude", Model: "claude-haiku", Known: true, Cluster: "claude/default", Outcome: "provider_failed", Status: 200,
			Usage: chat.Usage{Known: true, Input: 40}, Priced: true, Price: bookPrice, Duration: time.Second}
		a.Cost = a.Price.Cost(a.Usage)
		rec.Failed = []account.Attempt{a}
	}
	if r.IntN(3) == 0 {
		rec.Tags = []string{pick(r, "env=prod", "env=dev"), "cost-centre=42"}
	}
	b.Records = append(b.Records, rec)
	return rec
}

// Fill makes n records spread over a period.
func (b *Book) Fill(n int, from, to time.Time) []*account.Record {
	begin := len(b.Records)
	for range n {
		b.Record(from.Add(time.Duration(b.rand.Int64N(int64(to.Sub(from))))))
	}
	return b.Records[begin:]
}

// Batch makes one of records, under the next numbers of a writer.
func (b *Book) Batch(writer string, records []*account.Record) *ledger.Batch {
	out := &ledger.Batch{Writer: writer, First: b.number + 1, Prices: map[string]*config.Price{ledger.PriceVersion(bookPrice): bookPrice}, Received: time.Now()}
	for _, r := range records {
		b.number++
		out.Records = append(out.Records, ledger.Numbered{Number: b.number, Record: r})
	}
	out.Through = b.number
	return out
}

// Sum is what the sums must be of the records for which keep holds.
func Sum(records []*account.Record, keep func(r *account.Record, model, provider string, at time.Time) bool) (row ledger.Row) {
	for _, r := range records {
		if keep(r, r.Model, r.Provider, r.Time) {
			row.Requests++
			row.Errors += one(r.Outcome != "ok")
			row.Refused += one(r.Refused)
			row.Hits += one(r.SavedTokens > 0)
			row.Estimated += one(r.Estimated)
			row.SavedTokens += r.SavedTokens
			row.Saved += r.Saved
			row.DurationUS += r.Duration.Microseconds()
			charge(&row, &r.Usage, r.Cost, r.Priced)
		}
		for i := range r.Failed {
			if a := &r.Failed[i]; keep(r, a.Model, a.Provider, a.Time) {
				row.Attempts++
				charge(&row, &a.Usage, a.Cost, a.Priced)
			}
		}
	}
	return row
}

func charge(row *ledger.Row, u *chat.Usage, cost config.MicroUSD, priced bool) {
	row.Input += u.Input
	row.CacheRead += u.CacheRead
	row.CacheWrite += u.CacheWrite + u.CacheWrite1h
	row.Output += u.Output
	row.Cost += cost
	row.Unpriced += one(!priced)
}

func one(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func everything(*account.Record, string, string, time.Time) bool { return true }

func apply(t *testing.T, db ledger.Database, b *ledger.Batch) {
	t.Helper()
	if err := db.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func usage(t *testing.T, db ledger.Database, q ledger.Query) *ledger.Usage {
	t.Helper()
	u, err := db.Usage(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

var (
	ledgerFrom = time.Date(2026, 9, 20, 13, 0, 0, 0, time.UTC)
	ledgerTo   = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
)

func ledgerRows(t *testing.T, open, _ func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(1)
	records := b.Fill(300, ledgerFrom, ledgerTo)
	apply(t, db, b.Batch("w", records))
	byID := map[string]*account.Record{}
	for _, r := range records {
		byID[r.ID] = r
	}
	finals, failed, last := 0, 0, time.Time{}
	err := db.Charges(t.Context(), ledgerFrom, ledgerTo.Add(time.Hour), func(c *ledger.Charge) error {
		r := byID[c.RequestID]
		if !c.Final {
			failed++
			if a := r.Failed[0]; c.Provider != a.Provider || c.Input != a.Usage.Input || *c.Cost != a.Cost || c.Attempt != 1 || !c.Time.Equal(a.Time) || c.Tenant != r.Tenant {
				t.Errorf("attempt %+v of %+v", c, r)
			}
			return nil
		}
		finals++
		if c.Time.Before(last) {
			t.Errorf("%v comes after %v", c.Time, last)
		}
		last = c.Time
		if !c.Time.Equal(r.Time) || c.Organisation != r.Organisation || c.Tenant != r.Tenant || c.Team != r.Team || c.User != r.User || c.Key != r.Key || c.Route != r.Route ||
			c.Asked != r.Asked || c.Model != r.Model || c.Provider != r.Provider || c.Cluster != r.Cluster || c.Endpoint != r.Endpoint || c.Stream != r.Stream || c.Cache != r.Cache ||
			c.Status != r.Status || c.Outcome != r.Outcome || c.Reason != r.Reason || c.Attempt != r.Attempts || c.Estimated != r.Estimated ||
			c.DurationUS != r.Duration.Microseconds() || c.TTFTUS != r.TTFT.Microseconds() || c.SavedTokens != r.SavedTokens || c.Saved != r.Saved || !slices.Equal(c.Tags, r.Tags) ||
			c.Input != r.Usage.Input || c.CacheRead != r.Usage.CacheRead || c.CacheWrite != r.Usage.CacheWrite || c.CacheWrite1h != r.Usage.CacheWrite1h || c.Output != r.Usage.Output ||
			c.Reasoning != r.Usage.Reasoning || r.Priced != (c.Cost != nil) || c.Cost != nil && *c.Cost != r.Cost || c.Price != ledger.PriceVersion(r.Price) {
			t.Errorf("%+v\nis not\n%+v", c, r)
		}
		return nil
	})
	if err != nil || finals != len(records) || failed == 0 {
		t.Errorf("%d of %d requests, %d attempts, %v", finals, len(records), failed, err)
	}
	prices, err := db.Prices(t.Context())
	if err != nil || !reflect.DeepEqual(prices[ledger.PriceVersion(bookPrice)], bookPrice) {
		t.Errorf("prices %+v %v", prices, err)
	}
	stop := fmt.Errorf("enough")
	if err := db.Charges(t.Context(), ledgerFrom, ledgerTo, func(*ledger.Charge) error { return stop }); err != stop {
		t.Errorf("the caller's error: %v", err)
	}
}

// ledgerOnce: a batch that comes again, in whole or in part, by its numbers or under another writer's, is counted once.
func ledgerOnce(t *testing.T, open, again func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(2)
	first := b.Batch("w", b.Fill(100, ledgerFrom, ledgerTo))
	apply(t, db, first)
	apply(t, db, first)
	second := b.Batch("w", b.Fill(50, ledgerFrom, ledgerTo))
	both := &ledger.Batch{Writer: "w", First: 1, Through: second.Through, Records: append(slices.Clone(first.Records), second.Records...), Prices: first.Prices, Received: time.Now()}
	apply(t, db, both)
	other := again(t)
	apply(t, other, second)
	// A log that was copied: other numbers, the same requests, and one that is new.
	fresh := b.Record(ledgerFrom.Add(time.Hour))
	copied := &ledger.Batch{Writer: "copy", First: 1, Through: uint64(len(b.Records)), Prices: first.Prices, Received: time.Now()}
	for i, r := range b.Records {
		copied.Records = append(copied.Records, ledger.Numbered{Number: uint64(i + 1), Record: r})
	}
	apply(t, other, copied)
	if fresh == nil {
		t.Fatal()
	}
	if got, want := usage(t, db, ledger.Query{Since: ledgerFrom, Until: ledgerTo}).Total, Sum(b.Records, everything); !same(got, want) {
		t.Errorf("sums\n%+v, want\n%+v", got, want)
	}
	if c, err := db.Verify(t.Context()); err != nil || len(c.Faults) > 0 || c.Rows < int64(len(b.Records)) {
		t.Errorf("%+v %v", c, err)
	}
}

// ledgerPeriods: the sums of any period are those of its records, to the hour, before and after sums by hour have outlived their time.
func ledgerPeriods(t *testing.T, open, _ func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(9)
	from := time.Date(2026, 5, 30, 22, 0, 0, 0, time.UTC)
	apply(t, db, b.Batch("w", b.Fill(1500, from, ledgerTo)))
	r := rand.New(rand.NewPCG(9, 9))
	groups := [][]string{nil, {"team"}, {"model"}, {"user"}, {"tenant", "provider"}, {"key", "model"}, {"tag"}, {"month"}, {"day", "tenant"}, {"hour", "user"}}
	filters := []map[string][]string{nil, {"team": {"search"}}, {"model": {"gpt-5-mini"}, "user": {"ann", ""}}, {"key": {"ci"}}, {"tenant": {"acme"}, "route": {"auto"}}}
	compare := func(since, until time.Time, by []string, where map[string][]string) {
		t.Helper()
		if slices.Contains(by, "tag") { // who has several counts several times
			where = map[string][]string{}
			by = nil
		}
		got := usage(t, db, ledger.Query{By: by, Where: where, Since: since, Until: until})
		want := Sum(b.Records, func(r *account.Record, model, _ string, at time.Time) bool {
			is := func(name, value string) bool { return where[name] == nil || slices.Contains(where[name], value) }
			return !at.Before(since) && at.Before(until) && is("team", r.Team) && is("user", r.User) && is("key", r.Key) && is("tenant", r.Tenant) && is("route", r.Route) && is("model", model)
		})
		if !same(got.Total, want) {
			t.Errorf("by %v where %v from %v to %v:\n%+v, want\n%+v", by, where, since, until, got.Total, want)
		}
		for _, row := range got.Rows {
			if row.Requests+row.Attempts <= 0 || row.Cost < 0 || row.Input < 0 {
				t.Errorf("by %v from %v to %v: %+v", by, since, until, row)
			}
		}
	}
	for i := range 60 {
		since := from.Add(time.Duration(r.IntN(170*24)) * time.Hour)
		until := since.Add(time.Duration(1+r.IntN([]int{48, 60 * 24, 190 * 24}[i%3])) * time.Hour)
		compare(since, until, groups[i%len(groups)], filters[i%len(filters)])
	}
	// In the middle of a day: from then on nothing is taken away from a day of which hours are missing.
	now, keep := ledgerTo, 60*24*time.Hour+7*time.Hour
	if _, err := db.Prune(t.Context(), now, ledger.Retention{Hours: keep}); err != nil {
		t.Fatal(err)
	}
	groups = groups[:len(groups)-1] // by hour there is nothing before
	for i := range 30 {
		since := now.Add(-keep + time.Hour + time.Duration(r.IntN(30*24))*time.Hour)
		compare(since, since.Add(time.Duration(1+r.IntN(40*24))*time.Hour), groups[i%len(groups)], filters[i%len(filters)])
		day := since.AddDate(0, 0, -60).Truncate(24 * time.Hour) // days are kept for ever
		compare(day, day.AddDate(0, 0, 1+r.IntN(90)), groups[i%len(groups)], filters[i%len(filters)])
	}
}

func same(a, b ledger.Row) bool {
	a.Group, b.Group = nil, nil
	return reflect.DeepEqual(a, b)
}

// ledgerUsage compares questions of every kind with sums over the records.
func ledgerUsage(t *testing.T, open, _ func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(3)
	for range 4 {
		apply(t, db, b.Batch("w", b.Fill(400, ledgerFrom, ledgerTo)))
	}
	value := func(r *account.Record, by, model, provider string, at time.Time) string {
		switch by {
		case "organisation":
			return r.Organisation
		case "tenant":
			return r.Tenant
		case "team":
			return r.Team
		case "user":
			return r.User
		case "key":
			return r.Key
		case "route":
			return r.Route
		case "model":
			return model
		case "provider":
			return provider
		case "hour":
			return at.UTC().Format("2006-01-02T15:00Z")
		case "day":
			return at.UTC().Format("2006-01-02")
		default:
			return at.UTC().Format("2006-01")
		}
	}
	groups := [][]string{nil, {"tenant"}, {"team", "model"}, {"user"}, {"key"}, {"route"}, {"provider"}, {"organisation"}, {"month"}, {"day", "tenant"}, {"hour"}, {"month", "day"}}
	filters := []map[string][]string{nil, {"tenant": {"acme", "müller"}}, {"team": {"search"}, "model": {"gpt-5-mini"}}, {"user": {"ann"}}, {"tenant": {"nobody"}}, {"tag": {"env=prod"}}, {"tag": {"never seen"}}}
	periods := [][2]time.Time{{ledgerFrom, ledgerTo}, {ledgerFrom.Add(30 * time.Hour), ledgerFrom.Add(70 * time.Hour)}, {time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)},
		{time.Date(2026, 9, 30, 23, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 1, 0, 0, 0, time.UTC)}, {ledgerTo.AddDate(1, 0, 0), ledgerTo.AddDate(2, 0, 0)}}
	for i, by := range groups {
		for j, where := range filters {
			p := periods[(i+j)%len(periods)]
			u := usage(t, db, ledger.Query{By: by, Where: where, Since: p[0], Until: p[1]})
			matches := func(r *account.Record, model, provider string, at time.Time) bool {
				for name, values := range where {
					if name == "tag" {
						if !slices.Contains(r.Tags, values[0]) {
							return false
						}
					} else if !slices.Contains(values, value(r, name, model, provider, at)) {
						return false
					}
				}
				return !at.Before(p[0]) && at.Before(p[1])
			}
			if want := Sum(b.Records, matches); !same(u.Total, want) {
				t.Errorf("by %v where %v from %v to %v:\n%+v, want\n%+v", by, where, p[0], p[1], u.Total, want)
			}
			for _, row := range u.Rows {
				want := Sum(b.Records, func(r *account.Record, model, provider string, at time.Time) bool {
					for k, g := range by {
						if value(r, g, model, provider, at) != row.Group[k] {
							return false
						}
					}
					return matches(r, model, provider, at)
				})
				if !same(row, want) {
					t.Errorf("by %v: %+v, want %+v", by, row, want)
				}
			}
		}
	}
	tagged := usage(t, db, ledger.Query{By: []string{"tag"}, Since: ledgerFrom, Until: ledgerTo})
	for _, row := range tagged.Rows {
		if want := Sum(b.Records, func(r *account.Record, _, _ string, _ time.Time) bool { return slices.Contains(r.Tags, row.Group[0]) }); !same(row, want) {
			t.Errorf("tag %+v, want %+v", row, want)
		}
	}
	if len(tagged.Rows) != 3 {
		t.Errorf("%d tags", len(tagged.Rows))
	}
	cut := usage(t, db, ledger.Query{By: []string{"tenant", "team", "user"}, Since: ledgerFrom, Until: ledgerTo, Limit: 3})
	if len(cut.Rows) != 3 || !cut.Truncated || cut.Rows[0].Cost < cut.Rows[2].Cost {
		t.Errorf("%+v", cut)
	}
	for _, q := range []ledger.Query{{By: []string{"colour"}}, {By: []string{"team", "team"}}, {Where: map[string][]string{"day": {"x"}}}, {Where: map[string][]string{"tag": {"a", "b"}}},
		{By: []string{"tag"}, Where: map[string][]string{"tag": {"a"}}}, {Where: map[string][]string{"team": nil}}} {
		q.Since, q.Until = ledgerFrom, ledgerTo
		if _, err := db.Usage(t.Context(), q); err == nil {
			t.Errorf("%+v is answered", q)
		}
	}
	if _, err := db.Usage(t.Context(), ledger.Query{Since: ledgerTo, Until: ledgerFrom}); err == nil {
		t.Error("a period that ends before it begins is answered")
	}
}

// ledgerSpent compares with sums from moments that are no whole hours.
func ledgerSpent(t *testing.T, open, _ func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(4)
	now := time.Now().UTC()
	from := now.AddDate(0, 0, -70)
	apply(t, db, b.Batch("w", b.Fill(1500, from, now)))
	for _, level := range []ledger.Level{{}, {Tenant: "acme"}, {Tenant: "acme", Team: "search"}, {Tenant: "acme", Team: "search", Key: "ci"}, {Tenant: "globex", Key: "ci"}, {Tenant: "acme", Team: "search", User: "ann", Key: "ci"}, {Tenant: "globex", User: "bob"}, {Organisation: "org", User: "ann"}, {Tenant: "acme", Model: "gpt-5-mini"}, {Tenant: "nobody"}} {
		for _, since := range []time.Time{from, now.Add(-50*time.Hour - 17*time.Minute), now.Add(-10 * time.Minute), now.AddDate(0, 0, -33).Truncate(24 * time.Hour), now.Add(time.Hour)} {
			got, err := db.Spent(t.Context(), level, since)
			if err != nil {
				t.Fatal(err)
			}
			want := Sum(b.Records, func(r *account.Record, model, _ string, at time.Time) bool {
				matches := func(want, have string) bool { return want == "" || want == have }
				return !at.Before(since) && matches(level.Organisation, r.Organisation) && matches(level.Tenant, r.Tenant) && matches(level.Team, r.Team) && matches(level.User, r.User) &&
					matches(level.Key, r.Key) && matches(level.Model, model) && (level.Tenant == "" || level.Key+level.User == "" || level.Team == r.Team) && (level.Tenant == "" || level.Key == "" || level.User == r.User)
			})
			if got.Cost != want.Cost || got.Tokens != want.Input+want.CacheRead+want.CacheWrite+want.Output || got.Requests != want.Requests || got.Unpriced != want.Unpriced {
				t.Errorf("%+v since %v: %+v, want %+v", level, since, got, want)
			}
		}
	}
}

// ledgerReplicas: two processes write at the same time, to the same sums.
func ledgerReplicas(t *testing.T, open, again func(*testing.T) ledger.Database) {
	db := open(t)
	handles := []ledger.Database{db, again(t), again(t)}
	books := make([]*Book, len(handles))
	var wait sync.WaitGroup
	for i := range handles {
		books[i] = NewBook(uint64(10 + i))
		wait.Go(func() {
			for range 10 {
				if err := handles[i].Apply(context.Background(), books[i].Batch(fmt.Sprint("w", i), books[i].Fill(40, ledgerFrom, ledgerTo))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	var all []*account.Record
	for _, b := range books {
		all = append(all, b.Records...)
	}
	if got, want := usage(t, db, ledger.Query{Since: ledgerFrom, Until: ledgerTo}).Total, Sum(all, everything); !same(got, want) {
		t.Errorf("sums\n%+v, want\n%+v", got, want)
	}
	if c, err := db.Verify(t.Context()); err != nil || len(c.Faults) > 0 {
		t.Errorf("%+v %v", c, err)
	}
}

func ledgerUnknown(t *testing.T, open, _ func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(5)
	free, unknown := b.Record(ledgerFrom), b.Record(ledgerFrom)
	free.Priced, free.Price, free.Cost, free.Failed = true, &config.Price{}, 0, nil
	unknown.Priced, unknown.Price, unknown.Cost, unknown.Failed = false, nil, 0, nil
	batch := b.Batch("w", b.Records)
	batch.Prices[ledger.PriceVersion(free.Price)] = free.Price
	apply(t, db, batch)
	_ = db.Charges(t.Context(), ledgerFrom, ledgerTo, func(c *ledger.Charge) error {
		if want := c.RequestID == free.ID; want != (c.Cost != nil) || want && *c.Cost != 0 {
			t.Errorf("%s costs %v", c.RequestID, c.Cost)
		}
		return nil
	})
	if u := usage(t, db, ledger.Query{Since: ledgerFrom, Until: ledgerTo}); u.Total.Unpriced != 1 {
		t.Errorf("%+v", u.Total)
	}
}

// ledgerNames: what clients make up does not make the sums grow; other names are kept apart by every byte.
func ledgerNames(t *testing.T, open, _ func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(6)
	for i := range 30 {
		r := b.Record(ledgerFrom)
		r.Known, r.Outcome, r.Asked, r.Failed, r.Tenant, r.Team, r.User, r.Key, r.Organisation, r.Provider = false, "not_found", fmt.Sprint("openai/made-up-", i), nil, "t", "", "", "", "", "p"
		r.Model, r.Route = r.Asked, r.Asked
	}
	for _, tenant := range []string{"a'; DROP TABLE dragoman_requests; --", "ß", "SS", "ss", "ﬀ", strings.Repeat("x", 200), " "} {
		b.Record(ledgerFrom).Tenant = tenant
	}
	apply(t, db, b.Batch("w", b.Records))
	if u := usage(t, db, ledger.Query{By: []string{"model", "route"}, Where: map[string][]string{"tenant": {"t"}}, Since: ledgerFrom, Until: ledgerTo}); len(u.Rows) != 1 || u.Rows[0].Requests != 30 {
		t.Errorf("%+v", u.Rows)
	}
	if u := usage(t, db, ledger.Query{By: []string{"tenant"}, Since: ledgerFrom, Until: ledgerTo}); len(u.Rows) != 8 || u.Total.Requests != 37 {
		t.Errorf("%+v", u.Rows)
	}
}

func ledgerRebuild(t *testing.T, open, _ func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(7)
	apply(t, db, b.Batch("w", b.Fill(500, ledgerFrom, ledgerTo)))
	question := ledger.Query{By: []string{"day", "tenant", "model"}, Since: ledgerFrom, Until: ledgerTo}
	before, months := usage(t, db, question), usage(t, db, ledger.Query{By: []string{"month", "team"}, Since: ledgerFrom, Until: ledgerTo})
	days, err := db.Rebuild(t.Context())
	if err != nil || days < 60 {
		t.Fatalf("%d days, %v", days, err)
	}
	if after := usage(t, db, question); !reflect.DeepEqual(before, after) {
		t.Error("rebuilding changes sums that were right")
	}
	if after := usage(t, db, ledger.Query{By: []string{"month", "team"}, Since: ledgerFrom, Until: ledgerTo}); !reflect.DeepEqual(months, after) {
		t.Error("rebuilding changes months that were right")
	}
	if c, err := db.Verify(t.Context()); err != nil || len(c.Faults) > 0 || c.Repriced == 0 || c.Days < 60 {
		t.Errorf("%+v %v", c, err)
	}
	// It goes on from there.
	apply(t, db, b.Batch("w", b.Fill(50, ledgerFrom, ledgerTo)))
	if got, want := usage(t, db, ledger.Query{Since: ledgerFrom, Until: ledgerTo}).Total, Sum(b.Records, everything); !same(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Chain makes n entries of a writer's audit trail after before, at times that are a minute apart.
func Chain(writer string, n int, before ledger.Head, from time.Time) (entries []ledger.Numbered, head ledger.Head) {
	head = ledger.Head{Writer: writer}
	for i := range n {
		a := &ledger.Entry{Time: from.Add(time.Duration(i) * time.Minute), Action: "request", Outcome: "rate_limited", Tenant: "acme", Key: "ci", Subject: "/v1/messages", Writer: writer, Number: uint64(i + 1)}
		if i == 0 {
			a.Action, a.Outcome, a.Subject = ledger.ChainStart, "ok", ""
			if before.Number > 0 {
				a.Subject, a.Detail = before.Writer, fmt.Sprintf("%d %x", before.Number, before.Hash)
			}
		}
		a.Hash = ledger.HashEntry(head.Hash, a)
		head = ledger.Head{Writer: writer, Number: a.Number, Hash: a.Hash}
		entries = append(entries, ledger.Numbered{Number: a.Number, Entry: a})
	}
	return entries, head
}

// ledgerRetention: rows go, sums stay; the audit trail without its beginning still holds.
func ledgerRetention(t *testing.T, open, _ func(*testing.T) ledger.Database) {
	db, b := open(t), NewBook(8)
	apply(t, db, b.Batch("w", b.Fill(700, ledgerFrom, ledgerTo)))
	old, head := Chain("old", 5, ledger.Head{}, ledgerFrom)
	long, _ := Chain("long", 60*24, head, ledgerFrom.AddDate(0, 0, 10))
	for i := range long { // a month and more apart from the oldest
		if i > 700 {
			long[i].Entry.Time = long[i].Entry.Time.AddDate(0, 1, 0)
		}
	}
	last := ledger.Head{Writer: "long"}
	for i := range long {
		long[i].Entry.Hash = ledger.HashEntry(last.Hash, long[i].Entry)
		last.Hash = long[i].Entry.Hash
	}
	apply(t, db, &ledger.Batch{Writer: "old", First: 1, Through: 5, Entries: old, Received: time.Now()})
	apply(t, db, &ledger.Batch{Writer: "long", First: 1, Through: uint64(len(long)), Entries: long, Received: time.Now()})
	if v, err := ledger.Verify(t.Context(), db, nil); err != nil || len(v.Faults) > 0 || v.Chains != 2 || len(v.Heads) != 1 {
		t.Fatalf("%+v %v", v, err)
	}
	now := time.Date(2026, 11, 15, 0, 0, 0, 0, time.UTC)
	total := usage(t, db, ledger.Query{By: []string{"tenant", "model"}, Since: ledgerFrom.Truncate(24 * time.Hour), Until: ledgerTo.Truncate(24 * time.Hour)})
	cutoff := now.AddDate(0, 0, -40) // 6 October: September goes as a whole in both databases
	removed, err := db.Prune(t.Context(), now, ledger.Retention{Records: 40 * 24 * time.Hour, Hours: 40 * 24 * time.Hour, Audit: 40 * 24 * time.Hour})
	if err != nil || removed == 0 {
		t.Fatalf("%d %v", removed, err)
	}
	left, expired := 0, 0
	_ = db.Charges(t.Context(), ledgerFrom, ledgerTo, func(c *ledger.Charge) error {
		left++
		if c.Time.Before(time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC)) {
			expired++
		}
		return nil
	})
	want := 0
	for _, r := range b.Records {
		if !r.Time.Before(cutoff) {
			want++
		}
	}
	if expired > 0 || left < want {
		t.Errorf("%d rows are left, of which %d have outlived their time; at least %d must be", left, expired, want)
	}
	after := usage(t, db, ledger.Query{By: []string{"tenant", "model"}, Since: ledgerFrom.Truncate(24 * time.Hour), Until: ledgerTo.Truncate(24 * time.Hour)})
	if !reflect.DeepEqual(total, after) {
		t.Error("the sums change with the rows")
	}
	if v, err := ledger.Verify(t.Context(), db, nil); err != nil || len(v.Faults) > 0 || v.Pruned == 0 {
		t.Errorf("the audit trail: %+v %v", v, err)
	}
	if c, err := db.Verify(t.Context()); err != nil || len(c.Faults) > 0 {
		t.Errorf("%+v %v", c, err)
	}
	if again, err := db.Prune(t.Context(), now, ledger.Retention{Records: 40 * 24 * time.Hour, Audit: 40 * 24 * time.Hour}); err != nil || again != 0 {
		t.Errorf("a second time: %d %v", again, err)
	}
	if none, err := db.Prune(t.Context(), now.AddDate(10, 0, 0), ledger.Retention{}); err != nil || none != 0 {
		t.Errorf("kept for ever: %d %v", none, err)
	}
}
