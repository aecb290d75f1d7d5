package admin

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func get(t *testing.T, h http.Handler, method, path string) (int, http.Header, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w.Code, w.Header(), w.Body.String()
}

func TestHandler(t *testing.T) {
	registry := prometheus.NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "things_total", Help: "Things."})
	registry.MustRegister(counter)
	counter.Inc()
	var ready error
	h := Handler(Options{Registry: registry, Ready: func() error { return ready }, Status: func() any { return map[string]int{"in_flight": 3} }})
	for path, want := range map[string]string{"/metrics": "things_total 1", "/healthz": "ok", "/readyz": "ready", "/status": `"in_flight": 3`, "/": "/readyz"} {
		if code, _, body := get(t, h, http.MethodGet, path); code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if _, header, _ := get(t, h, http.MethodGet, "/status"); header.Get("content-type") != "application/json" {
		t.Errorf("/status: %v", header)
	}
	ready = errors.New("no Envoy is connected")
	if code, _, body := get(t, h, http.MethodGet, "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "no Envoy") {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _, _ := get(t, h, http.MethodGet, "/healthz"); code != http.StatusOK {
		t.Errorf("a process that is not ready is alive: %d", code)
	}
	for path, method := range map[string]string{"/quitquitquit": http.MethodGet, "/debug/pprof/": http.MethodGet, "/status": http.MethodPost} {
		if code, _, _ := get(t, h, method, path); code != http.StatusNotFound && code != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d", method, path, code)
		}
	}
}

func TestServerIsBounded(t *testing.T) {
	s := NewServer(http.NotFoundHandler())
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(lis) }()
	defer s.Close()
	c, err := net.Dial("tcp", lis.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 64<<10)+"\r\n\r\n")
	answer := make([]byte, 20)
	if n, _ := io.ReadFull(c, answer); !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 431") {
		t.Errorf("64 KiB of headers: %q", answer[:n])
	}
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 {
		t.Errorf("a peer may hold a connection for ever: %+v", s)
	}
}
