// Package login lets people log in at the admin port: by a provider of OpenID Connect (authorisation code with PKCE), or by GitHub's OAuth.
// Who somebody is becomes a session with the grants of the login's rules that fit; those are looked at here and not again until the next
// login.
package login

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
)

// Options are what logins work with. Everything is required but Random.
type Options struct {
	Admin   func() *config.Admin // in force
	Base    func() string        // the URL under which people reach the port, without a path
	Store   access.Store
	Guard   *access.Guard
	Audit   *access.Auditor
	Now     func() time.Time
	Random  io.Reader // default crypto/rand
	Log     *slog.Logger
	Version string // of the program, for the User-Agent
}

// Logins serves /login/NAME and its callback, and ends sessions.
type Logins struct {
	o     Options
	tries *access.Limiter // by address

	mu        sync.Mutex
	secret    *[32]byte // by which cookies are sealed, once the store has said
	providers map[string]*provider
}

// Person is who a provider says somebody is.
type Person struct {
	Kind   string   // access.KindOIDC, access.KindGitHub
	Name   string   // a verified address, or a login
	Emails []string // verified, in lower case
	Groups []string
}

// flow is a login under way, as its cookie holds it, sealed.
type flow struct {
	Login    string    `json:"l"`
	State    string    `json:"s"`
	Nonce    string    `json:"n"`
	Verifier string    `json:"v"` // of PKCE
	Expires  time.Time `json:"e"`
}

const (
	flowTime = 10 * time.Minute
	// providerTimeout bounds all that a provider is asked for one login.
	providerTimeout = 20 * time.Second
	mostProviders   = 100
)

// New makes logins. An address may begin 10 at once and one in six seconds after that.
func New(o Options) *Logins {
	if o.Random == nil {
		o.Random = rand.Reader
	}
	return &Logins{o: o, tries: access.NewLimiter(6*time.Second, 10, 10_000, o.Now), providers: map[string]*provider{}}
}

// Fault is why somebody is not logged in, as the person may read it.
type Fault struct {
	Status  int // of HTTP
	Message string
	Cause   error // for the log alone
}

// Error is the message.
func (f *Fault) Error() string { return f.Message }

// Unwrap is the cause.
func (f *Fault) Unwrap() error { return f.Cause }

func refuse(status int, format string, args ...any) *Fault {
	return &Fault{Status: status, Message: fmt.Sprintf(format, args...)}
}

// away is for a provider that does not answer as it should.
func away(l *config.Login, what string, err error) *Fault {
	return &Fault{Status: http.StatusBadGateway, Message: fmt.Sprintf("The provider of the login %q %s. Try again in a while; the gateway's log says more.", l.Name, what), Cause: err}
}

// find is the login of a name.
func (s *Logins) find(name string) (*config.Login, *Fault) {
	for _, l := range s.o.Admin().Logins {
		if l.Name == name {
			return l, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "There is no such login.")
}

// Start sends a person to a login's provider. GET changes nothing but the person's own cookie.
func (s *Logins) Start(w http.ResponseWriter, r *http.Request, name string) error {
	l, fault := s.find(name)
	if fault != nil {
		return fault
	}
	if !s.tries.Take(access.AddressKey(r.RemoteAddr)) {
		return refuse(http.StatusTooManyRequests, "There were too many logins from your address: wait a minute.")
	}
	// The callback comes to this name; a cookie of another would not.
	if base, err := url.Parse(s.o.Base()); err == nil && !strings.EqualFold(base.Host, r.Host) {
		http.Redirect(w, r, s.o.Base()+"/login/"+url.PathEscape(l.Name), http.StatusFound)
		return nil
	}
	f, err := s.newFlow(l)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), providerTimeout)
	defer cancel()
	p, fault := s.provider(ctx, l)
	if fault != nil {
		return s.failed(r, l, "", fault)
	}
	if err := s.setFlow(ctx, w, r, f); err != nil {
		return err
	}
	http.Redirect(w, r, p.authorize(f), http.StatusFound)
	return nil
}

func (s *Logins) newFlow(l *config.Login) (*flow, error) {
	var parts [3]string
	for i := range parts {
		var b [32]byte
		if _, err := io.ReadFull(s.o.Random, b[:]); err != nil {
			return nil, err
		}
		parts[i] = base64.RawURLEncoding.EncodeToString(b[:])
	}
	return &flow{Login: l.Name, State: parts[0], Nonce: parts[1], Verifier: parts[2], Expires: s.o.Now().Add(flowTime)}, nil
}

// Finish is the callback: the provider has sent the person back with a code. It always ends at /.
func (s *Logins) Finish(w http.ResponseWriter, r *http.Request, name string) error {
	l, fault := s.find(name)
	if fault != nil {
		return fault
	}
	if !s.tries.Take("callback " + access.AddressKey(r.RemoteAddr)) {
		return refuse(http.StatusTooManyRequests, "There were too many logins from your address: wait a minute.")
	}
	ctx, cancel := context.WithTimeout(r.Context(), providerTimeout)
	defer cancel()
	f, err := s.takeFlow(ctx, w, r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	if f == nil || f.Login != l.Name || !same(f.State, query.Get("state")) {
		return s.failed(r, l, "", refuse(http.StatusBadRequest, "This login was not begun here, has taken longer than %s, or was finished already: begin again.", flowTime))
	}
	if code := query.Get("error"); code != "" {
		return s.failed(r, l, "", refused(l, code, query.Get("error_description")))
	}
	p, fault := s.provider(ctx, l)
	if fault != nil {
		return s.failed(r, l, "", fault)
	}
	person, fault := p.person(ctx, f, query.Get("code"))
	if fault != nil {
		return s.failed(r, l, "", fault)
	}
	return s.enter(ctx, w, r, l, person)
}

// refused is what a provider says of a login that it has refused. Its words are shown as text, cut.
func refused(l *config.Login, code, description string) *Fault {
	if code == "access_denied" {
		return refuse(http.StatusForbidden, "You, or the provider of the login %q, have refused the login.", l.Name)
	}
	text := code
	if description != "" {
		text += ": " + description
	}
	return refuse(http.StatusBadGateway, "The provider of the login %q has refused: %s", l.Name, cut(text))
}

func cut(s string) string {
	if len(s) > 200 {
		s = s[:200]
	}
	return strings.ToValidUTF8(s, "?")
}

// failed writes down that a login was refused.
func (s *Logins) failed(r *http.Request, l *config.Login, who string, f *Fault) error {
	s.o.Audit.Note(access.Event{Action: "login", Subject: l.Name, Who: who, Address: r.RemoteAddr, Outcome: fmt.Sprintf("status %d", f.Status)})
	s.o.Log.Warn("a login was refused", "login", l.Name, "why", f.Message, "cause", f.Cause)
	return f
}

// enter gives a person a session.
func (s *Logins) enter(ctx context.Context, w http.ResponseWriter, r *http.Request, l *config.Login, p *Person) error {
	who := p.Kind + ":" + p.Name
	grants := Grants(l, p)
	if len(grants) == 0 {
		return s.failed(r, l, who, refuse(http.StatusForbidden, "You are %s, and no role is meant for you here: ask whoever runs this gateway (admin.logins[].roles).", p.Name))
	}
	var id [32]byte
	if _, err := io.ReadFull(s.o.Random, id[:]); err != nil {
		return err
	}
	text := base64.RawURLEncoding.EncodeToString(id[:])
	now := s.o.Now()
	session := &access.Session{Hash: access.HashSecret(text), Kind: p.Kind, Name: p.Name, Grants: grants, Created: now, Expires: now.Add(s.o.Admin().Session)}
	if err := s.o.Store.AddSession(ctx, session); err != nil {
		return s.failed(r, l, who, &Fault{Status: http.StatusServiceUnavailable, Message: "The database that keeps sessions does not answer: try again in a while.", Cause: err})
	}
	s.setCookie(w, r, access.SessionCookie(s.o.Guard.Secure(r)), text, session.Expires)
	s.o.Audit.Note(access.Event{Action: "login", Subject: l.Name + " as " + grantList(grants), Who: who, Address: r.RemoteAddr, Outcome: "ok"})
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func grantList(grants []config.RoleGrant) string {
	var out []string
	for _, g := range grants {
		out = append(out, g.String())
	}
	return strings.Join(out, ", ")
}

// Grants are those of a login's rules that fit a person. GitHub's names are the same in upper and lower case.
func Grants(l *config.Login, p *Person) (out []config.RoleGrant) {
	equal := func(a, b string) bool { return a == b || p.Kind == access.KindGitHub && strings.EqualFold(a, b) }
	for _, rule := range l.Roles {
		fits := slices.ContainsFunc(rule.Groups, func(g string) bool {
			return slices.ContainsFunc(p.Groups, func(own string) bool { return equal(own, g) })
		}) || slices.ContainsFunc(p.Emails, func(e string) bool {
			_, domain, _ := strings.Cut(e, "@")
			return slices.Contains(rule.Emails, e) || slices.Contains(rule.Domains, domain)
		})
		if fits && !slices.Contains(out, rule.Grant) {
			out = append(out, rule.Grant)
		}
	}
	return out
}

// Logout ends the caller's session.
func (s *Logins) Logout(w http.ResponseWriter, r *http.Request) error {
	id := access.CallerOf(r.Context()).Identity
	s.setCookie(w, r, access.SessionCookie(s.o.Guard.Secure(r)), "", time.Unix(0, 0))
	if id != nil && id.Person() {
		if err := s.o.Store.EndSession(r.Context(), id.Session); err != nil {
			return &Fault{Status: http.StatusServiceUnavailable, Message: "The database that keeps sessions does not answer: the session goes on until it ends by itself.", Cause: err}
		}
		s.o.Audit.Note(access.Event{Action: "logout", Who: id.String(), Address: r.RemoteAddr, Outcome: "ok"})
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
	return nil
}

// Prune removes sessions that have ended by themselves, and writes that down.
func (s *Logins) Prune(ctx context.Context) error {
	ended, err := s.o.Store.PruneSessions(ctx, s.o.Now())
	for _, e := range ended {
		s.o.Audit.Note(access.Event{Action: "session.expired", Who: e.Kind + ":" + e.Name, Outcome: "ok"})
	}
	return err
}

// errSealed says that a cookie is none of ours.
var errSealed = errors.New("the cookie was not sealed here")
