package sqldb

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"dragoman/internal/keystore"
	"dragoman/internal/store/storetest"
	"dragoman/test/postgres"
)

func TestKeysInSQLite(t *testing.T) {
	path := ""
	storetest.Keys(t, func(t *testing.T) storetest.KeyDatabase {
		path = filepath.Join(t.TempDir(), "keys.db")
		return sqlite(t, path)
	}, func(t *testing.T) storetest.KeyDatabase { return sqlite(t, path) })
}

func TestKeysInPostgres(t *testing.T) {
	server, dsn := postgres.Start(t), ""
	open := func(t *testing.T) storetest.KeyDatabase {
		db, err := OpenPostgres(dsn)
		return closing(t, db, err)
	}
	storetest.Keys(t, func(t *testing.T) storetest.KeyDatabase {
		dsn = server.Database(t)
		return open(t)
	}, open)
}

// A database that stands still holds up nobody for longer than they wanted to wait, and is found again when it goes on.
func TestKeysWhilePostgresStandsStill(t *testing.T) {
	server := postgres.Start(t)
	db, err := OpenPostgres(server.Database(t))
	closing(t, db, err)
	if _, err := db.ClaimKeys(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Thaw() })
	for name, ask := range map[string]func(context.Context) error{
		"state": func(ctx context.Context) error { _, err := db.KeyState(ctx); return err },
		"uses":  func(ctx context.Context) error { return db.NoteUses(ctx, []keystore.Use{{ID: "a", At: keyTestTime}}) },
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		began := time.Now()
		if err := ask(ctx); err == nil {
			t.Errorf("%s: a frozen database answers", name)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: took %s", name, took)
		}
		cancel()
	}
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err = db.KeyState(t.Context()); err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

var keyTestTime = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
