package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const callersYAML = `providers: [{name: a, schema: openai, endpoint: "http://127.0.0.1:1", models: [m]}]
models: [{name: m, provider: a, price: {input: 1, output: 2}}]
tenants: [{name: acme, each_user: {budgets: [{name: own, usd: 5, per: month}]}, teams: [{name: search}]}]
identity:
  jwt:
  - {name: idp, issuer: "https://idp.example", audiences: [gateway], jwks_file: jwks.json, caller: {tenant: acme}, claims: {team: team}, models: [m]}
  - {name: more, issuer: "https://idp.example", audiences: [other], jwks_file: jwks.json, caller: {tenant: acme, team: search}}
  certificates: [{name: mesh, san: "spiffe://mesh/ns/{team}/sa/{user}", caller: {tenant: acme, team: "{team}", user: "{user}"}, source: forwarded}]
`

// TestCheckShowsWhoCalls for claims and names, and what Envoy would refuse.
func TestCheckShowsWhoCalls(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("jwks.json", `{"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB"}]}`)
	path := write("dragoman.yaml", callersYAML)
	soon := time.Now().Add(time.Hour).Unix()
	token := func(claims string) string {
		return fmt.Sprintf(`{"iss": "https://idp.example", "exp": %d, %s}`, soon, claims)
	}
	for name, c := range map[string]struct {
		claims, san, key string
		says             string // of the output, or of the error
		ok               bool
	}{
		"a caller":                {claims: token(`"aud": "gateway", "sub": "ada", "team": "search"`), says: "known by    identity.jwt idp, issuer https://idp.example\ncaller      acme/search/@ada/idp\nmodels      m\n", ok: true},
		"his budget":              {claims: token(`"aud": ["x", "gateway"], "sub": "ada"`), says: "user:acme/@ada own", ok: true},
		"by the audience":         {claims: token(`"aud": "other", "sub": "ada"`), says: "acme/search/@ada/more", ok: true},
		"several teams":           {claims: token(`"aud": "gateway", "team": ["a", "b"]`), says: "lists several"},
		"another audience":        {claims: token(`"aud": "nobody"`), says: "audience"},
		"another issuer":          {claims: fmt.Sprintf(`{"iss": "x", "exp": %d}`, soon), says: "issuer"},
		"expired":                 {claims: `{"iss": "https://idp.example", "exp": 1000}`, says: "expired at 1970-01-01T00:16:40Z"},
		"for ever":                {claims: `{"iss": "https://idp.example"}`, says: "(exp)"},
		"no object":               {claims: `[]`, says: "JSON object"},
		"a certificate":           {san: "spiffe://mesh/ns/search/sa/bo", says: "known by    identity.certificates mesh\ncaller      acme/search/@bo/mesh\n", ok: true},
		"one of nobody":           {san: "spiffe://else/x", says: "no entry of identity.certificates fits"},
		"one of no team":          {san: "spiffe://mesh/ns/ads/sa/bo", says: "no such tenant or team"},
		"a DNS name":              {san: "x.example", says: "no entry"},
		"two callers":             {claims: "{}", san: "spiffe://mesh/ns/search/sa/bo", says: "give --claims or --san"},
		"a key and a certificate": {san: "x", key: "acme/k", says: "give one"},
	} {
		q := Question{SAN: c.san, Key: c.key}
		if c.claims != "" {
			q.Claims = write("claims.json", c.claims)
		}
		var out bytes.Buffer
		err := Check(Options{ConfigFile: path, Stdout: &out, LookupEnv: env()}, q)
		if c.ok && (err != nil || !strings.Contains(out.String(), c.says)) || !c.ok && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v\n%s", name, err, out.String())
		}
	}
	// With a request: what would become of it.
	request := write("request.json", `{"model": "m", "messages": [{"role": "user", "content": "hi"}]}`)
	var out bytes.Buffer
	if err := Check(Options{ConfigFile: path, Stdout: &out, Stderr: &out, LookupEnv: env()}, Question{Request: request, Path: "/v1/chat/completions", SAN: "spiffe://mesh/ns/search/sa/bo"}); err != nil ||
		!strings.Contains(out.String(), "acme/search/@bo/mesh") {
		t.Errorf("%v\n%s", err, out.String())
	}
}
