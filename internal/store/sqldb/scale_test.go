package sqldb

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/processor/account"
	"dragoman/translate/chat"
)

// TestScale: usage is answered from sums, however many rows there are. DRAGOMAN_LEDGER_ROWS=10000000 makes it the real measurement (some
// minutes, 3 GB in $TMPDIR); DRAGOMAN_LEDGER_FILE keeps the database for another run.
func TestScale(t *testing.T) {
	rows, most := 100_000, time.Second // a test's machine is shared
	if s := os.Getenv("DRAGOMAN_LEDGER_ROWS"); s != "" {
		var err error
		if rows, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
		most = 200 * time.Millisecond
	}
	path := os.Getenv("DRAGOMAN_LEDGER_FILE")
	if path == "" {
		path = filepath.Join(t.TempDir(), "ledger.db")
	}
	_, err := os.Stat(path)
	db := sqlite(t, path)
	until := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	since := until.AddDate(0, 0, -90)
	if err != nil {
		fill(t, db, rows, since, until)
	}
	queries := map[string]ledger.Query{
		"total, 90 days":            {Since: since},
		"by team, 30 days":          {By: []string{"team"}, Since: until.AddDate(0, 0, -30)},
		"by tenant, 90 days":        {By: []string{"tenant"}, Since: since},
		"by key and model, 30 days": {By: []string{"key", "model"}, Since: until.AddDate(0, 0, -30)},
		"by user, 90 days":          {By: []string{"user"}, Since: since},
		"by day, 90 days":           {By: []string{"day"}, Since: since},
		"by month and provider":     {By: []string{"month", "provider"}, Since: since},
		"by hour, 2 days":           {By: []string{"hour"}, Since: until.AddDate(0, 0, -2)},
		"by route of one tenant":    {By: []string{"route"}, Where: map[string][]string{"tenant": {"tenant-3"}}, Since: since},
		"by day of one team":        {By: []string{"day"}, Where: map[string][]string{"tenant": {"tenant-3"}, "team": {"team-1"}}, Since: until.AddDate(0, 0, -30)},
		"by tag, 30 days":           {By: []string{"tag"}, Since: until.AddDate(0, 0, -30)},
		"by team of one tag":        {By: []string{"team"}, Where: map[string][]string{"tag": {"cost-centre=7"}}, Since: since},
	}
	for name, q := range queries {
		q.Until = until
		best := time.Hour
		for range 3 {
			begin := time.Now()
			u, err := db.Usage(t.Context(), q)
			if err != nil || u.Total.Requests == 0 {
				t.Fatalf("%s: %+v %v", name, u, err)
			}
			best = min(best, time.Since(begin))
		}
		t.Logf("%-28s %v", name, best.Round(100*time.Microsecond))
		if best > most {
			t.Errorf("%s takes %v over %d rows", name, best, rows)
		}
	}
	begin := time.Now()
	if _, err := db.Spent(t.Context(), ledger.Level{Tenant: "tenant-3"}, until.Add(-29*24*time.Hour-30*time.Minute)); err != nil {
		t.Fatal(err)
	}
	t.Logf("%-28s %v", "spent by a tenant, 29 days", time.Since(begin).Round(100*time.Microsecond))
}

// fill makes rows of 500 keys in 100 teams of 20 tenants, with three models each.
func fill(t testing.TB, db *DB, rows int, since, until time.Time) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	price := &config.Price{Input: 250_000, Output: 2_000_000}
	version := ledger.PriceVersion(price)
	step := until.Sub(since) / time.Duration(rows)
	begin := time.Now()
	var number uint64
	for at := since; number < uint64(rows); {
		ctx := context.Background()
		b := &ledger.Batch{Writer: "scale", First: number + 1, Prices: map[string]*config.Price{version: price}, Received: at}
		for range min(max(2000, rows/500), rows-int(number)) {
			number++
			at = at.Add(step)
			key := r.IntN(500)
			rec := &account.Record{ID: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()), Time: at.Truncate(time.Microsecond), Organisation: "org", Tenant: fmt.Sprint("tenant-", key/25), Team: fmt.Sprint("team-", key%25/5),
				User: fmt.Sprint("user-", key%50), Key: fmt.Sprint("key-", key), Endpoint: "/v1/chat/completions", Schema: chat.OpenAI, Asked: "auto", Route: "auto",
				Model: fmt.Sprint("model-", (key+r.IntN(3))%8), Known: true, Provider: fmt.Sprint("provider-", key%3), Cluster: "provider/default", Status: 200, Outcome: "ok", Attempts: 1,
				Usage: chat.Usage{Known: true, Input: r.Int64N(4000), Output: r.Int64N(800)}, Priced: true, Price: price, Duration: time.Second, TTFT: 300 * time.Millisecond}
			rec.Cost = price.Cost(rec.Usage)
			if key%5 == 0 {
				rec.Tags = []string{fmt.Sprint("cost-centre=", key%10+2)}
			}
			b.Records = append(b.Records, ledger.Numbered{Number: number, Record: rec})
		}
		b.Through = number
		if err := db.Apply(ctx, b); err != nil {
			t.Fatal(err)
		}
	}
	took := time.Since(begin)
	t.Logf("%d rows stored in %v: %v each", rows, took.Round(time.Millisecond), took/time.Duration(rows))
}

// BenchmarkApply is what storing a record costs, off the request path.
func BenchmarkApply(b *testing.B) {
	db, err := OpenSQLite(filepath.Join(b.TempDir(), "ledger.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	until := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	b.ResetTimer()
	fill(b, db, b.N, until.Add(-time.Hour), until)
}
