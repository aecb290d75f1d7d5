package sqldb

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"dragoman/internal/ledger"
	"dragoman/internal/store/storetest"
	"dragoman/test/postgres"
)

// first are the tables of the first version that hold data, with what belongs to it of today's.
var first = map[string]string{
	"dragoman_dims": "", "dragoman_tags": "", "dragoman_prices": "", "dragoman_requests": "", "dragoman_attempts": "", "dragoman_writers": "",
	"dragoman_usage": "WHERE grain < 20",
}

// downgraded fills an empty database as the first version of the program would have left it, with what another one holds.
func downgraded(t *testing.T, from, to *DB, records *storetest.Book) {
	t.Helper()
	ctx := t.Context()
	list, err := listed(to.dialect.name)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.upgrade(ctx, list[:1]); err != nil {
		t.Fatal(err)
	}
	if to.dialect.postgres {
		for _, r := range records.Records {
			for _, table := range byTime[:2] {
				if err := to.partitionFor(ctx, table, r.Time); err != nil {
					t.Fatal(err)
				}
			}
		}
		to.forget()
	}
	for table, where := range first {
		source := strings.Replace(table, "dragoman_usage", "dragoman_sums", 1)
		rows, err := from.query(ctx, "SELECT * FROM "+source+" "+where)
		if err != nil {
			t.Fatal(err)
		}
		copyRows(t, rows, to, table)
	}
}

func copyRows(t *testing.T, rows *sql.Rows, to *DB, table string) {
	t.Helper()
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		t.Fatal(err)
	}
	overriding := ""
	if to.dialect.postgres && columns[0] == "id" {
		overriding = " OVERRIDING SYSTEM VALUE"
	}
	insert := to.dialect.rebind("INSERT INTO " + table + " (" + strings.Join(columns, ", ") + ")" + overriding + " VALUES (?" + strings.Repeat(",?", len(columns)-1) + ")")
	n := 0
	for ; rows.Next(); n++ {
		values, into := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		if _, err := to.write.ExecContext(t.Context(), insert, values...); err != nil {
			t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil || n == 0 {
		t.Fatalf("%s: %d rows, %v", table, n, err)
	}
	if overriding != "" {
		if _, err := to.write.ExecContext(t.Context(), fmt.Sprintf("SELECT setval(pg_get_serial_sequence('%s', 'id'), (SELECT MAX(id) FROM %s))", table, table)); err != nil {
			t.Fatal(err)
		}
	}
}

// upgraded opens a database of the first version with data in it: every answer is as it would be had it been of this version from the
// beginning, it goes on from there, and a program of the first version writes nothing to it.
func upgraded(t *testing.T, origin, old *DB) {
	book := storetest.NewBook(77)
	from, to := time.Date(2026, 8, 3, 5, 0, 0, 0, time.UTC), time.Date(2026, 11, 21, 9, 30, 0, 0, time.UTC)
	if err := origin.Apply(t.Context(), book.Batch("w", book.Fill(900, from, to))); err != nil {
		t.Fatal(err)
	}
	downgraded(t, origin, old, book)
	compare := func(when string) {
		t.Helper()
		for _, by := range [][]string{nil, {"team"}, {"model"}, {"key"}, {"tenant", "model"}, {"user", "model"}, {"tag", "team"}, {"day", "provider"}, {"month", "key"}, {"hour", "tenant"}} {
			for _, period := range [][2]time.Time{{from, to}, {from.AddDate(0, 0, 9).Add(17 * time.Hour), to.AddDate(0, 0, -13).Add(3 * time.Hour)}} {
				q := ledger.Query{By: by, Since: period[0], Until: period[1]}
				want, err := origin.Usage(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				got, err := old.Usage(t.Context(), q)
				if err != nil || !reflect.DeepEqual(got, want) || got.Total.Requests == 0 {
					t.Fatalf("%s by %v: %+v\nwant\n%+v, %v", when, by, got, want, err)
				}
			}
		}
		if c, err := old.Verify(t.Context()); err != nil || len(c.Faults) > 0 || c.Days < 100 {
			t.Fatalf("%s: %+v %v", when, c, err)
		}
	}
	expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second)) // a batch's deadline does not keep it from being brought up
	defer cancel()
	if err := old.Migrate(expired); err != nil && old.Migrate(t.Context()) != nil {
		t.Fatal(err)
	}
	compare("brought up")
	if _, err := old.write.ExecContext(t.Context(), "INSERT INTO dragoman_usage SELECT * FROM dragoman_sums WHERE grain = 1"); err == nil {
		t.Error("a program of the first version writes sums that the others do not have")
	}
	more := book.Batch("w", book.Fill(200, from, to))
	for _, db := range []*DB{origin, old} {
		if err := db.Apply(t.Context(), more); err != nil {
			t.Fatal(err)
		}
	}
	compare("later")
	if n, err := old.Rebuild(t.Context()); err != nil || n < 100 {
		t.Fatalf("%d days, %v", n, err)
	}
	compare("rebuilt")
}

func TestUpgradeSQLite(t *testing.T) {
	upgraded(t, sqlite(t, filepath.Join(t.TempDir(), "new.db")), sqlite(t, filepath.Join(t.TempDir(), "old.db")))
}

func TestUpgradePostgres(t *testing.T) {
	server := postgres.Start(t)
	open := func() *DB {
		db, err := OpenPostgres(server.Database(t))
		return closing(t, db, err)
	}
	upgraded(t, open(), open())
}
