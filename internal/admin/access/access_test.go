package access

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dragoman/internal/config"
)

// memory is a Store that a test can break.
type memory struct {
	Store
	mu       sync.Mutex
	tokens   map[[32]byte]*Token
	sessions map[[32]byte]*Session
	made     bool
	err      error
	looks    int
	asked    int
	uses     int
}

func (m *memory) TokenByHash(_ context.Context, hash [32]byte) (*Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	if m.err != nil {
		return nil, m.err
	}
	if t := m.tokens[hash]; t != nil {
		copied := *t
		return &copied, nil
	}
	return nil, ErrNone
}

func (m *memory) SessionByHash(_ context.Context, hash [32]byte) (*Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.looks++
	if s := m.sessions[hash]; s != nil {
		return s, m.err
	}
	return nil, errors.Join(m.err, ErrNone)
}

func (m *memory) UseToken(_ context.Context, id string, at time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uses++
	for _, t := range m.tokens {
		if t.ID == id {
			t.LastUsed = at
		}
	}
	return nil
}

func (m *memory) HasAdminToken(context.Context) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked++
	return m.made, m.err
}

type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newGuard(store Store, admin *config.Admin, loopback bool) (*Guard, *clock) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	return NewGuard(Options{Admin: func() *config.Admin { return admin }, Loopback: loopback, Store: store, Now: c.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}), c
}

func request(change func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Host = "127.0.0.1:5000", "127.0.0.1:8081"
	if change != nil {
		change(r)
	}
	return r
}

func bearer(token string) *http.Request {
	return request(func(r *http.Request) { r.Header.Set("authorization", "Bearer "+token) })
}

func newStored(t *testing.T, name string, grant config.RoleGrant) (*memory, *Token, string) {
	t.Helper()
	k, secret, err := NewToken(rand.Reader, time.Unix(1_800_000_000, 0), name, grant, "test", time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return &memory{tokens: map[[32]byte]*Token{k.Hash: k}, sessions: map[[32]byte]*Session{}}, k, secret
}

func TestNewToken(t *testing.T) {
	_, k, secret := newStored(t, "ci", config.RoleGrant{Role: config.RoleViewer})
	if !strings.HasPrefix(secret, TokenPrefix) || len(secret) != secretLen || k.Hash != HashSecret(secret) || strings.Contains(k.Prefix, secret[12:]) || !strings.HasPrefix(secret, strings.TrimSuffix(k.Prefix, "…")) {
		t.Errorf("%q %+v", secret, k)
	}
	later, _, _ := NewToken(rand.Reader, time.Unix(1_800_000_001, 0), "b", k.Grant, "test", time.Time{})
	if later.ID <= k.ID {
		t.Errorf("ids are not in the order of time: %s, %s", k.ID, later.ID)
	}
	if _, _, err := NewToken(strings.NewReader("short"), time.Now(), "c", k.Grant, "test", time.Time{}); err == nil {
		t.Error("a token without randomness")
	}
}

func TestTokenIsLookedUp(t *testing.T) {
	store, k, secret := newStored(t, "ci", config.RoleGrant{Role: config.RoleViewer, Tenant: "acme"})
	file := grantOfAdmin("file")
	g, now := newGuard(store, &config.Admin{Tokens: []config.AdminToken{{Name: "file", Hash: HashSecret("dga_file"), Grant: file}}}, true)
	c := g.Identify(bearer(secret))
	if c.Err != nil || c.Identity.String() != "token:acme/ci" || c.Identity.Grants[0] != k.Grant || c.Identity.Person() {
		t.Fatalf("%+v %v", c.Identity, c.Err)
	}
	if c := g.Identify(bearer("dga_file")); c.Err != nil || c.Identity.String() != "token:file" {
		t.Errorf("of the configuration: %+v %v", c.Identity, c.Err)
	}
	for _, bad := range []string{"", secret + "x", strings.ToUpper(secret), "dga_", strings.Repeat("x", 10_000)} {
		if c := g.Identify(bearer(bad)); status.Code(c.Err) != codes.Unauthenticated || c.Identity != nil {
			t.Errorf("%.20q: %v", bad, c.Err)
		}
	}
	if c := g.Identify(request(func(r *http.Request) { r.Header.Set("authorization", "Basic "+secret) })); c.Identity != nil {
		t.Error("a scheme that is none of ours")
	}
	g.Identify(bearer(secret))
	if store.uses != 1 {
		t.Errorf("%d uses were noted within a minute", store.uses)
	}
	now.now = now.now.Add(time.Minute)
	if g.Identify(bearer(secret)); store.uses != 2 {
		t.Errorf("a use a minute later was not noted")
	}
	store.tokens[k.Hash].Expires = now.now
	if c := g.Identify(bearer(secret)); status.Code(c.Err) != codes.Unauthenticated {
		t.Errorf("an expired token: %v", c.Err)
	}
	store.tokens[k.Hash].Expires = time.Time{}
	store.tokens[k.Hash].Revoked = now.now
	if c := g.Identify(bearer(secret)); status.Code(c.Err) != codes.Unauthenticated {
		t.Errorf("a revoked token: %v", c.Err)
	}
}

// grantOfAdmin keeps tables short.
func grantOfAdmin(string) config.RoleGrant { return config.RoleGrant{Role: config.RoleAdmin} }

// TestC7_database_away_is_no_401: nobody is told that a good token is bad because a database does not answer.
func TestC7_database_away_is_no_401(t *testing.T) {
	store, _, secret := newStored(t, "ci", config.RoleGrant{Role: config.RoleViewer})
	g, _ := newGuard(store, &config.Admin{Tokens: []config.AdminToken{{Name: "file", Hash: HashSecret("dga_file"), Grant: grantOfAdmin("")}}}, true)
	store.err = errors.New("connection refused: postgres://user:secret@db")
	for range 50 {
		c := g.Identify(bearer(secret))
		if status.Code(c.Err) != codes.Unavailable || strings.Contains(c.Err.Error(), "secret") {
			t.Fatalf("%v", c.Err)
		}
	}
	if c := g.Identify(bearer("dga_file")); c.Err != nil {
		t.Errorf("a token of the configuration needs no database: %v", c.Err)
	}
	store.err = nil
	if c := g.Identify(bearer(secret)); c.Err != nil {
		t.Errorf("after the database is back: %v", c.Err)
	}
}

func TestSession(t *testing.T) {
	store, _, _ := newStored(t, "ci", config.RoleGrant{Role: config.RoleViewer})
	g, now := newGuard(store, &config.Admin{Logins: []*config.Login{{}}}, true)
	s := &Session{Hash: HashSecret("id"), Kind: KindOIDC, Name: "ada@example.com", Grants: []config.RoleGrant{{Role: config.RoleViewer}, {Role: config.RoleAdmin, Tenant: "acme"}}, Expires: now.now.Add(time.Hour)}
	store.sessions[s.Hash] = s
	with := func(name, value string) *http.Request {
		return request(func(r *http.Request) { r.AddCookie(&http.Cookie{Name: name, Value: value}) })
	}
	if c := g.Identify(with("dragoman_session", "id")); c.Err != nil || c.Identity.String() != "oidc:ada@example.com" || !c.Identity.Person() || len(c.Identity.Grants) != 2 {
		t.Errorf("%+v %v", c.Identity, c.Err)
	}
	for _, r := range []*http.Request{with("dragoman_session", "other"), with("__Host-dragoman_session", "id"), with("dragoman_session", ""), bearer("id")} {
		if c := g.Identify(r); c.Identity != nil || status.Code(c.Err) != codes.Unauthenticated {
			t.Errorf("%v: %v", r.Header, c.Err)
		}
	}
	now.now = s.Expires
	if c := g.Identify(with("dragoman_session", "id")); c.Identity != nil {
		t.Error("a session that has ended")
	}
}

// TestFailuresAreBounded: an address that tries tokens is stopped, and who has a good one there is not.
func TestFailuresAreBounded(t *testing.T) {
	store, _, secret := newStored(t, "ci", config.RoleGrant{Role: config.RoleViewer})
	g, now := newGuard(store, &config.Admin{Tokens: []config.AdminToken{{}}}, true)
	g.Identify(bearer(secret))
	for i := range 10 {
		if c := g.Identify(bearer(fmt.Sprintf("dga_%d", i))); status.Code(c.Err) != codes.Unauthenticated {
			t.Fatalf("try %d: %v", i, c.Err)
		}
	}
	looks := store.looks
	for i := range 100 {
		if c := g.Identify(bearer(fmt.Sprintf("dga_x%d", i))); status.Code(c.Err) != codes.ResourceExhausted {
			t.Fatalf("one too many: %v", c.Err)
		}
	}
	if store.looks != looks {
		t.Errorf("%d of them reached the database", store.looks-looks)
	}
	if c := g.Identify(bearer(secret)); c.Err != nil {
		t.Errorf("somebody else's failures lock a good token out: %v", c.Err)
	}
	other := bearer("dga_y")
	other.RemoteAddr = "127.0.0.2:1"
	if c := g.Identify(other); status.Code(c.Err) != codes.Unauthenticated {
		t.Errorf("another address: %v", c.Err)
	}
	now.now = now.now.Add(6 * time.Second)
	if c := g.Identify(bearer("dga_z")); status.Code(c.Err) != codes.Unauthenticated {
		t.Errorf("later: %v", c.Err)
	}
}

func TestCallsAreBounded(t *testing.T) {
	store, _, secret := newStored(t, "ci", config.RoleGrant{Role: config.RoleViewer})
	g, now := newGuard(store, &config.Admin{}, true)
	for i := range 200 {
		if c := g.Identify(bearer(secret)); c.Err != nil {
			t.Fatalf("call %d: %v", i, c.Err)
		}
	}
	if c := g.Identify(bearer(secret)); status.Code(c.Err) != codes.ResourceExhausted {
		t.Errorf("one too many: %v", c.Err)
	}
	now.now = now.now.Add(20 * time.Millisecond)
	if c := g.Identify(bearer(secret)); c.Err != nil {
		t.Errorf("a moment later: %v", c.Err)
	}
}

// TestOpenUntilAnAdminIsSet: programs of this machine may do everything, until somebody is set who may; and that stays so.
func TestOpenUntilAnAdminIsSet(t *testing.T) {
	store := &memory{}
	g, now := newGuard(store, &config.Admin{}, true)
	if c := g.Identify(request(nil)); c.Err != nil || c.Identity.String() != "local" || c.Identity.Grants[0].Role != config.RoleAdmin {
		t.Fatalf("%+v %v", c.Identity, c.Err)
	}
	store.made = true
	if c := g.Identify(request(nil)); c.Err != nil {
		t.Errorf("the store is asked more than once a second: %v", c.Err)
	}
	now.now = now.now.Add(time.Second)
	if c := g.Identify(request(nil)); status.Code(c.Err) != codes.Unauthenticated {
		t.Errorf("a token of role admin was made: %v", c.Err)
	}
	store.made, now.now = false, now.now.Add(time.Hour)
	if c := g.Identify(request(nil)); c.Identity != nil {
		t.Error("the port opens again")
	}
	g, _ = newGuard(&memory{}, &config.Admin{}, true)
	if g.AdminMade(); g.Identify(request(nil)).Identity != nil {
		t.Error("the port is open after one was made here")
	}
	for _, a := range []*config.Admin{{Tokens: []config.AdminToken{{}}}, {Logins: []*config.Login{{}}}} {
		if g, _ := newGuard(&memory{}, a, true); g.Identify(request(nil)).Identity != nil {
			t.Errorf("%+v is open", a)
		}
	}
	if g, _ := newGuard(&memory{}, &config.Admin{}, false); g.Identify(request(nil)).Identity != nil {
		t.Error("a port that others reach is open")
	}
	if g, _ := newGuard(nil, &config.Admin{}, true); g.Identify(request(nil)).Err != nil {
		t.Error("without a ledger it is not open")
	}
}

// TestWhileTheStoreDoesNotSay: before the first answer programs of this machine may look; an answer that was had stays.
func TestWhileTheStoreDoesNotSay(t *testing.T) {
	store := &memory{err: errors.New("away")}
	g, now := newGuard(store, &config.Admin{}, true)
	if c := g.Identify(request(nil)); c.Err != nil || c.Identity.Grants[0].Role != config.RoleViewer {
		t.Errorf("%+v %v", c.Identity, c.Err)
	}
	store.err, now.now = nil, now.now.Add(time.Second)
	if c := g.Identify(request(nil)); c.Err != nil || c.Identity.Grants[0].Role != config.RoleAdmin {
		t.Errorf("%+v %v", c.Identity, c.Err)
	}
	store.err, now.now = errors.New("away"), now.now.Add(time.Second)
	if c := g.Identify(request(nil)); c.Err != nil || c.Identity.Grants[0].Role != config.RoleAdmin {
		t.Errorf("what was known is forgotten: %+v %v", c.Identity, c.Err)
	}
}

// TestOnlyLocalProgramsAreLetIn: neither another machine nor a page in a browser; a person may look.
func TestOnlyLocalProgramsAreLetIn(t *testing.T) {
	g, _ := newGuard(&memory{}, &config.Admin{}, true)
	for what, change := range map[string]func(*http.Request){
		"another machine":            func(r *http.Request) { r.RemoteAddr = "10.0.0.9:5000" },
		"no address":                 func(r *http.Request) { r.RemoteAddr = "@" },
		"a page":                     func(r *http.Request) { r.Header.Set("origin", "https://evil.example") },
		"a page, unnamed":            func(r *http.Request) { r.Header.Set("sec-fetch-site", "cross-site") },
		"a page of the same site":    func(r *http.Request) { r.Header.Set("sec-fetch-site", "same-site") },
		"a name's rebound":           func(r *http.Request) { r.Host = "evil.example:8081" },
		"a person who sends a form":  func(r *http.Request) { r.Method = http.MethodPost; r.Header.Set("sec-fetch-site", "same-origin") },
		"a person who types nothing": func(r *http.Request) { r.Method = http.MethodDelete; r.Header.Set("sec-fetch-site", "none") },
	} {
		if c := g.Identify(request(change)); c.Identity != nil {
			t.Errorf("%s is let in as %v", what, c.Identity.Grants)
		}
	}
	for _, site := range []string{"none", "same-origin"} {
		c := g.Identify(request(func(r *http.Request) { r.Header.Set("sec-fetch-site", site) }))
		if c.Err != nil || c.Identity.Grants[0].Role != config.RoleViewer {
			t.Errorf("a person: %+v %v", c.Identity, c.Err)
		}
	}
	for _, host := range []string{"localhost:8081", "LOCALHOST", "[::1]:8081", "127.0.0.1", "::1"} {
		if c := g.Identify(request(func(r *http.Request) { r.Host, r.RemoteAddr = host, "[::1]:4000" })); c.Err != nil {
			t.Errorf("%s: %v", host, c.Err)
		}
	}
}

func TestLimiterIsBounded(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	l := NewLimiter(time.Second, 2, 3, c.Now)
	for i := range 1000 {
		l.Take(fmt.Sprint(i))
	}
	if len(l.keys) != 3 || l.used.Len() != 3 {
		t.Errorf("%d keys", len(l.keys))
	}
	if !l.Take("999") || l.Take("999") || !l.Spent("999") || l.Spent("nobody") {
		t.Error("a key that was used last was forgotten, or one may do it three times")
	}
	if c.now = c.now.Add(time.Second); l.Spent("999") || !l.Take("999") {
		t.Error("nothing comes back")
	}
}

func TestAddressKey(t *testing.T) {
	for peer, want := range map[string]string{"10.1.2.3:4": "10.1.2.3", "[::ffff:10.1.2.3]:4": "10.1.2.3", "[2001:db8:1:2:3:4:5:6]:7": "2001:db8:1:2::/64", "[fe80::1%eth0]:1": "fe80::/64", "@": "?"} {
		if got := AddressKey(peer); got != want {
			t.Errorf("%s: %s, want %s", peer, got, want)
		}
	}
}

func TestAuditorIsBounded(t *testing.T) {
	c := &clock{time.Unix(1_800_000_000, 0)}
	var got []Event
	a := &Auditor{Now: c.Now, Write: func(e Event) { got = append(got, e) }}
	for range 100 {
		a.Note(Event{Action: "refused"})
	}
	a.Note(Event{Action: "refused", Who: "token:ci"})
	if len(got) != 11 {
		t.Fatalf("%d entries", len(got))
	}
	c.now = c.now.Add(time.Second)
	a.Note(Event{Action: "refused"})
	if len(got) != 13 || got[11].Count != 90 {
		t.Errorf("%d entries, %+v", len(got), got[11])
	}
}

func TestMayGive(t *testing.T) {
	for _, c := range []struct {
		own, given config.RoleGrant
		may        bool
	}{
		{config.RoleGrant{Role: config.RoleAdmin}, config.RoleGrant{Role: config.RoleOperator, Tenant: "a"}, true},
		{config.RoleGrant{Role: config.RoleOperator}, config.RoleGrant{Role: config.RoleViewer}, true},
		{config.RoleGrant{Role: config.RoleOperator}, config.RoleGrant{Role: config.RoleMember, Tenant: "a"}, true},
		{config.RoleGrant{Role: config.RoleOperator}, config.RoleGrant{Role: config.RoleAdmin}, false},
		{config.RoleGrant{Role: config.RoleViewer}, config.RoleGrant{Role: config.RoleMember, Tenant: "a"}, false},
		{config.RoleGrant{Role: config.RoleMember, Tenant: "a"}, config.RoleGrant{Role: config.RoleViewer, Tenant: "a"}, false},
		{config.RoleGrant{Role: config.RoleAdmin, Tenant: "a"}, config.RoleGrant{Role: config.RoleViewer}, false},
		{config.RoleGrant{Role: config.RoleAdmin, Tenant: "a", Team: "t"}, config.RoleGrant{Role: config.RoleViewer, Tenant: "a"}, false},
	} {
		if got := (&Identity{Grants: []config.RoleGrant{c.own}}).MayGive(c.given); got != c.may {
			t.Errorf("%s gives %s: %v", c.own, c.given, got)
		}
	}
}

func TestPlacesHoldNoneTwice(t *testing.T) {
	id := &Identity{Grants: []config.RoleGrant{{Role: config.RoleViewer, Tenant: "a", Team: "t"}, {Role: config.RoleViewer, Tenant: "a"}, {Role: config.RoleOperator, Tenant: "a"}, {Role: config.RoleMember, Tenant: "b", Team: "t"}}}
	call, err := Authorize(&Caller{Identity: id}, "/dragoman.admin.v1.Admin/ListKeys")
	if err != nil {
		t.Fatal(err)
	}
	places, err := call.Places("", "")
	if err != nil || fmt.Sprint(places) != "[a b/t]" {
		t.Errorf("%v %v", places, err)
	}
}
