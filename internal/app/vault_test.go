package app

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragoman/test/openbao"
)

const vaultYAML = `vault: {address: "ADDRESS"}
providers:
- {name: openai, models: [m], credentials: [{secret: {vault: {path: dragoman/openai, field: key}}}]}
- {name: anthropic, models: [n], credentials: [{secret: {vault: {path: dragoman/anthropic}}}]}
`

// TestCheckReadsVault: what can be read is named and not shown, what cannot is a fault with its place, and nothing is left behind.
func TestCheckReadsVault(t *testing.T) {
	s := openbao.Start(t)
	s.Put(t, "dragoman/openai", map[string]any{"key": "SECRET-1"})
	path := filepath.Join(t.TempDir(), "dragoman.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(vaultYAML, "ADDRESS", s.URL, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func() (string, error) {
		var out bytes.Buffer
		err := Check(Options{ConfigFile: path, Stdout: &out, LookupEnv: func(name string) (string, bool) {
			return openbao.Root, name == "VAULT_TOKEN"
		}}, Question{})
		if err != nil && (strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), openbao.Root)) {
			t.Errorf("a secret is shown: %v", err)
		}
		return out.String(), err
	}
	want := "dragoman.yaml:4: providers[1].credentials[0].secret: the secret secret/dragoman/anthropic#value of Vault does not exist"
	if _, err := check(); err == nil || !strings.HasSuffix(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	s.Put(t, "dragoman/anthropic", map[string]any{"value": "SECRET-2"})
	if out, err := check(); err != nil || !strings.Contains(out, "vault secret/dragoman/openai#key") || strings.Contains(out, "SECRET") {
		t.Errorf("got %v\n%s", err, out)
	}
	s.Must(t, http.MethodPost, "sys/seal", nil)
	_, err := check()
	for _, want := range []string{"providers[0].credentials[0].secret: the secret secret/dragoman/openai#key of Vault cannot be read: " + s.URL + " is sealed", "providers[1].credentials[0].secret: "} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
