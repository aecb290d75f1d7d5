package process_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"dragoman/envoy/bootstrap"
	"dragoman/envoy/process"
	"dragoman/internal/wiring"
)

// real starts the pinned Envoy as a plain proxy to a provider, with the names that the supervisor looks for.
func real(t *testing.T, provider string) *process.Process {
	t.Helper()
	host, port, _ := strings.Cut(strings.TrimPrefix(provider, "http://"), ":")
	p, err := process.Start(within(t, 20*time.Second), process.Options{Concurrency: 1, Bootstrap: fmt.Appendf(nil, `
admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}
static_resources:
  listeners:
  - name: %s
    address: {socket_address: {address: 127.0.0.1, port_value: 0}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: %s
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, route: {cluster: provider, timeout: 0s}}]}]}
  clusters:
  - name: provider
    load_assignment: {cluster_name: provider, endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: %s, port_value: %s}}}}]}]}
`, wiring.Listener, wiring.StatPrefix, host, port)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(context.Background(), 0) })
	if err := p.WaitReady(within(t, 20*time.Second)); err != nil {
		t.Fatal(err)
	}
	return p
}

// slow streams an event each 100 ms, as many as its path says.
func slow(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var n int
		fmt.Sscanf(req.URL.Path, "/%d", &n)
		for i := range n {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-req.Context().Done():
				return
			}
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// begin opens a stream and returns a function that reads it to its end.
func begin(t *testing.T, p *process.Process, events int) func() (string, error) {
	t.Helper()
	address, err := p.Listener(within(t, 5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(fmt.Sprintf("http://%s/%d", address, events))
	if err != nil {
		t.Fatal(err)
	}
	return func() (string, error) {
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
}

func TestRealEnvoy_drainsStreams(t *testing.T) {
	p := real(t, slow(t).URL)
	read := begin(t, p, 15)
	if n, err := p.Active(within(t, time.Second)); err != nil || n != 1 {
		t.Errorf("%d requests under way (%v), want 1", n, err)
	}
	cut := make(chan int, 1)
	go func() { cut <- p.Stop(context.Background(), 20*time.Second) }()
	if body, err := read(); err != nil || strings.Count(body, "data: ") != 15 {
		t.Errorf("the stream was cut: %q %v", body, err)
	}
	if n := <-cut; n != 0 {
		t.Errorf("%d requests were said to be cut", n)
	}
}

func TestRealEnvoy_cutsWhatOutlastsTheDrain(t *testing.T) {
	p := real(t, slow(t).URL)
	read := begin(t, p, 600)
	began := time.Now()
	if n := p.Stop(context.Background(), 500*time.Millisecond); n != 1 {
		t.Errorf("%d requests were said to be cut, want 1", n)
	}
	if took := time.Since(began); took > 8*time.Second {
		t.Errorf("a drain of 500 ms took %v", took)
	}
	if body, err := read(); err == nil {
		t.Errorf("a cut stream ended cleanly: %q", body)
	}
}

func TestRealEnvoy_dumpsItsConfig(t *testing.T) {
	p := real(t, slow(t).URL)
	if dump, err := p.ConfigDump(within(t, 5*time.Second)); err != nil || !strings.Contains(string(dump), `"provider"`) {
		t.Errorf("%d bytes, %v", len(dump), err)
	}
}

// Without Dragoman there is no configuration, and the error says so; a bootstrap that Envoy does not take is its death.
func TestRealEnvoy_saysWhyItDoesNotServe(t *testing.T) {
	page, err := bootstrap.Render(bootstrap.Params{Processor: "unix://" + t.TempDir() + "/nobody.sock"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.Start(within(t, 20*time.Second), process.Options{Bootstrap: page})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop(context.Background(), 0)
	if err := p.WaitReady(within(t, 2*time.Second)); err == nil || !strings.Contains(err.Error(), "envoy is not ready") {
		t.Errorf("without Dragoman: %v", err)
	}
	broken, err := process.Start(within(t, 20*time.Second), process.Options{Bootstrap: []byte("nonsense: true")})
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Stop(context.Background(), 0)
	if err := broken.WaitReady(within(t, 20*time.Second)); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a broken bootstrap: %v", err)
	}
}
