package openai_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

func sdkStream(body string) *ssestream.Stream[sdk.ChatCompletionChunk] {
	res := &http.Response{Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(strings.NewReader(body))}
	return ssestream.NewStream[sdk.ChatCompletionChunk](ssestream.NewDecoder(res), nil)
}

// The vendor's own SDK puts the encoded stream together to what was encoded.
func TestSDK_accumulates_an_encoded_stream(t *testing.T) {
	r := &chat.Response{ID: "msg_1", Model: "claude", Usage: chat.Usage{Known: true, Input: 3, CacheRead: 4, Output: 5}, Choices: []chat.Choice{{
		Finish: chat.FinishToolCalls, Parts: []chat.Part{
			{Kind: chat.Thinking, Text: "let me see", Signature: "sig"},
			{Kind: chat.Text, Text: "Hello \"you\"\n" + strings.Repeat("and more ", 100)},
			{Kind: chat.ToolCall, Call: &chat.Call{ID: "c0", Name: "f", Arguments: `{"a":"é\n"}`}},
			{Kind: chat.ToolCall, Call: &chat.Call{ID: "c1", Name: "g"}},
		},
	}}}
	enc := codec.NewEncoder(reply)
	var out []byte
	chat.Replay(r, func(ev *chat.Event) { out = enc.Encode(out, ev) })

	var acc sdk.ChatCompletionAccumulator
	stream := sdkStream(string(out))
	for stream.Next() {
		if !acc.AddChunk(stream.Current()) {
			t.Fatalf("the SDK refuses the chunk %s", stream.Current().RawJSON())
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	check(t, &acc.ChatCompletion, r)
}

func TestSDK_reads_an_encoded_answer(t *testing.T) {
	r := &chat.Response{ID: "msg_1", Model: "claude", Usage: chat.Usage{Known: true, Input: 3, CacheRead: 4, Output: 5}, Choices: []chat.Choice{{
		Finish: chat.FinishToolCalls, Parts: []chat.Part{
			{Kind: chat.Text, Text: "Hello"}, {Kind: chat.Text, Text: " you"},
			{Kind: chat.ToolCall, Call: &chat.Call{ID: "c0", Name: "f", Arguments: `{"a":"é\n"}`}},
			{Kind: chat.ToolCall, Call: &chat.Call{ID: "c1", Name: "g"}},
		},
	}}}
	body, err := codec.EncodeResponse(r, reply)
	if err != nil {
		t.Fatal(err)
	}
	var got sdk.ChatCompletion
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	check(t, &got, r)
}

func check(t *testing.T, got *sdk.ChatCompletion, want *chat.Response) {
	t.Helper()
	if got.ID != want.ID || got.Model != want.Model || len(got.Choices) != 1 || got.Created != 1_700_000_000 {
		t.Fatalf("got %+v", got)
	}
	text := ""
	for _, p := range want.Choices[0].Parts {
		if p.Kind == chat.Text {
			text += p.Text
		}
	}
	m := got.Choices[0].Message
	if m.Content != text || got.Choices[0].FinishReason != "tool_calls" || len(m.ToolCalls) != 2 {
		t.Fatalf("got %+v", m)
	}
	if c := m.ToolCalls[0]; c.ID != "c0" || c.Function.Name != "f" || c.Function.Arguments != `{"a":"é\n"}` {
		t.Errorf("first call: %+v", c)
	}
	if c := m.ToolCalls[1]; c.ID != "c1" || c.Function.Name != "g" || c.Function.Arguments != "{}" {
		t.Errorf("second call: %+v", c)
	}
	if u := got.Usage; u.PromptTokens != 7 || u.CompletionTokens != 5 || u.TotalTokens != 12 || u.PromptTokensDetails.CachedTokens != 4 {
		t.Errorf("usage %+v", u)
	}
}

func TestSDK_raises_the_error_event(t *testing.T) {
	enc := codec.NewEncoder(reply)
	ev := chat.Event{Kind: chat.EventStart, ID: "x"}
	out := enc.Fault(enc.Encode(nil, &ev), fault.New(fault.ProviderFailed, "The provider broke off."))
	stream := sdkStream(string(out))
	for stream.Next() {
		t.Errorf("a chunk before the error: %s", stream.Current().RawJSON())
	}
	if err := stream.Err(); err == nil || !strings.Contains(err.Error(), "The provider broke off.") {
		t.Errorf("the SDK says %v", err)
	}
}

// What the vendor's SDK sends is accepted and read.
func TestSDK_requests_are_read(t *testing.T) {
	params := sdk.ChatCompletionNewParams{
		Model: "m", MaxCompletionTokens: sdk.Int(5), Temperature: sdk.Float(0.5), Stop: sdk.ChatCompletionNewParamsStopUnion{OfString: sdk.String("x")},
		Messages: []sdk.ChatCompletionMessageParamUnion{
			sdk.SystemMessage("s"), sdk.DeveloperMessage("d"),
			sdk.UserMessage([]sdk.ChatCompletionContentPartUnionParam{
				sdk.TextContentPart("t"), sdk.ImageContentPart(sdk.ChatCompletionContentPartImageImageURLParam{URL: "https://h/x"}),
			}),
			sdk.AssistantMessage("a"), sdk.ToolMessage("r", "c1"),
		},
		Tools:      []sdk.ChatCompletionToolUnionParam{sdk.ChatCompletionFunctionTool(sdk.FunctionDefinitionParam{Name: "f"})},
		ToolChoice: sdk.ToolChoiceOptionFunctionToolChoice(sdk.ChatCompletionNamedToolChoiceFunctionParam{Name: "f"}),
	}
	in, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	h, err := codec.Parse(in)
	if err != nil {
		t.Fatalf("%s: %v", in, err)
	}
	r, err := codec.Decode(h)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Messages) != 5 || len(r.Tools) != 1 || r.ToolChoice.Name != "f" || *r.MaxTokens != 5 || h.Images != 1 || len(r.Extra) != 0 {
		t.Errorf("got\n%s", dump(r))
	}
}

// The SDK of the vendor reads a refused request's body.
func TestSDK_reads_an_encoded_fault(t *testing.T) {
	status, body := codec.EncodeFault(&fault.Fault{Kind: fault.NotFound, Message: "No such model.", Param: "model", Code: "model_not_found"}, "")
	var got struct{ Error sdk.Error }
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&got); err != nil || status != 404 {
		t.Fatal(status, err)
	}
	if e := got.Error; e.Message != "No such model." || e.Param != "model" || e.Code != "model_not_found" || e.Type != "invalid_request_error" {
		t.Errorf("got %s", e.RawJSON())
	}
}
