// Package adminui tests logins and the page of the admin port as people use them: a real OpenID provider (npm oidc-provider), a strict fake of
// GitHub's OAuth and REST API, and a real Chromium.
package adminui

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Account is a person at GitHub.
type Account struct {
	Login   string
	Orgs    []string // memberships that were accepted
	Pending []string // and those that were not
	Teams   []string // org/slug
	Emails  map[string]bool
}

// GitHub refuses what GitHub refuses: https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps and
// https://docs.github.com/en/rest. It is laid out as an Enterprise Server: the API is below /api/v3.
type GitHub struct {
	*httptest.Server
	ClientID, ClientSecret, Callback string

	mu       sync.Mutex
	account  Account
	codes    map[string]grant
	tokens   map[string]grant
	revoked  bool // the application
	narrow   bool // the person grants no scope
	evilNext string
	n        int
	requests []string
}

// grant is what a code, or a token, stands for.
type grant struct {
	scopes    []string
	challenge string
	account   Account
}

// StartGitHub starts one that ends with the test.
func StartGitHub(t testing.TB, callback string) *GitHub {
	g := &GitHub{ClientID: "Iv1.0123456789abcdef", ClientSecret: strings.Repeat("5", 40), Callback: callback, codes: map[string]grant{}, tokens: map[string]grant{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/oauth/authorize", g.authorize)
	mux.HandleFunc("POST /login/oauth/access_token", g.exchange)
	mux.HandleFunc("GET /api/v3/user", g.api("", func(a Account) []any { return []any{map[string]any{"login": a.Login, "id": 1}} }))
	mux.HandleFunc("GET /api/v3/user/memberships/orgs", g.api("read:org", func(a Account) (out []any) {
		for _, o := range a.Orgs {
			out = append(out, map[string]any{"state": "active", "organization": map[string]any{"login": o}})
		}
		return out
	}))
	mux.HandleFunc("GET /api/v3/user/teams", g.api("read:org", func(a Account) (out []any) {
		for _, team := range a.Teams {
			org, slug, _ := strings.Cut(team, "/")
			out = append(out, map[string]any{"slug": slug, "organization": map[string]any{"login": org}})
		}
		return out
	}))
	mux.HandleFunc("GET /api/v3/user/emails", g.api("user:email", func(a Account) (out []any) {
		for email, verified := range a.Emails {
			out = append(out, map[string]any{"email": email, "verified": verified, "primary": true})
		}
		return out
	}))
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

// Is makes somebody the one who logs in next.
func (g *GitHub) Is(a Account) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.account = a
}

func (g *GitHub) authorize(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	switch {
	case q.Get("client_id") != g.ClientID:
		http.Error(w, "404: there is no such application", http.StatusNotFound)
		return
	case err != nil || back.String() != g.Callback || q.Get("response_type") != "code" || q.Get("state") == "":
		http.Error(w, "The redirect_uri is not associated with this application: "+r.URL.RawQuery, http.StatusBadRequest)
		return
	case q.Get("code_challenge") != "" && (q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43):
		http.Error(w, "code_challenge_method must be S256", http.StatusBadRequest)
		return
	}
	out := url.Values{"state": {q.Get("state")}}
	if g.revoked {
		out.Set("error", "application_suspended")
		out.Set("error_description", "Your application has been suspended.")
	} else {
		g.n++
		code := fmt.Sprintf("%020d", g.n)
		scopes := strings.Fields(q.Get("scope"))
		if g.narrow {
			scopes = nil
		}
		g.codes[code] = grant{scopes, q.Get("code_challenge"), g.account}
		out.Set("code", code)
	}
	back.RawQuery = out.Encode()
	http.Redirect(w, r, back.String(), http.StatusFound)
}

// exchange answers errors with 200, as GitHub does.
func (g *GitHub) exchange(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_ = r.ParseForm()
	answer := map[string]string{}
	fail := func(code string) { answer["error"], answer["error_description"] = code, "see the documentation" }
	code := r.PostForm.Get("code")
	granted, ok := g.codes[code]
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	switch {
	case r.Header.Get("user-agent") == "" || strings.HasPrefix(r.Header.Get("user-agent"), "Go-http-client"):
		http.Error(w, "Request forbidden by administrative rules. Please make sure your request has a User-Agent header", http.StatusForbidden)
		return
	case r.PostForm.Get("client_id") != g.ClientID || r.PostForm.Get("client_secret") != g.ClientSecret:
		fail("incorrect_client_credentials")
	case r.PostForm.Get("redirect_uri") != g.Callback:
		fail("redirect_uri_mismatch")
	case !ok, granted.challenge != "" && granted.challenge != base64.RawURLEncoding.EncodeToString(sum[:]):
		fail("bad_verification_code")
	default:
		delete(g.codes, code) // once
		token := "gho_" + code
		g.tokens[token] = granted
		answer["access_token"], answer["token_type"], answer["scope"] = token, "bearer", strings.Join(granted.scopes, ",")
	}
	if !strings.Contains(r.Header.Get("accept"), "application/json") { // then it answers as a form
		v := url.Values{}
		for name, value := range answer {
			v.Set(name, value)
		}
		w.Header().Set("content-type", "application/x-www-form-urlencoded")
		_, _ = w.Write([]byte(v.Encode()))
		return
	}
	w.Header().Set("content-type", "application/json; charset=utf-8")
	_ = json.NewEncoder(w).Encode(answer)
}

// api answers a list page by page; the user alone is no list.
func (g *GitHub) api(scope string, list func(Account) []any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.requests = append(g.requests, r.URL.RequestURI())
		token, _ := strings.CutPrefix(r.Header.Get("authorization"), "Bearer ")
		granted, ok := g.tokens[token]
		w.Header().Set("content-type", "application/json; charset=utf-8")
		refuse := func(code int, message string) {
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
		}
		switch agent := r.Header.Get("user-agent"); {
		case agent == "" || strings.HasPrefix(agent, "Go-http-client"):
			refuse(http.StatusForbidden, "Request forbidden by administrative rules.")
			return
		case !strings.Contains(r.Header.Get("accept"), "application/vnd.github+json"):
			refuse(http.StatusUnsupportedMediaType, "Must accept 'application/json'")
			return
		case !ok || g.revoked:
			refuse(http.StatusUnauthorized, "Bad credentials")
			return
		case scope != "" && !slices.Contains(granted.scopes, scope):
			refuse(http.StatusForbidden, "Your token has not been granted the required scopes")
			return
		}
		all := list(granted.account)
		if scope == "" {
			_ = json.NewEncoder(w).Encode(all[0])
			return
		}
		size, page := number(r, "per_page", 30), number(r, "page", 1)
		size = min(size, 100, 3) // small pages, so that there are several
		from := min((page-1)*size, len(all))
		to := min(from+size, len(all))
		if to < len(all) {
			next := g.URL + r.URL.Path + "?per_page=100&page=" + strconv.Itoa(page+1)
			if g.evilNext != "" {
				next = g.evilNext
			}
			w.Header().Set("link", `<`+g.URL+r.URL.Path+`?page=9>; rel="last", <`+next+`>; rel="next"`)
		}
		_ = json.NewEncoder(w).Encode(append([]any{}, all[from:to]...))
	}
}

func number(r *http.Request, name string, fallback int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil && n > 0 {
		return n
	}
	return fallback
}
