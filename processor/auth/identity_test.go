package auth

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

const callersYAML = `providers: [{name: a, schema: openai, endpoint: "http://127.0.0.1:1", models: [m]}]
tenants:
- name: acme
  each_user: {limits: {requests_per_minute: 60}, budgets: [{usd: 5, per: month}]}
  teams: [{name: search}]
- {name: globex}
identity:
  jwt:
  - {name: idp, issuer: i1, jwks_file: jwks.json, caller: {tenant: acme}, claims: {tenant: org, team: access.team}, models: [m]}
  - {name: urls, issuer: i2, jwks_file: jwks.json, claims: {tenant: "https://acme.example/tenant", user: "a.b.c"}}
  certificates:
  - {name: mesh, san: "spiffe://mesh/ns/{team}/sa/{user}", caller: {tenant: acme, team: "{team}", user: "{user}"}, source: forwarded}
`

func callers(t testing.TB) *config.Snapshot {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"dragoman.yaml": callersYAML, "jwks.json": `{"keys": [{"kty": "RSA", "n": "AA", "e": "AQAB"}]}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := config.Load(config.Options{Path: filepath.Join(dir, "dragoman.yaml"), Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wire is what jwt_authn says, as it comes.
func wire(t testing.TB, members map[string]any) []byte {
	t.Helper()
	s, err := structpb.NewStruct(members)
	if err != nil {
		t.Fatal(err)
	}
	b, err := proto.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func verified(t testing.TB, s *config.Snapshot, entry int, claims map[string]any) *Evidence {
	return &Evidence{Tokens: wire(t, map[string]any{s.Identity.JWT[entry].ID: claims}), Failed: "failed:"}
}

type object = map[string]any

func TestTokensSayWhoCalls(t *testing.T) {
	s := callers(t)
	for name, c := range map[string]struct {
		entry  int
		claims object
		want   string // the principal's path, or the code
	}{
		"what the configuration says":      {0, object{}, "acme/idp"},
		"the subject is the user":          {0, object{"sub": "ada@acme.example"}, "acme/@ada@acme.example/idp"},
		"a claim of its own":               {0, object{"org": "globex", "sub": "x|1"}, "globex/@x|1/idp"},
		"a claim in an object":             {0, object{"access": object{"team": "search"}}, "acme/search/idp"},
		"a dot in the claim's own name":    {0, object{"access.team": "search", "access": object{"team": "ads"}}, "acme/search/idp"},
		"a list of one":                    {0, object{"org": []any{"globex"}}, "globex/idp"},
		"an empty list says nothing":       {0, object{"org": []any{}}, "acme/idp"},
		"empty text says nothing":          {0, object{"org": "", "sub": ""}, "acme/idp"},
		"null says nothing":                {0, object{"org": nil}, "acme/idp"},
		"a list of two":                    {0, object{"org": []any{"acme", "globex"}}, "unknown_caller"},
		"a list of a number":               {0, object{"org": []any{7}}, "unknown_caller"},
		"a number":                         {0, object{"org": 7}, "unknown_caller"},
		"true":                             {0, object{"org": true}, "unknown_caller"},
		"an object":                        {0, object{"org": object{"x": "acme"}}, "unknown_caller"},
		"a tenant of nobody":               {0, object{"org": "umbrella"}, "unknown_caller"},
		"a team of another tenant":         {0, object{"org": "globex", "access": object{"team": "search"}}, "unknown_caller"},
		"a user that no path could hold":   {0, object{"sub": "a/b"}, "unknown_caller"},
		"a user of letters beyond ASCII":   {0, object{"sub": "ädä"}, "unknown_caller"},
		"a user without an end":            {0, object{"sub": strings.Repeat("x", 129)}, "unknown_caller"},
		"a claim that is a URL":            {1, object{"https://acme.example/tenant": "globex", "sub": "nobody asks"}, "globex/urls"},
		"no tenant at all":                 {1, object{"sub": "x"}, "unknown_caller"},
		"deep":                             {1, object{"https://acme.example/tenant": "acme", "a": object{"b": object{"c": "u"}}}, "acme/@u/urls"},
		"deep, by longer names first":      {1, object{"https://acme.example/tenant": "acme", "a.b": object{"c": "u"}, "a": object{"b": object{"c": "v"}}}, "acme/@u/urls"},
		"a way that ends half way":         {1, object{"https://acme.example/tenant": "acme", "a.b": object{"x": "u"}, "a": object{"b": object{"c": "v"}}}, "acme/@v/urls"},
		"text where an object is expected": {1, object{"https://acme.example/tenant": "acme", "a": "u"}, "acme/urls"},
	} {
		p, err := Identify(s, Credentials{}, verified(t, s, c.entry, c.claims))
		if got := pathOrCode(p, err); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func pathOrCode(p *config.Principal, err error) string {
	var f *fault.Fault
	switch {
	case errors.As(err, &f):
		return f.Code
	case err != nil:
		return err.Error()
	case p == nil:
		return ""
	}
	return p.Path()
}

func TestOfSeveralWaysToCallOneDecides(t *testing.T) {
	s := callers(t)
	token := verified(t, s, 0, object{"sub": "ada"})
	token.Forwarded = "URI=spiffe://mesh/ns/search/sa/bo"
	mesh := &Evidence{Forwarded: "URI=spiffe://mesh/ns/search/sa/bo"}
	foreign := &Evidence{Tokens: wire(t, object{"0123456789ab": object{"sub": "root", "org": "acme"}})}
	for name, c := range map[string]struct {
		sent Credentials
		e    *Evidence
		want string // "": the key's to say
	}{
		"a token over a certificate":        {Credentials{}, token, "acme/@ada/idp"},
		"a certificate":                     {Credentials{}, mesh, "acme/search/@bo/mesh"},
		"and the word for no key":           {Credentials{Authorization: "Bearer certificate"}, mesh, "acme/search/@bo/mesh"},
		"and the credential of a proxy":     {Credentials{Authorization: "Basic eDp5"}, mesh, "acme/search/@bo/mesh"},
		"a key over a certificate":          {Credentials{XGoogAPIKey: "x"}, mesh, ""},
		"a key beside a token":              {Credentials{XAPIKey: "x"}, token, "conflicting_credentials"},
		"a token of an entry that is gone":  {Credentials{}, foreign, ""},
		"nothing":                           {Credentials{}, &Evidence{}, ""},
		"a certificate of nobody":           {Credentials{}, &Evidence{Forwarded: "URI=spiffe://other/x"}, "unknown_certificate"},
		"what no proxy writes":              {Credentials{}, &Evidence{Forwarded: "spiffe://mesh/ns/search/sa/bo"}, "invalid_client_certificate"},
		"the listener's word is another":    {Credentials{}, &Evidence{URI: "spiffe://mesh/ns/search/sa/bo"}, "unknown_certificate"},
		"a certificate without a place":     {Credentials{}, &Evidence{Forwarded: "URI=spiffe://mesh/ns/ads/sa/bo"}, "unknown_caller"},
		"a user that is no name of a place": {Credentials{}, &Evidence{Forwarded: "URI=spiffe://mesh/ns/search/sa/b*o"}, "unknown_caller"},
	} {
		p, err := Identify(s, c.sent, c.e)
		if got := pathOrCode(p, err); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// TestNewcomersAreTold once for each configuration, and their names are copies: the message that they came in goes.
func TestNewcomersAreTold(t *testing.T) {
	s := callers(t)
	var told []string
	e := verified(t, s, 0, object{"sub": "ada"})
	e.First = func(p *config.Principal) { told = append(told, p.Path()) }
	first, err := Identify(s, Credentials{}, e)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Identify(s, Credentials{}, e)
	if err != nil || again != first || len(told) != 1 {
		t.Errorf("%v %v, told %v", again, err, told)
	}
	clear(e.Tokens)
	if first.Path() != "acme/@ada/idp" {
		t.Errorf("the principal is now %q", first.Path())
	}
	if len(first.Meters) != 2 {
		t.Errorf("%d limits and budgets of each_user", len(first.Meters))
	}
}

func TestFailedTokensSayWhy(t *testing.T) {
	s := callers(t)
	jwt := "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"
	status := func(first, second string) *Evidence {
		m := object{}
		for i, text := range []string{first, second} {
			if text != "" {
				m["failed:"+s.Identity.JWT[i].ID] = object{"code": 3, "message": text}
			}
		}
		return &Evidence{Tokens: wire(t, m), Failed: "failed:"}
	}
	unknown := refuse("invalid_api_key", invalid)
	for _, c := range []struct {
		sent Credentials
		e    *Evidence
		code string
		kind fault.Kind
		says string
	}{
		{Credentials{Authorization: jwt}, status("Jwt issuer is not configured", "Jwt is expired"), "expired_token", fault.Unauthenticated, "expired"},
		{Credentials{Authorization: jwt}, status("Audiences in Jwt are not allowed", "Jwt issuer is not configured"), "invalid_token", fault.Unauthenticated, "audience"},
		{Credentials{Authorization: jwt}, status("Jwt issuer is not configured", "Jwt issuer is not configured"), "invalid_token", fault.Unauthenticated, "issuer"},
		{Credentials{Authorization: jwt}, status("Jwks remote fetch is failed", "Jwt issuer is not configured"), "issuer_unreachable", fault.Unavailable, "cannot be fetched"},
		{Credentials{Authorization: jwt}, status("what a later Envoy may say", ""), "invalid_token", fault.Unauthenticated, "malformed"},
		{Credentials{Authorization: jwt}, &Evidence{}, "invalid_token", fault.Unauthenticated, "malformed"},
		{Credentials{XAPIKey: jwt[7:]}, &Evidence{}, "invalid_token", fault.Unauthenticated, "Authorization: Bearer"},
		{Credentials{Authorization: "Bearer dgm_x"}, &Evidence{}, "invalid_api_key", fault.Unauthenticated, ""},
		{Credentials{Authorization: "Bearer e.x"}, &Evidence{}, "invalid_api_key", fault.Unauthenticated, ""},
	} {
		var f *fault.Fault
		if err := Untrusted(s, c.sent, c.e, unknown); !errors.As(err, &f) || f.Code != c.code || f.Kind != c.kind || !strings.Contains(f.Message, c.says) {
			t.Errorf("%+v: got %v, want %s", c.sent, err, c.code)
		}
	}
	if err := Untrusted(s, Credentials{Authorization: jwt}, &Evidence{}, refuse("revoked_api_key", "x")); pathOrCode(nil, err) != "revoked_api_key" {
		t.Errorf("another refusal became %v", err)
	}
}

// FuzzTokens: whatever the metadata and the header hold, nobody comes in by what is malformed, and nothing panics.
func FuzzTokens(f *testing.F) {
	s := callers(f)
	f.Add(verified(f, s, 0, object{"sub": "ada", "access": object{"team": []any{"search"}}}).Tokens, "By=x;URI=spiffe://mesh/ns/search/sa/bo")
	f.Add([]byte{}, `Subject="a\"b";URI=spiffe://x,DNS=y`)
	f.Fuzz(func(t *testing.T, tokens []byte, header string) {
		e := &Evidence{Tokens: tokens, Failed: "failed:", Forwarded: header}
		p, err := Identify(s, Credentials{}, e)
		if p != nil && (err != nil || p.Tenant != "acme" && p.Tenant != "globex") {
			t.Errorf("%+v %v", p, err)
		}
		_ = Untrusted(s, Credentials{Authorization: "Bearer e.x.y"}, e, refuse("invalid_api_key", invalid))
		if uri, dns, ok := forwarded(header); ok && (strings.ContainsAny(uri+dns, "\"\\ ") || !strings.Contains(header, uri) || !strings.Contains(header, dns)) {
			t.Errorf("%q gives %q and %q", header, uri, dns)
		}
	})
}

// realistic is a token as a directory writes it.
func realistic(user string) object {
	roles := []any{}
	for i := range 12 {
		roles = append(roles, fmt.Sprintf("role-%d", i))
	}
	return object{"exp": 1.9e9, "iat": 1.8e9, "jti": "6d1a", "iss": "i1", "aud": []any{"gateway", "account"}, "sub": user, "typ": "Bearer", "azp": "app", "sid": "x",
		"scope": "openid profile email", "email_verified": true, "name": "Ada", "given_name": "Ada", "email": "ada@acme.example", "realm_access": object{"roles": roles}, "org": "acme",
		"access": object{"team": "search"}}
}

func BenchmarkIdentifyToken(b *testing.B) {
	s := callers(b)
	var all []*Evidence
	for i := range 1000 {
		all = append(all, verified(b, s, 0, realistic(fmt.Sprintf("user-%d", i))))
	}
	for _, e := range all {
		if _, err := Identify(s, Credentials{}, e); err != nil {
			b.Fatal(err)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Identify(s, Credentials{}, all[r.IntN(len(all))]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIdentifyCertificate(b *testing.B) {
	s := callers(b)
	e := &Evidence{Forwarded: `By=spiffe://mesh/ns/llm/sa/dragoman;Hash=468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688;Subject="";URI=spiffe://mesh/ns/search/sa/bo`}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Identify(s, Credentials{}, e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIdentifyStranger(b *testing.B) { // more callers than are remembered
	s := callers(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Caller(config.Place{Tenant: "acme", Team: "search", User: fmt.Sprint("u", i)}, s.Identity.JWT[0].Key); err != nil {
			b.Fatal(err)
		}
	}
}
