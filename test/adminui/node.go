package adminui

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

// scripts is where `make adminui` puts the programs and what they need.
func scripts(t testing.TB) string {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(file), "..", "..", ".tools", "adminui")
	if _, err := os.Stat(filepath.Join(dir, ".done")); err != nil {
		t.Fatalf("adminui: run make adminui: %v", err)
	}
	return dir
}

// Provider is a running OpenID provider.
type Provider struct {
	Issuer string
	in     io.Writer
	out    *bufio.Reader
}

// StartProvider starts one that ends with the test. settings are those of provider.mjs.
func StartProvider(t testing.TB, settings map[string]any) *Provider {
	t.Helper()
	p := &Provider{}
	p.in, p.out = node(t, "provider.mjs", settings)
	var said struct{ Issuer string }
	p.read(t, &said)
	p.Issuer = said.Issuer
	return p
}

// Rotate makes it sign by another key, and forget the one before.
func (p *Provider) Rotate(t testing.TB) {
	t.Helper()
	fmt.Fprintln(p.in, "rotate")
	var said struct{ Rotated bool }
	p.read(t, &said)
}

func (p *Provider) read(t testing.TB, into any) {
	t.Helper()
	for {
		line, err := p.out.ReadBytes('\n')
		if err != nil {
			t.Fatalf("adminui: the provider has ended: %v", err)
		}
		if line[0] == '{' {
			if err := json.Unmarshal(line, into); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// node starts a program that is told its task by one line.
func node(t testing.TB, script string, task any) (io.Writer, *bufio.Reader) {
	t.Helper()
	cmd := exec.Command("node", "--preserve-symlinks", "--preserve-symlinks-main", script)
	cmd.Dir = scripts(t)
	cmd.Env = append(os.Environ(), "NO_PROXY=*", "no_proxy=*", "NODE_ENV=production")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	cmd.WaitDelay = 5 * time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		timer := time.AfterFunc(5*time.Second, func() { _ = cmd.Process.Kill() })
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait()
		timer.Stop()
		if t.Failed() {
			t.Logf("%s says:\n%s", script, complaints.String())
		}
	})
	line, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(in, "%s\n", line)
	return in, bufio.NewReader(out)
}

// Seen is what page.mjs has seen: a result for each step.
type Seen struct {
	Steps   []any
	Console []string
	Failed  []string
	Error   string
}

// Browse drives a Chromium through steps of page.mjs.
func Browse(t testing.TB, task map[string]any) *Seen {
	t.Helper()
	task["chromium"] = os.Getenv("DRAGOMAN_CHROMIUM")
	if task["chromium"] == "" {
		task["chromium"] = "/usr/bin/chromium"
	}
	_, out := node(t, "page.mjs", task)
	seen := &Seen{}
	line, err := out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, seen)
	}
	if err != nil {
		t.Fatalf("adminui: the browser has ended: %v", err)
	}
	if seen.Error != "" {
		t.Fatalf("adminui: %s\n%v", seen.Error, seen.Console)
	}
	return seen
}

// FreePort is a port of loopback that was free a moment ago.
func FreePort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
