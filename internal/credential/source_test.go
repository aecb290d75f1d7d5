package credential

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/config"
)

// endpoint is a strict token endpoint: what is not as the vendor documents it is refused, as the vendor does.
type endpoint struct {
	*httptest.Server
	check func(r *http.Request) error
	asked atomic.Int32
}

func newEndpoint(t *testing.T, path string, check func(*http.Request) error) *endpoint {
	e := &endpoint{check: check}
	e.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("content-type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/.well-known/openid-configuration"): // which Entra's library asks for first
			tenant := strings.Split(r.URL.Path, "/")[1]
			fmt.Fprintf(w, `{"token_endpoint":"%[1]s/%[2]s/oauth2/v2.0/token","authorization_endpoint":"%[1]s/%[2]s/oauth2/v2.0/authorize","issuer":"%[1]s/%[2]s/v2.0"}`, e.URL, tenant)
		case r.Method != http.MethodPost || r.URL.Path != path:
			w.WriteHeader(http.StatusNotFound)
		default:
			n := e.asked.Add(1)
			if err := check(r); err != nil {
				w.WriteHeader(http.StatusUnauthorized)
				fmt.Fprintf(w, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided. SECRET %s","error_codes":[7000215]}`, err)
				return
			}
			fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":3599}`, n)
		}
	}))
	t.Cleanup(e.Close)
	return e
}

// twice asks a source two times: each time the endpoint must give a new token, for an hour.
func twice(t *testing.T, s Source) {
	t.Helper()
	for n := 1; n <= 2; n++ {
		token, err := s(t.Context())
		if err != nil || token.Value != fmt.Sprint("token-", n) {
			t.Fatalf("%d: %+v, %v", n, token, err)
		}
		if left := time.Until(token.Expires); left < 58*time.Minute || left > time.Hour {
			t.Errorf("%d: expires in %v", n, left)
		}
	}
}

func serviceAccount(t *testing.T, tokenURI string) (*rsa.PublicKey, *config.Grant) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "example", "private_key_id": "k1", "client_email": "gateway@example.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": tokenURI,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &key.PublicKey, &config.Grant{Google: &config.GoogleGrant{Key: config.NewSecret(string(file), "file key.json"), Type: "service_account"}}
}

// jwt checks an assertion as https://developers.google.com/identity/protocols/oauth2/service-account#authorizingrequests says.
func jwt(assertion, audience string, key *rsa.PublicKey) error {
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return errors.New("no JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature); err != nil {
		return err
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var c struct {
		Iss, Scope, Aud string
		Exp, Iat        int64
	}
	if err := json.Unmarshal(claims, &c); err != nil {
		return err
	}
	if c.Iss != "gateway@example.iam.gserviceaccount.com" || c.Scope != cloudScope || c.Aud != audience || c.Exp-c.Iat > 3600 || c.Exp < time.Now().Unix() {
		return fmt.Errorf("claims %s", claims)
	}
	return nil
}

func TestGoogleServiceAccount(t *testing.T) {
	var key *rsa.PublicKey
	var e *endpoint
	e = newEndpoint(t, "/token", func(r *http.Request) error {
		if g := r.FormValue("grant_type"); g != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
			return fmt.Errorf("grant_type %q", g)
		}
		return jwt(r.FormValue("assertion"), e.URL+"/token", key)
	})
	public, grant := serviceAccount(t, e.URL+"/token")
	key = public
	twice(t, open(grant, e.Client().Transport))

	other, _ := serviceAccount(t, "")
	key = other
	_, err := open(grant, e.Client().Transport)(t.Context())
	if err == nil || err.Error() != "the token endpoint answered 401 invalid_client" {
		t.Errorf("a wrong key: %v", err)
	}
}

func TestGoogleAuthorizedUser(t *testing.T) {
	// This type has no token_uri: its requests go to Google's own, which the transport leads to the fake.
	e := newEndpoint(t, "/token", func(r *http.Request) error {
		if r.FormValue("grant_type") != "refresh_token" || r.FormValue("refresh_token") != "SECRET-refresh" {
			return fmt.Errorf("form %v", r.PostForm)
		}
		return nil
	})
	file := `{"type":"authorized_user","client_id":"id","client_secret":"SECRET","refresh_token":"SECRET-refresh"}`
	twice(t, open(&config.Grant{Google: &config.GoogleGrant{Key: config.NewSecret(file, "file adc.json"), Type: "authorized_user"}}, redirected{e}))
}

// redirected sends every request to the fake, whatever its host.
type redirected struct{ to *endpoint }

func (r redirected) RoundTrip(req *http.Request) (*http.Response, error) {
	at, err := url.Parse(r.to.URL)
	if err != nil {
		return nil, err
	}
	req = req.Clone(req.Context())
	req.URL.Host = at.Host
	return r.to.Client().Transport.RoundTrip(req)
}

func TestGoogleMetadataServer(t *testing.T) {
	n := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Metadata-Flavor") != "Google" || r.URL.Path != "/computeMetadata/v1/instance/service-accounts/default/token" || r.URL.Query().Get("scopes") != cloudScope {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		n++
		fmt.Fprintf(w, `{"access_token":"token-%d","expires_in":3599,"token_type":"Bearer"}`, n)
	}))
	defer s.Close()
	t.Setenv("GCE_METADATA_HOST", strings.TrimPrefix(s.URL, "http://"))
	twice(t, open(&config.Grant{Google: &config.GoogleGrant{Metadata: true}}, http.DefaultTransport))
}

const (
	tenant = "00000000-0000-0000-0000-00000000000a"
	app    = "00000000-0000-0000-0000-00000000000b"
	scope  = "https://cognitiveservices.azure.com/.default"
)

// entraForm checks what https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow asks for.
func entraForm(want map[string]string) func(*http.Request) error {
	return func(r *http.Request) error {
		if err := r.ParseForm(); err != nil {
			return err
		}
		for name, value := range want {
			if got := r.PostForm.Get(name); !strings.HasPrefix(got, value) || value == "" && got != "" {
				return fmt.Errorf("%s is %q", name, got)
			}
		}
		return nil
	}
}

func TestEntraClientSecret(t *testing.T) {
	e := newEndpoint(t, "/"+tenant+"/oauth2/v2.0/token", entraForm(map[string]string{
		"client_id": app, "client_secret": "SECRET-entra", "grant_type": "client_credentials", "scope": scope,
	}))
	grant := &config.EntraGrant{Tenant: tenant, Client: app, ClientSecret: config.NewSecret("SECRET-entra", "env X"), Authority: e.URL, Scope: scope}
	twice(t, open(&config.Grant{Entra: grant}, e.Client().Transport))
	grant.ClientSecret = config.NewSecret("SECRET-wrong", "env X")
	_, err := open(&config.Grant{Entra: grant}, e.Client().Transport)(t.Context())
	if err == nil || err.Error() != "the token endpoint answered 401 (AADSTS7000215)" {
		t.Errorf("a wrong secret: %v", err)
	}
}

// The federated token is read anew each time: a kubelet replaces it.
func TestEntraWorkloadIdentity(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	var want map[string]string
	e := newEndpoint(t, "/"+tenant+"/oauth2/v2.0/token", func(r *http.Request) error { return entraForm(want)(r) })
	source := open(&config.Grant{Entra: &config.EntraGrant{Tenant: tenant, Client: app, TokenFile: file, Authority: e.URL, Scope: scope}}, e.Client().Transport)
	if _, err := source(t.Context()); err == nil || err.Error() != "the file of the federated token cannot be read" {
		t.Errorf("no file: %v", err)
	}
	for i, token := range []string{"federated-1", "federated-2"} {
		if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
		want = map[string]string{"client_id": app, "client_assertion": token, "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
			"grant_type": "client_credentials", "scope": scope, "client_secret": ""}
		got, err := source(t.Context())
		if err != nil || got.Value != fmt.Sprint("token-", i+1) {
			t.Errorf("%s: %+v, %v", token, got, err)
		}
	}
}

func TestEntraManagedIdentity(t *testing.T) {
	asked := 0
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		asked++
		w := httptest.NewRecorder()
		w.Header().Set("content-type", "application/json")
		switch {
		case r.URL.Host != "169.254.169.254" || r.Header.Get("Metadata") != "true" || r.URL.Query().Get("client_id") != app ||
			r.URL.Query().Get("resource") != "https://cognitiveservices.azure.com":
			w.WriteHeader(http.StatusBadRequest)
		default:
			fmt.Fprintf(w, `{"access_token":"token-1","expires_in":"3599","expires_on":"%d","resource":"x","token_type":"Bearer"}`, time.Now().Add(3599*time.Second).Unix())
		}
		resp := w.Result()
		resp.Request = r
		return resp, nil
	})
	for _, name := range []string{"IDENTITY_ENDPOINT", "MSI_ENDPOINT", "IMDS_ENDPOINT"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	token, err := open(&config.Grant{Entra: &config.EntraGrant{ManagedIdentity: true, Client: app, Scope: scope}}, transport)(t.Context())
	if err != nil || token.Value != "token-1" || asked == 0 {
		t.Errorf("%+v, %v, asked %d times", token, err, asked)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Whatever goes wrong, the error holds nothing of the credential or of the answer.
func TestErrorsHoldNoSecret(t *testing.T) {
	public, grant := serviceAccount(t, "https://127.0.0.1:1/token?x=SECRET")
	_ = public
	user := &config.Grant{Google: &config.GoogleGrant{Key: config.NewSecret(`{"type":"authorized_user","refresh_token":"SECRET"}`, "x"), Type: "authorized_user"}}
	broken := &config.Grant{Google: &config.GoogleGrant{Key: config.NewSecret(`{"type":"service_account","private_key":"SECRET","client_email":"SECRET"}`, "x"), Type: "service_account"}}
	entra := &config.Grant{Entra: &config.EntraGrant{Tenant: tenant, Client: app, ClientSecret: config.NewSecret("SECRET", "x"), Authority: "https://127.0.0.1:1", Scope: scope}}
	answers := map[string]http.RoundTripper{
		"refused connection": http.DefaultTransport,
		"a page": roundTrip(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprint(w, "<html>SECRET</html>")
			resp := w.Result()
			resp.Request = r
			return resp, nil
		}),
		"a description": roundTrip(func(r *http.Request) (*http.Response, error) {
			w := httptest.NewRecorder()
			w.Header().Set("content-type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":"SECRET error","error_description":"SECRET"}`)
			resp := w.Result()
			resp.Request = r
			return resp, nil
		}),
		"an unknown name": roundTrip(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Post", URL: "https://SECRET", Err: errors.New("SECRET")}
		}),
	}
	for name, transport := range answers {
		for kind, g := range map[string]*config.Grant{"service account": grant, "user": user, "broken": broken, "entra": entra} {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			_, err := open(g, transport)(ctx)
			cancel()
			if err == nil || strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "PRIVATE") || len(err.Error()) > 200 {
				t.Errorf("%s, %s: %v", name, kind, err)
			}
		}
	}
}
