package login

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"go.uber.org/goleak"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store keeps sessions of one test.
type store struct {
	access.Store
	mu       sync.Mutex
	sessions []*access.Session
	err      error
}

func (s *store) AddSession(_ context.Context, one *access.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions = append(s.sessions, one)
	return s.err
}

func (s *store) LoginSecret(_ context.Context, fresh [32]byte) ([32]byte, error) { return fresh, s.err }

func (s *store) PruneSessions(_ context.Context, now time.Time) (out []*access.Session, err error) {
	return s.sessions, s.err
}

// issuer is a provider whose ID tokens a test makes.
type issuer struct {
	*httptest.Server
	key    *rsa.PrivateKey
	nonce  string
	claims map[string]any
	signer *rsa.PrivateKey // nil: key
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	known := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "k", Algorithm: "RS256"}}}
	i := &issuer{key: key}
	mux := http.NewServeMux()
	mux.Handle("/", known)
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		all := map[string]any{"iss": i.URL, "sub": "1", "aud": "dragoman", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix(), "nonce": i.nonce,
			"email": "ada@example.com", "email_verified": true, "groups": []string{"g"}}
		for name, value := range i.claims {
			all[name] = value
		}
		b, _ := json.Marshal(all)
		signer := i.key
		if i.signer != nil {
			signer = i.signer
		}
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "secret-access-token", "token_type": "bearer", "id_token": oidctest.SignIDToken(signer, "k", "RS256", string(b))})
	})
	i.Server = httptest.NewServer(mux)
	known.SetIssuer(i.URL)
	t.Cleanup(i.Close)
	return i
}

func newLogins(s *store, logins ...*config.Login) (*Logins, *[]access.Event) {
	admin := &config.Admin{Logins: logins, Session: time.Hour}
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	var events []access.Event
	settings := func() *config.Admin { return admin }
	guard := access.NewGuard(access.Options{Admin: settings, Store: s, Now: time.Now, Log: quiet})
	return New(Options{Admin: settings, Base: func() string { return "http://127.0.0.1:8081" }, Store: s, Guard: guard, Now: time.Now, Log: quiet,
		Audit: &access.Auditor{Now: time.Now, Write: func(e access.Event) { events = append(events, e) }}}), &events
}

func loginOf(i *issuer) *config.Login {
	return &config.Login{Name: "sso", OIDC: &config.OIDCLogin{Issuer: i.URL, ClientID: "dragoman", Scopes: []string{"openid"}, GroupsClaim: "groups"},
		Roles: []config.RoleRule{{Grant: config.RoleGrant{Role: config.RoleViewer}, Groups: []string{"g"}}}}
}

// through begins a login and finishes it, and says what came of it.
func (i *issuer) through(t *testing.T, l *Logins) (*httptest.ResponseRecorder, error) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8081/login/sso", nil)
	w := httptest.NewRecorder()
	if err := l.Start(w, r, "sso"); err != nil {
		return w, err
	}
	to, err := url.Parse(w.Header().Get("location"))
	if err != nil {
		t.Fatal(err)
	}
	q := to.Query()
	if q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 || len(q.Get("state")) != 43 || q.Get("redirect_uri") != "http://127.0.0.1:8081/login/sso/callback" {
		t.Errorf("the person is sent to %s", to)
	}
	if i.nonce == "" {
		i.nonce = q.Get("nonce")
		defer func() { i.nonce = "" }()
	}
	back := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8081/login/sso/callback?code=c&state="+q.Get("state"), nil)
	for _, c := range w.Result().Cookies() {
		if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge > 600 || strings.Contains(c.Value, q.Get("state")) {
			t.Errorf("cookie %v", c)
		}
		back.AddCookie(c)
	}
	w = httptest.NewRecorder()
	return w, l.Finish(w, back, "sso")
}

func TestIDToken(t *testing.T) {
	i := newIssuer(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		claims map[string]any
		signer *rsa.PrivateKey
		nonce  string
		name   string // of who is logged in, default the address
		want   string
	}{
		"as it should be":                 {},
		"ended 30 s ago: clocks differ":   {claims: map[string]any{"exp": time.Now().Add(-30 * time.Second).Unix()}},
		"begins in 30 s: clocks differ":   {claims: map[string]any{"nbf": time.Now().Add(30 * time.Second).Unix()}},
		"the word as text":                {claims: map[string]any{"email_verified": "true"}},
		"one group as text":               {claims: map[string]any{"groups": "g"}},
		"by subject and group alone":      {claims: map[string]any{"email_verified": false, "preferred_username": "ada@corp"}, name: "1 (ada@corp)"},
		"a name that is none":             {claims: map[string]any{"email": nil, "preferred_username": "a)\nb"}, name: "1"},
		"a subject that is none":          {claims: map[string]any{"email": nil, "sub": "1 or 2"}, want: "a subject that is none"},
		"ended two minutes ago":           {claims: map[string]any{"exp": time.Now().Add(-2 * time.Minute).Unix()}, want: "cannot be trusted"},
		"begins in an hour":               {claims: map[string]any{"nbf": time.Now().Add(time.Hour).Unix()}, want: "cannot be trusted"},
		"for another client":              {claims: map[string]any{"aud": "other"}, want: "cannot be trusted"},
		"of another issuer":               {claims: map[string]any{"iss": "https://evil.example"}, want: "cannot be trusted"},
		"signed by a stranger":            {signer: stranger, want: "cannot be trusted"},
		"of another login":                {nonce: "another", want: "another login"},
		"an address that is not verified": {claims: map[string]any{"email_verified": false, "groups": nil}, want: "no address of yours that it has verified"},
		"a word that is not true":         {claims: map[string]any{"email_verified": "yes", "groups": []string{}}, want: "no address of yours that it has verified"},
		"no address":                      {claims: map[string]any{"email": 7, "groups": nil}, want: "no address of yours that it has verified"},
		"an address that is none":         {claims: map[string]any{"email": "a@b@c"}, want: "an address that is none"},
		"groups that are none":            {claims: map[string]any{"groups": map[string]any{"g": true}}, want: "no role is meant for you"},
		"another group":                   {claims: map[string]any{"groups": []string{"G"}}, want: "no role is meant for you"},
	} {
		t.Run(what, func(t *testing.T) {
			s := &store{}
			l, events := newLogins(s, loginOf(i))
			i.claims, i.signer, i.nonce = c.claims, c.signer, c.nonce
			w, err := i.through(t, l)
			i.nonce = ""
			if c.want == "" {
				if c.name == "" {
					c.name = "ada@example.com"
				}
				if err != nil || w.Code != http.StatusSeeOther || w.Header().Get("location") != "/" || len(s.sessions) != 1 || s.sessions[0].Name != c.name {
					t.Fatalf("%d %v %+v", w.Code, err, s.sessions)
				}
				return
			}
			var fault *Fault
			if !errors.As(err, &fault) || !strings.Contains(fault.Message, c.want) || len(s.sessions) != 0 || len(*events) != 1 {
				t.Errorf("%v, want %q; %d sessions, %d events", err, c.want, len(s.sessions), len(*events))
			}
			if strings.Contains(fmt.Sprint(err, fault.Cause, *events), "secret-access-token") {
				t.Error("the provider's token is shown")
			}
		})
	}
}

func TestDatabaseAway(t *testing.T) {
	i := newIssuer(t)
	s := &store{err: errors.New("connection refused")}
	l, _ := newLogins(s, loginOf(i))
	_, err := i.through(t, l)
	var fault *Fault
	if !errors.As(err, &fault) || fault.Status != http.StatusServiceUnavailable || strings.Contains(fault.Message, "refused") {
		t.Errorf("%v", err)
	}
}

// TestStartComesToTheRightName: the cookie of a login is of the name that the provider sends people back to.
func TestStartComesToTheRightName(t *testing.T) {
	l, _ := newLogins(&store{}, loginOf(newIssuer(t)))
	w := httptest.NewRecorder()
	if err := l.Start(w, httptest.NewRequest(http.MethodGet, "http://localhost:8081/login/sso", nil), "sso"); err != nil || w.Header().Get("location") != "http://127.0.0.1:8081/login/sso" || len(w.Result().Cookies()) != 0 {
		t.Errorf("%v %v", w.Header(), err)
	}
	if err := l.Start(w, httptest.NewRequest(http.MethodGet, "http://localhost:8081/login/other", nil), "other"); err == nil {
		t.Error("a login that is not there")
	}
}

func TestPrune(t *testing.T) {
	s := &store{sessions: []*access.Session{{Kind: access.KindGitHub, Name: "ada"}}}
	l, events := newLogins(s)
	if err := l.Prune(t.Context()); err != nil || len(*events) != 1 || (*events)[0].Who != "github:ada" || (*events)[0].Action != "session.expired" {
		t.Errorf("%v %v", *events, err)
	}
}

func TestNextPage(t *testing.T) {
	for header, want := range map[string]string{
		"": "", `<https://api.github.com/user/teams?page=2>; rel="next", <https://api.github.com/user/teams?page=9>; rel="last"`: "https://api.github.com/user/teams?page=2",
		`<https://x/1>; rel="prev"`: "", `</relative>; rel="next"`: "", `https://x; rel="next"`: "", `<https://x>`: "", `<%zz>; rel="next"`: "",
	} {
		if got := nextPage(header); got != want {
			t.Errorf("%s: %q", header, got)
		}
	}
	if githubAPI("https://github.com") != "https://api.github.com" || githubAPI("https://ghe.example") != "https://ghe.example/api/v3" {
		t.Error("where the API is")
	}
}

// FuzzFlowCookie: what a browser sends is ours whole, or nothing.
func FuzzFlowCookie(f *testing.F) {
	l, _ := newLogins(&store{})
	aead, err := l.sealer(f.Context())
	if err != nil {
		f.Fatal(err)
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	if err := l.setFlow(f.Context(), w, r, &flow{Login: "sso", State: "s", Expires: time.Now().Add(time.Minute)}); err != nil {
		f.Fatal(err)
	}
	good := w.Result().Cookies()[0]
	f.Add(good.Value)
	f.Add("")
	f.Add("AAAA")
	f.Fuzz(func(t *testing.T, value string) {
		got, err := open(aead, good.Name, value)
		if err == nil && (value != good.Value || got.State != "s") {
			t.Errorf("%q is taken for a login: %+v", value, got)
		}
		if _, err := open(aead, "dragoman_session", value); err == nil {
			t.Error("a cookie under another name")
		}
	})
}
