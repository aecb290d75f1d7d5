package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/test/harness"
)

// authority issues certificates, as the authority of a mesh does.
type authority struct {
	t    *testing.T
	dir  string // with ca.pem, server.pem, server.key
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t, dir: t.TempDir(), key: curveKey(t)}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mesh"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	must(t, err)
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(a.dir, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	server := a.issue(nil, "gateway")
	private, err := x509.MarshalPKCS8PrivateKey(server.PrivateKey)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(a.dir, "server.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate[0]}), 0o600))
	must(t, os.WriteFile(filepath.Join(a.dir, "server.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return a
}

func curveKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// issue makes a certificate with these names.
func (a *authority) issue(uris []string, dns ...string) tls.Certificate {
	key := curveKey(a.t)
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), DNSNames: dns, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, s := range uris {
		u, err := url.Parse(s)
		must(a.t, err)
		template.URIs = append(template.URIs, u)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	must(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// askWith sends a request over TLS, with a certificate unless it has none.
func (a *authority) askWith(g *harness.Gateway, cert tls.Certificate, header ...string) *answer {
	a.t.Helper()
	return a.askAt("https"+strings.TrimPrefix(g.URL, "http"), cert, header...)
}

func (a *authority) askAt(base string, cert tls.Certificate, header ...string) *answer {
	a.t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c := &tls.Config{RootCAs: roots, ServerName: "gateway"}
	if cert.Certificate != nil {
		c.Certificates = []tls.Certificate{cert}
	}
	transport := &http.Transport{TLSClientConfig: c}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(a.t.Context(), http.MethodPost, base+paths["openai"], strings.NewReader(body("openai", "openai/gpt-4.1", false)))
	must(a.t, err)
	req.Header.Set("content-type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: transport, Timeout: 15 * time.Second}).Do(req)
	if err != nil {
		return &answer{err: err}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	must(a.t, err)
	return &answer{status: resp.StatusCode, header: resp.Header, body: b}
}

func (a *authority) config(rest string) string {
	return fmt.Sprintf(`{{providers}}
listen:
  address: "127.0.0.1:0"
  tls: {certificate: %[1]s/server.pem, private_key: %[1]s/server.key, client_ca: %[1]s/ca.pem}
tenants:
- name: acme
  teams: [{name: search}]
  keys: [{name: k, hash: '%[2]s'}]
- name: globex
`, a.dir, config.HashKey("dgm_acme")) + rest
}

func TestCertificates(t *testing.T) {
	a, i := newAuthority(t), newIssuer(t, idp)
	g := harness.Start(t, harness.Options{Config: a.config(fmt.Sprintf(`
identity:
  jwt: [{issuer: %q, jwks_file: %q, caller: {tenant: globex}, models: ["none/*"]}]
  certificates:
  - {name: mesh, san: "spiffe://cluster.local/ns/{team}/sa/{user}", caller: {tenant: acme, team: "{team}", user: "{user}"}}
  - {name: machines, san: "{host}.acme.example", caller: {tenant: acme, user: "{host}"}, models: ["openai/gpt-4o"]}
  - {name: late, san: "spiffe://cluster.local/ns/search/sa/ada", caller: {tenant: globex}, models: ["none/*"]}
`, idp, keysFile(t, i)))})
	ada := a.issue([]string{"spiffe://cluster.local/ns/search/sa/ada"})
	for _, c := range []struct {
		name   string
		cert   tls.Certificate
		header []string
		status int
		code   string
	}{
		{"its URI, by the first entry that fits", ada, nil, 200, ""},
		{"an empty key", ada, []string{"authorization", "Bearer "}, 200, ""},
		{"the word for no key", ada, []string{"authorization", "Bearer certificate", "x-api-key", "certificate"}, 200, ""},
		{"a DNS name, whose models do not hold this one", a.issue(nil, "ci1.acme.example"), nil, 403, "model_not_allowed"},
		{"a DNS name in capitals", a.issue(nil, "CI1.ACME.example"), nil, 403, "model_not_allowed"},
		{"two labels for one part", a.issue(nil, "a.b.acme.example"), nil, 401, "unknown_certificate"},
		{"a longer path", a.issue([]string{"spiffe://cluster.local/ns/search/sa/ada/more"}), nil, 401, "unknown_certificate"},
		{"another trust domain", a.issue([]string{"spiffe://evil/ns/search/sa/ada"}), nil, 401, "unknown_certificate"},
		{"a team of nobody", a.issue([]string{"spiffe://cluster.local/ns/ads/sa/ada"}), nil, 403, "unknown_caller"},
		{"an empty part", a.issue([]string{"spiffe://cluster.local/ns//sa/ada"}), nil, 401, "unknown_certificate"},
		{"no name at all", a.issue(nil), nil, 401, "missing_api_key"},
		{"no certificate", tls.Certificate{}, nil, 401, "missing_api_key"},
		{"no certificate, the word for no key", tls.Certificate{}, []string{"x-api-key", "certificate"}, 401, "invalid_api_key"},
		{"no certificate, a key", tls.Certificate{}, []string{"x-api-key", "dgm_acme"}, 200, ""},
		{"a key decides", a.issue(nil, "ci1.acme.example"), []string{"x-api-key", "dgm_acme"}, 200, ""},
		{"an invalid key is not replaced", ada, []string{"x-api-key", "dgm_wrong"}, 401, "invalid_api_key"},
		{"a token decides", ada, []string{"authorization", "Bearer " + i.token(nil)}, 403, "model_not_allowed"},
		{"a failed token is not replaced", ada, []string{"authorization", "Bearer " + i.token(claims{"exp": 1})}, 401, "expired_token"},
		{"a client's own word is no proxy's", tls.Certificate{}, []string{"x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/search/sa/ada"}, 401, "missing_api_key"},
		{"nor beside a certificate", a.issue(nil, "x.example"), []string{"x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/search/sa/ada"}, 401, "unknown_certificate"},
	} {
		got := a.askWith(g, c.cert, c.header...)
		if c.status == 200 && got.status == 200 {
			continue
		}
		wantCode(t, c.name, got, c.status, c.code, "")
	}
	stranger := newAuthority(t).issue([]string{"spiffe://cluster.local/ns/search/sa/ada"})
	if got := a.askWith(g, stranger); got.err == nil {
		t.Errorf("a certificate of a foreign authority: %v", got)
	}
	for name, f := range g.Fakes {
		if where := f.Saw("spiffe://"); len(where) > 0 {
			t.Errorf("%s saw who called in %v", name, where)
		}
	}
}

// TestForwardedCertificates: the mesh's proxy in front says whose certificate it has verified.
func TestForwardedCertificates(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: `{{providers}}
tenants: [{name: acme, teams: [{name: search}]}]
identity:
  certificates:
  - {name: mesh, san: "spiffe://cluster.local/ns/{team}/sa/{user}", caller: {tenant: acme, team: "{team}", user: "{user}"}, source: forwarded}
  - {name: machines, san: "{host}.acme.example", caller: {tenant: acme, user: "{host}"}, source: forwarded}
`})
	const by, good = "By=spiffe://cluster.local/ns/gateway/sa/dragoman;Hash=0a1b;", "URI=spiffe://cluster.local/ns/search/sa/ada"
	for _, c := range []struct {
		name, header string
		status       int
		code         string
	}{
		{"as Envoy writes it", by + `Subject="O=acme,CN=\"x\"";` + good, 200, ""},
		{"keys in small letters", "by=x;uri=spiffe://cluster.local/ns/search/sa/ada", 200, ""},
		{"a DNS name", by + "DNS=ci1.acme.example;DNS=other", 200, ""},
		{"of several proxies the nearest", "URI=spiffe://evil/x," + by + good, 200, ""},
		{"not an earlier one", good + ",By=x;URI=spiffe://evil/x", 401, "unknown_certificate"},
		{"the nearest says nothing", good + "," + by + "Subject=x", 401, "missing_api_key"},
		{"two URIs", good + ";URI=spiffe://cluster.local/ns/search/sa/root", 401, "invalid_client_certificate"},
		{"a quote that does not end", by + `Subject="` + good, 401, "invalid_client_certificate"},
		{"in a quoted subject", by + `Subject="x;` + good + `";URI=spiffe://evil/x`, 401, "unknown_certificate"},
		{"a URI after an empty one", "URI=;DNS=x;" + good, 401, "invalid_client_certificate"},
		{"a DNS name after an empty URI", by + "URI=;DNS=ci1.acme.example", 200, ""},
		{"a space after a comma", "By=x, " + good, 200, ""},
		{"a space after a semicolon", "By=x; " + good, 401, "invalid_client_certificate"},
		{"no pair", good + ";x", 401, "invalid_client_certificate"},
		{"an empty element", good + ",", 401, "invalid_client_certificate"},
		{"a space in it", "URI=spiffe://cluster.local/ns/search/sa/a b", 401, "invalid_client_certificate"},
		{"another team", "URI=spiffe://cluster.local/ns/ads/sa/ada", 403, "unknown_caller"},
		{"nothing", "", 401, "missing_api_key"},
	} {
		got := post(t, g, paths["openai"], body("openai", "openai/gpt-4.1", false), "x-forwarded-client-cert", c.header)
		if c.status == 200 && got.status == 200 {
			continue
		}
		wantCode(t, c.name, got, c.status, c.code, "")
	}
	for name, f := range g.Fakes {
		for _, part := range []string{"spiffe://", "acme.example"} {
			if where := f.Saw(part); len(where) > 0 {
				t.Errorf("%s saw who called in %v", name, where)
			}
		}
	}
}

// TestOnlyTheProxyForwards, where others reach the listener, too.
func TestOnlyTheProxyForwards(t *testing.T) {
	a := newAuthority(t)
	g := harness.Start(t, harness.Options{Config: a.config(`
identity:
  certificates:
  - {san: "spiffe://cluster.local/ns/{team}/sa/{user}", caller: {tenant: acme, team: "{team}", user: "{user}"}, source: forwarded, proxy: "spiffe://cluster.local/ns/mesh/sa/waypoint"}
`)})
	forwarded := []string{"x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/search/sa/ada"}
	if got := a.askWith(g, a.issue([]string{"spiffe://cluster.local/ns/mesh/sa/waypoint"}), forwarded...); got.status != 200 {
		t.Errorf("the proxy: %v", got)
	}
	wantCode(t, "a workload of the mesh", a.askWith(g, a.issue([]string{"spiffe://cluster.local/ns/search/sa/bo"}), forwarded...), 401, "unknown_certificate", "sa/bo")
	wantCode(t, "nobody", a.askWith(g, tls.Certificate{}, forwarded...), 401, "missing_api_key", "")
	wantCode(t, "the proxy for itself", a.askWith(g, a.issue([]string{"spiffe://cluster.local/ns/mesh/sa/waypoint"})), 401, "unknown_certificate", "waypoint")
}
