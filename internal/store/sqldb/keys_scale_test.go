package sqldb

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/keystore"
)

// What a hundred thousand keys take: to be read at a start, to be looked for changes in, in memory and in the file of known keys.
func TestHundredThousandKeys(t *testing.T) {
	const keys, teams = 100_000, 500
	dir := t.TempDir()
	db := sqlite(t, filepath.Join(dir, "ledger.db"))
	snap := teamsSnapshot(t, teams)
	options := keystore.Options{Database: db, Secret: "a secret of more than 32 characters, for tests alone", Config: func() *config.Snapshot { return snap },
		Settings: config.KeyStore{Refresh: time.Second, Cache: filepath.Join(dir, "keys.cache")}}
	if err := keystore.New(options).Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fillKeys(t, db, keys, teams)

	before := heap()
	began := time.Now()
	s := keystore.New(options)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	load := time.Since(began)
	each := float64(heap()-before) / keys
	if n := s.Status().Keys; n != keys {
		t.Fatalf("%d keys", n)
	}
	began = time.Now()
	const looks = 50
	for range looks {
		if err := s.Refresh(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	look := time.Since(began) / looks

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Run(ctx) // its last words write the file
	info, err := os.Stat(options.Settings.Cache)
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	began = time.Now()
	again := keystore.New(options)
	if err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	fromFile := time.Since(began)
	if st := again.Status(); st.Keys != keys || st.Source != keystore.SourceCache {
		t.Fatalf("%+v", st)
	}
	t.Logf("%d keys: read in %s, %.0f bytes each in memory, a look for changes %s; a file of %d MiB, read in %s", keys, load, each, look, info.Size()>>20, fromFile)
	if each > 1000 {
		t.Errorf("a key takes %.0f bytes", each)
	}
	if load > 30*time.Second || look > 100*time.Millisecond || fromFile > 20*time.Second {
		t.Error("that is too slow")
	}
	runtime.KeepAlive(s)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func teamsSnapshot(t *testing.T, teams int) *config.Snapshot {
	t.Helper()
	text := "providers: [{name: openai, endpoint: 'http://127.0.0.1:1'}]\nidentity: {keys: {}}\nledger: {sqlite: /nowhere/ledger.db}\ntenants:\n- name: acme\n  teams:\n"
	for n := range teams {
		text += fmt.Sprintf("  - {name: team%d}\n", n)
	}
	file, err := config.Parse("dragoman.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := config.Compile(file, config.Options{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// fillKeys stores keys at once: a transaction each would take minutes.
func fillKeys(t *testing.T, db *DB, keys, teams int) {
	t.Helper()
	tx, err := db.write.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback() }()
	insert, err := tx.Prepare("INSERT INTO dragoman_keys (id, tenant, team, user_id, name, spec, created_us, created_by, expires_us, revoked_us, revoked_by, last_used_us, revision) VALUES (?, 'acme', ?, ?, 'laptop', ?, 1, 'me', 0, 0, '', 0, ?)")
	if err != nil {
		t.Fatal(err)
	}
	secret, err := tx.Prepare("INSERT INTO dragoman_key_secrets (hash, key_id, prefix, created_us, expires_us) VALUES (?, ?, 'dgm_ab12cd…', 1, 0)")
	if err != nil {
		t.Fatal(err)
	}
	var hash [32]byte
	for n := range keys {
		id := fmt.Sprintf("key_%026d", n)
		_, _ = rand.Read(hash[:])
		if _, err := insert.Exec(id, fmt.Sprintf("team%d", n%teams), fmt.Sprintf("user%d", n),
			`{"name":"laptop", "models":["gpt-*", "auto"], "limits":{"requests_per_minute":"60"}, "budgets":[{"usd":20, "per":"month"}]}`, n+1); err != nil {
			t.Fatal(err)
		}
		if _, err := secret.Exec(fmt.Sprintf("%x", hash), id); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec("UPDATE dragoman_key_state SET revision = ?, live = ?", keys, keys); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}
