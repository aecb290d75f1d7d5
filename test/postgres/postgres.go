// Package postgres runs a real PostgreSQL for a test, which can be stopped, killed, frozen and started again.
package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"dragoman/test/freeze"
)

// Server is a running PostgreSQL on loopback. Its methods are not safe for concurrent use.
type Server struct {
	port string
	dir  string
	bin  string
	as   *syscall.Credential // nil: as ourselves
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
}

// Start starts a PostgreSQL that ends with the test. It fails the test when there is none: `make postgres` installs it.
func Start(t testing.TB) *Server {
	t.Helper()
	// Not t.TempDir: its folders are the test's user's alone, and the server runs as another.
	dir, err := os.MkdirTemp("", "dragoman-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := New(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// New makes a cluster in dir and starts it. The caller must Stop it.
func New(dir string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, bin: bin}
	if os.Getuid() == 0 { // the server refuses to run as root
		if s.as, err = nobody(); err != nil {
			return nil, err
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			return nil, err
		}
	}
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	if s.as != nil {
		if err := os.Chown(data, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return nil, err
		}
	}
	init := s.command("initdb", "-D", data, "-U", "dragoman", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
	if out, err := init.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("postgres: initdb: %w: %s", err, out)
	}
	for range 5 { // a free port may be taken by the time it is used
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
		if err = s.Restart(); err == nil {
			return s, nil
		}
	}
	return nil, err
}

func (s *Server) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "HOME=/"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return cmd
}

// Restart starts it with the data that it had, after Stop.
func (s *Server) Restart() error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	cmd := s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-h", "127.0.0.1", "-p", s.port, "-c", "unix_socket_directories=",
		"-c", "fsync=off", "-c", "max_connections=40", "-c", "shared_buffers=32MB")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		log.Close()
		return err
	}
	s.cmd, s.log, s.done = cmd, log, make(chan struct{})
	go func(done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(s.done)
	return s.wait()
}

// wait returns when the server answers a query.
func (s *Server) wait() error {
	db, err := sql.Open("pgx", s.DSN())
	if err != nil {
		return err
	}
	defer db.Close()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.done:
			return errors.New("postgres: it has ended at once: " + s.tail())
		default:
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err := db.PingContext(ctx)
		cancel()
		if err == nil {
			return nil
		}
	}
	s.Stop()
	return errors.New("postgres: it does not answer: " + s.tail())
}

func (s *Server) tail() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b[max(0, len(b)-2000):])
}

// DSN is how to connect to it.
func (s *Server) DSN() string {
	return "postgres://dragoman@127.0.0.1:" + s.port + "/postgres?sslmode=disable"
}

// databases numbers them.
var databases struct {
	mu sync.Mutex
	n  int
}

// Database makes an empty database and says how to connect to it.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	databases.mu.Lock()
	databases.n++
	name := "d" + strconv.Itoa(databases.n)
	databases.mu.Unlock()
	db, err := sql.Open("pgx", s.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return "postgres://dragoman@127.0.0.1:" + s.port + "/" + name + "?sslmode=disable"
}

// Stop ends it at once, connections and all. It does nothing when it has ended.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT) // "immediate shutdown": as a crash, but that its children end too
	select {
	case <-s.done:
	case <-time.After(20 * time.Second):
		_ = s.each(func(pid int) error { return syscall.Kill(pid, syscall.SIGKILL) })
		<-s.done
	}
	s.cmd = nil
	_ = s.log.Close()
}

// Freeze stops every process of it, as a machine without processor time would: connections stay open, and nothing answers.
func (s *Server) Freeze() error { return s.each(freeze.Process) }

// Thaw lets it go on after Freeze.
func (s *Server) Thaw() error { return s.each(freeze.Thaw) }

// each tells the server and its children, each of which has a session of its own.
func (s *Server) each(tell func(pid int) error) error {
	parent := s.cmd.Process.Pid
	if err := tell(parent); err != nil {
		return err
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		// "pid (name) state ppid …"; a name may hold anything but the last closing parenthesis.
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
				_ = tell(pid)
			}
		}
	}
	return err
}

// find looks for the server's programs: $DRAGOMAN_POSTGRES, else the newest that Debian's package installed.
func find() (string, error) {
	if dir := os.Getenv("DRAGOMAN_POSTGRES"); dir != "" {
		return dir, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if len(found) == 0 {
		return "", errors.New("postgres: there is no PostgreSQL: run make postgres, or set DRAGOMAN_POSTGRES to the folder that holds postgres and initdb")
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		return n
	}
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	return filepath.Dir(found[0]), nil
}

// nobody is a user without rights: postgres, where its package made that one, else nobody.
func nobody() (*syscall.Credential, error) {
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("postgres: it refuses to run as root, and there is neither a user postgres nor nobody")
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}
