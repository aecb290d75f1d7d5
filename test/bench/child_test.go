package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestChildKeepsItsOutput(t *testing.T) {
	c, err := start("talker", t.TempDir(), exec.Command("sh", "-c", "echo one; echo two >&2; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	<-c.done
	if err := c.ended(); err == nil || !strings.Contains(err.Error(), "exit status 3") {
		t.Errorf("ended with %v", err)
	}
	if got := tail(c.log); !strings.Contains(got, "one\ntwo\n") {
		t.Errorf("its log: %q", got)
	}
	c.stop() // of one that has ended: nothing happens
}

func TestChildIsStoppedOnce(t *testing.T) {
	c, err := start("sleeper", t.TempDir(), exec.Command("sleep", "600"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.ended(); err != nil {
		t.Errorf("it runs, but %v", err)
	}
	if _, err := statOf("/proc", c.pid()); err != nil {
		t.Error(err)
	}
	begin := time.Now()
	c.stop()
	c.stop()
	if took := time.Since(begin); took > stopGrace/2 {
		t.Errorf("it took %v to stop", took)
	}
	if _, err := statOf("/proc", c.pid()); err == nil {
		t.Error("it still runs")
	}
}

func TestChildThatCannotStart(t *testing.T) {
	if _, err := start("nobody", t.TempDir(), exec.Command(filepath.Join(t.TempDir(), "absent"))); err == nil {
		t.Error("a program that is not there was started")
	}
	if _, err := start("nobody", filepath.Join(t.TempDir(), "absent"), exec.Command("true")); err == nil {
		t.Error("a program was started without a log")
	}
}

func TestProviderEndsWithItsStarter(t *testing.T) {
	dir := t.TempDir()
	c, at, err := startProvider(dir, "127.0.0.1:0", time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	for i := range cases {
		p := &client{call: cases[i].provider(at.Up), deadline: time.Now().Add(10 * time.Second)}
		if _, err := p.ask(t.Context()); err != nil {
			t.Errorf("%s: %v", cases[i].name, err)
		}
		p.close()
	}
	c.stdin.Close() // as the end of this process would
	select {
	case <-c.done:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on without the one who started it")
	}
	if c.err != nil {
		t.Errorf("it ended with %v\n%s", c.err, tail(c.log))
	}
}

func TestProviderThatCannotListen(t *testing.T) {
	if _, _, err := startProvider(t.TempDir(), "256.0.0.1:1", 0); err == nil || !strings.Contains(err.Error(), "256.0.0.1") {
		t.Errorf("got %v, want its own words", err)
	}
}

func TestTailIsTheEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(path, []byte(strings.Repeat("old\n", 500)+"last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tail(path); !strings.HasSuffix(got, "old\nlast\n") || strings.Count(got, "\n") != logTail+1 {
		t.Errorf("got %q", got)
	}
	if got := tail(path + "absent"); !strings.Contains(got, "absent") {
		t.Errorf("got %q", got)
	}
}
