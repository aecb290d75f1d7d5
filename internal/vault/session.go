package vault

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"dragoman/internal/config"
)

const (
	// A token that cannot be renewed for the moment is tried again after firstPause, twice as long each time, at most lastPause.
	firstPause = time.Second
	lastPause  = 30 * time.Second
	// revokeTime is what the end of a program waits for the end of its token.
	revokeTime = 2 * time.Second
	// freshCheck is how long a token that was found valid is not doubted again: a policy that forbids ten secrets is asked about once.
	freshCheck = 2 * time.Second
	maxJWT     = 64 << 10
)

// session is one login at one server, and its token for as long as it can be kept. It is safe for concurrent use.
type session struct {
	c *client
	o Options

	turn chan struct{} // held by who logs in or renews: there is one login at a time
	mu   sync.Mutex    // guards held
	held held
}

// held is the token that is there.
type held struct {
	value     string        // "" for none
	own       bool          // it came of a login, and ends with the session
	renewable bool          //
	full      time.Duration // its life when it was new
	ends      time.Time     // zero: never, or nobody said
	due       time.Time     // when it is renewed or replaced; zero: it is not
	failed    int           // renewals in a row
	alive     time.Time     // when it was last found valid
}

func newSession(v *config.Vault, o Options) *session {
	return &session{c: newClient(v), o: o, turn: make(chan struct{}, 1)}
}

func (s *session) get() held {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

func (s *session) set(h held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = h
}

// lock takes the turn; false when ctx ends first.
func (s *session) lock(ctx context.Context) bool {
	select {
	case s.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *session) unlock() { <-s.turn }

// token is one that holds now, by a login when there is none.
func (s *session) token(ctx context.Context) (string, error) {
	if h := s.get(); s.valid(h) {
		return h.value, nil
	}
	if !s.lock(ctx) {
		return "", s.c.away(ctx, ctx.Err())
	}
	defer s.unlock()
	if h := s.get(); s.valid(h) {
		return h.value, nil
	}
	if err := s.login(ctx); err != nil {
		return "", err
	}
	return s.get().value, nil
}

func (s *session) valid(h held) bool {
	return h.value != "" && (h.ends.IsZero() || s.o.Now().Before(h.ends))
}

// login gets a token, or looks at the one that was given. It runs under the turn.
func (s *session) login(ctx context.Context) error {
	v := s.c.v
	var g grant
	var err error
	switch {
	case v.Kubernetes != nil:
		g, err = s.loginKubernetes(ctx, v.Kubernetes)
	case v.AppRole != nil:
		g, err = s.auth(ctx, "auth/"+v.AppRole.Mount+"/login", "", map[string]string{"role_id": v.AppRole.RoleID, "secret_id": v.AppRole.SecretID.Reveal()})
	default:
		g, err = s.lookup(ctx, v.Token.Reveal())
		g.token = v.Token.Reveal()
		if e := (*Error)(nil); errors.As(err, &e) && e.Status == http.StatusForbidden {
			// Its policies may not include the one that lets it look at itself; whether it is any good, the first read tells.
			g, err = grant{token: g.token, endless: true}, nil
		}
	}
	s.o.Report.login("login", err)
	if err != nil {
		return err
	}
	s.take(g, v.Login() != "token")
	return nil
}

func (s *session) loginKubernetes(ctx context.Context, k *config.VaultKubernetes) (grant, error) {
	jwt, err := readToken(k.TokenFile)
	if err != nil {
		return grant{}, failure(Denied, "the file %s of the service account's token %s", k.TokenFile, err)
	}
	return s.auth(ctx, "auth/"+k.Mount+"/login", "", map[string]string{"role": k.Role, "jwt": jwt})
}

// readToken reads a projected token, which is another one after each rotation.
func readToken(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", errors.New("does not exist")
	case err != nil || !info.Mode().IsRegular():
		return "", errors.New("cannot be read")
	}
	f, err := os.Open(path)
	if err != nil {
		return "", errors.New("may not be read by this user")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxJWT+1))
	text := strings.TrimSpace(string(data))
	if err != nil || !isToken(text) {
		return "", errors.New("holds no token")
	}
	return text, nil
}

// auth is a login or a renewal.
func (s *session) auth(ctx context.Context, path, token string, in map[string]string) (grant, error) {
	body, err := s.c.call(ctx, http.MethodPost, path, token, in)
	if err != nil {
		return grant{}, loginError(err, path)
	}
	g, bad := decodeAuth(body)
	if bad != nil {
		return grant{}, bad
	}
	return g, nil
}

// loginError says what an empty 404 means here.
func loginError(err error, path string) error {
	if e := (*Error)(nil); errors.As(err, &e) && e.Kind == Missing {
		e.Kind, e.Text = Denied, or(e.Text, "nothing is at "+path)
	}
	return err
}

func (s *session) lookup(ctx context.Context, token string) (grant, error) {
	body, err := s.c.call(ctx, http.MethodGet, "auth/token/lookup-self", token, nil)
	if err != nil {
		return grant{}, loginError(err, "auth/token/lookup-self")
	}
	g, bad := decodeLookup(body)
	if bad != nil {
		return grant{}, bad
	}
	return g, nil
}

// take holds a new token.
func (s *session) take(g grant, own bool) {
	now := s.o.Now()
	h := held{value: g.token, own: own, renewable: g.renewable, full: g.ttl, alive: now}
	if !g.endless {
		h.ends = now.Add(g.ttl)
		if own || g.renewable {
			h.due = now.Add(s.half(g.ttl))
		}
	}
	s.set(h)
}

// half is when a token of this life is renewed: after half of it and before two thirds, at another time in each replica.
func (s *session) half(life time.Duration) time.Duration {
	return max(life/2+time.Duration(s.o.Random()*0.15*float64(life)), 100*time.Millisecond)
}

// due is when keep has something to do; zero for never.
func (s *session) due() time.Time { return s.get().due }

// keep renews the token, or gets another one where renewing has no use any more. The error is for the log; what is held stays.
func (s *session) keep(ctx context.Context) error {
	if !s.lock(ctx) {
		return ctx.Err()
	}
	defer s.unlock()
	h := s.get()
	if h.due.IsZero() || s.o.Now().Before(h.due) {
		return nil
	}
	var err error
	if h.renewable {
		var done bool
		if done, err = s.renew(ctx, h); done {
			return err
		}
	}
	if h.own {
		if err = s.login(ctx); err == nil {
			return nil
		}
	}
	if h.own || passing(err) {
		s.later(h)
	} else {
		h.due = time.Time{} // it lasts as long as it lasts: who made it must make another one
		s.set(h)
	}
	return err
}

// renew prolongs the token; done is false when another one is due, or the try has failed.
func (s *session) renew(ctx context.Context, h held) (done bool, err error) {
	g, err := s.auth(ctx, "auth/token/renew-self", h.value, map[string]string{})
	s.o.Report.login("renew", err)
	if err != nil {
		return false, err
	}
	now := s.o.Now()
	before := h.ends
	h.ends, h.alive, h.failed, h.due = now.Add(g.ttl), now, 0, now.Add(s.half(g.ttl))
	switch {
	case h.own && g.ttl < h.full/4*3:
		s.set(h) // it nears its max_ttl: each renewal would give it less
		return false, nil
	case !h.own && !h.ends.After(before.Add(time.Second)):
		h.due = time.Time{}
		s.set(h)
		return true, failure(Denied, "the token has reached its longest life and ends at %s: give the gateway another one", h.ends.UTC().Format(time.RFC3339))
	}
	s.set(h)
	return true, nil
}

// later tries again, soon at first.
func (s *session) later(h held) {
	h = s.get() // renew may have changed it
	h.failed++
	h.due = s.o.Now().Add(min(firstPause<<min(h.failed-1, 10), lastPause))
	s.set(h)
}

func passing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.passing()
}

// doubt is told that this token was refused. It finds out whether the token or a policy is to blame, and logs in anew for the former;
// again says that there is another token to try with.
func (s *session) doubt(ctx context.Context, token string) (again bool, err error) {
	if !s.lock(ctx) {
		return false, nil
	}
	defer s.unlock()
	h := s.get()
	switch {
	case h.value != token:
		return s.valid(h), nil
	case !h.own || s.o.Now().Sub(h.alive) < freshCheck:
		return false, nil
	}
	if _, err := s.lookup(ctx, token); err == nil {
		h.alive = s.o.Now()
		s.set(h)
		return false, nil
	}
	if err := s.login(ctx); err != nil {
		return false, err
	}
	return true, nil
}

// read reads the newest version of one secret.
func (s *session) read(ctx context.Context, mount, path string) (entry, error) {
	api := mount + "/data/" + path
	for try := 0; ; try++ {
		token, err := s.token(ctx)
		if err != nil {
			return entry{}, err
		}
		body, err := s.c.call(ctx, http.MethodGet, api, token, nil)
		var e *Error
		if !errors.As(err, &e) {
			return entryOf(body, mount)
		}
		switch {
		case e.Kind == Missing:
			return s.missing(e, mount)
		case e.Kind != Denied:
			return entry{}, err
		case try == 0:
			if again, err := s.doubt(ctx, token); err != nil {
				return entry{}, err
			} else if again {
				continue
			}
		}
		e.Text = "may not be read: " + e.Text + " (the token must be valid, and a policy of it must allow `read` on " + api + ")"
		return entry{}, e
	}
}

func entryOf(body []byte, mount string) (entry, error) {
	if out, ok := decodeEntry(body); ok {
		return out, nil
	}
	return entry{}, failure(Invalid, "is not of a KV engine, version 2: is %s one?", mount)
}

// missing tells what was deleted from what never was.
func (s *session) missing(e *Error, mount string) (entry, error) {
	if out, ok := decodeEntry(e.body); ok {
		return out, nil
	}
	if e.Text = "does not exist"; len(decodeErrors(e.body)) > 0 {
		e.Text += ": " + s.c.said(e.body, "", nil)
	}
	return entry{}, e
}

// close ends the token, when it was made for this session, and the connections.
func (s *session) close() {
	h := s.get()
	if h.own && s.valid(h) {
		ctx, cancel := context.WithTimeout(context.Background(), revokeTime)
		defer cancel()
		// Without it the token ends by itself.
		_, _ = s.c.call(ctx, http.MethodPost, "auth/token/revoke-self", h.value, map[string]string{})
	}
	s.set(held{})
	s.c.close()
}
