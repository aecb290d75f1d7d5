package config

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	dragomanv1 "dragoman/proto/dragoman/v1"
	"dragoman/translate/chat"
)

// mustLoad compiles YAML in an environment of NAME=value lines.
func mustLoad(t testing.TB, yaml, env string) *Snapshot {
	t.Helper()
	s, err := loadYAML(yaml, env)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func loadYAML(yaml, env string) (*Snapshot, error) {
	f, _ := Parse("c.yaml", []byte(yaml))
	return Compile(f, Options{Env: envOf(env), Now: fixedNow, Demo: demoAt})
}

const bothKeys = "OPENAI_API_KEY=SECRET-a\nANTHROPIC_API_KEY=SECRET-b"

// Every field of the proto is either bounded by a table of validate.go or known here to need no bound: a new field cannot be
// forgotten.
func TestEveryFieldIsValidated(t *testing.T) {
	checkedInCode := []string{
		"Listen.address", "Admin.address", "Processor.address", "Envoy.admin_address", "Provider.endpoint", "Endpoint.url",
		"Model.provider", "Candidate.model", "Key.hash", "Key.models",
		"Vault.address", "VaultKubernetes.token_file",
		"ServerTls.certificate", "ServerTls.private_key", "ServerTls.client_ca", "ClientTls.ca", "Secret.env", "Secret.file",
		"AwsCredential.profile", "AwsCredential.file", "EntraCredential.token_file", "EntraCredential.authority",
		"Redis.address", "Redis.addresses", "Redis.prefix", "MediaFetch.allow", "Listen.loopback", "EndpointEmbedder.provider",
		"CatalogueFile.file", "WeightsFile.file", "Ceilings.data_regions", "Ceilings.providers", "Canary.start", "Rule.when", "Rule.route", "Rule.providers", "Refusal.message",
	}
	for _, level := range []string{"Organisation", "Tenant", "Team", "User", "Key", "EachUser"} {
		checkedInCode = append(checkedInCode, level+".models", level+".providers", level+".data_regions", level+".tags")
	}
	checkedInCode = append(checkedInCode, "ActiveCheck.path", "Route.on_content_policy")
	checkedInCode = append(checkedInCode, "ModelLimits.models", "Budget.models", "Budget.time_zone", "BudgetOverride.reason", "BudgetOverride.from", "BudgetOverride.until", "Webhook.url")
	checkedInCode = append(checkedInCode, "Jwt.jwks_file", "Jwt.jwks_url", "Jwt.models", "Caller.tenant", "Caller.team", "Caller.user",
		"ClientCertificate.san", "ClientCertificate.models", "ClientCertificate.proxy")
	checkedInCode = append(checkedInCode, "Admin.url", "AdminToken.hash", "OidcLogin.issuer", "OidcLogin.ca", "GithubLogin.url", "GithubLogin.ca", "RoleRule.emails", "RoleRule.domains")
	free := []string{"LocalEmbedder.path", "KeyStore.cache", "Ledger.sqlite", "LedgerLog.path", "Redis.sentinel_master", "Redis.username", "Envoy.binary", "AccessLog.path", "ClientTls.server_name", "Price.source", "Price.date"}
	seen := map[string]bool{}
	messages := dragomanv1.File_dragoman_v1_config_proto.Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			fd := fields.Get(j)
			short := strings.TrimPrefix(string(fd.FullName()), "dragoman.v1.")
			seen[string(fd.FullName())] = true
			_, word := words[fd.FullName()]
			_, form := forms[fd.FullName()]
			_, bounded := bounds[fd.FullName()]
			kind := fd.Kind()
			if fd.IsMap() {
				kind = fd.MapValue().Kind()
			}
			switch kind {
			case protoreflect.BoolKind:
			case protoreflect.StringKind:
				if !word && !form && !slices.Contains(checkedInCode, short) && !slices.Contains(free, short) {
					t.Errorf("nothing checks the text of %s", short)
				}
			case protoreflect.MessageKind:
				if fd.Message() != nil && fd.Message().FullName() == durationMessage && !bounded {
					t.Errorf("nothing bounds the duration %s", short)
				}
			default:
				if !bounded {
					t.Errorf("nothing bounds the number %s", short)
				}
			}
		}
	}
	for name := range bounds {
		if !seen[string(name)] {
			t.Errorf("bounds names %s, which does not exist", name)
		}
	}
	for name := range words {
		if !seen[string(name)] {
			t.Errorf("words names %s, which does not exist", name)
		}
	}
	for name := range forms {
		if !seen[string(name)] {
			t.Errorf("forms names %s, which does not exist", name)
		}
	}
}

// A configuration of nothing but defaults passes the checks, and its defaults are written into Snapshot.Config.
func TestDefaultsAreValid(t *testing.T) {
	s := mustLoad(t, "cache: {exact: {}}", bothKeys)
	if s.Config.Retry.MaxAttempts != 4 || s.Config.Listen.Address != DefaultListen || s.Cache.TTL.Hours() != 1 {
		t.Errorf("got %v", s.Config)
	}
	for i, p := range s.Config.Providers {
		if p.Schema == "" || p.Http != "auto" || p.Endpoints[0].GetWeight() != 100 || p.Credentials[0].Scheme != "api_key" {
			t.Errorf("provider %d: %v", i, p)
		}
	}
}

func TestVersion(t *testing.T) {
	base := `providers: [{name: a, schema: openai, endpoint: "http://127.0.0.1:1", credentials: [{secret: {env: K}}]}]`
	version := func(yaml, env string) string { return mustLoad(t, yaml, env).Version }
	v := version(base, "K=SECRET-1")
	if v != version("# a comment\n"+strings.ReplaceAll(base, ": ", ":  "), "K=SECRET-1\nUNRELATED=2") {
		t.Error("what says the same has another version")
	}
	if v == version(base, "K=SECRET-2") {
		t.Error("a rotated secret has the same version")
	}
	if v == version(base+"\nretry: {timeout: 599s}", "K=SECRET-1") {
		t.Error("another timeout has the same version")
	}
	if v != version(base+"\nretry: {timeout: 600s}", "K=SECRET-1") {
		t.Error("a default that is written out has another version")
	}
}

// Names do not move when a secret's value does, nor when a named credential gets a sibling.
func TestClusterNamesAreStable(t *testing.T) {
	provider := func(credentials string) string {
		return `providers: [{name: p, schema: openai, endpoint: "http://127.0.0.1:1", credentials: [` + credentials + `]}]`
	}
	names := func(yaml, env string) []string {
		var list []string
		for _, c := range mustLoad(t, yaml, env).Clusters {
			list = append(list, string(c.Name)+"="+c.SecretName)
		}
		return list
	}
	one, two := `{name: main, secret: {env: K}}`, `{secret: {env: K}}`
	for _, c := range []struct {
		yaml, env string
		want      []string
	}{
		{provider(one), "K=SECRET-1", []string{"p/main=credential/p/main"}},
		{provider(one), "K=SECRET-2", []string{"p/main=credential/p/main"}},
		{provider(one + "," + two), "K=SECRET-1", []string{"p/main=credential/p/main", "p/2=credential/p/2"}},
		{provider(two), "K=SECRET-1", []string{"p/default=credential/p/default"}},
		{provider(""), "", []string{"p/default="}},
		{`providers: [{name: p, schema: openai, endpoints: [{url: "http://127.0.0.1:1"}, {name: b, url: "http://127.0.0.1:2"}], credentials: [` + one + "," + two + `]}]`,
			"K=SECRET-1", []string{"p/1/main=credential/p/main", "p/1/2=credential/p/2", "p/b/main=credential/p/main", "p/b/2=credential/p/2"}},
	} {
		if got := names(c.yaml, c.env); !slices.Equal(got, c.want) {
			t.Errorf("got %v, want %v", got, c.want)
		}
	}
}

func TestCollidingPositionNames(t *testing.T) {
	_, err := loadYAML(`providers: [{name: p, schema: openai, endpoint: "http://127.0.0.1:1", credentials: [{name: "2", secret: {env: K}}, {secret: {env: K}}]}]`, "K=SECRET")
	if err == nil || !strings.Contains(err.Error(), `credentials[1].name: another credential is called "2"`) {
		t.Errorf("got %v", err)
	}
}

func TestWeightsOfClusters(t *testing.T) {
	s := mustLoad(t, `providers: [{name: p, schema: openai, endpoints: [{url: "http://127.0.0.1:1", weight: 3}, {url: "http://127.0.0.1:2", weight: 1}],
  credentials: [{secret: {env: K}, weight: 80}, {secret: {env: K}, weight: 20}]}]`, "K=SECRET")
	var got []uint32
	for _, c := range s.Clusters {
		got = append(got, c.Weight)
	}
	if !slices.Equal(got, []uint32{240, 60, 80, 20}) {
		t.Errorf("got %v", got)
	}
	for _, yaml := range []string{
		`providers: [{name: p, schema: openai, endpoint: "http://127.0.0.1:1", credentials: [{secret: {env: K}, weight: 0}]}]`,
		`providers: [{name: p, schema: openai, endpoints: [{url: "http://127.0.0.1:1", weight: 0}]}]`,
	} {
		if _, err := loadYAML(yaml, "K=SECRET"); err == nil || !strings.Contains(err.Error(), "have all weight 0") {
			t.Errorf("got %v", err)
		}
	}
}

func TestTooManyClusters(t *testing.T) {
	var b strings.Builder
	b.WriteString("providers:\n- name: p\n  schema: openai\n  endpoints:\n")
	for i := range 40 {
		fmt.Fprintf(&b, "  - {url: 'http://127.0.0.1:%d'}\n", i+1)
	}
	b.WriteString("  credentials:\n" + strings.Repeat("  - {secret: {env: K}}\n", 40))
	if _, err := loadYAML(b.String(), "K=SECRET"); err == nil || !strings.Contains(err.Error(), "make 1600 clusters") {
		t.Errorf("got %v", err)
	}
}

func TestOverrideWinsOverTheFile(t *testing.T) {
	f, _ := Parse("c.yaml", []byte("listen: {address: 127.0.0.1:1}"))
	s, err := Compile(f, Options{Env: envOf(bothKeys), Override: func(c *dragomanv1.Config) { c.Listen.Address = "localhost:2" }})
	if err != nil || s.Config.Listen.Address != "127.0.0.1:2" {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestWithoutDemo(t *testing.T) {
	if _, err := Load(Options{Env: noEnv}); err == nil || !strings.Contains(err.Error(), "set OPENAI_API_KEY or ANTHROPIC_API_KEY") {
		t.Errorf("got %v", err)
	}
	_, err := Load(Options{Env: noEnv, Demo: func() (DemoEndpoints, error) { return DemoEndpoints{}, errors.New("no port left") }})
	if err == nil || !strings.Contains(err.Error(), "no port left") {
		t.Errorf("got %v", err)
	}
}

func TestDemoKeepsTheFilesOwnAuto(t *testing.T) {
	s := mustLoad(t, "routes: [{model: auto, strategy: weighted, candidates: [demo-anthropic]}]", "")
	if r := s.Route(Auto); !s.Demo || r.Strategy != Weighted || len(r.Candidates) != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestPathsAreOfTheFilesFolder(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "key"), "SECRET\n")
	write(t, filepath.Join(dir, "c.yaml"), `providers: [{name: p, schema: openai, endpoint: "http://127.0.0.1:1", credentials: [{secret: {file: key}}]}]`)
	s, err := Load(Options{Path: filepath.Join(dir, "c.yaml"), Env: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Clusters[0].Secret; got.Reveal() != "SECRET" || got.Source() != "file "+filepath.Join(dir, "key") {
		t.Errorf("got %s", got)
	}
}

func TestMissingFile(t *testing.T) {
	for path, want := range map[string]string{"/nonexistent/c.yaml": "does not exist", t.TempDir(): "is no regular file"} {
		if _, err := Load(Options{Path: path, Env: noEnv}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCost(t *testing.T) {
	p := &Price{Input: 3_000_000, Output: 15_000_000, CacheRead: 300_000, CacheWrite: 3_750_000, CacheWrite1h: 6_000_000,
		Above: 1000, Long: &Price{Input: 6_000_000, Output: 22_500_000}}
	for _, c := range []struct {
		name  string
		usage chat.Usage
		want  MicroUSD
	}{
		{"nothing", chat.Usage{}, 0},
		{"each class", chat.Usage{Input: 100, CacheRead: 100, CacheWrite: 100, CacheWrite1h: 100, Output: 100}, 300 + 30 + 375 + 600 + 1500},
		{"rounded up", chat.Usage{CacheRead: 1}, 1},
		{"at the long threshold", chat.Usage{Input: 900, CacheRead: 100}, 2730},
		{"a long prompt, cached tokens included", chat.Usage{Input: 901, CacheRead: 100, Output: 10}, 5406 + 225},
		{"negative counts cost nothing", chat.Usage{Input: -5, Output: -5}, 0},
		{"absurd counts saturate", chat.Usage{Output: math.MaxInt64}, math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := p.Cost(c.usage); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
	dear := &Price{Input: maxPrice * 1e6, Output: maxPrice * 1e6}
	if got := dear.Cost(chat.Usage{Input: 1e9, Output: 1e9}); got != 2e14*1e6/1e6 {
		t.Errorf("the dearest price of a huge request: %d", got)
	}
	if got := (&Price{Output: 1}).Cost(chat.Usage{Output: math.MaxInt64}); got != math.MaxInt64/1_000_000+1 {
		t.Errorf("a product beyond 64 bits must be exact: %d", got)
	}
}
