package sqldb

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/processor/account"
	"dragoman/test/postgres"
	"dragoman/translate/chat"
)

// likeBatch has more kinds of requests than are kept apart, each as often as it takes to go by every statement there is: 64 at a time, 8, and
// alone. No two columns of a record have the same value, so that none can stand for another.
func likeBatch(writer string) *ledger.Batch {
	price := &config.Price{Input: 250_000, Output: 2_000_000}
	b := &ledger.Batch{Writer: writer, First: 1, Prices: map[string]*config.Price{ledger.PriceVersion(price): price}, Received: scaleUntil}
	add := func(kind int) {
		n := int64(len(b.Records) + 1)
		at := scaleUntil.Add(time.Duration(n) * time.Second)
		r := &account.Record{ID: fmt.Sprintf("%s-%d", writer, n), Time: at, Organisation: "group", Tenant: fmt.Sprint("tenant-", n%7), Key: "key", Endpoint: fmt.Sprint("/v1/", kind%5),
			Schema: chat.OpenAI, Asked: fmt.Sprint("asked-", kind), Route: "route", Model: "model", Known: true, Provider: "up", Cluster: "up/default", Stream: kind%2 == 1,
			Cache: "miss", Status: 200 + kind%3, Outcome: "ok", Reason: fmt.Sprint("reason-", kind%4), Attempts: 1 + kind%3, SavedTokens: int64(kind), Saved: config.MicroUSD(2 * kind),
			Estimated: kind%3 == 2, Dropped: kind % 4, Duration: time.Duration(7*n) * time.Microsecond, TTFT: time.Duration(5*n) * time.Microsecond,
			Usage: chat.Usage{Known: true, Input: n, CacheRead: 2 * n, CacheWrite: 3 * n, CacheWrite1h: int64(kind), Output: 4 * n, Reasoning: n / 2}}
		if kind%2 == 0 {
			r.Priced, r.Price, r.Cost = true, price, price.Cost(r.Usage)
		}
		if kind%6 == 0 {
			r.Tags = []string{"team=a", fmt.Sprint("kind=", kind)}
		}
		b.Records = append(b.Records, ledger.Numbered{Number: uint64(n), Record: r})
	}
	for kind := range maxKinds + 8 {
		for range []int{64 + 8 + 8 + 3, 1, 8, 17, 64}[kind%5] {
			add(kind)
		}
	}
	// As they come from many callers: mixed.
	for i := range b.Records {
		j := (i * 7919) % len(b.Records)
		b.Records[i].Record, b.Records[j].Record = b.Records[j].Record, b.Records[i].Record
	}
	b.Through = uint64(len(b.Records))
	return b
}

// wantRows compares every column that can be read with what was given.
func wantRows(t *testing.T, db *DB, batches ...*ledger.Batch) {
	t.Helper()
	want, got := map[string]ledger.Charge{}, 0
	for _, b := range batches {
		for _, n := range b.Records {
			r := n.Record
			u := &r.Usage
			c := ledger.Charge{Time: r.Time, RequestID: r.ID, Attempt: r.Attempts, Final: true, Organisation: r.Organisation, Tenant: r.Tenant, Key: r.Key, Route: r.Route, Asked: r.Asked,
				Model: r.Model, Provider: r.Provider, Cluster: r.Cluster, Endpoint: r.Endpoint, Stream: r.Stream, Cache: r.Cache, Status: r.Status, Outcome: r.Outcome, Reason: r.Reason,
				Input: u.Input, CacheRead: u.CacheRead, CacheWrite: u.CacheWrite, CacheWrite1h: u.CacheWrite1h, Output: u.Output, Reasoning: u.Reasoning, Estimated: r.Estimated,
				DurationUS: r.Duration.Microseconds(), TTFTUS: r.TTFT.Microseconds(), SavedTokens: r.SavedTokens, Saved: r.Saved, Tags: r.Tags}
			if r.Priced {
				c.Cost, c.Price = &r.Cost, ledger.PriceVersion(r.Price)
			}
			want[r.ID] = c
		}
	}
	err := db.Charges(t.Context(), scaleUntil, scaleUntil.AddDate(1, 0, 0), func(c *ledger.Charge) error {
		if got++; !reflect.DeepEqual(*c, want[c.RequestID]) {
			t.Errorf("%s is\n%+v\nwant\n%+v", c.RequestID, *c, want[c.RequestID])
		}
		return nil
	})
	if err != nil || got != len(want) {
		t.Errorf("%d rows, want %d; %v", got, len(want), err)
	}
	if check, err := db.Verify(t.Context()); err != nil || len(check.Faults) > 0 || check.Rows != int64(len(want)) {
		t.Errorf("%+v %v", check, err)
	}
}

// TestLikeRequests: those that share a statement's values are stored as they are, once, in this batch and in one that comes after it.
func TestLikeRequests(t *testing.T) {
	server := postgres.Start(t)
	for name, open := range map[string]func(*testing.T) *DB{
		"SQLite": func(t *testing.T) *DB { return sqlite(t, filepath.Join(t.TempDir(), "ledger.db")) },
		"Postgres": func(t *testing.T) *DB {
			db, err := OpenPostgres(server.Database(t))
			return closing(t, db, err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			db := open(t)
			first, second := likeBatch("a"), likeBatch("b")
			// What another log has had already is not stored again, though its kind is.
			second.Records[5].Record, second.Records[len(second.Records)-1].Record = first.Records[5].Record, first.Records[9].Record
			for _, b := range []*ledger.Batch{first, first, second} {
				if err := db.Apply(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}
			wantRows(t, db, first, second)
			for _, k := range db.kinds[:cap(db.kinds)] {
				if len(k.room) > 0 || k.traits != (traits{}) || slices.ContainsFunc(k.room[:cap(k.room)], func(v any) bool { return v != nil }) {
					t.Errorf("something is kept of %+v", k.traits)
				}
			}
		})
	}
}

// Nobody's requests have no names at all: those are names, too.
func TestRequestsWithoutNames(t *testing.T) {
	db := sqlite(t, filepath.Join(t.TempDir(), "ledger.db"))
	b := &ledger.Batch{Writer: "a", First: 1, Through: 1, Received: scaleUntil,
		Records: []ledger.Numbered{{Number: 1, Record: &account.Record{ID: "x", Time: scaleUntil, Outcome: "unauthenticated", Refused: true}}}}
	if err := db.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	rows := 0
	err := db.Charges(t.Context(), scaleUntil, scaleUntil.AddDate(1, 0, 0), func(*ledger.Charge) error { rows++; return nil })
	if err != nil || rows != 1 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

func TestRebind(t *testing.T) {
	d := dialect{postgres: true}
	for query, want := range map[string]string{
		"SELECT ?, ?":                         "SELECT $1, $2",
		"VALUES (?,?,?),(?1,?2,?),(?1,?2,?)":  "VALUES ($1,$2,$3),($1,$2,$4),($1,$2,$5)",
		"(?,?,?,?,?,?,?,?,?,?,?),(?10,?11,?)": "($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11),($10,$11,$12)",
	} {
		if got := d.rebind(query); got != want {
			t.Errorf("%s is %s, want %s", query, got, want)
		}
	}
}
