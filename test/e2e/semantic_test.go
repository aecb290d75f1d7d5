package e2e

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"

	"dragoman/internal/config"
	"dragoman/test/harness"
)

// semanticConfig has two tenants and the semantic tier on every route; the deadline is one that a busy test machine keeps.
func semanticConfig(semantic string) string {
	return "{{providers}}retry: {max_attempts: 1}\n" +
		"cache: {exact: {}, semantic: {every_route: true, timeout: 5s" + semantic + "}}\n" +
		"tenants:\n" +
		"- {name: acme, keys: [{name: k, hash: '" + config.HashKey("dgm_acme") + "'}]}\n" +
		"- {name: globex, keys: [{name: k, hash: '" + config.HashKey("dgm_globex") + "'}]}\n"
}

// asked is a question asked and answered, with what it leaves in the cache.
func asked(t testing.TB, g *harness.Gateway, tenant, client, question string, stream bool) *answer {
	t.Helper()
	a := askAs(t, g, tenant, client, chatBody(cachedModel, question, stream))
	if a.err != nil || a.status != http.StatusOK {
		t.Fatalf("%s: %v", question, a)
	}
	settled(t, g)
	return a
}

// embedderEnv says where the Makefile has put the local embedder.
func embedderEnv() map[string]string {
	return map[string]string{"DRAGOMAN_EMBEDDER": os.Getenv("DRAGOMAN_EMBEDDER")} // unset: the tests fail, and say what is missing
}

func metricsOf(t testing.TB, g *harness.Gateway) string {
	t.Helper()
	text, err := g.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func semanticKey(t testing.TB, a *answer) string {
	t.Helper()
	state := a.header.Get("x-dragoman-cache")
	_, key, ok := strings.Cut(state, "; key=")
	if !strings.HasPrefix(state, "semantic; similarity=") || !ok {
		t.Fatalf("no semantic hit: %q", state)
	}
	return key
}

// TestSemanticHit: the real model on this machine finds that a question was asked in other words.
func TestSemanticHit(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: semanticConfig(""), Env: embedderEnv()})
	first, other := "How can I reset my password?", "How do I reset my password?"
	n := 0
	waitFor(t, "the embedder", func() bool {
		n++
		asked(t, g, "acme", "openai", fmt.Sprintf("Which is number %d?", n), false)
		return strings.Contains(metricsOf(t, g), `dragoman_semantic_lookups_total{outcome="miss"}`)
	})
	asked(t, g, "acme", "openai", first, false)
	for _, client := range []string{"openai", "anthropic"} {
		for _, stream := range []bool{false, true} {
			a := asked(t, g, "acme", client, other, stream)
			semanticKey(t, a)
			if a.text != "echo: "+first {
				t.Errorf("%s stream %t: %q", client, stream, a.text)
			}
		}
	}
	t.Run("another tenant never shares", func(t *testing.T) {
		if a := asked(t, g, "globex", "openai", other, false); a.header.Get("x-dragoman-cache") != "miss" || a.text != "echo: "+other {
			t.Errorf("%v %q", a.header, a.text)
		}
	})
	t.Run("another system prompt never shares", func(t *testing.T) {
		body := strings.Replace(chatBody(cachedModel, other, false), `"messages":[`, `"messages":[{"role":"system","content":"You are terse."},`, 1)
		if a := askAs(t, g, "acme", "openai", body); a.header.Get("x-dragoman-cache") != "miss" {
			t.Errorf("%v", a.header)
		}
	})
	t.Run("what must differ does", func(t *testing.T) {
		asked(t, g, "acme", "openai", "Is it safe to take 5 mg of it every day?", false)
		for _, trap := range []string{"Is it safe to take 50 mg of it every day?", "Is it not safe to take 5 mg of it every day?"} {
			if a := asked(t, g, "acme", "openai", trap, false); a.header.Get("x-dragoman-cache") != "miss" || a.text != "echo: "+trap {
				t.Errorf("%v %q", a.header, a.text)
			}
		}
	})
	t.Run("a hit that was wrong is not served again", func(t *testing.T) {
		key := semanticKey(t, asked(t, g, "acme", "anthropic", "How do I reset my password ?", false))
		resp, err := http.Post(g.Admin+"/cache/feedback", "application/json", strings.NewReader(`{"key":"`+key+`","wrong":true}`))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("feedback: %d", resp.StatusCode)
		}
		if a := asked(t, g, "acme", "openai", "How do I reset my password?!", false); a.header.Get("x-dragoman-cache") != "miss" {
			t.Errorf("%v", a.header)
		}
	})
}

// TestSemanticShadow serves nothing, and reports what it would have served.
func TestSemanticShadow(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: semanticConfig(", shadow: true"), Env: embedderEnv()})
	n := 0
	waitFor(t, "what would have been a hit", func() bool {
		n++
		asked(t, g, "acme", "openai", fmt.Sprintf("How can I reset my password %d?", n), false)
		a := asked(t, g, "acme", "openai", fmt.Sprintf("How do I reset my password %d?", n), false)
		if strings.HasPrefix(a.header.Get("x-dragoman-cache"), "semantic") {
			t.Fatalf("%v", a.header)
		}
		return strings.Contains(metricsOf(t, g), `dragoman_semantic_lookups_total{outcome="shadow"}`)
	})
}

// TestSemanticByEndpoint: a provider's embeddings, asked for through Envoy with the provider's own credential. The fake's vectors are
// alike only for what is the same but for courtesies.
func TestSemanticByEndpoint(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: semanticConfig(", embedder: {endpoint: {provider: openai, model: text-embedding-3-small}}")})
	asked(t, g, "acme", "openai", "What is the boiling point of water?", false)
	a := asked(t, g, "acme", "openai", "Please, what is the boiling point of water? Thanks!", false)
	semanticKey(t, a)
	embedded := 0
	for _, r := range g.OpenAI().Requests() {
		if r.Path == "/v1/embeddings" {
			embedded++
		}
	}
	if embedded == 0 || a.text != "echo: What is the boiling point of water?" {
		t.Errorf("%d embeddings; %q", embedded, a.text)
	}
	g.CheckFakes(t)
}
