package responses_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

var reply = translate.Answer{RequestID: "gw-1", Model: "auto"}

// sse frames events, each a type and its further members.
func sse(events ...string) []byte {
	var b strings.Builder
	for i, e := range events {
		kind, members, _ := strings.Cut(e, " ")
		if members != "" {
			members = "," + members
		}
		fmt.Fprintf(&b, "event: %s\ndata: {\"type\":%q,\"sequence_number\":%d%s}\n\n", kind, kind, i, members)
	}
	return []byte(b.String())
}

const (
	created   = `response.created "response":{"id":"resp_1","model":"m","created_at":7.5,"status":"in_progress","output":[]}`
	completed = `response.completed "response":{"id":"resp_1","model":"m","status":"completed","output":[],"usage":{"input_tokens":3,"output_tokens":2}}`
	openText  = `response.content_part.added "item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":""}`
	deltaText = `response.output_text.delta "item_id":"msg_1","output_index":0,"content_index":0,"delta":"hi","logprobs":[]`
	openCall  = `response.output_item.added "output_index":1,"item":{"type":"function_call","call_id":"c","name":"f","arguments":""}`
)

// events decodes a stream into lines of a few letters each.
func events(stream []byte) (string, error) {
	var lines []string
	d := codec.NewDecoder(1 << 20)
	emit := func(ev *chat.Event) {
		switch ev.Kind {
		case chat.EventStart:
			lines = append(lines, fmt.Sprintf("start %s %s %d", ev.ID, ev.Model, ev.Created))
		case chat.EventBlockStart:
			line := fmt.Sprintf("open %d %d", ev.Index, ev.Block.Kind)
			if ev.Block.Call != nil {
				line += " " + ev.Block.Call.ID + " " + ev.Block.Call.Name
			}
			lines = append(lines, line+ev.Block.Signature)
		case chat.EventDelta:
			lines = append(lines, fmt.Sprintf("delta %d %q%s", ev.Index, ev.Text, ev.LogProbs))
		case chat.EventSignature:
			lines = append(lines, fmt.Sprintf("signature %d %s", ev.Index, ev.Text))
		case chat.EventBlockStop:
			line := fmt.Sprintf("close %d", ev.Index)
			for _, c := range ev.Block.Citations {
				line += fmt.Sprintf(" %s %d-%d", c.URL, c.Start, c.End)
			}
			lines = append(lines, line)
		case chat.EventFinish:
			lines = append(lines, "finish "+string(ev.Finish)+" "+ev.RawFinish)
		case chat.EventUsage:
			lines = append(lines, fmt.Sprintf("usage %d %d", ev.Usage.Prompt(), ev.Usage.Output))
		case chat.EventEnd:
			lines = append(lines, "end")
		case chat.EventError:
			lines = append(lines, "error "+ev.Fault.Kind.String()+" "+ev.Fault.Message)
		case chat.EventPing:
			lines = append(lines, "ping")
		}
	}
	err := d.Decode(stream, emit)
	if err == nil {
		err = d.Close(emit)
	}
	return strings.Join(lines, "\n"), err
}

func TestStreamsAreRead(t *testing.T) {
	end := "finish stop completed\nusage 3 2\nend"
	for name, c := range map[string]struct {
		in   []byte
		want string
	}{
		"text": {sse(created, openText, deltaText, `response.content_part.done "output_index":0,"content_index":0,"part":{"type":"output_text","text":"hi"}`, completed),
			"start resp_1 m 7\nopen 0 1\ndelta 0 \"hi\"\nclose 0\n" + end},
		"text without its beginnings": {sse(deltaText, completed), "start   0\nopen 0 1\ndelta 0 \"hi\"\nclose 0\n" + end},
		"text that only its end tells": {sse(created, openText, `response.output_text.done "output_index":0,"content_index":0,"text":"hi"`, completed),
			"start resp_1 m 7\nopen 0 1\ndelta 0 \"hi\"\nclose 0\n" + end},
		"D134 citations": {sse(created, openText, `response.output_text.delta "output_index":0,"content_index":0,"delta":"Łódź","logprobs":[]`,
			`response.content_part.done "output_index":0,"content_index":0,"part":{"type":"output_text","text":"Łódź","annotations":[{"type":"url_citation","url":"https://x","title":"t","start_index":1,"end_index":3},{"type":"file_citation","file_id":"f"}]}`, completed),
			"start resp_1 m 7\nopen 0 1\ndelta 0 \"Łódź\"\nclose 0 https://x 2-5\n" + end},
		"log probabilities": {sse(created, openText, `response.output_text.delta "output_index":0,"content_index":0,"delta":"x","logprobs":[{"token":"x"}]`, completed),
			"start resp_1 m 7\nopen 0 1\ndelta 0 \"x\"{\"content\":[{\"token\":\"x\"}],\"refusal\":null}\nclose 0\n" + end},
		"D33 a call without deltas": {sse(created, openCall, `response.function_call_arguments.done "output_index":1,"arguments":"{}"`, `response.output_item.done "output_index":1,"item":{"type":"function_call","arguments":"{}"}`, completed),
			"start resp_1 m 7\nopen 0 5 c f\ndelta 0 \"{}\"\nclose 0\n" + end},
		"a custom tool": {sse(created, `response.output_item.added "output_index":0,"item":{"type":"custom_tool_call","call_id":"c","name":"sql","input":""}`, `response.custom_tool_call_input.delta "output_index":0,"delta":"a\"b"`, `response.custom_tool_call_input.delta "output_index":0,"delta":"c"`, `response.output_item.done "output_index":0,"item":{"type":"custom_tool_call"}`, completed),
			"start resp_1 m 7\nopen 0 5 c sql\ndelta 0 \"{\\\"input\\\":\\\"a\\\\\\\"b\"\ndelta 0 \"c\"\ndelta 0 \"\\\"}\"\nclose 0\n" + end},
		"D77 reasoning of an id alone": {sse(created, `response.output_item.added "output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}`, `response.output_item.done "output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}`, completed),
			"start resp_1 m 7\n" + end},
		"reasoning signed and silent": {sse(created, `response.output_item.added "output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}`, `response.output_item.done "output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"g"}`, completed),
			"start resp_1 m 7\nopen 0 7\nsignature 0 responses:rs_1:g\nclose 0\n" + end},
		"reasoning in paragraphs": {sse(created, `response.output_item.added "output_index":0,"item":{"type":"reasoning","id":"rs_1"}`, `response.reasoning_summary_text.delta "output_index":0,"summary_index":0,"delta":"a"`, `response.reasoning_summary_text.delta "output_index":0,"summary_index":1,"delta":"b"`, `response.output_item.done "output_index":0,"item":{"type":"reasoning","id":"rs_1"}`, completed),
			"start resp_1 m 7\nopen 0 7\ndelta 0 \"a\"\ndelta 0 \"\\n\\n\"\ndelta 0 \"b\"\nclose 0\n" + end},
		"an answer in the terminal event alone": {sse(created, `response.completed "response":{"id":"resp_1","status":"completed","output":[{"type":"message","content":[{"type":"output_text","text":"hi"}]}],"usage":{"input_tokens":3,"output_tokens":2}}`),
			"start resp_1 m 7\nopen 0 1\ndelta 0 \"hi\"\nclose 0\n" + end},
		"D98 filtered":                          {sse(created, `response.incomplete "response":{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[]}`), "start resp_1 m 7\nfinish content_filter content_filter\nend"},
		"D105 unknown":                          {sse(created, `response.incomplete "response":{"status":"incomplete","incomplete_details":{"reason":"tired"},"output":[]}`), "start resp_1 m 7\nfinish other tired\nend"},
		"D115 comments, and events of tomorrow": {append([]byte(": ping\n\n"), sse(created, `response.of.tomorrow "x":1`, completed)...), "ping\nstart resp_1 m 7\n" + end},
		"no blank line at the end":              {[]byte(strings.TrimRight(string(sse(created, completed)), "\n")), "start resp_1 m 7\n" + end},
		"D119 an error":                         {sse(created, `error "code":"rate_limit_exceeded","message":"slow","param":null`, completed), "start resp_1 m 7\nerror rate_limited slow"},
		"an error in an object":                 {sse(`error "error":{"type":"server_error","message":"bad"}`), "error provider_error bad"},
		"failed":                                {sse(created, `response.failed "response":{"status":"failed","error":{"code":"server_error","message":"bad"}}`), "start resp_1 m 7\nerror provider_error bad"},
		"failed without a word":                 {sse(created, `response.failed "response":{"status":"failed"}`), "start resp_1 m 7\nerror provider_error The provider's model failed to answer and did not say why."},
	} {
		got, err := events(c.in)
		if err != nil || got != c.want {
			t.Errorf("%s (%v):\n%s\nwant\n%s", name, err, got, c.want)
		}
	}
}

func TestBrokenStreamsAreFaults(t *testing.T) {
	for name, in := range map[string][]byte{
		"empty": nil, "cut": sse(created, openText, deltaText), "no JSON": []byte("data: x\n\n"), "a web page": []byte("<html>Bad"), "an object": []byte(`{"error":{"message":"x"}}`),
		"no response": sse(created, `response.completed`), "arguments of no call": sse(created, `response.function_call_arguments.delta "output_index":3,"delta":"x"`),
		"half a terminal event": []byte(strings.TrimRight(string(sse(created, completed)), "}\n")),
		"endless blocks":        []byte(strings.Repeat(string(sse(openText, `response.content_part.done "output_index":0,"content_index":0`)), 9000)),
	} {
		if got, err := events(in); err == nil {
			t.Errorf("%s is read as\n%.300s", name, got)
		} else {
			asFault(t, err)
		}
	}
}

// TestD109_interleaved_calls_are_items_of_their_own: the schema has a place for each.
func TestD109_interleaved_calls_are_items_of_their_own(t *testing.T) {
	e := codec.NewEncoder(reply)
	var out []byte
	for _, ev := range []chat.Event{
		{Kind: chat.EventStart, ID: "x", Created: 1},
		{Kind: chat.EventBlockStart, Index: 0, Block: chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "a", Name: "f"}}},
		{Kind: chat.EventBlockStart, Index: 1, Block: chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "b", Name: "g", Arguments: "{"}}},
		{Kind: chat.EventDelta, Index: 0, Text: `{"x"`}, {Kind: chat.EventPing}, {Kind: chat.EventDelta, Index: 1, Text: `}`}, {Kind: chat.EventDelta, Index: 0, Text: `:1}`},
		{Kind: chat.EventBlockStop, Index: 1}, {Kind: chat.EventFinish, Finish: chat.FinishToolCalls}, {Kind: chat.EventDelta, Choice: 1, Text: "another choice"},
		{Kind: chat.EventUsage, Usage: chat.Usage{Known: true, Input: 5, Output: 8}}, {Kind: chat.EventEnd}, {Kind: chat.EventDelta, Index: 0, Text: "after the end"},
	} {
		out = e.Encode(out, &ev)
	}
	final := ""
	for i, event := range strings.Split(strings.ReplaceAll(strings.TrimSpace(string(out)), ": ping\n\n", ""), "\n\n") {
		_, data, _ := strings.Cut(event, "\ndata: ")
		if !gjson.Valid(data) || gjson.Get(data, "sequence_number").Int() != int64(i) {
			t.Errorf("event %d: %s", i, event)
		}
		final = data
	}
	if got := gjson.Get(final, "response.output.#.arguments").Raw; got != `["{\"x\":1}","{}"]` || gjson.Get(final, "response.usage.total_tokens").Int() != 13 {
		t.Errorf("D113: %s", final)
	}
	if strings.Count(string(out), "event: response.output_item.done") != 2 || strings.Contains(string(out), "after") || strings.Contains(string(out), "another") {
		t.Errorf("got %s", out)
	}
}

func TestFaultsInAStream(t *testing.T) {
	for kind, want := range map[fault.Kind]string{fault.RateLimited: "rate_limit_exceeded", fault.ContextLength: "invalid_prompt", fault.Overloaded: "server_error"} {
		e := codec.NewEncoder(reply)
		out := e.Encode(nil, &chat.Event{Kind: chat.EventStart, ID: "x"})
		out = e.Encode(out, &chat.Event{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Text, Text: "half"}})
		out = e.Fault(out, fault.New(kind, "no"))
		last := string(out[strings.LastIndex(string(out), "data: ")+6:])
		if gjson.Get(last, "type").String() != "response.failed" || gjson.Get(last, "response.error.code").String() != want || gjson.Get(last, "response.output.0.content.0.text").String() != "half" {
			t.Errorf("%s: %s", kind, last)
		}
		if got, err := events(out); err != nil || !strings.Contains(got, "error ") {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestTapPassesBothErrorEvents_and_redacts(t *testing.T) {
	in := sse(created, `error "message":"x","error":{"message":"x"}`, `response.failed "response":{"status":"failed","error":{"message":"x"}}`, deltaText)
	tap := codec.NewTap(1<<20, reply)
	out, err := tap.Write(nil, in)
	if err != nil || !strings.HasSuffix(string(in), string(sse(deltaText)[len("event: response.output_text.delta"):])) && len(out) == len(in) || strings.Contains(string(out), "output_text.delta") || !strings.Contains(string(out), "response.failed") {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := tap.Close(nil); err != nil || tap.Seen().Fault == nil {
		t.Errorf("%v", err)
	}
	tap = codec.NewTap(1<<20, reply)
	out, _ = tap.Write(nil, sse(created, `error "message":"key sk-proj-abcdefghijkl is bad"`))
	if strings.Contains(string(out), "abcdefghijkl") || !strings.Contains(string(out), "event: error") {
		t.Errorf("got %s", out)
	}
}

func TestD97_D105_native_finish_is_shown(t *testing.T) {
	for _, c := range []struct {
		f                   chat.Finish
		raw, status, native string
	}{
		{chat.FinishPause, "pause_turn", "completed", "pause_turn"}, {chat.FinishStop, "end_turn", "completed", ""}, {chat.FinishRefusal, "refusal", "incomplete", "refusal"},
		{chat.FinishContext, "model_context_window_exceeded", "incomplete", "model_context_window_exceeded"}, {chat.FinishOther, "tired", "completed", "tired"}, {"new", "new", "completed", "new"},
	} {
		b, err := codec.EncodeResponse(&chat.Response{Choices: []chat.Choice{{Finish: c.f, RawFinish: c.raw}}}, reply)
		if err != nil || gjson.GetBytes(b, "status").String() != c.status || gjson.GetBytes(b, "native_finish_reason").String() != c.native || gjson.GetBytes(b, "usage").Raw != "null" {
			t.Errorf("%v: %s", err, b)
		}
	}
}

func TestAnswersThatAreNone(t *testing.T) {
	for body, want := range map[string]string{
		``: "provider_failed", `{"id":"x"}`: "provider_failed", `{"output":[],"status":"failed"}`: "provider_failed", `{"output":[],"status":"in_progress"}`: "provider_failed",
		`{"error":{"code":"rate_limit_exceeded","message":"x"},"output":[]}`: "rate_limited", `{"error":"x"}`: "provider_error", `{"error":{}}`: "provider_error", `<html>`: "provider_failed",
	} {
		_, err := codec.DecodeResponse([]byte(body))
		if f := asFault(t, err); f.Kind.String() != want || f.Message == "" || strings.Contains(f.Message, "status 0") {
			t.Errorf("%s: %+v", body, f)
		}
	}
	r, err := codec.DecodeResponse([]byte(`{"id":"resp_1","status":"completed","output":[{"type":"web_search_call","id":"ws_1"},7,{"type":"function_call","call_id":"c","name":"f","arguments":"oops"}],"usage":{"input_tokens":null}}`))
	if err != nil || r.Usage.Known || r.Choices[0].Parts[0].Call.Arguments != `{"INVALID_JSON":"oops"}` || len(r.Extra) != 1 || r.Choices[0].Finish != chat.FinishToolCalls {
		t.Errorf("D91: %v %+v", err, r)
	}
	if b, _ := codec.EncodeResponse(r, reply); gjson.GetBytes(b, "output.#").Int() != 2 {
		t.Errorf("what a built-in tool did is shown to a client of the schema: %s", b)
	}
}
