package ops

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
)

var tryCommand = regexp.MustCompile(`(?m)^  (curl .*)$`)

// TestRunWithNothing is the newcomer's first minute: no config, no key, the printed curl pasted into a shell.
func TestRunWithNothing(t *testing.T) {
	begin := time.Now()
	listen := freePort(t)
	p := start(t, nil, "run", "--listen", listen, "--admin", freePort(t))
	p.says(t, "Try:")
	curl := tryCommand.FindStringSubmatch(p.stdout.String())
	if curl == nil {
		t.Fatalf("no curl to try:\n%s", p.stdout)
	}
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "env -u http_proxy -u HTTP_PROXY "+curl[1]).CombinedOutput()
	if err != nil || !gjson.GetBytes(out, "choices.0.message.content").Exists() {
		t.Fatalf("%s: %v %s", curl[1], err, out)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("the first answer came after %v", took)
	}
	for _, want := range []string{"demo-openai", "demo-anthropic", "lacking", "openai (OPENAI_API_KEY)", "anthropic (ANTHROPIC_API_KEY)", "http://" + listen} {
		if !strings.Contains(p.stdout.String(), want) {
			t.Errorf("the table does not say %q:\n%s", want, p.stdout)
		}
	}
	// What else it says one can try.
	r := ask(t, "http://"+listen, chatPath, question("auto", "fail please"))
	wantOK(t, r, "demo")
	if r.header.Get("x-dragoman-attempts") != "2" {
		t.Errorf("a failover: %v", r.header)
	}
	wantOK(t, ask(t, "http://"+listen, chatPath, streamed(question("auto", "hello"))), "data: [DONE]")
	wantOK(t, ask(t, "http://"+listen, messagesPath, question("auto", "hello")), `"type":"message"`)
	wantOK(t, ask(t, "http://"+listen, messagesPath, streamed(question("auto", "hello"))), "event: message_stop")

	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// TestRunFreePort prints an address that works even when the system chose the port.
func TestRunFreePort(t *testing.T) {
	p := start(t, nil, "run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	p.says(t, "Try:")
	curl := tryCommand.FindStringSubmatch(p.stdout.String())
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "env -u http_proxy -u HTTP_PROXY "+curl[1]).CombinedOutput()
	if err != nil || !gjson.GetBytes(out, "choices.0.message.content").Exists() {
		t.Fatalf("%s: %v %s", curl[1], err, out)
	}
}

// environment is what the providers' own SDKs would be given to reach the fakes.
func environment(openai, anthropic *fakeprovider.Server) map[string]string {
	return map[string]string{
		"OPENAI_API_KEY": openai.Key(), "OPENAI_BASE_URL": openai.Origin() + "/v1",
		"ANTHROPIC_API_KEY": anthropic.Key(), "ANTHROPIC_BASE_URL": anthropic.Origin(),
	}
}

func fakes(t testing.TB) (openai, anthropic *fakeprovider.Server) {
	t.Helper()
	return fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.OpenAI}),
		fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Anthropic})
}

// TestRunDiscoversAndDrains serves the environment's providers, and Ctrl-C lets a stream that is under way end.
func TestRunDiscoversAndDrains(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			openai, anthropic := fakes(t)
			url := "http://" + freePortRun(t, environment(openai, anthropic), func(p *program, url string) {
				wantOK(t, ask(t, url, chatPath, question("gpt-4.1-mini", "to openai")), "echo: to openai")
				wantOK(t, ask(t, url, chatPath, question("claude-haiku-4-5", "to anthropic")), "echo: to anthropic")
				if openai.Counters().Complete != 1 || anthropic.Counters().Complete != 1 {
					t.Errorf("served by %+v and %+v", openai.Counters(), anthropic.Counters())
				}
				paced := fakeprovider.Text("one two three four five six seven eight nine ten")
				paced.Chunks, paced.Pace = 10, 120*time.Millisecond
				openai.Next(paced)
				answer := make(chan reply, 1)
				go func() { answer <- ask(t, url, chatPath, streamed(question("gpt-4.1-mini", "slow"))) }()
				eventually(t, 5*time.Second, "the stream does not begin", func() error {
					return wantEqual("in flight", openai.Counters().InFlight, 1)
				})
				p.signal(t, sig)
				r := <-answer
				wantOK(t, r, "data: [DONE]")
				if !strings.Contains(r.body, "ten") {
					t.Errorf("the stream was cut: %s", r.body)
				}
				if code := p.exit(t, 10*time.Second); code != 0 {
					t.Errorf("exit code %d", code)
				}
			})
			if r := (call{url: url + "/v1/models"}).do(t.Context()); r.err == nil {
				t.Errorf("something still listens: %d", r.status)
			}
		})
	}
}

// freePortRun starts `run` on a free port, waits until it serves, and returns its address.
func freePortRun(t *testing.T, env map[string]string, use func(p *program, url string)) string {
	t.Helper()
	listen := freePort(t)
	p := start(t, env, "run", "--listen", listen, "--admin", freePort(t))
	p.says(t, "Try:")
	use(p, "http://"+listen)
	return listen
}

// childOf finds the supervised Envoy among the system's processes by its parent.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	t.Fatalf("process %d has no child", parent)
	return 0
}

// TestEnvoyKilledUnderRun ends the program with the reason, and keeps what explains it.
func TestEnvoyKilledUnderRun(t *testing.T) {
	freePortRun(t, nil, func(p *program, _ string) {
		if err := syscall.Kill(childOf(t, p.cmd.Process.Pid), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if code := p.exit(t, 10*time.Second); code != 1 {
			t.Errorf("exit code %d", code)
		}
		errs := p.stderr.String()
		if !strings.Contains(errs, "envoy ended by itself (signal: killed)") {
			t.Errorf("no reason:\n%s", errs)
		}
		log := regexp.MustCompile(`Its log is (\S+) and ends`).FindStringSubmatch(errs)
		if log == nil {
			t.Fatalf("no log named:\n%s", errs)
		}
		for _, name := range []string{"envoy.log", "envoy.yaml"} {
			if _, err := os.Stat(filepath.Join(filepath.Dir(log[1]), name)); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestDragomanKilledUnderRun takes Envoy with it: a gateway without its processor can only refuse.
func TestDragomanKilledUnderRun(t *testing.T) {
	url := "http://" + freePortRun(t, nil, func(p *program, url string) {
		p.signal(t, syscall.SIGKILL)
		p.exit(t, 5*time.Second)
	})
	eventually(t, 5*time.Second, "Envoy lives on", func() error {
		if r := (call{url: url + "/v1/models"}).do(t.Context()); r.err == nil {
			return wantEqual("status", r.status, 0)
		}
		return nil
	})
}

// TestRunFolderIsRemoved leaves nothing behind after a good end.
func TestRunFolderIsRemoved(t *testing.T) {
	tmp := t.TempDir()
	p := start(t, map[string]string{"TMPDIR": tmp}, "run", "--listen", freePort(t), "--admin", freePort(t))
	p.says(t, "Try:")
	p.signal(t, syscall.SIGINT)
	if code := p.exit(t, 10*time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// TestWhatDoesNotStart says what is wrong and what to do, and fails.
func TestWhatDoesNotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	busy, tmp := taken.Addr().String(), t.TempDir()
	bad := write(t, filepath.Join(tmp, "bad.yaml"), "providers:\n- name: openai\n  credentials: [{secret: {env: NOT_SET}}]\n  shema: openai\n")
	open := write(t, filepath.Join(tmp, "open.yaml"), "listen: {address: 0.0.0.0:8080}\nproviders: [{name: x, schema: openai, endpoint: 'http://127.0.0.1:1'}]\n")
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"gateway port in use":    {[]string{"run", "--listen", busy, "--admin", freePort(t)}, []string{"port for clients", busy, "in use", "--listen"}},
		"admin port in use":      {[]string{"run", "--listen", freePort(t), "--admin", busy}, []string{"admin port", busy, "--admin"}},
		"processor port in use":  {[]string{"serve", "--admin", freePort(t), "--processor", busy}, []string{"processor", busy, "--processor"}},
		"no Envoy":               {[]string{"run", "--listen", freePort(t), "--admin", freePort(t), "--envoy", "/nowhere/envoy"}, []string{"/nowhere/envoy"}},
		"not an Envoy":           {[]string{"run", "--listen", freePort(t), "--admin", freePort(t), "--envoy", "/bin/true"}, []string{"/bin/true", "no Envoy"}},
		"bad config":             {[]string{"run", "--config", bad}, []string{"bad.yaml:4", "shema"}},
		"no config":              {[]string{"serve", "--config", filepath.Join(tmp, "none.yaml")}, []string{"none.yaml"}},
		"open beyond loopback":   {[]string{"run", "--config", open}, []string{"listen.address", "keys"}},
		"flag that is none":      {[]string{"run", "--port", "1"}, []string{"--port"}},
		"no command":             {nil, []string{"run", "serve", "check"}},
		"check of a bad config":  {[]string{"check", "--config", bad}, []string{"bad.yaml:4", "shema"}},
		"check without provider": {[]string{"check", "--config", write(t, filepath.Join(tmp, "routes.yaml"), "routes: [{model: x, candidates: [nobody/nothing]}]\n")}, []string{"routes.yaml:1", "routes[0].candidates[0]"}},
		"bootstrap":              {[]string{"bootstrap", "--processor", "nonsense"}, []string{"processor.address", "unix:///path"}},
	} {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			code, stdout, stderr := command(t, map[string]string{"TMPDIR": t.TempDir()}, "", c.args...)
			all := stdout + stderr
			if code == 0 {
				t.Errorf("exit code 0:\n%s", all)
			}
			for _, want := range c.want {
				if !strings.Contains(all, want) {
					t.Errorf("it does not say %q:\n%s", want, all)
				}
			}
			if took := time.Since(begin); took > 10*time.Second {
				t.Errorf("it took %v to say so", took)
			}
		})
	}
}

// TestHelp of every command names its flags.
func TestHelp(t *testing.T) {
	shared := []string{"--config", "--listen", "--admin", "--processor", "--log-level"}
	for _, c := range []struct {
		command string
		want    []string
	}{
		{"", []string{"run", "serve", "bootstrap", "check", "keys", "version"}},
		{"run", append(slices.Clone(shared), "--envoy", "--run-dir", "--drain")},
		{"serve", append(slices.Clone(shared), "--drain")},
		{"bootstrap", append(slices.Clone(shared), "--envoy-admin")},
		{"check", append(slices.Clone(shared), "--request", "--path", "--key", "--header", "--json")},
		{"keys create", []string{"Make a key"}},
		{"version", []string{"version"}},
	} {
		code, stdout, stderr := command(t, nil, "", append(strings.Fields(c.command), "--help")...)
		if code != 0 {
			t.Errorf("%s --help: exit code %d %s", c.command, code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s --help does not name %s:\n%s", c.command, want, stdout)
			}
		}
	}
	if code, out, _ := command(t, nil, "", "version"); code != 0 || out != "dragoman "+builtVersion+"\n" {
		t.Errorf("version: %d %q", code, out)
	}
}

// TestCheck validates without starting anything.
func TestCheck(t *testing.T) {
	openai, anthropic := fakes(t)
	code, out, stderr := command(t, environment(openai, anthropic), "", "check")
	if code != 0 || !strings.Contains(out, "valid, version ") || !strings.Contains(out, "env OPENAI_API_KEY") {
		t.Errorf("%d\n%s\n%s", code, out, stderr)
	}
	if openai.Counters().Connections+anthropic.Counters().Connections > 0 {
		t.Error("check has connected to a provider")
	}
}

const explained = `
providers:
- {name: openai, credentials: [{secret: {env: OPENAI_API_KEY}}]}
- {name: anthropic, credentials: [{secret: {env: ANTHROPIC_API_KEY}}]}
routes:
- {model: pick, strategy: balanced, candidates: [gpt-4.1-mini, claude-haiku-4-5]}
tenants:
- {name: acme, teams: [{name: search, keys: [{name: ci, hash: HASH, models: [pick]}]}]}
`

// TestCheckExplainsARequest says who asks, what is considered and why, and what would be sent, but no secret.
func TestCheckExplainsARequest(t *testing.T) {
	secrets := map[string]string{"OPENAI_API_KEY": "sk-canary-openai-1", "ANTHROPIC_API_KEY": "sk-canary-anthropic-2"}
	_, printed, _ := command(t, nil, "", "keys", "create")
	key, hash := createdKey(t, printed)
	path := write(t, filepath.Join(t.TempDir(), "c.yaml"), strings.ReplaceAll(explained, "HASH", hash))
	body := `{"model":"pick","max_tokens":50,"messages":[{"role":"user","content":"why?"}]}`
	for _, endpoint := range []string{chatPath, messagesPath} {
		code, out, stderr := command(t, secrets, body, "check", "--config", path, "--request", "-", "--path", endpoint, "--key", "acme/search/ci")
		if code != 0 {
			t.Fatalf("%s: exit code %d %s\n%s", endpoint, code, stderr, out)
		}
		for _, want := range []string{"acme/search/ci", "pick (balanced)", "openai/gpt-4.1-mini", "anthropic/claude-haiku-4-5", "score",
			"attempt 1", "attempt 2", "POST /v1/chat/completions", "POST /v1/messages", `"why?"`} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: it does not say %q:\n%s", endpoint, want, out)
			}
		}
		code, asJSON, _ := command(t, secrets, body, "check", "--config", path, "--request", "-", "--path", endpoint, "--key", "acme/search/ci", "--json")
		if code != 0 || !json.Valid([]byte(asJSON)) {
			t.Errorf("%s: --json: %d %s", endpoint, code, asJSON)
		}
		if n := gjson.Get(asJSON, "attempts.#").Int(); n < 2 {
			t.Errorf("%s: %d attempts in %s", endpoint, n, asJSON)
		}
		for _, secret := range []string{secrets["OPENAI_API_KEY"], secrets["ANTHROPIC_API_KEY"], key} {
			if strings.Contains(out+asJSON+stderr, secret) {
				t.Errorf("%s: a secret is shown", endpoint)
			}
		}
	}
	code, out, stderr := command(t, secrets, question("gpt-4.1", "x"), "check", "--config", path, "--request", "-", "--key", "acme/search/ci")
	if code == 0 || !strings.Contains(out, "refused     403") {
		t.Errorf("a model that is not allowed: %d %s %s", code, out, stderr)
	}
	code, _, stderr = command(t, secrets, body, "check", "--config", path, "--request", "-")
	if code == 0 || !strings.Contains(stderr, "acme/search/ci") {
		t.Errorf("without --key: %d %s", code, stderr)
	}
}

// TestCheckHearsHeaders: those that --header gives count as a client's would.
func TestCheckHearsHeaders(t *testing.T) {
	secrets := map[string]string{"OPENAI_API_KEY": "sk-canary-openai-1", "ANTHROPIC_API_KEY": "sk-canary-anthropic-2"}
	path := write(t, filepath.Join(t.TempDir(), "c.yaml"), `listen: {headers: [x-region]}
providers:
- {name: openai, credentials: [{secret: {env: OPENAI_API_KEY}}]}
- {name: anthropic, credentials: [{secret: {env: ANTHROPIC_API_KEY}}]}
rules:
- {name: closed, when: '"x-region" in headers && headers["x-region"] == "mars"', refuse: {message: Not on Mars.}}
routes:
- {model: pick, strategy: balanced, candidates: [gpt-4.1-mini, claude-haiku-4-5]}
`)
	body := `{"model":"pick","max_tokens":50,"messages":[{"role":"user","content":"why?"}]}`
	check := func(headers ...string) (code int, out, stderr string) {
		t.Helper()
		args := []string{"check", "--config", path, "--request", "-"}
		for _, h := range headers {
			args = append(args, "--header", h)
		}
		return command(t, secrets, body, args...)
	}
	for name, c := range map[string]struct {
		headers     []string
		code        int
		out, stderr string
	}{
		"none":       {nil, 0, "attempt 1", ""},
		"a rule":     {[]string{"X-Region: mars"}, 1, "Not on Mars.", ""},
		"a wish":     {[]string{"x-dragoman-providers: anthropic, openai", "x-dragoman-max-cost: 0.0000001"}, 1, "over_ceiling", ""},
		"unheard":    {[]string{"x-other: a"}, 0, "attempt 1", "x-other does not come in"},
		"a key":      {[]string{"Authorization: Bearer secret-one"}, 1, "", "--key"},
		"no header":  {[]string{"x-region"}, 1, "", "name: value"},
		"no name":    {[]string{"x region: a"}, 1, "", "name: value"},
		"two values": {[]string{"x-region: venus", "x-dragoman-providers: anthropic"}, 0, "provider not allowed", ""},
	} {
		code, out, stderr := check(c.headers...)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(stderr, c.stderr) || strings.Contains(out+stderr, "secret-one") {
			t.Errorf("%s: exit code %d\n%s\n%s", name, code, stderr, out)
		}
	}
}

// createdKey reads what `keys create` prints.
func createdKey(t testing.TB, out string) (key, hash string) {
	t.Helper()
	m := regexp.MustCompile(`key:  (dgm_\S+)\nhash: (sha256:[0-9a-f]{64})\n`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("keys create prints:\n%s", out)
	}
	return m[1], m[2]
}

// TestCreatedKeyWorks takes a key from the command line into a config and through the gateway.
func TestCreatedKeyWorks(t *testing.T) {
	openai, _ := fakes(t)
	_, printed, _ := command(t, nil, "", "keys", "create")
	key, hash := createdKey(t, printed)
	_, other, _ := command(t, nil, "", "keys", "create")
	stranger, _ := createdKey(t, other)
	path := write(t, filepath.Join(t.TempDir(), "c.yaml"), strings.Join([]string{
		"providers: [{name: openai, endpoint: '" + openai.Origin() + "', credentials: [{secret: {env: K}}]}]",
		"tenants: [{name: acme, keys: [{name: ci, hash: '" + hash + "'}]}]", ""}, "\n"))
	listen := freePort(t)
	p := start(t, map[string]string{"K": openai.Key()}, "run", "--config", path, "--listen", listen, "--admin", freePort(t))
	p.says(t, "Try:")
	if !strings.Contains(p.stdout.String(), `-H "authorization: Bearer $KEY"`) {
		t.Errorf("the curl to try has no key:\n%s", p.stdout)
	}
	url, body := "http://"+listen, question("gpt-4.1", "hi")
	wantOK(t, ask(t, url, chatPath, body, "authorization", "Bearer "+key), "echo: hi")
	wantOK(t, ask(t, url, messagesPath, body, "x-api-key", key), "echo: hi")
	if r := ask(t, url, chatPath, body, "authorization", "Bearer "+stranger); r.status != 401 || strings.Contains(r.body, stranger) {
		t.Errorf("another key: %d %s", r.status, r.body)
	}
	if where := openai.Saw(key); len(where) > 0 {
		t.Errorf("the client's key reached the provider: %v", where)
	}
}
