package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// buildDragoman builds the program as it is in this tree.
func buildDragoman(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dragoman")
	if out, err := exec.Command("go", "build", "-o", path, "dragoman/cmd/dragoman").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// temporary gives the benchmark a folder of its own for what it starts, and says what is left in it.
func temporary(t *testing.T) (left func() []string) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	return func() []string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
}

// childrenOf lists the processes that this one has started and that still run.
func childrenOf(t *testing.T, pid int) []string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		if s, err := parseStat(string(b)); err == nil && s.parent == pid {
			names = append(names, s.name)
		}
	}
	return names
}

// Every case runs through the real Envoy and the real program, for as long as it takes to see that it works.
func TestEveryCase(t *testing.T) {
	dragoman := buildDragoman(t)
	left := temporary(t)
	file := filepath.Join(t.TempDir(), "bench.json")
	var out, errs bytes.Buffer
	code := command(t.Context(), []string{
		"--duration", "200ms", "--warmup", "50ms", "--rounds", "2", "--concurrency", "4", "--pace", "1ms",
		"--dragoman", dragoman, "--json", file,
		// The other gateway is a provider, which answers as one would.
		"--against", fmt.Sprintf("other=http://%s,%d", serveProvider(t, time.Millisecond).Up, os.Getpid()),
	}, &out, &errs)
	if code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", code, out.String(), errs.String())
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(b, &r); err != nil {
		t.Fatal(err)
	}
	for i := range cases {
		for _, target := range []string{targetDirect, targetPlain, "dragoman"} {
			l := r.find(cases[i].name, target)
			if all := cases[i].caller == "" || target == "dragoman"; (l != nil) != all {
				t.Errorf("%s through %s: in the results: %t, want %t", cases[i].name, target, l != nil, all)
			}
			if l == nil {
				continue
			}
			checkLine(t, l)
		}
		if l := r.find(cases[i].name, "other"); (l != nil) != (cases[i].name == "plain" || cases[i].name == "stream" || cases[i].name == "stream-paced") {
			t.Errorf("%s through the other gateway: %+v", cases[i].name, l)
		} else if l != nil {
			checkLine(t, l)
		}
	}
	if !strings.Contains(out.String(), "dragoman: a plain request costs ") || strings.Count(out.String(), "\n") < 4*len(cases) {
		t.Errorf("the table:\n%s", out.String())
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
	if names := childrenOf(t, os.Getpid()); len(names) > 0 {
		t.Errorf("still running: %q", names)
	}
}

// checkLine looks for figures that cannot be.
func checkLine(t *testing.T, l *result) {
	t.Helper()
	processes := map[string][]string{targetDirect: nil, targetPlain: {"envoy"}, "other": {"other"}, "dragoman": {"dragoman", "envoy"}}[l.Target]
	if l.Case == "semantic-hit" && l.Target == "dragoman" {
		processes = append(processes, "embedder")
	}
	if l.Case == caseGovernedRedis || l.Case == caseDeepRedis {
		processes = append(processes, "redis")
	}
	var sum float64
	for _, p := range processes {
		if l.CPU[p] <= 0 {
			t.Errorf("%s through %s: %s used no CPU", l.Case, l.Target, p)
		}
		sum += l.CPU[p]
	}
	if len(l.CPU) != len(processes) || (len(processes) > 0) != (l.CPUTotal > 0) || l.CPUTotal > 2*sum {
		t.Errorf("%s through %s: CPU %v, in all %v", l.Case, l.Target, l.CPU, l.CPUTotal)
	}
	if l.Requests == 0 || l.PerSecond <= 0 || l.P50 <= 0 || l.P99 < l.P50 || l.FirstByte <= 0 || l.FirstByte > l.P99 {
		t.Errorf("%s through %s: %+v", l.Case, l.Target, *l)
	}
	if l.Target == "other" && l.ProviderCPU > 5 {
		t.Errorf("the other gateway's requests cost the run's provider %v µs each", l.ProviderCPU)
	}
	if strings.HasPrefix(l.Case, "cache-") && l.Target == "dragoman" && l.ProviderCPU > 5 {
		t.Errorf("cache hits cost the provider %v µs each", l.ProviderCPU)
	}
}

// syncBuffer may be read while it is written to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestInterruptEndsEverything(t *testing.T) {
	left := temporary(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, errs syncBuffer
	done := make(chan int, 1)
	go func() {
		done <- command(ctx, []string{"--dragoman", "none", "--cases", "^plain$", "--duration", "5m", "--json", ""}, &out, &errs)
	}()
	err := poll(t.Context(), "the first case", func() error { return nil }, func() error {
		if strings.Contains(errs.String(), "round 1 of") {
			return nil
		}
		select {
		case code := <-done:
			done <- code
			t.Fatalf("exit code %d before it was interrupted\n%s", code, errs.String())
		default:
		}
		return context.DeadlineExceeded
	})
	if err != nil {
		t.Fatal(err)
	}
	if names := childrenOf(t, os.Getpid()); !slices.Contains(names, "envoy") {
		t.Errorf("no Envoy among the children %q", names)
	}
	cancel()
	select {
	case code := <-done:
		if code != 1 || !strings.HasSuffix(errs.String(), "bench: interrupted\n") {
			t.Errorf("exit code %d\n%s", code, errs.String())
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it does not end")
	}
	if names := childrenOf(t, os.Getpid()); len(names) > 0 {
		t.Errorf("still running: %q", names)
	}
	if names := left(); len(names) > 0 {
		t.Errorf("left behind: %q", names)
	}
}

// A gateway that does not come up is an error with its log, and nothing stays behind but what explains it.
func TestFailureShowsTheLogs(t *testing.T) {
	left := temporary(t)
	program := filepath.Join(t.TempDir(), "dragoman")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho the reason why >&2\nexit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := command(t.Context(), []string{"--dragoman", program, "--cases", "^plain$", "--json", ""}, &out, &errs)
	for _, s := range []string{"the reason why", "exit status 3", "logs and configurations are kept in"} {
		if code != 1 || !strings.Contains(errs.String(), s) {
			t.Errorf("exit code %d, want 1 and %q in\n%s", code, s, errs.String())
		}
	}
	if names := childrenOf(t, os.Getpid()); len(names) > 0 {
		t.Errorf("still running: %q", names)
	}
	if names := left(); len(names) != 1 {
		t.Errorf("kept: %q", names)
	}
}
