package process_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"dragoman/envoy/process"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func start(t *testing.T, mode string, o process.Options) *process.Process {
	t.Helper()
	o.Binary = fake(t, mode)
	p, err := process.Start(within(t, 10*time.Second), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop(context.Background(), 0) })
	return p
}

func TestStart_servesFromAPrivateFolder(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	dir := filepath.Join(t.TempDir(), "run")
	p := start(t, "good", process.Options{Dir: dir, Bootstrap: []byte("node: {}"), Concurrency: 3, LogLevel: "info"})
	if err := p.WaitReady(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if p.Version != "1.40.0" {
		t.Errorf("version %q", p.Version)
	}
	if address, err := p.Listener(within(t, time.Second)); err != nil || address != "127.0.0.1:4711" {
		t.Errorf("listener %q %v", address, err)
	}
	if err := p.WaitWarm(within(t, time.Second)); err != nil {
		t.Error(err)
	}
	for path, mode := range map[string]os.FileMode{dir: 0o700, dir + "/envoy.yaml": 0o600, p.LogPath(): 0o600} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v %v, want mode %o", path, st, err, mode)
		}
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.PID()))
	if err == nil {
		for _, want := range []string{"--disable-hot-restart", "--concurrency\x003", "--log-level\x00info"} {
			if !strings.Contains(string(args), want) {
				t.Errorf("arguments %q lack %q", args, want)
			}
		}
	}
	if cut := p.Stop(context.Background(), 5*time.Second); cut != 0 {
		t.Errorf("%d requests cut, there were none", cut)
	}
	if !errors.Is(p.Err(), process.ErrStopped) {
		t.Errorf("the reason of a wanted end: %v", p.Err())
	}
	if b, _ := os.ReadFile(p.LogPath()); !strings.Contains(string(b), "terminated") {
		t.Errorf("the log was not kept: %q", b)
	}
}

func TestStart_temporaryFolderGoesWithIt(t *testing.T) {
	p := start(t, "good", process.Options{})
	dir := p.Dir
	p.Stop(context.Background(), 0)
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	if cut := p.Stop(context.Background(), time.Second); cut != 0 { // once more does no harm
		t.Error(cut)
	}
}

func TestStart_anOldAdminAddressIsForgotten(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "admin-address"), []byte("127.0.0.1:1"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, "good", process.Options{Dir: dir})
	if err := p.WaitReady(within(t, 5*time.Second)); err != nil {
		t.Error(err)
	}
}

func TestProcess_deathIsReportedWithItsReason(t *testing.T) {
	p := start(t, "dies", process.Options{})
	err := p.WaitReady(within(t, 10*time.Second))
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "cannot bind: permission denied") {
		t.Fatalf("WaitReady: %v", err)
	}
	select {
	case <-p.Done():
	case <-time.After(5 * time.Second):
		t.Fatal("Done does not tell of the death")
	}
	if p.Err().Error() != err.Error() {
		t.Errorf("Err: %v", p.Err())
	}
}

func TestProcess_aSignalIsItsReason(t *testing.T) {
	p := start(t, "good", process.Options{})
	if err := p.WaitReady(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	syscall.Kill(p.PID(), syscall.SIGKILL)
	if err := p.Err(); !strings.Contains(err.Error(), "killed") {
		t.Error(err)
	}
}

func TestWaitReady_saysWhatIsLacking(t *testing.T) {
	for mode, want := range map[string]string{
		"mute": "has not opened its admin port", "initialising": "PRE_INITIALIZING", "bare": "no listener for clients",
	} {
		p := start(t, mode, process.Options{})
		if err := p.WaitReady(within(t, 300*time.Millisecond)); err == nil || !strings.Contains(err.Error(), want) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v, want %q", mode, err, want)
		}
	}
}

func TestStop_waitsForRequestsUnderWay(t *testing.T) {
	p := start(t, "busy", process.Options{})
	if err := p.WaitReady(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if cut := p.Stop(context.Background(), 10*time.Second); cut != 0 {
		t.Errorf("%d requests cut", cut)
	}
	if took := time.Since(began); took < 500*time.Millisecond || took > 5*time.Second {
		t.Errorf("the drain took %v, its requests half a second", took)
	}
}

func TestStop_boundsTheDrain(t *testing.T) {
	p := start(t, "stuck", process.Options{})
	if err := p.WaitReady(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if cut := p.Stop(context.Background(), 300*time.Millisecond); cut != 2 {
		t.Errorf("%d requests cut, want 2", cut)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a drain of 300 ms took %v", took)
	}
}

func TestStop_aSecondInterruptEndsTheDrain(t *testing.T) {
	p := start(t, "stuck", process.Options{})
	if err := p.WaitReady(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(200*time.Millisecond, cancel)
	began := time.Now()
	p.Stop(ctx, time.Minute)
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestStop_killsWhatDoesNotListen(t *testing.T) {
	p := start(t, "deaf", process.Options{})
	if err := p.WaitReady(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	p.Stop(context.Background(), 0)
	if !strings.Contains(p.Err().Error(), "killed") {
		t.Error(p.Err())
	}
}

func TestLog_isBounded(t *testing.T) {
	const limit = 64 << 10
	dir := t.TempDir()
	p := start(t, "noisy", process.Options{Dir: dir, LogBytes: limit})
	if err := p.WaitReady(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
	p.Stop(context.Background(), 0)
	for _, name := range []string{"envoy.log", "envoy.log.1"} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Size() > limit {
			t.Errorf("%s: %v %v, want at most %d bytes", name, st, err, limit)
		}
	}
	lines := strings.Split(p.Tail(), "\n")
	if len(lines) > 21 || len(p.Tail()) > 21*501 || !strings.Contains(lines[len(lines)-1], "without an end") {
		t.Errorf("the tail has %d lines and %d bytes, and ends %q", len(lines), len(p.Tail()), lines[len(lines)-1])
	}
}

// However Dragoman dies, Envoy does not stay behind, holding the port.
func TestEnvoyDiesWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // only Linux offers it
	}
	parent := exec.Command(fake(t, "parent"))
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	var dir string
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(line, &pid, &dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	parent.Process.Kill()
	parent.Wait()
	for range 250 {
		if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	syscall.Kill(pid, syscall.SIGKILL)
	t.Fatal("Envoy outlived the program that started it")
}

func TestStart_refusesWhatCannotServe(t *testing.T) {
	for mode, want := range map[string]string{
		"old": "is Envoy 1.39.2; Dragoman needs 1.40 or later", "alien": "is no Envoy",
	} {
		_, err := process.Start(within(t, 10*time.Second), process.Options{Binary: fake(t, mode)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	if v, err := process.Version(within(t, 10*time.Second), fake(t, "next")); err != nil || v != "2.0.1-dev" {
		t.Errorf("a later major version: %q %v", v, err)
	}
	if _, err := process.Start(within(t, time.Second), process.Options{Binary: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("a missing program was started")
	}
}

func TestFind(t *testing.T) {
	program := func(dir string) string {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "envoy")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return path
	}
	root := t.TempDir()
	t.Chdir(root)
	t.Setenv("PATH", root)
	t.Setenv(process.EnvBinary, "")
	if _, err := process.Find(""); err == nil || !strings.Contains(err.Error(), "make envoy") {
		t.Errorf("nothing to find: %v", err)
	}
	onPath := program(root)
	expect := func(what, configured, want string) {
		t.Helper()
		if got, err := process.Find(configured); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", what, got, err, want)
		}
	}
	expect("on $PATH", "", onPath)
	below := filepath.Join(root, "a", "b")
	pinned := program(filepath.Join(root, ".tools", "envoy"))
	if err := os.MkdirAll(below, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(below)
	expect("pinned, above the working folder", "", pinned)
	byEnv := program(filepath.Join(root, "env"))
	t.Setenv(process.EnvBinary, byEnv)
	expect("by the environment", "", byEnv)
	expect("configured", pinned, pinned)
	t.Setenv(process.EnvBinary, filepath.Join(root, "typo"))
	if _, err := process.Find(""); err == nil || !strings.Contains(err.Error(), process.EnvBinary) {
		t.Errorf("a typing error ran another Envoy: %v", err)
	}
	if _, err := process.Find(filepath.Join(root, "typo")); err == nil || !strings.Contains(err.Error(), "envoy.binary") {
		t.Errorf("a typing error ran another Envoy: %v", err)
	}
}
