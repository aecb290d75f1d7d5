package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dragoman/envoy/process"
	"dragoman/test/harness"
)

// sidecar is an Envoy as a mesh puts it in front of a workload: it ends mutual TLS and appends to x-forwarded-client-cert. %s: the authority's
// folder (thrice), the workload's port.
const sidecar = `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: dragoman
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificates: [{certificate_chain: {filename: %s/server.pem}, private_key: {filename: %s/server.key}}]
            validation_context: {trusted_ca: {filename: %s/ca.pem}}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: inbound
          forward_client_cert_details: APPEND_FORWARD
          set_current_client_cert_details: {subject: true, dns: true, uri: true}
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: workload}}]}]}
          http_filters:
          - {name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: workload
    load_assignment: {cluster_name: workload, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: %s}}}}]}]}
`

// example is a configuration of deploy/examples with free ports, and the fakes for providers.
func example(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "examples", name))
	must(t, err)
	text := regexp.MustCompile(`(?m)^listen:.*\n(  .*\n)*`).ReplaceAllString(string(b), "listen: {address: \"127.0.0.1:0\"}\n")
	return regexp.MustCompile(`(?m)^providers:\n((  .*)?\n)*`).ReplaceAllString(text, "{{providers}}\n")
}

// TestTheMeshExampleBehindASidecar runs deploy/examples/mesh.yaml behind a real proxy.
func TestTheMeshExampleBehindASidecar(t *testing.T) {
	a := newAuthority(t)
	g := harness.Start(t, harness.Options{Config: example(t, "mesh.yaml")})
	u, err := url.Parse(g.URL)
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	proxy, err := process.Start(ctx, process.Options{Bootstrap: []byte(fmt.Sprintf(sidecar, a.dir, a.dir, a.dir, u.Port())), Dir: t.TempDir(), Concurrency: 1})
	must(t, err)
	defer proxy.Stop(context.Background(), 0)
	must(t, proxy.WaitReady(ctx))
	at, err := proxy.Listener(ctx)
	must(t, err)
	ask := func(cert tls.Certificate, header ...string) *answer { return a.askAt("https://"+at, cert, header...) }
	ada := a.issue([]string{"spiffe://cluster.local/ns/search/sa/ada"}, "ada.search.svc", "ada.search.svc.cluster.local")
	if got := ask(ada); got.status != 200 {
		t.Errorf("a workload: %v", got)
	}
	if got := ask(ada, "x-forwarded-client-cert", "URI=spiffe://cluster.local/ns/nobody/sa/root"); got.status != 200 {
		t.Errorf("its own word comes before the proxy's, which counts: %v", got)
	}
	wantCode(t, "the narrow entry", ask(a.issue([]string{"spiffe://cluster.local/ns/search/sa/nightly"})), 403, "model_not_allowed", "")
	wantCode(t, "a namespace of nobody", ask(a.issue([]string{"spiffe://cluster.local/ns/default/sa/x"})), 403, "unknown_caller", "acme/default")
	wantCode(t, "two URIs", ask(a.issue([]string{"spiffe://cluster.local/ns/search/sa/ada", "spiffe://cluster.local/ns/ads/sa/bo"})), 401, "invalid_client_certificate", "")
	// Envoy writes names as they are.
	wantCode(t, "a URI that looks like two", ask(a.issue([]string{"spiffe://else/x;URI=spiffe://cluster.local/ns/search/sa/ada"})), 401, "invalid_client_certificate", "")
	wantCode(t, "a DNS name that looks like a URI", ask(a.issue(nil, `x;URI=spiffe://cluster.local/ns/search/sa/ada`)), 401, "invalid_client_certificate", "")
	wantCode(t, "a DNS name alone", ask(a.issue(nil, "x.example")), 401, "unknown_certificate", "x.example")
	if got := ask(tls.Certificate{}); got.err == nil {
		t.Errorf("without a certificate: %v", got)
	}
}

// TestTheTokenExample runs deploy/examples/jwt.yaml; its first issuer cannot be reached here.
func TestTheTokenExample(t *testing.T) {
	i := newIssuer(t, "https://ci.acme.example")
	text := strings.Replace(example(t, "jwt.yaml"), "tls/ci-jwks.json", keysFile(t, i), 1)
	g := harness.Start(t, harness.Options{Config: text})
	for project, status := range map[string]int{"web": 200, "a/b": 403} {
		a := post(t, g, paths["openai"], body("openai", "gpt-4.1-mini", false), "authorization", "Bearer "+i.token(claims{"aud": "dragoman", "project": project}))
		if a.status != status {
			t.Errorf("%s: %v", project, a)
		}
	}
	wantCode(t, "another model", post(t, g, paths["openai"], body("openai", "gpt-4.1", false), "authorization", "Bearer "+i.token(claims{"aud": "dragoman", "project": "web"})), 403, "model_not_allowed", "")
}
