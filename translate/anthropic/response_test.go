package anthropic_test

import (
	"encoding/json"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

const whole = `{"id":"msg_01","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[
 {"type":"thinking","thinking":"hm","signature":"s"},{"type":"redacted_thinking","data":"zz"},
 {"type":"text","text":"Sun is ","citations":null},{"type":"text","text":"hot","citations":[{"type":"char_location","cited_text":"x"}]},
 {"type":"text","text":", so.","citations":[ {"a":1} , {"b":2} ]},
 {"type":"server_tool_use","id":"srv","name":"web_search","input":{}},
 {"type":"tool_use","id":"toolu_1","name":"f","input":{"a": 1}},{"type":"tool_use","id":"toolu_2","name":"g","input":{}}],
 "stop_reason":"tool_use","stop_sequence":null,"stop_details":null,"container":{"id":"c"},
 "usage":{"input_tokens":10,"cache_creation_input_tokens":7,"cache_read_input_tokens":5,"cache_creation":{"ephemeral_5m_input_tokens":4,"ephemeral_1h_input_tokens":3},
 "output_tokens":20,"output_tokens_details":{"thinking_tokens":8},"service_tier":"standard"}}`

var wholeUsage = chat.Usage{Known: true, Input: 10, CacheRead: 5, CacheWrite: 4, CacheWrite1h: 3, Output: 20, Reasoning: 8}

func TestDecodeResponse(t *testing.T) {
	r, err := codec.DecodeResponse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	same(t, r.Choices, []chat.Choice{{
		Finish: chat.FinishToolCalls, RawFinish: "tool_use",
		Parts: []chat.Part{
			{Kind: chat.Thinking, Text: "hm", Signature: "s"},
			{Kind: chat.RedactedThinking, Signature: "zz"},
			{Kind: chat.Text, Text: "Sun is hot, so.", Extra: []chat.Extra{{Name: "citations", JSON: []byte(`[{"type":"char_location","cited_text":"x"}, {"a":1} , {"b":2} ]`)}},
				Citations: []chat.Citation{{Quote: "x", Start: 7, End: 10}}},
			call("toolu_1", "f", `{"a": 1}`), call("toolu_2", "g", `{}`),
		},
	}})
	same(t, r.Usage, wholeUsage)
	var names []string
	for _, x := range r.Extra {
		names = append(names, x.Name)
	}
	same(t, names, []string{"content[5]", "container", "service_tier"})
	same(t, []any{r.ID, r.Model, r.Created}, []any{"msg_01", "claude-haiku-4-5-20251001", int64(0)})
}

func TestD134_split_text_is_one_part(t *testing.T) {
	r, err := codec.DecodeResponse([]byte(`{"type":"message","content":[{"type":"text","text":"a","citations":[{"x":1}]},{"type":"tool_use","id":"i","name":"f"},{"type":"text","text":"b"},{"type":"text","text":"c"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	same(t, r.Choices[0].Parts, []chat.Part{
		{Kind: chat.Text, Text: "a", Extra: []chat.Extra{{Name: "citations", JSON: []byte(`[{"x":1}]`)}}},
		call("i", "f", "{}"), text("bc"),
	})
}

func TestPeekResponse(t *testing.T) {
	s, err := codec.PeekResponse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	same(t, s.Usage, wholeUsage)
	if s.ID != "msg_01" || s.Model != "claude-haiku-4-5-20251001" || s.Finish != chat.FinishToolCalls || s.RawFinish != "tool_use" || !s.End || !s.Content {
		t.Errorf("got %+v", s)
	}
	if want := len("hm" + "Sun is hot, so." + "f" + `{"a": 1}` + "g" + "{}"); s.OutputBytes != want {
		t.Errorf("output of %d bytes, want %d", s.OutputBytes, want)
	}
}

func TestDecodeResponse_refuses_what_is_no_answer(t *testing.T) {
	for body, kind := range map[string]fault.Kind{
		``:                                 fault.ProviderFailed,
		" \n":                              fault.ProviderFailed,
		`<html>busy</html>`:                fault.ProviderFailed,
		`{"type":"message"`:                fault.ProviderFailed,
		`[]`:                               fault.ProviderFailed,
		`{}`:                               fault.ProviderFailed,
		`{"type":"message"}`:               fault.ProviderFailed,
		`{"type":"message","content":"x"}`: fault.ProviderFailed,
		`{"choices":[{}]}`:                 fault.ProviderFailed,
		`{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`: fault.Overloaded,
		`{"type":"error"}`:     fault.ProviderError,
		"\x1f\x8b\x08\x00gzip": fault.ProviderFailed,
	} {
		_, err := codec.DecodeResponse([]byte(body))
		paramOf(t, err, kind)
		_, err = codec.PeekResponse([]byte(body))
		paramOf(t, err, kind)
	}
}

func TestD84_D89_D91_usage(t *testing.T) {
	for in, want := range map[string]chat.Usage{
		`{"input_tokens":1,"output_tokens":0}`: {Known: true, Input: 1},
		`{"input_tokens":1,"output_tokens":2,"cache_creation_input_tokens":9,"cache_read_input_tokens":null}`:                                 {Known: true, Input: 1, Output: 2, CacheWrite: 9},
		`{"output_tokens":2,"cache_creation_input_tokens":9,"cache_creation":{"ephemeral_1h_input_tokens":9}}`:                                {Known: true, Output: 2, CacheWrite1h: 9},
		`{"output_tokens":2,"cache_creation":{"ephemeral_5m_input_tokens":3,"ephemeral_1h_input_tokens":4},"cache_creation_input_tokens":10}`: {Known: true, Output: 2, CacheWrite: 6, CacheWrite1h: 4},
		`{"output_tokens":-5,"input_tokens":1e300}`: {Known: true, Input: 1 << 40},
		`{}`:   {},
		`null`: {},
		`[]`:   {},
	} {
		r, err := codec.DecodeResponse([]byte(`{"type":"message","content":[],"usage":` + in + `}`))
		if err != nil || r.Usage != want {
			t.Errorf("%s: %+v (%v), want %+v", in, r.Usage, err, want)
		}
	}
}

func TestD96_D97_D104_D105_finish(t *testing.T) {
	for raw, want := range map[string]chat.Finish{
		"end_turn": chat.FinishStop, "stop_sequence": chat.FinishStopSequence, "max_tokens": chat.FinishLength, "tool_use": chat.FinishToolCalls,
		"refusal": chat.FinishRefusal, "pause_turn": chat.FinishPause, "compaction": chat.FinishPause,
		"model_context_window_exceeded": chat.FinishContext, "of_tomorrow": chat.FinishOther,
	} {
		r, err := codec.DecodeResponse([]byte(`{"type":"message","content":[],"stop_reason":"` + raw + `","stop_sequence":"END"}`))
		if err != nil || r.Choices[0].Finish != want || r.Choices[0].RawFinish != raw || r.Choices[0].StopSequence != "END" {
			t.Errorf("%s: %v %+v", raw, err, r)
		}
	}
	for _, c := range []struct {
		finish    chat.Finish
		raw, want string
	}{
		{chat.FinishStop, "stop", "end_turn"}, {chat.FinishStopSequence, "", "stop_sequence"}, {chat.FinishLength, "length", "max_tokens"},
		{chat.FinishToolCalls, "tool_calls", "tool_use"}, {chat.FinishContentFilter, "content_filter", "refusal"}, {chat.FinishRefusal, "", "refusal"},
		{chat.FinishPause, "", "pause_turn"}, {chat.FinishContext, "", "model_context_window_exceeded"},
		{chat.FinishOther, "eos", "eos"}, {chat.FinishOther, "", "end_turn"}, {"", "", "end_turn"},
	} {
		body := encodeResponse(t, &chat.Response{Choices: []chat.Choice{{Finish: c.finish, RawFinish: c.raw}}})
		if string(body.StopReason) != c.want {
			t.Errorf("%s/%s: %s", c.finish, c.raw, body.StopReason)
		}
	}
}

// encodeResponse writes r and reads it with the vendor's SDK.
func encodeResponse(t *testing.T, r *chat.Response) sdk.Message {
	t.Helper()
	b, err := codec.EncodeResponse(r, translate.Answer{RequestID: "req1", Model: "asked"})
	if err != nil {
		t.Fatal(err)
	}
	var m sdk.Message
	if err := json.Unmarshal(b, &m); err != nil || !json.Valid(b) {
		t.Fatalf("%v: %s", err, b)
	}
	return m
}

func TestEncodeResponse_is_what_the_SDK_reads(t *testing.T) {
	m := encodeResponse(t, &chat.Response{
		ID: "chatcmpl-1", Model: "gpt-5", Usage: wholeUsage,
		Choices: []chat.Choice{{Finish: chat.FinishStopSequence, StopSequence: "END", Parts: []chat.Part{
			{Kind: chat.Thinking, Text: "hm"}, {Kind: chat.Thinking}, {Kind: chat.RedactedThinking, Signature: "zz"}, text("a\"b"), text(""),
			call("c1", "f", `{"x":1}`), call("c2", "g", ""),
		}}, {Parts: []chat.Part{text("never seen")}}},
	})
	if m.ID != "msg_chatcmpl-1" || m.Model != "gpt-5" || m.Role != "assistant" || m.StopReason != "stop_sequence" || m.StopSequence != "END" {
		t.Errorf("head: %+v", m)
	}
	var kinds []string
	for _, b := range m.Content {
		kinds = append(kinds, b.Type)
	}
	same(t, kinds, []string{"thinking", "redacted_thinking", "text", "tool_use", "tool_use"})
	if m.Content[0].Thinking != "hm" || m.Content[0].Signature != "" || m.Content[1].Data != "zz" || m.Content[2].Text != `a"b` ||
		string(m.Content[3].Input) != `{"x":1}` || m.Content[3].ID != "c1" || string(m.Content[4].Input) != `{}` {
		t.Errorf("content: %+v", m.Content)
	}
	u := m.Usage
	if u.InputTokens != 10 || u.CacheReadInputTokens != 5 || u.CacheCreationInputTokens != 7 || u.CacheCreation.Ephemeral1hInputTokens != 3 ||
		u.CacheCreation.Ephemeral5mInputTokens != 4 || u.OutputTokens != 20 || u.OutputTokensDetails.ThinkingTokens != 8 {
		t.Errorf("D86, usage: %+v", u)
	}
}

func TestD131_model_and_id_where_the_provider_gave_none(t *testing.T) {
	m := encodeResponse(t, &chat.Response{})
	if m.ID != "msg_req1" || m.Model != "asked" || len(m.Content) != 0 || m.StopReason != "end_turn" {
		t.Errorf("got %+v", m)
	}
	if m := encodeResponse(t, &chat.Response{ID: "msg_7"}); m.ID != "msg_7" {
		t.Errorf("got %s", m.ID)
	}
}

func TestD135_refusal(t *testing.T) {
	m := encodeResponse(t, &chat.Response{Choices: []chat.Choice{{Finish: chat.FinishStop, Parts: []chat.Part{{Kind: chat.Refusal, Text: "no"}}}}})
	if m.StopReason != "refusal" || len(m.Content) != 1 || m.Content[0].Text != "no" || m.Content[0].Type != "text" {
		t.Errorf("got %+v", m)
	}
}

func TestD32_arguments_of_a_model_that_are_no_object(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":`: `{"INVALID_JSON":"{\"a\":"}`, `[1]`: `{"INVALID_JSON":"[1]"}`, " {\"a\":1} ": `{"a":1}`, "{\"a\":\"\xff\"}": "{\"INVALID_JSON\":\"{\\\"a\\\":\\\"\uFFFD\\\"}\"}",
	} {
		m := encodeResponse(t, &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{call("c", "f", in)}}}})
		if got := string(m.Content[0].Input); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestResponse_round_trip(t *testing.T) {
	r, err := codec.DecodeResponse([]byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	b, err := codec.EncodeResponse(r, translate.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	again, err := codec.DecodeResponse(b)
	if err != nil {
		t.Fatal(err)
	}
	r.Extra, again.Extra = nil, nil
	r.Choices[0].Parts[2].Citations, again.Choices[0].Parts[2].Citations = nil, nil // their places: the text is one block now
	same(t, again, r)
}

// Joining must cost no more than the answer is long: 200,000 blocks of one byte.
func TestDecodeResponse_many_small_blocks(t *testing.T) {
	body := `{"type":"message","content":[` + strings.TrimSuffix(strings.Repeat(`{"type":"text","text":"x","citations":[{}]},`, 200_000), ",") + `]}`
	r, err := codec.DecodeResponse([]byte(body))
	if err != nil || len(r.Choices[0].Parts) != 1 || len(r.Choices[0].Parts[0].Text) != 200_000 {
		t.Errorf("%v", err)
	}
}
