package vault

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/config"
	"dragoman/test/openbao"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// counts is what a keeper reported.
type counts struct {
	mu     sync.Mutex
	reads  map[Kind]int
	logins map[string]int
	oldest time.Time
	end    time.Time
}

func (c *counts) login(op string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.logins[op]
}

// keeper is one that ends with the test, and what it reports.
func keeper(t *testing.T) (*Keeper, *counts) {
	t.Helper()
	c := &counts{reads: map[Kind]int{}, logins: map[string]int{}}
	locked := func(f func()) { c.mu.Lock(); defer c.mu.Unlock(); f() }
	k := New(Options{Report: Report{
		Read: func(kind Kind) { locked(func() { c.reads[kind]++ }) },
		Login: func(op string, err error) {
			if err != nil {
				op += " failed"
			}
			locked(func() { c.logins[op]++ })
		},
		State: func(oldest, end time.Time) { locked(func() { c.oldest, c.end = oldest, end }) },
	}})
	t.Cleanup(k.Close)
	return k, c
}

func secretOf(value string) config.Secret { return config.NewSecret(value, "env SECRET") }

func withToken(address, token string) *config.Vault {
	return &config.Vault{Address: address, Token: secretOf(token), Refresh: time.Second, Timeout: 5 * time.Second}
}

func ref(path, field string) config.VaultRef {
	return config.VaultRef{Mount: "secret", Path: path, Field: field}
}

// use puts into force what a load read.
func use(t *testing.T, k *Keeper, v *config.Vault, refs ...config.VaultRef) config.VaultAnswer {
	t.Helper()
	a := k.Read(v, refs)
	if a.Login != nil || len(a.Errs) > 0 {
		t.Fatalf("read: %v %v", a.Login, a.Errs)
	}
	v.Refs, v.Values = refs, map[config.VaultRef]config.Secret{}
	for r, value := range a.Values {
		v.Values[r] = secretOf(value)
	}
	k.Use(v)
	return a
}

// run runs the keeper until the test ends; the function counts how often something had changed.
func run(t *testing.T, k *Keeper) func() int64 {
	t.Helper()
	var changes atomic.Int64
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.Run(ctx, slog.New(slog.DiscardHandler), func() { changes.Add(1) })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return changes.Load
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not happen: " + what)
		}
	}
}

// policy lets its tokens read secret/dragoman/*, and nothing else.
const policy = `path "secret/data/dragoman/*" { capabilities = ["read"] }`

func policied(t *testing.T, s *openbao.Server) *openbao.Server {
	t.Helper()
	s.Must(t, http.MethodPut, "sys/policies/acl/dragoman", map[string]string{"policy": policy})
	s.Put(t, "dragoman/openai", map[string]any{"key": "SECRET-1", "org": "acme", "number": 7})
	return s
}

// What the API says of secrets that are there, that are not, and that are no secrets, by a real server.
func TestReadOfEverything(t *testing.T) {
	s := policied(t, openbao.Start(t))
	s.Put(t, "dragoman/a/b/c", map[string]any{"value": "SECRET-deep"})
	s.Put(t, "dragoman/versions", map[string]any{"value": "SECRET-old"})
	s.Put(t, "dragoman/versions", map[string]any{"value": "SECRET-new"})
	s.Put(t, "dragoman/deleted", map[string]any{"value": "SECRET-x"})
	s.Must(t, http.MethodDelete, "secret/data/dragoman/deleted", nil)
	s.Put(t, "dragoman/destroyed", map[string]any{"value": "SECRET-y"})
	s.Must(t, http.MethodPut, "secret/destroy/dragoman/destroyed", map[string]any{"versions": []int{1}})
	s.Must(t, http.MethodPost, "secret/metadata/dragoman/expiring", map[string]any{"delete_version_after": "1h"})
	s.Put(t, "dragoman/expiring", map[string]any{"value": "SECRET-lives"})
	s.Put(t, "dragoman/empty", map[string]any{})
	s.Put(t, "other", map[string]any{"value": "SECRET-z"})
	s.Must(t, http.MethodPost, "sys/mounts/old", map[string]any{"type": "kv", "options": map[string]string{"version": "1"}})
	s.Must(t, http.MethodPost, "old/data/dragoman", map[string]string{"value": "SECRET-v1"})
	s.Must(t, http.MethodPost, "sys/mounts/kv/team", map[string]any{"type": "kv-v2"})
	eventually(t, "the second engine is ready", func() bool {
		_, err := s.Do(http.MethodPost, "kv/team/data/x", map[string]any{"data": map[string]string{"value": "SECRET-mount"}})
		return err == nil
	})
	at := func(mount, path, field string) config.VaultRef {
		return config.VaultRef{Mount: mount, Path: path, Field: field}
	}
	cases := map[config.VaultRef]string{
		ref("dragoman/openai", "key"):     "SECRET-1",
		ref("dragoman/openai", "org"):     "acme",
		ref("dragoman/a/b/c", "value"):    "SECRET-deep",
		ref("dragoman/versions", "value"): "SECRET-new",
		ref("dragoman/expiring", "value"): "SECRET-lives",
		at("kv/team", "x", "value"):       "SECRET-mount",

		ref("dragoman/openai", "nope"):     "! has no such field (version 1 has key, number, org)",
		ref("dragoman/openai", "number"):   "! is not text (version 1)",
		ref("dragoman/empty", "value"):     "! has no such field (version 1 has none)",
		ref("dragoman/deleted", "value"):   "! was deleted (version 1)",
		ref("dragoman/destroyed", "value"): "! was destroyed (version 1)",
		ref("dragoman/never", "value"):     "! does not exist",
		at("nothing", "x", "value"):        `! does not exist: no handler for route "nothing/data/x". route entry not found.`,
		at("old", "dragoman", "value"):     "! is not of a KV engine, version 2: is old one?",
	}
	var refs []config.VaultRef
	for r := range cases {
		refs = append(refs, r)
	}
	k, c := keeper(t)
	a := k.Read(withToken(s.URL, openbao.Root), refs)
	if a.Login != nil {
		t.Fatal(a.Login)
	}
	for r, want := range cases {
		got := a.Values[r]
		if err := a.Errs[r]; err != nil {
			got = "! " + err.Error()
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", r, got, want)
		}
	}
	if c.reads[""] != 6 || c.reads[Missing] != 6 || c.reads[Invalid] != 2 || c.login("login") != 1 {
		t.Errorf("counted %v, %v", c.reads, c.logins)
	}

	limited := s.Must(t, http.MethodPost, "auth/token/create", map[string]any{"policies": []string{"dragoman"}, "ttl": "1h"})
	token := limited["auth"].(map[string]any)["client_token"].(string)
	a = k.Read(withToken(s.URL, token), []config.VaultRef{ref("other", "value"), ref("dragoman/openai", "key")})
	want := "may not be read: permission denied (the token must be valid, and a policy of it must allow `read` on secret/data/other)"
	if err := a.Errs[ref("other", "value")]; err == nil || err.Error() != want || a.Values[ref("dragoman/openai", "key")] != "SECRET-1" || len(a.Errs) != 1 {
		t.Errorf("by policy: %v, values %d", err, len(a.Values))
	}
}

func TestNamespaces(t *testing.T) {
	s := openbao.Start(t)
	s.Must(t, http.MethodPost, "sys/namespaces/team", map[string]any{})
	s.Must(t, http.MethodPost, "team:sys/mounts/secret", map[string]any{"type": "kv-v2"})
	eventually(t, "the engine is ready", func() bool {
		_, err := s.Do(http.MethodPost, "team:secret/data/x", map[string]any{"data": map[string]string{"value": "SECRET-of-team"}})
		return err == nil
	})
	k, _ := keeper(t)
	v := withToken(s.URL, openbao.Root)
	v.Namespace = "team"
	if a := k.Read(v, []config.VaultRef{ref("x", "value")}); a.Values[ref("x", "value")] != "SECRET-of-team" {
		t.Errorf("got %v %v", a.Login, a.Errs)
	}
	root := withToken(s.URL, openbao.Root)
	if a := k.Read(root, []config.VaultRef{ref("x", "value")}); a.Errs[ref("x", "value")] == nil {
		t.Error("another namespace has it, too")
	}
	none := withToken(s.URL, openbao.Root)
	none.Namespace = "nobody"
	if a := k.Read(none, []config.VaultRef{ref("x", "value")}); a.Login == nil || !strings.Contains(a.Login.Error(), "namespace not found") {
		t.Errorf("a namespace that is none: %v", a.Login)
	}
}

func create(t *testing.T, s *openbao.Server, in map[string]any) string {
	t.Helper()
	in["policies"] = []string{"dragoman"}
	return s.Must(t, http.MethodPost, "auth/token/create", in)["auth"].(map[string]any)["client_token"].(string)
}

func TestGivenTokens(t *testing.T) {
	s := policied(t, openbao.Start(t))
	key := ref("dragoman/openai", "key")

	t.Run("a wrong one", func(t *testing.T) {
		k, _ := keeper(t)
		a := k.Read(withToken(s.URL, "s.SECRETtokenthatisnone"), []config.VaultRef{key})
		if err := a.Errs[key]; err == nil || !strings.Contains(err.Error(), "permission denied") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("renewed for as long as it is used", func(t *testing.T) {
		t.Parallel()
		k, c := keeper(t)
		use(t, k, withToken(s.URL, create(t, s, map[string]any{"period": "3s"})), key)
		changes := run(t, k)
		eventually(t, "three renewals", func() bool { return c.login("renew") >= 3 })
		if a := k.Read(k.inForce, []config.VaultRef{key}); a.Values[key] != "SECRET-1" || changes() != 0 || c.login("login") != 1 {
			t.Errorf("after %d changes: %v %v, %v", changes(), a.Errs, a.Login, c.logins)
		}
	})
	t.Run("whose longest life ends", func(t *testing.T) {
		t.Parallel()
		k, c := keeper(t)
		use(t, k, withToken(s.URL, create(t, s, map[string]any{"ttl": "2s", "explicit_max_ttl": "4s"})), key)
		changes := run(t, k)
		eventually(t, "it has ended", func() bool { return k.Status().Failing != nil })
		status := k.Status()
		if got := status.Failing[0]; !strings.Contains(got.Error, "permission denied") || got.Read.IsZero() || changes() != 0 || c.login("renew") == 0 {
			t.Errorf("got %+v, %d changes", status, changes())
		}
		if a := k.Read(k.inForce, []config.VaultRef{key}); a.Values[key] != "SECRET-1" {
			t.Errorf("what is in force is lost: %v %v", a.Errs, a.Login)
		}
	})
	t.Run("that cannot be renewed", func(t *testing.T) {
		t.Parallel()
		k, c := keeper(t)
		use(t, k, withToken(s.URL, create(t, s, map[string]any{"ttl": "1h", "renewable": false})), key)
		if st := k.Status(); !k.session.due().IsZero() || time.Until(st.TokenExpires) < 50*time.Minute || c.end != st.TokenExpires {
			t.Errorf("due %s, %+v", k.session.due(), st)
		}
	})
	t.Run("without the default policy", func(t *testing.T) {
		t.Parallel()
		k, _ := keeper(t)
		use(t, k, withToken(s.URL, create(t, s, map[string]any{"ttl": "1h", "no_default_policy": true})), key)
		if st := k.Status(); !st.TokenExpires.IsZero() {
			t.Errorf("%+v", st)
		}
	})
}

// approle makes a role, and what logs in with it.
func approle(t *testing.T, s *openbao.Server, role map[string]any) *config.Vault {
	t.Helper()
	if _, err := s.Do(http.MethodPost, "sys/auth/approle", map[string]string{"type": "approle"}); err != nil && !strings.Contains(err.Error(), "already in use") {
		t.Fatal(err)
	}
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", ",", "").Replace(t.Name()))
	role["token_policies"] = "dragoman"
	s.Must(t, http.MethodPost, "auth/approle/role/"+name, role)
	id := s.Must(t, http.MethodGet, "auth/approle/role/"+name+"/role-id", nil)["data"].(map[string]any)["role_id"].(string)
	secret := s.Must(t, http.MethodPost, "auth/approle/role/"+name+"/secret-id", map[string]any{})["data"].(map[string]any)["secret_id"].(string)
	v := withToken(s.URL, "")
	v.Token = config.Secret{}
	v.AppRole = &config.VaultAppRole{RoleID: id, Mount: "approle", SecretID: secretOf(secret)}
	return v
}

func TestAppRole(t *testing.T) {
	s := policied(t, openbao.Start(t))
	key := ref("dragoman/openai", "key")
	refused := func(t *testing.T, v *config.Vault, want string) {
		t.Helper()
		k, _ := keeper(t)
		a := k.Read(v, []config.VaultRef{key})
		if a.Login == nil || !strings.Contains(a.Login.Error(), want) || strings.Contains(a.Login.Error(), v.AppRole.SecretID.Reveal()) {
			t.Errorf("got %v, want %s", a.Login, want)
		}
	}
	t.Run("renewed, and anew when renewing has no use", func(t *testing.T) {
		t.Parallel()
		v := approle(t, s, map[string]any{"token_ttl": "2s", "token_max_ttl": "5s"})
		k, c := keeper(t)
		use(t, k, v, key)
		run(t, k)
		eventually(t, "three logins and renewals", func() bool { return c.login("login") >= 3 && c.login("renew") >= 3 })
		// A machine that is too busy may renew too late, and then logs in.
		if st := k.Status(); len(st.Failing) > 0 || c.login("login failed") > 0 || c.reads[""] < 3 {
			t.Errorf("%+v, %v", st, c.logins)
		}
	})
	t.Run("batch tokens, which cannot be renewed", func(t *testing.T) {
		t.Parallel()
		v := approle(t, s, map[string]any{"token_ttl": "2s", "token_type": "batch"})
		k, c := keeper(t)
		use(t, k, v, key)
		run(t, k)
		eventually(t, "three logins", func() bool { return c.login("login") >= 3 })
		if st := k.Status(); len(st.Failing) > 0 || c.login("renew") > 0 {
			t.Errorf("%+v, %v", st, c.logins)
		}
	})
	t.Run("a token that somebody revoked", func(t *testing.T) {
		t.Parallel()
		k, c := keeper(t)
		v := approle(t, s, map[string]any{"token_ttl": "1h"})
		use(t, k, v, key)
		s.Must(t, http.MethodPost, "auth/token/revoke", map[string]string{"token": k.session.get().value})
		run(t, k)
		eventually(t, "another login", func() bool { return c.login("login") == 2 })
		eventually(t, "nothing fails", func() bool { return k.Status().Failing == nil })
	})
	t.Run("what policy forbids makes no new login", func(t *testing.T) {
		t.Parallel()
		k, c := keeper(t)
		v := approle(t, s, map[string]any{"token_ttl": "1h"})
		a := k.Read(v, []config.VaultRef{key, ref("other", "value"), ref("another", "value")})
		if len(a.Errs) != 2 || a.Values[key] == "" || c.login("login") != 1 {
			t.Errorf("%v, %v", a.Errs, c.logins)
		}
		time.Sleep(freshCheck)
		if k.Read(v, []config.VaultRef{ref("other", "value")}); c.login("login") != 1 {
			t.Errorf("later: %v", c.logins)
		}
	})
	t.Run("the token ends with its user", func(t *testing.T) {
		v := approle(t, s, map[string]any{"token_ttl": "1h"})
		k := New(Options{})
		use(t, k, v, key)
		token := k.session.get().value
		k.Close()
		if _, err := s.Do(http.MethodPost, "auth/token/lookup", map[string]string{"token": token}); err == nil {
			t.Error("it is still valid")
		}
	})
	t.Run("a wrong role", func(t *testing.T) {
		v := approle(t, s, map[string]any{})
		v.AppRole.RoleID = "nobody"
		refused(t, v, "invalid role or secret ID")
	})
	t.Run("a wrong secret", func(t *testing.T) {
		v := approle(t, s, map[string]any{})
		v.AppRole.SecretID = secretOf("SECRET-that-is-none")
		refused(t, v, "invalid role or secret ID")
	})
	t.Run("a wrong mount", func(t *testing.T) {
		v := approle(t, s, map[string]any{})
		v.AppRole.Mount = "elsewhere"
		refused(t, v, "permission denied")
	})
	t.Run("a secret for one login is used twice", func(t *testing.T) {
		v := approle(t, s, map[string]any{"secret_id_num_uses": 1, "token_ttl": "1h"})
		k, _ := keeper(t)
		use(t, k, v, key)
		refused(t, v, "invalid role or secret ID")
	})
	t.Run("a secret that has expired", func(t *testing.T) {
		v := approle(t, s, map[string]any{"secret_id_ttl": "1s"})
		time.Sleep(1500 * time.Millisecond)
		refused(t, v, "invalid role or secret ID")
	})
}

// A secret that changes in Vault is seen within a refresh, and nothing else is.
func TestRotation(t *testing.T) {
	s := policied(t, openbao.Start(t))
	k, c := keeper(t)
	key, org := ref("dragoman/openai", "key"), ref("dragoman/openai", "org")
	v := withToken(s.URL, openbao.Root)
	use(t, k, v, key, org)
	changes := run(t, k)
	eventually(t, "two refreshes", func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.reads[""] >= 6 })
	if changes() != 0 {
		t.Fatalf("%d changes of nothing", changes())
	}
	s.Put(t, "dragoman/openai", map[string]any{"key": "SECRET-1", "org": "acme", "more": "that nobody uses"})
	time.Sleep(1500 * time.Millisecond)
	if changes() != 0 {
		t.Fatal("a field that nobody uses has changed")
	}
	s.Put(t, "dragoman/openai", map[string]any{"key": "SECRET-2", "org": "acme"})
	started := time.Now()
	eventually(t, "the change is seen", func() bool { return changes() > 0 })
	if took := time.Since(started); took > 3*time.Second {
		t.Errorf("after %s", took)
	}
	again := *v
	if a := use(t, k, &again, key, org); a.Values[key] != "SECRET-2" {
		t.Errorf("got %v", a.Errs)
	}
	if c.oldest.IsZero() || time.Since(c.oldest) > 5*time.Second || k.Status().Oldest.IsZero() {
		t.Errorf("read at %s", c.oldest)
	}
	k.Use(nil)
	if k.Status() != nil || !c.oldest.IsZero() {
		t.Error("nothing is in use")
	}
}

// While Vault is away, sealed, frozen or limiting, what is in force stays; what never was read is an error that says why.
func TestOutages(t *testing.T) {
	s := policied(t, openbao.Start(t))
	key, fresh := ref("dragoman/openai", "key"), ref("dragoman/new", "value")
	s.Put(t, "dragoman/new", map[string]any{"value": "SECRET-new"})
	k, c := keeper(t)
	v := withToken(s.URL, openbao.Root)
	v.Timeout = time.Second
	use(t, k, v, key)
	changes := run(t, k)

	outage := func(name, want string, kind Kind) {
		t.Helper()
		started := time.Now()
		a := k.Read(v, []config.VaultRef{key, fresh})
		if a.Values[key] != "SECRET-1" || a.Errs[key] != nil || a.Login != nil {
			t.Errorf("%s: what is in force: %v %v", name, a.Errs[key], a.Login)
		}
		if err := a.Errs[fresh]; err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "cannot be read: "+s.URL) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
		if took := time.Since(started); took > (rounds+1)*v.Timeout {
			t.Errorf("%s: took %s", name, took)
		}
		eventually(t, name+" is known", func() bool {
			st := k.Status()
			return len(st.Failing) == 1 && strings.Contains(st.Failing[0].Error, want)
		})
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.reads[kind] == 0 {
			t.Errorf("%s: counted %v", name, c.reads)
		}
	}
	recovered := func(name string) {
		t.Helper()
		eventually(t, "after "+name, func() bool { return k.Status().Failing == nil })
	}
	s.Seal(t)
	outage("sealed", "is sealed", Sealed)
	s.Unseal(t)
	recovered("sealing")
	if changes() == 0 {
		t.Error("a load that lacked a secret is not tried again")
	}

	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	outage("frozen", "no answer within 1s", Away)
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	recovered("freezing")

	s.Must(t, http.MethodPost, "sys/quotas/rate-limit/test", map[string]any{"rate": 0.01, "interval": "60s", "path": "secret/"})
	k.Read(v, []config.VaultRef{key}) // the one request that is left
	outage("limited", "limits requests: request path", Limited)
	s.Must(t, http.MethodDelete, "sys/quotas/rate-limit/test", nil)
	recovered("limiting")

	s.Stop()
	outage("away", "connection refused", Away)
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	policied(t, s)
	recovered("being away")

	// Another server's secret of the same name is another secret.
	other := withToken("http://127.0.0.1:1", "t")
	other.Timeout = time.Second
	if a := k.Read(other, []config.VaultRef{key}); a.Values[key] != "" || a.Errs[key] == nil {
		t.Errorf("got %v", a.Errs)
	}
	if a := k.Read(v, []config.VaultRef{key}); a.Values[key] != "SECRET-1" {
		t.Errorf("the session in force: %v %v", a.Errs, a.Login)
	}
}

// A secret that is deleted while in use is no outage either: what is in force stays, and is named.
func TestDeletedWhileInUse(t *testing.T) {
	s := policied(t, openbao.Start(t))
	k, c := keeper(t)
	key := ref("dragoman/openai", "key")
	v := withToken(s.URL, openbao.Root)
	use(t, k, v, key)
	changes := run(t, k)
	s.Must(t, http.MethodDelete, "secret/data/dragoman/openai", nil)
	eventually(t, "it is known", func() bool { return len(k.Status().Failing) == 1 })
	if st := k.Status(); st.Failing[0].Error != "was deleted (version 1)" || st.Failing[0].Secret != "secret/dragoman/openai#key" || changes() != 0 {
		t.Errorf("%+v", st)
	}
	if a := k.Read(v, []config.VaultRef{key}); a.Values[key] != "SECRET-1" || c.reads[Missing] == 0 {
		t.Errorf("%v %v", a.Errs, c.reads)
	}
	s.Must(t, http.MethodPost, "secret/undelete/dragoman/openai", map[string]any{"versions": []int{1}})
	eventually(t, "it is back", func() bool { return k.Status().Failing == nil })
}

// A token that Vault Agent writes anew, or an operator: the session follows, and a load that fails in between is made up for.
func TestAnotherToken(t *testing.T) {
	s := policied(t, openbao.Start(t))
	k, c := keeper(t)
	key := ref("dragoman/openai", "key")
	use(t, k, withToken(s.URL, create(t, s, map[string]any{"ttl": "1h"})), key)
	old := k.session
	bad := withToken(s.URL, "s.none")
	if a := k.Read(bad, []config.VaultRef{key}); a.Values[key] != "SECRET-1" || k.session != old {
		t.Errorf("the same server's secret is known: %v %v", a.Errs, a.Login)
	}
	next := withToken(s.URL, create(t, s, map[string]any{"ttl": "1h"}))
	use(t, k, next, key)
	if k.session == old || k.tried != nil || c.login("login") != 3 {
		t.Errorf("logins %v", c.logins)
	}
	if _, err := s.Do(http.MethodPost, "auth/token/lookup", map[string]string{"token": old.c.v.Token.Reveal()}); err != nil {
		t.Errorf("a token that was given is not ours to revoke: %v", err)
	}
}

func TestManyAtOnce(t *testing.T) {
	s := openbao.Start(t)
	var refs []config.VaultRef
	for i := range 60 {
		path := fmt.Sprintf("many/%d", i)
		s.Put(t, path, map[string]any{"value": path})
		refs = append(refs, ref(path, "value"))
	}
	k, _ := keeper(t)
	v := withToken(s.URL, openbao.Root)
	var all sync.WaitGroup
	for range 8 { // loads are one at a time, a refresh may be beside one
		all.Go(func() {
			a := k.Read(v, refs)
			for _, r := range refs {
				if a.Values[r] != r.Path {
					t.Errorf("%s: %q %v", r, a.Values[r], a.Errs[r])
				}
			}
		})
	}
	all.Wait()
}

// A session whose login file is missing says so, by the path that the configuration names.
func TestKubernetesTokenFile(t *testing.T) {
	dir := t.TempDir()
	v := withToken("http://127.0.0.1:1", "")
	v.Token = config.Secret{}
	v.Kubernetes = &config.VaultKubernetes{Role: "dragoman", Mount: "kubernetes", TokenFile: filepath.Join(dir, "token")}
	for name, c := range map[string]struct{ text, want string }{
		"missing": {"", "does not exist"},
		"empty":   {" \n", "holds no token"},
		"binary":  {"a\x00b", "holds no token"},
		"long":    {strings.Repeat("x", maxJWT+1), "holds no token"},
	} {
		if c.text != "" {
			if err := os.WriteFile(v.Kubernetes.TokenFile, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Remove(v.Kubernetes.TokenFile); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		k, _ := keeper(t)
		a := k.Read(v, []config.VaultRef{ref("x", "value")})
		if a.Login == nil || !strings.Contains(a.Login.Error(), c.want) || !strings.Contains(a.Login.Error(), v.Kubernetes.TokenFile) {
			t.Errorf("%s: %v", name, a.Login)
		}
	}
	v.Kubernetes.TokenFile = dir
	if _, err := readToken(dir); err == nil {
		t.Error("a folder is no token")
	}
}
