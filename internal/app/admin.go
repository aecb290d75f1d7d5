package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	grpcstatus "google.golang.org/grpc/status"

	"dragoman/internal/admin"
	"dragoman/internal/admin/access"
	"dragoman/internal/admin/api"
	"dragoman/internal/admin/login"
	"dragoman/internal/config"
	"dragoman/internal/ledger"
)

// checkAdmin says whether the admin port may be opened where the configuration says: beyond this machine only once somebody is set who may
// use it. A database that does not answer keeps nobody from starting: the port lets nobody in then who has no token.
func (a *App) checkAdmin(snap *config.Snapshot) error {
	if len(snap.Admin.Logins) > 0 && a.book == nil {
		return adminProblem(snap, "admin.logins", "needs `ledger`, whose database keeps who is logged in")
	}
	exposed := snap.Admin.Exposed()
	if exposed == nil || a.book == nil {
		return exposed
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	switch made, err := a.book.db.HasAdminToken(ctx); {
	case err != nil:
		a.log.Warn("the admin port opens to other machines and lets nobody in until the database says who may", "address", snap.Config.GetAdmin().GetAddress(), "error", err)
		return nil
	case !made:
		return exposed
	}
	a.log.Info("the admin port opens to other machines: a token of role admin was made", "address", snap.Config.GetAdmin().GetAddress())
	return nil
}

// adminPort is what serves the admin port.
type adminPort struct {
	server *http.Server
	tls    bool
	logins *login.Logins // nil without a ledger
}

// newAdmin makes what serves the admin port on a listener.
func (a *App) newAdmin(lis net.Listener) {
	current := func() *config.Snapshot { return a.store.Current() }
	settings := func() *config.Admin { return current().Admin }
	auditor := &access.Auditor{Write: a.note, Now: time.Now}
	store := a.tokenStore()
	guard := access.NewGuard(access.Options{Admin: settings, Loopback: onLoopback(lis.Addr()), Store: store, Now: time.Now, Log: a.log})
	o := api.Options{Guard: guard, Config: current, Tokens: store, Levels: a.limitLevels, Cache: a.cacheTiers, Status: func() any { return a.status() },
		Reload: a.reloadNow, Audit: auditor, Now: time.Now, Random: rand.Reader, Log: a.log}
	if a.keys.Store != nil {
		o.Keys = a.keys.Store
	}
	port := admin.Options{Registry: a.metrics.Registry(), Ready: a.readiness, Status: o.Status, Guard: guard, Config: current}
	if b := a.book; b != nil {
		o.Usage, o.AuditPage = b.usage, b.auditPage
		o.Verify = func(ctx context.Context, expected []string) (*ledger.Verdict, error) {
			return ledger.Verify(ctx, b.db, expected)
		}
		port.Logins = login.New(login.Options{Admin: settings, Base: a.adminURL, Store: store, Guard: guard, Audit: auditor, Now: time.Now, Log: a.log, Version: Version})
		a.admin.logins = port.Logins
	}
	port.API = api.New(o)
	if a.book != nil {
		port.Usage = usageHandler(port.API)
	}
	a.admin.server = admin.NewServer(admin.Handler(port))
	a.admin.server.ErrorLog = slog.NewLogLogger(a.log.Handler(), slog.LevelDebug) // what peers do wrong while they connect
	if settings().TLS != nil {
		a.admin.tls = true
		a.admin.server.TLSConfig = admin.TLS(func() *config.ServerTLS { return settings().TLS })
	}
	guard.Open(context.Background()) // says in the log how things stand
}

// tokenStore keeps tokens and sessions; nil without a ledger.
func (a *App) tokenStore() access.Store {
	if a.book == nil {
		return nil
	}
	return a.book.db
}

// serveAdmin serves the admin port until its server is closed.
func (a *App) serveAdmin(lis net.Listener) error {
	if a.admin.tls {
		return ignoreClosed(a.admin.server.ServeTLS(lis, "", ""))
	}
	return ignoreClosed(a.admin.server.Serve(lis))
}

// adminURL is under which people reach the admin port.
func (a *App) adminURL() string {
	if u := a.store.Current().Admin.URL; u != "" {
		return u
	}
	return a.adminScheme() + "://" + a.adminAddr.String()
}

func (a *App) adminScheme() string {
	if a.admin.tls {
		return "https"
	}
	return "http"
}

// onLoopback says whether only programs of this machine reach an address.
func onLoopback(addr net.Addr) bool {
	ap, err := netip.ParseAddrPort(addr.String())
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

// note writes down what an administrator did, or was refused.
func (a *App) note(e access.Event) {
	by := ""
	if e.Who != "" {
		by = "by " + e.Who
	}
	if e.Address != "" {
		by = strings.TrimSpace(by + " from " + e.Address)
	}
	a.log.Info("administration", "action", e.Action, "subject", e.Subject, "detail", by, "outcome", e.Outcome)
	if a.book != nil {
		a.book.Audit(ledger.Entry{Action: e.Action, Subject: e.Subject, Detail: by, Outcome: e.Outcome, Tenant: e.Tenant, Team: e.Team, User: e.User, Key: e.Key, Count: e.Count})
	}
}

// pruneSessions is how often sessions that have ended are removed.
const pruneSessions = time.Minute

// keepSessions removes sessions that have ended until ctx ends.
func (a *App) keepSessions(ctx context.Context) {
	if a.admin.logins == nil {
		return
	}
	tick := time.NewTicker(pruneSessions)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := a.admin.logins.Prune(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("sessions that have ended were not removed", "error", err)
		}
	}
}

// reloadNow reads the configuration again and says which version was read.
func (a *App) reloadNow() (string, error) {
	if err := a.Reload(); err != nil {
		return "", err
	}
	return a.store.Current().Version, nil
}

// usage answers a question of the API. Its errors are a status.
func (b *book) usage(ctx context.Context, asked api.Question) (*ledger.Usage, error) {
	u := UsageQuestion{By: asked.By, Where: asked.Where, Since: asked.Since, Until: asked.Until, Limit: asked.Limit}
	q, err := u.query(time.Now())
	if err != nil {
		return nil, grpcstatus.Error(codes.InvalidArgument, err.Error())
	}
	for name, values := range asked.Within {
		q.Where[name] = values
	}
	_ = b.Flush(ctx) // else the answer is what the database has
	answer, err := b.db.Usage(ctx, q)
	if err != nil {
		return nil, grpcstatus.Error(codes.Unavailable, err.Error())
	}
	return answer, nil
}

// auditPage lists entries of the trail, those that were made a moment ago, too.
func (b *book) auditPage(ctx context.Context, f ledger.PageFilter) ([]*ledger.Entry, error) {
	_ = b.Flush(ctx) // else the answer is what the database has
	return b.db.AuditPage(ctx, f)
}

var errNoAdminDatabase = errors.New("tokens are kept in the ledger's database: configure `ledger`, or make one for the configuration with --offline")

func adminProblem(snap *config.Snapshot, path, format string, args ...any) error {
	return &config.Problems{List: []config.Problem{{Source: snap.Source, Path: path, Message: fmt.Sprintf(format, args...)}}}
}
