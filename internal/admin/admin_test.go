package admin

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"dragoman/internal/admin/access"
	"dragoman/internal/admin/api"
	"dragoman/internal/admin/login"
	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/internal/store/sqldb"
	"dragoman/processor/cache"
	"dragoman/processor/limit"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is the whole port over a real database, open to programs of this machine until a token is made.
type world struct {
	http.Handler
	db    *sqldb.DB
	ready error
}

func newWorld(t testing.TB, yaml string, tiers ...cache.Admin) *world {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "c.yaml")
	text := "providers: [{name: local, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\ntenants: [{name: acme, teams: [{name: search}]}]\n" + yaml
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	snap, err := config.Load(config.Options{Path: path, Env: func(string) (string, bool) { return "secret", true }})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{}
	if w.db, err = sqldb.OpenSQLite(filepath.Join(dir, "l.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.db.Close() })
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	settings := func() *config.Admin { return snap.Admin }
	guard := access.NewGuard(access.Options{Admin: settings, Loopback: true, Store: w.db, Now: time.Now, Log: quiet})
	auditor := &access.Auditor{Now: time.Now, Write: func(access.Event) {}}
	current := func() *config.Snapshot { return snap }
	server := api.New(api.Options{Guard: guard, Config: current, Tokens: w.db, Levels: func(context.Context) ([]limit.Level, error) { return nil, nil },
		Cache: func() []cache.Admin { return tiers }, Status: func() any { return map[string]int{"in_flight": 3} }, Reload: func() (string, error) { return "v", nil },
		AuditPage: func(ctx context.Context, f ledger.PageFilter) ([]*ledger.Entry, error) { return w.db.AuditPage(ctx, f) },
		Audit:     auditor, Now: time.Now, Random: rand.Reader, Log: quiet})
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	registry.MustRegister(counter)
	counter.Inc()
	w.Handler = Handler(Options{Registry: registry, Ready: func() error { return w.ready }, Status: func() any { return map[string]int{"in_flight": 3} }, API: server, Guard: guard, Config: current,
		Logins: login.New(login.Options{Admin: settings, Base: func() string { return "http://127.0.0.1:8081" }, Store: w.db, Guard: guard, Audit: auditor, Now: time.Now, Log: quiet})})
	return w
}

// token makes one in the database.
func (w *world) token(t testing.TB, grant config.RoleGrant) string {
	t.Helper()
	k, secret, err := access.NewToken(rand.Reader, time.Now(), "t"+string(grant.Role)+grant.Tenant, grant, "test", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.AddToken(t.Context(), k); err != nil {
		t.Fatal(err)
	}
	return secret
}

func send(h http.Handler, method, path, body string, change func(*http.Request)) (int, string) {
	w := record(h, method, path, body, change)
	return w.Code, w.Body.String()
}

func record(h http.Handler, method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.RemoteAddr, r.Host = "127.0.0.1:5000", "127.0.0.1:8081"
	if change != nil {
		change(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func with(token string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("authorization", "Bearer "+token) }
}

func TestHandler(t *testing.T) {
	h := newWorld(t, "")
	for path, want := range map[string]string{"/metrics": "things_total 1", "/healthz": "ok", "/readyz": "ready", "/status": `"in_flight": 3`, "/": "/readyz", "/openapi.json": `"/api/v1/keys/{id}:rotate"`,
		"/api/v1/whoami": "local", "/api/v1/status": `"in_flight":3`} {
		if code, body := send(h, http.MethodGet, path, "", nil); code != http.StatusOK || !strings.Contains(strings.ReplaceAll(body, `": 3`, `":3`), strings.ReplaceAll(want, `": 3`, `":3`)) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if w := record(h, http.MethodGet, "/status", "", nil); w.Header().Get("content-type") != "application/json" || w.Header().Get("cache-control") != "no-store" {
		t.Errorf("/status: %v", w.Header())
	}
	h.ready = errors.New("no Envoy is connected")
	if code, body := send(h, http.MethodGet, "/readyz", "", nil); code != http.StatusServiceUnavailable || !strings.Contains(body, "no Envoy") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _ := send(h, http.MethodGet, "/healthz", "", nil); code != http.StatusOK {
		t.Errorf("a process that is not ready is alive: %d", code)
	}
	for path, method := range map[string]string{"/quitquitquit": http.MethodGet, "/debug/pprof/": http.MethodGet, "/status": http.MethodPost, "/api/v1/keys": http.MethodPut} {
		if code, _ := send(h, method, path, "", nil); code != http.StatusNotFound && code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d", method, path, code)
		}
	}
}

// TestWhatNeedsNoToken: Prometheus and kubelets have none; everything else asks who calls once an admin is set.
func TestWhatNeedsNoToken(t *testing.T) {
	h := newWorld(t, "")
	h.token(t, config.RoleGrant{Role: config.RoleAdmin})
	for path, want := range map[string]int{"/metrics": 200, "/healthz": 200, "/readyz": 200, "/openapi.json": 200, "/": 200, "/login": 200, "/style.css": 200,
		"/status": 401, "/api/v1/whoami": 401, "/api/v1/keys": 401, "/api/v1/nothing": 404} {
		if code, body := send(h, http.MethodGet, path, "", nil); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	for _, r := range [][2]string{{http.MethodDelete, "/cache?all=true"}, {http.MethodPost, "/api/v1/cache:purge"}, {http.MethodPost, "/keys/revoke"}, {http.MethodPost, "/tokens"}} {
		if code, _ := send(h, r[0], r[1], "", nil); code/100 != 4 {
			t.Errorf("%v: %d", r, code)
		}
	}
	w := record(h, http.MethodGet, "/api/v1/whoami", "", nil)
	if w.Header().Get("www-authenticate") != `Bearer realm="dragoman"` || gjson.Get(w.Body.String(), "code").Int() != int64(codes.Unauthenticated) {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	browser := record(h, http.MethodGet, "/", "", func(r *http.Request) { r.Header.Set("accept", "text/html") })
	if browser.Code != http.StatusSeeOther || browser.Header().Get("location") != "/login" {
		t.Errorf("a person: %d %v", browser.Code, browser.Header())
	}
}

func TestJSON(t *testing.T) {
	h := newWorld(t, "")
	admin, member := with(h.token(t, config.RoleGrant{Role: config.RoleAdmin})), with(h.token(t, config.RoleGrant{Role: config.RoleMember, Tenant: "acme"}))
	if code, body := send(h, http.MethodGet, "/api/v1/whoami", "", member); code != 200 || gjson.Get(body, "identity").String() != "token:acme/tmemberacme" || gjson.Get(body, "grants.0.tenant").String() != "acme" {
		t.Errorf("%d %s", code, body)
	}
	for _, c := range []struct {
		method, path, body string
		who                func(*http.Request)
		code               int
	}{
		{"POST", "/api/v1/tokens", `{"name": "ci", "grant": {"role": "viewer"}}`, admin, 200},
		{"POST", "/api/v1/tokens", `{"name": "ci", "grant": {"role": "viewer"}}`, admin, 409},
		{"POST", "/api/v1/tokens", `{"name": "ci2", "grant": {"role": "viewer"}}`, member, 403},
		{"POST", "/api/v1/tokens", `{"name": "ci3", "grant": {"role": "viewer"}, "more": 1}`, admin, 400},
		{"POST", "/api/v1/tokens", `{`, admin, 400},
		{"POST", "/api/v1/tokens", `{"name": "` + strings.Repeat("x", api.MaxRequest) + `"}`, admin, 400},
		{"GET", "/api/v1/principals?tenant=acme&team=search", "", member, 200},
		{"GET", "/api/v1/principals?tenant=globex", "", member, 404},
		{"GET", "/api/v1/principals?tennant=acme", "", admin, 400},
		{"GET", "/api/v1/audit?pageToken=zzz", "", admin, 400},
		{"GET", "/api/v1/audit?page_size=1", "", admin, 200},
		{"GET", "/api/v1/audit", "", member, 403},
		{"GET", "/api/v1/keys", "", admin, 400}, // this gateway keeps none
		{"POST", "/api/v1/config:reload", "{}", admin, 200},
		{"POST", "/api/v1/config:reload", "{}", member, 403},
		{"GET", "/api/v1/config:reload", "", admin, 405},
	} {
		if code, body := send(h, c.method, c.path, c.body, c.who); code != c.code {
			t.Errorf("%s %s %.60s: %d %s, want %d", c.method, c.path, c.body, code, body, c.code)
		}
	}
	override := func(r *http.Request) {
		admin(r)
		r.Header.Set("x-http-method-override", "GET")
		r.Header.Set("content-type", "application/x-www-form-urlencoded")
	}
	if code, body := send(h, http.MethodPost, "/api/v1/whoami", "", override); code == 200 {
		t.Errorf("a method by a header: %d %s", code, body)
	}
}

// TestOtherOrigins: a page of somebody else changes nothing, neither by a session nor by a token.
func TestOtherOrigins(t *testing.T) {
	h := newWorld(t, "")
	token := h.token(t, config.RoleGrant{Role: config.RoleAdmin})
	session := &access.Session{Hash: access.HashSecret("id"), Kind: access.KindOIDC, Name: "ada@example.com", Grants: []config.RoleGrant{{Role: config.RoleAdmin}}, Created: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := h.db.AddSession(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	logged := func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "dragoman_session", Value: "id"}) }
	form := func(change func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			logged(r)
			r.Header.Set("content-type", "application/x-www-form-urlencoded")
			change(r)
		}
	}
	body := "name=x&role=viewer"
	for what, change := range map[string]func(*http.Request){
		"by its name":   func(r *http.Request) { r.Header.Set("origin", "https://evil.example") },
		"unnamed":       func(r *http.Request) { r.Header.Set("origin", "null") },
		"cross-site":    func(r *http.Request) { r.Header.Set("sec-fetch-site", "cross-site") },
		"the same site": func(r *http.Request) { r.Header.Set("sec-fetch-site", "same-site") },
		"by a token":    func(r *http.Request) { with(token)(r); r.Header.Set("origin", "https://evil.example") },
	} {
		for _, path := range []string{"/tokens", "/logout", "/api/v1/tokens", "/cache/feedback"} {
			if code, _ := send(h, http.MethodPost, path, body, form(change)); code != http.StatusForbidden {
				t.Errorf("%s, %s: %d", what, path, code)
			}
		}
	}
	if list, _ := h.db.Tokens(t.Context(), "", 10); len(list) != 1 {
		t.Errorf("%d tokens", len(list))
	}
	same := form(func(r *http.Request) {
		r.Header.Set("sec-fetch-site", "same-origin")
		r.Header.Set("accept", "text/html")
	})
	w := record(h, http.MethodPost, "/tokens", body, same)
	if w.Code != 200 || !strings.Contains(w.Body.String(), "dga_") || !strings.Contains(w.Header().Get("content-security-policy"), "default-src 'none'") {
		t.Errorf("our own page: %d %v", w.Code, w.Header())
	}
	if again := record(h, http.MethodGet, "/", "", same); again.Code != 200 || strings.Contains(again.Body.String(), `id="secret"`) {
		t.Errorf("a secret is shown twice: %d", again.Code)
	}
	out := record(h, http.MethodPost, "/logout", "", same)
	if out.Code != http.StatusSeeOther || !strings.Contains(out.Header().Get("set-cookie"), "Max-Age=0") {
		t.Errorf("logout: %d %v", out.Code, out.Header())
	}
	if code, _ := send(h, http.MethodGet, "/api/v1/whoami", "", logged); code != http.StatusUnauthorized {
		t.Errorf("after the logout: %d", code)
	}
}

func serveOn(t *testing.T, h http.Handler) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(h)
	go func() { _ = s.Serve(lis) }()
	t.Cleanup(func() { s.Close() })
	return lis.Addr().String()
}

func TestServerIsBounded(t *testing.T) {
	c, err := net.Dial("tcp", serveOn(t, http.NotFoundHandler()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	answer := make([]byte, 20)
	if n, _ := io.ReadFull(c, answer); !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 431") {
		t.Errorf("64 KiB of headers: %q", answer[:n])
	}
	if s := NewServer(nil); s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 {
		t.Errorf("a peer may hold a connection for ever: %+v", s)
	}
}

// TestGRPC speaks to the same port in clear.
func TestGRPC(t *testing.T) {
	h := newWorld(t, "")
	token := h.token(t, config.RoleGrant{Role: config.RoleAdmin})
	conn, err := grpc.NewClient("passthrough:///"+serveOn(t, h), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := adminv1.NewAdminClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := client.WhoAmI(ctx, &adminv1.WhoAmIRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("without a token: %v", err)
	}
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	if me, err := client.WhoAmI(ctx, &adminv1.WhoAmIRequest{}); err != nil || me.Identity != "token:tadmin" {
		t.Errorf("%v %v", me, err)
	}
	if _, err := client.GetKey(ctx, &adminv1.GetKeyRequest{Id: "x"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("an error's code: %v", err)
	}
	if _, err := client.CreateToken(ctx, &adminv1.CreateTokenRequest{Name: strings.Repeat("x", 2*api.MaxRequest)}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("too much: %v", err)
	}
}

// FuzzHandler: whatever comes, nothing panics and the gateway is never at fault.
func FuzzHandler(f *testing.F) {
	for _, path := range []string{"/", "/login/x", "/login/hub/callback?code=a&state=b", "/api/v1/keys/x:rotate", "/api/v1/audit?page_token=MSAxIGE", "/usage?by=team", "/cache?tenant=a", "/tokens", "/keys/rotate", "//api/v1/../keys", "/api/v1/tokens/%00:revoke", "/api/v1/principals?tenant=%00"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			f.Add(method, path, "dragoman_session=x; dragoman_login=AAAA", "application/json", `{"name":"a","grant":{"role":"admin"},"id":"x"}`, "Bearer dga_x", "text/html")
			f.Add(method, path, "", "application/x-www-form-urlencoded", "name=a&place=acme&id=x&overlap=1h", "", "")
		}
	}
	h := newWorld(f, "admin: {logins: [{name: hub, github: {client_id: x, client_secret: {env: SECRET}, url: 'http://127.0.0.1:1'}, roles: [{role: admin, groups: [a]}]}]}\nledger: {}\n")
	h.token(f, config.RoleGrant{Role: config.RoleAdmin})
	session := &access.Session{Hash: access.HashSecret("id"), Kind: access.KindOIDC, Name: "a@example.com", Grants: []config.RoleGrant{{Role: config.RoleOperator}}, Created: time.Now(), Expires: time.Now().Add(time.Hour)}
	if err := h.db.AddSession(f.Context(), session); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, method, path, cookie, contentType, body, authorization, accept string) {
		if !strings.HasPrefix(path, "/") {
			path = "/" + path
		}
		r, err := http.NewRequest(method, "http://127.0.0.1:8081"+path, strings.NewReader(body))
		if err != nil {
			return
		}
		for _, logged := range []bool{false, true} {
			r := r.Clone(t.Context())
			r.Body = io.NopCloser(strings.NewReader(body))
			r.RemoteAddr, r.RequestURI = "127.0.0.1:5000", path
			r.Header = http.Header{"Cookie": {cookie}, "Content-Type": {contentType}, "Accept": {accept}}
			if authorization != "" {
				r.Header.Set("authorization", authorization)
			}
			if logged {
				r.Header.Set("cookie", "dragoman_session=id; "+cookie)
				r.Header.Del("authorization")
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code == 500 || w.Code == 501 || w.Code < 200 || w.Code > 599 {
				t.Errorf("%s %q: %d %s", method, path, w.Code, w.Body)
			}
			if strings.Contains(w.Body.String(), "goroutine ") {
				t.Errorf("%s %q shows a stack: %s", method, path, w.Body)
			}
		}
	})
}
