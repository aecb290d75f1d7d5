package adminui

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"dragoman/test/harness"
)

var people = map[string]any{
	"ada":  map[string]any{"email": "Ada@Example.com", "email_verified": true, "name": "Ada", "groups": []string{"everybody"}},
	"bo":   map[string]any{"email": "bo@elsewhere.example", "email_verified": true, "groups": []string{"everybody", "search devs"}},
	"cy":   map[string]any{"email": "cy@corp.example", "email_verified": true},
	"eve":  map[string]any{"email": "ada@example.com", "email_verified": false, "groups": []string{"search devs"}, "preferred_username": "eve@corp"},
	"gil":  map[string]any{"email": "ada@example.com", "email_verified": false},
	"fay":  map[string]any{"email": "fay@elsewhere.example", "email_verified": true, "groups": []string{"Search Devs", "search"}},
	"noun": map[string]any{"groups": []string{"search devs"}},
}

const oidcRoles = `
    roles:
    - {role: admin, emails: [ada@example.com]}
    - {role: member, groups: ["search devs"], tenant: acme, team: search}
    - {role: viewer, domains: [corp.example]}
`

// startOIDC starts a gateway and a provider that know each other.
func startOIDC(t *testing.T, settings map[string]any, client map[string]any, login string) (*harness.Gateway, *Provider) {
	t.Helper()
	var p *Provider
	g := startGateway(t, func(admin string) string {
		all := map[string]any{"client_id": "dragoman", "client_secret": strings.Repeat("5", 40), "redirect_uris": []string{admin + "/login/sso/callback"}, "scope": "openid email profile groups"}
		for name, value := range client {
			if value == nil {
				delete(all, name)
				continue
			}
			all[name] = value
		}
		settings["clients"], settings["accounts"] = []any{all}, people
		p = StartProvider(t, settings)
		return fmt.Sprintf("  logins:\n  - name: sso\n    oidc: {issuer: %q, client_id: dragoman, scopes: [email, profile, groups]%s}%s", p.Issuer, login, oidcRoles)
	})
	return g, p
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)"`)
	formPrompt = regexp.MustCompile(`name="prompt" value="([^"]+)"`)
)

// logIn goes through the provider's own forms.
func (v *visitor) logIn(t testing.TB, g *harness.Gateway, p *Provider, account string) (int, string) {
	t.Helper()
	code, body := v.do(t, http.MethodGet, g.Admin+"/login/sso", nil)
	for range 5 {
		action, prompt := formAction.FindStringSubmatch(body), formPrompt.FindStringSubmatch(body)
		if action == nil || prompt == nil {
			return code, body
		}
		to, err := url.Parse(html.UnescapeString(action[1]))
		if err != nil {
			t.Fatal(err)
		}
		if !to.IsAbs() {
			if to, err = url.Parse(p.Issuer + to.String()); err != nil {
				t.Fatal(err)
			}
		}
		code, body = v.do(t, http.MethodPost, to.String(), url.Values{"prompt": {prompt[1]}, "login": {account}, "password": {"any"}})
	}
	return code, body
}

func wantLogin(t *testing.T, g *harness.Gateway, p *Provider, account string, status int, want string) *visitor {
	t.Helper()
	v := newVisitor(t)
	if code, body := v.logIn(t, g, p, account); code != status || !strings.Contains(html.UnescapeString(body), want) {
		t.Errorf("%s: %d %s, want %d %s", account, code, body, status, want)
	}
	return v
}

func TestOIDC(t *testing.T) {
	for name, settings := range map[string]map[string]any{"claims in the ID token": {"userinfo": false}, "claims in the user's information alone": {"userinfo": true}} {
		t.Run(name, func(t *testing.T) {
			g, p := startOIDC(t, settings, nil, ", client_secret: {env: LOGIN_SECRET}")
			v := wantLogin(t, g, p, "ada", 200, "<strong>oidc:ada@example.com</strong>, admin, until")
			wantLogin(t, g, p, "bo", 200, "oidc:bo@elsewhere.example</strong>, member of acme/search")
			wantLogin(t, g, p, "cy", 200, "oidc:cy@corp.example</strong>, viewer")
			wantLogin(t, g, p, "eve", 200, "oidc:eve (eve@corp)</strong>, member of acme/search") // by a group, and not by ada's address
			wantLogin(t, g, p, "gil", 403, "knows no address of yours that it has verified")
			wantLogin(t, g, p, "noun", 200, "oidc:noun</strong>, member of acme/search")
			wantLogin(t, g, p, "fay", 403, "no role is meant for you")
			wantTrail(t, g, "login", "ok sso as member of acme/search by oidc:bo@elsewhere.example")
			wantTrail(t, g, "login", "status 403 sso by oidc:fay@elsewhere.example")

			if code, body := v.do(t, http.MethodPost, g.Admin+"/logout", url.Values{}); code != 200 || !strings.Contains(body, "Log in with sso") {
				t.Errorf("logout: %d %s", code, body)
			}
			if code, body := v.do(t, http.MethodGet, g.Admin+"/", nil); !strings.Contains(body, "Log in with sso") {
				t.Errorf("after the logout: %d %s", code, body)
			}
			wantTrail(t, g, "logout", "ok  by oidc:ada@example.com")
		})
	}
}

// TestOIDCKeysAreRotated: the provider signs by a key that nobody has seen.
func TestOIDCKeysAreRotated(t *testing.T) {
	g, p := startOIDC(t, map[string]any{}, nil, ", client_secret: {env: LOGIN_SECRET}")
	for range 3 {
		wantLogin(t, g, p, "ada", 200, "oidc:ada@example.com")
		p.Rotate(t)
	}
}

// TestOIDCPublicClient: without a secret PKCE is what binds the code to who began the login.
func TestOIDCPublicClient(t *testing.T) {
	g, p := startOIDC(t, map[string]any{}, map[string]any{"client_secret": nil, "token_endpoint_auth_method": "none"}, "")
	wantLogin(t, g, p, "ada", 200, "oidc:ada@example.com")
}

func TestOIDCRefusals(t *testing.T) {
	g, p := startOIDC(t, map[string]any{}, nil, ", client_secret: {env: OTHER_SECRET}")
	wantLogin(t, g, p, "ada", 502, "does not know this gateway any more")
	g, p = startOIDC(t, map[string]any{"ttl": 1}, nil, ", client_secret: {env: LOGIN_SECRET}")
	wantLogin(t, g, p, "ada", 200, "oidc:ada@example.com")
	v := newVisitor(t)
	if code, body := v.do(t, http.MethodGet, g.Admin+"/login/sso/callback?error=access_denied&state=x", nil); code != 400 || !strings.Contains(body, "begin again") {
		t.Errorf("a refusal of a login that nobody began: %d %s", code, body)
	}
	away := harness.Start(t, harness.Options{Config: gatewayYAML("  logins: [{name: sso, oidc: {issuer: 'http://127.0.0.1:1', client_id: x}, roles: [{role: admin, domains: [example.com]}]}]\n"),
		Client: &http.Client{Transport: bearer{&http.Transport{}}}})
	if code, body := v.do(t, http.MethodGet, away.Admin+"/login/sso", nil); code != 502 || !strings.Contains(html.UnescapeString(body), `The provider of the login "sso" does not answer`) || strings.Contains(body, "127.0.0.1:1") {
		t.Errorf("a provider that is away: %d %s", code, body)
	}
}
