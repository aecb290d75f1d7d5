package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	alsv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc"

	"dragoman/envoy/bootstrap"
	"dragoman/envoy/process"
	"dragoman/internal/config"
	"dragoman/xds"
	"dragoman/xds/server"
)

// rig is a real Envoy with a real xDS server and a stub processor.
type rig struct {
	t      *testing.T
	stub   *stub
	server *server.Server
	envoy  *process.Process
	url    string
	grpc   *grpc.Server
	sock   string
	events *events
	snap   *config.Snapshot
	pushed *xds.Resources
}

type events struct {
	mu  sync.Mutex
	all []server.Event
}

func (e *events) add(ev server.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
}

// compile reads a configuration; secrets come from env.
func compile(t *testing.T, yaml string) *config.Snapshot {
	t.Helper()
	f, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	s, err := config.Compile(f, config.Options{Env: env, Now: func() time.Time { return time.Unix(0, 0) }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// env holds canaries that must reach their own provider and nobody else.
func env(name string) (string, bool) {
	if strings.HasPrefix(name, "KEY_") {
		return "sk-canary-" + strings.ToLower(strings.TrimPrefix(name, "KEY_")), true
	}
	return "", false
}

func newRig(t *testing.T, s *config.Snapshot) *rig {
	t.Helper()
	return newRigWith(t, s, xds.Params{SystemRoots: xds.SystemRoots()})
}

func newRigWith(t *testing.T, s *config.Snapshot, p xds.Params) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, stub: &stub{}, events: &events{}, snap: s, sock: filepath.Join(dir, "d.sock")}
	r.stub.request = func(map[string]string) plan { return plan{} }
	r.stub.attempt = func(string, int) plan { return plan{} }
	r.server = server.New(server.Options{Log: slog.New(slog.NewTextHandler(testLog{t}, nil)), Report: r.events.add})
	r.serve()
	r.setWith(s, p)
	boot, err := bootstrap.Render(bootstrap.Params{Processor: "unix://" + r.sock})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	level := os.Getenv("ENVOY_LOG")
	r.envoy, err = process.Start(ctx, process.Options{Bootstrap: boot, Dir: filepath.Join(dir, "envoy"), Concurrency: 1, LogLevel: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	if err := r.envoy.WaitReady(ctx); err != nil {
		t.Fatalf("%v\n%v\n%s", err, r.events.all, r.envoy.Tail())
	}
	if err := r.server.WaitApplied(ctx); err != nil {
		t.Fatal(err)
	}
	if err := r.envoy.WaitWarm(ctx); err != nil {
		t.Fatal(err)
	}
	address, err := r.envoy.Listener(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.url = "http://" + address
	return r
}

func (r *rig) serve() {
	os.Remove(r.sock)
	l, err := net.Listen("unix", r.sock)
	if err != nil {
		r.t.Fatal(err)
	}
	r.grpc = grpc.NewServer(grpc.MaxRecvMsgSize(64 << 20))
	extprocv3.RegisterExternalProcessorServer(r.grpc, r.stub)
	alsv3.RegisterAccessLogServiceServer(r.grpc, logs{r.stub})
	r.server.Register(r.grpc)
	go r.grpc.Serve(l)
}

func (r *rig) set(s *config.Snapshot, w xds.Weights, previous ...*config.Snapshot) {
	r.t.Helper()
	res, err := xds.Build(s, w, xds.Params{SystemRoots: xds.SystemRoots(), Previous: previous})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.server.Set(res); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) setWith(s *config.Snapshot, p xds.Params) {
	r.t.Helper()
	res, err := xds.Build(s, xds.FullWeights{}, p)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.server.Set(res); err != nil {
		r.t.Fatal(err)
	}
	r.pushed = res
}

// clusterVersion is of the clusters that were pushed last.
func (r *rig) clusterVersion() string { return xds.Hash(r.pushed.Clusters) }

func (r *rig) close() {
	if r.t.Failed() {
		r.t.Logf("Envoy's log ends:\n%s", r.envoy.Tail())
	}
	r.envoy.Stop(context.Background(), 0)
	r.grpc.Stop()
	r.server.Close()
}

// post sends a request as a client would, and returns status, headers and body.
func (r *rig) post(path, body string, headers ...string) (*http.Response, string, error) {
	req, err := http.NewRequest(http.MethodPost, r.url+path, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Helper()
	l.t.Log(strings.TrimSpace(string(b)))
	return len(b), nil
}

// upstream is a provider that keeps what it received.
type upstream struct {
	*httptest.Server
	mu       sync.Mutex
	handle   http.HandlerFunc
	received []received
}

type received struct {
	path   string
	uri    string // as it was sent, undecoded
	header http.Header
	body   string
}

func newUpstream(t *testing.T, handle http.HandlerFunc) *upstream {
	u := &upstream{handle: handle}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		h := req.Header.Clone()
		h.Set("Host", req.Host)
		u.mu.Lock()
		u.received = append(u.received, received{req.URL.Path, req.RequestURI, h, string(b)})
		handle := u.handle
		u.mu.Unlock()
		handle(w, req)
	}))
	t.Cleanup(u.Close)
	return u
}

// answer changes what the provider does with later requests.
func (u *upstream) answer(handle http.HandlerFunc) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.handle = handle
}

func (u *upstream) seen() []received {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]received(nil), u.received...)
}

func answering(code int, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"status":%d}`, code)
	}
}
