package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const keysTenants = "tenants: [{name: acme}]\nproviders: [{name: openai, endpoint: 'http://127.0.0.1:1'}]\n"

func loadKeys(t *testing.T, dir, text string) (*Snapshot, error) {
	t.Helper()
	path := filepath.Join(dir, "dragoman.yaml")
	if err := os.WriteFile(path, []byte(keysTenants+text), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"HOME": "/home/ada", "KEYS_SECRET": strings.Repeat("k", 32), "SHORT": strings.Repeat("k", 31), "DSN": "postgres://localhost/x"}
	return Load(Options{Path: path, Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
}

func TestKeyStore(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(strings.Repeat("f", 40)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const state = "/home/ada/.local/state/dragoman"
	for name, c := range map[string]struct {
		text string
		want KeyStore
		from string // of the secret
	}{
		"SQLite":           {"ledger: {sqlite: data/l.db}\nidentity: {keys: {}}", KeyStore{SecretFile: dir + "/data/keys.secret", Refresh: time.Second, Cache: dir + "/data/keys.cache"}, ""},
		"the state folder": {"ledger: {}\nidentity: {keys: {}}", KeyStore{SecretFile: state + "/keys.secret", Refresh: time.Second, Cache: state + "/keys.cache"}, ""},
		"its own log":      {"ledger: {sqlite: data/l.db, log: {path: one/log}}\nidentity: {keys: {}}", KeyStore{SecretFile: dir + "/data/keys.secret", Refresh: time.Second, Cache: dir + "/one/keys.cache"}, ""},
		"no ledger yet":    {"identity: {keys: {}}", KeyStore{Refresh: time.Second}, ""},
		"all of it": {"ledger: {postgres: {dsn: {env: DSN}}}\nidentity: {keys: {secret: {env: KEYS_SECRET}, refresh: 500ms, max_age: 2160h, cache: here}}",
			KeyStore{Refresh: 500 * time.Millisecond, MaxAge: 2160 * time.Hour, Cache: dir + "/here"}, "env KEYS_SECRET"},
		"a file": {"ledger: {postgres: {dsn: {env: DSN}}}\nidentity: {keys: {secret: {file: secret}}}", KeyStore{Refresh: time.Second, Cache: state + "/keys.cache"}, "file " + dir + "/secret"},
	} {
		t.Run(name, func(t *testing.T) {
			snap, err := loadKeys(t, dir, c.text)
			if err != nil {
				t.Fatal(err)
			}
			got := *snap.KeyStore
			if got.Secret.Source() != c.from {
				t.Errorf("the secret is from %q", got.Secret.Source())
			}
			got.Secret = Secret{}
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			for _, w := range snap.Warnings {
				if strings.Contains(w, "nobody may call") {
					t.Errorf("warns: %s", w)
				}
			}
		})
	}
	if snap, err := loadKeys(t, dir, "identity: {}"); err != nil || snap.KeyStore != nil {
		t.Errorf("without keys: %+v, %v", snap.KeyStore, err)
	}
	// Beside a ledger that the configuration does not name.
	if got := (KeyStore{}).Beside(OwnLedger("/state")); got.SecretFile != "/state/keys.secret" || got.Cache != "/state/keys.cache" {
		t.Errorf("%+v", got)
	}
	if got := (KeyStore{Secret: NewSecret("x", "env X"), Cache: "/c"}).Beside(OwnLedger("/state")); got.SecretFile != "" || got.Cache != "/c" {
		t.Errorf("%+v", got)
	}
}

func TestKeyStoreVersion(t *testing.T) {
	dir, versions := t.TempDir(), map[string]bool{}
	for _, secret := range []string{strings.Repeat("a", 40), strings.Repeat("b", 40)} {
		if err := os.WriteFile(filepath.Join(dir, "secret"), []byte(secret), 0o600); err != nil {
			t.Fatal(err)
		}
		snap, err := loadKeys(t, dir, "identity: {keys: {secret: {file: secret}}}")
		if err != nil {
			t.Fatal(err)
		}
		versions[snap.Version] = true
	}
	if len(versions) != 2 {
		t.Error("a secret that has changed is the same configuration")
	}
}

func TestKeyStoreSame(t *testing.T) {
	a, b, c := &KeyStore{Cache: "/a"}, &KeyStore{Cache: "/a"}, &KeyStore{Cache: "/c"}
	var none *KeyStore
	for _, x := range []struct {
		a, b *KeyStore
		want bool
	}{{a, b, true}, {a, c, false}, {a, none, false}, {none, a, false}, {none, none, true}} {
		if got := x.a.Same(x.b); got != x.want {
			t.Errorf("%v and %v: %t", x.a, x.b, got)
		}
	}
}
