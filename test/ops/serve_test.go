package ops

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
)

// ownEnvoy is an Envoy as a user runs it, with the bootstrap that Dragoman prints.
func ownEnvoy(t *testing.T, bootstrap string) {
	t.Helper()
	path := write(t, filepath.Join(t.TempDir(), "envoy.yaml"), bootstrap)
	cmd := exec.Command(built.envoy, "-c", path, "--disable-hot-restart", "--concurrency", "2", "--log-level", "warning")
	log := &output{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Envoy's log:\n%s", log)
		}
	})
}

// served is `dragoman serve` beside a user's own Envoy.
type served struct {
	url, admin string
	args       []string
	env        map[string]string
	p          *program
}

func serve(t *testing.T, env map[string]string) *served {
	t.Helper()
	listen, admin, processor, envoyAdmin := freePort(t), freePort(t), freePort(t), freePort(t)
	s := &served{url: "http://" + listen, admin: "http://" + admin, env: env,
		args: []string{"serve", "--listen", listen, "--admin", admin, "--processor", processor, "--drain", "5s"}}
	s.p = start(t, env, s.args...)
	s.p.says(t, "dragoman bootstrap")
	code, bootstrap, stderr := command(t, env, "", "bootstrap", "--processor", processor, "--envoy-admin", envoyAdmin)
	if code != 0 {
		t.Fatalf("bootstrap: %d %s", code, stderr)
	}
	if strings.Contains(bootstrap, env["OPENAI_API_KEY"]) {
		t.Error("the bootstrap holds a provider's key")
	}
	if r := ask(t, s.admin, "/readyz", ""); r.status != 503 || !strings.Contains(r.body, "no Envoy") {
		t.Errorf("ready without an Envoy: %d %s", r.status, r.body)
	}
	ownEnvoy(t, bootstrap)
	s.resumes(t)
	return s
}

// resumes waits until a request is answered again.
func (s *served) resumes(t *testing.T) {
	t.Helper()
	eventually(t, 15*time.Second, "it does not serve", func() error {
		r := ask(t, s.url, chatPath, question("gpt-4.1-mini", "again"))
		return errors.Join(r.err, wantEqual("status", r.status, 200))
	})
	eventually(t, 5*time.Second, "it is not ready", func() error {
		r := ask(t, s.admin, "/readyz", "")
		return wantEqual("/readyz "+r.body, r.status, 200)
	})
}

// TestOwnEnvoyOutlivesDragoman kills Dragoman beside an Envoy that runs on: what is under way breaks visibly, what comes
// meanwhile is refused in the client's schema, and a new Dragoman serves without a restart of Envoy.
func TestOwnEnvoyOutlivesDragoman(t *testing.T) {
	openai, anthropic := fakes(t)
	s := serve(t, environment(openai, anthropic))
	paced := fakeprovider.Text(strings.Repeat("word ", 100))
	paced.Chunks, paced.Pace = 100, 100*time.Millisecond
	for _, path := range []string{chatPath, messagesPath} {
		openai.Next(paced)
		before := openai.Counters().InFlight
		answer := make(chan reply, 1)
		go func() { answer <- ask(t, s.url, path, streamed(question("gpt-4.1-mini", "long"))) }()
		eventually(t, 5*time.Second, "the stream does not begin", func() error {
			return wantEqual("in flight", openai.Counters().InFlight, before+1)
		})
		time.Sleep(500 * time.Millisecond) // some of its events are with the client
		s.p.signal(t, syscall.SIGKILL)
		s.p.exit(t, 5*time.Second)
		select {
		case r := <-answer:
			ended := strings.Contains(r.body, "[DONE]") || strings.Contains(r.body, "message_stop")
			if ended || (r.err == nil && r.status == 200 && !strings.Contains(r.body, `"error"`)) {
				t.Errorf("%s: a stream that lost its processor ends cleanly: %d %v %s", path, r.status, r.err, r.body)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: a stream that lost its processor hangs", path)
		}
		s.refuses(t)
		s.p = start(t, s.env, s.args...)
		s.resumes(t)
	}
}

// refuses wants a 503 in each client's schema, that says when to come back.
func (s *served) refuses(t *testing.T) {
	t.Helper()
	for path, kind := range map[string]string{chatPath: "error.type", messagesPath: "error.type"} {
		begin := time.Now()
		r := ask(t, s.url, path, question("gpt-4.1-mini", "x"))
		if r.status != 503 || r.header.Get("retry-after") == "" || !strings.HasPrefix(r.header.Get("content-type"), "application/json") {
			t.Errorf("%s without a processor: %d %v %v %s", path, r.status, r.err, r.header, r.body)
		}
		if gjson.Get(r.body, kind).String() == "" || gjson.Get(r.body, "error.message").String() == "" {
			t.Errorf("%s: no error in the client's schema: %s", path, r.body)
		}
		if isAnthropic := gjson.Get(r.body, "type").String() == "error"; isAnthropic != (path == messagesPath) {
			t.Errorf("%s: the other schema: %s", path, r.body)
		}
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%s: refused after %v", path, took)
		}
	}
}

// TestServeDrains ends on SIGTERM once the streams that are under way have ended; the Envoy beside it runs on.
func TestServeDrains(t *testing.T) {
	openai, anthropic := fakes(t)
	s := serve(t, environment(openai, anthropic))
	paced := fakeprovider.Text("one two three four five six seven eight nine ten")
	paced.Chunks, paced.Pace = 10, 100*time.Millisecond
	openai.Next(paced)
	answer := make(chan reply, 1)
	go func() { answer <- ask(t, s.url, chatPath, streamed(question("gpt-4.1-mini", "slow"))) }()
	eventually(t, 5*time.Second, "the stream does not begin", func() error {
		return wantEqual("in flight", openai.Counters().InFlight, 1)
	})
	s.p.signal(t, syscall.SIGTERM)
	eventually(t, 2*time.Second, "it says that it is ready", func() error {
		return wantEqual("/readyz", ask(t, s.admin, "/readyz", "").status, 503)
	})
	wantOK(t, <-answer, "data: [DONE]")
	if code := s.p.exit(t, 5*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestServeOnASocket survives the socket that a killed process left, and takes no file that is none.
func TestServeOnASocket(t *testing.T) {
	dir, err := os.MkdirTemp("", "ops")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	address := "unix://" + filepath.Join(dir, "s")
	args := []string{"serve", "--admin", "127.0.0.1:0", "--processor", address}
	p := start(t, nil, args...)
	p.says(t, "dragoman bootstrap")
	if code, _, stderr := command(t, nil, "", args...); code != 1 || !strings.Contains(stderr, "another process listens") {
		t.Errorf("a second one: %d %s", code, stderr)
	}
	p.signal(t, syscall.SIGKILL)
	p.exit(t, 5*time.Second)
	p = start(t, nil, args...)
	p.says(t, "dragoman bootstrap")
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t, 5*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	precious := write(t, filepath.Join(dir, "precious"), "data")
	code, _, stderr := command(t, nil, "", "serve", "--admin", "127.0.0.1:0", "--processor", "unix://"+precious)
	if code != 1 || !strings.Contains(stderr, "no socket") {
		t.Errorf("a file in the socket's place: %d %s", code, stderr)
	}
	if b, err := os.ReadFile(precious); err != nil || string(b) != "data" {
		t.Errorf("the file is gone: %q %v", b, err)
	}
}
