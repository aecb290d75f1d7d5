package e2e

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/test/harness"
)

// tokenEndpoint gives a new token each time, for a short time, once it is open.
type tokenEndpoint struct {
	open  atomic.Bool
	given atomic.Int64
}

func (e *tokenEndpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("content-type", "application/json")
	if r.FormValue("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || !e.open.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, `{"error":"temporarily_unavailable"}`)
		return
	}
	fmt.Fprintf(w, `{"access_token":"canary-minted-%d","token_type":"Bearer","expires_in":4}`, e.given.Add(1))
}

// keyFile is a service account whose tokens come from uri.
func keyFile(t *testing.T, uri string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "gateway@example.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": uri})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "key.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestTokensAreMintedAndRenewed: a provider that wants tokens does not hold up the start while none can be had, serves as soon as there is
// one, and gets each new one before the last has ended, without a reload.
func TestTokensAreMintedAndRenewed(t *testing.T) {
	minter := &tokenEndpoint{}
	tokens := httptest.NewServer(minter)
	defer tokens.Close()
	var last atomic.Value
	last.Store("")
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := r.Header.Get("Authorization")
		last.Store(got)
		w.Header().Set("content-type", "application/json")
		if !strings.HasPrefix(got, "Bearer canary-minted-") {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"error":{"message":"no","type":"invalid_request_error","code":"invalid_api_key"}}`)
			return
		}
		fmt.Fprint(w, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
	}))
	defer provider.Close()
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`
providers:
- {name: minted, schema: openai, endpoint: %q, models: [m], credentials: [{google: {key: {file: %q}}}]}
health: {half_life: 100ms}
`, provider.URL, keyFile(t, tokens.URL+"/token"))})

	ask := func() int {
		t.Helper()
		resp, err := g.HTTP.Post(g.URL+"/v1/chat/completions", "application/json", strings.NewReader(`{"model":"minted/m","messages":[{"role":"user","content":"hi"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if code := ask(); code == http.StatusOK || strings.Contains(last.Load().(string), "canary") {
		t.Errorf("without a token: %d", code)
	}
	minter.open.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	seen := map[string]bool{}
	for len(seen) < 3 && ctx.Err() == nil {
		switch code := ask(); {
		case code == http.StatusOK:
			seen[last.Load().(string)] = true
		case len(seen) > 0:
			t.Fatalf("a request between two tokens: %d", code)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if len(seen) < 3 {
		t.Errorf("the provider saw %v of %d tokens", seen, minter.given.Load())
	}
	status, err := g.Status(ctx)
	if err != nil || !strings.Contains(string(status), "credential/minted/default") {
		t.Errorf("status %s, %v", status, err)
	}
	metrics, err := g.Metrics(ctx)
	if err != nil || !strings.Contains(metrics, `dragoman_credential_tokens_total{credential="credential/minted/default",result="error"}`) {
		t.Errorf("metrics: %v", err)
	}
	if text := g.Log() + string(status) + metrics; strings.Contains(text, "canary-minted") || strings.Contains(text, "PRIVATE") {
		t.Error("a token or a key is shown")
	}
}
