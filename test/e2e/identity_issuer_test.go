package e2e

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// issuer signs tokens and publishes the keys to verify them by, as an identity provider does.
type issuer struct {
	t    *testing.T
	name string
	keys []signingKey
}

type signingKey struct {
	id      string
	private crypto.Signer
}

func newIssuer(t *testing.T, name string) *issuer {
	i := &issuer{t: t, name: name}
	i.rotate("first")
	return i
}

// rotate adds an RSA key, by which tokens are signed from now on.
func (i *issuer) rotate(id string) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	must(i.t, err)
	i.keys = append(i.keys, signingKey{id, key})
}

// rotateEC adds a P-256 key.
func (i *issuer) rotateEC(id string) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(i.t, err)
	i.keys = append(i.keys, signingKey{id, key})
}

// jwks is the set of the public keys.
func (i *issuer) jwks() []byte {
	set := map[string][]map[string]string{"keys": {}}
	for _, k := range i.keys {
		j := map[string]string{"kid": k.id, "use": "sig"}
		switch key := k.private.Public().(type) {
		case *rsa.PublicKey:
			j["kty"], j["alg"], j["n"], j["e"] = "RSA", "RS256", encoded(key.N.Bytes()), encoded(big.NewInt(int64(key.E)).Bytes())
		case *ecdsa.PublicKey:
			point, err := key.Bytes()
			must(i.t, err)
			j["kty"], j["alg"], j["crv"], j["x"], j["y"] = "EC", "ES256", "P-256", encoded(point[1:33]), encoded(point[33:])
		}
		set["keys"] = append(set["keys"], j)
	}
	b, err := json.Marshal(set)
	must(i.t, err)
	return b
}

type claims map[string]any

// with fills in what every token says: the issuer, and an expiry in an hour.
func (i *issuer) with(c claims) claims {
	out := claims{"iss": i.name, "exp": time.Now().Add(time.Hour).Unix(), "sub": "ada"}
	for name, value := range c {
		if value == nil {
			delete(out, name)
		} else {
			out[name] = value
		}
	}
	return out
}

// token signs with the last key.
func (i *issuer) token(c claims) string {
	k := i.keys[len(i.keys)-1]
	alg := "RS256"
	if _, ok := k.private.(*ecdsa.PrivateKey); ok {
		alg = "ES256"
	}
	input := unsigned(i.t, map[string]any{"alg": alg, "typ": "JWT", "kid": k.id}, i.with(c))
	sum := sha256.Sum256([]byte(input))
	switch key := k.private.(type) {
	case *rsa.PrivateKey:
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		must(i.t, err)
		return input + "." + encoded(signature)
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
		must(i.t, err)
		return input + "." + encoded(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	}
	i.t.Fatalf("no way to sign with %T", k.private)
	return ""
}

// unsigned is header and payload.
func unsigned(t *testing.T, header, payload any) string {
	h, err := json.Marshal(header)
	must(t, err)
	p, err := json.Marshal(payload)
	must(t, err)
	return encoded(h) + "." + encoded(p)
}

// byHMAC signs header and payload with a secret, as who takes a public key for one does.
func byHMAC(input string, secret []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + encoded(mac.Sum(nil))
}

func encoded(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// jwksServer publishes keys, and can be told to fail.
type jwksServer struct {
	*httptest.Server
	body  atomic.Pointer[[]byte]
	down  atomic.Bool
	asked atomic.Int64
}

func serveKeys(t *testing.T, start func(http.Handler) *httptest.Server, keys []byte) *jwksServer {
	s := &jwksServer{}
	s.body.Store(&keys)
	s.Server = start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		if s.down.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("content-type", "application/json")
		_, _ = w.Write(*s.body.Load())
	}))
	t.Cleanup(s.Close)
	return s
}
