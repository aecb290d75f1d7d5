package gemini

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// piece is an event of a stream: the members of one candidate, and what stands beside the candidates.
func event(candidate string, beside ...string) string {
	out := `data: {"candidates":[{` + candidate + `}]`
	for _, b := range beside {
		out += "," + b
	}
	return out + "}\n\n"
}

func parts(list ...string) string {
	return `"content":{"parts":[` + strings.Join(list, ",") + `],"role":"model"}`
}

const stop = `,"finishReason":"STOP"`

// read is what a stream adds up to.
func read(t *testing.T, stream string) *chat.Response {
	t.Helper()
	acc, d := chat.NewAccumulator(1<<20), Codec{}.NewDecoder(1<<20)
	err := d.Decode([]byte(stream), acc.Add)
	if err == nil {
		err = d.Close(acc.Add)
	}
	r, ok := acc.Response()
	if err != nil || !ok {
		t.Fatalf("%v, %v:\n%s", err, acc.Fault(), stream)
	}
	return r
}

// wholeOf is the same from one body.
func wholeOf(t *testing.T, body string) *chat.Response {
	t.Helper()
	r, err := Codec{}.DecodeResponse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// streamFault is how a stream ends badly.
func streamFault(t *testing.T, stream string) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	note := func(ev *chat.Event) {
		if ev.Kind == chat.EventError {
			f = ev.Fault
		}
	}
	d := Codec{}.NewDecoder(1 << 20)
	err := d.Decode([]byte(stream), note)
	if err == nil {
		err = d.Close(note)
	}
	if err != nil && !errors.As(err, &f) {
		t.Fatal(err)
	}
	return f
}

func TestD84_D87_D88_D94_usage(t *testing.T) {
	const usage = `"usageMetadata":{"promptTokenCount":100,"cachedContentTokenCount":40,"toolUsePromptTokenCount":5,"candidatesTokenCount":7,"thoughtsTokenCount":3,"totalTokenCount":115,"promptTokensDetails":[{"modality":"TEXT","tokenCount":90},{"modality":"AUDIO","tokenCount":10}],"candidatesTokensDetails":[{"modality":"AUDIO","tokenCount":2}]}`
	want := chat.Usage{Known: true, Input: 65, CacheRead: 40, Output: 10, Reasoning: 3, AudioInput: 10, AudioOutput: 2}
	r := read(t, event(parts(`{"text":"a"}`), `"usageMetadata":{"promptTokenCount":100,"totalTokenCount":100}`)+event(parts(`{"text":"b"}`)+stop, usage))
	if r.Usage != want {
		t.Errorf("streamed %+v", r.Usage)
	}
	if got := wholeOf(t, `{"candidates":[{`+parts(`{"text":"a"}`)+stop+`}],`+usage+`}`).Usage; got != want {
		t.Errorf("whole %+v", got)
	}
	// A stream that is cut has the count of its last piece.
	var seen translate.Seen
	d := Codec{}.NewDecoder(1 << 20)
	_ = d.Decode([]byte(event(parts(`{"text":"a"}`), usage)), seen.Note)
	if err := d.Close(seen.Note); err == nil || seen.Usage != want {
		t.Errorf("cut: %v %+v", err, seen.Usage)
	}
	for _, none := range []string{``, `,"usageMetadata":{}`, `,"usageMetadata":null`, `,"usageMetadata":{"promptTokenCount":"x"}`} {
		if got := wholeOf(t, `{"candidates":[{`+parts(`{"text":"a"}`)+stop+`}]`+none+`}`).Usage; got.Known { // D91
			t.Errorf("%s: %+v", none, got)
		}
	}
}

func TestD99_D100_D105_finish_reasons(t *testing.T) {
	for reason, want := range map[string]chat.Finish{
		"STOP": chat.FinishStop, "MAX_TOKENS": chat.FinishLength, "SAFETY": chat.FinishContentFilter, "RECITATION": chat.FinishContentFilter,
		"LANGUAGE": chat.FinishContentFilter, "BLOCKLIST": chat.FinishContentFilter, "PROHIBITED_CONTENT": chat.FinishContentFilter,
		"SPII": chat.FinishContentFilter, "IMAGE_SAFETY": chat.FinishContentFilter, "CONTINUATION": chat.FinishPause, "OTHER": chat.FinishOther,
		"NO_IMAGE": chat.FinishOther, "OF_TOMORROW": chat.FinishOther,
	} {
		r := read(t, event(parts(`{"text":"a"}`)+`,"finishReason":"`+reason+`"`))
		if c := r.Choices[0]; c.Finish != want || c.RawFinish != reason || c.Parts[0].Text != "a" {
			t.Errorf("%s: %+v", reason, c)
		}
	}
	// The call and the reason come in different pieces.
	r := read(t, event(parts(`{"functionCall":{"name":"f","args":{"a":1}}}`))+event(parts(`{"text":""}`)+stop))
	if c := r.Choices[0]; c.Finish != chat.FinishToolCalls || c.RawFinish != "STOP" || len(c.Parts) != 1 {
		t.Errorf("%+v", c)
	}
	for f, want := range map[chat.Finish]string{
		chat.FinishStop: "STOP", chat.FinishToolCalls: "STOP", chat.FinishStopSequence: "STOP", chat.FinishLength: "MAX_TOKENS", chat.FinishContext: "MAX_TOKENS",
		chat.FinishContentFilter: "SAFETY", chat.FinishRefusal: "SAFETY", chat.FinishPause: "OTHER", chat.FinishOther: "OTHER", "": "OTHER",
	} {
		if got, message := finishReason(f, "their_word"); got != want || (message == "") != (want == "STOP" || f == chat.FinishLength || f == chat.FinishContentFilter) {
			t.Errorf("%s: %s %q", f, got, message)
		}
	}
	if got, message := finishReason(chat.FinishContentFilter, "SPII"); got != "SPII" || message != "" {
		t.Errorf("own word: %s %q", got, message)
	}
}

func TestD101_a_failed_call_is_a_fault_before_content_and_an_end_after(t *testing.T) {
	for _, reason := range []string{"MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE"} {
		stream := event(`"finishReason":"` + reason + `"`)
		if f := streamFault(t, stream); f == nil || f.Kind != fault.ProviderFailed || f.Type != reason {
			t.Errorf("%s: %+v", reason, f)
		}
		_, err := Codec{}.DecodeResponse([]byte(strings.TrimPrefix(stream, "data: ")))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.ProviderFailed || f.Type != reason {
			t.Errorf("%s: %v", reason, err)
		}
		if _, err := (Codec{}).PeekResponse([]byte(strings.TrimPrefix(stream, "data: "))); err == nil {
			t.Errorf("%s: peeked", reason)
		}
		r := read(t, event(parts(`{"text":"a"}`))+stream)
		if c := r.Choices[0]; c.Finish != chat.FinishOther || c.RawFinish != reason {
			t.Errorf("%s after content: %+v", reason, c)
		}
	}
}

func TestD102_a_blocked_prompt_is_a_filtered_answer(t *testing.T) {
	const body = `{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":9,"totalTokenCount":9},"modelVersion":"m","responseId":"r"}`
	for name, r := range map[string]*chat.Response{"whole": wholeOf(t, body), "streamed": read(t, "data: "+body+"\n\n")} {
		if len(r.Choices) != 1 || r.Choices[0].Finish != chat.FinishContentFilter || r.Choices[0].RawFinish != "PROHIBITED_CONTENT" || r.Usage.Input != 9 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestD110_D112_blocks_and_calls(t *testing.T) {
	const answer = `{"text":"hm","thought":true},{"text":"a"},{"functionCall":{"name":"f","args":{"x":[1]}}},{"functionCall":{"id":"own","name":"g"}},{"text":"b"},{"text":"c"},{"executableCode":{"code":"1"}}`
	want := []chat.Part{
		{Kind: chat.Thinking, Text: "hm"}, {Kind: chat.Text, Text: "a"},
		{Kind: chat.ToolCall, Call: &chat.Call{ID: "call_r-1_1_0", Name: "f", Arguments: `{"x":[1]}`}},
		{Kind: chat.ToolCall, Call: &chat.Call{ID: "own", Name: "g", Arguments: `{}`}},
		{Kind: chat.Text, Text: "bc"},
	}
	stream := event(parts(`{"text":"x"}`)+stop, `"responseId":"r-1"`) + event(parts(answer)+`,"index":1`+stop, `"responseId":"r-1"`)
	r := read(t, stream)
	if len(r.Choices) != 2 || !reflect.DeepEqual(r.Choices[1].Parts, want) {
		t.Errorf("%+v", r.Choices)
	}
	// Without an id of the answer, ids of calls are made up, and differ.
	ids := map[string]bool{}
	for range 3 {
		for _, p := range read(t, event(parts(`{"functionCall":{"name":"f"}}`, `{"functionCall":{"name":"f"}}`)+stop)).Choices[0].Parts {
			if len(p.Call.ID) > 64 || chat.CallID(p.Call.ID, 64) != p.Call.ID {
				t.Errorf("id %q", p.Call.ID)
			}
			ids[p.Call.ID] = true
		}
	}
	if len(ids) != 6 {
		t.Errorf("ids %v", ids)
	}
}

func TestD79_D81_signatures_have_blocks_of_their_own(t *testing.T) {
	r := read(t, event(parts(`{"text":"hm","thought":true}`, `{"text":"","thought":true,"thoughtSignature":"TTTT"}`, `{"functionCall":{"id":"1","name":"f"},"thoughtSignature":"CCCC"}`, `{"functionCall":{"id":"2","name":"f"}}`))+
		event(parts(`{"text":"a","thoughtSignature":"AAAA"}`)+stop))
	var got []string
	for _, p := range r.Choices[0].Parts {
		got = append(got, p.Text+"|"+p.Signature)
	}
	if want := []string{"hm|gemini:TTTT", "|gemini:CCCC", "|", "|", "a|", "|gemini:AAAA"}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
	// And back, for a client of this schema.
	body, err := Codec{}.EncodeResponse(r, translate.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	is(t, gjson.ParseBytes(body), "candidates.0.content.parts", `[{"text":"hm","thought":true,"thoughtSignature":"TTTT"},{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"CCCC"},{"functionCall":{"id":"2","name":"f","args":{}}},{"text":"a"},{"text":"","thoughtSignature":"AAAA"}]`)
}

func TestInline_data_of_an_answer(t *testing.T) {
	r := read(t, event(parts(`{"text":"look"}`, `{"inlineData":{"mimeType":"image/png","data":"iVBO_w"}}`, `{"inlineData":{"mimeType":"audio/L16;rate=24000","data":"AAAA"}}`)+stop))
	p := r.Choices[0].Parts
	if len(p) != 3 || p[1].Kind != chat.Image || *p[1].Media != (chat.Media{Type: "image/png", Data: "iVBO/w=="}) || p[2].Kind != chat.Audio {
		t.Fatalf("%+v", p)
	}
	body, _ := Codec{}.EncodeResponse(r, translate.Answer{})
	is(t, gjson.ParseBytes(body), "candidates.0.content.parts.1", `{"inlineData":{"mimeType":"image/png","data":"iVBO/w=="}}`)
	e, out := Codec{}.NewEncoder(translate.Answer{}), []byte(nil)
	chat.Replay(r, func(ev *chat.Event) { out = e.Encode(out, ev) })
	if again := read(t, string(out)); !reflect.DeepEqual(again.Choices, r.Choices) {
		t.Errorf("%+v", again.Choices)
	}
}

func TestD116_pretty_printed_events(t *testing.T) {
	r := read(t, "data: {\ndata:  \"candidates\": [{\ndata:   \"content\": {\"parts\": [{\"text\": \"a\"}]}, \"finishReason\": \"STOP\"}]\ndata: }\n\n")
	if r.Choices[0].Parts[0].Text != "a" {
		t.Errorf("%+v", r)
	}
}

func TestD118_an_end_without_a_reason_is_a_fault(t *testing.T) {
	for _, stream := range []string{"", event(parts(`{"text":"a"}`)), event(parts(`{"text":"a"}`) + `,"finishReason":"FINISH_REASON_UNSPECIFIED"`),
		event(parts(`{"text":"a"}`)+stop) + event(parts(`{"text":"b"}`)+`,"index":1`), "data: {}\n\n"} {
		if f := streamFault(t, stream); f == nil || f.Kind != fault.ProviderFailed {
			t.Errorf("%q: %+v", stream, f)
		}
	}
}

func TestD119_D122_errors_within_a_200(t *testing.T) {
	const e = `{"error":{"code":503,"message":"The model is overloaded.","status":"UNAVAILABLE"}}`
	for _, stream := range []string{"data: " + e + "\n\n", "data: " + e, e, "[" + e + "]\n", "[{\n  \"error\": {\n    \"code\": 503,\n    \"message\": \"The model is overloaded.\",\n    \"status\": \"UNAVAILABLE\"\n  }\n}\n]\n"} {
		for _, before := range []string{"", event(parts(`{"text":"a"}`))} {
			if f := streamFault(t, before+stream); f == nil || f.Kind != fault.Overloaded || f.Message != "The model is overloaded." {
				t.Errorf("%q: %+v", stream, f)
			}
		}
	}
	for _, body := range []string{e, "[" + e + "]"} {
		_, err := Codec{}.DecodeResponse([]byte(body))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.Overloaded {
			t.Errorf("%s: %v", body, err)
		}
	}
	for _, body := range []string{``, ` `, `null`, `[]`, `{}`, `{"candidates":[]}`, `<html>`, `{"candidates":[{"index":4000}]}`} {
		if _, err := (Codec{}).DecodeResponse([]byte(body)); err == nil {
			t.Errorf("%q is an answer", body)
		}
	}
}

func TestD131_D136_identity_of_answers(t *testing.T) {
	o := translate.Answer{RequestID: "req-1", Model: "auto", Now: time.Unix(1, 0)}
	body, _ := Codec{}.EncodeResponse(&chat.Response{Choices: []chat.Choice{{Finish: chat.FinishStop}}}, o)
	if string(body) != `{"candidates":[{"content":{"parts":[],"role":"model"},"finishReason":"STOP","index":0}],"modelVersion":"auto","responseId":"req-1"}` {
		t.Errorf("%s", body)
	}
	e, out := Codec{}.NewEncoder(o), []byte(nil)
	for _, ev := range []chat.Event{{Kind: chat.EventStart}, {Kind: chat.EventPing}, {Kind: chat.EventFinish, Finish: chat.FinishStop}, {Kind: chat.EventEnd}, {Kind: chat.EventEnd}} {
		out = e.Encode(out, &ev)
	}
	if string(out) != `data: {"candidates":[{"content":{"parts":[{"text":""}],"role":"model"},"finishReason":"STOP","index":0}],"modelVersion":"auto","responseId":"req-1"}`+"\n\n" {
		t.Errorf("%s", out)
	}
}

const grounding = `,"groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a","title":"A"}},{"retrievedContext":{"uri":"gs://b","title":"B","text":"words"}},{"web":{"uri":"https://c","title":"C"}}],"groundingSupports":[{"segment":{"startIndex":3,"endIndex":6,"text":"lo "},"groundingChunkIndices":[0,1]},{"segment":{"endIndex":99},"groundingChunkIndices":[0,7]}]}`

func TestD134_grounding_is_citations(t *testing.T) {
	want := []chat.Citation{
		{Title: "A", URL: "https://a", Start: 3, End: 6}, {Title: "B", URL: "gs://b", Quote: "words", Start: 3, End: 6},
		{Title: "A", URL: "https://a"}, {Title: "C", URL: "https://c"},
	}
	r := read(t, event(parts(`{"text":"hel"}`))+event(parts(`{"text":"lo you"}`)+stop+grounding))
	if got := r.Choices[0].Parts[0].Citations; !reflect.DeepEqual(got, want) {
		t.Errorf("streamed %+v", got)
	}
	r = wholeOf(t, `{"candidates":[{`+parts(`{"text":"hello you"}`)+stop+grounding+`}]}`)
	if got := r.Choices[0].Parts[0].Citations; !reflect.DeepEqual(got, want) {
		t.Errorf("whole %+v", got)
	}
	body, _ := Codec{}.EncodeResponse(r, translate.Answer{})
	v := gjson.ParseBytes(body).Get("candidates.0.groundingMetadata")
	is(t, v, "groundingChunks.#", "3")
	is(t, v, "groundingSupports.0", `{"segment":{"startIndex":3,"endIndex":6},"groundingChunkIndices":[0]}`)
	e, out := Codec{}.NewEncoder(translate.Answer{}), []byte(nil)
	chat.Replay(r, func(ev *chat.Event) { out = e.Encode(out, ev) })
	if !strings.Contains(string(out), v.Raw) {
		t.Errorf("streamed without %s: %s", v.Raw, out)
	}
	quoted := read(t, event(parts(`{"text":"hello you"}`)+stop+`,"citationMetadata":{"citations":[{"startIndex":0,"endIndex":5,"uri":"https://q","title":"Q"}]}`))
	if got := quoted.Choices[0].Parts[0].Citations; len(got) != 1 || got[0] != (chat.Citation{Title: "Q", URL: "https://q", End: 5}) {
		t.Errorf("%+v", got)
	}
}

func TestD57_log_probabilities(t *testing.T) {
	const result = `{"chosenCandidates":[{"token":"a","tokenId":1,"logProbability":-0.5}],"topCandidates":[{"candidates":[{"token":"a","logProbability":-0.5},{"token":"b","logProbability":-2}]}]}`
	const want = `{"content":[{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":[{"token":"a","logprob":-0.5,"bytes":null},{"token":"b","logprob":-2,"bytes":null}]}],"refusal":null}`
	r := read(t, event(parts(`{"text":"a"}`)+stop+`,"logprobsResult":`+result))
	if got := string(r.Choices[0].LogProbs); got != want {
		t.Errorf("%s", got)
	}
	body, _ := Codec{}.EncodeResponse(r, translate.Answer{})
	is(t, gjson.ParseBytes(body), "candidates.0.logprobsResult", strings.Replace(result, `"tokenId":1,`, ``, 1))
}

func TestArray_of_a_client_without_events(t *testing.T) {
	o := translate.Answer{Array: true, Model: "m", RequestID: "r"}
	r := wholeOf(t, `{"candidates":[{`+parts(`{"text":"hello"}`, `{"functionCall":{"id":"1","name":"f","args":{"a":1}}}`)+stop+`}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":2}}`)
	e, out := Codec{}.NewEncoder(o), []byte(nil)
	chat.Replay(r, func(ev *chat.Event) { out = e.Encode(out, ev) })
	list := gjson.ParseBytes(out).Array()
	if !json.Valid(out) || len(list) != 3 || list[2].Get("usageMetadata.totalTokenCount").Int() != 3 {
		t.Errorf("%s", out)
	}
	if !strings.HasPrefix(string(out), `[{`) || !strings.Contains(string(out), "}\n,{") {
		t.Errorf("not as Google streams it: %s", out)
	}
	for _, before := range []int{0, 1} {
		e, out := Codec{}.NewEncoder(o), []byte(nil)
		for range before {
			out = e.Encode(out, &chat.Event{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Text, Text: "a"}})
		}
		out = e.Fault(out, fault.New(fault.Overloaded, "busy"))
		if got := gjson.ParseBytes(out).Array(); !json.Valid(out) || len(got) != before+1 || got[before].Get("error.status").Str != "UNAVAILABLE" {
			t.Errorf("%s", out)
		}
	}
}

func TestArray_of_a_provider_of_the_same_schema(t *testing.T) {
	stream := event(parts(`{"text":"a"}`)) + event(parts(`{"text":"b"}`)+stop)
	for _, cutAt := range []int{len(stream), len(stream) - 60} {
		s := translate.NewStream(Codec{}, Codec{}, 1<<20, translate.Answer{Array: true})
		var out []byte
		var err error
		for i := 0; i < cutAt && err == nil; i += 7 {
			out, err = s.Write(out, []byte(stream[i:min(i+7, cutAt)]))
		}
		if err == nil {
			out, err = s.Close(out)
		}
		if err != nil {
			var f *fault.Fault
			errors.As(err, &f)
			out = s.Fault(out, f)
		}
		list := gjson.ParseBytes(out).Array()
		if !json.Valid(out) || len(list) != 2 || list[1].Get("error").Exists() != (cutAt < len(stream)) || s.Seen().End != (cutAt == len(stream)) {
			t.Errorf("cut at %d of %d: %s", cutAt, len(stream), out)
		}
	}
}

func TestStreamEncoder_is_bounded(t *testing.T) {
	e := Codec{}.NewEncoder(translate.Answer{})
	var out []byte
	for i := range maxOpen + 1 {
		out = e.Encode(out[:0], &chat.Event{Kind: chat.EventBlockStart, Index: i, Block: chat.Part{Kind: chat.Text}})
	}
	if !strings.Contains(string(out), `"error"`) {
		t.Errorf("open blocks: %s", out)
	}
	e = Codec{}.NewEncoder(translate.Answer{})
	e.Encode(nil, &chat.Event{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.ToolCall, Call: &chat.Call{}}})
	big := strings.Repeat("x", 1<<20)
	for range 9 {
		out = e.Encode(out[:0], &chat.Event{Kind: chat.EventDelta, Text: big})
	}
	if !strings.Contains(string(out), `"error"`) {
		t.Error("arguments grow without end")
	}
	e = Codec{}.NewEncoder(translate.Answer{})
	if out = e.Encode(nil, &chat.Event{Kind: chat.EventDelta, Index: 3, Text: "x"}); !strings.Contains(string(out), `"error"`) {
		t.Errorf("a block that is not open: %s", out)
	}
}

func TestStreamEncoder_writes_interleaved_calls_whole(t *testing.T) {
	e, out := Codec{}.NewEncoder(translate.Answer{}), []byte(nil)
	for _, ev := range []chat.Event{
		{Kind: chat.EventBlockStart, Index: 0, Block: chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "a", Name: "f"}}},
		{Kind: chat.EventBlockStart, Index: 1, Block: chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "b", Name: "g"}}},
		{Kind: chat.EventDelta, Index: 0, Text: `{"x"`}, {Kind: chat.EventDelta, Index: 1, Text: `{"y`}, {Kind: chat.EventDelta, Index: 0, Text: `:1}`},
		{Kind: chat.EventFinish, Finish: chat.FinishToolCalls}, {Kind: chat.EventEnd},
	} {
		out = e.Encode(out, &ev)
	}
	r := read(t, string(out))
	if p := r.Choices[0].Parts; len(p) != 2 || p[0].Call.Arguments != `{"x":1}` || p[1].Call.Arguments != `{"INVALID_JSON":"{\"y"}` || r.Choices[0].Finish != chat.FinishToolCalls {
		t.Errorf("%s", out)
	}
}
