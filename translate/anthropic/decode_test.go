package anthropic_test

import (
	"encoding/base64"
	"reflect"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// decode parses and decodes a body whose required members are filled in.
func decode(t *testing.T, members string) *chat.Request {
	t.Helper()
	r, err := tryDecode(t, members)
	if err != nil {
		t.Fatalf("%s: %v", members, err)
	}
	return r
}

func tryDecode(t *testing.T, members string) (*chat.Request, error) {
	t.Helper()
	if !strings.Contains(members, `"messages"`) {
		members = hello + "," + members
	}
	return codec.Decode(parse(t, `{"model":"m","max_tokens":9,`+strings.TrimSuffix(members, ",")+`}`))
}

func content(t *testing.T, blocks string) []chat.Part {
	t.Helper()
	return decode(t, `"messages":[{"role":"user","content":`+blocks+`}]`).Messages[0].Parts
}

func ptr[T any](v T) *T { return &v }

func same(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
}

func TestDecode_parameters(t *testing.T) {
	r := decode(t, `"temperature":0.5,"top_p":0.9,"top_k":7,"stop_sequences":["a","b"],"stream":true,"metadata":{"user_id":"u"}`)
	same(t, *r.Temperature, 0.5)
	same(t, *r.TopP, 0.9)
	same(t, *r.TopK, int64(7))
	same(t, r.Stop, []string{"a", "b"})
	same(t, *r.MaxTokens, int64(9))
	if !r.Stream || !r.IncludeUsage || r.User != "u" || r.Model != "m" || r.Schema != chat.Anthropic || len(r.Extra) != 0 {
		t.Errorf("got %+v", r)
	}
}

func TestDecode_system_stands_first_with_its_blocks(t *testing.T) {
	r := decode(t, hello+`,"system":[{"type":"text","text":"a","cache_control":{"type":"ephemeral","ttl":"1h"}},{"type":"text","text":"b"}]`)
	same(t, r.Messages[0], chat.Message{Role: chat.System, Parts: []chat.Part{
		{Kind: chat.Text, Text: "a", Cache: &chat.CacheMark{TTL: "1h"}}, {Kind: chat.Text, Text: "b"},
	}})
	r = decode(t, `"system":"plain",`+hello)
	same(t, r.Messages, []chat.Message{
		{Role: chat.System, Parts: []chat.Part{{Kind: chat.Text, Text: "plain"}}},
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "hello"}}},
	})
}

func TestD2_system_among_messages_keeps_its_place(t *testing.T) {
	r := decode(t, `"messages":[{"role":"user","content":"a"},{"role":"system","content":"b"}]`)
	same(t, r.Messages[1].Role, chat.System)
}

func TestDecode_tool_results_become_messages_of_their_own(t *testing.T) {
	r := decode(t, `"messages":[
		{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{"x": 1}},{"type":"tool_use","id":"b","name":"g","input":{}}]},
		{"role":"user","content":[
			{"type":"tool_result","tool_use_id":"a","content":"one","is_error":true,"cache_control":{"type":"ephemeral"}},
			{"type":"text","text":"go on"},
			{"type":"tool_result","tool_use_id":"b"}]}]`)
	same(t, r.Messages, []chat.Message{
		{Role: chat.Assistant, Parts: []chat.Part{
			{Kind: chat.ToolCall, Call: &chat.Call{ID: "a", Name: "f", Arguments: `{"x": 1}`}},
			{Kind: chat.ToolCall, Call: &chat.Call{ID: "b", Name: "g", Arguments: `{}`}},
		}},
		{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Cache: &chat.CacheMark{}, Result: &chat.Result{
			CallID: "a", Parts: []chat.Part{{Kind: chat.Text, Text: "one"}}, IsError: ptr(true),
		}}}},
		{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: "b"}}}},
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "go on"}}},
	})
}

func TestD42_result_with_image_and_document(t *testing.T) {
	r := decode(t, `"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[
		{"type":"text","text":"x"},{"type":"image","source":{"type":"url","url":"https://h/i.png"}},
		{"type":"document","source":{"type":"content","content":[{"type":"text","text":"inner"}]}}]}]}]`)
	same(t, r.Messages[0].Parts[0].Result.Parts, []chat.Part{
		{Kind: chat.Text, Text: "x"}, {Kind: chat.Image, Media: &chat.Media{URL: "https://h/i.png"}}, {Kind: chat.Text, Text: "inner"},
	})
}

func TestD65_images(t *testing.T) {
	same(t, content(t, `[
		{"type":"image","source":{"type":"base64","media_type":"image/JPG","data":"AAAA"},"cache_control":{"type":"ephemeral","ttl":"5m"}},
		{"type":"image","source":{"type":"url","url":"https://h/x"}},
		{"type":"image","source":{"type":"file","file_id":"file_1"}}]`), []chat.Part{
		{Kind: chat.Image, Media: &chat.Media{Type: "image/jpeg", Data: "AAAA"}, Cache: &chat.CacheMark{TTL: "5m"}},
		{Kind: chat.Image, Media: &chat.Media{URL: "https://h/x"}},
		{Kind: chat.Image, Media: &chat.Media{FileID: "file_1"}},
	})
}

func TestD70_documents(t *testing.T) {
	got := content(t, `[
		{"type":"document","title":"T","source":{"type":"base64","media_type":"application/pdf","data":"AAAA"}},
		{"type":"document","source":{"type":"url","url":"https://h/x"},"citations":{"enabled":true}},
		{"type":"document","source":{"type":"text","media_type":"text/plain","data":"words"}},
		{"type":"document","cache_control":{"type":"ephemeral"},"source":{"type":"content","content":"plain"}}]`)
	same(t, got, []chat.Part{
		{Kind: chat.Document, Media: &chat.Media{Type: "application/pdf", Data: "AAAA", Name: "T"}},
		{Kind: chat.Document, Media: &chat.Media{Type: "application/pdf", URL: "https://h/x"},
			Extra: []chat.Extra{{Name: "messages[0].content[1].citations", JSON: []byte(`{"enabled":true}`)}}},
		{Kind: chat.Document, Media: &chat.Media{Type: "text/plain", Data: base64.StdEncoding.EncodeToString([]byte("words"))}},
		{Kind: chat.Text, Text: "plain", Cache: &chat.CacheMark{}},
	})
}

func TestD74_thinking_with_signatures(t *testing.T) {
	r := decode(t, `"messages":[{"role":"assistant","content":[
		{"type":"thinking","thinking":"hm","signature":"s1"},{"type":"thinking","thinking":"","signature":"s2"},
		{"type":"redacted_thinking","data":"zz"},{"type":"text","text":"so","citations":null}]}]`)
	same(t, r.Messages[0].Parts, []chat.Part{
		{Kind: chat.Thinking, Text: "hm", Signature: "s1"}, {Kind: chat.Thinking, Signature: "s2"},
		{Kind: chat.RedactedThinking, Signature: "zz"}, {Kind: chat.Text, Text: "so"},
	})
}

func TestDecode_tools(t *testing.T) {
	server := `{"type":"web_search_20260318","name":"web_search","max_uses":3}`
	r := decode(t, `"tools":[{"type":"custom","name":"f","description":"d","input_schema":{"type":"object"},"strict":true,
		"cache_control":{"type":"ephemeral"},"input_examples":[{}]},`+server+`]`)
	same(t, r.Tools, []chat.Tool{
		{Name: "f", Description: "d", Parameters: []byte(`{"type":"object"}`), Strict: ptr(true), Cache: &chat.CacheMark{}},
		{Name: "web_search", Kind: "web_search_20260318", Raw: []byte(server)},
	})
	same(t, r.Extra, []chat.Extra{{Name: "tools[0].input_examples", JSON: []byte(`[{}]`)}})
}

func TestD24_D29_tool_choice(t *testing.T) {
	for in, want := range map[string]chat.ToolChoice{
		`{"type":"auto"}`:            {Mode: chat.ToolAuto},
		`{"type":"any"}`:             {Mode: chat.ToolRequired},
		`{"type":"none"}`:            {Mode: chat.ToolNone},
		`{"type":"tool","name":"f"}`: {Mode: chat.ToolNamed, Name: "f"},
	} {
		r := decode(t, `"tool_choice":`+in)
		if *r.ToolChoice != want || r.ParallelToolCalls != nil {
			t.Errorf("%s: %+v %v", in, r.ToolChoice, r.ParallelToolCalls)
		}
	}
	r := decode(t, `"tool_choice":{"type":"auto","disable_parallel_tool_use":true}`)
	if r.ParallelToolCalls == nil || *r.ParallelToolCalls {
		t.Error("disable_parallel_tool_use must turn parallel calls off")
	}
}

func TestD58_thinking_config(t *testing.T) {
	for in, want := range map[string]chat.Reasoning{
		`"thinking":{"type":"enabled","budget_tokens":2048,"display":"omitted"}`: {Budget: 2048, Display: "omitted"},
		`"thinking":{"type":"adaptive"},"output_config":{"effort":"xhigh"}`:      {Adaptive: true, Effort: "xhigh"},
		`"thinking":{"type":"disabled"}`:                                         {Disabled: true},
		`"thinking":{"type":"between_tools"}`:                                    {Disabled: true},
		`"output_config":{"effort":"low"}`:                                       {Effort: "low"},
	} {
		r := decode(t, in)
		if r.Reasoning == nil || *r.Reasoning != want {
			t.Errorf("%s: %+v", in, r.Reasoning)
		}
	}
	if r := decode(t, `"thinking":{"type":"of_tomorrow"}`); r.Reasoning != nil || r.Extra[0].Name != "thinking" {
		t.Errorf("an unknown type must be named: %+v", r)
	}
}

func TestD62_structured_output(t *testing.T) {
	for _, in := range []string{
		`"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}`,
		`"output_format":{"type":"json_schema","schema":{"type":"object"}}`,
	} {
		same(t, decode(t, in).Format, &chat.Format{Schema: []byte(`{"type":"object"}`)})
	}
	for schema, strict := range map[string]bool{
		`{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}},"required":["a"]}`: true,
		`{"type":"object","additionalProperties":false,"properties":{"a":{"type":"string"}},"required":[]}`:    false,
		`{"type":"array","items":{"type":"object","additionalProperties":true}}`:                               false,
		`{"type":"array","items":{"type":"string"}}`:                                                           true,
		`{"anyOf":[{"type":"null"},{"type":["object","null"]}]}`:                                               false,
		`{"oneOf":[{"type":"null"}]}`:                                                                          false,
		`{"$ref":"#/$defs/a","$defs":{"a":{"type":"object"}}}`:                                                 false,
		`{"$ref":"#/$defs/a","$defs":{"a":{"type":"object","additionalProperties":false}}}`:                    true,
	} {
		f := decode(t, `"output_config":{"format":{"type":"json_schema","schema":`+schema+`}}`).Format
		if (f.Strict != nil && *f.Strict) != strict {
			t.Errorf("%s: strict %v, want %v", schema, f.Strict, strict)
		}
	}
	_, err := tryDecode(t, `"output_config":{"format":{"type":"grammar"}}`)
	same(t, paramOf(t, err, fault.Unsupported), "output_config.format")
}

func TestDecode_extras_say_whether_they_matter(t *testing.T) {
	for in, meaning := range map[string]bool{
		`"container":"c1"`: true, `"mcp_servers":[{"url":"x"}]`: true, `"mcp_servers":[]`: false, `"inference_geo":"eu"`: true,
		`"service_tier":"auto"`: false, `"context_management":{"edits":[]}`: false, `"betas":["x"]`: false, `"speed":"fast"`: false,
		`"diagnostics":{}`: false, `"unheard_of":1`: false,
	} {
		r := decode(t, in)
		name := strings.Split(in, `"`)[1]
		if len(r.Extra) != 1 || r.Extra[0].Name != name || r.Extra[0].Meaning != meaning {
			t.Errorf("%s: %+v", in, r.Extra)
		}
	}
	r := decode(t, `"metadata":{"user_id":"u","x":1},"output_config":{"y":2},"messages":[{"role":"user","content":[{"type":"text","text":"a","citations":[1]}],"z":3}]`)
	var names []string
	for _, x := range append(r.Extra, r.Messages[0].Parts[0].Extra...) {
		names = append(names, x.Name)
	}
	same(t, names, []string{"metadata.x", "output_config.y", "messages[0].z", "messages[0].content[0].citations"})
}

func TestDecode_max_tokens_0_cannot_be_said_elsewhere(t *testing.T) {
	r, err := codec.Decode(parse(t, `{"model":"m","max_tokens":0,`+hello+`}`))
	if err != nil || r.MaxTokens != nil || len(r.Extra) != 1 || !r.Extra[0].Meaning {
		t.Errorf("%v %+v", err, r)
	}
}

func TestDecode_top_level_cache_control_marks_the_last_block(t *testing.T) {
	r := decode(t, `"cache_control":{"type":"ephemeral"},"messages":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"text","text":"b"},{"type":"text","text":"c"}]},{"role":"assistant","content":[]}]`)
	if r.Messages[1].Parts[1].Cache == nil || r.Messages[1].Parts[0].Cache != nil || r.Messages[0].Parts[0].Cache != nil {
		t.Errorf("got %+v", r.Messages)
	}
}

func TestD21_content_of_server_tools_is_refused_not_dropped(t *testing.T) {
	for _, block := range []string{
		`{"type":"server_tool_use","id":"a","name":"web_search","input":{}}`,
		`{"type":"web_search_tool_result","tool_use_id":"a","content":[]}`,
		`{"type":"search_result","source":"s","title":"t","content":[]}`,
		`{"type":"container_upload","file_id":"f"}`,
		`{"type":"of_tomorrow"}`,
	} {
		_, err := tryDecode(t, `"messages":[{"role":"user","content":[{"type":"text","text":"a"},`+block+`]}]`)
		if p := paramOf(t, err, fault.Unsupported); p != "messages[0].content[1]" {
			t.Errorf("%s: names %q", block, p)
		}
	}
}

func TestDecode_refuses_what_Parse_leaves_to_the_provider(t *testing.T) {
	for in, kind := range map[string]fault.Kind{
		`"messages":[{"role":"assistant","content":[{"type":"tool_result","tool_use_id":"a"}]}]`:                                           fault.InvalidRequest,
		`"messages":[{"role":"user","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}]`:                                      fault.InvalidRequest,
		`"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":[{"type":"thinking","thinking":"x"}]}]}]`: fault.InvalidRequest,
		`"messages":[{"role":"user","content":[{"type":"image","source":{"type":"s3"}}]}]`:                                                 fault.Unsupported,
		`"messages":[{"role":"user","content":[{"type":"document","source":{}}]}]`:                                                         fault.Unsupported,
	} {
		_, err := tryDecode(t, in)
		paramOf(t, err, kind)
	}
}

// Each level of nesting is read once more: without a bound, 40 levels around 10 MB would take seconds.
func TestDecode_bounds_nested_documents(t *testing.T) {
	inner := `"x"`
	for range 30 {
		inner = `[{"type":"document","source":{"type":"content","content":` + inner + `}}]`
	}
	_, err := tryDecode(t, `"messages":[{"role":"user","content":`+inner+`}]`)
	paramOf(t, err, fault.InvalidRequest)
}
