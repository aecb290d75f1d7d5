package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePair writes a self-signed certificate and its key.
func writePair(t *testing.T, dir, name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, DNSNames: []string{"gateway.example"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, name+".pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, filepath.Join(dir, name+".key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
}

func TestServerTLS(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "a")
	writePair(t, dir, "b")
	path := filepath.Join(dir, "c.yaml")
	for _, c := range []struct{ name, tls, want string }{
		{"a pair", `{certificate: a.pem, private_key: a.key}`, ""},
		{"with client certificates", `{certificate: a.pem, private_key: a.key, client_ca: b.pem, require_client_certificate: true}`, ""},
		{"no pair", `{certificate: a.pem, private_key: b.key}`, "2: listen.tls.certificate: and listen.tls.private_key are no pair"},
		{"the key in the certificate's place", `{certificate: a.key, private_key: a.key}`, "2: listen.tls.certificate: and listen.tls.private_key are no pair"},
		{"no such file", `{certificate: a.pem, private_key: x.key}`, "2: listen.tls.private_key: the file " + dir + "/x.key does not exist"},
		{"no certificates in the CA", `{certificate: a.pem, private_key: a.key, client_ca: b.key}`, "2: listen.tls.client_ca: the file " + dir + "/b.key holds no PEM certificate"},
		{"client certificates without a CA", `{certificate: a.pem, private_key: a.key, require_client_certificate: true}`, "2: listen.tls.require_client_certificate: needs client_ca"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, path, "listen:\n  tls: "+c.tls+"\n")
			s, err := Load(Options{Path: path, Env: envOf(bothKeys)})
			switch {
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v", err)
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "":
				if s.TLS == nil || !strings.Contains(s.TLS.PrivateKey.Reveal(), "PRIVATE KEY") || (s.TLS.ClientCA != nil) != s.TLS.RequireClient {
					t.Errorf("got %+v", s.TLS)
				}
			}
			if err != nil && strings.Contains(err.Error(), "PRIVATE") {
				t.Errorf("a key is shown: %v", err)
			}
		})
	}
}

func TestUpstreamCA(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "a")
	path := filepath.Join(dir, "c.yaml")
	write(t, path, `providers: [{name: p, schema: openai, endpoint: "https://10.0.0.1", tls: {ca: a.pem, server_name: llm.example}}, {name: q, schema: openai, endpoint: "https://10.0.0.1"}]`)
	s, err := Load(Options{Path: path, Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if p := s.Provider("p"); p.CA != filepath.Join(dir, "a.pem") || !strings.Contains(string(p.CAData), "CERTIFICATE") || p.Clusters[0].ServerName != "llm.example" {
		t.Errorf("got %+v", p)
	}
	if name := s.Cluster("q/default").ServerName; name != "10.0.0.1" {
		t.Errorf("got %q", name)
	}
}

func TestListenAddresses(t *testing.T) {
	keys := "\ntenants: [{name: t, keys: [{name: k, hash: \"" + HashKey("x") + "\"}]}]"
	for _, c := range []struct{ yaml, address, fault string }{
		{"listen: {address: localhost:1}", "127.0.0.1:1", ""},
		{"listen: {address: '[::1]:1'}", "[::1]:1", ""},
		{"listen: {address: 127.9.9.9:0}", "127.9.9.9:0", ""},
		{"listen: {address: '::ffff:127.0.0.1:1'}", "", "must be an IP address and a port"},
		{"listen: {address: ':1'}", "", "open on loopback only"},
		{"listen: {address: ':1'}" + keys, "0.0.0.0:1", ""},
		{"listen: {address: '*:1'}" + keys, "0.0.0.0:1", ""},
		{"listen: {address: '[::]:1'}", "", "open on loopback only"},
		{"listen: {address: 192.168.1.1:1}", "", "open on loopback only"},
		{"listen: {address: 8080}", "", "must be text"},
		{"listen: {address: '8080'}", "", "must be an IP address and a port"},
		{"listen: {address: 127.0.0.1:http}", "", "has a port"},
		{"listen: {address: 127.0.0.1:8081}", "", "admin.address: must not be the same"},
	} {
		s, err := loadYAML(c.yaml, bothKeys)
		switch {
		case c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)):
			t.Errorf("%s: got %v", c.yaml, err)
		case c.fault == "" && (err != nil || s.Config.Listen.Address != c.address):
			t.Errorf("%s: got %v", c.yaml, err)
		}
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range []struct{ yaml, want string }{
		{"admin: {address: 0.0.0.0:1}", "admin.address 0.0.0.0:1 can be reached from other machines, and tokens come in clear text"},
		{"processor: {address: 0.0.0.0:1}", "is given the providers' credentials"},
		{`providers: [{name: p, schema: openai, endpoint: "http://10.0.0.1", credentials: [{secret: {env: OPENAI_API_KEY}}]}]`, "in clear text"},
		{`providers: [{name: p, schema: openai, endpoint: "http://10.0.0.1", tls: {server_name: x}}]`, "tls has no effect"},
		{"routes: [{model: r, candidates: [{model: gpt-4o, weight: 2}]}]", "only with strategy: weighted"},
		{"routes: [{model: r, strategy: fallback, weights: {price: 1}}]", "count only where candidates are scored"},
		{"tenants: [{name: t}]", "nobody may call"},
	} {
		if s := mustLoad(t, c.yaml, bothKeys); !strings.Contains(strings.Join(s.Warnings, "\n"), c.want) {
			t.Errorf("%s: warnings %q", c.yaml, s.Warnings)
		}
	}
	quiet := mustLoad(t, "tenants: [{name: t, keys: [{name: k, hash: \""+HashKey("x")+"\"}]}]", bothKeys)
	if len(quiet.Warnings) > 0 {
		t.Errorf("warnings without a reason: %q", quiet.Warnings)
	}
}
