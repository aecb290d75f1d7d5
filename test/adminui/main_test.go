package adminui

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// rootToken is of role admin, in the configuration of every gateway here.
const rootToken = "dga_root-of-tests"

// bearer adds the token to what the harness itself asks the admin port.
type bearer struct{ next http.RoundTripper }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Path == "/status" {
		r = r.Clone(r.Context())
		r.Header.Set("authorization", "Bearer "+rootToken)
	}
	return b.next.RoundTrip(r)
}

func (b bearer) CloseIdleConnections() { b.next.(*http.Transport).CloseIdleConnections() }

func gatewayYAML(logins string) string {
	return `{{providers}}
ledger: {sqlite: "{{dir}}/ledger.db"}
identity: {keys: {}}
tenants:
- {name: acme, budgets: [{usd: 100, per: month}], teams: [{name: search, limits: {requests_per_minute: 100}}, {name: ads}]}
- {name: globex}
admin:
  tokens: [{name: root, role: admin, hash: "` + config.HashKey(rootToken) + `"}]
` + logins
}

// startGateway starts one whose logins are said once its admin port is known.
func startGateway(t *testing.T, logins func(admin string) string) *harness.Gateway {
	t.Helper()
	g := harness.Start(t, harness.Options{Config: gatewayYAML(""), Client: &http.Client{Transport: bearer{&http.Transport{}}},
		Env: map[string]string{"LOGIN_SECRET": strings.Repeat("5", 40), "OTHER_SECRET": "wrong"}})
	g.MustReload(t, gatewayYAML(logins(g.Admin)))
	return g
}

// visitor is a person with a browser that has no JavaScript and no styles.
type visitor struct {
	*http.Client
	trail []string // where redirects led
}

func newVisitor(t testing.TB) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &visitor{}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	v.Client = &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		v.trail = append(v.trail, r.URL.String())
		return nil
	}}
	return v
}

func (v *visitor) do(t testing.TB, method, address string, form url.Values) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("accept", "text/html")
	if form != nil {
		r.Header.Set("content-type", "application/x-www-form-urlencoded")
	}
	resp, err := v.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// api asks the admin API with the token of tests.
func api(t testing.TB, g *harness.Gateway, method, path string, body any) gjson.Result {
	t.Helper()
	var in io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		in = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(context.Background(), method, g.Admin+path, in)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("authorization", "Bearer "+rootToken)
	resp, err := g.HTTP.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %s %v", method, path, resp.StatusCode, b, err)
	}
	return gjson.ParseBytes(b)
}

// trail is what the audit trail has of an action, the newest first: outcome, subject, detail.
func trail(t testing.TB, g *harness.Gateway, action string) (out []string) {
	t.Helper()
	for _, e := range api(t, g, http.MethodGet, "/api/v1/audit?page_size=100&action="+url.QueryEscape(action), nil).Get("entries").Array() {
		by, _, _ := strings.Cut(e.Get("detail").String(), " from ")
		out = append(out, fmt.Sprintf("%s %s %s", e.Get("outcome"), e.Get("subject"), by))
	}
	return out
}

func wantTrail(t testing.TB, g *harness.Gateway, action, want string) {
	t.Helper()
	if got := trail(t, g, action); !slices.Contains(got, want) {
		t.Errorf("the trail of %s has %q, not %q", action, got, want)
	}
}
