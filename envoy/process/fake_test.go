package process_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dragoman/envoy/process"
	"dragoman/internal/wiring"
)

// behave names the environment variable that makes this test program behave as an Envoy would, so that what is started, watched and killed is
// a real process.
const behave = "DRAGOMAN_TEST_FAKE_ENVOY"

func TestMain(m *testing.M) {
	switch mode := os.Getenv(behave); mode {
	case "":
		os.Exit(m.Run())
	case "parent":
		fakeParent()
	default:
		fakeEnvoy(mode)
	}
}

// fake makes the next Start run this program in a mode, and returns its path.
func fake(t *testing.T, mode string) string {
	t.Helper()
	t.Setenv(behave, mode)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

func fakeEnvoy(mode string) {
	if len(os.Args) > 1 && os.Args[1] == "--version" {
		fmt.Println(fakeVersion(mode))
		return
	}
	switch mode {
	case "dies":
		fmt.Fprintln(os.Stderr, "[critical] cannot bind: permission denied")
		os.Exit(3)
	case "noisy":
		for range 2000 {
			fmt.Println(strings.Repeat("n", 1000))
		}
		fmt.Print("without an end")
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	if mode != "mute" {
		fakeAdmin(mode)
	}
	<-term
	if mode == "deaf" {
		select {}
	}
	fmt.Println("terminated")
}

func fakeVersion(mode string) string {
	switch mode {
	case "old":
		return "envoy  version: 0123456789abcdef/1.39.2/Clean/RELEASE/BoringSSL"
	case "next":
		return "envoy  version: 0123456789abcdef/2.0.1-dev/Clean/RELEASE/BoringSSL"
	case "alien":
		return "nginx/1.29.1"
	}
	return "envoy  version: 0123456789abcdef/1.40.0/Clean/RELEASE/BoringSSL"
}

// fakeAdmin serves what the supervisor asks for. Two requests are under way in mode "busy", of which none ends before the drain,
// and all do half a second after; in mode "stuck" they never end.
func fakeAdmin(mode string) {
	var drained atomic.Int64
	active := func() int {
		at := drained.Load()
		if mode == "stuck" || mode == "busy" && (at == 0 || time.Since(time.Unix(0, at)) < 500*time.Millisecond) {
			return 2
		}
		return 0
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ready", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "initialising" {
			http.Error(w, "PRE_INITIALIZING", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("/listeners", func(w http.ResponseWriter, _ *http.Request) {
		if mode == "bare" {
			fmt.Fprint(w, `{}`)
			return
		}
		fmt.Fprintf(w, `{"listener_statuses":[{"name":%q,"local_address":{"socket_address":{"address":"127.0.0.1","port_value":4711}}}]}`, wiring.Listener)
	})
	mux.HandleFunc("/stats", func(w http.ResponseWriter, req *http.Request) {
		if strings.Contains(req.URL.Query().Get("filter"), "rq_active") {
			fmt.Fprintf(w, "http.%s.downstream_rq_active: %d\n", wiring.StatPrefix, active())
		}
	})
	mux.HandleFunc("POST /healthcheck/fail", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /drain_listeners", func(http.ResponseWriter, *http.Request) { drained.Store(time.Now().UnixNano()) })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(l, mux)
	for i, arg := range os.Args {
		if arg == "--admin-address-path" {
			if err := os.WriteFile(os.Args[i+1], []byte(l.Addr().String()), 0o600); err != nil {
				panic(err)
			}
		}
	}
}

// fakeParent starts a fake Envoy, prints its process id, and waits to be killed.
func fakeParent() {
	os.Setenv(behave, "good")
	exe, _ := os.Executable()
	p, err := process.Start(context.Background(), process.Options{Binary: exe})
	if err != nil {
		panic(err)
	}
	fmt.Println(p.PID(), p.Dir)
	select {}
}
