// Package page is the admin port for people: who they are, keys, limits and tokens, as plain HTML that works without JavaScript, by keyboard
// and with a screen reader. It does nothing but call the admin API for whoever looks.
package page

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"dragoman/internal/admin/access"
	"dragoman/internal/admin/login"
	"dragoman/internal/config"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// Options are what the page works with. Logins is nil where nobody can log in.
type Options struct {
	Client adminv1.AdminClient
	Logins *login.Logins
	Config func() *config.Snapshot
}

// Pages serves the page.
type Pages struct{ o Options }

// New makes pages.
func New(o Options) *Pages { return &Pages{o} }

//go:embed templates
var files embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{"time": showTime, "amount": showAmount, "percent": percent}).ParseFS(files, "templates/*.html"))

// policy lets nothing in but our own style sheet and forms that come back here. A login leaves by a link, not by a form.
const policy = "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Register adds the page's paths; each handler must be given a request whose caller is known.
func (p *Pages) Register(handle func(pattern string, h http.HandlerFunc)) {
	handle("GET /{$}", p.home)
	handle("GET /login", p.logins)
	handle("GET /login/{name}", p.run(func(w http.ResponseWriter, r *http.Request) error {
		return p.withLogins(func(l *login.Logins) error { return l.Start(w, r, r.PathValue("name")) })
	}))
	handle("GET /login/{name}/callback", p.run(func(w http.ResponseWriter, r *http.Request) error {
		return p.withLogins(func(l *login.Logins) error { return l.Finish(w, r, r.PathValue("name")) })
	}))
	handle("POST /logout", p.run(func(w http.ResponseWriter, r *http.Request) error {
		return p.withLogins(func(l *login.Logins) error { return l.Logout(w, r) })
	}))
	handle("POST /keys", p.run(p.createKey))
	handle("POST /keys/rotate", p.run(p.rotateKey))
	handle("POST /keys/revoke", p.run(p.revokeKey))
	handle("POST /tokens", p.run(p.createToken))
	handle("POST /tokens/revoke", p.run(p.revokeToken))
	handle("GET /style.css", func(w http.ResponseWriter, _ *http.Request) {
		b, _ := files.ReadFile("templates/style.css")
		w.Header().Set("content-type", "text/css; charset=utf-8")
		_, _ = w.Write(b)
	})
}

func (p *Pages) withLogins(f func(*login.Logins) error) error {
	if p.o.Logins == nil {
		return &login.Fault{Status: http.StatusNotFound, Message: "Nobody can log in here: the gateway has no ledger, in whose database sessions would be."}
	}
	return f(p.o.Logins)
}

// maxForm bounds what a form sends.
const maxForm = 64 << 10

// run answers what went wrong as a page, or as text.
func (p *Pages) run(f func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil {
				p.fail(w, r, &login.Fault{Status: http.StatusBadRequest, Message: "The form cannot be read."})
				return
			}
		}
		if err := f(w, r); err != nil {
			p.fail(w, r, err)
		}
	}
}

// browser says whether a person looks.
func browser(r *http.Request) bool { return strings.Contains(r.Header.Get("accept"), "text/html") }

// fail shows an error: a *login.Fault, or a status of gRPC.
func (p *Pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	code, message := runtime.HTTPStatusFromCode(status.Code(err)), status.Convert(err).Message()
	var fault *login.Fault
	if errors.As(err, &fault) {
		code, message = fault.Status, fault.Message
	} else if status.Code(err) == codes.Unknown {
		code, message = http.StatusServiceUnavailable, "The gateway could not do this: its log says more."
	}
	if !browser(r) {
		http.Error(w, message, code)
		return
	}
	p.render(w, code, "error.html", map[string]any{"Title": http.StatusText(code), "Message": message})
}

func (p *Pages) render(w http.ResponseWriter, code int, name string, data any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, data); err != nil {
		http.Error(w, "the page cannot be shown", http.StatusServiceUnavailable)
		return
	}
	h := w.Header()
	h.Set("content-type", "text/html; charset=utf-8")
	h.Set("content-security-policy", policy)
	h.Set("referrer-policy", "same-origin")
	h.Set("x-frame-options", "DENY")
	h.Set("cross-origin-opener-policy", "same-origin")
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes())
}

const text = `Dragoman's admin port.

/metrics       Prometheus
/healthz       alive
/readyz        ready to serve
/status        configuration, clusters and their health
/usage         what was used and what it cost: ?by=team&since=30d&tenant=acme&format=csv
/api/v1/…      the admin API, described by /openapi.json; gRPC on the same port

DELETE /cache?tenant=&model=&older_than=&key=  purge the entries for which all that is given holds; ?all=true all
POST /cache/feedback {"key": …, "wrong": true}  an answer from the cache was wrong: x-dragoman-cache-entry names it

Programs send a token: authorization: Bearer dga_…  People log in at /login.
Until an admin is set, programs of this machine need none.
`

// home shows all that somebody may see. Programs are told where things are.
func (p *Pages) home(w http.ResponseWriter, r *http.Request) {
	if !browser(r) {
		w.Header().Set("content-type", "text/plain; charset=utf-8")
		fmt.Fprint(w, text)
		return
	}
	caller := access.CallerOf(r.Context())
	if status.Code(caller.Err) == codes.Unauthenticated {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	p.show(w, r, http.StatusOK, nil)
}

// logins lists the ways to log in.
func (p *Pages) logins(w http.ResponseWriter, r *http.Request) {
	var names []string
	if p.o.Logins != nil {
		for _, l := range p.o.Config().Admin.Logins {
			names = append(names, l.Name)
		}
	}
	p.render(w, http.StatusOK, "login.html", map[string]any{"Title": "Log in", "Logins": names})
}

func showTime(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format("2006-01-02 15:04")
}

// showAmount writes a number as people do: 1,234,567 and 0.25.
func showAmount(x float64) string {
	s := fmt.Sprintf("%.2f", x)
	whole, part, _ := strings.Cut(s, ".")
	negative := strings.HasPrefix(whole, "-")
	whole = strings.TrimPrefix(whole, "-")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if negative {
		whole = "-" + whole
	}
	if part == "00" {
		return whole
	}
	return whole + "." + part
}

// percent is how much of a limit is spent, from 0 to 100.
func percent(spent, limit float64) int {
	if limit <= 0 {
		return 0
	}
	return int(max(0, min(100, 100*spent/limit)))
}

// day reads a date of a form, in UTC, as its end.
func day(s string) (*timestamppb.Timestamp, error) {
	if s == "" {
		return nil, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, "write a date as 2026-12-31")
	}
	return timestamppb.New(t.AddDate(0, 0, 1)), nil
}
