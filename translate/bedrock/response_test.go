package bedrock_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// whole is an answer with the given content.
func whole(content, stop string) []byte {
	return fmt.Appendf(nil, `{"metrics":{"latencyMs":5},"output":{"message":{"content":[%s],"role":"assistant"}},"stopReason":%q,"usage":{"inputTokens":1,"outputTokens":2,"totalTokens":3}}`, content, stop)
}

func decodeWhole(t *testing.T, body []byte) *chat.Response {
	t.Helper()
	r, err := codec.DecodeResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	seen, err := codec.PeekResponse(body)
	if err != nil || !reflect.DeepEqual(seen, translate.SeenOf(r)) {
		t.Errorf("peeked %+v, decoded %+v (%v)", seen, translate.SeenOf(r), err)
	}
	return r
}

func TestD74_ReasoningBlocks(t *testing.T) {
	r := decodeWhole(t, whole(`{"reasoningContent":{"reasoningText":{"text":"why","signature":"SIG=="}}},{"reasoningContent":{"reasoningText":{"text":"unsigned"}}},{"reasoningContent":{"redactedContent":"AAAA"}},{"text":"x"}`, "end_turn"))
	want := []chat.Part{
		{Kind: chat.Thinking, Text: "why", Signature: "bedrock:SIG=="}, {Kind: chat.Thinking, Text: "unsigned"},
		{Kind: chat.RedactedThinking, Signature: "bedrock:AAAA"}, {Kind: chat.Text, Text: "x"},
	}
	if !reflect.DeepEqual(r.Choices[0].Parts, want) {
		t.Errorf("%+v", r.Choices[0].Parts)
	}
}

// TestD75_ThinkingComesBack: what was decoded goes back as it came, first in its turn, to the models that sign.
func TestD75_ThinkingComesBack(t *testing.T) {
	r := decodeWhole(t, whole(`{"reasoningContent":{"reasoningText":{"text":"why","signature":"SIG=="}}},{"reasoningContent":{"redactedContent":"AAAA"}},{"text":"x"}`, "end_turn"))
	parts := r.Choices[0].Parts
	q := &chat.Request{Messages: []chat.Message{
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "a"}}},
		{Role: chat.Assistant, Parts: []chat.Part{parts[2], parts[0], parts[1]}},
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "b"}}},
	}}
	up, err := codec.Encode(q, translate.Target{Model: haiku})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"role":"assistant","content":[{"reasoningContent":{"reasoningText":{"text":"why","signature":"SIG=="}}},{"reasoningContent":{"redactedContent":"AAAA"}},{"text":"x"}]}`
	if !strings.Contains(string(up.Body), want) || len(up.Dropped) > 0 {
		t.Errorf("%s %v", up.Body, up.Dropped)
	}
	up, err = codec.Encode(q, translate.Target{Model: "meta.llama3-3-70b-instruct-v1:0"})
	if err != nil || strings.Contains(string(up.Body), "SIG") || len(up.Dropped) != 1 {
		t.Errorf("another family was shown the signature: %s %v", up.Body, err)
	}
}

// TestD77_EmptySignedBlock: thinking that is shown empty keeps its signature.
func TestD77_EmptySignedBlock(t *testing.T) {
	r := decodeWhole(t, whole(`{"reasoningContent":{"reasoningText":{"text":"","signature":"S"}}},{"text":"x"}`, "end_turn"))
	q := &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "a"}}}, {Role: chat.Assistant, Parts: r.Choices[0].Parts}}}
	up, err := codec.Encode(q, translate.Target{Model: haiku})
	if err != nil || !strings.Contains(string(up.Body), `{"reasoningText":{"text":"","signature":"S"}}`) {
		t.Errorf("%s %v", up.Body, err)
	}
}

func TestD84_D88_D89_Usage(t *testing.T) {
	for usage, want := range map[string]chat.Usage{
		`{"inputTokens":10,"outputTokens":5,"totalTokens":15}`:                                                             {Known: true, Input: 10, Output: 5},
		`{"inputTokens":10,"outputTokens":5,"cacheReadInputTokens":100,"cacheWriteInputTokens":50}`:                        {Known: true, Input: 10, Output: 5, CacheRead: 100, CacheWrite: 50},
		`{"inputTokens":1,"outputTokens":5,"cacheWriteInputTokens":50,"cacheDetails":[{"ttl":"1h","inputTokens":20}]}`:     {Known: true, Input: 1, Output: 5, CacheWrite: 30, CacheWrite1h: 20},
		`{"inputTokens":1,"outputTokens":5,"cacheWriteInputTokens":1,"cacheDetails":[{"ttl":"1h","inputTokens":20},null]}`: {Known: true, Input: 1, Output: 5, CacheWrite1h: 20},
		`{"inputTokens":-7,"outputTokens":1e300}`:                                                                          {Known: true, Output: 1 << 40},
		`{"inputTokens":0,"outputTokens":0}`:                                                                               {Known: true}, // D91: zero is data
		`{"outputTokens":null}`:                                                                                            {},
		`{}`:                                                                                                               {},
		`null`:                                                                                                             {},
		`[]`:                                                                                                               {},
	} {
		body := strings.Replace(string(whole(`{"text":"x"}`, "end_turn")), `{"inputTokens":1,"outputTokens":2,"totalTokens":3}`, usage, 1)
		if r := decodeWhole(t, []byte(body)); r.Usage != want {
			t.Errorf("%s: %+v", usage, r.Usage)
		}
	}
}

func TestD98_D105_Finish(t *testing.T) {
	for raw, want := range map[string]chat.Finish{
		"end_turn": chat.FinishStop, "tool_use": chat.FinishToolCalls, "max_tokens": chat.FinishLength, "stop_sequence": chat.FinishStopSequence,
		"guardrail_intervened": chat.FinishContentFilter, "content_filtered": chat.FinishContentFilter,
		"model_context_window_exceeded": chat.FinishContext, "malformed_tool_use": chat.FinishOther, "of tomorrow": chat.FinishOther,
	} {
		c := decodeWhole(t, whole(`{"text":"x"}`, raw)).Choices[0]
		if c.Finish != want || c.RawFinish != raw {
			t.Errorf("%s: %+v", raw, c)
		}
	}
}

func TestD54_StopSequenceThatMatched(t *testing.T) {
	body := strings.Replace(string(whole(`{"text":"x"}`, "stop_sequence")), `"metrics"`, `"additionalModelResponseFields":{"stop_sequence":"END"},"metrics"`, 1)
	if c := decodeWhole(t, []byte(body)).Choices[0]; c.StopSequence != "END" {
		t.Errorf("%+v", c)
	}
}

func TestD127_NoOutput(t *testing.T) {
	for body, want := range map[string]fault.Kind{
		``:     fault.ProviderFailed,
		` `:    fault.ProviderFailed,
		`[]`:   fault.ProviderFailed,
		`null`: fault.ProviderFailed,
		`{}`:   fault.ProviderFailed,
		`<htm`: fault.ProviderFailed,
		`{"output":null,"stopReason":"end_turn"}`:                                                    fault.ProviderFailed,
		`{"output":{"message":{"content":"x"}},"stopReason":"end_turn"}`:                             fault.ProviderFailed,
		`{"output":{"message":{"content":[]}}}`:                                                      fault.ProviderFailed,
		`{"Output":{"__type":"com.amazon.coral.service#UnknownOperationException"},"Version":"1.0"}`: fault.NotFound,
		`{"__type":"ThrottlingException","message":"slow down"}`:                                     fault.RateLimited,
		`{"message":"odd"}`: fault.ProviderError,
	} {
		_, err := codec.DecodeResponse([]byte(body))
		f := asFault(t, err)
		_, peeked := codec.PeekResponse([]byte(body))
		if f.Kind != want || f.Message == "" || peeked == nil || peeked.Error() != f.Error() {
			t.Errorf("%s: %+v, peeked %v", body, f, peeked)
		}
	}
	// A guardrail that lets nothing through answers all the same.
	for _, body := range []string{`{"stopReason":"guardrail_intervened","usage":{"inputTokens":1,"outputTokens":0}}`, `{"output":null,"stopReason":"content_filtered"}`} {
		if c := decodeWhole(t, []byte(body)).Choices[0]; c.Finish != chat.FinishContentFilter || len(c.Parts) != 0 {
			t.Errorf("%s: %+v", body, c)
		}
	}
}

func TestD134_Citations(t *testing.T) {
	r := decodeWhole(t, whole(`{"text":"Grüße. "},{"citationsContent":{"content":[{"text":"The sky "},{"text":"is blue."}],"citations":[{"title":"Sky","sourceContent":[{"text":"blue "},{"text":"sky"}],"location":{"documentPage":{"documentIndex":0,"start":1,"end":2}}},{"location":{"web":{"url":"https://x/y"}}}]}},{"text":" Yes."}`, "end_turn"))
	want := []chat.Part{{Kind: chat.Text, Text: "Grüße. The sky is blue. Yes.", Citations: []chat.Citation{
		{Title: "Sky", Quote: "blue sky", Start: 9, End: 25}, {URL: "https://x/y", Start: 9, End: 25},
	}}}
	if !reflect.DeepEqual(r.Choices[0].Parts, want) {
		t.Errorf("%+v", r.Choices[0].Parts)
	}
}

// TestD64_ForcedToolIsText: the call that stands for structured output is shown as the text that was asked for.
func TestD64_ForcedToolIsText(t *testing.T) {
	const call = `{"toolUse":{"toolUseId":"1","name":"dragoman_structured_answer","input":{"n":1}}}`
	r := decodeWhole(t, whole(call, "tool_use"))
	if c := r.Choices[0]; c.Finish != chat.FinishStop || !reflect.DeepEqual(c.Parts, []chat.Part{{Kind: chat.Text, Text: `{"n":1}`}}) {
		t.Errorf("%+v", c)
	}
	r = decodeWhole(t, whole(call+`,{"toolUse":{"toolUseId":"2","name":"f","input":{}}}`, "tool_use"))
	if c := r.Choices[0]; c.Finish != chat.FinishToolCalls || len(c.Parts) != 2 {
		t.Errorf("%+v", c)
	}
}

func TestUnknownBlocksAreKept(t *testing.T) {
	r := decodeWhole(t, whole(`{"text":"a"},{"image":{"format":"png"}},{"toolUse":{"type":"server_tool_use","toolUseId":"1","name":"s","input":{}}},{"of":"tomorrow"}`, "end_turn"))
	if len(r.Extra) != 3 || r.Extra[0].Name != "output.message.content[1]" || len(r.Choices[0].Parts) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestManySmallTextsAreLinear(t *testing.T) {
	body := whole(strings.Repeat(`{"text":"a"},`, 200_000)+`{"text":"b"}`, "end_turn")
	r, err := codec.DecodeResponse(body)
	if err != nil || len(r.Choices[0].Parts) != 1 || len(r.Choices[0].Parts[0].Text) != 200_001 {
		t.Fatal(err)
	}
}

func TestD130_Path(t *testing.T) {
	q := &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "a"}}}}}
	for model, want := range map[string]string{
		haiku: "/base/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse",
		"arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.x": "/base/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A123456789012%3Ainference-profile%2Feu.x/converse",
		"a?b#c%2F é/../x": "/base/model/a%3Fb%23c%252F%20%C3%A9%2F..%2Fx/converse",
	} {
		up, err := codec.Encode(q, translate.Target{BasePath: "/base", Model: model})
		if err != nil || up.Path != want {
			t.Errorf("%s: %s %v", model, up.Path, err)
		}
	}
	q.Stream = true
	if up, _ := codec.Encode(q, translate.Target{Model: "m"}); up.Path != "/model/m/converse-stream" {
		t.Error(up.Path)
	}
}

func TestRewritePassesTheBytes(t *testing.T) {
	body := []byte(`{"messages":[{"role":"user","content":[{"text":"x"}]}], "x": 1}`)
	up, err := codec.Rewrite(&chat.Head{Body: body, Stream: true}, translate.Target{Model: "a:b"})
	if err != nil || string(up.Body) != string(body) || up.Path != "/model/a%3Ab/converse-stream" {
		t.Errorf("%+v %v", up, err)
	}
}
