package e2e

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dragoman/internal/app"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// contest has three models of the same price, of which nobody knows which is good at what.
const contest = `providers:
  - {name: coder, schema: openai, dialect: none, endpoint: {{endpoint "coder"}}, credentials: [{secret: {env: {{keyvar "coder"}}}}], catalogue: none}
  - {name: scholar, schema: openai, dialect: none, endpoint: {{endpoint "scholar"}}, credentials: [{secret: {env: {{keyvar "scholar"}}}}], catalogue: none}
  - {name: broken, schema: openai, dialect: none, endpoint: {{endpoint "broken"}}, credentials: [{secret: {env: {{keyvar "broken"}}}}], catalogue: none}
models:
  - {name: code-model, provider: coder, price: {input: 1, output: 2}}
  - {name: book-model, provider: scholar, price: {input: 1, output: 2}}
  - {name: sad-model, provider: broken}
retry: {max_attempts: 1}
`

const contestRoute = `
catalogue: {overrides: [{file: {{dir}}/bench.yaml}]}
routes:
  - {model: best, strategy: quality, weights: {quality: 1}, local_first: 0, candidates: [book-model, code-model]}
`

// right has right answers to some of the built-in tasks, found by a piece of their prompts.
var right = map[string]map[string]string{
	"coder": {
		"What does this Python program print": "It prints\n\n381", "Write one regular expression": "`([01][0-9]|2[0-3]):[0-5][0-9]`",
		"It has one bug": "3", "After how many minutes": "The tank is full after 135",
	},
	"scholar": {
		"atomic number 74": "**Tungsten**", "Treaty of Westphalia": "It was signed in 1648 and ended the Thirty Years' War.", "calcitonin": "B",
		"After how many minutes": "135 minutes",
	},
}

func contestGateway(t *testing.T) *harness.Gateway {
	var fakes []fakeprovider.Options
	for name, model := range map[string]string{"coder": "code-model", "scholar": "book-model", "broken": "sad-model"} {
		fakes = append(fakes, fakeprovider.Options{Schema: fakeprovider.OpenAI, Name: name, Keys: []string{"sk-" + name + "-0123456789abcdef"}, Models: []string{model}})
	}
	g := harness.Start(t, harness.Options{Fakes: fakes, Config: contest})
	for name, answers := range right {
		for piece, text := range answers {
			g.Fakes[name].Script(fakeprovider.Rule{Match: func(r *fakeprovider.Request) bool { return strings.Contains(string(r.Body), piece) },
				Reply: &fakeprovider.Reply{Blocks: []fakeprovider.Block{{Kind: fakeprovider.TextBlock, Text: text}}, Usage: &fakeprovider.Usage{Input: 1000, Output: 500}}})
		}
	}
	g.Fakes["broken"].Script(fakeprovider.Rule{Fault: &fakeprovider.Fault{Kind: fakeprovider.Status}})
	return g
}

// TestBenchModelsTeachesTheRouting measures models through the gateway, and has it route by what was measured.
func TestBenchModelsTeachesTheRouting(t *testing.T) {
	g := contestGateway(t)
	out, svg := filepath.Join(g.Dir, "bench.yaml"), filepath.Join(g.Dir, "bench.svg")
	var stdout, stderr bytes.Buffer
	bench := app.ModelBench{URL: g.URL, Out: out, SVG: svg, Concurrency: 3, Timeout: 20 * time.Second, Stdout: &stdout, Stderr: &stderr, Client: g.HTTP,
		Now: func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }}
	if err := app.BenchModels(t.Context(), bench); err == nil || !strings.Contains(err.Error(), "--yes") {
		t.Fatalf("money was spent without asking: %v", err)
	}
	if n := len(g.Fakes["coder"].Requests()); n > 0 {
		t.Fatalf("%d requests before anybody agreed", n)
	}
	bench.Yes = true
	if err := app.BenchModels(t.Context(), bench); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	wantAll(t, "costs", stderr.String(), "3 models × 14 tasks = 42 requests", "broken/sad-model costs, whose price is unknown")
	wantAll(t, "table", stdout.String(), "coder/code-model", "scholar/book-model", "broken/sad-model", "14 × status 500: Provider broken")
	yaml, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, "overrides", string(yaml), "# broken/sad-model answered too few tasks", "measured them on 2026-03-01",
		"- name: \"code-model\"\n  provider: \"coder\"\n  quality:", "code: 1.000", "knowledge: 1.000")
	chart, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	wantAll(t, "chart", string(chart), "<svg", "coder/code-model", "scholar/book-model")

	g.MustReload(t, contest+contestRoute)
	for prompt, provider := range map[string]string{
		"Write a Python function that sorts a list of strings and add unit tests.": "coder",
		"Who was the first emperor of China, and when did he reign?":               "scholar",
	} {
		status, header, body := postVendor(t, g, "openai", `{"model":"best","messages":[{"role":"user","content":"`+prompt+`"}]}`)
		if status != http.StatusOK || header.Get("X-Dragoman-Provider") != provider {
			t.Errorf("%q went to %q (%d %s)", prompt, header.Get("X-Dragoman-Provider"), status, body)
		}
	}
}

func wantAll(t *testing.T, what, text string, pieces ...string) {
	t.Helper()
	for _, piece := range pieces {
		if !strings.Contains(text, piece) {
			t.Errorf("%s lacks %q:\n%s", what, piece, text)
		}
	}
}
