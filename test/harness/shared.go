package harness

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// sharedUp says that there is one.
var sharedUp atomic.Bool

// shared is the one gateway of a test package.
var shared struct {
	once sync.Once
	g    *Gateway
	err  error
	mu   sync.Mutex // held by the test that uses it
	base string     // its configuration
}

// Shared is a gateway that all tests of a package have in turns, because starting one takes about a second: with the fakes
// reset and config (a template, "" for the default) in force. What Dragoman has learnt (health, cache, limits) stays from
// test to test: one that cannot bear that calls RestartDragoman, or Start. It stays the caller's until the test ends; a second call of
// one test, or of a subtest, would wait for ever. TestMain must call Main.
func Shared(t testing.TB, config string) *Gateway {
	t.Helper()
	shared.mu.Lock()
	t.Cleanup(shared.mu.Unlock)
	shared.once.Do(func() {
		shared.g, shared.err = New(context.Background(), Options{Config: config})
		sharedUp.Store(true)
		shared.base = config
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	g := shared.g
	if err := g.ResetFakes(); err != nil {
		t.Fatal(err)
	}
	if shared.base != config {
		g.MustReload(t, config)
		shared.base = config
	}
	t.Cleanup(func() {
		g.CheckFakes(t)
		g.explain(t)
	})
	return g
}

// Main runs a package's tests, closes the shared gateway, and fails when goroutines are left: for TestMain.
//
//	func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }
func Main(m *testing.M) int {
	check := watchLeaks()
	code := m.Run()
	if shared.g != nil {
		if err := shared.g.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "harness:", err)
			code = max(code, 1)
		}
	}
	removeBinary()
	report := &reporter{}
	check(report)
	if report.failed && code == 0 {
		return 1
	}
	return code
}

// reporter lets the leak check speak where there is no test.
type reporter struct {
	testing.TB
	failed bool
}

// Helper does nothing.
func (*reporter) Helper() {}

// Errorf prints.
func (r *reporter) Errorf(format string, args ...any) {
	r.failed = true
	fmt.Fprintf(os.Stderr, "harness: "+format+"\n", args...)
}
