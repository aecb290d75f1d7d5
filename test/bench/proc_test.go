package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A line of proc(5) with a name chosen to be hard.
const statLine = "4242 (a) R (b c) S 17 4242 1 0 -1 4194560 1200 0 3 0 321 654 7 8 20 0 9 0 98765 123456 789 18446744073709551615 0 0 0 0 0 0 0\n"

func TestParseStat(t *testing.T) {
	got, err := parseStat(statLine)
	if err != nil {
		t.Fatal(err)
	}
	want := procStat{pid: 4242, parent: 17, name: "a) R (b c", user: 321, system: 654, started: 98765}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseStatRefusesWhatIsNone(t *testing.T) {
	for _, line := range []string{
		"", "4242", ") (", "(x) S 1", "x (y) S 17 " + strings.Repeat("1 ", 30),
		"1 (y) S 17 1", "1 (y) S x " + strings.Repeat("1 ", 30),
		"1 (y) S 17 " + strings.Repeat("x ", 30), "1 (y) S 17 " + strings.Repeat("-1 ", 30),
	} {
		if s, err := parseStat(line); err == nil {
			t.Errorf("%q was read as %+v", line, s)
		}
	}
}

func TestStatOfThisProcess(t *testing.T) {
	s, err := statOf("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if s.pid != os.Getpid() || s.parent != os.Getppid() || s.started == 0 {
		t.Errorf("got %+v, want process %d, child of %d", s, os.Getpid(), os.Getppid())
	}
}

func TestChildNamed(t *testing.T) {
	proc := t.TempDir()
	for pid, line := range map[string]string{
		"10": "10 (envoy) S 1" + strings.Repeat(" 0", 40),
		"11": "11 (envoy) S 9" + strings.Repeat(" 0", 40),
		"12": "12 (dragoman) S 9" + strings.Repeat(" 0", 40),
		"13": "nonsense",
	} {
		if err := os.MkdirAll(filepath.Join(proc, pid), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(proc, pid, "stat"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(proc, "self"), 0o700); err != nil {
		t.Fatal(err)
	}
	if s, err := childNamed(proc, 9, "envoy"); err != nil || s.pid != 11 {
		t.Errorf("got process %d, %v; want 11", s.pid, err)
	}
	if s, err := childNamed(proc, 10, "envoy"); err == nil {
		t.Errorf("process %d is taken for a child of 10", s.pid)
	}
	if _, err := childNamed(filepath.Join(proc, "absent"), 9, "envoy"); err == nil {
		t.Error("a /proc that is not there has no error")
	}
}

// The clock of another process must agree with what the kernel accounts to it at its end.
func TestCPUTimeOfAnotherProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; echo; read x`)
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
	if _, err := out.Read(make([]byte, 1)); err != nil { // its work is done, and it waits
		t.Fatal(err)
	}
	used, err := cpuTime(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	in.Close()
	cmd.Wait()
	final := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if diff := (final - used).Abs(); diff > 50*time.Millisecond || used == 0 {
		t.Errorf("the clock says %v, the kernel %v at the end", used, final)
	}
	if _, err := cpuTime(cmd.Process.Pid); err == nil {
		t.Error("a process that has ended has a CPU time")
	}
}
