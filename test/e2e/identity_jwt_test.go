package e2e

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

const idp = "https://idp.example"

// tokensConfig takes tokens of one issuer for the gateway, and of another whatever their audience.
func tokensConfig(jwks, other string) string {
	return fmt.Sprintf(`{{providers}}
tenants:
- name: acme
  teams: [{name: search, each_user: {limits: {requests_per_minute: 100000}}}]
  keys: [{name: k, hash: '%s'}]
- {name: globex}
identity:
  jwt:
  - {name: idp, issuer: %q, audiences: [gateway], jwks_file: %q, caller: {tenant: acme}, claims: {tenant: "https://acme.example/tenant", team: access.team}}
  - {name: other, issuer: "https://other.example", jwks_file: %q, caller: {tenant: globex}, claims: {user: email}, models: ["openai/*"]}
`, config.HashKey("dgm_acme"), idp, jwks, other)
}

// keysFile writes an issuer's public keys.
func keysFile(t *testing.T, i *issuer) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "jwks.json")
	must(t, os.WriteFile(file, i.jwks(), 0o600))
	return file
}

// wantCode checks a refusal.
func wantCode(t *testing.T, name string, a *answer, status int, code, says string) {
	t.Helper()
	got := gjson.GetBytes(a.body, "error.code").String()
	if a.status != status || got != code || !strings.Contains(gjson.GetBytes(a.body, "error.message").String(), says) {
		t.Errorf("%s: got %d %s, want %d %s that says %q: %s", name, a.status, got, status, code, says, a.body)
	}
}

func TestTokensLetCallersIn(t *testing.T) {
	i, other := newIssuer(t, idp), newIssuer(t, "https://other.example")
	other.rotateEC("ec")
	g := harness.Start(t, harness.Options{Config: tokensConfig(keysFile(t, i), keysFile(t, other))})
	good := claims{"aud": "gateway"}
	for name, token := range map[string]string{
		"of the configured tenant": i.token(good),
		"of two audiences":         i.token(claims{"aud": []string{"else", "gateway"}}),
		"of another tenant":        i.token(claims{"aud": "gateway", "https://acme.example/tenant": "globex"}),
		"of a team":                i.token(claims{"aud": "gateway", "access": claims{"team": "search"}}),
		"of a list of one team":    i.token(claims{"aud": "gateway", "access": claims{"team": []string{"search"}}}),
		"of nobody in particular":  i.token(claims{"aud": "gateway", "sub": nil}),
		"expired within the skew":  i.token(claims{"aud": "gateway", "exp": time.Now().Add(-20 * time.Second).Unix()}),
		"valid within the skew":    i.token(claims{"aud": "gateway", "nbf": time.Now().Add(20 * time.Second).Unix()}),
		"signed by a curve":        other.token(claims{"email": "ada@acme.example", "aud": "anything"}),
	} {
		for client, path := range paths {
			if a := post(t, g, path, body(client, "openai/gpt-4.1", client == "openai"), "authorization", "Bearer "+token); a.status != 200 {
				t.Errorf("%s, %s: %v", name, client, a)
			}
			for _, f := range g.Fakes {
				for _, part := range []string{token, strings.Split(token, ".")[1], strings.Split(token, ".")[2]} {
					if where := f.Saw(part); len(where) > 0 {
						t.Errorf("%s: a provider saw the token in %v", name, where)
					}
				}
			}
		}
	}
	if a := post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "authorization", "bearer "+i.token(good)); a.status != 200 {
		t.Errorf("a scheme in lower case: %v", a)
	}
	if a := post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "authorization", "Bearer dgm_acme"); a.status != 200 {
		t.Errorf("a key: %v", a)
	}
	if a := post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "x-api-key", "dgm_acme"); a.status != 200 {
		t.Errorf("a key in another header: %v", a)
	}
	wantCode(t, "a model of another pattern", post(t, g, paths["openai"], body("openai", "anthropic/claude-opus-4-5", false), "authorization", "Bearer "+other.token(nil)), 403, "model_not_allowed", "")
}

func TestTokensThatAreRefused(t *testing.T) {
	i, other, thief := newIssuer(t, idp), newIssuer(t, "https://other.example"), newIssuer(t, idp)
	g := harness.Start(t, harness.Options{Config: tokensConfig(keysFile(t, i), keysFile(t, other))})
	payload := i.with(claims{"aud": "gateway"})
	public := i.keys[0].private.Public().(*rsa.PublicKey)
	spki, err := x509.MarshalPKIXPublicKey(public)
	must(t, err)
	good := i.token(claims{"aud": "gateway"})
	parts := strings.Split(good, ".")
	hs := unsigned(t, map[string]string{"alg": "HS256", "kid": "first"}, payload)
	for _, c := range []struct{ name, token, code, says string }{
		{"expired", i.token(claims{"aud": "gateway", "exp": time.Now().Add(-2 * time.Minute).Unix()}), "expired_token", "expired"},
		{"not yet valid", i.token(claims{"aud": "gateway", "nbf": time.Now().Add(2 * time.Minute).Unix()}), "invalid_token", "not valid yet"},
		{"for ever", i.token(claims{"aud": "gateway", "exp": nil}), "invalid_token", "when it expires"},
		{"of another audience", i.token(claims{"aud": "else"}), "invalid_token", "audience"},
		{"of no audience", i.token(nil), "invalid_token", "audience"},
		{"of a stranger", i.token(claims{"aud": "gateway", "iss": "https://stranger.example"}), "invalid_token", "issuer"},
		{"of no issuer", i.token(claims{"aud": "gateway", "iss": nil}), "invalid_token", ""},
		{"signed by another with its kid", thief.token(claims{"aud": "gateway"}), "invalid_token", "signature"},
		{"of one issuer, signed by another", other.token(claims{"aud": "gateway", "iss": idp}), "invalid_token", "signature"},
		{"changed", parts[0] + "." + encoded([]byte(`{"iss":"`+idp+`","aud":"gateway","exp":9999999999,"sub":"root"}`)) + "." + parts[2], "invalid_token", "signature"},
		{"without its signature", parts[0] + "." + parts[1] + ".", "invalid_token", ""},
		{"alg none", unsigned(t, map[string]string{"alg": "none"}, payload) + ".", "invalid_token", ""},
		{"alg none with a signature", unsigned(t, map[string]string{"alg": "none", "kid": "first"}, payload) + "." + parts[2], "invalid_token", ""},
		{"HS256 by the public key as PEM", byHMAC(hs, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: spki})), "invalid_token", ""},
		{"HS256 by the public key as DER", byHMAC(hs, spki), "invalid_token", ""},
		{"HS256 by the modulus", byHMAC(hs, public.N.Bytes()), "invalid_token", ""},
		{"a key in its own header", selfSigned(t, thief, payload), "invalid_token", ""},
		{"not base64", "e!!!.e!!!.e!!!", "invalid_token", ""},
		{"not JSON", encoded([]byte("{x")) + "." + encoded([]byte("{y")) + "." + parts[2], "invalid_token", ""},
		{"long", i.token(claims{"aud": "else", "more": strings.Repeat("x", 20_000)}), "invalid_token", "audience"},
	} {
		a := post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "authorization", "Bearer "+c.token)
		wantCode(t, c.name, a, 401, c.code, c.says)
		a = post(t, g, paths["anthropic"], body("anthropic", "openai/gpt-4.1", false), "authorization", "Bearer "+c.token)
		if a.status != 401 || gjson.GetBytes(a.body, "error.type").String() != "authentication_error" {
			t.Errorf("%s in Anthropic's schema: %v", c.name, a)
		}
	}
	for _, c := range []struct {
		name, code, says string
		claims           claims
	}{
		{"several teams", "unknown_caller", "several", claims{"access": claims{"team": []string{"search", "ads"}}}},
		{"a team of nobody", "unknown_caller", "acme/ads", claims{"access": claims{"team": "ads"}}},
		{"a tenant of nobody", "unknown_caller", "umbrella", claims{"https://acme.example/tenant": "umbrella"}},
		{"a number", "unknown_caller", "no text", claims{"access": claims{"team": 1}}},
		{"a user with a slash", "unknown_caller", "user", claims{"sub": "a/b"}},
		{"a tenant with a path", "unknown_caller", "", claims{"https://acme.example/tenant": "acme/search"}},
	} {
		c.claims["aud"] = "gateway"
		wantCode(t, c.name, post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "authorization", "Bearer "+i.token(c.claims)), 403, c.code, c.says)
	}
	ask := func(header ...string) *answer {
		return post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), header...)
	}
	wantCode(t, "a key beside", ask("authorization", "Bearer "+good, "x-api-key", "dgm_acme"), 401, "conflicting_credentials", "both")
	wantCode(t, "a wrong key beside", ask("authorization", "Bearer "+good, "api-key", "x"), 401, "conflicting_credentials", "both")
	wantCode(t, "in the header of keys", ask("x-api-key", good), 401, "invalid_token", "Authorization: Bearer")
	wantCode(t, "in the query", post(t, g, paths["openai"]+"?access_token="+good, body("openai", "openai/gpt-4.1", false)), 401, "missing_api_key", "")
	wantCode(t, "a bad key", ask("authorization", "Bearer e.no"), 401, "invalid_api_key", "")
	for _, f := range g.Fakes {
		if n := len(f.Requests()); n > 0 {
			t.Errorf("%d requests reached a provider", n)
		}
	}
}

// selfSigned brings the key that verifies it along.
func selfSigned(t *testing.T, thief *issuer, payload claims) string {
	jwk := gjson.GetBytes(thief.jwks(), "keys.0").Value()
	token := thief.token(payload)
	return unsigned(t, map[string]any{"alg": "RS256", "jwk": jwk}, payload) + "." + strings.Split(token, ".")[2]
}

// TestNobodyForgesATokensClaims: what Envoy has verified comes on a way that no client can write to.
func TestNobodyForgesATokensClaims(t *testing.T) {
	i := newIssuer(t, idp)
	g := harness.Start(t, harness.Options{Config: tokensConfig(keysFile(t, i), keysFile(t, i))})
	payload := `{"iss":"` + idp + `","sub":"root","exp":9999999999}`
	forged := []string{}
	for _, name := range []string{"envoy.filters.http.jwt_authn", "x-envoy-jwt-payload", "x-jwt-payload", "x-dragoman-jwt", "x-endpoint-api-userinfo", "x-envoy-dynamic-metadata",
		"x-forwarded-client-cert", "metadata", "connection.uri_san_peer_certificate"} {
		forged = append(forged, name, payload)
	}
	wantCode(t, "headers", post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), forged...), 401, "missing_api_key", "")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+paths["openai"], strings.NewReader(body("openai", "openai/gpt-4.1", false)))
	must(t, err)
	req.ContentLength = -1 // chunked, so that trailers follow
	req.Trailer = http.Header{"Authorization": {"Bearer " + i.token(claims{"aud": "gateway"})}, "Envoy.filters.http.jwt_authn": {payload}}
	resp, err := g.HTTP.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != 401 {
		t.Errorf("a token in a trailer: %s", resp.Status)
	}
}

// eventuallyStatus asks until the answer has the status.
func eventuallyStatus(t *testing.T, what string, want int, ask func() *answer) {
	t.Helper()
	var last *answer
	for end := time.Now().Add(15 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if last = ask(); last.status == want {
			return
		}
	}
	t.Fatalf("%s: %v", what, last)
}

// TestIssuersFileRotates on connections that stay open: no listener is changed for new keys.
func TestIssuersFileRotates(t *testing.T) {
	i := newIssuer(t, idp)
	file := keysFile(t, i)
	g := harness.Start(t, harness.Options{Config: tokensConfig(file, file), Client: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}})
	ask := func(token string) *answer {
		return post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "authorization", "Bearer "+token)
	}
	first := i.token(claims{"aud": "gateway"})
	i.rotate("second")
	second := i.token(claims{"aud": "gateway"})
	if a := ask(first); a.status != 200 {
		t.Fatalf("%v", a)
	}
	wantCode(t, "before its key is known", ask(second), 401, "invalid_token", "publish")
	must(t, os.WriteFile(file, i.jwks(), 0o600))
	eventuallyStatus(t, "the new key is not taken", 200, func() *answer { return ask(second) })
	if a := ask(first); a.status != 200 {
		t.Errorf("a token by the old key, which is still published: %v", a)
	}
	i.keys = i.keys[1:]
	must(t, os.WriteFile(file, i.jwks(), 0o600))
	eventuallyStatus(t, "the old key is still taken", 401, func() *answer { return ask(first) })
	if a := ask(second); a.status != 200 {
		t.Errorf("%v", a)
	}
	must(t, os.WriteFile(file, []byte("{"), 0o600)) // half written
	time.Sleep(500 * time.Millisecond)
	if a := ask(second); a.status != 200 {
		t.Errorf("with a broken file the last good one is in force: %v", a)
	}
	// An issuer that goes, and one that comes, with the connection open.
	must(t, os.WriteFile(file, i.jwks(), 0o600))
	without := strings.Split(tokensConfig(file, file), "identity:")[0]
	g.MustReload(t, without)
	wantCode(t, "without issuers", ask(second), 401, "invalid_api_key", "")
	if a := post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "authorization", "Bearer dgm_acme"); a.status != 200 {
		t.Errorf("a key: %v", a)
	}
	g.MustReload(t, tokensConfig(file, file))
	eventuallyStatus(t, "the issuer is back", 200, func() *answer { return ask(second) })
}

// TestIssuersKeysAreFetched over TLS, again and again, and hold when they cannot be.
func TestIssuersKeysAreFetched(t *testing.T) {
	i := newIssuer(t, idp)
	s := serveKeys(t, httptest.NewTLSServer, i.jwks())
	s.down.Store(true)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600))
	g := harness.Start(t, harness.Options{Config: fmt.Sprintf(`{{providers}}
tenants: [{name: acme, keys: [{name: k, hash: '%s'}]}]
identity:
  jwt: [{issuer: %q, jwks_url: %q, tls: {ca: %q, server_name: example.com}, refresh: 1s, caller: {tenant: acme}}]
`, config.HashKey("dgm_acme"), idp, s.URL+"/keys?x=1", ca)})
	ask := func(token string) *answer {
		return post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "authorization", "Bearer "+token)
	}
	first := i.token(nil)
	a := ask(first)
	wantCode(t, "before any keys are known", a, 503, "issuer_unreachable", "cannot be verified now")
	if a.header.Get("retry-after") == "" {
		t.Errorf("%v", a.header)
	}
	if a := ask("dgm_acme"); a.status != 200 {
		t.Errorf("a key with the issuer down: %v", a)
	}
	s.down.Store(false)
	eventuallyStatus(t, "the issuer is up", 200, func() *answer { return ask(first) })
	i.rotate("second")
	second := i.token(nil)
	keys := i.jwks()
	s.body.Store(&keys)
	eventuallyStatus(t, "the second key", 200, func() *answer { return ask(second) })
	i.keys = i.keys[1:]
	keys = i.jwks()
	s.body.Store(&keys)
	eventuallyStatus(t, "the first key is withdrawn", 401, func() *answer { return ask(first) })
	s.down.Store(true)
	asked := s.asked.Load()
	eventually(t, "nobody asks the issuer that is down", func() bool { return s.asked.Load() > asked+2 })
	if a := ask(second); a.status != 200 {
		t.Errorf("the issuer is down, its keys hold: %v", a)
	}
	if where := g.Fakes[string(fakeprovider.OpenAI)].Saw(second); len(where) > 0 {
		t.Errorf("the provider saw the token: %v", where)
	}
}
