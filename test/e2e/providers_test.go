package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// vendor is a provider that copied OpenAI's API.
type vendor struct{ name, dialect, version string }

var vendors = []vendor{
	{name: "azure", dialect: "azure"}, {name: "azure-classic", dialect: "azure", version: "2024-10-21"},
	{name: "mistral", dialect: "mistral"}, {name: "groq", dialect: "groq"}, {name: "deepseek", dialect: "deepseek"},
	{name: "openrouter", dialect: "openrouter"}, {name: "ollama", dialect: "ollama"}, {name: "xai", dialect: "xai"},
}

const vendorModel = "some-model"

// vendorGateway has each vendor's fake as a provider of its dialect.
func vendorGateway(t *testing.T) *harness.Gateway {
	var fakes []fakeprovider.Options
	config := "providers:\n"
	for _, v := range vendors {
		fakes = append(fakes, fakeprovider.Options{Schema: fakeprovider.OpenAI, Name: v.name, Dialect: v.dialect, APIVersion: v.version,
			Keys: []string{"sk-" + v.name + "-0123456789abcdef"}, Models: []string{vendorModel}})
		config += fmt.Sprintf("  - name: %s\n    schema: openai\n    dialect: %s\n    endpoint: {{endpoint %q}}\n    credentials: [{secret: {env: {{keyvar %q}}}}]\n    models: [%s]\n",
			v.name, v.dialect, v.name, v.name, vendorModel)
		if v.version != "" {
			config += "    api_version: \"" + v.version + "\"\n"
		}
	}
	return harness.Start(t, harness.Options{Fakes: fakes, Config: config})
}

// postVendor sends a body and returns the answer.
func postVendor(t *testing.T, g *harness.Gateway, schema, body string) (int, http.Header, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+paths[schema], strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if schema == "anthropic" {
		req.Header.Set("Anthropic-Version", "2023-06-01")
	}
	resp, err := g.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(got)
}

// fromOpenAI is a turn of an agent that was written for OpenAI alone: the newest names, an answer sent back as it came with
// the extensions that the gateway gave it, marks for another provider's cache.
const fromOpenAI = `{"model":"MODEL","max_completion_tokens":50,"seed":7,"temperature":0.5,"user":"u-1","store":false,"n":1,"parallel_tool_calls":true,
 "tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}],"tool_choice":"auto",
 "messages":[{"role":"developer","content":[{"type":"text","text":"be brief"},{"type":"text","text":"and kind"}]},
 {"role":"user","name":"ann","content":"weather?"},
 {"role":"assistant","content":null,"refusal":null,"reasoning_content":"hm","thinking_blocks":[{"type":"thinking","thinking":"hm","signature":"s=="}],
  "tool_calls":[{"id":"call_0123456789abcdef","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}}]},
 {"role":"tool","tool_call_id":"call_0123456789abcdef","content":"sunny"}]STREAM}`

// fromAnthropic is the same turn of an agent for Anthropic's API.
const fromAnthropic = `{"model":"MODEL","max_tokens":50,"temperature":0.5,"metadata":{"user_id":"u-1"},
 "system":[{"type":"text","text":"be brief","cache_control":{"type":"ephemeral"}},{"type":"text","text":"and kind"}],
 "tools":[{"name":"get_weather","input_schema":{"type":"object","properties":{"city":{"type":"string"}}},"cache_control":{"type":"ephemeral"}}],
 "messages":[{"role":"user","content":"weather?"},
 {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":""},{"type":"tool_use","id":"toolu_0123456789abcdef","name":"get_weather","input":{"city":"Paris"}}]},
 {"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_0123456789abcdef","content":[{"type":"text","text":"sunny"}]}]}]STREAM}`

// Each vendor refuses what the real one refuses, and yet every client's request is answered.
func TestVendorsOfOpenAISchema(t *testing.T) {
	g := vendorGateway(t)
	for _, v := range vendors {
		model := v.name + "/" + vendorModel
		for _, client := range schemas {
			for _, stream := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s to %s stream=%v", client, v.name, stream), func(t *testing.T) {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					if a := ask(ctx, g, client, model, stream); a.err != nil || a.text != reply {
						t.Errorf("%v", a)
					}
					turn(t, g, client, model, stream)
					calls(t, g, client, model, stream)
				})
			}
		}
	}
}

// turn: the results of a tool are summed up by the model.
func turn(t *testing.T, g *harness.Gateway, client, model string, stream bool) {
	body := map[string]string{"openai": fromOpenAI, "anthropic": fromAnthropic}[client]
	options := ""
	if stream {
		options = `,"stream":true`
	}
	status, _, got := postVendor(t, g, client, strings.NewReplacer("MODEL", model, "STREAM", options).Replace(body))
	if status != http.StatusOK || !strings.Contains(shownText(client, stream, got), "=sunny") {
		t.Errorf("%d %s", status, got)
	}
}

// shownText joins what a client would show.
func shownText(client string, stream bool, body string) (text string) {
	if !stream {
		return gjson.Get(body, map[string]string{"openai": "choices.0.message.content", "anthropic": "content.#(type==text).text"}[client]).Str
	}
	for line := range strings.Lines(body) {
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			text += gjson.Get(data, map[string]string{"openai": "choices.0.delta.content", "anthropic": "delta.text"}[client]).Str
		}
	}
	return text
}

// calls: the model calls a tool, twice in one answer, and both calls arrive whole.
func calls(t *testing.T, g *harness.Gateway, client, model string, stream bool) {
	const question = `get_weather({\"city\":\"Paris\"}) and get_weather({\"city\":\"Rome\"})`
	tools := map[string]string{
		"openai":    `"tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object","properties":{"city":{"type":"string"}}}}}]`,
		"anthropic": `"max_tokens":500,"tools":[{"name":"get_weather","input_schema":{"type":"object","properties":{"city":{"type":"string"}}}}]`,
	}[client]
	status, _, got := postVendor(t, g, client, fmt.Sprintf(`{"model":%q,"stream":%v,%s,"messages":[{"role":"user","content":"%s"}]}`, model, stream, tools, question))
	if status != http.StatusOK {
		t.Errorf("%d %s", status, got)
		return
	}
	arguments := map[string]string{}
	collect := func(index, piece string) { arguments[index] += piece }
	switch {
	case client == "openai" && stream:
		for line := range strings.Lines(got) {
			gjson.Get(strings.TrimPrefix(line, "data: "), "choices.0.delta.tool_calls").ForEach(func(_, c gjson.Result) bool {
				collect(c.Get("index").Raw, c.Get("function.arguments").Str)
				return true
			})
		}
	case client == "openai":
		gjson.Get(got, "choices.0.message.tool_calls").ForEach(func(_, c gjson.Result) bool { collect(c.Get("id").Str, c.Get("function.arguments").Str); return true })
	case stream:
		for line := range strings.Lines(got) {
			if ev := gjson.Parse(strings.TrimPrefix(line, "data: ")); ev.Get("delta.type").Str == "input_json_delta" {
				collect(ev.Get("index").Raw, ev.Get("delta.partial_json").Str)
			}
		}
	default:
		gjson.Get(got, "content").ForEach(func(_, c gjson.Result) bool {
			if c.Get("type").Str == "tool_use" {
				collect(c.Get("id").Str, c.Get("input").Raw)
			}
			return true
		})
	}
	var cities []string
	for _, a := range arguments {
		cities = append(cities, gjson.Get(a, "city").Str)
	}
	slices.Sort(cities)
	if strings.Join(cities, " ") != "Paris Rome" {
		t.Errorf("called %v: %s", arguments, got)
	}
}

// What a vendor cannot do is refused where it would change the answer, and named where it would not; its own errors arrive
// in the client's words.
func TestVendorsOfOpenAISchema_limits(t *testing.T) {
	g := vendorGateway(t)
	for _, c := range []struct {
		vendor, members string
		status          int
		dropped, says   string
	}{
		{"groq", `"n":2,"messages":[{"role":"user","content":"hi"}]`, 400, "", `"param":"n"`},
		{"xai", `"stop":["x"],"messages":[{"role":"user","content":"hi"}]`, 400, "", `"param":"stop"`},
		{"deepseek", `"seed":1,"presence_penalty":1,"messages":[{"role":"user","content":"hi"}]`, 200, "seed,presence_penalty", "echo: hi"},
		{"mistral", `"seed":1,"user":"u","messages":[{"role":"user","name":"a","content":"hi"}]`, 200, "user,messages[].name", "echo: hi"},
		{"mistral", `"tool_choice":5,"messages":[{"role":"user","content":"hi"}]`, 400, "", "tool_choice"},
		{"azure", `"messages":[{"role":"user","content":"` + fakeprovider.AzureFiltered + `"}]`, 400, "", "content_policy_violation"},
		{"azure-classic", `"messages":[{"role":"user","content":"` + fakeprovider.AzureFiltered + `"}]`, 400, "", "content_policy_violation"},
	} {
		status, header, got := postVendor(t, g, "openai", fmt.Sprintf(`{"model":"%s/%s",%s}`, c.vendor, vendorModel, c.members))
		dropped := strings.ReplaceAll(header.Get("X-Dragoman-Dropped"), " ", "")
		if status != c.status || !strings.Contains(got, c.says) || c.dropped != dropped {
			t.Errorf("%s %s: %d %s, dropped %q", c.vendor, c.members, status, got, dropped)
		}
	}
}
