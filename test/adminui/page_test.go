package adminui

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

var shownKey = regexp.MustCompile(`^dgm_[a-z0-9]{52}$`)

// TestPageInABrowser: a member logs in, makes a key that works, rotates and revokes it; with JavaScript and without.
func TestPageInABrowser(t *testing.T) {
	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("JavaScript %v", script), func(t *testing.T) {
			g, _ := startOIDC(t, map[string]any{}, nil, ", client_secret: {env: LOGIN_SECRET}")
			evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("content-type", "text/html")
				fmt.Fprint(w, "<p>cats")
			}))
			defer evil.Close()
			steps := [][]any{
				{"go", "/"}, {"text", "h1"}, {"link", "Log in with sso"}, {"provider", "bo"}, {"address"}, {"body"}, {"cookies"},
				{"within", "New key", "Name", "laptop"}, {"select", "New key", "Of", "acme/search"}, {"within", "New key", "User (optional)", "bo"},
				{"button", "Create key"}, {"text", "#secret"}, {"body"}, {"outline"},
				{"go", "/"}, {"body"},
				{"open", "Rotate"}, {"button", "Rotate laptop"}, {"text", "#secret"},
			}
			if script {
				steps = append(steps, []any{"names"}, []any{"script"}, []any{"evil", "/logout"})
			}
			steps = append(steps, []any{"go", "/"}, []any{"open", "Revoke"}, []any{"button", "Revoke laptop"}, []any{"body"}, []any{"button", "Log out"}, []any{"text", "h1"})
			seen := Browse(t, map[string]any{"url": g.Admin, "javascript": script, "evil": evil.URL, "steps": steps})
			check := pageCheck{t, seen, steps}
			check.says(1, "Log in to Dragoman")
			check.says(4, g.Admin+"/")
			check.says(5, "You are oidc:bo@elsewhere.example, member of acme/search")
			check.without(5, "Tokens of administrators", "globex", "tenant:acme")
			check.cookie(6)
			first, second := fmt.Sprint(seen.Steps[11]), fmt.Sprint(seen.Steps[18])
			if !shownKey.MatchString(first) || !shownKey.MatchString(second) || first == second {
				t.Errorf("secrets %q, %q", first, second)
			}
			check.says(12, "It is shown now and never again")
			check.says(15, "acme/search/@bo")
			check.without(15, first)
			if outline := fmt.Sprint(seen.Steps[13]); outline != "[H1 MAIN H2 H2 CAPTION H3 H2 CAPTION]" {
				t.Errorf("the outline of the page is %s", outline)
			}
			last := len(steps) - 1
			if script {
				if names := fmt.Sprint(seen.Steps[19]); names != "[]" {
					t.Errorf("controls without a name: %s", names)
				}
				if seen.Steps[20] != false {
					t.Error("an inline script runs")
				}
				check.says(21, "cross-origin request detected")
			}
			check.says(last-2, "There are none.")
			check.says(last, "Log in to Dragoman")
			wantTrail(t, g, "key.rotate", "ok acme/search/@bo/laptop by oidc:bo@elsewhere.example")
			wantTrail(t, g, "key.revoke", "ok acme/search/@bo/laptop by oidc:bo@elsewhere.example")
			for _, line := range seen.Console { // what the policy refuses is said here, and must be the test's own attempt alone
				if !script || !strings.Contains(line, "inline script") {
					t.Errorf("the console says %s", line)
				}
			}
		})
	}
}

// TestKeyOfThePageCalls: what the page shows lets a caller in.
func TestKeyOfThePageCalls(t *testing.T) {
	g, _ := startOIDC(t, map[string]any{}, nil, ", client_secret: {env: LOGIN_SECRET}")
	seen := Browse(t, map[string]any{"url": g.Admin, "steps": [][]any{
		{"go", "/login/sso"}, {"provider", "ada"}, {"within", "New key", "Name", "ci"}, {"select", "New key", "Of", "acme/ads"},
		{"within", "New key", "Requests per minute (optional)", "50"}, {"within", "New key", "USD per month (optional)", "2.50"}, {"button", "Create key"}, {"text", "#secret"},
		{"within", "New token", "Name", "deploy"}, {"select", "New token", "Role", "operator"}, {"select", "New token", "For", "globex"}, {"button", "Create token"}, {"text", "#secret"}, {"body"},
		{"within", "New token", "Name", "deploy"}, {"select", "New token", "Role", "operator"}, {"select", "New token", "For", "globex"}, {"button", "Create token"}, {"body"},
	}})
	secret, token := fmt.Sprint(seen.Steps[7]), fmt.Sprint(seen.Steps[12])
	spec := api(t, g, http.MethodGet, "/api/v1/keys", nil).Get("keys.0.spec")
	if spec.Get("limits.requestsPerMinute").Int() != 50 || spec.Get("budgets.0.usd").Float() != 2.5 {
		t.Errorf("the key is for %s", spec)
	}
	check := pageCheck{t, seen, nil}
	check.says(13, "operator of globex")
	check.says(18, "another token that is not revoked has this name")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/v1/chat/completions", strings.NewReader(`{"model": "`+g.OpenAI().Models()[0]+`", "messages": [{"role": "user", "content": "hello"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("authorization", "Bearer "+secret)
	r.Header.Set("content-type", "application/json")
	resp, err := g.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("a call by the key of the page: %d", resp.StatusCode)
	}
	r, err = http.NewRequestWithContext(t.Context(), http.MethodGet, g.Admin+"/api/v1/whoami", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("authorization", "Bearer "+token)
	who, err := g.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer who.Body.Close()
	if who.StatusCode != 200 {
		t.Errorf("the token of the page: %d", who.StatusCode)
	}
}

// TestPageByKeyboard reaches everything with Tab and Enter alone.
func TestPageByKeyboard(t *testing.T) {
	g, _ := startOIDC(t, map[string]any{}, nil, ", client_secret: {env: LOGIN_SECRET}")
	api(t, g, http.MethodPost, "/api/v1/keys", map[string]any{"tenant": "acme", "team": "search", "spec": map[string]any{"name": "k"}})
	steps := [][]any{{"go", "/login"}, {"key", "Tab"}, {"focus"}, {"key", "Tab"}, {"focus"}, {"key", "Enter"}, {"provider", "bo"}}
	for range 16 {
		steps = append(steps, []any{"key", "Tab"}, []any{"focus"})
	}
	seen := Browse(t, map[string]any{"url": g.Admin, "steps": steps})
	var order []string
	for _, s := range seen.Steps[7:] {
		if s != nil {
			order = append(order, fmt.Sprint(s))
		}
	}
	check := pageCheck{t, seen, nil}
	check.says(2, "A To the content")
	check.says(4, "A Log in with sso")
	at := 0
	for _, want := range []string{"A To the content", "BUTTON Log out", "DIV", "SUMMARY Rotate", "SUMMARY Revoke", "SELECT Of", "INPUT Name", "INPUT User (optional)", "BUTTON Create key"} {
		for at < len(order) && !strings.HasPrefix(order[at], want) {
			at++
		}
		if at == len(order) {
			t.Fatalf("%q is not reached in its turn: %q", want, order)
		}
	}
}

// pageCheck looks at what the browser has seen.
type pageCheck struct {
	t     *testing.T
	seen  *Seen
	steps [][]any
}

func (c pageCheck) says(step int, want string) {
	c.t.Helper()
	if got := fmt.Sprint(c.seen.Steps[step]); !strings.Contains(got, want) {
		c.t.Errorf("step %d: %s\ndoes not say %q", step, got, want)
	}
}

func (c pageCheck) without(step int, texts ...string) {
	c.t.Helper()
	for _, text := range texts {
		if got := fmt.Sprint(c.seen.Steps[step]); strings.Contains(got, text) {
			c.t.Errorf("step %d: %s\nsays %q", step, got, text)
		}
	}
}

// cookie checks that the session's cookie is all there is, and what scripts and other sites can do with it.
func (c pageCheck) cookie(step int) {
	c.t.Helper()
	for _, each := range c.seen.Steps[step].([]any) {
		cookie := each.(map[string]any)
		if strings.HasPrefix(fmt.Sprint(cookie["name"]), "_") {
			continue // the provider's own
		}
		if cookie["name"] == "dragoman_session" && (cookie["httpOnly"] != true || cookie["sameSite"] != "Lax" || cookie["length"] != 43.0) || cookie["name"] == "dragoman_login" {
			c.t.Errorf("cookie %v", cookie)
		}
	}
}
