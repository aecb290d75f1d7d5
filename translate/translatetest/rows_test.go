package translatetest_test

import (
	"errors"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/bedrock"
	"dragoman/translate/chat"
	"dragoman/translate/cohere"
	"dragoman/translate/gemini"
	"dragoman/translate/openai"
	"dragoman/translate/responses"
)

// Rows that are about more than one schema.

// TestD66_URLs_at_providers_that_want_a_type: Vertex AI wants to know a file's type beside its URL. It is never guessed: where the URL does
// not say it, the file itself must be had, as at every provider that takes bytes only.
func TestD66_URLs_at_providers_that_want_a_type(t *testing.T) {
	encode := func(url, dialect string) (*translate.Upstream, error) {
		r := &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "x"}, {Kind: chat.Image, Media: &chat.Media{URL: url}}}}}}
		return gemini.Codec{}.Encode(r, translate.Target{Model: "gemini-2.5-flash", Dialect: dialect})
	}
	needsBytes := func(err error) bool {
		var f *fault.Fault
		return errors.As(err, &f) && f.Kind == fault.Unsupported && f.Code == translate.NeedsBytes
	}
	for _, url := range []string{"https://example.com/picture", "https://example.com/a.php?image=1"} {
		if up, err := encode(url, "vertex"); !needsBytes(err) {
			t.Errorf("%s: %v %+v", url, err, up)
		}
		if up, err := encode(url, ""); err != nil || gjson.GetBytes(up.Body, "contents.0.parts.1.fileData").Raw != `{"fileUri":"`+url+`"}` {
			t.Errorf("%s: %v", url, err)
		}
	}
	if up, err := encode("https://example.com/picture.png", "vertex"); err != nil || gjson.GetBytes(up.Body, "contents.0.parts.1.fileData.mimeType").Str != "image/png" {
		t.Errorf("%v %v", up, err)
	}
	for _, p := range []chat.Part{{Kind: chat.Document, Media: &chat.Media{URL: "https://example.com/a.pdf"}}, {Kind: chat.Audio, Media: &chat.Media{URL: "https://example.com/a.mp3"}}} {
		r := &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{p}}}}
		if up, err := (openai.Codec{}).Encode(r, translate.Target{Model: "gpt-4.1"}); !needsBytes(err) {
			t.Errorf("%v %v", up, err)
		}
	}
}

// TestD85_D86_sums_of_usage: tokens counted in disjoint classes are told in the sums of each client's schema.
func TestD85_D86_sums_of_usage(t *testing.T) {
	r := &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Kind: chat.Text, Text: "x"}}, Finish: chat.FinishStop}},
		Usage: chat.Usage{Known: true, Input: 100, CacheRead: 40, CacheWrite: 20, CacheWrite1h: 5, Output: 30, Reasoning: 12}}
	for _, c := range []struct {
		client translate.Client
		want   map[string]int64
	}{
		{openai.Codec{}, map[string]int64{"usage.prompt_tokens": 165, "usage.prompt_tokens_details.cached_tokens": 40, "usage.completion_tokens": 30, "usage.completion_tokens_details.reasoning_tokens": 12, "usage.total_tokens": 195}},
		{responses.Codec{}, map[string]int64{"usage.input_tokens": 165, "usage.input_tokens_details.cached_tokens": 40, "usage.output_tokens": 30, "usage.output_tokens_details.reasoning_tokens": 12, "usage.total_tokens": 195}},
		{anthropic.Codec{}, map[string]int64{"usage.input_tokens": 100, "usage.cache_read_input_tokens": 40, "usage.cache_creation_input_tokens": 25, "usage.output_tokens": 30}},
		{gemini.Codec{}, map[string]int64{"usageMetadata.promptTokenCount": 165, "usageMetadata.cachedContentTokenCount": 40, "usageMetadata.candidatesTokenCount": 18, "usageMetadata.thoughtsTokenCount": 12, "usageMetadata.totalTokenCount": 195}},
		{cohere.Codec{}, map[string]int64{"usage.tokens.input_tokens": 165, "usage.tokens.output_tokens": 30}},
	} {
		body, err := c.client.EncodeResponse(r, translate.Answer{RequestID: "r", Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range c.want {
			if got := gjson.GetBytes(body, path); got.Int() != want || !got.Exists() {
				t.Errorf("%s: %s is %s, want %d", c.client.Schema(), path, got.Raw, want)
			}
		}
	}
}

// TestD85_D86_sums_are_taken_apart: and back, from each provider's sums to the same classes.
func TestD85_D86_sums_are_taken_apart(t *testing.T) {
	want := chat.Usage{Known: true, Input: 100, CacheRead: 40, Output: 30, Reasoning: 12}
	for _, c := range []struct {
		provider translate.Provider
		body     string
		reasons  bool
	}{
		{openai.Codec{}, `{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"x"},"finish_reason":"stop"}],"usage":{"prompt_tokens":140,"completion_tokens":30,"total_tokens":170,"prompt_tokens_details":{"cached_tokens":40},"completion_tokens_details":{"reasoning_tokens":12}}}`, true},
		{responses.Codec{}, `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"type":"message","id":"m","status":"completed","role":"assistant","content":[{"type":"output_text","text":"x","annotations":[]}]}],"usage":{"input_tokens":140,"input_tokens_details":{"cached_tokens":40},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":12},"total_tokens":170}}`, true},
		{anthropic.Codec{}, `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"x"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":100,"cache_read_input_tokens":40,"output_tokens":30}}`, false},
		{bedrock.Codec{}, `{"output":{"message":{"role":"assistant","content":[{"text":"x"}]}},"stopReason":"end_turn","usage":{"inputTokens":100,"cacheReadInputTokens":40,"outputTokens":30,"totalTokens":170}}`, false},
		{gemini.Codec{}, `{"candidates":[{"content":{"parts":[{"text":"x"}],"role":"model"},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":140,"cachedContentTokenCount":40,"candidatesTokenCount":18,"thoughtsTokenCount":12,"totalTokenCount":170}}`, true},
	} {
		r, err := c.provider.DecodeResponse([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		got := r.Usage
		if !c.reasons {
			got.Reasoning = want.Reasoning
		}
		if got != want {
			t.Errorf("%s: %+v", c.provider.Schema(), r.Usage)
		}
	}
}
