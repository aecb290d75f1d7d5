package config

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// route is a configuration with one route of this name.
func routeNamed(name string) string {
	return fmt.Sprintf("providers: [{name: p, schema: openai, endpoint: \"http://127.0.0.1:1\", models: [m]}]\nroutes: [{model: %s, candidates: [m]}]\n", name)
}

func openStore(t *testing.T, text string) (*Store, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dragoman.yaml")
	write(t, path, text)
	s, err := Open(Options{Path: path, Env: envOf(bothKeys), Demo: demoAt})
	if err != nil {
		t.Fatal(err)
	}
	return s, path
}

// eventually waits for what a watcher does in its own time.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("did not happen: " + what)
		}
	}
}

// watch runs s.Watch until the test ends.
func watch(t *testing.T, s *Store) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Watch: %v", err)
		}
	})
}

func TestOpenWithoutAGoodConfiguration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dragoman.yaml")
	write(t, path, "nope: 1")
	if s, err := Open(Options{Path: path, Env: noEnv, Demo: demoAt}); s != nil || err == nil || !strings.Contains(err.Error(), "nope: unknown field") {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestReload(t *testing.T) {
	s, path := openStore(t, routeNamed("one"))
	var seen []string
	cancel := s.Subscribe(func(old, current *Snapshot) {
		seen = append(seen, old.Routes[0].Name+">"+current.Routes[0].Name)
	})
	kept := s.Current()
	ctx := context.Background()

	write(t, path, routeNamed("two"))
	if err := s.Reload(ctx); err != nil || s.Current().Route("two") == nil {
		t.Fatalf("got %v", err)
	}
	if kept.Route("one") == nil || kept.Route("two") != nil {
		t.Error("the snapshot that a request keeps has changed")
	}
	write(t, path, "# says the same\n"+routeNamed("two"))
	same := s.Current()
	if err := s.Reload(ctx); err != nil || s.Current() != same {
		t.Errorf("a reload without a change swapped the snapshot, %v", err)
	}

	write(t, path, "routes: 7")
	if err := s.Reload(ctx); err == nil || s.Current() != same {
		t.Errorf("a bad file was taken, %v", err)
	}
	if st := s.Status(); st.Failures != 1 || st.Loads != 3 || st.LastError == nil || st.LastFailed.IsZero() || st.Version != same.Version {
		t.Errorf("status %+v", st)
	}

	write(t, path, routeNamed("three"))
	if err := s.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if st := s.Status(); st.LastError != nil || st.Failures != 1 || st.Loads != 4 || st.Version != s.Current().Version {
		t.Errorf("status %+v", st)
	}
	cancel()
	write(t, path, routeNamed("four"))
	if err := s.Reload(ctx); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(seen, " "); got != "one>two two>three" {
		t.Errorf("subscribers saw %s", got)
	}
}

func TestReloadWithADoneContext(t *testing.T) {
	s, path := openStore(t, routeNamed("one"))
	write(t, path, routeNamed("two"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Reload(ctx); !errors.Is(err, context.Canceled) || s.Current().Route("two") != nil {
		t.Errorf("got %v", err)
	}
}

// A file that is cut to nothing is being written, whatever an empty one means at the start.
func TestReloadOfAnEmptiedFile(t *testing.T) {
	s, path := openStore(t, routeNamed("one"))
	for _, text := range []string{"", "# gone\n"} {
		write(t, path, text)
		if err := s.Reload(context.Background()); err == nil || !strings.Contains(err.Error(), "the file is empty") || s.Current().Route("one") == nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	empty, path := openStore(t, "")
	write(t, path, "# still empty\n")
	if err := empty.Reload(context.Background()); err != nil {
		t.Errorf("what was empty may stay so: %v", err)
	}
}

func TestWatchSeesEveryWayOfWriting(t *testing.T) {
	s, path := openStore(t, routeNamed("one"))
	watch(t, s)
	route := func(name string) func() bool { return func() bool { return s.Current().Route(name) != nil } }

	write(t, path, routeNamed("in-place"))
	eventually(t, "a file written in place", route("in-place"))

	write(t, path+".new", routeNamed("renamed"))
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a file replaced by another", route("renamed"))

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a failure for a removed file", func() bool { return s.Status().LastError != nil })
	if s.Current().Route("renamed") == nil {
		t.Error("the last good one is gone")
	}
	write(t, path, routeNamed("back"))
	eventually(t, "a file that came back", route("back"))

	write(t, path, "routes: 7")
	eventually(t, "a failure", func() bool { return s.Status().LastError != nil })
	write(t, path, routeNamed("mended"))
	eventually(t, "a mended file", route("mended"))
}

// A kubelet mounts config maps as file → ..data/file, ..data → ..<time>, and swaps ..data.
func TestWatchSeesAKubelet(t *testing.T) {
	dir := t.TempDir()
	version := func(name, text string) {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, name, "dragoman.yaml"), text)
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	version("..1", routeNamed("one"))
	link("..1", "..data")
	link("..data/dragoman.yaml", "dragoman.yaml")
	s, err := Open(Options{Path: filepath.Join(dir, "dragoman.yaml"), Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, s)
	version("..2", routeNamed("two"))
	link("..2", "..data_tmp")
	if err := os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a swapped ..data", func() bool { return s.Current().Route("two") != nil })
}

func TestWatchSeesSecretsAndCertificates(t *testing.T) {
	secrets := t.TempDir()
	write(t, filepath.Join(secrets, "key"), "SECRET-1")
	writePair(t, secrets, "a")
	s, _ := openStore(t, fmt.Sprintf(`listen: {tls: {certificate: %[1]s/a.pem, private_key: %[1]s/a.key}}
providers: [{name: p, schema: openai, endpoint: "http://127.0.0.1:1", credentials: [{secret: {file: %[1]s/key}}]}]`, secrets))
	watch(t, s)
	before := s.Current()
	write(t, filepath.Join(secrets, "key"), "SECRET-2\n")
	eventually(t, "a rotated secret", func() bool { return s.Current().Clusters[0].Secret.Reveal() == "SECRET-2" })
	if s.Current().Version == before.Version || s.Current().Clusters[0].Name != before.Clusters[0].Name || before.Clusters[0].Secret.Reveal() != "SECRET-1" {
		t.Error("the version must change, the name and the old snapshot must not")
	}
	certificate := string(s.Current().TLS.Certificate)
	writePair(t, secrets, "a")
	eventually(t, "a rotated certificate", func() bool { return string(s.Current().TLS.Certificate) != certificate })
}

// A change between Open and Watch has no event.
func TestWatchSeesWhatWasChangedBefore(t *testing.T) {
	s, path := openStore(t, routeNamed("one"))
	write(t, path, routeNamed("two"))
	watch(t, s)
	eventually(t, "a change before the watch", func() bool { return s.Current().Route("two") != nil })
}

func TestWatchWithoutAFile(t *testing.T) {
	s, err := Open(Options{Env: envOf(bothKeys)})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, s)
	if s.Status().Source != "environment" {
		t.Errorf("status %+v", s.Status())
	}
}

// Requests, reloads, readers of Status and subscribers at the same time, under the race detector.
func TestStoreIsSafeForConcurrentUse(t *testing.T) {
	s, path := openStore(t, routeNamed("r0"))
	watch(t, s)
	stop := make(chan struct{})
	var readers, writers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				snap := s.Current()
				if r, err := snap.Lookup(Auto); err != nil || len(r.Candidates) != 1 || snap.Routes[0].Candidates[0].Model.Provider != snap.Providers[0] {
					t.Error("a snapshot that does not hang together")
					return
				}
				_ = s.Status().LastError
			}
		})
	}
	for w := range 3 {
		writers.Go(func() {
			for i := range 10 {
				tmp := fmt.Sprintf("%s.%d", path, w)
				text := routeNamed(fmt.Sprintf("r%d-%d", w, i))
				if err := errors.Join(os.WriteFile(tmp, []byte(text), 0o600), os.Rename(tmp, path)); err != nil {
					t.Error(err)
				}
				cancel := s.Subscribe(func(old, current *Snapshot) {
					if old == current || old.Version == current.Version {
						t.Error("no change")
					}
				})
				if err := s.Reload(context.Background()); err != nil {
					t.Error(err)
				}
				cancel()
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}
