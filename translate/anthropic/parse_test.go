package anthropic_test

import (
	"errors"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/chat"
)

var codec anthropic.Codec

const hello = `"messages":[{"role":"user","content":"hello"}]`

func parse(t *testing.T, body string) *chat.Head {
	t.Helper()
	h, err := codec.Parse([]byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return h
}

// paramOf is the field that err names; it fails unless err is a fault of the kind.
func paramOf(t *testing.T, err error, kind fault.Kind) string {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) || f.Kind != kind {
		t.Fatalf("got %v, want a fault of kind %v", err, kind)
	}
	return f.Param
}

func TestParse_head(t *testing.T) {
	h := parse(t, `{"model":"claude-haiku-4-5","max_tokens":64,"stream":true,"system":[{"type":"text","text":"12345"}],
		"metadata":{"user_id":"u1"},"tools":[{"name":"f","input_schema":{"type":"object"}}],
		"messages":[
			{"role":"user","content":"abc"},
			{"role":"assistant","content":[{"type":"thinking","thinking":"hmmm","signature":"s"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}]},
			{"role":"user","content":[
				{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"xy"}]},
				{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAAAAAAAAAAAAAA"}},
				{"type":"document","source":{"type":"text","media_type":"text/plain","data":"1234567"}}]}]}`)
	if h.Schema != chat.Anthropic || h.Model != "claude-haiku-4-5" || !h.Stream || !h.IncludeUsage || h.MaxTokens != 64 || h.N != 1 {
		t.Errorf("head: %+v", h)
	}
	if h.Messages != 3 || h.Tools != 1 || h.Images != 2 || h.User != "u1" {
		t.Errorf("counts: %+v", h)
	}
	tool := len(`{"name":"f","input_schema":{"type":"object"}}`)
	if want := 5 + 3 + 4 + len(`{"a":1}`) + 2 + 7 + tool; h.TextBytes != want {
		t.Errorf("text bytes %d, want %d: base64 data must not count", h.TextBytes, want)
	}
	if string(h.Field("max_tokens")) != "64" || h.Field("nothing") != nil {
		t.Error("fields must give the members' text")
	}
}

func TestParse_accepts(t *testing.T) {
	for _, body := range []string{
		`{"model":"m","max_tokens":1,` + hello + `}`,
		`{"model":"m","max_tokens":0,` + hello + `}`,
		`{"model":"m","max_tokens":1,` + hello + `,"system":null,"stream":null,"temperature":null,"tools":null,"tool_choice":null,"metadata":{"user_id":null},"stop_sequences":null,"thinking":null}`,
		`{"model":"m","max_tokens":1,` + hello + `,"something_new":{"x":[1,2]},"temperature":1,"top_p":0,"top_k":5}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"system","content":"be brief"},{"role":"user","content":[]}]}`,
		`{"model":"m","max_tokens":1,` + hello + `,"tools":[{"type":"web_search_20260318","name":"web_search"},{"type":"mcp_toolset","mcp_server_name":"x"}]}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"text":"type last","type":"text"},{"type":"block_of_tomorrow","text":5}]}]}`,
		`{"model":"m","max_tokens":1,` + hello + `,"thinking":{"type":"between_tools"},"output_config":{"effort":"max","format":null}}`,
		`{"model":"m","max_tokens":1,` + hello + `,"tool_choice":{"type":"none"}}`,
		`{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"server_tool_use","id":"x","name":"web_search","input":{}},{"type":"web_search_tool_result","tool_use_id":"x","content":[{"type":"web_search_result","url":"u","title":"t","encrypted_content":"e"}]}]}]}`,
	} {
		if _, err := codec.Parse([]byte(body)); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
}

const okHead = `"model":"m","max_tokens":1,`

// refusedBodies are bodies with a fault of one member each, and its path.
var refusedBodies = map[string]string{
	`{"max_tokens":1,` + hello + `}`:                                                                                    "model",
	`{"model":"m",` + hello + `}`:                                                                                       "max_tokens",
	`{"model":"m","max_tokens":1}`:                                                                                      "messages",
	`{"model":"","max_tokens":1,` + hello + `}`:                                                                         "model",
	`{"model":5,"max_tokens":1,` + hello + `}`:                                                                          "model",
	`{"model":"m","max_tokens":-1,` + hello + `}`:                                                                       "max_tokens",
	`{"model":"m","max_tokens":1.5,` + hello + `}`:                                                                      "max_tokens",
	`{"model":"m","max_tokens":"1",` + hello + `}`:                                                                      "max_tokens",
	`{"model":"m","max_tokens":9223372036854775807,` + hello + `}`:                                                      "max_tokens",
	`{"model":"m","max_tokens":1e400,` + hello + `}`:                                                                    "max_tokens",
	`{` + okHead + `"messages":[]}`:                                                                                     "messages",
	`{` + okHead + `"messages":{}}`:                                                                                     "messages",
	`{` + okHead + `"messages":["x"]}`:                                                                                  "messages[0]",
	`{` + okHead + `"messages":[{"role":"tool","content":"x"}]}`:                                                        "messages[0].role",
	`{` + okHead + `"messages":[{"content":"x"}]}`:                                                                      "messages[0].role",
	`{` + okHead + `"messages":[{"role":"user"}]}`:                                                                      "messages[0].content",
	`{` + okHead + `"messages":[{"role":"user","content":null}]}`:                                                       "messages[0].content",
	`{` + okHead + `"messages":[{"role":"user","content":[5]}]}`:                                                        "messages[0].content[0]",
	`{` + okHead + `"messages":[{"role":"user","content":[{}]}]}`:                                                       "messages[0].content[0].type",
	`{` + okHead + `"messages":[{"role":"user","content":[{"type":5}]}]}`:                                               "messages[0].content[0].type",
	`{` + okHead + `"messages":[{"role":"user","content":[{"type":"text"}]}]}`:                                          "messages[0].content[0].text",
	`{` + okHead + `"messages":[{"role":"user","content":[{"text":7,"type":"text"}]}]}`:                                 "messages[0].content[0].text",
	`{` + okHead + `"messages":[{"role":"user","content":[{"type":"image"}]}]}`:                                         "messages[0].content[0].source",
	`{` + okHead + `"messages":[{"role":"user","content":[{"type":"tool_use","id":"a","name":"f"}]}]}`:                  "messages[0].content[0].input",
	`{` + okHead + `"messages":[{"role":"user","content":[{"type":"tool_use","id":"a","name":"f","input":"{}"}]}]}`:     "messages[0].content[0].input",
	`{` + okHead + `"messages":[{"role":"user","content":[{"type":"tool_use","id":"","name":"f","input":{}}]}]}`:        "messages[0].content[0].id",
	`{` + okHead + `"messages":[{"role":"user","content":[{"type":"tool_result"}]}]}`:                                   "messages[0].content[0].tool_use_id",
	`{` + okHead + `"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":["x"]}]}]}`: "messages[0].content[0].content[0]",
	`{` + okHead + hello + `,"system":5}`:                                                                               "system",
	`{` + okHead + hello + `,"system":[{"type":"image","source":{}}]}`:                                                  "system[0].type",
	`{` + okHead + hello + `,"stream":"yes"}`:                                                                           "stream",
	`{` + okHead + hello + `,"temperature":1.01}`:                                                                       "temperature",
	`{` + okHead + hello + `,"temperature":"hot"}`:                                                                      "temperature",
	`{` + okHead + hello + `,"top_p":-0.1}`:                                                                             "top_p",
	`{` + okHead + hello + `,"top_k":-1}`:                                                                               "top_k",
	`{` + okHead + hello + `,"stop_sequences":"x"}`:                                                                     "stop_sequences",
	`{` + okHead + hello + `,"stop_sequences":["a",5]}`:                                                                 "stop_sequences[1]",
	`{` + okHead + hello + `,"tools":{}}`:                                                                               "tools",
	`{` + okHead + hello + `,"tools":[{"input_schema":{}}]}`:                                                            "tools[0].name",
	`{` + okHead + hello + `,"tools":[{"name":"f"}]}`:                                                                   "tools[0].input_schema",
	`{` + okHead + hello + `,"tools":[{"name":"f","input_schema":[]}]}`:                                                 "tools[0].input_schema",
	`{` + okHead + hello + `,"tool_choice":"auto"}`:                                                                     "tool_choice",
	`{` + okHead + hello + `,"tool_choice":{"type":"required"}}`:                                                        "tool_choice.type",
	`{` + okHead + hello + `,"tool_choice":{"type":"tool"}}`:                                                            "tool_choice.name",
	`{` + okHead + hello + `,"thinking":{}}`:                                                                            "thinking.type",
	`{` + okHead + hello + `,"thinking":{"type":"enabled"}}`:                                                            "thinking.budget_tokens",
	`{` + okHead + hello + `,"thinking":{"type":"enabled","budget_tokens":-5}}`:                                         "thinking.budget_tokens",
	`{` + okHead + hello + `,"metadata":{"user_id":5}}`:                                                                 "metadata.user_id",
	`{` + okHead + hello + `,"output_config":{"effort":5}}`:                                                             "output_config.effort",
	`[]`:               "",
	``:                 "",
	`{"model":"m"`:     "model",
	`{"a":1,"a":2}`:    "",
	"{\"a\":\"\xff\"}": "a",
}

func TestParse_refuses(t *testing.T) {
	for body, param := range refusedBodies {
		_, err := codec.Parse([]byte(body))
		got := paramOf(t, err, fault.InvalidRequest)
		if got != param {
			t.Errorf("%s:\n names %q, want %q (%v)", body, got, param, err)
		}
	}
}

func TestParse_bounds_messages(t *testing.T) {
	many := strings.Repeat(`{"role":"user","content":""},`, 100_000) + `{"role":"user","content":""}`
	_, err := codec.Parse([]byte(`{"model":"m","max_tokens":1,"messages":[` + many + `]}`))
	if paramOf(t, err, fault.InvalidRequest) != "messages" {
		t.Errorf("100,001 messages: %v", err)
	}
}

func TestParse_nesting_is_a_fault(t *testing.T) {
	body := `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}]}`
	_, err := codec.Parse([]byte(body))
	paramOf(t, err, fault.InvalidRequest)
}

func TestRewrite_changes_the_model_alone(t *testing.T) {
	body := `{ "model" : "auto", "max_tokens":1, "new":[1.0, 1e2,"\u0041"],` + hello + ` }`
	up, err := codec.Rewrite(parse(t, body), translate.Target{BasePath: "/p", Model: `claude "x"`})
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Replace(body, `"auto"`, `"claude \"x\""`, 1); string(up.Body) != want {
		t.Errorf("got  %s\nwant %s", up.Body, want)
	}
	if up.Path != "/p/messages" || len(up.Headers) != 1 || up.Headers[0] != (translate.Header{Name: "anthropic-version", Value: "2023-06-01"}) {
		t.Errorf("path %q, headers %v", up.Path, up.Headers)
	}
}

func TestD132_beta_header_passes_and_version_does_not(t *testing.T) {
	for _, name := range codec.ClientHeaders() {
		if name != "anthropic-beta" {
			t.Errorf("%s must not pass", name)
		}
	}
	if len(codec.ClientHeaders()) != 1 {
		t.Error("anthropic-beta must pass")
	}
}
