package harness

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/sdk"
)

func TestMain(m *testing.M) { os.Exit(Main(m)) }

// say asks the gateway for a chat completion and returns status and body.
func say(t testing.TB, g *Gateway, model, text string) (int, string) {
	t.Helper()
	body := `{"model":"` + model + `","messages":[{"role":"user","content":"` + text + `"}]}`
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+"/v1/chat/completions", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.HTTP.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	got, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(got)
}

func wantAnswer(t testing.TB, g *Gateway, model string) {
	t.Helper()
	status, body := say(t, g, model, "hello harness")
	if got := gjson.Get(body, "choices.0.message.content").String(); status != 200 || got != "echo: hello harness" {
		t.Errorf("%s: %d %s", model, status, body)
	}
}

func TestBothProvidersAnswer(t *testing.T) {
	g := Shared(t, "")
	for name, f := range g.Fakes {
		wantAnswer(t, g, name+"/"+f.Model())
		if n := f.Counters().Complete; n != 1 {
			t.Errorf("%s answered %d requests", name, n)
		}
	}
	if m, err := g.Metrics(t.Context()); err != nil || !strings.Contains(m, "dragoman_") {
		t.Errorf("metrics: %v %.200s", err, m)
	}
}

func TestEverySchemaAnswers(t *testing.T) {
	g := Start(t, Options{Fakes: []fakeprovider.Options{}, Config: "{{everyone}}"})
	seen := map[string]bool{}
	for _, name := range Schemas {
		f := g.Fakes[name]
		if f.Schema() == fakeprovider.Responses {
			continue // has no chat completions; its own cases are those of package e2e
		}
		wantAnswer(t, g, name+"/"+f.Model())
		if n := f.Counters().Complete; n != 1 {
			t.Errorf("%s answered %d requests", name, n)
		}
		if seen[f.Key()] {
			t.Errorf("%s has another fake's key", name)
		}
		seen[f.Key()] = true
	}
}

func TestReloadBetweenCases(t *testing.T) {
	g := Shared(t, `{{providers}}
routes:
  - {model: only-here, strategy: fallback, candidates: [openai/gpt-4.1]}
`)
	wantAnswer(t, g, "only-here")
	if err := g.Reload(t.Context(), "{{providers}}\nroutes: [{model: x, strategy: nonsense}]\n"); err == nil || !strings.Contains(err.Error(), "routes[0].strategy") {
		t.Errorf("a faulty configuration: %v", err)
	}
	wantAnswer(t, g, "only-here")
}

func TestSharedStateDoesNotLeakIntoTheNextCase(t *testing.T) {
	g := Shared(t, "")
	if status, body := say(t, g, "only-here", "x"); status != 404 {
		t.Errorf("a route of another case: %d %s", status, body)
	}
	if n := g.OpenAI().Counters().Requests; n != 0 {
		t.Errorf("%d requests of another case", n)
	}
}

func TestStartAndStopEachPart(t *testing.T) {
	g := Start(t, Options{Subprocess: true, Env: map[string]string{"EXTRA": "x"}})
	model := "anthropic/" + g.Anthropic().Model()
	wantAnswer(t, g, model)

	if err := g.KillDragoman(); err != nil {
		t.Fatal(err)
	}
	if status, body := say(t, g, model, "x"); status == 200 {
		t.Errorf("without Dragoman: %d %s", status, body)
	}
	if err := g.RestartDragoman(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, g, model)

	if err := syscall.Kill(g.EnvoyPID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := g.RestartEnvoy(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantAnswer(t, g, model)
	if admin, err := g.EnvoyAdmin(); err != nil || !strings.HasPrefix(admin, "http://") {
		t.Errorf("%q %v", admin, err)
	}

	g.MustReload(t, "{{providers}}\nroutes: [{model: later, strategy: fallback, candidates: [anthropic/claude-haiku-4-5]}]\n")
	wantAnswer(t, g, "later")
	if err := g.Reload(t.Context(), "providers: {}"); err == nil {
		t.Error("a process takes a faulty configuration")
	}
	if g.Log() == "" {
		t.Error("nothing logged")
	}
}

func TestTLSProviders(t *testing.T) {
	ca, err := fakeprovider.NewCA()
	if err != nil {
		t.Fatal(err)
	}
	g := Start(t, Options{Fakes: []fakeprovider.Options{{Schema: fakeprovider.OpenAI, Name: "secure", CA: ca}}})
	wantAnswer(t, g, "secure/gpt-4.1")
	if p := g.Fakes["secure"].Last().Proto; p != "HTTP/2.0" {
		t.Errorf("over TLS the provider was spoken to in %s", p)
	}
}

func TestTheSDKsReachTheGateway(t *testing.T) {
	g := Shared(t, "")
	for _, c := range sdk.Cases() {
		if c.Name == "plain" || c.Name == "stream" {
			if err := c.Run(t.Context(), g.Target("any", "openai/gpt-4.1")); err != nil {
				t.Errorf("%s/%s: %v", c.Client, c.Name, err)
			}
		}
	}
}

func TestWhatDoesNotStartSaysWhy(t *testing.T) {
	for name, c := range map[string]struct {
		o    Options
		want string
	}{
		"template": {Options{Config: `{{provider "nobody"}}`}, `there is no fake named "nobody"`},
		"config":   {Options{Config: "providers: {}"}, "providers"},
		"fake":     {Options{Fakes: []fakeprovider.Options{{Schema: "esperanto"}}}, "esperanto"},
		"twins":    {Options{Fakes: []fakeprovider.Options{{Schema: fakeprovider.OpenAI}, {Schema: fakeprovider.OpenAI}}}, "two fakes"},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			g, err := New(context.Background(), c.o)
			if err == nil {
				g.Close()
				t.Fatal("it starts")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("took %v to say so", took)
			}
		})
	}
}

func TestRender(t *testing.T) {
	f, err := fakeprovider.New(fakeprovider.Options{Schema: fakeprovider.Anthropic, Name: "my-claude", Models: []string{"m1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	g := &Gateway{Dir: "/d", Fakes: map[string]*fakeprovider.Server{"my-claude": f}}
	got, err := g.Render(`log: {level: error}
providers:
{{provider "my-claude"}}
routes: [{model: r, candidates: {{models "my-claude"}}}] # {{endpoint "my-claude"}} {{keyvar "my-claude"}} {{dir}}
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`listen: {address: "127.0.0.1:0"}`, "endpoint: " + f.Origin(), "env: FAKE_KEY_MY_CLAUDE", `candidates: ["my-claude/m1"]`, `models: ["m1"]`, "FAKE_KEY_MY_CLAUDE /d",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "level: debug") || strings.Contains(got, f.Key()) {
		t.Errorf("%s", got)
	}
}
