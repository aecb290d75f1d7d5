package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// Identity is how callers are known beside their keys.
type Identity struct {
	JWT          []*JWT         // in their order
	Certificates []*Certificate // in their order: the first that fits decides
	Listener     bool           // some of Certificates go by what the listener verifies
	Forwarded    bool           // some go by what a proxy in front forwards
}

// JWT is an issuer whose tokens let callers in.
type JWT struct {
	Name      string
	ID        string // by which Envoy tells the processor who has verified: of the issuer and the audiences, and so of nobody else's tokens
	Issuer    string
	Audiences []string // one of them; empty: any
	JWKS      []byte   // the issuer's public keys; nil: Envoy fetches them from URL
	URL       string
	Server    *Cluster // of URL, without credentials; nil with JWKS
	Refresh   time.Duration
	Claims    *dragomanv1.CallerClaims
	Caller    Place           // where a claim is absent
	Key       *dragomanv1.Key // what callers have for a key: its name and models
}

// Certificate lets callers in by a subject alternative name.
type Certificate struct {
	Name      string
	Forwarded bool // else the listener has verified it
	Key       *dragomanv1.Key

	proxy  *sanPattern // whose own certificate has to have this name for it to forward; nil: the listener is on loopback
	san    sanPattern
	caller [3]template // tenant, team, user
}

// Match says where a certificate with these names stands: the first URI and the first DNS name of its subject alternative names, "" for none.
func (c *Certificate) Match(uri, dns string) (Place, bool) {
	var parts [maxParts]string
	if !c.san.matchEither(uri, dns, &parts) {
		return Place{}, false
	}
	return Place{c.caller[0].fill(&parts), c.caller[1].fill(&parts), c.caller[2].fill(&parts)}, true
}

// Trusts says whether whoever connects with a certificate of these names, "" for none, may forward what others have shown to him.
func (c *Certificate) Trusts(uri, dns string) bool {
	var parts [maxParts]string
	return c.proxy == nil || c.proxy.matchEither(uri, dns, &parts)
}

const (
	defaultUserClaim = "sub"
	defaultRefresh   = 5 * time.Minute
	maxIssuers       = 16 // each looks at every token
)

// identityDefaults fill in what callers' tokens and certificates leave out.
func identityDefaults(cfg *dragomanv1.Identity, dir string) {
	for i, j := range cfg.GetJwt() {
		j.Name = or(j.Name, strconv.Itoa(i+1))
		j.Claims = orNew(j.Claims)
		j.Claims.User = or(j.Claims.User, defaultUserClaim)
		j.Caller = orNew(j.Caller)
		j.JwksFile = absolute(j.JwksFile, dir)
		if j.Tls != nil {
			j.Tls.Ca = absolute(j.Tls.Ca, dir)
		}
		if j.JwksUrl != "" {
			j.Refresh = orDuration(j.Refresh, defaultRefresh)
		}
	}
	for i, c := range cfg.GetCertificates() {
		c.Name = or(c.Name, strconv.Itoa(i+1))
		c.Source = or(c.Source, sourceListener)
	}
}

const sourceListener, sourceForwarded = "listener", "forwarded"

// identity compiles how callers are known beside their keys, after the tenants.
func (b *builder) identity() {
	cfg := b.cfg.GetIdentity()
	if len(cfg.GetJwt()) == 0 && len(cfg.GetCertificates()) == 0 {
		return
	}
	id := &Identity{}
	b.snap.Identity = id
	if len(cfg.Jwt) > maxIssuers {
		b.fail("identity.jwt", "are %d; %d are the most", len(cfg.Jwt), maxIssuers)
	}
	names, ids := map[string]bool{}, map[string]string{}
	for i, j := range cfg.Jwt {
		path := fmt.Sprintf("identity.jwt[%d]", i)
		b.unique(names, path, "of identity.jwt", j.Name)
		one := b.jwt(path, j)
		if other, ok := ids[one.ID]; ok && j.Issuer != "" {
			b.fail(path+".issuer", "and its audiences are also those of %s: nothing tells their tokens apart", other)
		}
		ids[one.ID] = path
		id.JWT = append(id.JWT, one)
	}
	names = map[string]bool{}
	for i, c := range cfg.Certificates {
		path := fmt.Sprintf("identity.certificates[%d]", i)
		b.unique(names, path, "of identity.certificates", c.Name)
		one := b.certificate(path, c)
		id.Certificates = append(id.Certificates, one)
		id.Listener = id.Listener || !one.Forwarded
		id.Forwarded = id.Forwarded || one.Forwarded
	}
}

func (b *builder) jwt(path string, j *dragomanv1.Jwt) *JWT {
	out := &JWT{Name: j.Name, ID: tokenID(j), Issuer: j.Issuer, Audiences: j.Audiences, Claims: j.Claims,
		Caller: Place{j.Caller.Tenant, j.Caller.Team, j.Caller.User}, Key: &dragomanv1.Key{Name: j.Name, Models: j.Models}}
	b.patterns(path, j.Models)
	if j.Claims.Tenant == "" && j.Caller.Tenant == "" {
		b.fail(path, "needs claims.tenant or caller.tenant: every caller belongs to one")
	}
	b.callerOf(path+".caller", out.Caller, j.Claims.Tenant != "")
	switch {
	case j.JwksFile != "" && j.JwksUrl != "":
		b.fail(path+".jwks_url", "and jwks_file are two places for one thing: give one")
	case j.JwksFile != "":
		out.JWKS = b.jwks(path+".jwks_file", j.JwksFile)
		if j.Tls != nil {
			b.fail(path+".tls", "is of jwks_url")
		}
		if j.Refresh != nil {
			b.fail(path+".refresh", "is of jwks_url: a file is watched")
		}
	case j.JwksUrl != "":
		out.URL, out.Refresh = j.JwksUrl, j.Refresh.AsDuration()
		out.Server = b.jwksServer(path, j)
	default:
		b.fail(path, "needs the issuer's public keys: jwks_file or jwks_url")
	}
	return out
}

// tokenID stays when nothing of what makes a token this entry's changes.
func tokenID(j *dragomanv1.Jwt) string {
	h := sha256.New()
	for _, s := range append([]string{j.Issuer}, j.Audiences...) {
		fmt.Fprintf(h, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// callerOf checks a place that stands in the configuration; claimed says that a claim may name another tenant.
func (b *builder) callerOf(path string, at Place, claimed bool) {
	if at.User != "" && !isUser(at.User) {
		b.fail(path+".user", "%s", wantUser)
	}
	if b.file.related("tenants") {
		return
	}
	tenant := Place{Tenant: at.Tenant}
	if at.Tenant != "" && b.snap.Keys.places[tenant] == nil {
		b.fail(path+".tenant", "no tenant is called %q", clip(at.Tenant))
		return
	}
	tenant.Team = at.Team
	if at.Team != "" && !(claimed && at.Tenant == "") && at.Tenant != "" && b.snap.Keys.places[tenant] == nil {
		b.fail(path+".team", "tenant %q has no team %q", at.Tenant, clip(at.Team))
	}
}

// jwksServer is where an issuer's keys are fetched.
func (b *builder) jwksServer(path string, j *dragomanv1.Jwt) *Cluster {
	at := path + ".jwks_url"
	u, err := url.Parse(j.JwksUrl)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Opaque != "":
		b.fail(at, "must be a URL that begins with https://")
		return nil
	case u.User != nil || u.Fragment != "":
		b.fail(at, "must not hold a user, a password or a #")
		return nil
	}
	c := &Cluster{Name: ClusterName("jwks:" + j.Name), TLS: u.Scheme == "https", Provider: &Provider{Name: ProviderName("jwks:" + j.Name), HTTP: "auto"}}
	var fault string
	if c.Host, fault = hostOf(u.Hostname()); fault == "" {
		c.Port, fault = portOf(u.Port(), c.TLS)
	}
	switch {
	case fault != "":
		b.fail(at, "%s", fault)
		return nil
	case !c.TLS && !isLoopback(c.Host):
		b.fail(at, "must begin with https://: who can change the keys on their way can make tokens. In clear only from this machine")
		return nil
	case !c.TLS && j.Tls != nil:
		b.fail(path+".tls", "is of a jwks_url that begins with https://")
		return nil
	}
	c.ServerName = or(j.GetTls().GetServerName(), c.Host)
	if _, fault = hostOf(c.ServerName); fault != "" {
		b.fail(path+".tls.server_name", "must be a DNS name or an IP address")
	}
	if ca := j.GetTls().GetCa(); ca != "" {
		c.Provider.CA, c.Provider.CAData = ca, b.authorities(path+".tls.ca", ca)
	}
	return c
}

func (b *builder) certificate(path string, c *dragomanv1.ClientCertificate) *Certificate {
	out := &Certificate{Name: c.Name, Forwarded: c.Source == sourceForwarded, Key: &dragomanv1.Key{Name: c.Name, Models: c.Models}}
	b.patterns(path, c.Models)
	parts, fault := out.san.compile(c.San)
	if fault != "" && c.San != "" { // else noted as missing
		b.fail(path+".san", "%s", fault)
	}
	b.certificateCaller(path+".caller", c.Caller, out, parts)
	out.proxy = b.certificateSource(path, c)
	return out
}

func (b *builder) certificateCaller(path string, c *dragomanv1.Caller, out *Certificate, parts []string) {
	if c == nil {
		return // noted as missing
	}
	fixed := Place{}
	for i, field := range []struct {
		name, text string
		fixed      *string
	}{{"tenant", c.Tenant, &fixed.Tenant}, {"team", c.Team, &fixed.Team}, {"user", c.User, &fixed.User}} {
		var fault string
		if out.caller[i], fault = compileTemplate(field.text, parts); fault != "" {
			b.fail(path+"."+field.name, "%s", fault)
		}
		if !strings.ContainsAny(field.text, "{}") {
			*field.fixed = field.text
		}
	}
	if c.Tenant == "" {
		b.fail(path+".tenant", "is missing: every caller belongs to one")
	}
	b.callerOf(path, fixed, fixed.Tenant == "")
}

// certificateSource checks that nobody but the listener, or the proxy in front, can say who calls.
func (b *builder) certificateSource(path string, c *dragomanv1.ClientCertificate) (proxy *sanPattern) {
	t := b.cfg.Listen.Tls
	host, _ := hostPort(b.cfg.Listen.Address)
	switch {
	case c.Source == sourceListener && t.GetClientCa() == "":
		b.fail(path+".source", "needs listen.tls.client_ca, by which Envoy verifies certificates; or `forwarded`, behind the proxy of a mesh")
	case c.Source == sourceListener && c.Proxy != "":
		b.fail(path+".proxy", "is of source: forwarded")
	case c.Source != sourceForwarded:
	case c.Proxy == "" && !isLoopback(host):
		b.fail(path+".proxy", "is missing: %s can be reached from other machines, and who reaches it could say that it is anybody. Listen on loopback "+
			"behind the proxy, or give listen.tls.client_ca and the name in the proxy's own certificate", b.cfg.Listen.Address)
	case c.Proxy != "" && t.GetClientCa() == "":
		b.fail(path+".proxy", "needs listen.tls.client_ca, by which the proxy's certificate is verified")
	case c.Proxy != "":
		proxy = &sanPattern{}
		if parts, fault := proxy.compile(c.Proxy); fault != "" {
			b.fail(path+".proxy", "%s", fault)
		} else if len(parts) > 0 {
			b.fail(path+".proxy", "must be one whole name, without braces")
		}
	}
	return proxy
}
