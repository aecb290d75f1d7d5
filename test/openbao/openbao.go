// Package openbao runs a real OpenBao for a test, which can be stopped, frozen, sealed and started again. It speaks HashiCorp Vault's API:
// OpenBao is the fork of Vault's last open-source version.
package openbao

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/test/freeze"
)

// Root is the token that may do everything.
const Root = "root-of-the-test"

// Server is a running OpenBao that keeps all in memory, on loopback, with a KV engine of version 2 at secret. Its methods are not safe for
// concurrent use.
type Server struct {
	URL  string // http://127.0.0.1:port, the same after a restart
	addr string
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
	key  string // unseals it
}

// Start starts an OpenBao that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	var err error
	for range 5 { // a free port may be taken by the time it is used
		s := &Server{dir: t.TempDir()}
		if s.addr, err = freeAddress(); err != nil {
			t.Fatal(err)
		}
		s.URL = "http://" + s.addr
		if err = s.Restart(); err == nil {
			t.Cleanup(s.Stop)
			return s
		}
	}
	t.Fatal(err)
	return nil
}

// Restart starts it again, empty, after Stop.
func (s *Server) Restart() error {
	binary, err := find()
	if err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(s.dir, "openbao.log"))
	if err != nil {
		return err
	}
	cmd := exec.Command(binary, "server", "-dev", "-dev-no-store-token", "-dev-root-token-id="+Root, "-dev-listen-address="+s.addr, "-log-level=warn")
	cmd.Env = []string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	s.cmd, s.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		_ = cmd.Wait()
		log.Close()
		close(done)
	}(s.done)
	return s.wait()
}

// wait returns when the server is ready to be used: its KV engine is mounted a moment after it listens.
func (s *Server) wait() error {
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.done:
			return errors.New("openbao: it has ended at once")
		default:
		}
		if _, err := s.Do(http.MethodPost, "secret/data/ready", map[string]any{"data": map[string]string{}}); err == nil {
			return s.readKey()
		}
	}
	s.Stop()
	return errors.New("openbao: it does not answer")
}

// readKey finds the key that unseals it in what it printed.
func (s *Server) readKey() error {
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(filepath.Join(s.dir, "openbao.log"))
		if err != nil {
			return err
		}
		if _, rest, ok := strings.Cut(string(text), "Unseal Key: "); ok {
			if key, _, ok := strings.Cut(rest, "\n"); ok {
				s.key = strings.TrimSpace(key)
				return nil
			}
		}
	}
	return errors.New("openbao: it does not say what unseals it")
}

// Seal makes it answer nothing but that it is sealed, until Unseal.
func (s *Server) Seal(t testing.TB) { s.Must(t, http.MethodPost, "sys/seal", nil) }

// Unseal makes it serve again what it had.
func (s *Server) Unseal(t testing.TB) {
	s.Must(t, http.MethodPost, "sys/unseal", map[string]string{"key": s.key})
}

// Stop ends it at once, as a crash would. It does nothing when it has ended.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Kill()
	<-s.done
	s.cmd = nil
}

// Freeze stops it as a machine without processor time would: connections stay open, and nothing answers.
func (s *Server) Freeze() error { return freeze.Process(s.cmd.Process.Pid) }

// Thaw lets it go on after Freeze.
func (s *Server) Thaw() error { return freeze.Thaw(s.cmd.Process.Pid) }

// Put writes a new version of a secret at secret/PATH.
func (s *Server) Put(t testing.TB, path string, fields map[string]any) {
	t.Helper()
	s.Must(t, http.MethodPost, "secret/data/"+path, map[string]any{"data": fields})
}

// Must is Do for what must work.
func (s *Server) Must(t testing.TB, method, path string, in any) map[string]any {
	t.Helper()
	out, err := s.Do(method, path, in)
	if err != nil {
		t.Fatalf("openbao: %s %s: %v", method, path, err)
	}
	return out
}

// Do sends a request of its API as root. The path is below /v1/; NAMESPACE: before it says in which namespace.
func (s *Server) Do(method, path string, in any) (map[string]any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	namespace, api, ok := strings.Cut(path, ":")
	if !ok {
		namespace, api = "", path
	}
	req, err := http.NewRequestWithContext(ctx, method, s.URL+"/v1/"+api, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Token", Root)
	req.Header.Set("X-Vault-Request", "true")
	if namespace != "" {
		req.Header.Set("X-Vault-Namespace", namespace)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode > 299 {
		return nil, fmt.Errorf("%d: %s", resp.StatusCode, text)
	}
	out := map[string]any{}
	if len(text) > 0 {
		err = json.Unmarshal(text, &out)
	}
	return out, err
}

// client leaves no connection behind, which a test that counts goroutines would find.
var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// find looks for the binary that `make openbao` fetches.
func find() (string, error) {
	if path := os.Getenv("DRAGOMAN_OPENBAO"); path != "" {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".tools", "openbao", "bao")
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", errors.New("openbao: there is no bao: run make openbao, or set DRAGOMAN_OPENBAO")
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
