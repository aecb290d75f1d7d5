package access

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
)

// Options of a Guard. All but Store are required.
type Options struct {
	Admin    func() *config.Admin // in force
	Loopback bool                 // the port is bound to an address that only programs of this machine reach
	Store    Store                // nil: neither tokens nor sessions but those of the configuration
	Now      func() time.Time
	Log      *slog.Logger
}

// Guard finds out who sends a request.
type Guard struct {
	o        Options
	failures *Limiter // by address
	calls    *Limiter // by identity

	admins atomic.Int32 // what is known of tokens of role admin in the store: one of the constants below
	asking sync.Mutex
	asked  time.Time // when the store was asked last
	goodMu sync.Mutex
	good   map[[32]byte]struct{} // hashes that were good, which somebody else's failures do not lock out
	said   atomic.Int32          // in the log, how things stand: 0 nothing yet, 1 open, 2 guarded
}

// What is known of tokens of role admin.
const (
	adminsUnknown int32 = iota // the store has not answered yet
	adminsNone
	adminsMade // and that stays so: revoking the last one opens nothing
)

const (
	askAdmins    = time.Second // between two looks for tokens of role admin
	storeTimeout = 2 * time.Second
	noteUse      = time.Minute // between two notes of a token's use
	mostKeys     = 10_000      // addresses and identities that are counted
	mostGood     = 1000
)

// NewGuard makes a guard. Failures: 10 of an address at once, and one in six seconds after that; calls: 200 of an identity at once, 50 a
// second after that.
func NewGuard(o Options) *Guard {
	return &Guard{o: o, failures: NewLimiter(6*time.Second, 10, mostKeys, o.Now), calls: NewLimiter(20*time.Millisecond, 200, mostKeys, o.Now),
		good: map[[32]byte]struct{}{}}
}

// Identify says who sends a request. It never refuses: what a caller without identity is told is in Err.
func (g *Guard) Identify(r *http.Request) *Caller {
	c := &Caller{Address: r.RemoteAddr}
	c.Identity, c.Err = g.identify(r)
	if c.Err == nil && c.Identity.Kind != KindLocal && !g.calls.Take(c.Identity.String()) {
		c.Err = errTooMany
	}
	return c
}

func (g *Guard) identify(r *http.Request) (*Identity, error) {
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	if text := r.Header.Get("authorization"); text != "" {
		scheme, secret, _ := strings.Cut(text, " ")
		if !strings.EqualFold(scheme, "bearer") {
			secret = ""
		}
		return g.known(ctx, r, strings.TrimSpace(secret), g.token, errBad)
	}
	if c, err := r.Cookie(SessionCookie(g.Secure(r))); err == nil {
		return g.known(ctx, r, c.Value, g.session, errEnded)
	}
	return g.local(ctx, r)
}

// known looks up what a request has come with. One address can fail so often only; what was good before is looked up nevertheless.
func (g *Guard) known(ctx context.Context, r *http.Request, secret string, look func(context.Context, [32]byte) (*Identity, error), bad error) (*Identity, error) {
	if len(secret) > secretLen {
		secret = "" // no hash of ours
	}
	address, hash := AddressKey(r.RemoteAddr), HashSecret(secret)
	if g.failures.Spent(address) && !g.wasGood(hash) {
		return nil, errFailures
	}
	id, err := look(ctx, hash)
	switch {
	case errors.Is(err, ErrNone):
		g.failures.Take(address)
		g.forgetGood(hash)
		return nil, bad
	case err != nil:
		g.o.Log.Warn("who calls the admin port could not be looked up", "error", err)
		return nil, errAway
	}
	g.rememberGood(hash)
	return id, nil
}

// token looks a token up: in the configuration, then in the store.
func (g *Guard) token(ctx context.Context, hash [32]byte) (*Identity, error) {
	for _, t := range g.o.Admin().Tokens {
		if t.Hash == hash {
			return &Identity{Kind: KindToken, Name: t.Name, Grants: []config.RoleGrant{t.Grant}}, nil
		}
	}
	if g.o.Store == nil {
		return nil, ErrNone
	}
	t, err := g.o.Store.TokenByHash(ctx, hash)
	if err != nil {
		return nil, err
	}
	now := g.o.Now()
	if !t.Revoked.IsZero() || !t.Expires.IsZero() && !now.Before(t.Expires) {
		return nil, ErrNone
	}
	if now.Sub(t.LastUsed) >= noteUse {
		if err := g.o.Store.UseToken(ctx, t.ID, now); err != nil {
			g.o.Log.Warn("the use of an admin token was not noted", "token", t.Name, "error", err)
		}
	}
	return &Identity{Kind: KindToken, Name: t.Name, Grants: []config.RoleGrant{t.Grant}, Expires: t.Expires}, nil
}

// session looks a person's session up.
func (g *Guard) session(ctx context.Context, hash [32]byte) (*Identity, error) {
	if g.o.Store == nil {
		return nil, ErrNone
	}
	s, err := g.o.Store.SessionByHash(ctx, hash)
	if err != nil {
		return nil, err
	}
	if !g.o.Now().Before(s.Expires) {
		return nil, ErrNone
	}
	return &Identity{Kind: s.Kind, Name: s.Name, Grants: s.Grants, Expires: s.Expires, Session: s.Hash}, nil
}

func (g *Guard) wasGood(hash [32]byte) bool {
	g.goodMu.Lock()
	defer g.goodMu.Unlock()
	_, ok := g.good[hash]
	return ok
}

func (g *Guard) rememberGood(hash [32]byte) {
	g.goodMu.Lock()
	defer g.goodMu.Unlock()
	if len(g.good) >= mostGood {
		clear(g.good)
	}
	g.good[hash] = struct{}{}
}

func (g *Guard) forgetGood(hash [32]byte) {
	g.goodMu.Lock()
	defer g.goodMu.Unlock()
	delete(g.good, hash)
}

// local lets programs of this machine in while nobody is set who may use the port.
func (g *Guard) local(ctx context.Context, r *http.Request) (*Identity, error) {
	role, open := g.Open(ctx)
	if !open || !isLoopback(r.RemoteAddr) || !hostIsLocal(r.Host) {
		return nil, errUnknown
	}
	site := r.Header.Get("sec-fetch-site")
	switch {
	case r.Header.Get("origin") == "" && site == "":
	case r.Method == http.MethodGet && r.Header.Get("origin") == "" && (site == "none" || site == "same-origin"):
		role = config.RoleViewer // a browser may look, and a page that is not ours may not have it look
	default:
		return nil, errUnknown
	}
	return &Identity{Kind: KindLocal, Grants: []config.RoleGrant{{Role: role}}}, nil
}

// Open says whether programs of this machine may use the port without a token, and as what: nobody is set who may, neither in the
// configuration nor by a token of role admin that was ever made. While the store does not say, they may look.
func (g *Guard) Open(ctx context.Context) (config.Role, bool) {
	role, open := g.open(ctx)
	now := int32(2)
	if open {
		now = 1
	}
	if g.said.Swap(now) != now {
		if open {
			g.o.Log.Info("the admin port is open to programs of this machine: nobody is set who may use it", "role", string(role))
		} else {
			g.o.Log.Info("the admin port needs a token or a login")
		}
	}
	return role, open
}

func (g *Guard) open(ctx context.Context) (config.Role, bool) {
	if !g.o.Loopback || g.o.Admin().Guarded() {
		return "", false
	}
	if g.o.Store == nil {
		return config.RoleAdmin, true
	}
	switch g.askAdmins(ctx) {
	case adminsNone:
		return config.RoleAdmin, true
	case adminsMade:
		return "", false
	default:
		return config.RoleViewer, true
	}
}

// askAdmins looks for tokens of role admin, at most once in a while.
func (g *Guard) askAdmins(ctx context.Context) int32 {
	if g.admins.Load() == adminsMade {
		return adminsMade
	}
	g.asking.Lock()
	defer g.asking.Unlock()
	now := g.o.Now()
	if !g.asked.IsZero() && now.Sub(g.asked) < askAdmins {
		return g.admins.Load()
	}
	g.asked = now
	switch made, err := g.o.Store.HasAdminToken(ctx); {
	case err != nil: // what was known stays
		g.o.Log.Warn("whether a token of role admin was made could not be looked up", "error", err)
	case made:
		g.admins.Store(adminsMade)
	default:
		g.admins.Store(adminsNone)
	}
	return g.admins.Load()
}

// AdminMade is told of a new token of role admin: the port is closed to whoever has none at once.
func (g *Guard) AdminMade() { g.admins.Store(adminsMade) }

// Secure says whether a browser reaches the port over https, by itself or by a proxy in front.
func (g *Guard) Secure(r *http.Request) bool {
	return r.TLS != nil || strings.HasPrefix(g.o.Admin().URL, "https://")
}

// SessionCookie is the name of the cookie with a session's id. Browsers take __Host- over https alone, and from no other host.
func SessionCookie(secure bool) string {
	if secure {
		return "__Host-dragoman_session"
	}
	return "dragoman_session"
}

func isLoopback(address string) bool {
	ap, err := netip.ParseAddrPort(address)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// hostIsLocal takes an IP address or localhost: no name that somebody else can point here.
func hostIsLocal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
