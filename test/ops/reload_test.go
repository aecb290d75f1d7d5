package ops

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// configPath is where the harness keeps a gateway's configuration.
func configPath(g *harness.Gateway) string { return filepath.Join(g.Dir, "dragoman.yaml") }

// rewrite replaces a gateway's configuration file and tells nobody: Dragoman has to notice.
func rewrite(t testing.TB, g *harness.Gateway, text string) {
	t.Helper()
	yaml, err := g.Render(text)
	if err != nil {
		t.Fatal(err)
	}
	write(t, configPath(g), yaml)
}

// changing is the n-th of many configurations that all serve `always`, openai/gpt-4.1 and claude-haiku-4-5 at anthropic.
func changing(n int) string {
	b := &strings.Builder{}
	b.WriteString("{{providers}}")
	if n%2 == 0 {
		fmt.Fprintf(b, "  - {name: extra%d, schema: openai, endpoint: '{{endpoint \"openai\"}}', credentials: [{secret: {env: FAKE_KEY_OPENAI}}], models: [gpt-4o]}\n", n%6)
	}
	if n%3 == 0 {
		fmt.Fprintf(b, "  - {name: renamed%d, schema: anthropic, endpoint: '{{endpoint \"anthropic\"}}', credentials: [{secret: {env: FAKE_KEY_ANTHROPIC}}], models: [claude-haiku-4-5]}\n", n)
	}
	strategy := []string{"fallback", "weighted", "balanced"}[n%3]
	candidates := []string{"openai/gpt-4.1, anthropic/claude-haiku-4-5", "anthropic/claude-haiku-4-5", "anthropic/claude-haiku-4-5, openai/gpt-4o"}[n%3]
	fmt.Fprintf(b, "routes:\n  - {model: always, strategy: %s, candidates: [%s]}\n  - {model: only%d, strategy: fallback, candidates: [openai/gpt-4.1]}\n", strategy, candidates, n)
	fmt.Fprintf(b, "tenants:\n  - {name: acme, keys: [{name: ci, hash: '%s'}]}\n  - {name: t%d, keys: [{name: ci, hash: '%s'}]}\n",
		config.HashKey("dgm_always"), n, config.HashKey(fmt.Sprintf("dgm_%d", n)))
	return b.String()
}

// TestReloadUnderLoadLosesNothing rewrites the configuration every 300 ms under 32 clients, half of them streaming.
func TestReloadUnderLoadLosesNothing(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: changing(0)})
	ctx, stop := context.WithTimeout(t.Context(), 6*time.Second)
	defer stop()
	var done, failed atomic.Int64
	var clients sync.WaitGroup
	for i := range 32 {
		clients.Go(func() {
			models, paths := []string{"always", "openai/gpt-4.1", "anthropic/claude-haiku-4-5"}, []string{chatPath, messagesPath}
			for n := i; ctx.Err() == nil; n++ {
				body := question(models[n%3], "hello under load")
				want := "echo: hello under load"
				if i%2 == 0 {
					body, want = streamed(body), "load"
				}
				path := paths[n/3%2]
				// A request that has begun is finished, however late it is: no deadline of its own.
				r := call{client: g.HTTP, url: g.URL + path, body: body, header: map[string]string{"authorization": "Bearer dgm_always"}}.do(context.WithoutCancel(ctx))
				whole := i%2 == 1 || strings.Contains(r.body, "[DONE]") || strings.Contains(r.body, "message_stop")
				if r.err != nil || r.status != http.StatusOK || !strings.Contains(r.body, want) || !whole {
					if failed.Add(1) <= 5 {
						t.Errorf("%s %s: %d %v %s", path, models[n%3], r.status, r.err, r.body)
					}
				}
				done.Add(1)
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	versions := map[string]bool{}
	for n := 1; ctx.Err() == nil; n++ {
		if n%5 == 4 {
			rewrite(t, g, "{{providers}}routes: [{model: always, strategy: nonsense}]\n")
		} else {
			rewrite(t, g, changing(n))
		}
		time.Sleep(300 * time.Millisecond)
		versions[status(t, g).Get("config.version").String()] = true
	}
	clients.Wait()
	t.Logf("%d requests, %d failed, %d configurations in force", done.Load(), failed.Load(), len(versions))
	if len(versions) < 6 || done.Load() < 500 {
		t.Errorf("only %d configurations and %d requests: nothing was shown", len(versions), done.Load())
	}
}

// TestReloadOfTheListenerWaitsForItsRequests: a listener whose configuration changed lets what is under way end, however long it
// takes, for clients that stay on its connections and those that come anew.
func TestReloadOfTheListenerWaitsForItsRequests(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: "{{providers}}limits: {upload_timeout: 30s}\n"})
	g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 4 * time.Second})
	slow := make(chan reply, 1)
	go func() {
		slow <- call{client: g.HTTP, url: g.URL + chatPath, body: question("openai/gpt-4.1", "hello slowly")}.do(context.WithoutCancel(t.Context()))
	}()
	time.Sleep(200 * time.Millisecond)
	for _, timeout := range []string{"31s", "32s"} {
		g.MustReload(t, "{{providers}}limits: {upload_timeout: "+timeout+"}\n")
		if r := (call{client: g.HTTP, url: g.URL + chatPath, body: question("openai/gpt-4.1", "hello")}).do(t.Context()); r.status != http.StatusOK {
			t.Errorf("after the reload: %d %v %s", r.status, r.err, r.body)
		}
	}
	if r := <-slow; r.err != nil || r.status != http.StatusOK || !strings.Contains(r.body, "hello slowly") {
		t.Errorf("under way during the reload: %d %v %s", r.status, r.err, r.body)
	}
}

func status(t testing.TB, g *harness.Gateway) gjson.Result {
	t.Helper()
	b, err := g.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return gjson.ParseBytes(b)
}

// metric is the value of one line of /metrics, which begins with name and labels as Prometheus writes them.
func metric(t testing.TB, g *harness.Gateway, series string) string {
	t.Helper()
	page, err := g.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(page) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func wantMetric(t testing.TB, g *harness.Gateway, series, want string) {
	t.Helper()
	eventually(t, 4*time.Second, "metric", func() error { return wantEqual(series, metric(t, g, series), want) })
}

// serves waits until a model is served (or is not).
func serves(t testing.TB, g *harness.Gateway, model string, want int) {
	t.Helper()
	eventually(t, 8*time.Second, model, func() error {
		r := ask(t, g.URL, chatPath, question(model, "x"))
		return errors.Join(r.err, wantEqual("status", r.status, want))
	})
}

func routeNamed(name string) string {
	return "{{providers}}routes: [{model: " + name + ", strategy: fallback, candidates: [openai/gpt-4.1]}]\n"
}

// TestBadConfigurationChangesNothing shows where an operator sees that his change was refused, and why.
func TestBadConfigurationChangesNothing(t *testing.T) {
	g := harness.Shared(t, routeNamed("good"))
	before := status(t, g).Get("config")
	rewrite(t, g, "{{providers}}routes:\n- {model: good, strategy: nonsense}\n")
	eventually(t, 5*time.Second, "the refusal is not seen", func() error {
		now := status(t, g).Get("config")
		if !strings.Contains(now.Get("last_error").String(), "routes[0].strategy") {
			return fmt.Errorf("%s", now)
		}
		return errors.Join(wantEqual("version", now.Get("version").String(), before.Get("version").String()),
			wantEqual("failures", now.Get("failures").Int(), before.Get("failures").Int()+1))
	})
	wantMetric(t, g, "dragoman_config_last_load_successful", "0")
	wantMetric(t, g, fmt.Sprintf("dragoman_config_info{version=%q}", before.Get("version").String()), "1")
	serves(t, g, "good", 200)

	g.MustReload(t, routeNamed("better"))
	wantMetric(t, g, "dragoman_config_last_load_successful", "1")
	now := status(t, g).Get("config")
	if now.Get("version").String() == before.Get("version").String() || now.Get("last_error").Exists() {
		t.Errorf("after a good one: %s", now)
	}
	wantMetric(t, g, fmt.Sprintf("dragoman_config_info{version=%q}", now.Get("version").String()), "1")
	serves(t, g, "better", 200)
	serves(t, g, "good", 404)
	g.MustReload(t, routeNamed("good"))
}

// TestRefusedByEnvoy keeps serving where it was when Envoy cannot follow a change, and says so.
func TestRefusedByEnvoy(t *testing.T) {
	g := harness.Start(t, harness.Options{})
	model := "openai/gpt-4.1"
	serves(t, g, model, 200)
	taken := g.OpenAI().Origin()[len("http://"):]
	rewrite(t, g, "listen: {address: '"+taken+"'}\n{{providers}}")
	eventually(t, 8*time.Second, "the refusal is not seen", func() error {
		s := status(t, g)
		if !strings.Contains(s.Get("config.refused").String(), "in use") {
			return fmt.Errorf("%s", s.Get("config"))
		}
		return nil
	})
	serves(t, g, model, 200)
	rewrite(t, g, routeNamed("after"))
	serves(t, g, "after", 200)
	if s := status(t, g).Get("config"); s.Get("refused").Exists() {
		t.Errorf("%s", s)
	}
}

// TestFileReplaced follows a file that is renamed over and one behind the links that Kubernetes swaps; SIGHUP reloads too.
func TestFileReplaced(t *testing.T) {
	openai, _ := fakes(t)
	text := func(route string) string {
		return "listen: {address: '127.0.0.1:0'}\nproviders: [{name: openai, endpoint: '" + openai.Origin() + "', credentials: [{secret: {env: K}}]}]\nroutes: [{model: " + route + ", strategy: fallback, candidates: [openai/gpt-4.1]}]\n"
	}
	dir := t.TempDir()
	// As a kubelet mounts a config map: dragoman.yaml → ..data/dragoman.yaml, ..data → ..one.
	for _, generation := range []string{"..one", "..two"} {
		if err := os.Mkdir(filepath.Join(dir, generation), 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, generation, "dragoman.yaml"), text(strings.Trim(generation, ".")))
	}
	must(t, os.Symlink("..one", filepath.Join(dir, "..data")))
	must(t, os.Symlink(filepath.Join("..data", "dragoman.yaml"), filepath.Join(dir, "dragoman.yaml")))

	admin := freePort(t)
	listen := freePort(t)
	p := start(t, map[string]string{"K": openai.Key()}, "run", "--config", filepath.Join(dir, "dragoman.yaml"), "--listen", listen, "--admin", admin)
	p.says(t, "Try:")
	wantServed := func(model string) {
		t.Helper()
		eventually(t, 5*time.Second, model, func() error {
			return wantEqual("status", ask(t, "http://"+listen, chatPath, question(model, "x")).status, 200)
		})
	}
	wantServed("one")
	must(t, os.Symlink("..two", filepath.Join(dir, "..data_tmp")))
	must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	wantServed("two")

	must(t, os.Remove(filepath.Join(dir, "dragoman.yaml")))
	write(t, filepath.Join(dir, "dragoman.yaml"), text("three"))
	wantServed("three")
	write(t, filepath.Join(dir, "dragoman.yaml"), text("four"))
	wantServed("four")
	p.signal(t, syscall.SIGHUP)
	loads := func() int64 { return gjson.Get(ask(t, "http://"+admin, "/status", "").body, "config.loads").Int() }
	before := loads()
	p.signal(t, syscall.SIGHUP)
	eventually(t, 3*time.Second, "SIGHUP does not reload", func() error {
		if now := loads(); now <= before {
			return fmt.Errorf("%d loads", now)
		}
		return nil
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSecretRotates: the provider takes the new key only, and gets it once the file has changed, without a restart.
func TestSecretRotates(t *testing.T) {
	const oldKey, newKey = "sk-fake-old-00000000", "sk-fake-new-11111111"
	secret := write(t, filepath.Join(t.TempDir(), "key"), oldKey+"\n")
	both := fakeprovider.Options{Schema: fakeprovider.OpenAI, Name: "strict", Keys: []string{newKey}}
	g := harness.Start(t, harness.Options{Fakes: []fakeprovider.Options{both}, Config: `
providers:
- {name: strict, schema: openai, endpoint: '{{endpoint "strict"}}', credentials: [{secret: {file: ` + secret + `}}], models: [gpt-4.1]}
`})
	if r := ask(t, g.URL, chatPath, question("strict/gpt-4.1", "x")); r.status != 401 || strings.Contains(r.body, oldKey) {
		t.Errorf("with the old key: %d %s", r.status, r.body)
	}
	pid := g.EnvoyPID()
	write(t, secret, newKey+"\n")
	serves(t, g, "strict/gpt-4.1", 200)
	if g.EnvoyPID() != pid {
		t.Error("Envoy was restarted")
	}
	page, err := g.Metrics(t.Context())
	must(t, err)
	for what, text := range map[string]string{"metrics": page, "status": status(t, g).Raw, "log": g.Log(), "Envoy's log": g.EnvoyLog()} {
		if strings.Contains(text, newKey) || strings.Contains(text, oldKey) {
			t.Errorf("a secret stands in the %s", what)
		}
	}
}

// TestReloadIsQuick whatever changes: providers in another order change no resource of Envoy's, one less takes a secret away.
func TestReloadIsQuick(t *testing.T) {
	g := harness.Shared(t, "")
	for _, text := range []string{
		"providers:\n{{provider \"openai\"}}{{provider \"anthropic\"}}", "providers:\n{{provider \"anthropic\"}}{{provider \"openai\"}}",
		"providers:\n{{provider \"openai\"}}", "providers:\n{{provider \"openai\"}}retry: {max_attempts: 3}\n",
		"providers:\n{{provider \"openai\"}}cache: {exact: {ttl: 5m}}\n", "",
	} {
		begin := time.Now()
		g.MustReload(t, text)
		if took := time.Since(begin); took > 3*time.Second {
			t.Errorf("%v until in force: %s", took, text)
		}
		serves(t, g, "openai/gpt-4.1", 200)
	}
}
