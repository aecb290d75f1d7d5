package ops

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/internal/observe"
)

// root is the repository's.
const root = "../.."

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, path))
	must(t, err)
	return string(b)
}

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	shBlock   = regexp.MustCompile("(?s)```sh\n(.*?)```")
	codeSpan  = regexp.MustCompile("`([^`\n]+)`")
	link      = regexp.MustCompile(`\]\(([^)#:]+)\)`)
)

func documents(t testing.TB) []string {
	t.Helper()
	list := []string{"README.md", "RATIONALE.md", "CHANGELOG.md", "CONTRIBUTING.md"}
	more, err := filepath.Glob(filepath.Join(root, "deploy", "*.md"))
	must(t, err)
	for _, path := range more {
		rel, err := filepath.Rel(root, path)
		must(t, err)
		list = append(list, rel)
	}
	return list
}

// anyVariable gives each variable that a configuration may name a value.
func anyVariable(name string) (string, bool) {
	known := slices.ContainsFunc([]string{"KEY", "TOKEN", "SECRET", "DSN"}, func(part string) bool { return strings.Contains(name, part) })
	return "sk-test-0123456789-" + strings.ToLower(name), known
}

// anySecret is a Vault that has whatever a configuration refers to.
func anySecret(_ *config.Vault, refs []config.VaultRef) config.VaultAnswer {
	a := config.VaultAnswer{Values: map[config.VaultRef]string{}}
	for _, ref := range refs {
		a.Values[ref] = "sk-test-" + ref.String()
	}
	return a
}

// TestDocumentedConfigs loads every configuration that the documents show, without a warning.
func TestDocumentedConfigs(t *testing.T) {
	shown := map[string]string{}
	for _, doc := range documents(t) {
		for _, m := range yamlBlock.FindAllStringSubmatch(read(t, doc), -1) {
			shown[doc+": "+strings.SplitN(m[1], "\n", 2)[0]] = m[1]
		}
	}
	examples, err := filepath.Glob(filepath.Join(root, "deploy", "examples", "*.yaml"))
	must(t, err)
	for _, path := range examples {
		b, err := os.ReadFile(path)
		must(t, err)
		shown[path] = string(b)
	}
	if len(shown) < 3 {
		t.Errorf("only %d configurations found", len(shown))
	}
	for name, text := range shown {
		dir := t.TempDir()
		exampleFiles(t, dir)
		snap, err := config.Load(config.Options{Path: write(t, filepath.Join(dir, "dragoman.yaml"), text), Env: anyVariable, Vault: anySecret})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, w := range snap.Warnings {
			if !strings.Contains(w, "no keys are configured") {
				t.Errorf("%s: warning: %s", name, w)
			}
		}
	}
}

// exampleFiles are the certificates and secrets that examples name.
func exampleFiles(t testing.TB, dir string) {
	t.Helper()
	for _, folder := range []string{"tls", "secrets"} {
		must(t, os.Mkdir(filepath.Join(dir, folder), 0o700))
	}
	ca := authority(t)
	_, _, err := ca.WritePair(filepath.Join(dir, "tls"), "server", "gateway.example")
	must(t, err)
	for _, name := range []string{"clients-ca.pem", "inhouse-ca.pem"} {
		write(t, filepath.Join(dir, "tls", name), string(ca.PEM()))
	}
	for _, name := range []string{"openai", "inhouse"} {
		write(t, filepath.Join(dir, "secrets", name), "sk-test-"+name+"\n")
	}
	write(t, filepath.Join(dir, "tls", "ci-jwks.json"), `{"keys": [{"kty": "RSA", "kid": "1", "n": "AA", "e": "AQAB"}]}`)
	write(t, filepath.Join(dir, "bench.yaml"), "models: [{name: claude-haiku-4-5, provider: anthropic, quality: {code: 0.7}}]\n")
	write(t, filepath.Join(dir, "secrets", "google.json"), `{"type": "service_account", "client_email": "gateway@example.iam.gserviceaccount.com"}`)
	write(t, filepath.Join(dir, "secrets", "aws"), "[ops]\naws_access_key_id = AKIATEST\naws_secret_access_key = test\n")
}

// TestDocumentedCommands: every `dragoman …` that a document or a unit shows is a command with these flags.
func TestDocumentedCommands(t *testing.T) {
	var lines []string
	for _, doc := range documents(t) {
		text := read(t, doc)
		for _, m := range shBlock.FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Split(m[1], "\n")...)
		}
		for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
			lines = append(lines, m[1])
		}
	}
	units, err := filepath.Glob(filepath.Join(root, "deploy", "systemd", "*.service"))
	must(t, err)
	for _, path := range units {
		b, err := os.ReadFile(path)
		must(t, err)
		for line := range strings.Lines(string(b)) {
			if exec, ok := strings.CutPrefix(line, "ExecStart="); ok {
				lines = append(lines, strings.TrimSpace(exec))
			}
		}
	}
	help := map[string]string{}
	checked := 0
	for _, line := range lines {
		words := strings.Fields(line)
		if len(words) < 2 || filepath.Base(words[0]) != "dragoman" {
			continue
		}
		name := []string{words[1]}
		if len(words) > 2 && slices.Contains([]string{"keys", "bench", "ledger", "audit", "tokens"}, words[1]) {
			name = words[1:3] // a group of commands
		}
		key := strings.Join(name, " ")
		if _, known := help[key]; !known {
			code, out, stderr := command(t, nil, "", append(name, "--help")...)
			if code != 0 {
				t.Errorf("%q: there is no such command: %s", line, stderr)
			}
			help[key] = out
		}
		for _, word := range words {
			if flag, _, _ := strings.Cut(word, "="); strings.HasPrefix(flag, "--") && !strings.Contains(help[key], flag) {
				t.Errorf("%q: %s has no flag %s", line, key, flag)
			}
		}
		checked++
	}
	if checked < 8 || len(help) < 5 {
		t.Errorf("only %d lines with %d commands found", checked, len(help))
	}
}

// TestDocumentedCurl is the README's first request, against what `run` starts.
func TestDocumentedCurl(t *testing.T) {
	m := regexp.MustCompile("(?s)<!-- test: curl -->\n```sh\n(.*?)```").FindStringSubmatch(read(t, "README.md"))
	if m == nil {
		t.Fatal("the README has no curl")
	}
	listen := freePort(t)
	p := start(t, nil, "run", "--listen", listen, "--admin", freePort(t))
	p.says(t, "Try:")
	out, err := exec.CommandContext(t.Context(), "sh", "-c", "unset http_proxy HTTP_PROXY; "+strings.ReplaceAll(m[1], "localhost:8080", listen)).CombinedOutput()
	if err != nil || gjson.GetBytes(out, "choices.0.message.content").String() == "" {
		t.Errorf("%s: %v %s", m[1], err, out)
	}
	p.signal(t, syscall.SIGTERM)
	p.exit(t, 10*time.Second)
}

// TestDocumentedFiles exist.
func TestDocumentedFiles(t *testing.T) {
	for _, doc := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, doc), -1) {
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(doc), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", doc, m[1], err)
			}
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z]+(?:/[a-z]+)?)` \\|").FindAllStringSubmatch(read(t, "README.md"), -1) {
		if st, err := os.Stat(filepath.Join(root, m[1])); err != nil || !st.IsDir() {
			t.Errorf("README's folder table: %s: %v", m[1], err)
		}
	}
}

var metricName = regexp.MustCompile(`\b(?:dragoman|gen_ai)_[a-z0-9_]+`)

// TestDocumentedMetrics: alerts and documents name only metrics that there are.
func TestDocumentedMetrics(t *testing.T) {
	descs := make(chan *prometheus.Desc, 1000)
	observe.NewMetrics().Registry().Describe(descs)
	close(descs)
	var known []string
	for d := range descs {
		known = append(known, regexp.MustCompile(`fqName: "([^"]+)"`).FindStringSubmatch(d.String())[1])
	}
	texts := map[string]string{"README.md": read(t, "README.md"), "deploy/README.md": read(t, "deploy/README.md")}
	for _, name := range []string{"scrape.yaml", "dragoman.rules.yaml"} {
		path := filepath.Join("deploy", "prometheus", name)
		texts[path] = read(t, path)
		var parsed map[string]any
		if err := yaml.Unmarshal([]byte(texts[path]), &parsed); err != nil || len(parsed) == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
	found := 0
	for where, text := range texts {
		for _, name := range metricName.FindAllString(text, -1) {
			found++
			if !slices.Contains(known, name) {
				t.Errorf("%s: there is no metric %s", where, name)
			}
		}
	}
	if found < 6 {
		t.Errorf("only %d metrics named", found)
	}
}
