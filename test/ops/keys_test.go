package ops

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/internal/ledger"
	"dragoman/internal/store/sqldb"
	"dragoman/test/fakeprovider"
	"dragoman/test/postgres"
)

// storeGateway is a gateway, as `run` starts it, whose keys are in a store.
type storeGateway struct {
	t          *testing.T
	p          *program
	url, admin string
	file       string // its configuration
	env        map[string]string
}

// keysYAML is a configuration with a store of keys; book is its ledger.
func keysYAML(provider *fakeprovider.Server, book, keys string) string {
	return fmt.Sprintf(`providers: [{name: openai, endpoint: %s, credentials: [{secret: {env: OPENAI_API_KEY}}], models: [gpt-4.1-mini, gpt-4.1]}]
models: [{name: priced, provider: openai, id: gpt-4.1-mini, price: {input: 1000, output: 1000}}]
tenants:
- name: acme
  keys: [{name: config, hash: "%s"}]
  teams: [{name: search, each_user: {limits: {requests_per_minute: 100}, budgets: [{usd: 3, per: month}]}}]
rules: [{name: interns, when: 'team == "search" && key == "intern" && tags.grade == "junior"', refuse: {message: Not for interns.}}]
ledger: %s
identity: {keys: %s}
`, provider.Origin(), config.HashKey("dgm_of_the_config"), book, keys)
}

// storeEnv is what the configuration refers to.
func storeEnv(provider *fakeprovider.Server, dsn string) map[string]string {
	return map[string]string{"OPENAI_API_KEY": provider.Key(), "KEYS_SECRET": "of-more-than-32-characters-0123456789", "DSN": dsn}
}

func runWithStore(t *testing.T, file string, env map[string]string) *storeGateway {
	t.Helper()
	g := &storeGateway{t: t, file: file, env: env}
	g.start()
	return g
}

func (g *storeGateway) start() {
	g.t.Helper()
	listen, admin := freePort(g.t), freePort(g.t)
	g.url, g.admin = "http://"+listen, "http://"+admin
	g.p = start(g.t, g.env, "run", "-c", g.file, "--listen", listen, "--admin", admin)
	g.p.says(g.t, "Try:")
}

func (g *storeGateway) stop() {
	g.t.Helper()
	g.p.signal(g.t, syscall.SIGTERM)
	g.p.exit(g.t, 20*time.Second)
}

// keys runs a command of `dragoman keys` and returns its standard output.
func (g *storeGateway) keys(args ...string) string {
	g.t.Helper()
	args = append([]string{"keys", args[0], "-c", g.file}, args[1:]...)
	code, out, stderr := command(g.t, g.env, "", args...)
	if code != 0 {
		g.t.Fatalf("%v: %d %s", args, code, stderr)
	}
	return out
}

// create makes a key as a script would: what is on standard output is the key.
func (g *storeGateway) create(args ...string) string {
	g.t.Helper()
	out := g.keys(append([]string{"create"}, args...)...)
	key, rest, ok := strings.Cut(out, "\n")
	if !ok || rest != "" || len(key) != 56 || !strings.HasPrefix(key, "dgm_") {
		g.t.Fatalf("standard output is %q", out)
	}
	return key
}

func (g *storeGateway) ask(key string) reply {
	return ask(g.t, g.url, chatPath, question("gpt-4.1-mini", "hello"), "authorization", "Bearer "+key)
}

// answers says how a key fares: ok, or the status and the code.
func (g *storeGateway) answers(key string) string {
	r := g.ask(key)
	switch {
	case r.err != nil:
		return r.err.Error()
	case r.status == http.StatusOK:
		return "ok"
	default:
		return fmt.Sprintf("%d %s", r.status, gjson.Get(r.body, "error.code"))
	}
}

// until waits for an answer, and says how long that took; the last request's own time is left out.
func (g *storeGateway) until(key, want string, within time.Duration) time.Duration {
	g.t.Helper()
	began := time.Now()
	for {
		asked := time.Now()
		got := g.answers(key)
		switch {
		case got == want:
			return asked.Sub(began)
		case asked.Sub(began) > within:
			g.t.Fatalf("after %s: %q, want %q", asked.Sub(began), got, want)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (g *storeGateway) status() gjson.Result {
	g.t.Helper()
	r := ask(g.t, g.admin, "/status", "")
	wantOK(g.t, r, "config")
	return gjson.Parse(r.body)
}

const known = 20 * time.Second // a machine that is busy may take so long for what takes a second

// TestKeysOfTheStore: what the commands make, a running gateway knows, on every endpoint, with its limits; and nothing shows a key.
func TestKeysOfTheStore(t *testing.T) {
	provider := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.OpenAI})
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "dragoman.yaml"), keysYAML(provider, "{sqlite: state/ledger.db}", "{}"))
	g := runWithStore(t, file, storeEnv(provider, ""))
	if got := g.answers("dgm_of_the_config"); got != "ok" {
		t.Errorf("the key of the configuration: %s", got)
	}
	key := g.create("acme/search/@ada", "--name", "laptop", "--models", "gpt-4.1-mini,priced", "--expires", "90d", "--rpm", "8", "--tag", "cost_centre=42")
	t.Logf("made and known after %s", g.until(key, "ok", known))

	// Every way in knows the key.
	header := []string{"x-api-key", key}
	list := ask(t, g.url, "/v1/models", "", header...)
	wantOK(t, list, "gpt-4.1-mini")
	if strings.Contains(list.body, `"gpt-4.1"`) {
		t.Errorf("the list has models that the key may not use: %s", list.body)
	}
	wantOK(t, ask(t, g.url, messagesPath, question("gpt-4.1-mini", "hi"), header...), `"type":"message"`)
	wantOK(t, ask(t, g.url, "/v1/messages/count_tokens", question("gpt-4.1-mini", "hi"), header...), "input_tokens")
	wantOK(t, ask(t, g.url, chatPath, streamed(question("gpt-4.1-mini", "hi")), header...), "[DONE]")
	for _, path := range []string{"/v1/files", "/v1/batches"} {
		if r := ask(t, g.url, path, "", header...); r.status == http.StatusUnauthorized {
			t.Errorf("%s: %d %s", path, r.status, r.body)
		}
	}
	if r := ask(t, g.url, chatPath, question("gpt-4.1", "hi"), header...); r.status != http.StatusForbidden {
		t.Errorf("a model that it may not use: %d %s", r.status, r.body)
	}
	// Its limit holds.
	eventually(t, 10*time.Second, "no limit", func() error { return wantEqual("answer", strings.Fields(g.answers(key))[0], "429") })

	// Rules see who it is.
	intern := g.create("acme/search", "--name", "intern", "--tag", "grade=junior")
	eventually(t, known, "the rule does not hold", func() error {
		return wantEqual("refused", strings.Contains(g.ask(intern).body, "Not for interns."), true)
	})

	// A budget of its own, and one that each user has.
	poor := g.create("acme", "--name", "poor", "--budget-usd", "0.5", "--per", "day")
	g.until(poor, "ok", known)
	dear := question("priced", strings.Repeat("many words ", 300))
	eventually(t, 10*time.Second, "the budget holds nobody", func() error {
		r := ask(t, g.url, chatPath, dear, "authorization", "Bearer "+poor)
		return wantEqual("status", r.status, http.StatusPaymentRequired)
	})
	// A revoked key's successor of the same name spends from the same budget.
	g.keys("revoke", "acme/poor")
	again := g.create("acme", "--name", "poor", "--budget-usd", "0.5", "--per", "day")
	eventually(t, known, "a new key has a new budget", func() error {
		r := ask(t, g.url, chatPath, dear, "authorization", "Bearer "+again)
		return wantEqual("status", r.status, http.StatusPaymentRequired)
	})

	st := g.status()
	levels := st.Get("limits.#.level").String()
	for _, want := range []string{"key:acme/search/@ada/laptop", "user:acme/search/@ada", "key:acme/poor"} {
		if !strings.Contains(levels, want) {
			t.Errorf("/status does not show the limits of %s: %s", want, levels)
		}
	}
	if k := st.Get("keys"); k.Get("source").String() != "database" || k.Get("keys").Int() != 4 || k.Get("age_seconds").Float() > 10 {
		t.Errorf("/status: %s", k)
	}
	for _, want := range []string{"dragoman_keys 4", "dragoman_keys_database_up 1", "dragoman_keys_age_seconds "} {
		eventually(t, known, "the metrics lack "+want, func() error {
			return wantEqual("there", strings.Contains(ask(t, g.admin, "/metrics", "").body, "\n"+want), true)
		})
	}

	t.Run("check", func(t *testing.T) {
		code, out, stderr := command(t, g.env, question("gpt-4.1-mini", "hi"), "check", "-c", file, "--request", "-", "--key", "acme/search/@ada/laptop")
		if code != 0 || !strings.Contains(out, "acme/search/@ada/laptop") || !strings.Contains(out, "usd-per-month") {
			t.Errorf("%d\n%s\n%s", code, out, stderr)
		}
		if code, _, stderr := command(t, g.env, question("gpt-4.1-mini", "hi"), "check", "-c", file, "--request", "-", "--key", "acme/nobody"); code == 0 || !strings.Contains(stderr, "acme/config") {
			t.Errorf("a key that is not there: %d %s", code, stderr)
		}
	})
	t.Run("list", func(t *testing.T) {
		table := g.keys("list", "acme/search")
		if !strings.Contains(table, "acme/search/@ada/laptop") || strings.Contains(table, "acme/poor") || strings.Contains(table, "revoked") || !strings.Contains(table, key[:10]+"…") {
			t.Errorf("%s", table)
		}
		var states []string
		for line := range strings.Lines(g.keys("list", "--all", "--json")) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s", line)
			}
			states = append(states, gjson.Get(line, "path").String()+" "+gjson.Get(line, "revoked_by").String())
		}
		slices.Sort(states)
		if len(states) != 4 || !strings.HasPrefix(states[1], "acme/poor command:") || states[2] != "acme/search/@ada/laptop " || states[3] != "acme/search/intern " {
			t.Errorf("%q", states)
		}
	})
	t.Run("usage", func(t *testing.T) {
		eventually(t, known, "the ledger does not tell keys apart", func() error {
			_, out, _ := command(t, g.env, "", "usage", "-c", file, "--by", "tenant,team,user,key", "--where", "tag=cost_centre=42", "--json")
			return wantEqual("groups", gjson.Get(out, "rows.#.group|@ugly").String(), `[["acme","search","ada","laptop"]]`)
		})
	})
	t.Run("audit", func(t *testing.T) {
		if code, out, stderr := command(t, g.env, "", "audit", "verify", "-c", file); code != 0 {
			t.Errorf("%d %s %s", code, out, stderr)
		}
		db, err := sqldb.OpenSQLite(filepath.Join(dir, "state", "ledger.db"))
		must(t, err)
		defer db.Close()
		done := map[string]int{}
		must(t, db.Entries(t.Context(), func(e *ledger.Entry) error {
			if strings.HasPrefix(e.Action, "key.") {
				done[fmt.Sprint(e.Action, " ", e.Tenant, "/", e.Key, " ", e.Outcome, " ", strings.Contains(e.Detail, "by command:"), strings.HasPrefix(e.Subject, "key_"))]++
			}
			return nil
		}))
		want := map[string]int{"key.create acme/laptop ok true true": 1, "key.create acme/intern ok true true": 1, "key.create acme/poor ok true true": 2, "key.revoke acme/poor ok true true": 1}
		if !maps.Equal(done, want) {
			t.Errorf("the trail has %v, want %v", done, want)
		}
	})

	g.stop()
	for line := range strings.Lines(g.keys("list", "--json")) {
		if at, err := time.Parse(time.RFC3339, gjson.Get(line, "last_used").String()); err != nil || time.Since(at) > time.Minute {
			t.Errorf("when it was last used: %s", line)
		}
	}
	// What a key has spent outlives the process.
	before := g.p.stderr.String() + g.p.stdout.String()
	g.start()
	if r := ask(t, g.url, chatPath, dear, "authorization", "Bearer "+again); r.status != http.StatusPaymentRequired {
		t.Errorf("after a restart the budget is whole again: %d %s", r.status, r.body)
	}
	g.stop()
	// Keys are shown by nothing that is kept: logs, the database, its log, the file of known keys.
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, secret := range []string{key, poor, again} {
			if strings.Contains(string(b), secret[4:24]) {
				t.Errorf("%s holds a key", path)
			}
		}
		if info, _ := d.Info(); slices.Contains([]string{"keys.secret", "keys.cache", "ledger.db"}, d.Name()) && info.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	for _, secret := range []string{key, poor, again} {
		if log := before + g.p.stderr.String() + g.p.stdout.String(); strings.Contains(log, secret[4:24]) {
			t.Error("the log holds a key")
		}
		if seen := provider.Saw(secret); len(seen) > 0 {
			t.Errorf("the provider saw a key: %v", seen)
		}
	}
	for _, name := range []string{"keys.secret", "keys.cache", "ledger.db"} {
		if _, err := os.Stat(filepath.Join(dir, "state", name)); err != nil {
			t.Error(err)
		}
	}
}

// TestKeysOfReplicas: what one replica or the command line changes, every other knows within two seconds, in SQLite and in PostgreSQL.
func TestKeysOfReplicas(t *testing.T) {
	provider := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.OpenAI})
	for name, book := range map[string]func(t *testing.T, n int) (yaml, keys, dsn string){
		"SQLite": func(_ *testing.T, n int) (string, string, string) {
			return fmt.Sprintf("{sqlite: ledger.db, log: {path: log%d}}", n), "{}", ""
		},
		"PostgreSQL": func() func(t *testing.T, n int) (string, string, string) {
			dsn := ""
			return func(t *testing.T, n int) (string, string, string) {
				if dsn == "" {
					dsn = postgres.Start(t).Database(t)
				}
				return fmt.Sprintf("{postgres: {dsn: {env: DSN}}, log: {path: log%d}}", n), "{secret: {env: KEYS_SECRET}}", dsn
			}
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			var replicas [2]*storeGateway
			for n := range replicas {
				yaml, keys, dsn := book(t, n)
				replicas[n] = runWithStore(t, write(t, filepath.Join(dir, fmt.Sprintf("replica%d.yaml", n)), keysYAML(provider, yaml, keys)), storeEnv(provider, dsn))
			}
			worst := map[string]time.Duration{}
			all := func(what, key, want string) {
				t.Helper()
				changed := time.Now()
				for _, g := range replicas { // the second, which is asked later, is said to need at least as long as the first
					late := time.Since(changed)
					if took := late + g.until(key, want, known); took > worst[what] {
						worst[what] = took
					}
				}
			}
			a, b := replicas[0], replicas[1]
			for range 3 {
				key := a.create("acme/search", "--name", "ci")
				all("create", key, "ok")
				next := strings.TrimSpace(b.keys("rotate", "acme/search/ci", "--overlap", "3s"))
				rotated := time.Now()
				all("rotate", next, "ok")
				if time.Since(rotated) < 2*time.Second {
					for _, g := range replicas {
						if got := g.answers(key); got != "ok" && time.Since(rotated) < 3*time.Second {
							t.Errorf("the key before, %s after its rotation: %s", time.Since(rotated), got)
						}
					}
				}
				for _, g := range replicas {
					g.until(key, "401 expired_api_key", known)
				}
				a.keys("revoke", "acme/search/ci")
				all("revoke", next, "401 revoked_api_key")
			}
			t.Logf("known to both replicas after at most: %v", worst)
			for what, took := range worst {
				if took > 2*time.Second {
					t.Errorf("%s: seen after %s", what, took)
				}
			}
			brief := b.create("acme", "--name", "brief", "--expires", "4s")
			all("create", brief, "ok")
			for _, g := range replicas {
				g.until(brief, "401 expired_api_key", known)
			}
		})
	}
}

// TestC7_keys_without_their_database: callers are served while the database is away, and by a gateway that starts while it is; what may be a new
// key is not called invalid; and what has changed meanwhile is known when it is back.
func TestC7_keys_without_their_database(t *testing.T) {
	provider := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.OpenAI})
	server := postgres.Start(t)
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "dragoman.yaml"), keysYAML(provider, "{postgres: {dsn: {env: DSN}}, log: {path: log}}", "{secret: {env: KEYS_SECRET}}"))
	g := runWithStore(t, file, storeEnv(provider, server.Database(t)))
	key, gone := g.create("acme/search/@ada", "--name", "laptop"), g.create("acme", "--name", "gone")
	g.until(key, "ok", known)
	g.until(gone, "ok", known)
	g.keys("revoke", "acme/gone")
	g.until(gone, "401 revoked_api_key", known)
	eventually(t, known, "the file of known keys is not written", func() error {
		_, err := os.Stat(filepath.Join(dir, "keys.cache"))
		return err
	})
	late := g.create("acme", "--name", "late")
	g.until(late, "ok", known)
	unknown, err := config.NewKey(strings.NewReader(strings.Repeat("nobody's", 4)))
	if err != nil {
		t.Fatal(err)
	}
	g.until(unknown, "401 invalid_api_key", known)

	away := func() {
		t.Helper()
		for range 20 {
			if got := g.answers(key); got != "ok" {
				t.Fatalf("while the database is away: %s", got)
			}
		}
		if got := g.answers(gone); got != "401 revoked_api_key" {
			t.Errorf("a revoked key: %s", got)
		}
		if got := g.answers("sk-no-key-of-ours"); got != "401 invalid_api_key" {
			t.Errorf("what is no key of ours: %s", got)
		}
		if got := g.answers("dgm_of_the_config"); got != "ok" {
			t.Errorf("the key of the configuration: %s", got)
		}
		g.until(unknown, "503 keys_unavailable", 2*known)
		if m := ask(t, g.admin, "/metrics", "").body; !strings.Contains(m, "dragoman_keys_database_up 0") {
			t.Error("the metrics do not say that the database is away")
		}
	}
	server.Stop()
	away()
	if code, _, stderr := command(t, g.env, "", "keys", "create", "-c", file, "acme", "--name", "new"); code == 0 || strings.Contains(stderr, "postgres://") {
		t.Errorf("a key is made without its database: %d %s", code, stderr)
	}
	g.stop()
	g.start()
	if k := g.status().Get("keys"); k.Get("source").String() != "cache" || k.Get("keys").Int() != 3 || k.Get("as_of").String() == "" {
		t.Errorf("after a start without the database: %s", k)
	}
	if got := g.answers(late); got != "ok" {
		t.Errorf("a key that was made just before: %s", got)
	}
	away()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	g.until(unknown, "401 invalid_api_key", 2*known)
	g.keys("revoke", "acme/late")
	g.until(late, "401 revoked_api_key", known)

	// Somebody writes into the file, and the database is away: nobody is let in by it, and nobody is called invalid.
	g.stop()
	server.Stop()
	path := filepath.Join(dir, "keys.cache")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	write(t, path, string(data))
	g.start()
	if got := g.answers(key); got != "503 keys_unavailable" {
		t.Errorf("by a file that was changed: %s", got)
	}
	if log := g.p.stderr.String(); !strings.Contains(log, "is ignored") {
		t.Errorf("not said:\n%s", log)
	}
}

// TestKeysConfigurations that cannot be: what is said, and that nothing starts.
func TestKeysConfigurations(t *testing.T) {
	provider := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.OpenAI})
	env := storeEnv(provider, "postgres://127.0.0.1:1/x")
	for name, c := range map[string]struct{ text, command, says string }{
		"serve without a ledger": {strings.ReplaceAll(keysYAML(provider, "-", "{}"), "ledger: -\n", ""), "serve", "identity.keys: needs `ledger`"},
		"a ledger that is off":   {keysYAML(provider, "{enabled: false}", "{}"), "run", "identity.keys: needs `ledger`, whose database keeps the keys: it is off"},
		"PostgreSQL, no secret":  {keysYAML(provider, "{postgres: {dsn: {env: DSN}}}", "{}"), "run", "identity.keys.secret: is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, filepath.Join(t.TempDir(), "dragoman.yaml"), c.text)
			code, _, stderr := command(t, env, "", c.command, "-c", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
			if code != 1 || !strings.Contains(stderr, c.says) {
				t.Errorf("%d %s", code, stderr)
			}
		})
	}
	t.Run("another secret", func(t *testing.T) {
		dir := t.TempDir()
		file := write(t, filepath.Join(dir, "dragoman.yaml"), keysYAML(provider, "{sqlite: ledger.db}", "{}"))
		if code, _, stderr := command(t, env, "", "keys", "create", "-c", file, "acme", "--name", "a"); code != 0 {
			t.Fatalf("before the first start: %d %s", code, stderr)
		}
		write(t, filepath.Join(dir, "keys.secret"), strings.Repeat("x", 40))
		code, _, stderr := command(t, env, "", "run", "-c", file, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
		if code != 1 || !strings.Contains(stderr, "identity.keys.secret is not the one") {
			t.Errorf("%d %s", code, stderr)
		}
	})
	t.Run("no store", func(t *testing.T) {
		file := write(t, filepath.Join(t.TempDir(), "dragoman.yaml"), strings.ReplaceAll(keysYAML(provider, "{}", "-"), "identity: {keys: -}\n", ""))
		if code, _, stderr := command(t, env, "", "keys", "list", "-c", file); code != 1 || !strings.Contains(stderr, "identity.keys is not configured") {
			t.Errorf("%d %s", code, stderr)
		}
	})
	t.Run("without a place", func(t *testing.T) {
		if code, out, _ := command(t, nil, "", "keys", "create"); code != 0 || !strings.Contains(out, "hash: sha256:") {
			t.Errorf("%d %s", code, out)
		}
	})
}

var keysBlock = regexp.MustCompile("(?s)<!-- test: keys -->\n```([a-z]+)\n(.*?)```")

// TestDocumentedKeys runs the commands of deploy/keys.md with its configuration, as a shell does.
func TestDocumentedKeys(t *testing.T) {
	blocks := map[string]string{}
	for _, m := range keysBlock.FindAllStringSubmatch(read(t, "deploy/keys.md"), -1) {
		blocks[m[1]] = m[2]
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "dragoman.yaml"), blocks["yaml"])
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", blocks["sh"]+"\necho \"$KEY\" > old.key\n")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + filepath.Dir(built.binary) + ":" + os.Getenv("PATH"), "OPENAI_API_KEY=sk-test", "HOME=" + dir}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out.String(), stderr.String())
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 5 || gjson.Get(lines[0], "path").String() != "acme/nightly" || !strings.Contains(lines[2], "acme/search/@ada/laptop") ||
		!strings.HasSuffix(strings.TrimSpace(lines[2]), "in use") || gjson.Get(lines[3], "revoked_by").String() == "" || gjson.Get(lines[4], "key").Exists() {
		t.Errorf("%s", out.String())
	}
	keys := map[string]bool{}
	for _, name := range []string{"old.key", "new.key"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		keys[string(b)] = strings.HasPrefix(string(b), config.KeyPrefix) && strings.Count(string(b), "\n") == 1
	}
	for key, alone := range keys {
		if len(keys) != 2 || !alone {
			t.Errorf("%d different keys; %q", len(keys), key)
		}
	}
}
