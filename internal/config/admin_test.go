package config

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const adminProviders = "providers: [{name: local, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\n"

func TestAdmin(t *testing.T) {
	dir := t.TempDir()
	writePair(t, dir, "a")
	write(t, filepath.Join(dir, "secret"), "s3cret\n")
	path := filepath.Join(dir, "c.yaml")
	write(t, path, adminProviders+`
tenants: [{name: acme, teams: [{name: search}], keys: [{name: k, hash: "`+HashKey("k")+`"}]}]
admin:
  address: 0.0.0.0:9000
  url: https://dragoman.example.com/
  session: 1h
  tls: {certificate: a.pem, private_key: a.key}
  tokens:
  - {name: ci, role: operator, tenant: acme, team: search, hash: "`+HashKey("t")+`"}
  logins:
  - name: google
    oidc: {issuer: "https://accounts.google.com", client_id: id, client_secret: {file: secret}, ca: a.pem}
    roles: [{role: admin, emails: [Ada@Example.com]}, {role: viewer, domains: [EXAMPLE.com]}]
  - name: hub
    github: {client_id: id, client_secret: {file: secret}}
    roles: [{role: member, groups: [acme/search], tenant: acme, team: search}]
`)
	s, err := Load(Options{Path: path, Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	a := s.Admin
	if a.Loopback || !a.Guarded() || a.Exposed() != nil || a.URL != "https://dragoman.example.com" || a.Session != time.Hour || a.TLS == nil {
		t.Errorf("%+v", a)
	}
	if want := (RoleGrant{RoleOperator, "acme", "search"}); len(a.Tokens) != 1 || a.Tokens[0].Grant != want {
		t.Errorf("tokens %+v", a.Tokens)
	}
	google, hub := a.Logins[0], a.Logins[1]
	if google.OIDC.ClientSecret.Reveal() != "s3cret" || google.OIDC.CA == nil || google.OIDC.GroupsClaim != "groups" || !slices.Equal(google.OIDC.Scopes, []string{"openid", "email", "profile"}) {
		t.Errorf("oidc %+v", google.OIDC)
	}
	if google.Roles[0].Emails[0] != "ada@example.com" || google.Roles[1].Domains[0] != "example.com" {
		t.Errorf("addresses are the same in any case: %+v", google.Roles)
	}
	if hub.GitHub.URL != "https://github.com" || hub.Roles[0].Grant.String() != "member of acme/search" {
		t.Errorf("github %+v %+v", hub.GitHub, hub.Roles)
	}
	if len(s.Warnings) > 0 {
		t.Errorf("warnings %q", s.Warnings)
	}
}

// TestAdminBeyondLoopback: without anybody who may use it the port must not be opened, which a database may know better.
func TestAdminBeyondLoopback(t *testing.T) {
	for _, c := range []struct{ yaml, exposed string }{
		{"admin: {address: 127.0.0.1:1}", ""},
		{"admin: {address: '[::1]:1'}", ""},
		{"admin: {address: 0.0.0.0:1}", ": admin.address: 0.0.0.0:1 can be reached from other machines: set an admin first, with admin.tokens"},
		{"admin: {address: 10.1.2.3:1}", "dragoman tokens create"},
		{"admin: {address: 0.0.0.0:1, tokens: [{name: t, role: viewer, hash: '" + HashKey("t") + "'}]}", ""},
	} {
		s, err := loadYAML(adminProviders+c.yaml, "")
		if err != nil {
			t.Fatalf("%s: %v", c.yaml, err)
		}
		got := s.Admin.Exposed()
		if (got == nil) != (c.exposed == "") || got != nil && !strings.Contains(got.Error(), c.exposed) {
			t.Errorf("%s: %v", c.yaml, got)
		}
	}
	_, err := loadYAML(adminProviders+"admin: {address: 0.0.0.0:1, logins: [{name: g, oidc: {issuer: 'https://a.example', client_id: x}, roles: [{role: admin, domains: [x.example]}]}]}", "")
	if err == nil || !strings.Contains(err.Error(), "admin.url: is missing") {
		t.Errorf("a login without an address to come back to: %v", err)
	}
}
