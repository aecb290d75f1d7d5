package cohere

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

var target = translate.Target{BasePath: "/v2", Model: "command-a-03-2025", MaxOutput: 8000}

func text(s string) chat.Part { return chat.Part{Kind: chat.Text, Text: s} }

func turn(role chat.Role, parts ...chat.Part) chat.Message {
	return chat.Message{Role: role, Parts: parts}
}

func call(id, name, arguments string) chat.Part {
	return chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: id, Name: name, Arguments: arguments}}
}

func result(id string, parts ...chat.Part) chat.Part {
	return chat.Part{Kind: chat.ToolResult, Result: &chat.Result{CallID: id, Parts: parts}}
}

func hello() *chat.Request {
	return &chat.Request{Messages: []chat.Message{turn(chat.User, text("hello"))}}
}

func function(name, schema string) chat.Tool {
	t := chat.Tool{Name: name}
	if schema != "" {
		t.Parameters = []byte(schema)
	}
	return t
}

const oneRequired = `{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`

// sent is the body of an encoded request.
func sent(t *testing.T, r *chat.Request, to translate.Target) (map[string]any, *translate.Upstream) {
	t.Helper()
	up, err := Codec{}.Encode(r, to)
	if err != nil {
		t.Fatal(err)
	}
	var body map[string]any
	if err := json.Unmarshal(up.Body, &body); err != nil {
		t.Fatalf("%v: %s", err, up.Body)
	}
	return body, up
}

func messagesOf(t *testing.T, r *chat.Request) string {
	t.Helper()
	body, _ := sent(t, r, target)
	out, err := json.Marshal(body["messages"])
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func refused(t *testing.T, r *chat.Request, to translate.Target, param string) {
	t.Helper()
	_, err := Codec{}.Encode(r, to)
	var f *fault.Fault
	if !errors.As(err, &f) || f.Kind != fault.Unsupported || f.Param != param || len(f.Message) < 20 {
		t.Errorf("got %v, want a refusal of %s", err, param)
	}
}

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

func TestD13_ToolsAreFunctionsWithParameters(t *testing.T) {
	r := hello()
	r.Tools = []chat.Tool{{Name: "f", Description: "does", Parameters: []byte(oneRequired)}, function("g", "")}
	body, up := sent(t, r, target)
	same(t, up.Path, "/v2/chat")
	got, _ := json.Marshal(body["tools"])
	same(t, string(got), `[{"function":{"description":"does","name":"f","parameters":`+canon(t, oneRequired)+`},"type":"function"},`+
		`{"function":{"name":"g","parameters":{"properties":{},"type":"object"}},"type":"function"}]`)
}

func canon(t *testing.T, s string) string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatal(err)
	}
	out, _ := json.Marshal(v)
	return string(out)
}

func TestD14_NamesAreABijection(t *testing.T) {
	r := hello()
	r.Tools = []chat.Tool{function("get-weather", ""), function("get_weather", ""), function("2fast", ""), function("plain", "")}
	r.Messages = append(r.Messages, turn(chat.Assistant, call("1", "get-weather", "{}")), turn(chat.ToolRole, result("1", text("x"))))
	_, up := sent(t, r, target)
	seen := map[string]bool{}
	for _, tool := range r.Tools {
		name := up.Names.Out(tool.Name)
		if strings.ContainsAny(name, "-") || name[0] >= '0' && name[0] <= '9' || seen[name] || up.Names.Back(name) != tool.Name {
			t.Errorf("%s became %s", tool.Name, name)
		}
		seen[name] = true
		if !strings.Contains(string(up.Body), `"name":"`+name+`"`) {
			t.Errorf("%s is not in %s", name, up.Body)
		}
	}
	same(t, up.Names.Out("plain"), "plain")
	if strings.Contains(string(up.Body), "get-weather") {
		t.Error("the client's name was sent")
	}
}

func TestD19_StrictOnlyWhenAllToolsAgree(t *testing.T) {
	yes, no := true, false
	tool := func(strict *bool, schema string) chat.Tool {
		f := function("f", schema)
		f.Strict = strict
		return f
	}
	for name, c := range map[string]struct {
		tools   []chat.Tool
		want    any
		dropped bool
	}{
		"all":                       {[]chat.Tool{tool(&yes, oneRequired), tool(&yes, oneRequired)}, true, false},
		"none":                      {[]chat.Tool{tool(nil, oneRequired)}, nil, false},
		"all not":                   {[]chat.Tool{tool(&no, oneRequired)}, false, false},
		"some":                      {[]chat.Tool{tool(&yes, oneRequired), tool(nil, oneRequired)}, nil, true},
		"without required argument": {[]chat.Tool{tool(&yes, "")}, nil, true},
	} {
		r := hello()
		r.Tools = c.tools
		for i := range r.Tools {
			r.Tools[i].Name += string(rune('a' + i))
		}
		body, up := sent(t, r, target)
		if body["strict_tools"] != c.want || slices.Contains(up.Dropped, "tools[].function.strict") != c.dropped {
			t.Errorf("%s: %v, dropped %v", name, body["strict_tools"], up.Dropped)
		}
	}
	h, err := Codec{}.Parse([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"strict_tools":true,"tools":[{"type":"function","function":{"name":"f"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := (Codec{}).Decode(h); err != nil || r.Tools[0].Strict == nil || !*r.Tools[0].Strict {
		t.Errorf("%v", err)
	}
}

func choice(mode chat.ToolMode, name string) *chat.Request {
	r := hello()
	r.Tools = []chat.Tool{function("f", ""), function("g", "")}
	r.ToolChoice = &chat.ToolChoice{Mode: mode, Name: name}
	return r
}

func TestD24_AutoIsLeftOut(t *testing.T) {
	if body, _ := sent(t, choice(chat.ToolAuto, ""), target); body["tool_choice"] != nil {
		t.Error(body)
	}
}

func TestD25_Required(t *testing.T) {
	body, _ := sent(t, choice(chat.ToolRequired, ""), target)
	same(t, body["tool_choice"], "REQUIRED")
	r := hello()
	r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolRequired}
	refused(t, r, target, "tool_choice")
}

func TestD26_None(t *testing.T) {
	body, _ := sent(t, choice(chat.ToolNone, ""), target)
	same(t, body["tool_choice"], "NONE")
	same(t, len(body["tools"].([]any)), 2)
}

func TestD27_ANamedToolIsTheOnlyOneAndRequired(t *testing.T) {
	body, _ := sent(t, choice(chat.ToolNamed, "g"), target)
	same(t, body["tool_choice"], "REQUIRED")
	tools := body["tools"].([]any)
	same(t, len(tools), 1)
	same(t, tools[0].(map[string]any)["function"].(map[string]any)["name"], "g")
	refused(t, choice(chat.ToolNamed, "h"), target, "tool_choice")
}

func TestD29_OneCallAtATimeIsNamedAsDropped(t *testing.T) {
	r := choice(chat.ToolAuto, "")
	no := false
	r.ParallelToolCalls = &no
	if _, up := sent(t, r, target); !slices.Contains(up.Dropped, "parallel_tool_calls") {
		t.Error(up.Dropped)
	}
}

func TestD32_ArgumentsAreText(t *testing.T) {
	r := hello()
	r.Messages = append(r.Messages, turn(chat.Assistant, call("1", "f", `{"a":"b"}`), call("2", "g", "")))
	same(t, messagesOf(t, r), `[{"content":"hello","role":"user"},{"role":"assistant","tool_calls":[`+
		`{"function":{"arguments":"{\"a\":\"b\"}","name":"f"},"id":"1","type":"function"},{"function":{"arguments":"{}","name":"g"},"id":"2","type":"function"}]}]`)
}

// A system message between a call and its result goes behind it (D40), and so do the files of a result (D42).
func TestD42_ResultsAreTextAndFilesFollow(t *testing.T) {
	yes := true
	failed := result("2", text("broken"))
	failed.Result.IsError = &yes
	r := hello()
	r.Messages = append(r.Messages, turn(chat.Assistant, call("1", "f", "{}"), call("2", "f", "{}")), turn(chat.System, text("Be kind.")),
		turn(chat.User, text("So?"), result("1", text("see"), chat.Part{Kind: chat.Image, Media: &chat.Media{URL: "https://x.example/a.png"}}), failed))
	got := messagesOf(t, r)
	want := `{"content":[{"text":"see","type":"text"},{"text":"(The files of this output follow in the next user message.)","type":"text"}],"role":"tool","tool_call_id":"1"},` +
		`{"content":"broken","role":"tool","tool_call_id":"2"},{"content":[{"text":"\u003csystem\u003e\nBe kind.\n\u003c/system\u003e","type":"text"},` +
		`{"text":"Output of the tool call 1:","type":"text"},{"image_url":{"url":"https://x.example/a.png"},"type":"image_url"},{"text":"So?","type":"text"}],"role":"user"}]`
	if !strings.HasSuffix(got, want) {
		t.Errorf("\n got %s\nwant …%s", got, want)
	}
	if _, up := sent(t, r, target); !slices.Contains(up.Dropped, isErrorMember) { // D43
		t.Error(up.Dropped)
	}
}

func TestD44_ToolPlanIsTextBeforeTheCalls(t *testing.T) {
	in := `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","tool_plan":"I will look.","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"1","content":"y"}]}`
	h, err := Codec{}.Parse([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Codec{}.Decode(h)
	if err != nil {
		t.Fatal(err)
	}
	same(t, r.Messages[1].Parts[0], text("I will look."))
	r.Messages[1].Parts = slices.Insert(r.Messages[1].Parts, 1, text(" Then tell."))
	got := messagesOf(t, r)
	if !strings.Contains(got, `"tool_plan":"I will look. Then tell."`) || strings.Contains(got, `"content":"I`) {
		t.Error(got)
	}
	answer := `{"id":"a","finish_reason":"TOOL_CALL","message":{"role":"assistant","tool_plan":"I will look.","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{}"}}]}}`
	whole, err := Codec{}.DecodeResponse([]byte(answer))
	if err != nil {
		t.Fatal(err)
	}
	same(t, whole.Choices[0].Parts[0], text("I will look."))
	out, err := Codec{}.EncodeResponse(whole, translate.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, string(out), answer)
}

func TestD45_TheCapIsTheModels(t *testing.T) {
	r := hello()
	if body, _ := sent(t, r, target); body["max_tokens"] != nil {
		t.Error("a cap that nobody asked for")
	}
	r.MaxTokens = ptr(int64(100_000))
	body, _ := sent(t, r, target)
	same(t, body["max_tokens"], 8000.0)
}

func TestD51_TopPAndTopKAreCalledPAndK(t *testing.T) {
	r := hello()
	r.TopP, r.TopK = ptr(0.9), ptr(int64(20))
	body, up := sent(t, r, target)
	same(t, []any{body["p"], body["k"], len(up.Dropped)}, []any{0.9, 20.0, 0})
	r.TopP, r.TopK = ptr(1.0), ptr(int64(1000))
	body, up = sent(t, r, target)
	same(t, []any{body["p"], body["k"]}, []any{0.99, 500.0})
	same(t, up.Dropped, []string{"top_p", "top_k"})
}

func TestD52_PenaltiesAreBroughtIntoRangeAndNamed(t *testing.T) {
	for in, want := range map[float64]float64{-2: 0, 0: 0, 0.5: 0.5, 1: 1, 2: 1} {
		r := hello()
		r.FrequencyPenalty, r.PresencePenalty = ptr(in), ptr(in)
		body, up := sent(t, r, target)
		same(t, []any{body["frequency_penalty"], body["presence_penalty"]}, []any{want, want})
		if named := len(up.Dropped) == 2; named != (in != want) {
			t.Errorf("%g: %v", in, up.Dropped)
		}
	}
}

func TestD48_TemperatureIsBroughtIntoRange(t *testing.T) {
	r := hello()
	r.Temperature = ptr(1.5)
	body, up := sent(t, r, target)
	same(t, body["temperature"], 1.0)
	same(t, up.Dropped, []string{"temperature"})
}

func TestD53_FiveStopSequences(t *testing.T) {
	r := hello()
	r.Stop = []string{"a", "b", "c", "d", "e"}
	body, _ := sent(t, r, target)
	same(t, len(body["stop_sequences"].([]any)), 5)
	r.Stop = append(r.Stop, "f")
	refused(t, r, target, "stop")
	lossy := target
	lossy.Lossy = true
	body, up := sent(t, r, lossy)
	same(t, len(body["stop_sequences"].([]any)), 5)
	same(t, up.Dropped, []string{"stop"})
}

func TestD55_Seed(t *testing.T) {
	r := hello()
	r.Seed = ptr(int64(7))
	body, _ := sent(t, r, target)
	same(t, body["seed"], 7.0)
	r.Seed = ptr(int64(-7))
	body, up := sent(t, r, target)
	same(t, []any{body["seed"], up.Dropped[0]}, []any{nil, "seed"})
}

func TestD56_ManyAnswersAreRefused(t *testing.T) {
	r := hello()
	r.N = ptr(int64(2))
	lossy := target
	lossy.Lossy = true
	refused(t, r, target, "n")
	refused(t, r, lossy, "n")
	r.N = ptr(int64(1))
	if body, _ := sent(t, r, target); body["n"] != nil || body["num_generations"] != nil {
		t.Error(body)
	}
}

func TestD57_LogProbs(t *testing.T) {
	r := hello()
	yes := true
	r.LogProbs, r.TopLogProbs = &yes, ptr(int64(3))
	r.Extra = []chat.Extra{{Name: "logit_bias", JSON: []byte(`{"1":2}`), Meaning: true}}
	refused(t, r, target, "logit_bias")
	r.Extra = nil
	body, up := sent(t, r, target)
	same(t, []any{body["logprobs"], up.Dropped[0]}, []any{true, "top_logprobs"})

	whole, err := Codec{}.DecodeResponse([]byte(`{"id":"a","finish_reason":"COMPLETE","message":{"content":[{"type":"text","text":"ab"}]},"logprobs":[{"text":"a","token_ids":[1],"logprobs":[-0.5]},{"text":"b","token_ids":[2,3],"logprobs":[-0.25,-0.5]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	same(t, string(whole.Choices[0].LogProbs), `{"content":[{"token":"a","logprob":-0.5,"bytes":null,"top_logprobs":[]},{"token":"b","logprob":-0.75,"bytes":null,"top_logprobs":[]}],"refusal":null}`)
	out, err := Codec{}.EncodeResponse(whole, translate.Answer{})
	if err != nil || !strings.Contains(string(out), `"logprobs":[{"text":"a","token_ids":[],"logprobs":[-0.5]},{"text":"b","token_ids":[],"logprobs":[-0.75]}]`) {
		t.Errorf("%v %s", err, out)
	}
}
