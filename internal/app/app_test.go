package app

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
)

func env(pairs ...string) func(string) (string, bool) {
	m := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dragoman.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// serve starts Dragoman alone.
func serve(t *testing.T, o Options) (*App, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	o.Admin, o.Stdout = "127.0.0.1:0", out
	if o.Processor == "" {
		o.Processor = "127.0.0.1:0"
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-a.Ready():
	case err := <-ended:
		t.Fatal(err)
	}
	return a, out
}

func TestServeIsNotReadyWithoutEnvoy(t *testing.T) {
	a, out := serve(t, Options{LookupEnv: env()})
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/status": 200, "/metrics": 200} {
		resp, err := http.Get("http://" + a.AdminAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
	if !strings.Contains(out.String(), "dragoman bootstrap") || !strings.Contains(out.String(), a.AdminAddr()) {
		t.Errorf("it says:\n%s", out)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestReloadWithoutEnvoyIsApplied(t *testing.T) {
	text := "providers: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\n"
	path := file(t, text)
	a, _ := serve(t, Options{ConfigFile: path, LookupEnv: env()})
	first := a.status().Config.Version
	if err := os.WriteFile(path, []byte(text+"cache: {exact: {ttl: 1h}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(5 * time.Second); a.status().Config.Version == first; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is not applied")
		}
	}
	if !a.cache.Load().backend.Enabled() {
		t.Error("the cache is still off")
	}
	if err := os.WriteFile(path, []byte("nonsense: 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := a.Reload(); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a faulty one: %v", err)
	}
	if s := a.status().Config; s.Failures == 0 || s.LastError == "" || s.Version != s.Newest {
		t.Errorf("%+v", s)
	}
}

func TestFlagsWin(t *testing.T) {
	path := file(t, "listen: {address: '127.0.0.1:1'}\nadmin: {address: '127.0.0.1:2'}\nprocessor: {address: '127.0.0.1:3'}\nlog: {level: error}\nproviders: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\n")
	a := &App{o: Options{ConfigFile: path, LookupEnv: env(), Listen: "127.0.0.1:11", Admin: "127.0.0.1:12", Processor: "unix:///tmp/x", LogLevel: "debug"}}
	snap, err := config.Load(a.configOptions())
	if err != nil {
		t.Fatal(err)
	}
	c := snap.Config
	if c.Listen.Address != "127.0.0.1:11" || c.Admin.Address != "127.0.0.1:12" || c.Processor.Address != "unix:///tmp/x" || c.Log.Level != "debug" {
		t.Errorf("%v", c)
	}
	a = &App{o: Options{ConfigFile: path, LookupEnv: env()}, runDir: "/run/x"}
	if snap, err = config.Load(a.configOptions()); err != nil || snap.Config.Processor.Address != "127.0.0.1:3" {
		t.Errorf("the file's own address gives way to the run folder's socket: %v %v", snap.Config.Processor, err)
	}
}

func TestNewLeavesNothingWhenItFails(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if _, err := New(Options{ConfigFile: file(t, "providers: {}\n"), LookupEnv: env(), Envoy: true}); err == nil {
		t.Fatal("it starts")
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

func TestGatewayPort(t *testing.T) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	err = checkGatewayPort(lis.Addr().String())
	if err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("a port in use: %v", err)
	}
	lis.Close()
	if err := checkGatewayPort(lis.Addr().String()); err != nil {
		t.Errorf("a free port: %v", err)
	}
}

func TestBaseURL(t *testing.T) {
	for address, want := range map[string]string{"0.0.0.0:80": "http://localhost:80", "[::]:81": "http://localhost:81", "127.0.0.1:8080": "http://127.0.0.1:8080"} {
		a := &App{gatewayAddr: address}
		if got := a.baseURL(&config.Snapshot{}); got != want {
			t.Errorf("%s: %s", address, got)
		}
		if got := a.baseURL(&config.Snapshot{TLS: &config.ServerTLS{}}); !strings.HasPrefix(got, "https://") {
			t.Errorf("with TLS: %s", got)
		}
	}
}

// TestGrace keeps the clusters of earlier configurations for as long as a request may go by them, and no longer.
func TestGrace(t *testing.T) {
	old, last, now := &config.Snapshot{Version: "old"}, &config.Snapshot{Version: "last"}, &config.Snapshot{Version: "now"}
	a := &App{previous: []retired{{old, time.Now().Add(-time.Second)}, {last, time.Now().Add(time.Hour)}}}
	if list := a.graced(now, last); len(list) != 2 || list[0] != last || list[1] != last {
		t.Errorf("%v", list)
	}
	if len(a.previous) != 1 {
		t.Errorf("%d kept", len(a.previous))
	}
}

func TestTuneRuntime(t *testing.T) {
	gc, memory := debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		debug.SetGCPercent(gc)
		debug.SetMemoryLimit(memory)
	})
	TuneRuntime(env("GOGC", "50", "GOMEMLIMIT", "1GiB"), false)
	if got := debug.SetGCPercent(100); got != 100 {
		t.Errorf("GOGC is overridden: %d", got)
	}
	TuneRuntime(env(), false)
	if got := debug.SetGCPercent(100); got != 400 {
		t.Errorf("GC percent %d", got)
	}
}

func TestPrincipalNamed(t *testing.T) {
	snap, err := config.Load(config.Options{Env: env(), Path: file(t, "providers: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1', models: [m]}]\ntenants: [{name: acme, keys: [{name: ci, hash: '"+
		config.HashKey("a")+"'}], teams: [{name: search, keys: [{name: ci, hash: '"+config.HashKey("b")+"'}]}]}]\n")})
	if err != nil {
		t.Fatal(err)
	}
	for path, team := range map[string]string{"acme/ci": "", "acme/search/ci": "search"} {
		if p, err := principalNamed(Options{}, snap, path); err != nil || p.Team != team {
			t.Errorf("%s: %+v %v", path, p, err)
		}
	}
	for _, path := range []string{"", "acme", "acme/other"} {
		if _, err := principalNamed(Options{}, snap, path); err == nil || !strings.Contains(err.Error(), "acme/search/ci") {
			t.Errorf("%q: %v", path, err)
		}
	}
}
