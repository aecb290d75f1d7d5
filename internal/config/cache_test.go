package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const cacheProviders = `
providers: [{name: openai, schema: openai, endpoint: "http://127.0.0.1:1", models: [m], credentials: []}]
`

func compiled(t *testing.T, yaml string, env map[string]string) (*Snapshot, error) {
	t.Helper()
	f, _ := Parse("test.yaml", []byte(cacheProviders+yaml)) // Compile reports what is wrong with its form
	return Compile(f, Options{Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok }})
}

func TestCacheDefaults(t *testing.T) {
	for yaml, want := range map[string]string{
		"":                      "{0s 0s 0 0 false {1 false false}} {false 0s 0}",
		"cache: {exact: {}}":    "{1h0m0s 0s 67108864 8388608 false {1 false false}} {true 1m0s 1000}",
		"cache: {coalesce: {}}": "{0s 0s 0 0 false {1 false false}} {true 1m0s 1000}",
		"cache: {exact: {max_bytes: 4096}, coalesce: {enabled: false}}":                                 "{1h0m0s 0s 4096 1024 false {1 false false}} {false 1m0s 1000}",
		"cache: {exact: {max_temperature: 0, tools: true, images: true, stale_if_error: 24h, ttl: 1m}}": "{1m0s 24h0m0s 67108864 8388608 false {0 true true}} {true 1m0s 1000}",
		"cache: {exact: {}}\nstore: {redis: {address: \"127.0.0.1:6379\"}}":                             "{1h0m0s 0s 67108864 8388608 true {1 false false}} {true 1m0s 1000}",
		"cache: {exact: {store: memory}}\nstore: {redis: {address: \"127.0.0.1:6379\"}}":                "{1h0m0s 0s 67108864 8388608 false {1 false false}} {true 1m0s 1000}",
		"cache: {exact: {max_entry_bytes: 2048}, coalesce: {max_wait: 5s, max_followers: 3}}":           "{1h0m0s 0s 67108864 2048 false {1 false false}} {true 5s 3}",
	} {
		s, err := compiled(t, yaml, nil)
		if err != nil {
			t.Errorf("%s: %v", yaml, err)
			continue
		}
		if got := fmt.Sprintf("%v %v", s.Cache, s.Coalesce); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", yaml, got, want)
		}
	}
	if kept := (Cache{TTL: time.Hour, Stale: time.Minute}).Kept(); kept != 61*time.Minute {
		t.Errorf("kept for %s", kept)
	}
}

func TestExactByRoute(t *testing.T) {
	routes := "routes: [{model: on, cache: {exact: true}, candidates: [openai/m]}, {model: off, cache: {exact: false}, candidates: [openai/m]}, {model: unsaid, candidates: [openai/m]}]\n"
	for yaml, want := range map[string]map[string]bool{
		routes + "cache: {exact: {}}":             {"on": true, "off": false, "unsaid": true, "auto": true, "m": true, "openai/other": true},
		routes + "cache: {exact: {opt_in: true}}": {"on": true, "off": false, "unsaid": false, "auto": false, "m": false, "openai/other": false},
	} {
		s, err := compiled(t, yaml, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, exact := range want {
			r, err := s.Lookup(name)
			if err != nil || r.Exact != exact {
				t.Errorf("%s: %s: %v %v", yaml, name, r, err)
			}
		}
	}
}

func TestCacheScope(t *testing.T) {
	s, err := compiled(t, "tenants: [{name: a, cache_scope: both, keys: [{name: k, hash: '"+HashKey("dgm_1")+"'}]}, {name: b, keys: [{name: k, hash: '"+HashKey("dgm_2")+"'}]}]", nil)
	if err != nil {
		t.Fatal(err)
	}
	scopes := map[string]string{}
	for _, p := range s.Keys.ByHash {
		scopes[p.Tenant] = p.Scope
	}
	if scopes["a"] != "both" || scopes["b"] != "" {
		t.Errorf("scopes: %v", scopes)
	}
}

func TestRedis(t *testing.T) {
	dir := t.TempDir()
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte("hunter22\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"REDIS_PASSWORD": "sesame42"}
	s, err := compiled(t, `store: {redis: {addresses: ["a.example:6379", "b.example:6379"], cluster: true, username: u, password: {env: REDIS_PASSWORD}, tls: {server_name: r.example}, prefix: "x:", connections: 7}}`, env)
	if err != nil {
		t.Fatal(err)
	}
	r := s.Redis
	if len(r.Addresses) != 2 || !r.Cluster || r.Username != "u" || r.Password.Reveal() != "sesame42" || !r.TLS || r.ServerName != "r.example" || r.Prefix != "x:" || r.Connections != 7 {
		t.Errorf("%+v", r)
	}
	if text := fmt.Sprintf("%+v %#v", r, r); strings.Contains(text, "sesame42") {
		t.Errorf("the password is printed: %s", text)
	}
	other := *r
	if other.Password = NewSecret("new", "env REDIS_PASSWORD"); r.Same(&other) || !r.Same(r) || r.Same(nil) || !(*Redis)(nil).Same(nil) {
		t.Error("Same does not tell a rotated password")
	}
	byFile, err := compiled(t, `store: {redis: {address: "redis:6379", password: {file: "`+secret+`"}}}`, nil)
	if err != nil || byFile.Redis.Password.Reveal() != "hunter22" || byFile.Redis.Prefix != "dragoman:" || byFile.Redis.Connections != 64 {
		t.Fatalf("%v %+v", err, byFile)
	}
	if !strings.Contains(strings.Join(byFile.Warnings, "\n"), "clear text") {
		t.Errorf("no warning of a password in clear: %q", byFile.Warnings)
	}
	if s.Version == byFile.Version {
		t.Error("another store, the same version")
	}
}

func TestRedisFaults(t *testing.T) {
	for yaml, want := range map[string]string{
		`store: {redis: {}}`:                                                          "store.redis.address: is missing",
		`store: {redis: {address: "redis"}}`:                                          "store.redis.address: must be a host and a port",
		`store: {redis: {address: ":6379"}}`:                                          "must be a host and a port",
		`store: {redis: {address: "r:0"}}`:                                            "from 1 to 65535",
		`store: {redis: {address: "r:http"}}`:                                         "from 1 to 65535",
		`store: {redis: {address: "r:1", addresses: ["r:2"]}}`:                        "exclude each other",
		`store: {redis: {addresses: ["r:1", "r:2"]}}`:                                 "cluster: true",
		`store: {redis: {addresses: ["r:1", "r"], cluster: true}}`:                    "store.redis.addresses[1]: must be",
		`store: {redis: {address: "r:1", cluster: true, sentinel_master: m}}`:         "exclude each other",
		`store: {redis: {address: "r:1", cluster: true, database: 3}}`:                "store.redis.database: must be 0",
		`store: {redis: {address: "r:1", password: {env: ABSENT}}}`:                   "store.redis.password: the environment variable ABSENT is not set",
		`store: {redis: {address: "r:1", password: secret}}`:                          "store.redis.password: a secret's value must not stand",
		`store: {redis: {address: "r:1", prefix: "` + strings.Repeat("p", 65) + `"}}`: "store.redis.prefix: must be at most 64",
		`cache: {exact: {store: redis}}`:                                              "cache.exact.store: is redis, and there is no store.redis",
		`cache: {exact: {max_temperature: 3}}`:                                        "cache.exact.max_temperature: must be from 0 to 2",
		`cache: {coalesce: {max_followers: 0}, exact: {ttl: 0s}}`:                     "cache.exact.ttl: must be from",
		`tenants: [{name: a, cache_scope: "a b"}]`:                                    "tenants[0].cache_scope: must be 1 to 63",
	} {
		_, err := compiled(t, yaml, nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s:\ngot  %v\nwant %s", yaml, err, want)
		}
	}
}
