package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
)

// clock is a time that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// issuer gives tokens as a test says, by its own clock.
type issuer struct {
	*httptest.Server
	mu     sync.Mutex
	log    []string // login, renew-self, lookup-self, read
	serial int
	ttl    int    // of the next login, and of renewals
	refuse string // what is answered with 403
	broken string // what is answered with 500
}

func newIssuer(t *testing.T, ttl int) *issuer {
	t.Helper()
	i := &issuer{ttl: ttl}
	i.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		defer i.mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body)
		op := r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]
		if strings.Contains(r.URL.Path, "/data/") {
			op = "read"
		}
		i.log = append(i.log, op)
		w.Header().Set("Content-Type", "application/json")
		current := fmt.Sprint("s.token-", i.serial)
		switch {
		case op == i.refuse:
			w.WriteHeader(403)
		case op == i.broken:
			w.WriteHeader(500)
		case op == "login":
			i.serial++
			i.grant(w)
		case r.Header.Get("X-Vault-Token") != current:
			w.WriteHeader(403)
			fmt.Fprint(w, `{"errors":["permission denied"]}`)
		case op == "renew-self":
			i.grant(w)
		case op == "lookup-self":
			fmt.Fprint(w, lookupOK)
		case op == "read":
			fmt.Fprint(w, readOK("SECRET"))
		default:
			w.WriteHeader(204)
		}
	}))
	t.Cleanup(i.Close)
	return i
}

func (i *issuer) grant(w io.Writer) {
	_ = json.NewEncoder(w).Encode(map[string]any{"auth": map[string]any{"client_token": fmt.Sprint("s.token-", i.serial), "lease_duration": i.ttl, "renewable": true}})
}

func (i *issuer) set(f func()) { i.mu.Lock(); defer i.mu.Unlock(); f() }

// took is what was asked since the last time.
func (i *issuer) took() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	text := strings.Join(i.log, " ")
	i.log = nil
	return text
}

func (i *issuer) session(t *testing.T, c *clock) *session {
	t.Helper()
	v := &config.Vault{Address: i.URL, Timeout: 2 * time.Second, AppRole: &config.VaultAppRole{RoleID: "r", Mount: "approle", SecretID: secretOf("SECRET-id")}}
	s := newSession(v, Options{Now: c.Now, Random: func() float64 { return 1 }})
	t.Cleanup(s.close)
	return s
}

// The life of a token, second by second: renewed before two thirds of it are over, replaced when it nears its longest life, tried again and
// again when Vault is away, and got anew when nothing else helps.
func TestLifeOfAToken(t *testing.T) {
	ctx := context.Background()
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	i := newIssuer(t, 60)
	s := i.session(t, c)
	read := func() string {
		if _, err := s.read(ctx, "secret", "a"); err != nil {
			return "failed: " + err.Error()
		}
		return i.took()
	}
	step := func(d time.Duration, want string) {
		t.Helper()
		c.add(d)
		_ = s.keep(ctx)
		if got := i.took(); got != want {
			t.Errorf("at %s: %q, want %q", c.Now().UTC().Format("15:04:05"), got, want)
		}
	}
	if got := read(); got != "login read" {
		t.Fatal(got)
	}
	if due := s.due().Sub(c.Now()); due <= 30*time.Second || due >= 40*time.Second {
		t.Errorf("renewed after %s of 60 s", due)
	}
	step(30*time.Second, "")
	step(9*time.Second, "renew-self")
	step(30*time.Second, "")
	step(9*time.Second, "renew-self")

	i.set(func() { i.ttl = 20 }) // max_ttl is near
	step(39*time.Second, "renew-self login")
	i.set(func() { i.ttl = 60 })
	step(13*time.Second, "renew-self")

	i.set(func() { i.refuse = "renew-self" })
	step(39*time.Second, "renew-self login")
	i.set(func() { i.refuse, i.broken = "", "renew-self" })
	step(39*time.Second, "renew-self renew-self renew-self login")

	i.set(func() { i.broken = "login"; i.refuse = "renew-self" })
	step(39*time.Second, "renew-self login login login")
	step(500*time.Millisecond, "")
	step(600*time.Millisecond, "renew-self login login login")
	step(time.Second, "")
	if got := read(); got != "read" {
		t.Errorf("the token still holds: %s", got)
	}
	c.add(time.Minute) // its end
	if got := read(); !strings.HasPrefix(got, "failed: ") || s.valid(s.get()) {
		t.Error(got)
	}
	i.took()
	i.set(func() { i.broken, i.refuse = "", "" })
	if got := read(); got != "login read" {
		t.Errorf("after its end: %s", got)
	}
	step(30*time.Second, "")
	step(9*time.Second, "renew-self")
	s.close()
	if got := i.took(); got != "revoke-self" || s.get().value != "" {
		t.Errorf("at the end: %q", got)
	}
}

// A renewal of no seconds is an end, and none that never comes.
func TestRenewalOfNothing(t *testing.T) {
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	i := newIssuer(t, 60)
	s := i.session(t, c)
	if _, err := s.token(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.add(40 * time.Second)
	i.set(func() { i.ttl = 0 })
	_ = s.keep(context.Background())
	if got := i.took(); got != "login renew-self login" {
		t.Error(got)
	}
}

// Many readers that find the token refused log in once.
func TestOneLoginForMany(t *testing.T) {
	c := &clock{now: time.Unix(1_700_000_000, 0)}
	i := newIssuer(t, 60)
	s := i.session(t, c)
	if _, err := s.token(context.Background()); err != nil {
		t.Fatal(err)
	}
	i.set(func() { i.serial++ }) // somebody revoked it
	c.add(2 * freshCheck)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if _, err := s.read(context.Background(), "secret", "a"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := strings.Count(i.took(), "login"); got != 2 {
		t.Errorf("%d logins", got)
	}
}

// Who waits for somebody else's login waits no longer than he may.
func TestWaitingForALogin(t *testing.T) {
	i := newIssuer(t, 60)
	s := i.session(t, &clock{now: time.Unix(1_700_000_000, 0)})
	s.turn <- struct{}{}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.token(ctx); err == nil {
		t.Error("a token")
	}
	if again, err := s.doubt(ctx, "x"); again || err != nil {
		t.Errorf("%v %v", again, err)
	}
	if err := s.keep(ctx); err == nil {
		t.Error("kept")
	}
	<-s.turn
}
