package gemini

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// flash is a model that most tests ask.
var flash = translate.Target{BasePath: "/v1beta", Model: "gemini-2.5-flash"}

func on(model string) translate.Target { return translate.Target{BasePath: "/v1beta", Model: model} }

func said(role chat.Role, text string) chat.Message {
	return chat.Message{Role: role, Parts: []chat.Part{{Kind: chat.Text, Text: text}}}
}

func asks(messages ...chat.Message) *chat.Request {
	return &chat.Request{Schema: chat.OpenAI, Messages: messages}
}

func hello() *chat.Request { return asks(said(chat.User, "hi")) }

func called(calls ...chat.Call) chat.Message {
	m := chat.Message{Role: chat.Assistant}
	for i := range calls {
		m.Parts = append(m.Parts, chat.Part{Kind: chat.ToolCall, Call: &calls[i]})
	}
	return m
}

func answered(id, text string) chat.Message {
	return chat.Message{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{
		CallID: id, Parts: []chat.Part{{Kind: chat.Text, Text: text}}}}}}
}

func encoded(t *testing.T, r *chat.Request, to translate.Target) (gjson.Result, *translate.Upstream) {
	t.Helper()
	up, err := Codec{}.Encode(r, to)
	if err != nil {
		t.Fatal(err)
	}
	if !gjson.ValidBytes(up.Body) {
		t.Fatalf("not JSON: %s", up.Body)
	}
	return gjson.ParseBytes(up.Body), up
}

func refused(t *testing.T, r *chat.Request, to translate.Target, kind fault.Kind, param string) {
	t.Helper()
	_, err := Codec{}.Encode(r, to)
	var f *fault.Fault
	if !errors.As(err, &f) || f.Kind != kind || f.Param != param || f.Message == "" {
		t.Errorf("got %v (%+v), want %s about %s", err, f, kind, param)
	}
}

// is compares a member of the body, by its JSON text; "" is an absent one.
func is(t *testing.T, v gjson.Result, path, want string) {
	t.Helper()
	if got := v.Get(path).Raw; got != want {
		t.Errorf("%s: %s, want %s\nin %s", path, got, want, v.Raw)
	}
}

func dropped(t *testing.T, up *translate.Upstream, want ...string) {
	t.Helper()
	if !slices.Equal(up.Dropped, want) {
		t.Errorf("dropped %q, want %q", up.Dropped, want)
	}
}

func TestD130_model_and_mode_are_in_the_path(t *testing.T) {
	for _, c := range []struct {
		to     translate.Target
		stream bool
		want   string
	}{
		{flash, false, "/v1beta/models/gemini-2.5-flash:generateContent"},
		{flash, true, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse"},
		{on("models/gemini-2.5-flash"), false, "/v1beta/models/gemini-2.5-flash:generateContent"},
		{on("tunedModels/mine"), false, "/v1beta/tunedModels/mine:generateContent"},
		{on("a b/c?d"), false, "/v1beta/models/a%20b%2Fc%3Fd:generateContent"},
		{translate.Target{BasePath: "/v1/projects/p/locations/l/publishers/google", Model: "gemini-3-pro-preview", Dialect: Vertex}, true,
			"/v1/projects/p/locations/l/publishers/google/models/gemini-3-pro-preview:streamGenerateContent?alt=sse"},
	} {
		r := hello()
		r.Stream = c.stream
		v, up := encoded(t, r, c.to)
		if up.Path != c.want || v.Get("model").Exists() || v.Get("stream").Exists() {
			t.Errorf("%s, want %s: %s", up.Path, c.want, up.Body)
		}
		h := &chat.Head{Stream: c.stream, Body: []byte(`{}`)}
		if up, _ := (Codec{}).Rewrite(h, c.to); up.Path != c.want {
			t.Errorf("rewritten to %s, want %s", up.Path, c.want)
		}
	}
}

func TestRewrite_changes_a_model_in_the_body(t *testing.T) {
	h, err := Codec{}.Parse([]byte(`{"model":"models/auto","contents":[{"parts":[{"text":"x"}]}]}`))
	if err != nil || h.Model != "auto" {
		t.Fatal(err, h)
	}
	up, _ := Codec{}.Rewrite(h, flash)
	if string(up.Body) != `{"model":"models/gemini-2.5-flash","contents":[{"parts":[{"text":"x"}]}]}` {
		t.Errorf("%s", up.Body)
	}
}

func TestD1_D4_system_and_developer_texts_keep_their_boundaries(t *testing.T) {
	v, _ := encoded(t, asks(said(chat.System, "a"), said(chat.Developer, "b"), said(chat.User, "c")), flash)
	is(t, v, "systemInstruction", `{"parts":[{"text":"a"},{"text":"b"}]}`)
	is(t, v, "contents", `[{"role":"user","parts":[{"text":"c"}]}]`)
}

func TestD3_a_later_system_message_stays_in_its_place(t *testing.T) {
	v, _ := encoded(t, asks(said(chat.User, "a"), said(chat.Assistant, "b"), said(chat.System, "c"), said(chat.User, "d")), flash)
	is(t, v, "contents.2.parts.#.text", `["<system>\nc\n</system>","d"]`)
	is(t, v, "systemInstruction", "")
}

func TestD5_neighbours_of_one_role_are_one_turn(t *testing.T) {
	v, _ := encoded(t, asks(said(chat.User, "a"), said(chat.User, "b"), said(chat.Assistant, "c"), said(chat.Assistant, "d")), flash)
	is(t, v, "contents.#.role", `["user","model"]`)
	is(t, v, "contents.0.parts.#.text", `["a","b"]`)
}

func TestD6_D7_a_conversation_begins_with_the_user(t *testing.T) {
	v, _ := encoded(t, asks(said(chat.System, "a"), said(chat.User, "  ")), flash)
	is(t, v, "contents", `[{"role":"user","parts":[{"text":"."}]}]`)
	v, _ = encoded(t, asks(said(chat.Assistant, "a"), said(chat.User, "b")), flash)
	is(t, v, "contents.#.role", `["user","model","user"]`)
}

func TestD9_D10_D29_D82_what_has_no_place_is_named(t *testing.T) {
	no := false
	r := asks(chat.Message{Role: chat.User, Name: "bob", Parts: []chat.Part{{Kind: chat.Text, Text: "x", Cache: &chat.CacheMark{}}}})
	r.User, r.ParallelToolCalls, r.Tools = "u", &no, []chat.Tool{{Name: "f", Cache: &chat.CacheMark{}}}
	r.Extra = []chat.Extra{{Name: "metadata"}}
	_, up := encoded(t, r, flash)
	dropped(t, up, "messages[0].name", "cache_control", "parallel_tool_calls", "user", "metadata")
	r.Extra[0].Meaning = true
	refused(t, r, flash, fault.Unsupported, "metadata")
	lossy := flash
	lossy.Lossy = true
	_, up = encoded(t, r, lossy)
	if !slices.Contains(up.Dropped, "metadata") {
		t.Errorf("dropped %q", up.Dropped)
	}
}

func TestD12_a_turn_of_nothing_but_images_gets_a_text(t *testing.T) {
	v, _ := encoded(t, asks(chat.Message{Role: chat.User, Parts: []chat.Part{{Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "AAAA"}}}}), flash)
	is(t, v, "contents.0.parts", `[{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"text":" "}]`)
}

func TestD14_names_are_a_bijection(t *testing.T) {
	r := asks(said(chat.User, "x"), called(chat.Call{ID: "1", Name: "foo/bar"}), answered("1", "y"))
	r.Tools = []chat.Tool{{Name: "foo/bar"}, {Name: "foo_bar"}, {Name: "7up"}, {Name: "mcp.tool"}}
	r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNamed, Name: "foo/bar"}
	v, up := encoded(t, r, flash)
	out := v.Get("tools.0.functionDeclarations.#.name").Array()
	if up.Names == nil || out[0].Str == out[1].Str || out[1].Str != "foo_bar" || out[3].Str != "mcp.tool" || !strings.HasPrefix(out[2].Str, "_7up") {
		t.Fatalf("names %s", v.Get("tools").Raw)
	}
	for i, name := range []string{"foo/bar", "foo_bar", "7up", "mcp.tool"} {
		if up.Names.Back(out[i].Str) != name {
			t.Errorf("%s comes back as %s", name, up.Names.Back(out[i].Str))
		}
	}
	for _, path := range []string{"contents.1.parts.0.functionCall.name", "contents.2.parts.0.functionResponse.name", "toolConfig.functionCallingConfig.allowedFunctionNames.0"} {
		if v.Get(path).Str != out[0].Str {
			t.Errorf("%s is %s", path, v.Get(path).Raw)
		}
	}
}

func TestD15_D16_D19_a_tool_without_parameters_has_none(t *testing.T) {
	yes := true
	for _, schema := range []string{``, `null`, `{}`, `{"type":"object"}`, `{"type":"object","properties":{}}`, `{"type":"object","properties":null}`, `{"type":"object","properties":{},"additionalProperties":false}`} {
		r := hello()
		r.Tools = []chat.Tool{{Name: "now", Parameters: []byte(schema), Strict: &yes}}
		v, _ := encoded(t, r, flash)
		is(t, v, "tools", `[{"functionDeclarations":[{"name":"now"}]}]`)
	}
	r := hello()
	r.Tools = []chat.Tool{{Name: "f", Parameters: []byte(`{"type":"string"}`)}}
	refused(t, r, flash, fault.InvalidRequest, "tools[0].function.parameters")
	r.Tools[0].Parameters = []byte(`{"properties":{"a":{}}}`)
	v, _ := encoded(t, r, flash)
	is(t, v, "tools.0.functionDeclarations.0.parametersJsonSchema.type", `"object"`)
}

func TestD17_D62_newer_models_get_JSON_Schema_and_older_ones_the_subset(t *testing.T) {
	schema := []byte(`{"type":"object","properties":{"a":{"$ref":"#/$defs/a"},"n":{"type":"integer","multipleOf":2}},"additionalProperties":false,"$defs":{"a":{"type":["string","null"]}}}`)
	for model, newer := range map[string]bool{"gemini-2.0-flash": false, "gemma-3": false, "gemini-2.5-pro": true, "gemini-3-pro-preview": true, "gemini-flash-latest": true} {
		r := hello()
		r.Tools = []chat.Tool{{Name: "f", Parameters: schema}}
		v, up := encoded(t, r, on(model))
		d := v.Get("tools.0.functionDeclarations.0")
		if d.Get("parametersJsonSchema").Exists() != newer || d.Get("parameters").Exists() == newer {
			t.Errorf("%s: %s", model, d.Raw)
		}
		r = hello()
		r.Format = &chat.Format{Schema: schema, Description: "x"}
		v, up2 := encoded(t, r, on(model))
		is(t, v, "generationConfig.responseMimeType", `"application/json"`)
		if newer {
			is(t, d, "parametersJsonSchema.properties.a", `{"$ref":"#/$defs/a"}`)
			is(t, v, "generationConfig.responseJsonSchema.$defs.a", `{"type":["string","null"]}`)
			dropped(t, up)
		} else {
			is(t, d, "parameters", `{"type":"OBJECT","properties":{"a":{"type":"STRING","nullable":true},"n":{"type":"INTEGER"}}}`)
			is(t, v, "generationConfig.responseSchema.properties.a", `{"type":"STRING","nullable":true}`)
			dropped(t, up, "tools[0].function.parameters.properties.n.multipleOf")
			dropped(t, up2, "response_format.json_schema.description", "response_format.json_schema.schema.properties.n.multipleOf")
		}
	}
}

func TestD18_a_schema_that_multiplies_is_refused(t *testing.T) {
	defs := `"d30":{"type":"string"}`
	for i := 29; i >= 0; i-- {
		next := `{"$ref":"#/$defs/d` + string(rune('0'+(i+1)/10)) + string(rune('0'+(i+1)%10)) + `"}`
		defs += `,"d` + string(rune('0'+i/10)) + string(rune('0'+i%10)) + `":{"type":"object","properties":{"a":` + next + `,"b":` + next + `}}`
	}
	r := hello()
	r.Format = &chat.Format{Schema: []byte(`{"type":"object","properties":{"x":{"$ref":"#/$defs/d00"}},"$defs":{` + defs + `}}`)}
	refused(t, r, on("gemini-2.0-flash"), fault.Unsupported, "response_format.json_schema.schema")
}

func TestD20_D21_functions_stand_in_one_tool(t *testing.T) {
	r := hello()
	r.Tools = []chat.Tool{{Name: "a"}, {Name: "googleSearch", Kind: "googleSearch", Raw: []byte(`{"googleSearch":{}}`)}, {Name: "b"}}
	refused(t, r, flash, fault.Unsupported, "tools[1]")
	r.Schema = chat.Gemini
	v, _ := encoded(t, r, flash)
	is(t, v, "tools", `[{"functionDeclarations":[{"name":"a"},{"name":"b"}]},{"googleSearch":{}}]`)
}

func TestD24_to_D27_tool_choice(t *testing.T) {
	for mode, want := range map[chat.ToolMode]string{
		chat.ToolAuto: `{"mode":"AUTO"}`, chat.ToolNone: `{"mode":"NONE"}`, chat.ToolRequired: `{"mode":"ANY"}`,
		chat.ToolNamed: `{"mode":"ANY","allowedFunctionNames":["f"]}`,
	} {
		r := hello()
		r.Tools, r.ToolChoice = []chat.Tool{{Name: "f"}}, &chat.ToolChoice{Mode: mode, Name: "f"}
		v, _ := encoded(t, r, flash)
		is(t, v, "toolConfig.functionCallingConfig", want)
	}
}

func TestD32_D33_arguments_are_an_object(t *testing.T) {
	r := asks(said(chat.User, "x"), called(chat.Call{ID: "1", Name: "f", Arguments: " "}), answered("1", "y"))
	v, _ := encoded(t, r, flash)
	is(t, v, "contents.1.parts.0.functionCall.args", `{}`)
	for _, args := range []string{`[1]`, `"x"`, `{"a":`, `{"a":1,"a":2}`} {
		r := asks(said(chat.User, "x"), called(chat.Call{ID: "1", Name: "f", Arguments: args}), answered("1", "y"))
		refused(t, r, flash, fault.InvalidRequest, "messages[1].content[0]")
	}
}

func TestD34_ids_of_calls(t *testing.T) {
	long := strings.Repeat("x", 100)
	r := asks(said(chat.User, "x"), called(chat.Call{ID: long, Name: "f"}), answered(long, "y"))
	v, _ := encoded(t, r, flash)
	call, response := v.Get("contents.1.parts.0.functionCall.id").Str, v.Get("contents.2.parts.0.functionResponse.id").Str
	if call == "" || len(call) > 64 || call != response {
		t.Errorf("ids %q and %q", call, response)
	}
	to := flash
	to.Dialect = Vertex
	if _, up := encoded(t, r, to); strings.Contains(string(up.Body), `"id"`) {
		t.Errorf("Vertex AI is sent an id: %s", up.Body)
	}
}

func TestD35_D36_D38_D40_responses_follow_their_calls_alone_and_in_order(t *testing.T) {
	r := asks(said(chat.User, "x"), called(chat.Call{ID: "1", Name: "f"}, chat.Call{ID: "2", Name: "f"}),
		said(chat.System, "be brief"), answered("2", "second"), said(chat.User, "and"), answered("1", "first"))
	v, _ := encoded(t, r, flash)
	is(t, v, "contents.2.parts.#.functionResponse.response.output", `["first","second"]`)
	is(t, v, "contents.2.parts.#.text", `[]`)
	is(t, v, "contents.3.parts.#.text", `["<system>\nbe brief\n</system>","and"]`)
	is(t, v, "contents.#", `4`)
}

func TestD39_missing_and_orphaned_responses(t *testing.T) {
	r := asks(said(chat.User, "x"), called(chat.Call{ID: "1", Name: "f"}), answered("9", "lost"), said(chat.Assistant, "so"), answered("1", "late"))
	v, _ := encoded(t, r, flash)
	is(t, v, "contents.2.parts.0.functionResponse.response", `{"error":"`+noResult+`"}`)
	is(t, v, "contents.3.parts.#.text", `["Result of the earlier tool call 9:","lost"]`)
	is(t, v, "contents.5.parts.#.text", `["Result of the earlier tool call 1:","late"]`)
}

func TestD42_D43_results_are_objects_and_their_files_follow(t *testing.T) {
	yes := true
	r := asks(said(chat.User, "x"), called(chat.Call{ID: "1", Name: "f"}, chat.Call{ID: "2", Name: "g"}), chat.Message{Role: chat.ToolRole, Parts: []chat.Part{
		{Kind: chat.ToolResult, Result: &chat.Result{CallID: "1", Parts: []chat.Part{
			{Kind: chat.Text, Text: `{"n":9007199254740993}`}, {Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "AAAA"}}}}},
		{Kind: chat.ToolResult, Result: &chat.Result{CallID: "2", IsError: &yes, Parts: []chat.Part{{Kind: chat.Text, Text: "boom"}}}},
	}})
	v, _ := encoded(t, r, flash)
	is(t, v, "contents.2.parts.0.functionResponse.response", `{"output":"{\"n\":9007199254740993}\n(The files of this output follow.)"}`)
	is(t, v, "contents.2.parts.1.functionResponse.response", `{"error":"boom"}`)
	is(t, v, "contents.3.parts", `[{"text":"Output of the tool call f:"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]`)
}
