package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hook is an operator's server that answers with the given statuses, then 204.
type hook struct {
	mu       sync.Mutex
	statuses []int
	bodies   []string
	signs    []string
	hold     chan struct{}
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if h.hold != nil {
		<-h.hold
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, string(b))
	h.signs = append(h.signs, r.Header.Get(SignatureHeader))
	status := 204
	if len(h.statuses) > 0 {
		status, h.statuses = h.statuses[0], h.statuses[1:]
	}
	w.WriteHeader(status)
}

// open starts a sender to h; results are what it reports.
func open(t *testing.T, h http.Handler, bend func(*config.Webhook)) (s *Sender, results chan string) {
	t.Helper()
	server := httptest.NewServer(h)
	results = make(chan string, 100)
	c := config.Webhook{URL: server.URL + "/secret-path", Timeout: 2 * time.Second, Retries: 2, Queue: 10, Secret: config.NewSecret("key", "test")}
	if bend != nil {
		bend(&c)
	}
	s = New(Options{Config: c, Pause: time.Millisecond, Report: func(result string, err error) {
		if err != nil && strings.Contains(err.Error(), "secret-path") {
			t.Errorf("the URL is shown: %v", err)
		}
		results <- result
	}})
	t.Cleanup(func() {
		s.Close()
		server.Close()
	})
	return s, results
}

func want(t *testing.T, results chan string, result string) {
	t.Helper()
	select {
	case got := <-results:
		if got != result {
			t.Errorf("%s, want %s", got, result)
		}
	case <-time.After(10 * time.Second):
		t.Fatalf("not %s", result)
	}
}

func TestEventsAreSignedAndTriedAgain(t *testing.T) {
	h := &hook{statuses: []int{503, 429}}
	s, results := open(t, h, nil)
	s.Send(map[string]int{"a": 1})
	want(t, results, "sent")
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.bodies) != 3 || h.bodies[2] != `{"a":1}` {
		t.Errorf("%q", h.bodies)
	}
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(`{"a":1}`))
	if h.signs[0] != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("signature %s", h.signs[0])
	}
}

func TestRefusalsAreFinal(t *testing.T) {
	h := &hook{statuses: []int{400, 500, 500, 500}}
	s, results := open(t, h, func(c *config.Webhook) { c.Secret = config.Secret{} })
	s.Send(1)
	want(t, results, "failed") // a 400 is not tried again
	s.Send(2)
	want(t, results, "failed") // three tries
	s.Send(3)
	want(t, results, "sent")
	h.mu.Lock()
	defer h.mu.Unlock()
	if got := strings.Join(h.bodies, " "); got != "1 2 2 2 3" || h.signs[0] != "" {
		t.Errorf("%s, signature %q", got, h.signs[0])
	}
}

func TestTheQueueIsBounded(t *testing.T) {
	h := &hook{hold: make(chan struct{})}
	s, results := open(t, h, func(c *config.Webhook) { c.Queue = 2 })
	for i := range 10 {
		s.Send(i)
	}
	for range 7 { // one is on its way, or is not yet
		want(t, results, "dropped")
	}
	select {
	case got := <-results:
		if got != "dropped" {
			t.Errorf("%s", got)
		}
	case <-time.After(100 * time.Millisecond):
	}
	close(h.hold)
	want(t, results, "sent")
}

func TestNobodyThere(t *testing.T) {
	s, results := open(t, &hook{}, func(c *config.Webhook) { c.URL, c.Retries = "http://127.0.0.1:1/secret-path", 1 })
	s.Send(1)
	want(t, results, "failed")
	s.Send(func() {})
	want(t, results, "dropped")
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	s, results := open(t, http.RedirectHandler(other.URL, http.StatusTemporaryRedirect), nil)
	s.Send(1)
	want(t, results, "failed")
	if reached {
		t.Error("an event went where nobody wanted it")
	}
}
