package ops

import (
	"context"
	"crypto/tls"
	"crypto/x509"
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
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"

	adminv1 "dragoman/proto/dragoman/admin/v1"
	"dragoman/test/fakeprovider"
	"dragoman/test/postgres"
)

const adminOps = `providers: [{name: local, schema: openai, endpoint: "http://127.0.0.1:1", models: [m]}]
tenants: [{name: acme, teams: [{name: search}]}, {name: globex}]
identity: {keys: {secret: {env: KEYS_SECRET}}}
`

// adminRun is a gateway without an Envoy, and its configuration.
type adminRun struct {
	t     *testing.T
	p     *program
	file  string
	url   string // of the admin port
	env   map[string]string
	token string // for the commands that ask it
}

func startAdmin(t *testing.T, more string, env map[string]string) *adminRun {
	t.Helper()
	a := &adminRun{t: t, file: write(t, filepath.Join(t.TempDir(), "dragoman.yaml"), adminOps+more), env: map[string]string{"KEYS_SECRET": strings.Repeat("s", 40)}}
	maps.Copy(a.env, env)
	a.start()
	return a
}

func (a *adminRun) start() {
	a.t.Helper()
	port := freePort(a.t)
	a.p = start(a.t, a.env, "serve", "-c", a.file, "--admin", port, "--processor", freePort(a.t))
	a.p.says(a.t, "admin    http")
	a.url = "http://" + port
	if strings.Contains(a.p.stdout.String(), "https://") {
		a.url = "https://" + port
	}
}

// local runs a command on the configuration's database.
func (a *adminRun) local(args ...string) string {
	a.t.Helper()
	code, out, stderr := command(a.t, a.env, "", append(args, "-c", a.file)...)
	if code != 0 {
		a.t.Fatalf("%v: %d %s", args, code, stderr)
	}
	return strings.TrimSpace(out)
}

// remote runs a command by the admin port.
func (a *adminRun) remote(args ...string) (int, string, string) {
	a.t.Helper()
	env := map[string]string{"DRAGOMAN_ADMIN_TOKEN": a.token}
	code, out, stderr := command(a.t, env, "", append(args, "--url", a.url)...)
	return code, strings.TrimSpace(out), stderr
}

func (a *adminRun) get(token, path string) reply {
	a.t.Helper()
	return ask(a.t, a.url, path, "", "authorization", "Bearer "+token)
}

func TestTokensAndKeysByCommand(t *testing.T) {
	a := startAdmin(t, "ledger: {sqlite: l.db}\n", nil)
	if r := ask(t, a.url, "/api/v1/whoami", ""); !strings.Contains(r.body, `"local"`) {
		t.Errorf("before an admin is set: %d %s", r.status, r.body)
	}
	a.token = a.local("tokens", "create", "--name", "root", "--role", "admin")
	if !strings.HasPrefix(a.token, "dga_") || len(a.token) != 56 {
		t.Fatalf("the token is %q", a.token)
	}
	eventually(t, known, "the port stays open", func() error {
		return wantEqual("status", ask(t, a.url, "/status", "").status, http.StatusUnauthorized)
	})
	if code, _, stderr := (&adminRun{t: t, url: a.url}).remote("tokens", "list"); code != 1 || !strings.Contains(stderr, "log in at /login, or send a token") {
		t.Errorf("without a token: %d %s", code, stderr)
	}
	code, ci, stderr := a.remote("tokens", "create", "--name", "ci", "--role", "operator", "--tenant", "acme", "--team", "search", "--expires", "90d")
	if code != 0 || !strings.HasPrefix(ci, "dga_") || strings.Contains(stderr, ci) {
		t.Fatalf("%d %s %s", code, ci, stderr)
	}
	if code, list, _ := a.remote("tokens", "list"); code != 0 || !strings.Contains(list, "operator of acme/search") || strings.Contains(list, ci) || list != a.local("tokens", "list") {
		t.Errorf("the list by the port is\n%s\nand by the database\n%s", list, a.local("tokens", "list"))
	}
	operator := &adminRun{t: t, url: a.url, token: ci}
	code, key, stderr := operator.remote("keys", "create", "acme/search/@ada", "--name", "laptop", "--models", "m", "--expires", "90d", "--rpm", "60", "--budget-usd", "20", "--per", "month", "--tag", "k=v")
	if code != 0 || !strings.HasPrefix(key, "dgm_") {
		t.Fatalf("%d %s %s", code, key, stderr)
	}
	if code, _, stderr := operator.remote("keys", "create", "globex", "--name", "x"); code != 1 || !strings.Contains(stderr, "there is no such thing, or it is not yours") {
		t.Errorf("a key of another tenant: %d %s", code, stderr)
	}
	if code, list, _ := operator.remote("keys", "list", "acme", "--json"); code != 1 {
		t.Errorf("the keys of the whole tenant: %s", list)
	}
	_, list, _ := operator.remote("keys", "list", "--json")
	if gjson.Get(list, "path").String() != "acme/search/@ada/laptop" || gjson.Get(list, "spec.tags.k").String() != "v" || gjson.Get(list, "created_by").String() != "token:acme/search/ci" || strings.Contains(list, key) {
		t.Errorf("the list: %s", list)
	}
	if code, second, stderr := operator.remote("keys", "rotate", "acme/search/@ada/laptop", "--overlap", "24h"); code != 0 || second == key || !strings.Contains(stderr, "accepted until") {
		t.Errorf("rotate: %d %s %s", code, second, stderr)
	}
	if code, _, stderr := operator.remote("keys", "revoke", gjson.Get(list, "id").String()); code != 0 || !strings.Contains(stderr, "revoked acme/search/@ada/laptop") {
		t.Errorf("revoke: %d %s", code, stderr)
	}
	if code, out, stderr := a.remote("usage", "--by", "tenant"); code != 0 {
		t.Errorf("usage: %d %s %s", code, out, stderr)
	}
	code, verdict, stderr := a.remote("audit", "verify")
	if code != 0 || !strings.Contains(verdict, "chains") {
		t.Errorf("audit: %d %s %s", code, verdict, stderr)
	}
	if out := a.local("audit", "verify"); !strings.HasPrefix(out, strings.SplitN(verdict, " ", 2)[0]+" chains") {
		t.Errorf("by the port %s, by the database %s", verdict, out)
	}
	a.trailHas("token.create", "by command:", "by token:root")
	a.trailHas("key.create", "by token:acme/search/ci")
	if code, _, stderr := a.remote("tokens", "revoke", "ci"); code != 0 || !strings.Contains(stderr, "revoked ci") {
		t.Errorf("revoke: %d %s", code, stderr)
	}
	if r := a.get(ci, "/api/v1/whoami"); r.status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d %s", r.status, r.body)
	}
	a.local("tokens", "revoke", "root")
	if r := a.get(a.token, "/api/v1/whoami"); r.status != http.StatusUnauthorized {
		t.Errorf("a revoked token: %d %s", r.status, r.body)
	}
	if r := ask(t, a.url, "/api/v1/whoami", ""); r.status != http.StatusUnauthorized {
		t.Errorf("revoking the last admin opens the port: %d", r.status)
	}
}

// trailHas looks for entries of an action by what they say of who did it.
func (a *adminRun) trailHas(action string, details ...string) {
	a.t.Helper()
	r := a.get(a.token, "/api/v1/audit?action="+action)
	wantOK(a.t, r, "entries")
	for _, want := range details {
		if !slices.ContainsFunc(gjson.Get(r.body, "entries.#.detail").Array(), func(d gjson.Result) bool { return strings.HasPrefix(d.String(), want) }) {
			a.t.Errorf("the trail of %s lacks %q: %s", action, want, r.body)
		}
	}
}

// TestOfflineToken: what is printed belongs into the configuration, and works there without a database.
func TestOfflineToken(t *testing.T) {
	code, token, stderr := command(t, nil, "", "tokens", "create", "--offline", "--name", "ci", "--role", "member", "--tenant", "acme", "--team", "search")
	token = strings.TrimSpace(token)
	if code != 0 || !strings.HasPrefix(token, "dga_") || strings.Contains(stderr, token) {
		t.Fatalf("%d %s %s", code, token, stderr)
	}
	_, entry, ok := strings.Cut(stderr, "admin:\n")
	if !ok {
		t.Fatalf("nothing for the configuration: %s", stderr)
	}
	file := strings.Replace(adminOps, "identity: {keys: {secret: {env: KEYS_SECRET}}}\n", "admin:\n"+entry, 1)
	port := freePort(t)
	p := start(t, nil, "serve", "-c", write(t, filepath.Join(t.TempDir(), "dragoman.yaml"), file), "--admin", port, "--processor", freePort(t))
	p.says(t, "admin    http")
	a := &adminRun{t: t, url: "http://" + port}
	if r := a.get(token, "/api/v1/whoami"); r.status != 200 || gjson.Get(r.body, "identity").String() != "token:acme/search/ci" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := ask(t, a.url, "/api/v1/whoami", ""); r.status != http.StatusUnauthorized {
		t.Errorf("without it: %d", r.status)
	}
	for _, args := range [][]string{{"--role", "member"}, {"--role", "viewer", "--team", "x"}, {"--role", "viewer", "--expires", "1d"}, {"--role", "boss"}} {
		if code, out, _ := command(t, nil, "", append([]string{"tokens", "create", "--offline", "--name", "x"}, args...)...); code == 0 || strings.Contains(out, "dga_") {
			t.Errorf("%v: %d %s", args, code, out)
		}
	}
	p.signal(t, syscall.SIGTERM)
	p.exit(t, 10*time.Second)
}

// TestBeyondLoopback: the port does not open to other machines until an admin is set; with one it does, and asks for it.
func TestBeyondLoopback(t *testing.T) {
	file := write(t, filepath.Join(t.TempDir(), "dragoman.yaml"), adminOps+"ledger: {sqlite: l.db}\n")
	env := map[string]string{"KEYS_SECRET": strings.Repeat("s", 40)}
	_, port, _ := strings.Cut(freePort(t), ":")
	code, _, stderr := command(t, env, "", "serve", "-c", file, "--admin", "0.0.0.0:"+port, "--processor", freePort(t))
	if code != 1 || !strings.Contains(stderr, "admin.address: 0.0.0.0:"+port+" can be reached from other machines: set an admin first") || !strings.Contains(stderr, "dragoman tokens create") {
		t.Fatalf("%d %s", code, stderr)
	}
	code, token, stderr := command(t, env, "", "tokens", "create", "-c", file, "--name", "root", "--role", "admin")
	if code != 0 {
		t.Fatalf("%s", stderr)
	}
	p := start(t, env, "serve", "-c", file, "--admin", "0.0.0.0:"+port, "--processor", freePort(t))
	p.says(t, "admin    http")
	if !strings.Contains(p.stderr.String(), "the admin port opens to other machines: a token of role admin was made") {
		t.Errorf("the log does not say so:\n%s", p.stderr)
	}
	a := &adminRun{t: t, url: "http://127.0.0.1:" + port}
	if r := ask(t, a.url, "/status", ""); r.status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", r.status)
	}
	if r := a.get(strings.TrimSpace(token), "/status"); r.status != 200 {
		t.Errorf("with it: %d %s", r.status, r.body)
	}
	wantOK(t, ask(t, a.url, "/healthz", ""), "ok")
	p.signal(t, syscall.SIGTERM)
	p.exit(t, 10*time.Second)
}

// TestAdminTLS serves HTTPS and gRPC on one port, and takes a new certificate without a restart.
func TestAdminTLS(t *testing.T) {
	ca, dir := authority(t), t.TempDir()
	_, _, err := ca.WritePair(dir, "server", "127.0.0.1")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), ca.PEM(), 0o600))
	a := startAdmin(t, fmt.Sprintf("ledger: {sqlite: l.db}\nadmin: {tls: {certificate: %s/server.pem, private_key: %s/server.key}}\n", dir, dir), nil)
	a.token = a.local("tokens", "create", "--name", "root", "--role", "admin")
	if code, out, stderr := a.remote("tokens", "list", "--ca", filepath.Join(dir, "ca.pem")); code != 0 || !strings.Contains(out, "root") {
		t.Errorf("https: %d %s %s", code, out, stderr)
	}
	if code, _, stderr := a.remote("tokens", "list"); code != 1 || !strings.Contains(stderr, "certificate") {
		t.Errorf("a certificate that nobody knows: %d %s", code, stderr)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.PEM())
	serial := func() string {
		conn, err := tls.Dial("tcp", strings.TrimPrefix(a.url, "https://"), &tls.Config{RootCAs: pool})
		must(t, err)
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	conn, err := grpc.NewClient("passthrough:///"+strings.TrimPrefix(a.url, "https://"), grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})))
	must(t, err)
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client := adminv1.NewAdminClient(conn)
	eventually(t, known, "gRPC needs no token", func() error { // within a second of the first admin
		_, err := client.ListTokens(ctx, &adminv1.ListTokensRequest{})
		return wantEqual("code", grpcstatus.Code(err), codes.Unauthenticated)
	})
	with := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+a.token)
	if list, err := client.ListTokens(with, &adminv1.ListTokensRequest{}); err != nil || len(list.Tokens) != 1 {
		t.Errorf("gRPC: %v %v", list, err)
	}
	before := serial()
	_, _, err = ca.WritePair(dir, "server", "127.0.0.1")
	must(t, err)
	eventually(t, known, "the new certificate is not shown", func() error {
		if serial() == before {
			return fmt.Errorf("the old one")
		}
		return nil
	})
}

// TestReplicasShareTokens: two gateways on one PostgreSQL. What one revokes the other refuses within two seconds; while the database is away
// nobody is told that a good token is bad.
func TestReplicasShareTokens(t *testing.T) {
	server := postgres.Start(t)
	env := map[string]string{"DSN": server.Database(t), "OPENAI_API_KEY": fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.OpenAI}).Key()}
	one := startAdmin(t, "ledger: {postgres: {dsn: {env: DSN}}, log: {path: log}}\n", env)
	two := startAdmin(t, "ledger: {postgres: {dsn: {env: DSN}}, log: {path: log}}\n", env)
	one.token = one.local("tokens", "create", "--name", "root", "--role", "admin", "--expires", "1d")
	code, made, stderr := one.remote("tokens", "create", "--name", "ci", "--role", "viewer", "--expires", "2h", "--json")
	if code != 0 {
		t.Fatal(stderr)
	}
	var answer struct {
		Secret string
		Token  struct{ ID string }
	}
	must(t, json.Unmarshal([]byte(made), &answer))
	if r := two.get(answer.Secret, "/status"); r.status != 200 {
		t.Errorf("a token of the other replica: %d %s", r.status, r.body)
	}
	if r := two.get(one.token, "/api/v1/config:reload"); r.status != http.StatusMethodNotAllowed {
		t.Errorf("a change by GET: %d %s", r.status, r.body)
	}
	begin := time.Now()
	if code, _, stderr := one.remote("tokens", "revoke", answer.Token.ID); code != 0 {
		t.Fatal(stderr)
	}
	for two.get(answer.Secret, "/status").status != http.StatusUnauthorized {
		if time.Since(begin) > 10*time.Second {
			t.Fatal("the other replica takes it still")
		}
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("seen by the other replica after %s, the command's own time included", took)
	} else {
		t.Logf("seen by the other replica after %s, the command's own time included", took)
	}
	server.Stop()
	if r := two.get(one.token, "/status"); r.status != http.StatusServiceUnavailable {
		t.Errorf("while the database is away: %d %s", r.status, r.body)
	}
	wantOK(t, ask(t, two.url, "/metrics", ""), "dragoman_")
	must(t, server.Restart())
	eventually(t, known, "the database is back, the token is not", func() error {
		return wantEqual("status", two.get(one.token, "/status").status, 200)
	})
}

var adminBlock = regexp.MustCompile("(?s)<!-- test: admin -->\n```([a-z]+)\n(.*?)```")

// TestDocumentedAdmin runs the commands of deploy/admin.md against its configuration.
func TestDocumentedAdmin(t *testing.T) {
	blocks := map[string]string{}
	for _, m := range adminBlock.FindAllStringSubmatch(read(t, "deploy/admin.md"), -1) {
		blocks[m[1]] = m[2]
	}
	dir, port := t.TempDir(), freePort(t)
	file := write(t, filepath.Join(dir, "dragoman.yaml"), blocks["yaml"])
	p := start(t, map[string]string{"OPENAI_API_KEY": "sk-test"}, "serve", "-c", file, "--admin", port, "--processor", freePort(t))
	p.says(t, "admin    http")
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", strings.ReplaceAll(blocks["sh"], "127.0.0.1:8081", port))
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + filepath.Dir(built.binary) + ":" + os.Getenv("PATH"), "OPENAI_API_KEY=sk-test", "HOME=" + dir, "NO_PROXY=*"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{"operator of acme/search", `"identity":"token:root"`, `"secret":"dgm_`, "acme/search/@ada/laptop", "chains", `"version":"`, "revoked ci"} {
		if !strings.Contains(strings.ReplaceAll(string(out), `": "`, `":"`), want) {
			t.Errorf("nothing says %q:\n%s", want, out)
		}
	}
}
