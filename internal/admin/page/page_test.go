package page

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"dragoman/internal/admin/access"
	"dragoman/internal/config"
	adminv1 "dragoman/proto/dragoman/admin/v1"
)

// client is an API that knows one key, whose texts are an attack.
type client struct {
	adminv1.AdminClient
	err     error
	created *adminv1.CreateKeyRequest
}

const attack = `"><script>alert(1)</script>`

func (c *client) WhoAmI(context.Context, *adminv1.WhoAmIRequest, ...grpc.CallOption) (*adminv1.WhoAmIResponse, error) {
	return &adminv1.WhoAmIResponse{Identity: "oidc:" + attack, Grants: []*adminv1.Grant{{Role: "member", Tenant: attack}}, Methods: []string{"ListKeys", "CreateKey", "RevokeKey", "ListPrincipals", "ListTokens"}}, c.err
}

func (c *client) ListKeys(context.Context, *adminv1.ListKeysRequest, ...grpc.CallOption) (*adminv1.ListKeysResponse, error) {
	return &adminv1.ListKeysResponse{Keys: []*adminv1.Key{{Id: attack, Tenant: attack, CreatedBy: attack, Prefix: attack, Spec: &adminv1.KeySpec{Name: attack, Models: []string{attack}}}}}, nil
}

func (c *client) ListPrincipals(context.Context, *adminv1.ListPrincipalsRequest, ...grpc.CallOption) (*adminv1.ListPrincipalsResponse, error) {
	return &adminv1.ListPrincipalsResponse{LimitsUnknown: true, Principals: []*adminv1.Principal{{Level: attack, Tenant: attack, Limits: []*adminv1.Limit{{Name: attack, Mode: attack, Unit: attack, Override: attack, Limit: 4, Spent: 1}}}}}, nil
}

func (c *client) ListTokens(context.Context, *adminv1.ListTokensRequest, ...grpc.CallOption) (*adminv1.ListTokensResponse, error) {
	return &adminv1.ListTokensResponse{Tokens: []*adminv1.Token{{Id: attack, Name: attack, CreatedBy: attack, Grant: &adminv1.Grant{Role: attack, Tenant: attack, Team: attack}}}}, nil
}

func (c *client) CreateKey(_ context.Context, r *adminv1.CreateKeyRequest, _ ...grpc.CallOption) (*adminv1.CreateKeyResponse, error) {
	c.created = r
	return &adminv1.CreateKeyResponse{Key: &adminv1.Key{Spec: r.Spec}, Secret: "dgm_" + attack}, nil
}

func serve(c *client, method, path string, form url.Values) *httptest.ResponseRecorder {
	mux := http.NewServeMux()
	New(Options{Client: c, Config: func() *config.Snapshot {
		return &config.Snapshot{Admin: &config.Admin{Logins: []*config.Login{{Name: "sso"}}}}
	}}).Register(func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, h) })
	r := httptest.NewRequest(method, path, strings.NewReader(form.Encode()))
	r.Header.Set("accept", "text/html")
	r.Header.Set("content-type", "application/x-www-form-urlencoded")
	caller := &access.Caller{Identity: &access.Identity{Kind: access.KindOIDC, Session: [32]byte{1}}}
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r.WithContext(access.WithCaller(r.Context(), caller)))
	return w
}

// TestNothingIsTakenForMarkup: names come from tenants, providers of logins and other replicas.
func TestNothingIsTakenForMarkup(t *testing.T) {
	form := url.Values{"place": {"acme/search"}, "name": {attack}, "user": {" @ada "}, "models": {"a, b"}, "rpm": {"5"}, "usd": {"1.5"}, "expires": {"2026-12-31"}}
	c := &client{}
	for _, w := range []*httptest.ResponseRecorder{serve(c, http.MethodGet, "/", nil), serve(c, http.MethodPost, "/keys", form)} {
		body := w.Body.String()
		if w.Code != 200 || strings.Contains(body, "<script>") || strings.Count(body, "&lt;script&gt;") < 10 {
			t.Errorf("%d %s", w.Code, body)
		}
		if h := w.Header(); !strings.Contains(h.Get("content-security-policy"), "default-src 'none'") || h.Get("x-frame-options") != "DENY" {
			t.Errorf("headers %v", h)
		}
	}
	got := c.created
	if got.Tenant != "acme" || got.Team != "search" || got.User != "ada" || len(got.Spec.Models) != 2 || *got.Spec.Limits.RequestsPerMinute != 5 || *got.Spec.Budgets[0].Usd != 1.5 ||
		got.Expires.AsTime().Format("2006-01-02T15:04") != "2027-01-01T00:00" {
		t.Errorf("asked for %v", got)
	}
}

func TestFaultsOfForms(t *testing.T) {
	good := url.Values{"place": {"acme"}, "name": {"k"}}
	for what, change := range map[string][2]string{"place": {"place", "no/such/place/at/all"}, "day": {"expires", "31.12."}, "rate": {"rpm", "-1"}, "no rate": {"rpm", "0"}, "budget": {"usd", "NaN"}, "free": {"usd", "0"}} {
		form := url.Values{}
		for k, v := range good {
			form[k] = v
		}
		form.Set(change[0], change[1])
		if w := serve(&client{}, http.MethodPost, "/keys", form); w.Code != 400 || !strings.Contains(w.Body.String(), `role="alert"`) {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
	}
	for path, form := range map[string]url.Values{"/keys/rotate": {"overlap": {"soon"}}, "/tokens": {"place": {"/"}}, "/tokens?": {"expires": {"x"}}} {
		if w := serve(&client{}, http.MethodPost, path, form); w.Code != 400 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := serve(&client{}, http.MethodPost, "/keys", url.Values{"name": {strings.Repeat("x", maxForm)}}); w.Code != 400 {
		t.Errorf("a form without end: %d", w.Code)
	}
	if w := serve(&client{err: status.Error(codes.ResourceExhausted, "wait a moment")}, http.MethodGet, "/", nil); w.Code != 429 || !strings.Contains(w.Body.String(), "wait a moment") {
		t.Errorf("a refusal: %d %s", w.Code, w.Body)
	}
	if w := serve(&client{}, http.MethodGet, "/login/sso", nil); w.Code != 404 || !strings.Contains(w.Body.String(), "no ledger") {
		t.Errorf("without a database: %d %s", w.Code, w.Body)
	}
}

func TestAmounts(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 5: "5", 0.25: "0.25", 1234567: "1,234,567", 999.5: "999.50", 1000: "1,000", -1234.5: "-1,234.50"} {
		if got := showAmount(x); got != want {
			t.Errorf("%v: %s, want %s", x, got, want)
		}
	}
	if percent(1, 4) != 25 || percent(9, 4) != 100 || percent(1, 0) != 0 || percent(-1, 4) != 0 {
		t.Error("percent")
	}
}
