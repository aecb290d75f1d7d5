package fakeprovider

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tidwall/gjson"
)

// sseEvent is one event as a client sees it.
type sseEvent struct {
	name string
	data gjson.Result
	raw  string
}

func readSSE(t testing.TB, body []byte) []sseEvent {
	t.Helper()
	var out []sseEvent
	for _, block := range strings.Split(strings.ReplaceAll(string(body), "\r\n", "\n"), "\n\n") {
		var e sseEvent
		for _, line := range strings.Split(block, "\n") {
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				e.name = v
			}
			if v, ok := strings.CutPrefix(line, "data: "); ok {
				e.raw, e.data = v, gjson.Parse(v)
			}
		}
		if e.raw != "" {
			out = append(out, e)
		}
	}
	return out
}

func stream(t testing.TB, s *Server, r *Reply, edits map[string]any) []sseEvent {
	t.Helper()
	if r != nil {
		s.Next(r)
	}
	status, body := post(t, s, edit(t.(*testing.T), plain(s.Schema(), true), edits, nil))
	if status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	return readSSE(t, body)
}

func conforms(t testing.TB, schema *jsonschema.Schema, raw string) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(v); err != nil {
		t.Errorf("%s\n%v", raw, err)
	}
}

// everything is an answer with every kind of block that OpenAI has.
func everything() *Reply {
	return &Reply{
		Blocks: []Block{
			{Kind: ThinkingBlock, Text: "think, think"}, {Kind: TextBlock, Text: "Grüße, 世界"},
			{Kind: ToolBlock, ID: "call_1", Name: "a", Args: `{"x":"\"é\""}`}, {Kind: ToolBlock, ID: "call_2", Name: "b", Args: "{}"},
		},
		Usage: &Usage{Input: 10, CacheRead: 5, CacheWrite: 3, CacheWrite1h: 2, Output: 20, Reasoning: 7},
	}
}

func TestOpenAIWholeAnswersConformToTheDescription(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	spec, err := openaiSchemas()
	if err != nil {
		t.Fatal(err)
	}
	replies := map[string]*Reply{
		"default": nil, "everything": everything(), "refusal": Refusal("I won't"), "length": {Blocks: []Block{{Kind: TextBlock, Text: "x"}}, Finish: "length"},
		"no usage": {Blocks: []Block{{Kind: TextBlock, Text: "x"}}, NoUsage: true},
	}
	for name, r := range replies {
		t.Run(name, func(t *testing.T) {
			if r != nil {
				s.Next(r)
			}
			status, body := post(t, s, edit(t, plain(OpenAI, false), map[string]any{"n": 2, "logprobs": true}, nil))
			if status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			conforms(t, spec.response, string(body))
			if n := gjson.GetBytes(body, "choices.#").Int(); n != 2 {
				t.Errorf("%d choices", n)
			}
		})
	}
	for _, path := range []string{"/v1/models"} {
		req := request(t, s, nil)
		req.Method, req.URL.Path, req.Body = "GET", path, nil
		status, body := do(t, client(t), req)
		if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
		conforms(t, spec.list, string(body))
	}
}

func TestOpenAIStreamsConformToTheDescription(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	spec, err := openaiSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for _, usage := range []bool{false, true} {
		t.Run(fmt.Sprint("include_usage ", usage), func(t *testing.T) {
			events := stream(t, s, everything(), map[string]any{"stream_options": map[string]any{"include_usage": usage}})
			if last := events[len(events)-1].raw; last != "[DONE]" {
				t.Errorf("ends with %q", last)
			}
			chunks := events[:len(events)-1]
			for _, e := range chunks {
				conforms(t, spec.chunk, withoutNullUsage(e.raw))
			}
			if role := chunks[0].data.Get("choices.0.delta.role").String(); role != "assistant" {
				t.Errorf("first chunk: %s", chunks[0].raw)
			}
			last := chunks[len(chunks)-1].data
			if usage {
				if last.Get("choices.#").Int() != 0 || last.Get("usage.prompt_tokens").Int() != 20 || last.Get("usage.prompt_tokens_details.cached_tokens").Int() != 5 ||
					last.Get("usage.completion_tokens").Int() != 20 || last.Get("usage.completion_tokens_details.reasoning_tokens").Int() != 7 {
					t.Errorf("usage chunk: %s", last.Raw)
				}
				last = chunks[len(chunks)-2].data
			} else if slices.ContainsFunc(chunks, func(e sseEvent) bool { return e.data.Get("usage").Exists() }) {
				t.Error("usage that nobody asked for")
			}
			if reason := last.Get("choices.0.finish_reason").String(); reason != "tool_calls" {
				t.Errorf("finish reason %q", reason)
			}
		})
	}
}

// withoutNullUsage: every chunk before the usage chunk says `usage: null`, which the description forgets to allow where
// the schema is a reference.
func withoutNullUsage(raw string) string { return strings.Replace(raw, `,"usage":null`, "", 1) }

func TestOpenAIToolCallFragments(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	for _, interleave := range []bool{false, true} {
		r := everything()
		r.Interleave = interleave
		args, ids, order := map[int64]string{}, map[int64]string{}, ""
		for _, e := range stream(t, s, r, nil) {
			for _, c := range e.data.Get("choices.0.delta.tool_calls").Array() {
				i := c.Get("index").Int()
				order += fmt.Sprint(i)
				args[i] += c.Get("function.arguments").String()
				if id := c.Get("id").String(); id != "" {
					if ids[i] != "" {
						t.Errorf("call %d: id twice", i)
					}
					ids[i] = id
				}
			}
		}
		if args[0] != `{"x":"\"é\""}` || args[1] != "{}" || ids[0] != "call_1" || ids[1] != "call_2" {
			t.Errorf("%v %v", args, ids)
		}
		if want := map[bool]string{false: "00000111", true: "01010100"}[interleave]; order != want {
			t.Errorf("interleave %v: order %s, want %s", interleave, order, want)
		}
	}
}

func TestAnthropicEventSequence(t *testing.T) {
	s := Start(t, Options{Schema: Anthropic})
	r := everything()
	r.Chunks = 2
	events := stream(t, s, r, nil)
	var got []string
	for _, e := range events {
		if e.name != e.data.Get("type").String() {
			t.Errorf("event %q with data %s", e.name, e.raw)
		}
		step := e.name
		if d := e.data.Get("delta.type").String(); d != "" {
			step = d
		}
		if b := e.data.Get("content_block.type").String(); b != "" {
			step += " " + b
		}
		got = append(got, step)
	}
	want := []string{
		"message_start",
		"content_block_start thinking", "ping", "thinking_delta", "thinking_delta", "signature_delta", "content_block_stop",
		"content_block_start text", "text_delta", "text_delta", "content_block_stop",
		"content_block_start tool_use", "input_json_delta", "input_json_delta", "input_json_delta", "content_block_stop",
		"content_block_start tool_use", "input_json_delta", "content_block_stop",
		"message_delta", "message_stop",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	start, end := events[0].data.Get("message.usage"), events[len(events)-2].data
	if start.Get("input_tokens").Int() != 10 || start.Get("cache_read_input_tokens").Int() != 5 || start.Get("cache_creation_input_tokens").Int() != 5 ||
		start.Get("cache_creation.ephemeral_1h_input_tokens").Int() != 2 || start.Get("output_tokens").Int() != 1 {
		t.Errorf("message_start usage %s", start.Raw)
	}
	if end.Get("usage.output_tokens").Int() != 20 || end.Get("delta.stop_reason").String() != "tool_use" {
		t.Errorf("message_delta %s", end.Raw)
	}
}

func TestAnthropicWithoutArguments(t *testing.T) {
	s := Start(t, Options{Schema: Anthropic})
	for _, e := range stream(t, s, Calls(Call("now", "")), nil) {
		if e.data.Get("delta.type").String() == "input_json_delta" {
			t.Errorf("a delta for a call without arguments: %s", e.raw)
		}
	}
}

func TestThinkingBlocksGoBackUnchangedOrNotAtAll(t *testing.T) {
	s, other := Start(t, Options{Schema: Anthropic}), Start(t, Options{Schema: Anthropic, Name: "other"})
	think := map[string]any{"max_tokens": 3000, "thinking": map[string]any{"type": "enabled", "budget_tokens": 1024}}
	s.Next(&Reply{Blocks: []Block{{Kind: ThinkingBlock, Text: "hm"}, {Kind: RedactedBlock, Text: "secret"}, {Kind: TextBlock, Text: "ok"}}})
	_, body := post(t, s, edit(t, plain(Anthropic, false), think, nil))
	content := gjson.GetBytes(body, "content").Value()
	next := edit(t, plain(Anthropic, false), map[string]any{
		"messages.1": map[string]any{"role": "assistant", "content": content}, "messages.2": map[string]any{"role": "user", "content": "go on"},
	}, nil)
	if status, got := post(t, s, next); status != 200 {
		t.Errorf("its own blocks: %d %s", status, got)
	}
	if status, _ := post(t, other, next); status != 400 {
		t.Errorf("another provider's blocks: %d", status)
	}
	changed := bytes.Replace(next, []byte(`"hm"`), []byte(`"hmm"`), 1)
	if status, _ := post(t, s, changed); status != 400 {
		t.Errorf("changed text: %d", status)
	}
	_, body = post(t, s, edit(t, plain(Anthropic, false), map[string]any{"thinking": map[string]any{"type": "adaptive", "display": "omitted"}}, nil))
	hidden := gjson.GetBytes(body, "content.0")
	if hidden.Get("thinking").String() != "" || hidden.Get("signature").String() == "" {
		t.Errorf("display omitted: %s", hidden.Raw)
	}
	next = edit(t, next, map[string]any{"messages.1.content": []any{hidden.Value(), map[string]any{"type": "text", "text": "ok"}}}, nil)
	if status, got := post(t, s, next); status != 200 {
		t.Errorf("an omitted block: %d %s", status, got)
	}
}

func TestStreamDressing(t *testing.T) {
	for _, schema := range []Schema{OpenAI, Anthropic} {
		s := Start(t, Options{Schema: schema})
		want := stream(t, s, Text("the same 世界 every time"), nil)
		for size := 1; size < 9; size++ {
			r := Text("the same 世界 every time")
			r.SplitBytes, r.CRLF, r.Comments = size, size%2 == 0, size%3 == 0
			got := stream(t, s, r, nil)
			if len(got) != len(want) {
				t.Fatalf("size %d: %d events, want %d", size, len(got), len(want))
			}
			for i := range got {
				if got[i].name != want[i].name {
					t.Errorf("size %d event %d: %s", size, i, got[i].raw)
				}
			}
		}
		if c := s.Counters(); c.Complete != 9 || c.Tokens != c.Delivered || c.Tokens == 0 {
			t.Errorf("%+v", c)
		}
	}
}

func TestReasoningContentOfCompatibleVendors(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI, ReasoningContent: true})
	var thought string
	for _, e := range stream(t, s, Thinking("so so", "yes"), nil) {
		thought += e.data.Get("choices.0.delta.reasoning_content").String()
	}
	if thought != "so so" {
		t.Errorf("streamed %q", thought)
	}
	s.Next(Thinking("so so", "yes"))
	_, body := post(t, s, edit(t, plain(OpenAI, false), map[string]any{"messages.1": map[string]any{"role": "assistant", "content": "a", "reasoning_content": "b"}}, nil))
	if got := gjson.GetBytes(body, "choices.0.message.reasoning_content").String(); got != "so so" {
		t.Errorf("whole: %s", body)
	}
}
