package openai_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

func encodeAll(o translate.Answer, evs ...chat.Event) string {
	enc := codec.NewEncoder(o)
	var dst []byte
	for i := range evs {
		dst = enc.Encode(dst, &evs[i])
	}
	return string(dst)
}

func start(kind chat.PartKind, index int) chat.Event {
	return chat.Event{Kind: chat.EventBlockStart, Index: index, Block: chat.Part{Kind: kind}}
}

func delta(index int, text string) chat.Event {
	return chat.Event{Kind: chat.EventDelta, Index: index, Text: text}
}

func stop(index int) chat.Event { return chat.Event{Kind: chat.EventBlockStop, Index: index} }

var (
	begin  = chat.Event{Kind: chat.EventStart, ID: "msg_1", Model: "claude"}
	finish = chat.Event{Kind: chat.EventFinish, Finish: chat.FinishStop, RawFinish: "end_turn"}
	end    = chat.Event{Kind: chat.EventEnd}
)

func TestD111_role_once_for_each_choice(t *testing.T) {
	other := delta(0, "b")
	other.Choice = 1
	otherStart := start(chat.Text, 0)
	otherStart.Choice = 1
	out := encodeAll(reply, begin, start(chat.Text, 0), delta(0, "a"), otherStart, other, delta(0, "c"), finish, end)
	if strings.Count(out, `"role":"assistant"`) != 2 || !strings.Contains(out, `{"index":1,"delta":{"role":"assistant","content":"b"}`) {
		t.Error(out)
	}
}

func TestD111_an_answer_without_content_has_its_role(t *testing.T) {
	out := encodeAll(reply, begin, finish, end)
	if !strings.Contains(out, `"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":"stop"`) {
		t.Error(out)
	}
}

func TestD92_usage_only_for_who_asked(t *testing.T) {
	usage := chat.Event{Kind: chat.EventUsage, Usage: chat.Usage{Known: true, Input: 3, CacheRead: 4, Output: 5}}
	o := reply
	if out := encodeAll(o, begin, start(chat.Text, 0), delta(0, "a"), usage, finish, end); !strings.Contains(out, `"choices":[],"usage":{"prompt_tokens":7,`) {
		t.Error(out)
	}
	if out := encodeAll(o, begin, finish, end); strings.Contains(out, `"choices":[]`) {
		t.Errorf("a usage that nobody reported was made up (D91): %s", out)
	}
	o.IncludeUsage = false
	if out := encodeAll(o, begin, start(chat.Text, 0), delta(0, "a"), usage, finish, end); strings.Contains(out, "usage") {
		t.Error(out)
	}
}

func TestD93_the_last_usage_counts(t *testing.T) {
	first := begin
	first.Usage = chat.Usage{Known: true, Input: 10, Output: 1}
	usage := chat.Event{Kind: chat.EventUsage, Usage: chat.Usage{Known: true, Input: 10, Output: 25}}
	if out := encodeAll(reply, first, usage, finish, end); !strings.Contains(out, `"completion_tokens":25,`) {
		t.Error(out)
	}
}

func TestD136_one_id_model_and_time_in_every_chunk(t *testing.T) {
	for _, evs := range [][]chat.Event{
		{{Kind: chat.EventStart}, start(chat.Text, 0), delta(0, "a"), stop(0), finish, end},
		{start(chat.Text, 0), delta(0, "a"), stop(0), finish, end}, // a decoder that never says Start
	} {
		out := encodeAll(reply, evs...)
		want := `data: {"id":"chatcmpl-req-1","object":"chat.completion.chunk","created":1700000000,"model":"asked-model",`
		if strings.Count(out, want) != 2 || strings.Count(out, "data: ") != 3 {
			t.Error(out)
		}
	}
	if out := encodeAll(translate.Answer{}, begin, finish, end); !strings.Contains(out, `"id":"msg_1","object":"chat.completion.chunk","created":0,"model":"claude"`) {
		t.Error(out)
	}
}

func TestD81_signature_in_a_last_delta(t *testing.T) {
	sig := chat.Event{Kind: chat.EventSignature, Text: "sig"}
	redacted := start(chat.RedactedThinking, 1)
	redacted.Block.Signature = "opaque"
	out := encodeAll(reply, begin, start(chat.Thinking, 0), delta(0, "th\n"), delta(0, "ink"), sig, sig, stop(0), redacted, stop(1), start(chat.Text, 2), delta(2, "x"), stop(2), finish, end)
	for _, want := range []string{
		`"delta":{"role":"assistant","reasoning_content":"th\n"}`, `"delta":{"reasoning_content":"ink"}`,
		`"delta":{"thinking_blocks":[{"type":"thinking","thinking":"th\nink","signature":"sigsig"}]}`,
		`"delta":{"thinking_blocks":[{"type":"redacted_thinking","data":"opaque"}]}`, `"delta":{"content":"x"}`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
	unsigned := encodeAll(reply, begin, start(chat.Thinking, 0), delta(0, "t"), stop(0), finish, end)
	if strings.Contains(unsigned, "thinking_blocks") {
		t.Errorf("a block without a signature is of no use to anyone: %s", unsigned)
	}
	only := encodeAll(reply, begin, start(chat.Thinking, 0), sig, stop(0), finish, end)
	if !strings.Contains(only, `{"type":"thinking","thinking":"","signature":"sig"}`) { // D77
		t.Error(only)
	}
}

// Thinking is held for its signature up to a bound; beyond it the stream goes on without the signed block.
func TestD81_too_much_thinking(t *testing.T) {
	evs := []chat.Event{begin, start(chat.Thinking, 0)}
	for range 5 {
		evs = append(evs, delta(0, strings.Repeat("x", 1<<20)))
	}
	evs = append(evs, chat.Event{Kind: chat.EventSignature, Text: "sig"}, stop(0), finish, end)
	if out := encodeAll(reply, evs...); strings.Contains(out, "thinking_blocks") || strings.Count(out, "reasoning_content") != 5 {
		t.Error("the signed block was sent, or thinking was lost")
	}
}

func TestD108_indexes_count_tool_calls_only(t *testing.T) {
	callStart := func(index int, id string) chat.Event {
		return chat.Event{Kind: chat.EventBlockStart, Index: index, Block: chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: id, Name: "f"}}}
	}
	out := encodeAll(reply, begin, start(chat.Text, 0), delta(0, "a"), stop(0), callStart(1, "x"), delta(1, "{}"), stop(1), callStart(2, "y"), stop(2),
		chat.Event{Kind: chat.EventFinish, Finish: chat.FinishToolCalls}, end)
	for _, want := range []string{
		`"tool_calls":[{"index":0,"id":"x","type":"function","function":{"name":"f","arguments":""}}]`,
		`"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]`, `"tool_calls":[{"index":1,"id":"y"`,
		`"tool_calls":[{"index":1,"function":{"arguments":"{}"}}]`, `"finish_reason":"tool_calls"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s is not in\n%s", want, out)
		}
	}
}

func TestD96_D97_D105_finish_words(t *testing.T) {
	for _, c := range []struct {
		finish    chat.Finish
		raw, stop string
		want      string
	}{
		{chat.FinishStop, "end_turn", "", `"finish_reason":"stop"}`},
		{chat.FinishStopSequence, "stop_sequence", "END", `"finish_reason":"stop","stop_reason":"END"}`},
		{chat.FinishLength, "max_tokens", "", `"finish_reason":"length"}`},
		{chat.FinishToolCalls, "tool_use", "", `"finish_reason":"tool_calls"}`},
		{chat.FinishContentFilter, "SAFETY", "", `"finish_reason":"content_filter"}`},
		{chat.FinishRefusal, "refusal", "", `"finish_reason":"content_filter","native_finish_reason":"refusal"}`},
		{chat.FinishPause, "pause_turn", "", `"finish_reason":"stop","native_finish_reason":"pause_turn"}`},
		{chat.FinishContext, "model_context_window_exceeded", "", `"finish_reason":"length","native_finish_reason":"model_context_window_exceeded"}`},
		{chat.FinishOther, "compaction", "", `"finish_reason":"stop","native_finish_reason":"compaction"}`},
		{chat.FinishOther, "", "", `"finish_reason":"stop"}`},
		{"never heard of", "x", "", `"finish_reason":"stop","native_finish_reason":"x"}`},
	} {
		ev := chat.Event{Kind: chat.EventFinish, Finish: c.finish, RawFinish: c.raw, StopSequence: c.stop}
		if out := encodeAll(reply, begin, ev, end); !strings.Contains(out, c.want) {
			t.Errorf("%s: %s", c.finish, out)
		}
		r := chat.Response{Choices: []chat.Choice{{Finish: c.finish, RawFinish: c.raw, StopSequence: c.stop}}}
		if body, err := codec.EncodeResponse(&r, reply); err != nil || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %s %v", c.finish, body, err)
		}
	}
}

func TestD119_fault_ends_the_stream(t *testing.T) {
	f := fault.New(fault.ProviderFailed, "It broke.")
	enc := codec.NewEncoder(reply)
	out := enc.Fault(nil, f)
	want := `data: {"error":{"message":"It broke.","type":"server_error","param":null,"code":"provider_failed"}}` + "\n\n"
	if string(out) != want {
		t.Errorf("%s", out)
	}
	if more := enc.Encode(nil, &end); len(more) > 0 {
		t.Errorf("something followed: %s", more)
	}
	if out := encodeAll(reply, chat.Event{Kind: chat.EventError, Fault: f}, end); out != want {
		t.Errorf("%s", out)
	}
}

func TestD115_pings_pass_as_comments(t *testing.T) {
	if out := encodeAll(reply, chat.Event{Kind: chat.EventPing}); out != ": ping\n\n" {
		t.Errorf("%q", out)
	}
}

func TestEncoder_ignores_what_has_no_block(t *testing.T) {
	out := encodeAll(reply, begin, delta(7, "lost"), stop(7), chat.Event{Kind: chat.EventSignature, Index: 7, Text: "x"}, finish, finish, end, end)
	if strings.Contains(out, "lost") || strings.Count(out, "finish_reason") != 1 || strings.Count(out, "[DONE]") != 1 {
		t.Error(out)
	}
}

func TestD116_line_ends_of_every_kind(t *testing.T) {
	in := "data: {\"id\":\"i\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"é漢\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
	want, _, err := throughDecoder([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"\r\n", "\r"} {
		other := strings.ReplaceAll(in, "\n", end)
		if got, _, err := throughDecoder([]byte("\ufeff" + other)); err != nil || got != want {
			t.Errorf("%q: %v\n%s", end, err, got)
		}
		tap := codec.NewTap(1000, reply)
		out, err := tap.Write(nil, []byte(other))
		if err == nil {
			out, err = tap.Close(out)
		}
		if err != nil || string(out) != other || !tap.Seen().End {
			t.Errorf("%q: the tap passed %q, %v", end, out, err)
		}
	}
}

// A provider without bounds must not take memory without bounds.
func TestDecoder_bounds(t *testing.T) {
	chunk := func(delta string, index int) string {
		return fmt.Sprintf("data: {\"id\":\"i\",\"choices\":[{\"index\":%d,\"delta\":%s}]}\n\n", index, delta)
	}
	var calls, choices strings.Builder
	for i := range 2000 {
		calls.WriteString(chunk(fmt.Sprintf(`{"tool_calls":[{"index":%d,"id":"c%d","function":{"name":"f"}}]}`, i, i), 0))
		choices.WriteString(chunk(`{"content":"x"}`, i))
	}
	for name, in := range map[string]string{
		"calls": calls.String(), "choices": choices.String(), "an endless line": "data: " + strings.Repeat("x", 2<<20),
		"endless lines": strings.Repeat("data: x\n", 1<<18),
	} {
		_, _, err := throughDecoder([]byte(in))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.ProviderFailed {
			t.Errorf("%s: %v", name, err)
		}
	}
	tap := codec.NewTap(100, reply)
	if _, err := tap.Write(nil, []byte(strings.Repeat("x", 101))); err == nil {
		t.Error("the tap let an endless line pass")
	}
}

func TestD34_ids_by_chance_where_the_answer_has_none(t *testing.T) {
	in := []byte("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n")
	ids := map[string]bool{}
	for range 2 {
		dec := codec.NewDecoder(1000)
		err := dec.Decode(in, func(ev *chat.Event) {
			if ev.Block.Call != nil {
				ids[ev.Block.Call.ID] = true
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for id := range ids {
		if len(id) > 64 || !strings.HasPrefix(id, "call_") || strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			t.Errorf("id %q", id)
		}
	}
	if len(ids) != 2 {
		t.Errorf("two answers share an id: %v", ids)
	}
}

func TestTap_first_content(t *testing.T) {
	tap := codec.NewTap(1000, reply)
	steps := []struct {
		in             string
		first, content bool
	}{
		{": ping\n\n", false, false},
		{"data: {\"id\":\"i\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n", false, false},
		{"data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"x\"}}]}\n\n", true, true},
		{"data: {\"choices\":[{\"delta\":{\"content\":\"y\"}}]}\n\n", false, true},
	}
	for i, s := range steps {
		if _, err := tap.Write(nil, []byte(s.in)); err != nil {
			t.Fatal(err)
		}
		if seen := tap.Seen(); seen.FirstContent != s.first || seen.Content != s.content {
			t.Errorf("step %d: %+v", i, seen)
		}
	}
}
