package adminui

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"dragoman/test/harness"
)

func startGithubLogin(t *testing.T) (*harness.Gateway, *GitHub) {
	t.Helper()
	var hub *GitHub
	g := startGateway(t, func(admin string) string {
		hub = StartGitHub(t, admin+"/login/hub/callback")
		return `  logins:
  - name: hub
    github: {client_id: ` + hub.ClientID + `, client_secret: {env: LOGIN_SECRET}, url: "` + hub.URL + `"}
    roles:
    - {role: admin, groups: [Platform]}
    - {role: operator, groups: [acme/SRE], tenant: acme}
    - {role: member, groups: [acme/search], tenant: acme, team: search}
    - {role: viewer, domains: [example.com]}
`
	})
	return g, hub
}

func TestGithub(t *testing.T) {
	g, hub := startGithubLogin(t)
	login := func(a Account) (*visitor, int, string) {
		hub.Is(a)
		v := newVisitor(t)
		code, body := v.do(t, http.MethodGet, g.Admin+"/login/hub", nil)
		return v, code, body
	}

	v, code, body := login(Account{Login: "ada", Orgs: []string{"a", "b", "c", "platform"}})
	if code != 200 || !strings.Contains(body, "<strong>github:ada</strong>, admin, until") {
		t.Fatalf("an organisation on the second page: %d %s", code, body)
	}
	if last := v.trail[len(v.trail)-1]; last != g.Admin+"/" {
		t.Errorf("the login ends at %s", last)
	}
	wantTrail(t, g, "login", "ok hub as admin by github:ada")

	if _, code, body = login(Account{Login: "bo", Orgs: []string{"acme"}, Teams: []string{"x/y", "x/z", "acme/a", "acme/sre", "acme/search"}}); code != 200 ||
		!strings.Contains(body, "operator of acme; member of acme/search") {
		t.Errorf("teams: %d %s", code, body)
	}
	if _, code, body = login(Account{Login: "cy", Emails: map[string]bool{"cy@elsewhere.example": true, "Cy@Example.com": true}}); code != 200 || !strings.Contains(body, "github:cy</strong>, viewer") {
		t.Errorf("by a verified address: %d %s", code, body)
	}
	if _, code, body = login(Account{Login: "eve", Orgs: []string{"platforms"}, Pending: []string{"platform"}, Emails: map[string]bool{"eve@example.com": false}}); code != 403 || !strings.Contains(body, "You are eve, and no role is meant for you") {
		t.Errorf("nobody: %d %s", code, body)
	}
	wantTrail(t, g, "login", "status 403 hub by github:eve")
}

// TestGithubRefusals: what goes wrong is said clearly, and gives nobody a session.
func TestGithubRefusals(t *testing.T) {
	g, hub := startGithubLogin(t)
	hub.Is(Account{Login: "ada", Orgs: []string{"a", "b", "c", "platform"}})
	try := func(what, want string, status int) {
		t.Helper()
		v := newVisitor(t)
		if code, body := v.do(t, http.MethodGet, g.Admin+"/login/hub", nil); code != status || !strings.Contains(body, want) || !strings.Contains(body, `role="alert"`) {
			t.Errorf("%s: %d %s, want %d %s", what, code, body, status, want)
		}
		if code, body := v.do(t, http.MethodGet, g.Admin+"/", nil); code != 200 || !strings.Contains(body, "Log in with hub") {
			t.Errorf("%s: logged in after all: %d %s", what, code, body)
		}
	}
	set := func(change func()) {
		hub.mu.Lock()
		defer hub.mu.Unlock()
		change()
	}
	set(func() { hub.narrow = true })
	try("the person grants nothing", "did not grant the scope read:org", 403)
	set(func() { hub.narrow, hub.revoked = false, true })
	try("the application is suspended", "Your application has been suspended", 502)
	set(func() { hub.revoked, hub.ClientSecret = false, "another" })
	try("the secret was replaced", "does not know this gateway any more", 502)
	set(func() {
		hub.ClientSecret = strings.Repeat("5", 40)
		hub.evilNext = "http://127.0.0.1:1/api/v3/user/teams"
	})
	try("the next page is elsewhere", "does not say who you are", 502)
	set(func() { hub.evilNext, hub.Callback = "", "http://127.0.0.1:1/other" })
	v := newVisitor(t)
	if code, body := v.do(t, http.MethodGet, g.Admin+"/login/hub", nil); code != 400 || !strings.Contains(body, "redirect_uri") {
		t.Errorf("the fake takes any redirect_uri: %d %s", code, body)
	}
}

// TestLoginCannotBeForged: a callback that nobody here began, that another began, or that comes a second time.
func TestLoginCannotBeForged(t *testing.T) {
	g, hub := startGithubLogin(t)
	hub.Is(Account{Login: "ada", Orgs: []string{"platform"}})
	begin := func() (*visitor, *url.URL) {
		v := newVisitor(t)
		v.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
			if strings.HasPrefix(r.URL.String(), hub.Callback) {
				return http.ErrUseLastResponse
			}
			return nil
		}
		r, err := v.Get(g.Admin + "/login/hub")
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		back, err := r.Location()
		if err != nil {
			t.Fatal(err)
		}
		return v, back
	}
	refused := func(what string, v *visitor, address string) {
		t.Helper()
		if code, body := v.do(t, http.MethodGet, address, nil); code != 400 || !strings.Contains(body, "begin again") {
			t.Errorf("%s: %d %s", what, code, body)
		}
	}
	victim, _ := begin()
	_, attackers := begin()
	refused("another's code", victim, attackers.String())
	refused("another's code without a login under way", newVisitor(t), attackers.String())

	v, back := begin()
	other := *back
	other.RawQuery = url.Values{"code": {back.Query().Get("code")}, "state": {"x"}}.Encode()
	refused("another state", v, other.String())
	refused("a login that was refused once", v, back.String())

	v, back = begin()
	if code, body := v.do(t, http.MethodGet, back.String(), nil); code != 303 && (code != 200 || !strings.Contains(body, "github:ada")) {
		t.Fatalf("%d %s", code, body)
	}
	refused("a second time", v, back.String())
	_, reused := begin()
	late := newVisitor(t)
	u, err := url.Parse(g.Admin)
	if err != nil {
		t.Fatal(err)
	}
	late.Jar.SetCookies(u, []*http.Cookie{{Name: "dragoman_login", Value: strings.Repeat("A", 400), Path: "/"}})
	refused("a cookie that was made up", late, reused.String())
	v, back = begin()
	refused("a state that only begins so", v, back.String()+"x")

	for _, path := range []string{"/login/hub?next=https://evil.example", "/login/hub?redirect_uri=https://evil.example"} {
		v := newVisitor(t)
		v.do(t, http.MethodGet, g.Admin+path, nil)
		if slices.ContainsFunc(v.trail, func(s string) bool { return strings.Contains(s, "evil") }) {
			t.Errorf("%s leads to %v", path, v.trail)
		}
	}
	if code, _ := newVisitor(t).do(t, http.MethodGet, g.Admin+"/login/nothing", nil); code != 404 {
		t.Errorf("no such login: %d", code)
	}
}

// TestLoginsAreBounded: an address cannot have the gateway ask a provider without end.
func TestLoginsAreBounded(t *testing.T) {
	g, hub := startGithubLogin(t)
	hub.Is(Account{Login: "ada", Orgs: []string{"platform"}})
	limited := 0
	for range 30 {
		v := newVisitor(t)
		v.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if code, _ := v.do(t, http.MethodGet, g.Admin+"/login/hub", nil); code == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited < 15 || limited > 20 {
		t.Errorf("%d of 30 were refused", limited)
	}
}
