package sqldb

import (
	"path/filepath"
	"testing"

	"dragoman/internal/ledger"
	"dragoman/internal/store/storetest"
	"dragoman/test/postgres"
)

func closing(t *testing.T, db *DB, err error) *DB {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func sqlite(t *testing.T, path string) *DB {
	t.Helper()
	db, err := OpenSQLite(path)
	return closing(t, db, err)
}

func TestSQLite(t *testing.T) {
	path := ""
	storetest.Ledger(t, func(t *testing.T) ledger.Database {
		path = filepath.Join(t.TempDir(), "a folder", "ledger?.db")
		return sqlite(t, path)
	}, func(t *testing.T) ledger.Database { return sqlite(t, path) })
}

func TestPostgres(t *testing.T) {
	server, dsn := postgres.Start(t), ""
	open := func(t *testing.T) ledger.Database {
		db, err := OpenPostgres(dsn)
		return closing(t, db, err)
	}
	storetest.Ledger(t, func(t *testing.T) ledger.Database {
		dsn = server.Database(t)
		return open(t)
	}, open)
}
