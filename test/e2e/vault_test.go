package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/openbao"
)

const (
	vaultKey1 = "sk-canary-of-vault-1-5d0c"
	vaultKey2 = "sk-canary-of-vault-2-81fe"
)

const inVault = `vault: {address: %q, app_role: {role_id: %q, secret_id: {env: VAULT_SECRET_ID}}, refresh: 1s, timeout: 2s}
providers:
- {name: openai, endpoint: {{endpoint "openai"}}, models: [gpt-5-mini], credentials: [{secret: {vault: {path: dragoman/openai, field: key}}}]}
`

// appRole makes a role that may read secret/dragoman/*, and its two halves.
func appRole(t *testing.T, s *openbao.Server) (role, secret string) {
	t.Helper()
	s.Must(t, http.MethodPut, "sys/policies/acl/dragoman", map[string]string{"policy": `path "secret/data/dragoman/*" { capabilities = ["read"] }`})
	s.Must(t, http.MethodPost, "sys/auth/approle", map[string]string{"type": "approle"})
	s.Must(t, http.MethodPost, "auth/approle/role/dragoman", map[string]any{"token_policies": "dragoman", "token_ttl": "6s", "token_max_ttl": "20s"})
	data := func(out map[string]any, name string) string { return out["data"].(map[string]any)[name].(string) }
	role = data(s.Must(t, http.MethodGet, "auth/approle/role/dragoman/role-id", nil), "role_id")
	return role, data(s.Must(t, http.MethodPost, "auth/approle/role/dragoman/secret-id", map[string]any{}), "secret_id")
}

// TestSecretsOfVault: a real OpenBao, a real Envoy. The provider's key comes from Vault, is another one within a refresh of its rotation
// with no request lost, and stays while Vault is away; without Vault nothing starts, and says so.
func TestSecretsOfVault(t *testing.T) {
	s := openbao.Start(t)
	role, secret := appRole(t, s)
	s.Put(t, "dragoman/openai", map[string]any{"key": vaultKey1})
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(inVault, s.URL, role), Env: map[string]string{"VAULT_SECRET_ID": secret},
		Fakes: []fakeprovider.Options{{Schema: fakeprovider.OpenAI, Models: []string{"gpt-5-mini"}, Keys: []string{vaultKey1, vaultKey2}}}})
	t.Cleanup(s.Stop) // before the gateway's own end, which looks for what is left running
	fake := g.OpenAI()
	sent := func() string { return strings.TrimPrefix(fake.Last().Header.Get("Authorization"), "Bearer ") }
	must := func(what string) {
		t.Helper()
		if a := ask(t.Context(), g, "openai", "gpt-5-mini", false); a.err != nil {
			t.Fatalf("%s: %v", what, a.err)
		}
	}
	if must("the first request"); sent() != vaultKey1 {
		t.Fatal("not by the key of Vault")
	}

	// Clients all the while.
	var stop atomic.Bool
	var asked, lost atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for !stop.Load() {
				if a := ask(t.Context(), g, "openai", "gpt-5-mini", true); a.err != nil {
					lost.Add(1)
					t.Errorf("a request was lost: %v", a.err)
				}
				asked.Add(1)
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	s.Put(t, "dragoman/openai", map[string]any{"key": vaultKey2})
	rotated := time.Now()
	waitFor(t, "the new key at the provider", func() bool { return sent() == vaultKey2 })
	if took := time.Since(rotated); took > 4*time.Second {
		t.Errorf("the new key came after %s", took)
	}
	s.Stop()
	waitFor(t, "the outage is known", func() bool {
		text, err := g.Status(t.Context())
		return err == nil && strings.Contains(gjson.GetBytes(text, "vault.failing.0.error").String(), "cannot be reached")
	})
	before := asked.Load()
	waitFor(t, "forty requests more", func() bool { return asked.Load() > before+40 })
	stop.Store(true)
	clients.Wait()
	if sent() != vaultKey2 || lost.Load() > 0 {
		t.Errorf("%d of %d requests were lost, the last one went by another key", lost.Load(), asked.Load())
	}
	t.Logf("%d requests, rotation seen after %s", asked.Load(), time.Since(rotated))

	// A change of something else comes through while Vault is away.
	g.MustReload(t, fmt.Sprintf(inVault, s.URL, role)+"routes: [{model: mine, candidates: [gpt-5-mini]}]\n")
	if a := ask(t.Context(), g, "openai", "mine", false); a.err != nil || sent() != vaultKey2 {
		t.Errorf("after a reload: %v", a.err)
	}
	metrics, err := g.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`dragoman_vault_reads_total{result="ok"}`, `dragoman_vault_reads_total{result="away"}`, `dragoman_vault_logins_total{op="login",result="ok"} `,
		"dragoman_vault_read_timestamp_seconds 1", "dragoman_vault_token_expiry_timestamp_seconds "} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no metric %s", want)
		}
	}

	// Started without Vault: a clear error with the place in the configuration, and the Envoy that runs serves on by what it has.
	err = g.RestartDragoman(t.Context())
	want := "providers[0].credentials[0].secret: the secret secret/dragoman/openai#key of Vault cannot be read: " + s.URL + " cannot be reached"
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err := s.Restart(); err != nil { // empty, as everything that this OpenBao had was in memory
		t.Fatal(err)
	}
	s.Put(t, "dragoman/openai", map[string]any{"key": vaultKey1})
	err = g.RestartDragoman(t.Context())
	if want := "vault.app_role: cannot log in at " + s.URL + ": permission denied; 1 secrets"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	for _, text := range []string{g.Log(), metrics, fmt.Sprint(err)} {
		for _, canary := range []string{vaultKey1, vaultKey2, secret} {
			if strings.Contains(text, canary) {
				t.Errorf("a secret is shown")
			}
		}
	}
}
