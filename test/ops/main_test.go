// Package ops tests what an operator does with the gateway, through a real Envoy: start it from the command line, change its
// configuration under load, rotate secrets and certificates, hand out keys with limits, read its status and metrics, and kill
// its parts.
package ops

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragoman/envoy/process"
	"dragoman/test/harness"
)

// built is the program as `make build` makes it, and the Envoy that it is to use.
var built struct{ binary, envoy string }

const builtVersion = "v0.0.0-ops"

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "dragoman-ops-")
	if err == nil {
		err = buildProgram(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := harness.Main(m)
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func buildProgram(dir string) (err error) {
	if built.envoy, err = process.Find(""); err != nil {
		return err
	}
	built.binary = filepath.Join(dir, "dragoman")
	cmd := exec.Command("go", "build", "-ldflags", "-X dragoman/internal/app.Version="+builtVersion, "-o", built.binary, "./cmd/dragoman")
	cmd.Dir = filepath.Join("..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w: %s", err, out)
	}
	return nil
}

// program is the built program, started as a user starts it.
type program struct {
	cmd    *exec.Cmd
	stdout *output
	stderr *output
	ended  chan struct{}
}

// start runs the program in an empty folder, with nothing in its environment but env and the Envoy to use.
func start(t testing.TB, env map[string]string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(built.binary, args...), stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	p.cmd.Dir = t.TempDir()
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), process.EnvBinary + "=" + built.envoy, "TMPDIR=" + t.TempDir(), "STATE_DIRECTORY=" + t.TempDir()}
	for name, value := range env {
		p.cmd.Env = append(p.cmd.Env, name+"="+value)
	}
	p.cmd.Stdout, p.cmd.Stderr = p.stdout, p.stderr
	p.cmd.WaitDelay = 2 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s\nstdout:\n%s\nstderr:\n%s", strings.Join(args, " "), p.stdout, p.stderr)
		}
	})
	return p
}

// exit waits for the program's end and returns its exit code, -1 when a signal ended it.
func (p *program) exit(t testing.TB, within time.Duration) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(within):
		t.Fatalf("it does not end within %v:\n%s\n%s", within, p.stdout, p.stderr)
		return 0
	}
}

func (p *program) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// says waits until the standard output holds text.
func (p *program) says(t testing.TB, text string) {
	t.Helper()
	eventually(t, 20*time.Second, "the program does not say "+text, func() error {
		if strings.Contains(p.stdout.String(), text) {
			return nil
		}
		select {
		case <-p.ended:
			t.Fatalf("it has ended:\n%s\n%s", p.stdout, p.stderr)
		default:
		}
		return errors.New(p.stdout.String())
	})
}

// command runs the program to its end and returns what it printed.
func command(t testing.TB, env map[string]string, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, built.binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), process.EnvBinary + "=" + built.envoy, "STATE_DIRECTORY=" + t.TempDir()}
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// output collects what a process prints.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// freePort is a port that was free a moment ago.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// eventually tries until it succeeds.
func eventually(t testing.TB, within time.Duration, what string, try func() error) {
	t.Helper()
	if err := soon(within, try); err != nil {
		t.Fatalf("%s within %v: %v", what, within, err)
	}
}

// soon tries until it succeeds, and returns the last error when it does not.
func soon(within time.Duration, try func() error) error {
	deadline := time.Now().Add(within)
	for {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// reply is one answer, read to its end.
type reply struct {
	status int
	header http.Header
	body   string
	err    error // of the connection, or of a body that was cut
}

// call sends one request. A body makes it a POST.
type call struct {
	client *http.Client
	url    string
	body   string
	header map[string]string
}

func (c call) do(ctx context.Context) reply {
	method := http.MethodGet
	if c.body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(ctx, method, c.url, strings.NewReader(c.body))
	if err != nil {
		return reply{err: err}
	}
	req.Header.Set("content-type", "application/json")
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	client := c.client
	if client == nil {
		client = direct
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp.StatusCode, resp.Header, string(body), err}
}

// direct knows nothing of proxies, and keeps no connection whose goroutines a leak check would see.
var direct = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}

const (
	chatPath     = "/v1/chat/completions"
	messagesPath = "/v1/messages"
)

// question is a request's body, right in both schemas.
func question(model, text string) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":100,"messages":[{"role":"user","content":%q}]}`, model, text)
}

func streamed(body string) string { return strings.TrimSuffix(body, "}") + `,"stream":true}` }

// ask posts to a gateway.
func ask(t testing.TB, url, path, body string, header ...string) reply {
	t.Helper()
	c := call{url: url + path, body: body, header: map[string]string{}}
	for i := 0; i+1 < len(header); i += 2 {
		c.header[header[i]] = header[i+1]
	}
	return c.do(t.Context())
}

func wantOK(t testing.TB, r reply, contains string) {
	t.Helper()
	if r.err != nil || r.status != http.StatusOK || !strings.Contains(r.body, contains) {
		t.Fatalf("want 200 with %q, got %d %v %s", contains, r.status, r.err, r.body)
	}
}

func write(t testing.TB, path, text string) string {
	t.Helper()
	// Beside and renamed, so that nobody reads a half.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	return path
}
