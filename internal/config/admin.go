package config

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Role is what somebody may do by the admin port; internal/admin/access says what each allows.
type Role string

// The roles.
const (
	RoleAdmin    Role = "admin"    // everything
	RoleOperator Role = "operator" // keys, cache, reload, and all that can be read
	RoleViewer   Role = "viewer"   // all that can be read
	RoleMember   Role = "member"   // keys, limits and usage of a tenant or team
)

// Roles are all of them.
var Roles = []string{string(RoleAdmin), string(RoleOperator), string(RoleViewer), string(RoleMember)}

// RoleGrant is a role, and for whom it holds.
type RoleGrant struct {
	Role   Role
	Tenant string // "": for all
	Team   string // "": for all of the tenant
}

// String is the grant as people write it: operator, operator of acme/search.
func (g RoleGrant) String() string {
	if g.Tenant == "" {
		return string(g.Role)
	}
	return string(g.Role) + " of " + Place{Tenant: g.Tenant, Team: g.Team}.String()
}

// Check says what is wrong with a grant whose tenant and team need not be there; nil when nothing is.
func (g RoleGrant) Check() error {
	switch {
	case !slices.Contains(Roles, string(g.Role)):
		return fmt.Errorf("the role must be %s", oneOf(Roles))
	case g.Team != "" && g.Tenant == "":
		return errors.New("a team needs its tenant")
	case g.Role == RoleMember && g.Tenant == "":
		return errors.New("a member needs a tenant")
	case g.Tenant != "" && !isName(g.Tenant), g.Team != "" && !isName(g.Team):
		return fmt.Errorf("the name of a tenant or team %s", wantPlain)
	}
	return nil
}

// HasPlace says whether the configuration has a tenant, or a team of it.
func (s *Snapshot) HasPlace(tenant, team string) bool {
	return s.Keys.places[Place{Tenant: tenant, Team: team}] != nil
}

// Admin is what stands under `admin`.
type Admin struct {
	Loopback bool // its address is one that only programs of this machine reach
	Tokens   []AdminToken
	Logins   []*Login
	URL      string        // under which people reach it, without a path; "": by the address that is listened on
	Session  time.Duration // how long a person stays logged in
	TLS      *ServerTLS    // nil for cleartext

	exposed *Problems
}

// Guarded says whether the configuration names anybody who may use the port.
func (a *Admin) Guarded() bool { return len(a.Tokens)+len(a.Logins) > 0 }

// Exposed is why the port must not be opened unless a token of role admin has been made with `dragoman tokens create`; nil when it may.
func (a *Admin) Exposed() error {
	if a.exposed == nil {
		return nil
	}
	return a.exposed
}

// AdminToken lets a program use the admin API.
type AdminToken struct {
	Name  string
	Hash  [32]byte // SHA-256 of the token
	Grant RoleGrant
}

// Login is a way for people to log in: one of OIDC and GitHub is set.
type Login struct {
	Name   string
	OIDC   *OIDCLogin
	GitHub *GitHubLogin
	Roles  []RoleRule
}

// OIDCLogin is a provider of OpenID Connect.
type OIDCLogin struct {
	Issuer       string
	ClientID     string
	ClientSecret Secret   // zero for a public client
	Scopes       []string // openid among them
	GroupsClaim  string
	CA           []byte // PEM; nil: the system's roots
}

// GitHubLogin is GitHub's OAuth, or that of a GitHub Enterprise Server.
type GitHubLogin struct {
	ClientID     string
	ClientSecret Secret
	URL          string // without a slash at its end
	CA           []byte // PEM; nil: the system's roots
}

// RoleRule gives a grant to who has one of the groups, emails or domains.
type RoleRule struct {
	Grant                   RoleGrant
	Groups, Emails, Domains []string // emails and domains in lower case
}

// adminDefaults fill in what `admin` leaves out.
func adminDefaults(a *dragomanv1.Admin, dir string) {
	a.Address = address(a.Address, DefaultAdmin)
	a.Session = orDuration(a.Session, 12*time.Hour)
	if t := a.Tls; t != nil {
		t.Certificate, t.PrivateKey, t.ClientCa = absolute(t.Certificate, dir), absolute(t.PrivateKey, dir), absolute(t.ClientCa, dir)
	}
	for _, l := range a.Logins {
		if o := l.Oidc; o != nil {
			if len(o.Scopes) == 0 {
				o.Scopes = []string{"email", "profile"}
			}
			o.GroupsClaim = or(o.GroupsClaim, "groups")
			o.Ca = absolute(o.Ca, dir)
		}
		if g := l.Github; g != nil {
			g.Url = strings.TrimSuffix(or(g.Url, "https://github.com"), "/")
			g.Ca = absolute(g.Ca, dir)
		}
		for _, ref := range []*dragomanv1.Secret{l.GetOidc().GetClientSecret(), l.GetGithub().GetClientSecret()} {
			if f, ok := ref.GetSource().(*dragomanv1.Secret_File); ok {
				f.File = absolute(f.File, dir)
			}
		}
	}
}

// admin compiles `admin`, after the tenants and the ledger.
func (b *builder) admin() {
	a := b.cfg.Admin
	out := &Admin{Session: a.Session.AsDuration(), URL: strings.TrimSuffix(a.Url, "/"), TLS: b.serverTLS("admin.tls", a.Tls)}
	b.snap.Admin = out
	names := map[string]bool{}
	for i, t := range a.Tokens {
		path := fmt.Sprintf("admin.tokens[%d]", i)
		b.unique(names, path, "token", t.Name)
		out.Tokens = append(out.Tokens, b.adminToken(path, t))
	}
	names = map[string]bool{}
	for i, l := range a.Logins {
		path := fmt.Sprintf("admin.logins[%d]", i)
		b.unique(names, path, "login", l.Name)
		out.Logins = append(out.Logins, b.login(path, l))
	}
	if len(a.Logins) > 0 && b.ledgerOff() {
		b.fail("admin.logins", "needs `ledger`, whose database keeps who is logged in: it is off")
	}
	b.adminAddress(out)
}

func (b *builder) ledgerOff() bool {
	l := b.cfg.Ledger
	return l != nil && l.Enabled != nil && !*l.Enabled
}

// adminAddress decides what may be listened on.
func (b *builder) adminAddress(out *Admin) {
	host, fault := hostPort(b.cfg.Admin.Address)
	if fault != "" {
		b.fail("admin.address", "%s", fault)
		return
	}
	out.Loopback = isLoopback(host)
	b.adminURL(out, host)
	if out.Loopback {
		return
	}
	const what = "%s can be reached from other machines: set an admin first, with admin.tokens (dragoman tokens create --offline), admin.logins or " +
		"`dragoman tokens create --name NAME --role admin`, or listen on 127.0.0.1"
	if !out.Guarded() {
		if b.ledgerOff() {
			b.fail("admin.address", what, b.cfg.Admin.Address)
		}
		out.exposed = &Problems{}
		out.exposed.add(Problem{Source: b.file.Name, Line: b.file.line("admin.address"), Path: "admin.address", Message: fmt.Sprintf(what, b.cfg.Admin.Address)})
	}
	if out.TLS == nil && !strings.HasPrefix(out.URL, "https://") {
		b.warn("admin.address %s can be reached from other machines, and tokens come in clear text: add admin.tls, or admin.url with the https:// of the proxy in front", b.cfg.Admin.Address)
	}
}

// adminURL checks under which name people come: it goes into what logins are sent back to.
func (b *builder) adminURL(out *Admin, host string) {
	if out.URL == "" {
		if len(out.Logins) > 0 && (host == "0.0.0.0" || host == "::") {
			b.fail("admin.url", "is missing: logins must know under which name people reach the port, such as https://dragoman.example.com")
		}
		return
	}
	u, err := url.Parse(out.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		b.fail("admin.url", "must be http(s)://HOST or http(s)://HOST:PORT and no more")
	}
}

func (b *builder) adminToken(path string, t *dragomanv1.AdminToken) AdminToken {
	out := AdminToken{Name: t.Name, Grant: b.grant(path, t.Role, t.Tenant, t.Team)}
	if t.Hash == "" {
		return out // noted as missing
	}
	hash, ok := parseHash(t.Hash)
	if !ok {
		b.fail(path+".hash", "must be sha256: and 64 hex digits, as `dragoman tokens create --offline` prints it; never the token itself")
	}
	for _, other := range b.snap.Admin.Tokens {
		if ok && other.Hash == hash {
			b.fail(path+".hash", "is also the hash of the token %q", other.Name)
		}
	}
	out.Hash = hash
	return out
}

// grant checks a role with its place.
func (b *builder) grant(path, role, tenant, team string) RoleGrant {
	g := RoleGrant{Role: Role(role), Tenant: tenant, Team: team}
	switch {
	case team != "" && tenant == "":
		b.fail(path+".team", "needs tenant")
	case g.Role == RoleMember && tenant == "":
		b.fail(path+".tenant", "is missing: a member is one of a tenant")
	case tenant != "" && isName(tenant) && !b.snap.HasPlace(tenant, "") && !b.file.related("tenants"):
		b.fail(path+".tenant", "no tenant is called %q", clip(tenant))
	case team != "" && isName(team) && !b.snap.HasPlace(tenant, team) && !b.file.related("tenants"):
		b.fail(path+".team", "no team of %s is called %q", clip(tenant), clip(team))
	}
	return g
}

func (b *builder) login(path string, l *dragomanv1.Login) *Login {
	out := &Login{Name: l.Name}
	switch {
	case l.Oidc != nil && l.Github != nil:
		b.fail(path+".oidc", "and github exclude each other")
	case l.Oidc != nil:
		out.OIDC = b.oidcLogin(path+".oidc", l.Oidc)
	case l.Github != nil:
		out.GitHub = b.githubLogin(path+".github", l.Github)
	default:
		b.fail(path, "needs one of oidc and github")
	}
	if len(l.Roles) == 0 {
		b.fail(path+".roles", "is missing: nobody could log in")
	}
	for i, r := range l.Roles {
		out.Roles = append(out.Roles, b.roleRule(fmt.Sprintf("%s.roles[%d]", path, i), r))
	}
	return out
}

func (b *builder) roleRule(path string, r *dragomanv1.RoleRule) RoleRule {
	out := RoleRule{Grant: b.grant(path, r.Role, r.Tenant, r.Team), Groups: r.Groups}
	if len(r.Groups)+len(r.Emails)+len(r.Domains) == 0 {
		b.fail(path, "needs groups, emails or domains: it would fit everybody")
	}
	for i, e := range r.Emails {
		if name, domain, ok := strings.Cut(e, "@"); !ok || name == "" || !isDomain(domain) {
			b.fail(fmt.Sprintf("%s.emails[%d]", path, i), "must be an address, such as ada@example.com")
		}
		out.Emails = append(out.Emails, strings.ToLower(e))
	}
	for i, d := range r.Domains {
		if !isDomain(d) {
			b.fail(fmt.Sprintf("%s.domains[%d]", path, i), "must be what stands behind the @ of addresses, such as example.com")
		}
		out.Domains = append(out.Domains, strings.ToLower(d))
	}
	return out
}

// isDomain is loose: what it lets through is compared and nothing else.
func isDomain(s string) bool {
	return s != "" && len(s) <= 253 && !strings.ContainsAny(s, "@/ \t*") && strings.Trim(s, ".") == s
}

func (b *builder) oidcLogin(path string, o *dragomanv1.OidcLogin) *OIDCLogin {
	out := &OIDCLogin{Issuer: o.Issuer, ClientID: o.ClientId, GroupsClaim: o.GroupsClaim, Scopes: []string{"openid"}}
	if o.Issuer != "" {
		b.loginURL(path+".issuer", o.Issuer)
	}
	for _, s := range o.Scopes {
		if !slices.Contains(out.Scopes, s) {
			out.Scopes = append(out.Scopes, s)
		}
	}
	if o.ClientSecret != nil {
		out.ClientSecret = b.secret(path+".client_secret", o.ClientSecret)
	}
	if o.Ca != "" {
		out.CA = b.authorities(path+".ca", o.Ca)
	}
	return out
}

func (b *builder) githubLogin(path string, g *dragomanv1.GithubLogin) *GitHubLogin {
	out := &GitHubLogin{ClientID: g.ClientId, URL: g.Url}
	b.loginURL(path+".url", g.Url)
	if g.ClientSecret != nil {
		out.ClientSecret = b.secret(path+".client_secret", g.ClientSecret)
	}
	if g.Ca != "" {
		out.CA = b.authorities(path+".ca", g.Ca)
	}
	return out
}

// loginURL takes https, and http on this machine alone: what comes from there says who somebody is.
func (b *builder) loginURL(path, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		b.fail(path, "must be a URL such as https://accounts.example.com")
		return
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname()) && u.Hostname() != "localhost") {
		b.fail(path, "must begin with https://")
	}
}

// isVisible is for what a provider of logins has given.
func isVisible(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isGroup is for names that a provider of logins knows: they may be in any language, and have spaces.
func isGroup(s string) bool {
	return s != "" && len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}
