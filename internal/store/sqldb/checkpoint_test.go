package sqldb

import (
	"database/sql"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/ledger"
	"dragoman/internal/store/storetest"
)

// TestReadersWhoFollowEachOther: there is no moment without somebody who reads, as with a busy dashboard; records are stored all the same, and
// the log of the database begins anew.
func TestReadersWhoFollowEachOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger.db")
	db := sqlite(t, path)
	if err := db.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var answers atomic.Int64
	// Each holds what it sees for a while; together they leave no gap.
	for i := range 2 {
		readers.Go(func() {
			time.Sleep(time.Duration(i) * 50 * time.Millisecond)
			for {
				tx, err := db.read.BeginTx(t.Context(), nil)
				if err != nil {
					t.Error(err)
					return
				}
				var n sql.NullInt64
				if err := tx.QueryRow("SELECT MAX(start_s) FROM dragoman_sums WHERE tag = 0 AND grain = 11").Scan(&n); err != nil {
					t.Error(err)
				}
				select {
				case <-stop:
				case <-time.After(100 * time.Millisecond):
				}
				if err := tx.Rollback(); err != nil {
					t.Error(err)
				}
				answers.Add(1)
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	book, most, slowest := storetest.NewBook(31), int64(0), time.Duration(0)
	from, to := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC) // scattered: every batch changes many pages
	full := 0                                                                                              // batches that fill the log once
	for n := 1; full == 0 || n <= 3*full; n++ {
		begin := time.Now()
		if err := db.Apply(t.Context(), book.Batch("w", book.Fill(400, from, to))); err != nil {
			t.Fatal(err)
		}
		slowest = max(slowest, time.Since(begin))
		now := size(t, db.wal)
		if most = max(most, now); full == 0 && now >= walLimit {
			full = n
		}
	}
	close(stop)
	readers.Wait()
	t.Logf("the log grew to %d MiB, %d answers, the slowest batch took %v", most>>20, answers.Load(), slowest)
	if most > 2*walLimit {
		t.Errorf("the log grew to %d bytes", most)
	}
	if u, err := db.Usage(t.Context(), ledger.Query{Since: from, Until: to}); err != nil || u.Total.Requests != int64(len(book.Records)) {
		t.Errorf("%+v %v, %d records", u, err, len(book.Records))
	}
}

// TestOneWhoReadsForLong: an export to a slow client keeps the log from beginning anew, and records from nothing.
func TestOneWhoReadsForLong(t *testing.T) {
	db := sqlite(t, filepath.Join(t.TempDir(), "ledger.db"))
	book := storetest.NewBook(32)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	apply := func() {
		t.Helper()
		if err := db.Apply(t.Context(), book.Batch("w", book.Fill(100, at, at.AddDate(0, 0, 5)))); err != nil {
			t.Fatal(err)
		}
	}
	apply()
	seen := 0
	err := db.Charges(t.Context(), at, at.AddDate(0, 0, 6), func(*ledger.Charge) error {
		if seen++; seen%20 == 1 {
			apply()
		}
		return nil
	})
	if err != nil || seen < 100 {
		t.Fatalf("%d charges, %v", seen, err)
	}
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}
