package config

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// vaultOf answers with what each secret is by its path, and counts how it was asked.
func vaultOf(values map[string]string, asked *[][]VaultRef) func(*Vault, []VaultRef) VaultAnswer {
	return func(_ *Vault, refs []VaultRef) VaultAnswer {
		if asked != nil {
			*asked = append(*asked, refs)
		}
		a := VaultAnswer{Values: map[VaultRef]string{}, Errs: map[VaultRef]error{}}
		for _, r := range refs {
			if v, ok := values[r.Path]; ok {
				a.Values[r] = v
			} else {
				a.Errs[r] = errors.New("does not exist")
			}
		}
		return a
	}
}

func loadVault(t *testing.T, yaml, env string, vault func(*Vault, []VaultRef) VaultAnswer) (*Snapshot, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "dragoman.yaml")
	write(t, path, yaml)
	return Load(Options{Path: path, Env: envOf(env), Demo: demoAt, Vault: vault})
}

const vaultEnv = "VAULT_ADDR=https://vault.test:8200\nVAULT_TOKEN=SECRET-token"

func openaiIn(vault, secret string) string {
	return vault + "\nproviders: [{name: openai, credentials: [{secret: " + secret + "}], models: [m]}]\n"
}

func TestVaultDefaults(t *testing.T) {
	s, err := loadVault(t, openaiIn("vault: {}", "{vault: {path: dragoman/openai}}"), vaultEnv, vaultOf(map[string]string{"dragoman/openai": "SECRET-1\n"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	v, ref := s.Vault, VaultRef{"secret", "dragoman/openai", "value"}
	if v.Address != "https://vault.test:8200" || v.Token.Reveal() != "SECRET-token" || v.Refresh != time.Minute || v.Timeout != 5*time.Second || v.Login() != "token" {
		t.Errorf("%+v", v)
	}
	if !slices.Equal(v.Refs, []VaultRef{ref}) || v.Values[ref].Reveal() != "SECRET-1\n" {
		t.Errorf("refs %v", v.Refs)
	}
	if c := s.Clusters[0].Secret; c.Reveal() != "SECRET-1" || c.String() != "vault secret/dragoman/openai#value" {
		t.Errorf("credential %s", c)
	}
	if text := fmt.Sprintf("%+v %#v %v", *v, *v, s.Found); strings.Contains(text, "SECRET") {
		t.Errorf("shown: %s", text)
	}
	s, err = loadVault(t, openaiIn("vault: {address: \"https://other:8200/\", kubernetes: {role: r}, refresh: 5s}", "{vault: {path: a, field: f, mount: kv/team}}"), vaultEnv, vaultOf(map[string]string{"a": "x"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if v := s.Vault; v.Address != "https://other:8200" || v.Token.Source() != "" || *v.Kubernetes != (VaultKubernetes{"r", "kubernetes", serviceAccountToken}) || v.Refs[0] != (VaultRef{"kv/team", "a", "f"}) || v.Login() != "kubernetes" {
		t.Errorf("%+v", v)
	}
	s, err = loadVault(t, "vault: {app_role: {role_id: r, secret_id: {env: VAULT_TOKEN}}}\n"+openaiIn("", "{env: VAULT_TOKEN}"), vaultEnv, nil)
	if err != nil || s.Vault.AppRole.Mount != "approle" || s.Vault.AppRole.SecretID.Reveal() != "SECRET-token" || s.Vault.Login() != "app_role" {
		t.Errorf("a vault that nothing is in: %v", err)
	}
}

func TestVaultFaults(t *testing.T) {
	const one = "{vault: {path: dragoman/openai}}"
	for name, c := range map[string]struct{ yaml, env, want string }{
		"no vault":         {openaiIn("", one), vaultEnv, "dragoman.yaml:2: providers[0].credentials[0].secret: is in Vault, and nothing says where that is: add `vault`"},
		"no address":       {openaiIn("vault: {}", one), "VAULT_TOKEN=x", "vault.address: is missing"},
		"no token":         {openaiIn("vault: {}", one), "VAULT_ADDR=http://127.0.0.1:1", "vault.token: the environment variable VAULT_TOKEN is not set"},
		"not a URL":        {openaiIn("vault: {address: vault}", one), vaultEnv, "vault.address: must be a URL of http or https"},
		"a password":       {openaiIn("vault: {address: \"https://u:SECRET@v\"}", one), vaultEnv, "vault.address: must not hold a user or password"},
		"an API path":      {openaiIn("vault: {address: \"https://v/v1/\"}", one), vaultEnv, "vault.address: must end before /v1"},
		"a query":          {openaiIn("vault: {address: \"https://v?token=SECRET\"}", one), vaultEnv, "vault.address: must end before /v1: no ? and no #"},
		"two logins":       {openaiIn("vault: {token: {env: VAULT_TOKEN}, kubernetes: {role: r}}", one), vaultEnv, "vault: is one of token, kubernetes and app_role: keep one"},
		"no role":          {openaiIn("vault: {kubernetes: {}}", one), vaultEnv, "vault.kubernetes.role: is missing"},
		"no role id":       {openaiIn("vault: {app_role: {secret_id: {env: VAULT_TOKEN}}}", one), vaultEnv, "vault.app_role.role_id: is missing"},
		"no secret id":     {openaiIn("vault: {app_role: {role_id: r}}", one), vaultEnv, "vault.app_role.secret_id: is missing"},
		"a token in Vault": {openaiIn("vault: {token: {vault: {path: x}}}", one), vaultEnv, "vault.token: must be {env: NAME} or {file: PATH}: Vault cannot be asked before one is logged in"},
		"an id in Vault":   {openaiIn("vault: {app_role: {role_id: r, secret_id: {vault: {path: x}}}}", one), vaultEnv, "vault.app_role.secret_id: must be {env: NAME} or {file: PATH}"},
		"TLS in clear":     {openaiIn("vault: {address: \"http://127.0.0.1:1\", tls: {server_name: x}}", one), vaultEnv, "vault.tls: needs an address of https"},
		"no CA file":       {openaiIn("vault: {tls: {ca: none.pem}}", one), vaultEnv, "does not exist"},
		"no path":          {openaiIn("vault: {}", "{vault: {field: x}}"), vaultEnv, "secret.vault.path: is missing"},
		"a path upwards":   {openaiIn("vault: {}", "{vault: {path: a/../../sys/seal}}"), vaultEnv, "secret.vault.path: " + wantVaultPath},
		"a path's end":     {openaiIn("vault: {}", "{vault: {path: a/}}"), vaultEnv, "secret.vault.path: " + wantVaultPath},
		"a path's query":   {openaiIn("vault: {}", "{vault: {path: \"a?version=1\"}}"), vaultEnv, "secret.vault.path: " + wantVaultPath},
		"a path's escape":  {openaiIn("vault: {}", "{vault: {path: \"a%2e\"}}"), vaultEnv, "secret.vault.path: " + wantVaultPath},
		"a mount":          {openaiIn("vault: {}", "{vault: {path: a, mount: /kv}}"), vaultEnv, "secret.vault.mount: " + wantVaultPath},
		"a field":          {openaiIn("vault: {}", "{vault: {path: a, field: \"x y\"}}"), vaultEnv, "secret.vault.field: " + wantVisible},
		"text":             {openaiIn("vault: {}", "{vault: sk-SECRET-1}"), vaultEnv, "secret.vault: must be a mapping with path, field or mount, not text"},
		"two sources":      {openaiIn("vault: {}", "{vault: {path: a}, env: A}"), vaultEnv, "keep one"},
		"too often":        {openaiIn("vault: {refresh: 100ms}", one), vaultEnv, "vault.refresh: must be from 1s to 24h0m0s"},
		"too slow":         {openaiIn("vault: {timeout: 2m}", one), vaultEnv, "vault.timeout: must be from 100ms to 1m0s"},
		"a namespace":      {openaiIn("vault: {namespace: \"a b\"}", one), vaultEnv, "vault.namespace: " + wantVaultPath},
		"missing":          {openaiIn("vault: {}", "{vault: {path: none}}"), vaultEnv, "dragoman.yaml:2: providers[0].credentials[0].secret: the secret secret/none#value of Vault does not exist"},
		"a key as path":    {openaiIn("vault: {}", "{vault: {path: sk-SECRET-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}}"), vaultEnv, "the secret that it names of Vault does not exist"},
		"empty":            {openaiIn("vault: {}", "{vault: {path: empty}}"), vaultEnv, "the secret secret/empty#value of Vault is empty"},
		"white space":      {openaiIn("vault: {}", "{vault: {path: space}}"), vaultEnv, "the secret secret/space#value of Vault is empty"},
		"two lines":        {openaiIn("vault: {}", "{vault: {path: lines}}"), vaultEnv, "the secret secret/lines#value of Vault holds a line break"},
		"too long":         {openaiIn("vault: {}", "{vault: {path: long}}"), vaultEnv, "of Vault holds more than 8192 bytes"},
		"too short":        {openaiIn("vault: {}\nobjects: {secret: {vault: {path: short}}}", one), vaultEnv, "objects.secret: the secret has fewer than 16 characters"},
		"not of Google":    {"vault: {}\nproviders: [{name: vertex, project: p, credentials: [{google: {key: {vault: {path: short}}}}]}]\n", vaultEnv, "vault secret/short#value is not the JSON of a Google Cloud key"},
		"Google, missing":  {"vault: {}\nproviders: [{name: vertex, project: p, credentials: [{google: {key: {vault: {path: none}}}}]}]\n", vaultEnv, "google.key: the secret secret/none#value of Vault does not exist"},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]string{"dragoman/openai": "SECRET-1", "empty": "", "space": " \n", "lines": "SECRET\nx", "long": strings.Repeat("S", maxSecret+1), "short": "SECRET"}
			s, err := loadVault(t, c.yaml, c.env, vaultOf(values, nil))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got  %v\nwant %s", err, c.want)
			}
			if s != nil || strings.Contains(err.Error(), "SECRET") && name != "a path's query" {
				t.Errorf("a secret is shown: %v", err)
			}
		})
	}
}

// A server that cannot be used is not asked, and one that cannot be logged in at is one fault, not one for each secret.
func TestVaultIsAskedOnce(t *testing.T) {
	text := "vault: %s\nproviders:\n- {name: openai, credentials: [{name: a, secret: {vault: {path: x}}}, {name: b, secret: {vault: {path: x}}}, {name: c, secret: {vault: {path: x, field: other}}}], models: [m]}\n"
	var asked [][]VaultRef
	if _, err := loadVault(t, fmt.Sprintf(text, "{}"), vaultEnv, vaultOf(map[string]string{"x": "SECRET"}, &asked)); err != nil {
		t.Fatal(err)
	}
	if len(asked) != 1 || len(asked[0]) != 2 {
		t.Errorf("asked %v", asked)
	}
	asked = nil
	if _, err := loadVault(t, fmt.Sprintf(text, "{namespace: \"a b\"}"), vaultEnv, vaultOf(nil, &asked)); err == nil || len(asked) > 0 {
		t.Errorf("asked %v: %v", asked, err)
	}
	_, err := loadVault(t, fmt.Sprintf(text, "{}"), vaultEnv, func(*Vault, []VaultRef) VaultAnswer {
		return VaultAnswer{Login: errors.New("cannot log in at X: permission denied")}
	})
	want := "vault.token: cannot log in at X: permission denied; 2 secrets of this configuration are there, the first is providers[0].credentials[0].secret"
	var p *Problems
	if !errors.As(err, &p) || len(p.List) != 1 || !strings.HasSuffix(p.Error(), want) {
		t.Errorf("got %v", err)
	}
	if _, err := loadVault(t, fmt.Sprintf(text, "{}"), vaultEnv, nil); err == nil || !strings.Contains(err.Error(), "vault: cannot be read by this command") {
		t.Errorf("without a reader: %v", err)
	}
	many := &strings.Builder{}
	for i := range maxVaultRefs + 1 {
		fmt.Fprintf(many, "{name: c%d, secret: {vault: {path: p%d}}}, ", i, i)
	}
	_, err = loadVault(t, "vault: {}\nproviders: [{name: openai, models: [m], credentials: ["+many.String()+"]}]\n", vaultEnv, vaultOf(nil, nil))
	if err == nil || !strings.Contains(err.Error(), "credentials[500].secret: is one too many") {
		t.Errorf("got %v", err)
	}
}

func TestVaultInClear(t *testing.T) {
	for address, warned := range map[string]bool{"http://127.0.0.1:8200": false, "http://localhost:8200": false, "http://vault:8200": true, "https://vault:8200": false} {
		s, err := loadVault(t, openaiIn("vault: {address: \""+address+"\"}", "{vault: {path: x}}"), vaultEnv, vaultOf(map[string]string{"x": "k"}, nil))
		if err != nil || slices.ContainsFunc(s.Warnings, func(w string) bool { return strings.Contains(w, "in clear text") }) != warned {
			t.Errorf("%s: %v %v", address, err, s.Warnings)
		}
	}
}

// everySecret has a reference to Vault at every place of the proto where a Secret stands, by configurations that hold them.
var everySecret = map[string]string{
	"Credential.secret":               openaiIn("vault: {}", "{vault: {path: x}}"),
	"AwsCredential.access_key_id":     awsIn("access_key_id: {vault: {path: x}}, secret_access_key: {env: A}"),
	"AwsCredential.secret_access_key": awsIn("access_key_id: {env: A}, secret_access_key: {vault: {path: x}}"),
	"AwsCredential.session_token":     awsIn("access_key_id: {env: A}, secret_access_key: {env: A}, session_token: {vault: {path: x}}"),
	"GoogleCredential.key":            "vault: {}\nproviders: [{name: vertex, project: p, credentials: [{google: {key: {vault: {path: google}}}}]}]\n",
	"EntraCredential.client_secret":   "vault: {}\nproviders: [{name: azure, endpoint: \"https://r.openai.azure.com\", models: [m], credentials: [{entra: {tenant: t, client: c, client_secret: {vault: {path: x}}}}]}]\n",
	"Objects.secret":                  openaiIn("vault: {}\nobjects: {secret: {vault: {path: x}}}", "{env: A}"),
	"Webhook.url_from":                openaiIn("vault: {}\nquota: {webhook: {url_from: {vault: {path: url}}}}", "{env: A}"),
	"Webhook.secret":                  openaiIn("vault: {}\nquota: {webhook: {url: \"https://h/\", secret: {vault: {path: x}}}}", "{env: A}"),
	"Redis.password":                  openaiIn("vault: {}\nstore: {redis: {address: \"127.0.0.1:1\", password: {vault: {path: x}}}}", "{env: A}"),
	"Postgres.dsn":                    openaiIn("vault: {}\nledger: {postgres: {dsn: {vault: {path: x}}}}", "{env: A}"),
	"KeyStore.secret":                 openaiIn("vault: {}\ntenants: [{name: acme}]\nledger: {}\nidentity: {keys: {secret: {vault: {path: x}}}}", "{env: A}"),
	"OidcLogin.client_secret": openaiIn("vault: {}\nadmin: {logins: [{name: g, oidc: {issuer: \"https://i.test\", client_id: c, client_secret: {vault: {path: x}}}, "+
		"roles: [{role: admin, emails: [a@b.test]}]}]}", "{env: A}"),
	"GithubLogin.client_secret": openaiIn("vault: {}\nadmin: {logins: [{name: g, github: {client_id: c, client_secret: {vault: {path: x}}}, "+
		"roles: [{role: admin, groups: [acme]}]}]}", "{env: A}"),
}

func awsIn(keys string) string {
	return "vault: {}\nproviders: [{name: bedrock, region: us-east-1, models: [m], credentials: [{aws: {" + keys + "}}]}]\n"
}

// Wherever a secret stands, it may be in Vault, and a new one there is another version of the configuration, which is how it reaches what
// uses it. A new place for a secret must be added here.
func TestEverySecretMayBeInVault(t *testing.T) {
	before := []string{"Vault.token", "VaultAppRole.secret_id"}
	messages := dragomanv1.File_dragoman_v1_config_proto.Messages()
	for i := range messages.Len() {
		fields := messages.Get(i).Fields()
		for j := range fields.Len() {
			fd := fields.Get(j)
			name := strings.TrimPrefix(string(fd.FullName()), "dragoman.v1.")
			if fd.Kind() == protoreflect.MessageKind && fd.Message().FullName() == secretMessage && !slices.Contains(before, name) && everySecret[name] == "" {
				t.Errorf("no case for %s", name)
			}
		}
	}
	env := vaultEnv + "\nA=SECRET-of-the-environment"
	for _, name := range slices.Sorted(maps.Keys(everySecret)) {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "dragoman.yaml")
			write(t, path, everySecret[name])
			version := func(x string) string {
				values := map[string]string{"x": "SECRET-" + x + "-of-many-characters-and-more", "url": "https://hook.test/" + x, "google": `{"type": "authorized_user",` + "\n" + `"x": "` + x + `"}`}
				s, err := Load(Options{Path: path, Env: envOf(env), Demo: demoAt, Vault: vaultOf(values, nil)})
				if err != nil {
					t.Fatal(err)
				}
				if len(s.Vault.Refs) != 1 {
					t.Fatalf("refs %v", s.Vault.Refs)
				}
				return s.Version
			}
			if a, same, b := version("1"), version("1"), version("2"); a != same || a == b {
				t.Errorf("versions %s, %s and after a rotation %s", a, same, b)
			}
		})
	}
}

// A reload that a refresh asks for takes the new value; one that Vault has no value for changes nothing.
func TestReloadOfARotatedSecret(t *testing.T) {
	values := map[string]string{"dragoman/openai": "SECRET-1"}
	path := filepath.Join(t.TempDir(), "dragoman.yaml")
	write(t, path, openaiIn("vault: {}", "{vault: {path: dragoman/openai}}"))
	s, err := Open(Options{Path: path, Env: envOf(vaultEnv), Demo: demoAt, Vault: vaultOf(values, nil)})
	if err != nil {
		t.Fatal(err)
	}
	values["dragoman/openai"] = "SECRET-2"
	if err := s.Reload(context.Background()); err != nil || s.Current().Clusters[0].Secret.Reveal() != "SECRET-2" {
		t.Fatal(err)
	}
	delete(values, "dragoman/openai")
	if err := s.Reload(context.Background()); err == nil || s.Current().Clusters[0].Secret.Reveal() != "SECRET-2" {
		t.Error("a secret that is gone was taken")
	}
}

func TestSameVault(t *testing.T) {
	base := func() *Vault {
		return &Vault{Address: "a", Namespace: "n", ServerName: "s", CA: []byte("c"), AppRole: &VaultAppRole{"r", "m", NewSecret("x", "env X")}, Timeout: 1}
	}
	if !base().Same(base()) || !(*Vault)(nil).Same(nil) || base().Same(nil) || (*Vault)(nil).SameServer(nil) {
		t.Error("equal ones differ, or others do not")
	}
	for name, change := range map[string]func(*Vault){
		"address": func(v *Vault) { v.Address = "b" }, "namespace": func(v *Vault) { v.Namespace = "b" }, "name": func(v *Vault) { v.ServerName = "b" },
		"CA": func(v *Vault) { v.CA = nil }, "token": func(v *Vault) { v.Token = NewSecret("y", "env Y") }, "secret": func(v *Vault) { v.AppRole.SecretID = NewSecret("y", "env X") },
		"login": func(v *Vault) { v.AppRole, v.Kubernetes = nil, &VaultKubernetes{} }, "timeout": func(v *Vault) { v.Timeout = 2 },
	} {
		v := base()
		if change(v); v.Same(base()) {
			t.Errorf("another %s is the same", name)
		}
	}
	v := base()
	v.Refresh, v.Refs = 7, []VaultRef{{}}
	if !v.Same(base()) {
		t.Error("what is read, and how often, needs no other login")
	}
}

// project does what a kubelet does with a projected volume (Kubernetes' pkg/volume/util/atomic_writer.go): a folder of the new files, a
// link ..data that is swapped to it in one step, and the old folder removed. The names that pods open are links into ..data.
func project(t *testing.T, dir string, serial int, files map[string]string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	old, _ := os.Readlink(filepath.Join(dir, "..data"))
	now := fmt.Sprintf("..2026_01_02_03_04_05.%09d", serial)
	must(os.MkdirAll(filepath.Join(dir, now), 0o755))
	for name, text := range files {
		must(os.WriteFile(filepath.Join(dir, now, name), []byte(text), 0o600))
	}
	must(os.Symlink(now, filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	for name := range files {
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			must(os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
		}
	}
	if old != "" {
		must(os.RemoveAll(filepath.Join(dir, old)))
	}
}

// A projected volume is swapped under the process: the credential, the listener's certificate and the token for Vault are the new ones, by
// the file system's events and long before the poll.
func TestProjectedFilesAreSeen(t *testing.T) {
	dir := t.TempDir()
	secrets, certs := filepath.Join(dir, "secrets"), filepath.Join(dir, "certs")
	for _, d := range []string{secrets, certs} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	pair := func() map[string]string {
		made := t.TempDir()
		writePair(t, made, "p")
		files := map[string]string{}
		for name, from := range map[string]string{"tls.crt": "p.pem", "tls.key": "p.key"} {
			text, err := os.ReadFile(filepath.Join(made, from))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(text)
		}
		return files
	}
	project(t, secrets, 1, map[string]string{"openai": "SECRET-1\n", "vault": "SECRET-token-1\n"})
	project(t, certs, 1, pair())
	path := filepath.Join(dir, "dragoman.yaml")
	write(t, path, `
listen: {tls: {certificate: certs/tls.crt, private_key: certs/tls.key}}
vault: {address: "https://vault.test", token: {file: secrets/vault}}
providers: [{name: openai, credentials: [{secret: {file: secrets/openai}}], models: [m]}]
`)
	s, err := Open(Options{Path: path, Env: noEnv, Demo: demoAt})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, s)
	time.Sleep(2 * quiet) // the watcher follows the folders by now: what comes is told by events
	for serial := 2; serial < 5; serial++ {
		started := time.Now()
		project(t, secrets, serial, map[string]string{"openai": fmt.Sprintf("SECRET-%d\n", serial), "vault": fmt.Sprintf("SECRET-token-%d\n", serial)})
		eventually(t, "the secrets are seen", func() bool {
			c := s.Current()
			return c.Clusters[0].Secret.Reveal() == fmt.Sprintf("SECRET-%d", serial) && c.Vault.Token.Reveal() == fmt.Sprintf("SECRET-token-%d", serial)
		})
		before := s.Current().TLS.PrivateKey
		files := pair()
		project(t, certs, serial, files)
		eventually(t, "the certificate is seen", func() bool { return string(s.Current().TLS.Certificate) == files["tls.crt"] })
		if s.Current().TLS.PrivateKey == before {
			t.Error("a certificate with another's key")
		}
		if took := time.Since(started); took > poll-time.Second {
			t.Errorf("seen after %s: by the poll, and not by events", took)
		}
	}
	if st := s.Status(); st.Failures > 0 {
		t.Errorf("a load saw halves: %v", st.LastError)
	}
}
