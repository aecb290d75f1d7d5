// Package harness starts the whole gateway for a test: fake providers, Dragoman (in this process, or as a process that can
// be killed) and a real Envoy, all on free ports. It waits by admin ports, shows logs only when a test fails, and leaves
// nothing behind.
//
// Dragoman runs as `dragoman serve` does and the harness supervises Envoy itself, so that a test can stop either one.
package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/envoy/process"
	"dragoman/test/fakeprovider"
	"dragoman/test/sdk"
)

// Options of one gateway. The zero value is a gateway with the two default fakes.
type Options struct {
	// Fakes are the providers, by Name. Default: one of each schema, named after it.
	Fakes []fakeprovider.Options

	// Config is the YAML of the configuration as a template (text/template): {{providers}} stands for all of Fakes as
	// providers, {{everyone}} for a fake of each of Schemas, {{provider "NAME"}} for one of them, {{endpoint "NAME"}} for its
	// base URL, {{models "NAME"}} for its models as NAME/MODEL in a YAML list, {{keyvar "NAME"}} for the environment variable
	// of its key, {{dir}} for the gateway's folder. A fake that is named by its schema and not there is started. Default:
	// {{providers}}.
	Config string

	Env        map[string]string // seen by Dragoman beside the fakes' keys; nothing else of the real environment is
	Subprocess bool              // run Dragoman as a process of its own, for tests that kill it
	Client     *http.Client      // instead of one that knows nothing of proxies
}

// Gateway is a running gateway. Its fields are set until Close.
type Gateway struct {
	URL   string // base URL for clients, without a path
	Admin string // base URL of Dragoman's admin port
	Dir   string // configuration, logs
	Fakes map[string]*fakeprovider.Server
	HTTP  *http.Client

	opts   Options
	first  []string // names of the fakes that it began with, sorted
	config string   // path of the configuration file
	log    *logBuffer
	envoy  *process.Process

	mu       sync.Mutex // guards what follows
	dragoman dragoman
	closed   bool
}

const (
	startTimeout = 60 * time.Second // the machine may be slow
	envoyWorkers = 2
)

// Start starts a gateway that ends with the test. It fails the test when something does not come up, when a fake has
// received what no correct gateway sends, and when anything is left running.
func Start(t testing.TB, o Options) *Gateway {
	t.Helper()
	leaks := watchLeaks()
	g, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.CheckFakes(t)
		g.explain(t)
		if err := g.Close(); err != nil {
			t.Error(err)
		}
		leaks(t)
	})
	return g
}

// New starts a gateway. The caller must Close it.
func New(ctx context.Context, o Options) (*Gateway, error) {
	dir, err := os.MkdirTemp("", "dragoman-test-")
	if err != nil {
		return nil, err
	}
	g := &Gateway{Dir: dir, Fakes: map[string]*fakeprovider.Server{}, HTTP: o.Client, opts: o, config: filepath.Join(dir, "dragoman.yaml"), log: &logBuffer{}}
	if g.HTTP == nil {
		g.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 2 * time.Minute}
	}
	if err := g.start(ctx); err != nil {
		err = fmt.Errorf("harness: %w\n%s", err, g.tails())
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func (g *Gateway) start(ctx context.Context) error {
	if g.opts.Subprocess {
		if _, err := build(); err != nil { // takes as long as it takes
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := g.startFakes(); err != nil {
		return err
	}
	if err := g.writeConfig(g.opts.Config); err != nil {
		return err
	}
	if err := g.startDragoman(ctx); err != nil {
		return err
	}
	if err := g.startEnvoy(ctx); err != nil {
		return err
	}
	return g.waitServing(ctx)
}

// OpenAI is the fake named openai, nil when there is none.
func (g *Gateway) OpenAI() *fakeprovider.Server { return g.Fakes[string(fakeprovider.OpenAI)] }

// Anthropic is the fake named anthropic, nil when there is none.
func (g *Gateway) Anthropic() *fakeprovider.Server { return g.Fakes[string(fakeprovider.Anthropic)] }

// Target is the gateway as the SDK cases take it. key is the client's credential; an open gateway takes any.
func (g *Gateway) Target(key, model string) sdk.Target {
	return sdk.Target{BaseURL: g.URL, Key: key, Model: model, HTTP: g.HTTP}
}

// ResetFakes forgets what all fakes were told and what they have seen.
func (g *Gateway) ResetFakes() error {
	var errs []error
	for _, f := range g.Fakes {
		errs = append(errs, f.Reset())
	}
	return errors.Join(errs...)
}

// CheckFakes fails the test for whatever a fake has received that no correct gateway sends.
func (g *Gateway) CheckFakes(t testing.TB) {
	t.Helper()
	for name, f := range g.Fakes {
		for _, p := range f.TakeUnexpected() {
			t.Errorf("provider %s received what no gateway may send: %s", name, p)
		}
	}
}

func keyVariable(name string) string {
	return "FAKE_KEY_" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
}

// Close stops everything. What a failed test left to look at stays in Dir.
func (g *Gateway) Close() error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return nil
	}
	g.closed = true
	d := g.dragoman
	g.mu.Unlock()

	g.StopEnvoy()
	var err error
	if d != nil {
		err = d.stop()
	}
	for _, f := range g.Fakes {
		f.Close()
	}
	g.HTTP.CloseIdleConnections()
	if !g.log.kept() {
		err = errors.Join(err, os.RemoveAll(g.Dir))
	}
	return err
}
