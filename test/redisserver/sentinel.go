package redisserver

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Sentinel watches a primary with one replica, which it promotes when the primary is gone for 300 ms.
type Sentinel struct {
	Addr    string // host:port of the sentinel
	Master  string // the name by which it knows the primary
	Primary *Server
	Replica *Server
}

// StartSentinel starts the three on loopback, the replica in sync. They end with the test.
func StartSentinel(t testing.TB) *Sentinel {
	t.Helper()
	quick := []string{"--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}
	s := &Sentinel{Master: "dragoman", Primary: Start(t, quick...)}
	_, port, _ := net.SplitHostPort(s.Primary.Addr)
	s.Replica = Start(t, append(quick, "--replicaof", "127.0.0.1 "+port)...)
	await(t, "the replica to be in sync", func() bool { return strings.Contains(s.Replica.ask("INFO replication"), "master_link_status:up") })
	s.Addr = sentinel(t, s.Master, port)
	await(t, "the sentinel to know the replica", func() bool {
		return strings.Contains((&Server{Addr: s.Addr}).ask("INFO sentinel"), "slaves=1")
	})
	return s
}

// sentinel starts one, which keeps its state in its configuration file.
func sentinel(t testing.TB, master, port string) string {
	t.Helper()
	binary, err := find()
	if err != nil {
		t.Fatal(err)
	}
	addr, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	_, own, _ := net.SplitHostPort(addr)
	file := filepath.Join(t.TempDir(), "sentinel.conf")
	text := fmt.Sprintf("port %s\nbind 127.0.0.1\nsentinel monitor %[2]s 127.0.0.1 %[3]s 1\nsentinel down-after-milliseconds %[2]s 300\nsentinel failover-timeout %[2]s 3000\n", own, master, port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, file, "--sentinel")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return addr
}

// ask is what the server answers to a command, "" while it does not.
func (s *Server) ask(command string) string {
	c, err := net.DialTimeout("tcp", s.Addr, time.Second)
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := fmt.Fprint(c, command+"\r\n"); err != nil {
		return ""
	}
	var size int
	r := bufio.NewReader(c)
	if _, err := fmt.Fscanf(r, "$%d\r\n", &size); err != nil || size > 1<<20 {
		return ""
	}
	text := make([]byte, size)
	for n := 0; n < size; {
		k, err := r.Read(text[n:])
		if err != nil {
			return ""
		}
		n += k
	}
	return string(text)
}

func await(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("redisserver: waited in vain for %s", what)
		}
	}
}
