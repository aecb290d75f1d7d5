package anthropic_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

func TestD13_D15_D16_tool_schemas(t *testing.T) {
	for in, want := range map[string]string{
		``:                                      `{"type":"object","properties":{}}`,
		`null`:                                  `{"type":"object","properties":{}}`,
		`{}`:                                    `{"type":"object"}`,
		`{"properties":{"a":{}}}`:               `{"type":"object","properties":{"a":{}}}`,
		`{"type":"object","properties":null}`:   `{"type":"object"}`,
		`{"type":null,"required":[]}`:           `{"type":"object","required":[]}`,
		`{"type":"object", "x-order" : [1.0] }`: `{"type":"object", "x-order" : [1.0] }`,
	} {
		r := talk(user("a"))
		r.Tools = []chat.Tool{{Name: "f", Description: "d", Parameters: []byte(in)}}
		if in == "" {
			r.Tools[0].Parameters = nil
		}
		body, _ := encode(t, r, target)
		sent(t, body, "tools", `[{"name":"f","description":"d","input_schema":`+want+`}]`)
	}
	for _, in := range []string{`[]`, `"x"`, `{"type":"string"}`, `{"type":["object","null"]}`} {
		r := talk(user("a"))
		r.Tools = []chat.Tool{{Name: "f", Parameters: []byte(in)}}
		refused(t, r, fault.InvalidRequest, "tools[0].function.parameters")
	}
}

func TestD19_strict_tools_have_a_schema_that_strict_takes(t *testing.T) {
	r := talk(user("a"))
	r.Tools = []chat.Tool{{Name: "f", Strict: ptr(true), Parameters: []byte(`{"type":"object","properties":{"x":{"type":"integer","minimum":1}},"required":["x"]}`)}, {Name: "g", Strict: ptr(false)}}
	body, _ := encode(t, r, target)
	sent(t, body, "tools", `[{"name":"f","input_schema":{"type":"object","properties":{"x":{"type":"integer","description":"{minimum: 1}"}},"required":["x"],"additionalProperties":false},"strict":true},`+
		`{"name":"g","input_schema":{"type":"object","properties":{}}}]`)
}

func TestD14_names_that_the_API_does_not_take(t *testing.T) {
	r := talk(user("a"), say(chat.Assistant, call("c1", "foo/bar", "{}")), result("c1", text("x")))
	r.Tools = []chat.Tool{{Name: "foo/bar"}, {Name: "foo_bar"}, {Name: "x__foo_x2Fbar"}}
	r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNamed, Name: "foo/bar"}
	body, _ := encode(t, r, target)
	sent(t, body, "tools.#.name", `["x__foo_x2Fbar","foo_bar","x__x__foo_x5Fx2Fbar"]`)
	sent(t, body, "tool_choice.name", `"x__foo_x2Fbar"`)
	sent(t, body, "messages.1.content.0.name", `"x__foo_x2Fbar"`)

	answer, err := codec.DecodeResponse([]byte(`{"type":"message","content":[{"type":"tool_use","id":"a","name":"x__foo_x2Fbar","input":{}}]}`))
	if err != nil || answer.Choices[0].Parts[0].Call.Name != "foo/bar" {
		t.Errorf("%v: the answer must name the client's tool: %+v", err, answer)
	}
	r.Tools[1].Name = strings.Repeat("ż", 30)
	refused(t, r, fault.InvalidRequest, "tools[1].function.name")
	r.Tools[1].Name = ""
	refused(t, r, fault.InvalidRequest, "tools[1].function.name")
}

func TestD21_tools_of_other_providers(t *testing.T) {
	r := talk(user("a"))
	r.Tools = []chat.Tool{{Kind: "web_search", Raw: []byte(`{}`)}, {Name: "f"}}
	refused(t, r, fault.Unsupported, "tools[0]")
	lossy := target
	lossy.Lossy = true
	body, dropped := encode(t, r, lossy)
	sent(t, body, "tools.#.name", `["f"]`)
	same(t, dropped, []string{"tools[0]"})
}

func TestD22_history_of_tools_without_definitions(t *testing.T) {
	r := talk(user("a"), say(chat.Assistant, call("1", "f", "{}"), call("2", "g", "{}"), call("3", "f", "{}")),
		result("1", text("x")), result("2", text("y")), result("3", text("z")))
	body, _ := encode(t, r, target)
	sent(t, body, "tools", `[{"name":"f","input_schema":{"type":"object"}},{"name":"g","input_schema":{"type":"object"}}]`)
	sent(t, body, "tool_choice", `{"type":"none"}`)
	r.Messages[1].Parts[0].Call.Name = ""
	refused(t, r, fault.InvalidRequest, "messages")
}

func TestD24_to_D29_tool_choice(t *testing.T) {
	no, yes := ptr(false), ptr(true)
	for _, c := range []struct {
		choice   *chat.ToolChoice
		parallel *bool
		want     string
	}{
		{nil, nil, ``},
		{nil, yes, ``},
		{nil, no, `{"type":"auto","disable_parallel_tool_use":true}`},
		{&chat.ToolChoice{Mode: chat.ToolAuto}, nil, `{"type":"auto"}`},
		{&chat.ToolChoice{Mode: chat.ToolRequired}, no, `{"type":"any","disable_parallel_tool_use":true}`},
		{&chat.ToolChoice{Mode: chat.ToolNone}, no, `{"type":"none"}`},
		{&chat.ToolChoice{Mode: chat.ToolNamed, Name: "f"}, no, `{"type":"tool","name":"f","disable_parallel_tool_use":true}`},
	} {
		r := withTool(talk(user("a")))
		r.ToolChoice, r.ParallelToolCalls = c.choice, c.parallel
		body, _ := encode(t, r, target)
		sent(t, body, "tool_choice", c.want)
		r.Tools = nil
		body, _ = encode(t, r, target)
		sent(t, body, "tool_choice", ``)
	}
}

func TestD32_D33_arguments(t *testing.T) {
	for in, want := range map[string]string{`{"a": 1}`: `{"a": 1}`, ``: `{}`, ` `: `{}`, " {\"b\":2}\n": `{"b":2}`} {
		r := withTool(talk(user("a"), say(chat.Assistant, call("1", "f", in)), result("1", text("x"))))
		body, _ := encode(t, r, target)
		sent(t, body, "messages.1.content.0.input", want)
	}
	for _, in := range []string{`[]`, `"x"`, `{"a":`, `{} x`, `{"a":1,"a":2}`} {
		r := withTool(talk(user("a"), say(chat.Assistant, text("so"), call("1", "f", in)), result("1", text("x"))))
		refused(t, r, fault.InvalidRequest, "messages[1].content[1]")
	}
}

func TestD34_ids(t *testing.T) {
	r := withTool(talk(user("a"),
		say(chat.Assistant, call("call_0", "f", "{}"), call("functions.f:1", "f", "{}")), result("functions.f:1", text("x")), result("call_0", text("y")),
		say(chat.Assistant, call("call_0", "f", "{}")), result("call_0", text("z")), user("go")))
	body, _ := encode(t, r, target)
	first, second := body.Get("messages.1.content.#.id").Array(), body.Get("messages.3.content.#.id").Array()
	if first[0].Str != "call_0" || second[0].Str != "call_0_2" {
		t.Errorf("an id that repeats in the conversation is refused by the API: %v %v", first, second)
	}
	for _, c := range first[1].Str {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789_", c) {
			t.Errorf("id %q", first[1].Str)
		}
	}
	sent(t, body, "messages.2.content.#.tool_use_id", `["`+first[1].Str+`","call_0"]`)
	sent(t, body, "messages.4.content.#.tool_use_id", `["call_0_2"]`)
}

func TestD34_equal_ids_in_one_turn_are_answered_in_order(t *testing.T) {
	r := withTool(talk(user("a"), say(chat.Assistant, call("x", "f", "{}"), call("x", "f", "{}")), result("x", text("1")), result("x", text("2"))))
	body, _ := encode(t, r, target)
	sent(t, body, "messages.1.content.#.id", `["x","x_2"]`)
	sent(t, body, "messages.2.content", `[{"type":"tool_result","tool_use_id":"x","content":"1"},{"type":"tool_result","tool_use_id":"x_2","content":"2"}]`)
}

func TestD38_D40_D41_results_are_one_turn_and_stand_first(t *testing.T) {
	r := withTool(talk(user("a"), say(chat.Assistant, call("1", "f", "{}"), call("2", "f", "{}")),
		say(chat.System, text("late")), result("2", text("two")), user("and?"), result("1", text("one"))))
	body, _ := encode(t, r, target)
	sent(t, body, "messages.2", `{"role":"user","content":[{"type":"tool_result","tool_use_id":"2","content":"two"},{"type":"tool_result","tool_use_id":"1","content":"one"},`+
		`{"type":"text","text":"<system>\nlate\n</system>"},{"type":"text","text":"and?"}]}`)
	if body.Get("messages.#").Int() != 3 {
		t.Errorf("got %s", body.Raw)
	}
}

func TestD39_missing_results_are_made_up_and_orphans_become_text(t *testing.T) {
	r := withTool(talk(user("a"), say(chat.Assistant, call("1", "f", "{}"), call("2", "f", "{}")), result("2", text("two")), result("9", text("nine"), text(" "))))
	body, _ := encode(t, r, target)
	sent(t, body, "messages.2.content", `[{"type":"tool_result","tool_use_id":"2","content":"two"},`+
		`{"type":"tool_result","tool_use_id":"1","content":"No result was provided for this tool call.","is_error":true},`+
		`{"type":"text","text":"Result of the earlier tool call 9:"},{"type":"text","text":"nine"}]`)

	r = withTool(talk(user("a"), say(chat.Assistant, call("1", "f", "{}"))))
	body, _ = encode(t, r, target)
	sent(t, body, "messages.#.role", `["user","assistant","user"]`)
	sent(t, body, "messages.2.content.0.is_error", `true`)

	r = withTool(talk(user("a"), say(chat.Assistant, call("1", "f", "{}")), assistant("never mind"), user("b")))
	body, _ = encode(t, r, target)
	sent(t, body, "messages.2.content.#.type", `["tool_result","text"]`)
}

func TestD42_D43_what_a_result_holds(t *testing.T) {
	image := chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "AAAA"}}
	for _, c := range []struct {
		parts []chat.Part
		want  string
	}{
		{[]chat.Part{text("a")}, `"content":"a"`},
		{[]chat.Part{text("")}, `"content":""`},
		{nil, ``},
		{[]chat.Part{text("a"), text(""), image}, `"content":[{"type":"text","text":"a"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]`},
		{[]chat.Part{text(""), text(" ")}, ``},
	} {
		r := withTool(talk(user("a"), say(chat.Assistant, call("1", "f", "{}")), result("1", c.parts...)))
		body, _ := encode(t, r, target)
		want := `{"type":"tool_result","tool_use_id":"1"`
		if c.want != "" {
			want += "," + c.want
		}
		sent(t, body, "messages.2.content.0", want+"}")
	}
	r := withTool(talk(user("a"), say(chat.Assistant, call("1", "f", "{}")), result("1", text("a"))))
	for in, want := range map[*bool]string{nil: "", ptr(false): "", ptr(true): "true"} {
		r.Messages[2].Parts[0].Result.IsError = in
		body, _ := encode(t, r, target)
		sent(t, body, "messages.2.content.0.is_error", want)
	}
	r.Messages[2].Parts[0].Result.Parts = []chat.Part{{Kind: chat.Audio}}
	refused(t, r, fault.Unsupported, "messages[2].content[0]")
}

func TestD82_mark_inside_a_result_is_the_results(t *testing.T) {
	r := withTool(talk(user("a"), say(chat.Assistant, call("1", "f", "{}")), result("1", text("a"), chat.Part{Kind: chat.Text, Text: "b", Cache: &chat.CacheMark{}})))
	body, _ := encode(t, r, target)
	sent(t, body, "messages.2.content.0.cache_control", `{"type":"ephemeral"}`)
}

func TestD75_D77_D78_thinking_is_replayed_only_signed_and_first(t *testing.T) {
	think := func(text, signature string) chat.Part {
		return chat.Part{Kind: chat.Thinking, Text: text, Signature: signature}
	}
	r := withTool(talk(user("a"), say(chat.Assistant, text("so"), call("1", "f", "{}"), think("hm", "sig"), think("", "sig2"), think("unsigned", ""), think("", ""),
		chat.Part{Kind: chat.RedactedThinking, Signature: "zz", Cache: &chat.CacheMark{}}), result("1", text("x"))))
	body, dropped := encode(t, r, target)
	sent(t, body, "messages.1.content", `[{"type":"thinking","thinking":"hm","signature":"sig"},{"type":"thinking","thinking":"","signature":"sig2"},`+
		`{"type":"redacted_thinking","data":"zz"},{"type":"text","text":"so"},{"type":"tool_use","id":"1","name":"f","input":{}}]`)
	same(t, dropped, []string{"messages[1].reasoning_content"})
}

func TestD135_refusals_in_history_are_text(t *testing.T) {
	body, _ := encode(t, talk(user("a"), say(chat.Assistant, chat.Part{Kind: chat.Refusal, Text: "no"}), user("b")), target)
	sent(t, body, "messages.1.content", `"no"`)
}

func TestD47_D49_D58_thinking(t *testing.T) {
	manual, adaptive := "claude-haiku-4-5-20251001", "claude-sonnet-5"
	for _, c := range []struct {
		name      string
		model     string
		max       int64
		maxOutput int64
		reasoning chat.Reasoning
		thinking  string
		effort    string
		wantMax   int64
		dropped   string
	}{
		{"low", manual, 0, 64000, chat.Reasoning{Effort: "low"}, `{"type":"enabled","budget_tokens":1024}`, ``, 64000, ""},
		{"minimal", manual, 0, 64000, chat.Reasoning{Effort: "minimal"}, `{"type":"enabled","budget_tokens":1024}`, ``, 64000, ""},
		{"medium", manual, 0, 64000, chat.Reasoning{Effort: "medium"}, `{"type":"enabled","budget_tokens":2048}`, ``, 64000, ""},
		{"max", manual, 0, 64000, chat.Reasoning{Effort: "max"}, `{"type":"enabled","budget_tokens":16384}`, ``, 64000, ""},
		{"a word of tomorrow", manual, 0, 64000, chat.Reasoning{Effort: "cosmic"}, `{"type":"enabled","budget_tokens":2048}`, ``, 64000, ""},
		{"budget", manual, 0, 64000, chat.Reasoning{Budget: 5000, Display: "omitted"}, `{"type":"enabled","budget_tokens":5000,"display":"omitted"}`, ``, 64000, ""},
		{"small budget", manual, 0, 64000, chat.Reasoning{Budget: 5}, `{"type":"enabled","budget_tokens":1024}`, ``, 64000, ""},
		{"no cap known", manual, 0, 0, chat.Reasoning{Effort: "max"}, `{"type":"enabled","budget_tokens":16384}`, ``, 4096 + 16384, ""},
		{"half of the cap", manual, 3000, 64000, chat.Reasoning{Effort: "high"}, `{"type":"enabled","budget_tokens":1500}`, ``, 3000, ""},
		{"cap raised", manual, 100, 64000, chat.Reasoning{Effort: "high"}, `{"type":"enabled","budget_tokens":1024}`, ``, 1124, ""},
		{"model too small", manual, 100, 1100, chat.Reasoning{Effort: "high"}, ``, ``, 100, "reasoning_effort"},
		{"none", manual, 100, 64000, chat.Reasoning{Effort: "none"}, `{"type":"disabled"}`, ``, 100, ""},
		{"disabled", adaptive, 100, 64000, chat.Reasoning{Disabled: true}, `{"type":"disabled"}`, ``, 100, ""},
		{"adaptive high", adaptive, 100, 64000, chat.Reasoning{Effort: "high"}, `{"type":"adaptive"}`, `"high"`, 100, ""},
		{"adaptive minimal", adaptive, 100, 64000, chat.Reasoning{Effort: "minimal"}, `{"type":"adaptive"}`, `"low"`, 100, ""},
		{"adaptive xhigh", adaptive, 100, 64000, chat.Reasoning{Effort: "xhigh"}, `{"type":"adaptive"}`, `"xhigh"`, 100, ""},
		{"xhigh before it was known", "claude-opus-4-6", 100, 64000, chat.Reasoning{Effort: "xhigh"}, `{"type":"adaptive"}`, `"high"`, 100, ""},
		{"adaptive of itself", adaptive, 100, 64000, chat.Reasoning{Adaptive: true, Display: "summarized"}, `{"type":"adaptive","display":"summarized"}`, ``, 100, ""},
		{"adaptive by budget", adaptive, 100, 64000, chat.Reasoning{Budget: 5000}, `{"type":"adaptive"}`, `"medium"`, 100, ""},
		{"adaptive by small budget", adaptive, 100, 64000, chat.Reasoning{Budget: 1000}, `{"type":"adaptive"}`, `"low"`, 100, ""},
		{"adaptive by large budget", adaptive, 100, 64000, chat.Reasoning{Budget: 50000}, `{"type":"adaptive"}`, `"high"`, 100, ""},
		{"adaptive of tomorrow", adaptive, 100, 64000, chat.Reasoning{Effort: "cosmic"}, `{"type":"adaptive"}`, ``, 100, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := talk(user("a"))
			r.Reasoning = &c.reasoning
			if c.max > 0 {
				r.MaxTokens = &c.max
			}
			body, dropped := encode(t, r, translate.Target{Model: c.model, MaxOutput: c.maxOutput})
			sent(t, body, "thinking", c.thinking)
			sent(t, body, "output_config.effort", c.effort)
			if got := body.Get("max_tokens").Int(); got != c.wantMax || strings.Join(dropped, " ") != c.dropped {
				t.Errorf("max_tokens %d, want %d; dropped %v", got, c.wantMax, dropped)
			}
		})
	}
}

func TestD49_sampling_beside_thinking(t *testing.T) {
	r := talk(user("a"))
	r.Reasoning = &chat.Reasoning{Effort: "low"}
	r.Temperature, r.TopP, r.TopK = ptr(0.2), ptr(0.5), ptr[int64](3)
	body, dropped := encode(t, r, target)
	same(t, dropped, []string{"temperature", "top_p", "top_k"})
	if body.Get("temperature").Exists() || body.Get("top_p").Exists() || body.Get("top_k").Exists() {
		t.Errorf("got %s", body.Raw)
	}
	r.Temperature, r.TopP, r.TopK = ptr(1.0), ptr(0.95), nil
	body, dropped = encode(t, r, target)
	sent(t, body, "top_p", "0.95")
	if dropped != nil {
		t.Errorf("dropped %v", dropped)
	}
}

func TestD30_forced_tool_calls_come_before_thinking(t *testing.T) {
	for _, mode := range []chat.ToolMode{chat.ToolRequired, chat.ToolNamed} {
		r := withTool(talk(user("a")))
		r.Reasoning = &chat.Reasoning{Effort: "low"}
		r.ToolChoice = &chat.ToolChoice{Mode: mode, Name: "f"}
		body, dropped := encode(t, r, target)
		sent(t, body, "thinking", "")
		same(t, dropped, []string{"reasoning_effort"})
		r.ToolChoice.Mode = chat.ToolAuto
		body, _ = encode(t, r, target)
		sent(t, body, "thinking.type", `"enabled"`)
	}
}

func TestD76_thinking_is_off_where_the_history_calls_without_it(t *testing.T) {
	r := withTool(talk(user("a"), say(chat.Assistant, call("1", "f", "{}")), result("1", text("x"))))
	r.Reasoning = &chat.Reasoning{Effort: "low"}
	body, dropped := encode(t, r, target)
	sent(t, body, "thinking", "")
	same(t, dropped, []string{"reasoning_effort"})

	r.Messages[1].Parts = append(r.Messages[1].Parts, chat.Part{Kind: chat.Thinking, Text: "hm", Signature: "s"})
	body, _ = encode(t, r, target)
	sent(t, body, "thinking.type", `"enabled"`)

	r.Messages[1].Parts = r.Messages[1].Parts[:1]
	r.Messages = append(r.Messages, assistant("done"), user("thanks"))
	body, _ = encode(t, r, target)
	sent(t, body, "thinking.type", `"enabled"`)

	r.Messages = r.Messages[:3]
	body, _ = encode(t, r, translate.Target{Model: "claude-opus-5"})
	sent(t, body, "thinking.type", `"adaptive"`)
}

// A request may have 100,000 messages and any ids: pairing must stay linear.
func TestD34_D39_many_calls_are_paired_in_time(t *testing.T) {
	const n = 30_000
	var calls []chat.Part
	var results []chat.Message
	for i := range n {
		calls = append(calls, call("same", "f"+strconv.Itoa(i), "{}"), call("id"+strconv.Itoa(i), "f", "{}"))
		results = append(results, result("same", text("x")), result("id"+strconv.Itoa(n-1-i), text("x")), result("nobody", text("x")))
	}
	r := talk(append([]chat.Message{user("a"), say(chat.Assistant, calls...)}, results...)...)
	begin := time.Now()
	up, err := codec.Encode(r, target)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
	if got := strings.Count(string(up.Body), noResultText); got != 0 {
		t.Errorf("%d calls were not answered", got)
	}
}

const noResultText = "No result was provided"

func TestEncode_bounds_the_list_of_what_was_dropped(t *testing.T) {
	r := talk()
	for range 1000 {
		r.Messages = append(r.Messages, chat.Message{Role: chat.User, Name: "n", Parts: []chat.Part{text("a")}})
	}
	if _, dropped := encode(t, r, target); len(dropped) != 33 || dropped[32] != "..." {
		t.Errorf("%d names", len(dropped))
	}
}

func TestD63_schema_too_large(t *testing.T) {
	r := talk(user("a"))
	r.Format = &chat.Format{Schema: []byte(`{"type":"object","description":"` + strings.Repeat("x", 300<<10) + `"}`)}
	refused(t, r, fault.Unsupported, "response_format.json_schema.schema")
	r.Format = nil
	r.Tools = []chat.Tool{{Name: "f", Strict: ptr(true), Parameters: []byte(`{"type":"object","items":` + strings.Repeat(`{"items":`, 50) + `{}` + strings.Repeat(`}`, 50) + `}`)}}
	refused(t, r, fault.Unsupported, "tools[0].function.parameters")
}
