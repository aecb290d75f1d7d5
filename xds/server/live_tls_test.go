package server_test

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
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/xds"
)

// authority signs certificates for a test.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &a.key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue writes name.pem and name.key into dir, and returns them loaded. The serial number tells certificates apart.
func (a *authority) issue(dir, name string, serial int64) tls.Certificate {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	secret := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})
	save(a.t, filepath.Join(dir, name+".pem"), chain)
	save(a.t, filepath.Join(dir, name+".key"), secret)
	loaded, err := tls.X509KeyPair(chain, secret)
	if err != nil {
		a.t.Fatal(err)
	}
	return loaded
}

func save(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// dial sends one request over a TLS connection of its own.
func dial(r *rig, conf *tls.Config, h2 bool) (*http.Response, error) {
	transport := &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: h2}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	resp, err := client.Post("https://"+strings.TrimPrefix(r.url, "http://")+"/v1/chat/completions", "application/json", strings.NewReader("{}"))
	if err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	return resp, err
}

func TestLive_listenerTLS(t *testing.T) {
	u, dir, ca := newUpstream(t, answering(200)), t.TempDir(), newAuthority(t)
	ca.issue(dir, "gateway", 10)
	client := ca.issue(dir, "client", 11)
	save(t, filepath.Join(dir, "ca.pem"), ca.pem())
	yaml := func(require bool) string {
		return fmt.Sprintf(`
listen:
  address: "127.0.0.1:0"
  tls: {certificate: %[1]s/gateway.pem, private_key: %[1]s/gateway.key, client_ca: %[1]s/ca.pem, require_client_certificate: %[2]v}
providers: [{name: p, schema: openai, endpoint: %[3]q}]
`, dir, require, u.URL)
	}
	r := newRig(t, compile(t, yaml(false)))
	r.stub.script(ordered("p"), nil)
	conf := func(certs ...tls.Certificate) *tls.Config {
		return &tls.Config{RootCAs: ca.pool(), ServerName: "gateway", Certificates: certs}
	}
	for _, h2 := range []bool{false, true} {
		resp, err := dial(r, conf(), h2)
		if err != nil || resp.StatusCode != 200 || (resp.ProtoMajor == 2) != h2 {
			t.Fatalf("HTTP/2 %v: %v %v", h2, resp, err)
		}
	}
	stranger := newAuthority(t).issue(t.TempDir(), "stranger", 12)
	if _, err := dial(r, conf(stranger), false); err == nil {
		t.Error("a client certificate of a foreign authority was taken")
	}
	t.Run("rotated without a restart", func(t *testing.T) {
		ca.issue(dir, "gateway", 20)
		r.set(compile(t, yaml(false)), xds.FullWeights{})
		r.applied()
		resp, err := dial(r, conf(), false)
		if err != nil || resp.TLS.PeerCertificates[0].SerialNumber.Int64() != 20 {
			t.Fatalf("%v %v", resp, err)
		}
	})
	t.Run("required client certificates", func(t *testing.T) {
		required := newRig(t, compile(t, yaml(true)))
		required.stub.script(ordered("p"), nil)
		if _, err := dial(required, conf(), false); err == nil {
			t.Error("a client without a certificate was served")
		}
		if resp, err := dial(required, conf(client), false); err != nil || resp.StatusCode != 200 {
			t.Errorf("a client with one: %v %v", resp, err)
		}
	})
}

// tlsUpstream is a provider with a certificate for 127.0.0.1 and "provider".
func tlsUpstream(t *testing.T, ca *authority, dir string) *httptest.Server {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("x-seen", fmt.Sprint(req.Proto, " ", req.TLS.ServerName))
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{ca.issue(dir, "provider", 30)}}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // refused handshakes are expected
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func TestLive_providerTLS(t *testing.T) {
	dir, ca := t.TempDir(), newAuthority(t)
	save(t, filepath.Join(dir, "ca.pem"), ca.pem())
	save(t, filepath.Join(dir, "other.pem"), newAuthority(t).pem())
	u := tlsUpstream(t, ca, dir)
	r := newRig(t, compile(t, fmt.Sprintf(`
listen: {address: "127.0.0.1:0"}
providers:
- {name: named, schema: openai, endpoint: %[1]q, tls: {ca: %[2]s/ca.pem, server_name: provider}}
- {name: plain, schema: openai, endpoint: %[1]q, tls: {ca: %[2]s/ca.pem, server_name: provider}, http: http1}
- {name: byip, schema: openai, endpoint: %[1]q, tls: {ca: %[2]s/ca.pem}, http: http2}
- {name: misnamed, schema: openai, endpoint: %[1]q, tls: {ca: %[2]s/ca.pem, server_name: somebody.else}}
- {name: foreign, schema: openai, endpoint: %[1]q, tls: {ca: %[2]s/other.pem, server_name: provider}}
- {name: public, schema: openai, endpoint: %[1]q, tls: {server_name: provider}}
`, u.URL, dir)))
	for name, want := range map[string]string{"named": "HTTP/2.0 provider", "plain": "HTTP/1.1 provider", "byip": "HTTP/2.0"} {
		r.stub.script(ordered(name), nil)
		resp, body, err := r.post("/v1/chat/completions", "{}")
		if err != nil || resp.StatusCode != 200 || resp.Header.Get("x-seen") != want {
			t.Errorf("%s: %v %s %v, want %q", name, resp, body, err, want)
		}
	}
	for _, name := range []string{"misnamed", "foreign", "public"} {
		r.stub.script(ordered(name), nil)
		resp, body, err := r.post("/v1/chat/completions", "{}")
		if err != nil || resp.StatusCode != 503 {
			t.Errorf("%s was trusted: %v %s %v", name, resp, body, err)
		}
		entries := r.stub.logged(1, name+"/default")
		if len(entries) != 1 || !strings.Contains(entries[0].GetCommonProperties().GetUpstreamTransportFailureReason(), "TLS") {
			t.Errorf("%s: attempts logged: %v", name, entries)
		}
	}
}

// Names are resolved: localhost may be ::1 first, where nobody listens.
func TestLive_providerByName(t *testing.T) {
	u := newUpstream(t, answering(200))
	_, port, _ := strings.Cut(strings.TrimPrefix(u.URL, "http://"), ":")
	r := newRig(t, compile(t, fmt.Sprintf(`
listen: {address: "127.0.0.1:0"}
providers:
- {name: one, schema: openai, endpoint: "http://localhost:%[1]s"}
- {name: two, schema: openai, endpoint: "http://localhost:%[1]s", locality: local}
`, port)))
	for i, name := range []string{"one", "two"} {
		r.stub.script(ordered(name), nil)
		if resp, body, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v %s %v", name, resp, body, err)
			continue
		}
		if got := u.seen()[i].header.Get("Host"); got != "localhost:"+port {
			t.Errorf("host %q", got)
		}
	}
}
