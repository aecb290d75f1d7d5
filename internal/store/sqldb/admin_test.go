package sqldb

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dragoman/internal/admin/access"
	"dragoman/internal/ledger"
	"dragoman/internal/store/storetest"
	"dragoman/test/postgres"
)

func TestAdminSQLite(t *testing.T) {
	path := ""
	open := func(t *testing.T) access.Store { return sqlite(t, path) }
	storetest.Admin(t, func(t *testing.T) access.Store {
		path = filepath.Join(t.TempDir(), "ledger.db")
		return open(t)
	}, open)
	auditPages(t, sqlite(t, filepath.Join(t.TempDir(), "ledger.db")))
}

func TestAdminPostgres(t *testing.T) {
	server, dsn := postgres.Start(t), ""
	open := func(t *testing.T) access.Store {
		db, err := OpenPostgres(dsn)
		return closing(t, db, err)
	}
	storetest.Admin(t, func(t *testing.T) access.Store {
		dsn = server.Database(t)
		return open(t)
	}, open)
	dsn = server.Database(t)
	db, err := OpenPostgres(dsn)
	auditPages(t, closing(t, db, err))
	server.Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := db.TokenByID(ctx, "x"); err == nil || err == access.ErrNone {
		t.Errorf("a database that is away: %v", err)
	}
}

// auditPages reads a trail page by page, whole and filtered.
func auditPages(t *testing.T, db *DB) {
	t.Helper()
	ctx, at := t.Context(), time.Date(2026, 11, 21, 16, 0, 0, 0, time.UTC)
	var want []string
	for i := range 20 {
		e := ledger.Entry{Time: at.Add(time.Duration(i/3) * time.Second), Action: []string{"key.create", "key.revoke", "login"}[i%3], Outcome: "ok", Tenant: []string{"acme", "globex"}[i%2], Team: "t", Subject: fmt.Sprint(i)}
		if _, err := ledger.AuditOnce(ctx, db, e); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 && i%3 < 2 {
			want = append(want, e.Subject)
		}
	}
	read := func(f ledger.PageFilter) (out []string) {
		for {
			page, err := db.AuditPage(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				if e.Action != ledger.ChainStart {
					out = append(out, e.Subject)
				}
			}
			if len(page) < f.Limit {
				return out
			}
			f.Before = page[len(page)-1]
		}
	}
	for _, limit := range []int{1, 3, 100} {
		if all := read(ledger.PageFilter{Limit: limit}); len(all) != 20 || all[19] != "0" && all[19] != "1" && all[19] != "2" {
			t.Errorf("by %d: %v", limit, all)
		}
		got := read(ledger.PageFilter{Tenant: "acme", Team: "t", Action: "key.*", Limit: limit})
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("by %d, filtered: %v, want %v", limit, got, want)
		}
		if none := read(ledger.PageFilter{Tenant: "nobody", Limit: limit}); len(none) != 0 {
			t.Errorf("of nobody: %v", none)
		}
	}
}
