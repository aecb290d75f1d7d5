// Package sdk_test drives the demo providers with the vendors' own Go clients. It stands apart from package demo because a fuzzer's
// build instruments every dependency of its package, and the clients take minutes.
package sdk_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"go.uber.org/goleak"

	"dragoman/internal/demo"
)

const (
	nameOpenAI    = "demo-openai"
	nameAnthropic = "demo-anthropic"
	overloaded    = 529
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exact are options under which an answer is the same each time.
var exact = demo.Options{Pace: -1, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }, ID: func() string { return "1" }}

// serve starts both providers and makes the vendors' own clients for them.
func serve(t *testing.T) (openai.Client, anthropic.Client) {
	t.Helper()
	s, err := demo.StartWith(exact)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() { client.CloseIdleConnections(); s.Close() })
	return openai.NewClient(openaioption.WithBaseURL(s.OpenAI+"/v1"), openaioption.WithAPIKey("none"), openaioption.WithHTTPClient(client), openaioption.WithMaxRetries(0)),
		anthropic.NewClient(anthropicoption.WithBaseURL(s.Anthropic), anthropicoption.WithAPIKey("none"), anthropicoption.WithHTTPClient(client), anthropicoption.WithMaxRetries(0))
}

func chat(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: nameOpenAI, Messages: []openai.ChatCompletionMessageParamUnion{
		openai.SystemMessage("Be brief."), openai.UserMessage(text)}}
}

func turn(text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{Model: nameAnthropic, MaxTokens: 500, System: []anthropic.TextBlockParam{{Text: "Be brief."}},
		Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))}}
}

// saysItIsADemo checks what every answer must say.
func saysItIsADemo(t *testing.T, text, name, variable, said string) {
	t.Helper()
	for _, want := range []string{"This is " + name, "demo provider", variable, said} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the answer %q", want, text)
		}
	}
}

func TestOpenAIClient(t *testing.T) {
	client, _ := serve(t)
	got, err := client.Chat.Completions.New(context.Background(), chat("hello demo"))
	if err != nil {
		t.Fatal(err)
	}
	saysItIsADemo(t, got.Choices[0].Message.Content, nameOpenAI, "OPENAI_API_KEY", `"hello demo"`)
	u := got.Usage
	if got.ID != "chatcmpl-demo-1" || got.Created != 1_700_000_000 || got.Model != nameOpenAI || got.Choices[0].FinishReason != "stop" {
		t.Errorf("got %s", got.RawJSON())
	}
	if u.PromptTokens < 10 || u.CompletionTokens < 20 || u.TotalTokens != u.PromptTokens+u.CompletionTokens {
		t.Errorf("usage is not plausible: %s", u.RawJSON())
	}
}

func TestOpenAIClientStreams(t *testing.T) {
	client, _ := serve(t)
	params := chat("hello stream")
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(context.Background(), params)
	acc, chunks := openai.ChatCompletionAccumulator{}, 0
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("the SDK refuses the chunk %s", stream.Current().RawJSON())
		}
		chunks++
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	whole, err := client.Chat.Completions.New(context.Background(), chat("hello stream"))
	if err != nil {
		t.Fatal(err)
	}
	if acc.Choices[0].Message.Content != whole.Choices[0].Message.Content || acc.Choices[0].FinishReason != "stop" {
		t.Errorf("the stream made %q", acc.Choices[0].Message.Content)
	}
	if acc.Usage.TotalTokens != whole.Usage.TotalTokens || chunks < 20 {
		t.Errorf("%d chunks, usage %s", chunks, acc.Usage.RawJSON())
	}
}

func TestOpenAIClientWithoutUsageChunk(t *testing.T) {
	client, _ := serve(t)
	stream := client.Chat.Completions.NewStreaming(context.Background(), chat("x"))
	for stream.Next() {
		if c := stream.Current(); len(c.Choices) != 1 || c.JSON.Usage.Valid() {
			t.Fatalf("a usage chunk that was not asked for: %s", c.RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
}

func TestOpenAIClientSeesTheFailure(t *testing.T) {
	client, _ := serve(t)
	_, err := client.Chat.Completions.New(context.Background(), chat("fail please"))
	var apiErr *openai.Error
	if !errors.As(err, &apiErr) || apiErr.StatusCode != 503 || apiErr.Type != "server_error" || apiErr.Code != "service_unavailable" {
		t.Errorf("got %v", err)
	}
}

func TestOpenAIClientToolsAndLimit(t *testing.T) {
	client, _ := serve(t)
	params := chat("x")
	params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: "f"})}
	got, err := client.Chat.Completions.New(context.Background(), params)
	if err != nil || len(got.Choices[0].Message.ToolCalls) != 0 || !strings.Contains(got.Choices[0].Message.Content, "call no tools") {
		t.Errorf("got %v, %v", got, err)
	}
	params.MaxCompletionTokens = openai.Int(5)
	got, err = client.Chat.Completions.New(context.Background(), params)
	if err != nil || got.Choices[0].FinishReason != "length" || got.Usage.CompletionTokens > 5 || got.Choices[0].Message.Content == "" {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestAnthropicClient(t *testing.T) {
	_, client := serve(t)
	got, err := client.Messages.New(context.Background(), turn("hello demo"))
	if err != nil {
		t.Fatal(err)
	}
	saysItIsADemo(t, got.Content[0].Text, nameAnthropic, "ANTHROPIC_API_KEY", `"hello demo"`)
	if got.ID != "msg_demo_1" || got.StopReason != "end_turn" || got.Usage.InputTokens < 5 || got.Usage.OutputTokens < 20 {
		t.Errorf("got %s", got.RawJSON())
	}
}

func TestAnthropicClientStreams(t *testing.T) {
	_, client := serve(t)
	stream := client.Messages.NewStreaming(context.Background(), turn("hello stream"))
	acc := anthropic.Message{}
	for stream.Next() {
		if err := acc.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	whole, err := client.Messages.New(context.Background(), turn("hello stream"))
	if err != nil {
		t.Fatal(err)
	}
	if acc.Content[0].Text != whole.Content[0].Text || acc.StopReason != "end_turn" || acc.Usage.OutputTokens != whole.Usage.OutputTokens {
		t.Errorf("the stream made %q, usage %+v", acc.Content[0].Text, acc.Usage)
	}
}

func TestAnthropicClientSeesTheFailure(t *testing.T) {
	_, client := serve(t)
	if _, err := client.Messages.New(context.Background(), turn("fail please")); err != nil {
		t.Errorf("the second provider must answer what the first fails: %v", err)
	}
	_, err := client.Messages.New(context.Background(), turn("fail everywhere please"))
	var apiErr *anthropic.Error
	if !errors.As(err, &apiErr) || apiErr.StatusCode != overloaded || apiErr.RequestID != "req_demo_1" || !strings.Contains(err.Error(), "overloaded_error") {
		t.Errorf("got %v", err)
	}
}

func TestAnthropicClientLimit(t *testing.T) {
	_, client := serve(t)
	params := turn("x")
	params.MaxTokens = 3
	got, err := client.Messages.New(context.Background(), params)
	if err != nil || got.StopReason != "max_tokens" || got.Usage.OutputTokens > 3 {
		t.Errorf("got %v, %v", got, err)
	}
}
