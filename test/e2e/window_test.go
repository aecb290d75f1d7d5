package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// windowConfig has models with small windows, and a route for each policy.
const windowConfig = `providers:
{{provider "openai"}}{{provider "anthropic"}}models:
- {name: small, provider: openai, id: gpt-4o, context: 2000, max_output: 500}
- {name: medium, provider: anthropic, id: claude-haiku-4-5, context: 8000, max_output: 500}
routes:
- {model: by-default, strategy: fallback, candidates: [small, medium]}
- {model: next, strategy: fallback, context: next, candidates: [small, medium]}
- {model: reject, strategy: fallback, context: reject, candidates: [small, medium]}
- {model: oldest, strategy: fallback, context: truncate_oldest, candidates: [small, medium]}
- {model: middle, strategy: fallback, context: truncate_middle, candidates: [small, medium]}
`

// sentence has about fourteen tokens in every vocabulary.
const sentence = "The quick brown fox jumps over the lazy dog and runs away. "

// long is a conversation with a system prompt, a call with its result in the second turn, and turns of about 150 tokens each.
func long(client, model string, turns int) string {
	body := &strings.Builder{}
	system := `{"role":"system","content":"Keep this."},`
	call := `{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_1","content":"42"},`
	tools := `"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{}}}}]`
	extra := ""
	if client == "anthropic" {
		system, extra = "", `"max_tokens":100,"system":"Keep this.",`
		call = `{"role":"assistant","content":[{"type":"tool_use","id":"call_1","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":"42"}]},`
		tools = `"tools":[{"name":"f","input_schema":{"type":"object","properties":{}}}]`
	}
	fmt.Fprintf(body, `{"model":%q,%s%s,"messages":[%s`, model, extra, tools, system)
	for i := range turns {
		fmt.Fprintf(body, `{"role":"user","content":"Turn %d. %s"},`, i, strings.Repeat(sentence, 10))
		if i == 1 {
			body.WriteString(call)
		}
		fmt.Fprintf(body, `{"role":"assistant","content":"Answer %d."},`, i)
	}
	fmt.Fprintf(body, `{"role":"user","content":%q}]}`, question)
	return body.String()
}

// seen are the texts that a provider got, in order.
func seen(r *fakeprovider.Request) string {
	var texts []string
	r.Get("messages").ForEach(func(_, m gjson.Result) bool {
		texts = append(texts, m.Get("role").Str+": "+m.Get("content").Raw)
		return true
	})
	return strings.Join(texts, "\n")
}

// TestWindows: what becomes of a request that is too long for a model, by the route's policy.
func TestWindows(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: windowConfig, Fakes: []fakeprovider.Options{harness.Default("openai"), harness.Default("anthropic")}})
	ask := func(client, model string, turns int) *answer {
		if err := g.ResetFakes(); err != nil {
			t.Fatal(err)
		}
		return post(t, g, paths[client], long(client, model, turns), "Anthropic-Version", "2023-06-01")
	}
	for _, client := range schemas {
		for _, model := range []string{"by-default", "next", "reject", "oldest", "middle"} {
			if a := ask(client, model, 3); a.status != 200 || a.header.Get("X-Dragoman-Provider") != "openai" || a.header.Get("X-Dragoman-Truncated") != "" {
				t.Errorf("%s %s, what fits: %s", client, model, a)
			}
		}
		for _, model := range []string{"by-default", "next"} {
			if a := ask(client, model, 20); a.status != 200 || a.header.Get("X-Dragoman-Provider") != "anthropic" || len(g.OpenAI().Requests()) != 0 || a.header.Get("X-Dragoman-Attempts") != "" {
				t.Errorf("%s %s, too long for the first: %s", client, model, a)
			}
			a := ask(client, model, 100)
			wantFault(t, a, client, 400, "tokens", "medium", "8000")
			wantTooLong(t, client, a)
		}
		a := ask(client, "reject", 20)
		wantFault(t, a, client, 400, "tokens", "small", "2000")
		wantTooLong(t, client, a)
		if len(g.OpenAI().Requests())+len(g.Anthropic().Requests()) != 0 {
			t.Errorf("%s reject: a provider was asked", client)
		}
		for _, model := range []string{"oldest", "middle"} {
			a := ask(client, model, 30)
			if a.status != 200 || a.header.Get("X-Dragoman-Provider") != "openai" || !strings.HasPrefix(a.header.Get("X-Dragoman-Truncated"), "messages=") || !strings.Contains(string(a.body), reply) {
				t.Errorf("%s %s: %s", client, model, a)
				continue
			}
			got := seen(g.OpenAI().Last())
			first := strings.Contains(got, "Turn 0.")
			if !strings.Contains(got, "Keep this.") || !strings.Contains(got, question) || strings.Contains(got, "Turn 5.") || first != (model == "middle") || strings.Contains(got, `"42"`) {
				t.Errorf("%s %s: the provider got %s", client, model, got)
			}
		}
	}
}

// wantTooLong: an SDK's user finds the vendor's own word for it.
func wantTooLong(t *testing.T, client string, a *answer) {
	t.Helper()
	switch client {
	case "openai":
		if gjson.GetBytes(a.body, "error.code").Str != "context_length_exceeded" || gjson.GetBytes(a.body, "error.param").Str != "messages" {
			t.Errorf("%s", a)
		}
	case "anthropic":
		if gjson.GetBytes(a.body, "error.type").Str != "invalid_request_error" {
			t.Errorf("%s", a)
		}
	}
}

// TestWindowsOfLaterAttempts: an attempt at a model with another window is cut, or not, for that window.
func TestWindowsOfLaterAttempts(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: windowConfig, Fakes: []fakeprovider.Options{harness.Default("openai"), harness.Default("anthropic")}})
	g.OpenAI().Fail(100, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 503})
	a := post(t, g, paths["openai"], long("openai", "oldest", 30))
	if a.status != 200 || a.header.Get("X-Dragoman-Provider") != "anthropic" || a.header.Get("X-Dragoman-Truncated") != "" {
		t.Errorf("%s", a)
	}
	if got := seen(g.Anthropic().Last()); !strings.Contains(got, "Turn 0.") || !strings.Contains(got, "Turn 29.") {
		t.Errorf("the larger window was cut too: %s", got)
	}
}
