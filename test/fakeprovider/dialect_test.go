package fakeprovider

import (
	"io"
	"net/http"
	"strings"
	"testing"

	oai "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/tidwall/gjson"
)

// dialectBases are the base URLs that clients of each vendor use.
var dialectBases = map[string]string{
	"azure": "/openai/v1", "mistral": "/v1", "groq": "/openai/v1", "deepseek": "/v1", "openrouter": "/api/v1", "ollama": "/v1", "xai": "/v1",
}

func startDialect(t *testing.T, name string) *Server {
	return Start(t, Options{Schema: OpenAI, Name: name, Dialect: name, Models: []string{"some-model"}, AllowHeaders: append([]string{"authorization"}, SDKHeaders...)})
}

// The official SDK works with each, whole and streamed: they are compatible.
func TestDialects_with_the_sdk(t *testing.T) {
	if len(dialectBases) != len(dialectRuleSets) {
		t.Error("a dialect has no base URL")
	}
	for name, base := range dialectBases {
		s := startDialect(t, name)
		c := oai.NewClient(option.WithBaseURL(s.Origin()+base), option.WithAPIKey(s.Key()), option.WithHeader("api-key", s.Key()), option.WithMaxRetries(0))
		if name != azureDialect {
			c = oai.NewClient(option.WithBaseURL(s.Origin()+base), option.WithAPIKey(s.Key()), option.WithMaxRetries(0))
		}
		p := oai.ChatCompletionNewParams{Model: "some-model", Messages: []oai.ChatCompletionMessageParamUnion{oai.UserMessage("good morning")}}
		got, err := c.Chat.Completions.New(t.Context(), p)
		if err != nil || got.Choices[0].Message.Content != "echo: good morning" {
			t.Errorf("%s: %+v %v", name, got, err)
			continue
		}
		stream, text, usage := c.Chat.Completions.NewStreaming(t.Context(), p), "", int64(0)
		for stream.Next() {
			for _, choice := range stream.Current().Choices {
				text += choice.Delta.Content
			}
			usage = max(usage, stream.Current().Usage.TotalTokens)
		}
		if stream.Err() != nil || text != "echo: good morning" || (usage > 0) != dialectRuleSets[name].lastUsage {
			t.Errorf("%s: %q, %d tokens, %v", name, text, usage, stream.Err())
		}
	}
}

// What each vendor refuses, in its own shape.
func TestDialects_refuse(t *testing.T) {
	const user = `"messages":[{"role":"user","content":"x"}]`
	for _, c := range []struct {
		dialect, members string
		status           int
		path, says       string // where the message is in the error's body
	}{
		{"mistral", user + `,"max_completion_tokens":5`, 422, "message.detail.0.msg", "max_completion_tokens"},
		{"mistral", user + `,"stream":true,"stream_options":{"include_usage":true}`, 422, "message.detail.0.msg", "stream_options"},
		{"mistral", `"messages":[{"role":"user","name":"a","content":"x"}]`, 422, "message.detail.0.msg", "name"},
		{"mistral", `"messages":[{"role":"developer","content":"x"}]`, 422, "message.detail.0.msg", "developer"},
		{"mistral", `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y"}]`, 400, "message", "prefix True"},
		{"mistral", `"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"call_1","content":"1"}]`, 400, "message", "length of 9"},
		{"groq", user + `,"n":2`, 400, "error.message", "at most 1"},
		{"groq", user + `,"logprobs":true`, 400, "error.message", "logprobs"},
		{"groq", user + `,"reasoning_effort":"minimal"`, 400, "error.message", "must be one of"},
		{"groq", `"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]`, 400, "error.message", "must be a string"},
		{"groq", `"messages":[{"role":"assistant","reasoning_content":"h","content":"x"}]`, 400, "error.message", "reasoning_content"},
		{"deepseek", user + `,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{}}}`, 400, "error.message", "unavailable"},
		{"deepseek", user + `,"seed":1`, 400, "error.message", "seed"},
		{"openrouter", user + `,"service":1`, 400, "error.message", "service"},
		{"xai", user + `,"stop":["x"]`, 400, "error", "stop"},
		{"ollama", user + `,"tool_choice":"required"`, 400, "error.message", "tool_choice"},
		{"ollama", `"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image_url","image_url":{"url":"https://h/i.png"}}]}]`, 400, "error.message", "invalid image"},
		{"azure", `"messages":[{"role":"user","content":"please ` + AzureFiltered + `"}]`, 400, "error.code", "content_filter"},
	} {
		s := startDialect(t, c.dialect)
		status, body := postDialect(t, s, dialectBases[c.dialect]+"/chat/completions", `{"model":"some-model",`+c.members+`}`)
		if status != c.status || !strings.Contains(gjson.GetBytes(body, c.path).String(), c.says) {
			t.Errorf("%s %s: %d %s, want %d with %s", c.dialect, c.members, status, body, c.status, c.says)
		}
	}
}

func TestAzure_classic_paths(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI, Dialect: azureDialect, APIVersion: "2024-10-21", Models: []string{"dep"}, AllowHeaders: []string{"authorization"}})
	const body = `{"model":"anything","messages":[{"role":"user","content":"hi"}],"stream":true}`
	for path, want := range map[string]int{
		"/openai/deployments/dep/chat/completions?api-version=2024-10-21":   200,
		"/openai/deployments/other/chat/completions?api-version=2024-10-21": 404,
		"/openai/deployments/dep/chat/completions?api-version=1":            400,
		"/openai/deployments/dep/chat/completions":                          400,
		"/openai/v1/chat/completions?api-version=2024-10-21":                404,
	} {
		status, got := postDialect(t, s, path, body)
		if status != want {
			t.Errorf("%s: %d %s, want %d", path, status, got, want)
		}
		if status == 200 && (!strings.HasPrefix(string(got), `data: {"choices":[],"created":0,"id":""`) || strings.Count(string(got), "content_filter_offsets") != 1) {
			t.Errorf("%s", got)
		}
	}
	s.TakeUnexpected()
}

func postDialect(t *testing.T, s *Server, path, body string) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.Origin()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.opts.Dialect == azureDialect {
		req.Header.Set("Api-Key", s.Key())
	} else {
		req.Header.Set("Authorization", "Bearer "+s.Key())
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, got
}
