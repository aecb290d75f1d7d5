package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/test/harness"
	"dragoman/test/sdk"
)

func TestGoSDKsWithEachProvider(t *testing.T) { goSDKs(t, harness.Shared(t, everyone)) }

// governed has everything on that stands between a request and its provider: a hierarchy with limits and budgets at each level, the cache,
// rules, a queue, and a ledger.
var governed = everyone + `
cache: {exact: {ttl: 1h, tools: true, images: true, max_temperature: 2}}
ledger: {sqlite: "{{dir}}/ledger.db"}
rules: [{name: never, when: 'team == "nobody" || tokens > 100000000', refuse: {message: no}}, {name: always, when: 'tenant == "acme"', providers: [openai, responses, anthropic, gemini, bedrock, cohere]}]
global: {limits: {requests_per_minute: 1000000, tokens_per_minute: 1000000000}, budgets: [{tokens: 1000000000, per: hour}]}
organisations: [{name: group, budgets: [{usd: 100000, per: day, unpriced: ignore}]}]
tenants:
- name: acme
  organisation: group
  limits: {requests_per_minute: 1000000, tokens_per_minute: 1000000000, concurrent_requests: 10000, concurrent_streams: 10000}
  budgets: [{usd: 100000, per: month, unpriced: ignore}, {name: t, tokens: 1000000000, rolling: 1h}]
  teams:
  - name: search
    limits: {per_model: [{models: ["*"], requests_per_minute: 1000000}]}
    users: [{name: ada, budgets: [{tokens: 1000000000, per: week}], keys: [{name: k, hash: "` + config.HashKey("sk-client") + `", limits: {tokens_per_minute: 1000000000}, budgets: [{tokens: 1000000000, per: day}]}]}]
`

func TestGoSDKsWithEachProviderGoverned(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: governed})
	t.Run("all", func(t *testing.T) { goSDKs(t, g) })
	if u := usageOf(t, g, "by=user"); u.Total.Requests < 300 || u.Total.Refused > 100 {
		t.Errorf("%+v", u)
	}
}

func goSDKs(t *testing.T, g *harness.Gateway) {
	t.Helper()
	ran, used := 0, map[string]bool{}
	for _, provider := range harness.Schemas {
		for _, c := range sdk.EveryChatCase() {
			if !holds(&c, provider) {
				continue
			}
			ran++
			why := excepted(c.Client, provider, c.Name)
			used[why] = true
			t.Run(c.Client+" to "+provider+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err := c.Run(ctx, g.Target("sk-client", modelFor(g, &c, provider)))
				if why == "" && err != nil {
					t.Error(err)
				}
				if why != "" && err == nil {
					t.Errorf("no exception any more, although %s", why)
				}
			})
		}
	}
	if ran < 5*70 {
		t.Errorf("only %d cases ran", ran)
	}
	for _, e := range exceptions {
		if !used[e.why] {
			t.Errorf("no case is excepted because %s", e.why)
		}
	}
}

// TestPythonSDKsWithEachProvider: one process for each client, with a model of each provider at once.
func TestPythonSDKsWithEachProvider(t *testing.T) {
	g := harness.Shared(t, everyone)
	for client, least := range map[string]int{"openai": 30, "responses": 28, "anthropic": 30, "gemini": 30, "cohere": 20} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			owners := map[string]string{}
			var models []string
			for _, provider := range harness.Schemas {
				if provider == "responses" && client != "responses" {
					continue
				}
				model := g.Fakes[provider].Model()
				owners[model], models = provider, append(models, model)
			}
			o := sdk.PythonOptions{Client: client}
			if client != "cohere" { // its first model does not think
				o.NativeAt = []string{g.Fakes[client].Model()}
			}
			report, err := sdk.Python(ctx, g.Target("sk-client", ""), models, o)
			if err != nil {
				t.Fatal(err)
			}
			if len(report) < least*len(models) {
				t.Errorf("only %d cases ran", len(report))
			}
			for name, result := range report {
				part := strings.SplitN(name, "/", 4) // client, sync or async, case, model
				provider := owners[part[3]]
				if why := excepted(client, provider, part[2]); result != "ok" && why == "" {
					t.Errorf("to %s: %s: %s", provider, name, result)
				}
			}
		})
	}
}

// vectorProviders are the schemas with embeddings, and a model of each with its size.
var vectorProviders = map[string]sdk.Target{
	"openai": {Model: "text-embedding-3-small"}, "gemini": {Model: "gemini-embedding-001", Size: 3072, NoUsage: true}, "cohere": {Model: "embed-v4.0"},
}

func TestEmbeddingsOfEachProvider(t *testing.T) {
	g := harness.Shared(t, everyone)
	for provider, to := range vectorProviders {
		for _, c := range sdk.EmbeddingCases() {
			t.Run(c.Client+" to "+provider+"/"+c.Name, func(t *testing.T) {
				t.Parallel()
				target := g.Target("sk-client", provider+"/"+to.Model)
				target.Size, target.NoUsage = to.Size, to.NoUsage
				if err := c.Run(t.Context(), target); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestPythonEmbeddingsRerankAndCounts(t *testing.T) {
	g := harness.Shared(t, everyone)
	counted := []string{"openai/gpt-4.1", "anthropic/claude-opus-4-5", "gemini/gemini-3-flash-preview", "cohere/command-a-03-2025"}
	for client, models := range map[string][]string{
		"openai-embeddings": {"openai/text-embedding-3-small", "cohere/embed-v4.0"},
		"cohere-embeddings": {"openai/text-embedding-3-small", "cohere/embed-v4.0"},
		"cohere-rerank":     {"cohere/rerank-v3.5"},
		"anthropic-count":   counted,
	} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			report, err := sdk.Python(ctx, g.Target("sk-client", ""), models, sdk.PythonOptions{Client: client})
			if err != nil {
				t.Fatal(err)
			}
			for name, result := range report {
				if result != "ok" {
					t.Errorf("%s: %s", name, result)
				}
			}
		})
	}
}

func TestRerankAndCounts(t *testing.T) {
	g := harness.Shared(t, everyone)
	run := func(c sdk.Case, model string) {
		t.Run(c.Client+" to "+model+"/"+c.Name, func(t *testing.T) {
			t.Parallel()
			if err := c.Run(t.Context(), g.Target("sk-client", model)); err != nil {
				t.Error(err)
			}
		})
	}
	for _, c := range sdk.RerankCases() {
		run(c, "cohere/rerank-v3.5")
	}
	for _, provider := range chatProviders {
		for _, c := range sdk.CountCases() {
			run(c, provider+"/"+g.Fakes[provider].Model())
		}
	}
}

// chatProviders are the schemas with chat.
var chatProviders = slices.DeleteFunc(slices.Clone(harness.Schemas), func(s string) bool { return s == "responses" })

// TestCountsSayWhenTheyAreEstimates: Anthropic and Google count, nobody else does.
func TestCountsSayWhenTheyAreEstimates(t *testing.T) {
	g := harness.Shared(t, everyone)
	for _, provider := range chatProviders {
		model := provider + "/" + g.Fakes[provider].Model()
		counts := provider == "anthropic" || provider == "gemini"
		for path, body := range map[string]string{
			"/v1/messages/count_tokens":                `{"model":"` + model + `","messages":[{"role":"user","content":"tell me more"}]}`,
			"/v1beta/models/" + model + ":countTokens": `{"contents":[{"role":"user","parts":[{"text":"tell me more"}]}]}`,
		} {
			a := post(t, g, path, body)
			if a.status != 200 || (a.header.Get("X-Dragoman-Estimate") == "") != counts {
				t.Errorf("%s of %s: %s", path, model, a)
			}
		}
		if n := len(g.Fakes[provider].Requests()); n != map[bool]int{true: 2}[counts] {
			t.Errorf("%s got %d requests", provider, n)
		}
	}
}
