package vault

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
)

// fake answers what a real server cannot be made to say. It refuses what Vault, or a proxy before it, would refuse.
type fake struct {
	*httptest.Server
	mu     sync.Mutex
	seen   []string // METHOD path token
	answer func(n int, w http.ResponseWriter, r *http.Request)
}

const lookupOK = `{"data":{"ttl":3600,"renewable":true,"expire_time":"2030-01-01T00:00:00Z"}}`

// readOK is a secret as KV version 2 shows it.
func readOK(value string) string {
	text, _ := json.Marshal(value) // strings always marshal
	return fmt.Sprintf(`{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,"data":{"data":{"value":%s},"metadata":{"created_time":"2026-01-01T00:00:00Z","custom_metadata":null,"deletion_time":"","destroyed":false,"version":1}},"wrap_info":null,"warnings":null,"auth":null}`, text)
}

// newFake answers logins itself, and reads by answer; n counts those from 1.
func newFake(t *testing.T, secured *tls.Config, answer func(n int, w http.ResponseWriter, r *http.Request)) *fake {
	t.Helper()
	f := &fake{answer: answer}
	reads := 0
	f.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
		f.mu.Lock()
		f.seen = append(f.seen, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Vault-Token"))
		f.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case err != nil || r.Header.Get(rootHeader) != "true":
			http.Error(w, `{"errors":["missing 'X-Vault-Request' header"]}`, http.StatusPreconditionFailed)
		case r.URL.RawQuery != "" || !strings.HasPrefix(r.URL.Path, "/v1/"):
			http.Error(w, `{"errors":["unsupported path"]}`, http.StatusNotFound)
		case r.Method == http.MethodPost && (r.Header.Get("Content-Type") != "application/json" || !json.Valid(body)):
			http.Error(w, `{"errors":["failed to parse JSON input"]}`, http.StatusBadRequest)
		case strings.HasSuffix(r.URL.Path, "/lookup-self"):
			fmt.Fprint(w, lookupOK)
		default:
			f.mu.Lock()
			reads++
			n := reads
			f.mu.Unlock()
			f.answer(n, w, r)
		}
	}))
	if secured != nil {
		f.TLS = secured
		f.StartTLS()
	} else {
		f.Start()
	}
	t.Cleanup(f.Close)
	return f
}

func (f *fake) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.seen...)
}

func (f *fake) count(prefix string) (n int) {
	for _, r := range f.requests() {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

const theToken = "s.SECRET-token"

func (f *fake) vault() *config.Vault {
	v := withToken(f.URL, theToken)
	v.Timeout = 2 * time.Second
	return v
}

func readOne(t *testing.T, v *config.Vault) (string, error) {
	t.Helper()
	k, _ := keeper(t)
	r := ref("a", "value")
	a := k.Read(v, []config.VaultRef{r})
	if a.Login != nil {
		return "", a.Login
	}
	for _, err := range a.Errs {
		for _, secret := range []string{"SECRET", theToken} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("a secret is shown: %v", err)
			}
		}
	}
	return a.Values[r], a.Errs[r]
}

func say(status int, body string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
}

// What is tried again at once, and what is not: a sealed server, a refusal and a redirect elsewhere do not get better.
func TestTries(t *testing.T) {
	html := func(status int) func(int, http.ResponseWriter, *http.Request) {
		return func(_ int, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			fmt.Fprint(w, "<html>please log in</html>")
		}
	}
	for name, c := range map[string]struct {
		answer func(int, http.ResponseWriter, *http.Request)
		want   string
		tries  int
	}{
		"sealed":                      {say(503, `{"errors":["Vault is sealed"]}`), "is sealed", 1},
		"not initialised":             {say(501, `{"errors":["Vault is not initialized"]}`), "answered with 501: Vault is not initialized", 1},
		"a replica that lags":         {say(412, `{"errors":["required index state not present"]}`), "answered with 412: required index", 3},
		"a disaster recovery standby": {say(472, `{"errors":[]}`), "answered with 472: it does not serve", 3},
		"a performance standby":       {say(473, ``), "answered with 473: it does not serve", 3},
		"an error of the server":      {say(500, `{"errors":["internal error"]}`), "answered with 500: internal error", 3},
		"a load balancer":             {html(502), "answered with 502 and something that is not JSON", 3},
		"a login page":                {html(200), "answered with 200 and something that is not JSON: is it Vault?", 1},
		"a bad request":               {say(400, `{"errors":["bad"]}`), "bad", 1},
		"no such status":              {say(418, ``), "answered with 418", 1},
		"refused":                     {say(403, `{"errors":["permission denied"]}`), "may not be read: permission denied", 1},
		"a quota":                     {say(429, `{"errors":["rate limit quota exceeded"]}`), "limits requests: rate limit quota exceeded", 3},
		"a token in the error":        {say(400, `{"errors":["what is `+theToken+`?"]}`), "what is (secret)?", 1},
		"not a secret":                {say(200, `{"data":{"value":"SECRET"}}`), "is not of a KV engine, version 2: is secret one?", 1},
		"no JSON":                     {say(200, `{"data":{"data":{"value":"SEC`), "is not of a KV engine, version 2: is secret one?", 1},
		"nothing":                     {say(200, ``), "is not of a KV engine", 1},
		"too much":                    {say(200, `{"data":"`+strings.Repeat("x", maxAnswer)+`"}`), "answered with more than", 1},
		"an odd redirect":             {say(302, ``), "answered with 302", 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, nil, c.answer)
			value, err := readOne(t, f.vault())
			if err == nil || !strings.Contains(err.Error(), c.want) || value != "" {
				t.Errorf("got %q, %v, want %s", value, err, c.want)
			}
			if n := f.count("GET /v1/secret/data/a "); n != c.tries {
				t.Errorf("%d tries, want %d: %v", n, c.tries, f.requests())
			}
		})
	}
}

func TestATryThatHelps(t *testing.T) {
	f := newFake(t, nil, func(n int, w http.ResponseWriter, r *http.Request) {
		switch n {
		case 1:
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				conn.Close()
			}
		case 2:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(429)
			fmt.Fprint(w, `{"errors":["slow down"]}`)
		default:
			if r.Header.Get("X-Vault-Namespace") != "team/a" || r.Header.Get("X-Vault-Token") != theToken {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			fmt.Fprint(w, readOK("SECRET-1"))
		}
	})
	v := f.vault()
	v.Namespace = "team/a"
	started := time.Now()
	if value, err := readOne(t, v); value != "SECRET-1" || err != nil {
		t.Errorf("got %q, %v", value, err)
	}
	if took := time.Since(started); took < time.Second {
		t.Errorf("after %s: Retry-After was not waited for", took)
	}
}

// A wait that Vault asks for and that is longer than the time of a request is not begun.
func TestLongRetryAfter(t *testing.T) {
	f := newFake(t, nil, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "999999999999")
		w.WriteHeader(429)
	})
	started := time.Now()
	if _, err := readOne(t, f.vault()); err == nil || time.Since(started) > time.Second {
		t.Errorf("%v after %s", err, time.Since(started))
	}
}

// A path before /v1 belongs to a proxy that Vault lies behind.
func TestAddressWithPath(t *testing.T) {
	var seen string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		if strings.HasSuffix(r.URL.Path, "/lookup-self") {
			fmt.Fprint(w, lookupOK)
			return
		}
		seen = r.URL.Path
		fmt.Fprint(w, readOK("v"))
	}))
	defer server.Close()
	if value, err := readOne(t, withToken(server.URL+"/infra/vault", theToken)); value != "v" || err != nil || seen != "/infra/vault/v1/secret/data/a" {
		t.Errorf("got %q, %v at %s", value, err, seen)
	}
}

// redirect answers as a standby that does not forward.
func redirect(to func() string) func(int, http.ResponseWriter, *http.Request) {
	return func(_ int, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", to())
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

func TestRedirectOfAStandby(t *testing.T) {
	active := newFake(t, nil, say(200, readOK("SECRET-of-the-active")))
	standby := newFake(t, nil, redirect(func() string { return active.URL + "/v1/secret/data/a" }))
	if value, err := readOne(t, standby.vault()); value != "SECRET-of-the-active" || err != nil {
		t.Errorf("got %q, %v", value, err)
	}
	if r := active.requests(); len(r) != 1 || r[0] != "GET /v1/secret/data/a "+theToken {
		t.Errorf("the active server was asked %v", r)
	}
}

// The token goes to nobody but the cluster that is configured.
func TestRedirectsElsewhere(t *testing.T) {
	thief := newFake(t, nil, say(200, readOK("SECRET-of-a-thief")))
	for name, to := range map[string]string{
		"another path":    thief.URL + "/v1/steal",
		"a query":         thief.URL + "/v1/secret/data/a?x=1",
		"a password":      strings.Replace(thief.URL, "http://", "http://u:p@", 1) + "/v1/secret/data/a",
		"another machine": "http://198.51.100.7:8200/v1/secret/data/a",
		"another scheme":  "https://127.0.0.1:1/v1/secret/data/a",
		"a file":          "file:///v1/secret/data/a",
		"nothing":         "",
		"no URL":          "http://[::1",
	} {
		t.Run(name, func(t *testing.T) {
			standby := newFake(t, nil, redirect(func() string { return to }))
			if value, err := readOne(t, standby.vault()); err == nil || !strings.Contains(err.Error(), "redirects to") || value != "" {
				t.Errorf("got %q, %v", value, err)
			}
		})
	}
	t.Run("in a circle", func(t *testing.T) {
		var at string
		standby := newFake(t, nil, redirect(func() string { return at + "/v1/secret/data/a" }))
		at = standby.URL
		if _, err := readOne(t, standby.vault()); err == nil || !strings.Contains(err.Error(), "redirects more than once") {
			t.Errorf("got %v", err)
		}
	})
	if r := thief.requests(); len(r) > 0 {
		t.Errorf("the thief was asked %v", r)
	}
}

// authority is a certificate authority of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// server is the TLS of a server of this name.
func (a *authority) server(t *testing.T, name string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

func TestTLS(t *testing.T) {
	own, foreign := newAuthority(t), newAuthority(t)
	f := newFake(t, own.server(t, "vault.test"), say(200, readOK("SECRET-1")))
	with := func(ca *authority, name string) *config.Vault {
		v := f.vault()
		v.ServerName = name
		if ca != nil {
			v.CA = ca.pem
		}
		return v
	}
	if value, err := readOne(t, with(own, "vault.test")); value != "SECRET-1" || err != nil {
		t.Errorf("got %q, %v", value, err)
	}
	before := len(f.requests())
	for name, v := range map[string]*config.Vault{
		"the system's roots": with(nil, "vault.test"), "a foreign authority": with(foreign, "vault.test"), "another name": with(own, "other.test"), "the address": with(own, ""),
	} {
		if value, err := readOne(t, v); err == nil || value != "" || !strings.Contains(err.Error(), "cannot be reached: tls: ") && !strings.Contains(err.Error(), "x509: ") {
			t.Errorf("%s: got %q, %v", name, value, err)
		}
	}
	if len(f.requests()) != before {
		t.Errorf("a token was sent to a server that is not known: %v", f.requests()[before:])
	}
}

// With TLS a standby may name any server of its cluster: one that shows a certificate for the same name.
func TestRedirectWithTLS(t *testing.T) {
	own := newAuthority(t)
	active := newFake(t, own.server(t, "vault.test"), say(200, readOK("SECRET-of-the-active")))
	other := newFake(t, own.server(t, "web.test"), say(200, readOK("SECRET-of-another")))
	clear := newFake(t, nil, say(200, readOK("SECRET-in-clear")))
	for want, to := range map[string]*fake{"SECRET-of-the-active": active, "": other, " ": clear} {
		standby := newFake(t, own.server(t, "vault.test"), redirect(func() string { return to.URL + "/v1/secret/data/a" }))
		v := standby.vault()
		v.ServerName, v.CA = "vault.test", own.pem
		if value, err := readOne(t, v); value != strings.TrimSpace(want) || (err == nil) != (to == active) {
			t.Errorf("to %s: got %q, %v", to.URL, value, err)
		}
	}
	if len(other.requests())+len(clear.requests()) > 0 {
		t.Errorf("the token went to %v %v", other.requests(), clear.requests())
	}
}

// A proxy of the environment would see the token of a server in clear, and decide who answers.
func TestNoProxy(t *testing.T) {
	proxy := newFake(t, nil, say(200, readOK("SECRET-of-a-proxy")))
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("HTTPS_PROXY", proxy.URL)
	v := withToken("http://vault.invalid:8200", theToken)
	v.Timeout = time.Second
	if value, err := readOne(t, v); err == nil || value != "" || len(proxy.requests()) > 0 {
		t.Errorf("got %q, %v, the proxy saw %v", value, err, proxy.requests())
	}
}

// When Vault is away, the first secrets find out, and the rest is not asked for.
func TestOutageIsFoundOutOnce(t *testing.T) {
	f := newFake(t, nil, say(503, `{"errors":["Vault is sealed"]}`))
	k, c := keeper(t)
	var refs []config.VaultRef
	for i := range 200 {
		refs = append(refs, ref(fmt.Sprint("p", i), "value"))
	}
	a := k.Read(f.vault(), refs)
	if n := f.count("GET /v1/secret/"); len(a.Errs) != 200 || n > 2*parallel || c.reads[Sealed] != 200 {
		t.Errorf("%d errors by %d requests, counted %v", len(a.Errs), n, c.reads)
	}
}

// A login that a hostile or broken server answers.
func TestLoginAnswers(t *testing.T) {
	for name, c := range map[string]struct{ body, want string }{
		"a second factor":   {`{"auth":{"client_token":"","mfa_requirement":{"mfa_request_id":"x"}}}`, "a second factor is demanded"},
		"no token":          {`{"auth":{"client_token":"","mfa_requirement":null}}`, "holds no token"},
		"no auth":           {`{"data":{}}`, "holds no token"},
		"a broken header":   {`{"auth":{"client_token":"a\r\nX-Evil: 1"}}`, "holds no token"},
		"a wrapped token":   {`{"wrap_info":{"token":"s.x"},"auth":null}`, "holds no token"},
		"a number":          {`{"auth":{"client_token":7}}`, "holds no token"},
		"not even an array": {`[]`, "holds no token"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t, nil, say(200, c.body))
			v := f.vault()
			v.Token = config.Secret{}
			v.AppRole = &config.VaultAppRole{RoleID: "r", Mount: "approle", SecretID: secretOf("SECRET-id")}
			if _, err := readOne(t, v); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// What was sent does not come back in an error.
func TestErrorsHoldNoSecret(t *testing.T) {
	f := newFake(t, nil, say(400, `{"errors":["secret_id SECRET-id-of-role of role_id the-role\nis bad\u0007", "2", "3", "4"]}`))
	v := f.vault()
	v.Token = config.Secret{}
	v.AppRole = &config.VaultAppRole{RoleID: "the-role", Mount: "approle", SecretID: secretOf("SECRET-id-of-role")}
	_, err := readOne(t, v)
	if want := "cannot log in at " + f.URL + ": secret_id (secret) of role_id (secret) is bad ; 2; 3"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if text := fmt.Sprintf("%v %+v %#v", v, *v, *v.AppRole); strings.Contains(text, "SECRET-id") {
		t.Error("the settings show a secret")
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	f := newFake(t, nil, say(500, ``))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	c := newClient(f.vault())
	defer c.close()
	var e *Error
	if _, err := c.call(ctx, http.MethodGet, "x", "", nil); !errors.As(err, &e) || e.Kind != Away || !strings.Contains(e.Text, "given up") {
		t.Errorf("got %v", err)
	}
	if _, err := c.call(ctx, http.MethodPost, "x", "", make(chan int)); err == nil {
		t.Error("what is no JSON was sent")
	}
}
