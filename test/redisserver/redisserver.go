// Package redisserver runs a real Redis for a test, which can be stopped, frozen and started again.
package redisserver

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/test/freeze"
)

// Server is a running Redis without persistence, on loopback. Its methods are not safe for concurrent use.
type Server struct {
	Addr string // host:port, the same after a restart
	args []string
	dir  string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start starts a Redis that ends with the test. args are added to its command line (--requirepass, PASSWORD).
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s, err := New(t.TempDir(), args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// New starts a Redis in dir. The caller must Stop it.
func New(dir string, args ...string) (*Server, error) {
	var err error
	for range 5 { // a free port may be taken by the time it is used
		s := &Server{args: args, dir: dir}
		if s.Addr, err = freeAddress(); err != nil {
			return nil, err
		}
		if err = s.Restart(); err == nil {
			return s, nil
		}
	}
	return nil, err
}

// Restart starts it again, empty, after Stop.
func (s *Server) Restart() error {
	binary, err := find()
	if err != nil {
		return err
	}
	_, port, _ := net.SplitHostPort(s.Addr)
	args := append([]string{"--bind", "127.0.0.1", "--port", port, "--save", "", "--appendonly", "no", "--daemonize", "no",
		"--loglevel", "warning", "--dir", s.dir}, s.args...)
	cmd := exec.Command(binary, args...)
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.done = cmd, make(chan struct{})
	go func(done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.done)
	return s.wait()
}

// wait returns when the server answers.
func (s *Server) wait() error {
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		select {
		case <-s.done:
			return errors.New("redisserver: it has ended at once")
		default:
		}
		if s.answers() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Stop()
	return errors.New("redisserver: it does not answer")
}

func (s *Server) answers() bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.Addr)
	if err != nil {
		return false
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprint(c, "PING\r\n"); err != nil {
		return false
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	return err == nil && (strings.HasPrefix(line, "+PONG") || strings.HasPrefix(line, "-NOAUTH"))
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

// PID is its process, 0 after Stop.
func (s *Server) PID() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Freeze stops it as a machine without processor time would: connections stay open, and nothing answers.
func (s *Server) Freeze() error { return freeze.Process(s.cmd.Process.Pid) }

// Thaw lets it go on after Freeze.
func (s *Server) Thaw() error { return freeze.Thaw(s.cmd.Process.Pid) }

// find looks for the server that `make redis` fetches.
func find() (string, error) {
	if path := os.Getenv("DRAGOMAN_REDIS"); path != "" {
		return path, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		path := filepath.Join(dir, ".tools", "redis", "redis-server")
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path, nil
		}
	}
	return "", errors.New("redisserver: there is no redis-server: run make redis, or set DRAGOMAN_REDIS")
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}
