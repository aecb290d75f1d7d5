package xds_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
)

// compile makes a Snapshot as the program does; files are relative to dir, and every variable KEY_X holds canary-x.
func compile(t testing.TB, yaml []byte, dir string) *config.Snapshot {
	t.Helper()
	f, err := config.Parse("dragoman.yaml", yaml)
	if err != nil {
		t.Fatal(err)
	}
	f.Dir = dir
	s, err := config.Compile(f, config.Options{Env: env, Now: func() time.Time { return time.Unix(0, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func env(name string) (string, bool) {
	key, ok := strings.CutPrefix(name, "KEY_")
	return "canary-" + strings.ToLower(key), ok
}

// pair is a self-signed certificate with its key, as PEM.
type pair struct{ chain, key []byte }

func newCertificate(t testing.TB, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

// certificateDir holds the files that configurations of the tests name: server.pem, server.key, ca.pem, jwks.json.
func certificateDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	server := newCertificate(t, "gateway.example")
	for name, data := range map[string][]byte{
		"jwks.json":  []byte(`{"keys": [{"kty": "EC", "kid": "1", "alg": "ES256", "crv": "P-256", "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}`), // RFC 7517, A.1
		"server.pem": server.chain, "server.key": server.key, "ca.pem": newCertificate(t, "ca.example").chain,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
