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

const hi = `{"role":"user","content":"hi"}`

func body(members string) []byte {
	if members != "" {
		members = "," + members
	}
	return []byte(`{"model":"m","messages":[` + hi + `]` + members + `}`)
}

func TestParse_head(t *testing.T) {
	image := strings.Repeat("A", 10_000)
	in := `{"stream":true,"model":"gpt-5-mini","max_tokens":10,"max_completion_tokens":20,"n":3,"stream_options":{"include_usage":true},"user":"u-1",
	 "messages":[{"role":"system","content":"12345"},{"role":"user","content":[{"type":"text","text":"1234\n"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` + image + `"}},
	 {"type":"file","file":{"file_data":"` + image + `"}},{"type":"input_audio","input_audio":{"data":"` + image + `","format":"wav"}}]},
	 {"role":"assistant","content":null,"tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"12"}}]},{"role":"tool","tool_call_id":"c","content":"123"}],
	 "tools":[{"type":"function","function":{"name":"f"}}],"unknown":{"deep":[1]}}`
	h, err := codec.Parse([]byte(in))
	if err != nil {
		t.Fatal(err)
	}
	tool := len(`{"type":"function","function":{"name":"f"}}`)
	want := chat.Head{
		Schema: chat.OpenAI, Model: "gpt-5-mini", Stream: true, IncludeUsage: true, MaxTokens: 20, N: 3, Messages: 4, Tools: 1, Images: 1,
		TextBytes: 5 + 6 + 2 + 3 + tool, User: "u-1",
	}
	got := *h
	got.Body, got.Fields = nil, nil
	if dump(got) != dump(want) {
		t.Errorf("got\n%swant\n%s", dump(got), dump(want))
	}
	if string(h.Body) != in || string(h.Field("n")) != "3" || string(h.Field("unknown")) != `{"deep":[1]}` || h.Field("absent") != nil {
		t.Errorf("the fields are wrong: %+v", h.Fields)
	}
}

func TestParse_defaults(t *testing.T) {
	h, err := codec.Parse(body(`"stream":null,"max_tokens":null,"n":null,"tools":null,"user":null,"stop":null,"stream_options":null`))
	if err != nil {
		t.Fatal(err)
	}
	if h.Stream || h.IncludeUsage || h.MaxTokens != 0 || h.N != 1 || h.Tools != 0 || h.User != "" {
		t.Errorf("got %+v", h)
	}
}

// What must not be refused: unknown members and parts, and what only the provider can judge.
func TestParse_accepts(t *testing.T) {
	for _, in := range []string{
		string(body(`"temperature":2,"top_p":0,"frequency_penalty":-2,"presence_penalty":2,"top_logprobs":20,"logprobs":true,"seed":-1,"stop":["a","b","c","d"]`)),
		string(body(`"tool_choice":"required","tools":[]`)),
		string(body(`"tools":[{"type":"custom","custom":{"name":"c"}},{"type":"web_search"}],"tool_choice":{"type":"custom","custom":{"name":"c"}}`)),
		string(body(`"functions":[{"name":"f","parameters":{}}],"function_call":"auto"`)),
		string(body(`"response_format":{"type":"grammar","grammar":"x"},"guided_json":{},"chat_template_kwargs":{"a":[1]}`)),
		string(body(`"max_tokens":1e3`)),
		`{"model":"m","messages":[{"role":"assistant","content":null},{"role":"assistant"},{"role":"assistant","content":[]},{"role":"assistant","tool_calls":[]}]}`,
		`{"model":"m","messages":[{"content":[{"video":{"x":1},"type":"video_url"}],"role":"user","mood":"x"}]}`,
		`{"model":"m","messages":[{"role":"tool","tool_call_id":"c","content":""},{"role":"assistant","function_call":{"name":"f","arguments":"{}"}},{"role":"function","name":"f","content":null}]}`,
		`{"model":"m","messages":[{"role":"user","content":"x","name":null}]}`,
		`{"model":"m","messages":[{"role":"assistant","content":"x","function_call":null,"tool_calls":null,"refusal":null,"reasoning_content":null}]}`,
		`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","function":{"name":"f","arguments":""}},{"id":"d","type":"custom","custom":{"name":"f","input":"x"}}]}]}`,
	} {
		if h, err := codec.Parse([]byte(in)); err != nil {
			t.Errorf("%s: %v", in, err)
		} else if _, err := codec.Decode(h); err != nil {
			t.Errorf("%s: Decode: %v", in, err)
		}
	}
}

func TestParse_refuses(t *testing.T) {
	msg := func(m string) string { return `{"model":"m","messages":[` + hi + `,` + m + `]}` }
	part := func(p string) string { return msg(`{"role":"user","content":[{"type":"text","text":"x"},` + p + `]}`) }
	call := func(c string) string { return msg(`{"role":"assistant","tool_calls":[` + c + `]}`) }
	for _, c := range []struct{ in, param, message string }{
		{`{"messages":[` + hi + `]}`, "model", "is required"},
		{`{"model":"","messages":[` + hi + `]}`, "model", "must name a model"},
		{`{"model":null,"messages":[` + hi + `]}`, "model", "must be a string, not null"},
		{`{"model":["a"],"messages":[` + hi + `]}`, "model", "must be a string, not an array"},
		{`{"model":"m"}`, "messages", "is required"},
		{`{"model":"m","messages":[]}`, "messages", "must not be empty"},
		{`{"model":"m","messages":null}`, "messages", "must be an array, not null"},
		{`{"model":"m","messages":"hi"}`, "messages", "must be an array, not a string"},
		{`{"model":"m","messages":["hi"]}`, "messages[0]", "must be an object, not a string"},
		{`{"model":"m","model":"n","messages":[` + hi + `]}`, "", `the member "model" twice`},
		{`[]`, "", "must be an object, not an array"},
		{`hello`, "", "expected a value"},
		{msg(`{"content":"x"}`), "messages[1].role", "is required"},
		{msg(`{"role":"robot","content":"x"}`), "messages[1].role", `not "robot"`},
		{msg(`{"role":7,"content":"x"}`), "messages[1].role", "must be a string, not a number"},
		{msg(`{"role":"user"}`), "messages[1].content", "is required"},
		{msg(`{"role":"user","content":null}`), "messages[1].content", "is required"},
		{msg(`{"role":"user","content":5}`), "messages[1].content", "must be a string or an array of content parts, not a number"},
		{msg(`{"role":"user","content":{"a":1}}`), "messages[1].content", "must be a string or an array"},
		{msg(`{"role":"user","content":[]}`), "messages[1].content", "must not be empty"},
		{msg(`{"role":"user","content":["x"]}`), "messages[1].content[0]", "must be an object, not a string"},
		{msg(`{"role":"user","content":"x","name":5}`), "messages[1].name", "must be a string"},
		{part(`{"text":"x"}`), "messages[1].content[1].type", "is required"},
		{part(`{"type":"text"}`), "messages[1].content[1].text", "is required"},
		{part(`{"text":7,"type":"text"}`), "messages[1].content[1].text", "must be a string, not a number"},
		{part(`{"type":"image_url","image_url":"https://h"}`), "messages[1].content[1].image_url", "must be an object, not a string"},
		{part(`{"type":"image_url","image_url":{}}`), "messages[1].content[1].image_url.url", "is required"},
		{part(`{"type":"image_url","image_url":{"url":""}}`), "messages[1].content[1].image_url.url", "is required"},
		{part(`{"type":"input_audio","input_audio":{"data":"AA"}}`), "messages[1].content[1].input_audio.format", "is required"},
		{part(`{"type":"file"}`), "messages[1].content[1].file", "is required"},
		{part(`{"type":"refusal"}`), "messages[1].content[1].refusal", "is required"},
		{msg(`{"role":"tool","content":"x"}`), "messages[1].tool_call_id", "is required"},
		{msg(`{"role":"tool","content":"x","tool_call_id":""}`), "messages[1].tool_call_id", "is required"},
		{msg(`{"role":"tool","content":"x","tool_call_id":1}`), "messages[1].tool_call_id", "must be a string, not a number"},
		{msg(`{"role":"tool","tool_call_id":"c"}`), "messages[1].content", "is required"},
		{msg(`{"role":"function","content":"x"}`), "messages[1].name", "is required"},
		{msg(`{"role":"assistant","refusal":5}`), "messages[1].refusal", "must be a string"},
		{msg(`{"role":"assistant","function_call":"f"}`), "messages[1].function_call", "must be an object"},
		{msg(`{"role":"assistant","tool_calls":{}}`), "messages[1].tool_calls", "must be an array"},
		{call(`{"type":"function","function":{"name":"f","arguments":"{}"}}`), "messages[1].tool_calls[0].id", "is required"},
		{call(`{"id":"c","type":"function"}`), "messages[1].tool_calls[0].function", "is required"},
		{call(`{"id":"c","function":{"arguments":"{}"}}`), "messages[1].tool_calls[0].function.name", "is required"},
		{call(`{"id":"c","function":{"name":"f"}}`), "messages[1].tool_calls[0].function.arguments", "is required"},
		{call(`{"id":"c","function":{"name":"f","arguments":{}}}`), "messages[1].tool_calls[0].function.arguments", "must be a string, not an object"},
		{call(`{"id":"c","type":"other"}`), "messages[1].tool_calls[0].type", "must be function or custom"},
		{call(`{"id":"c","type":"custom","custom":{}}`), "messages[1].tool_calls[0].custom.name", "is required"},
		{string(body(`"stream":"yes"`)), "stream", "must be a boolean, not a string"},
		{string(body(`"stream_options":true`)), "stream_options", "must be an object"},
		{string(body(`"stream_options":{"include_usage":1}`)), "stream_options.include_usage", "must be a boolean"},
		{string(body(`"max_tokens":0`)), "max_tokens", "must be between 1"},
		{string(body(`"max_tokens":-5`)), "max_tokens", "must be between 1"},
		{string(body(`"max_completion_tokens":1.5`)), "max_completion_tokens", "must be a whole number"},
		{string(body(`"max_completion_tokens":"9"`)), "max_completion_tokens", "must be a number, not a string"},
		{string(body(`"n":0`)), "n", "must be between 1 and 128"},
		{string(body(`"n":129`)), "n", "must be between 1 and 128"},
		{string(body(`"temperature":2.1`)), "temperature", "must be between 0 and 2"},
		{string(body(`"temperature":"hot"`)), "temperature", "must be a number"},
		{string(body(`"top_p":-0.1`)), "top_p", "must be between 0 and 1"},
		{string(body(`"frequency_penalty":3`)), "frequency_penalty", "must be between -2 and 2"},
		{string(body(`"presence_penalty":-3`)), "presence_penalty", "must be between -2 and 2"},
		{string(body(`"top_logprobs":21`)), "top_logprobs", "must be between 0 and 20"},
		{string(body(`"logprobs":3`)), "logprobs", "must be a boolean"},
		{string(body(`"seed":1.5`)), "seed", "must be a whole number"},
		{string(body(`"stop":["a","b","c","d","e"]`)), "stop", "at most 4"},
		{string(body(`"stop":[1]`)), "stop[0]", "must be a string"},
		{string(body(`"stop":{}`)), "stop", "must be an array"},
		{string(body(`"user":1`)), "user", "must be a string"},
		{string(body(`"logit_bias":[]`)), "logit_bias", "must be an object"},
		{string(body(`"modalities":"text"`)), "modalities", "must be an array"},
		{string(body(`"tools":{}`)), "tools", "must be an array"},
		{string(body(`"tools":[1]`)), "tools[0]", "must be an object"},
		{string(body(`"tools":[{}]`)), "tools[0].type", "is required"},
		{string(body(`"tools":[{"type":"function"}]`)), "tools[0].function", "is required"},
		{string(body(`"tools":[{"type":"function","function":{}}]`)), "tools[0].function.name", "is required"},
		{string(body(`"tools":[{"type":"function","function":{"name":"f","parameters":"x"}}]`)), "tools[0].function.parameters", "must be an object"},
		{string(body(`"tools":[{"type":"function","function":{"name":"f","strict":"x"}}]`)), "tools[0].function.strict", "must be a boolean"},
		{string(body(`"functions":[{"description":"x"}]`)), "functions[0].name", "is required"},
		{string(body(`"function_call":"required"`)), "function_call", "must be none, auto"},
		{string(body(`"function_call":{}`)), "function_call.name", "is required"},
		{string(body(`"tool_choice":"maybe"`)), "tool_choice", "must be none, auto, required"},
		{string(body(`"tool_choice":{"type":"function"}`)), "tool_choice.function", "is required"},
		{string(body(`"tool_choice":{"type":"function","function":{}}`)), "tool_choice.function.name", "is required"},
		{string(body(`"tool_choice":{"type":"other"}`)), "tool_choice.type", "must be function, custom or allowed_tools"},
		{string(body(`"tool_choice":{"type":"allowed_tools","allowed_tools":{"tools":[]}}`)), "tool_choice.allowed_tools.mode", "must be auto or required"},
		{string(body(`"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto"}}`)), "tool_choice.allowed_tools.tools", "is required"},
		{string(body(`"response_format":"json"`)), "response_format", "must be an object"},
		{string(body(`"response_format":{}`)), "response_format.type", "is required"},
		{string(body(`"response_format":{"type":"json_schema"}`)), "response_format.json_schema", "is required"},
		{string(body(`"response_format":{"type":"json_schema","json_schema":{"schema":{}}}`)), "response_format.json_schema.name", "is required"},
		{string(body(`"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":[]}}`)), "response_format.json_schema.schema", "must be an object"},
	} {
		_, err := codec.Parse([]byte(c.in))
		var f *fault.Fault
		if !errors.As(err, &f) {
			t.Errorf("%s: accepted", c.in)
			continue
		}
		if f.Kind != fault.InvalidRequest || f.Param != c.param || !strings.Contains(f.Message, c.message) {
			t.Errorf("%s:\n%v (param %q), want %q (param %q)", c.in, f, f.Param, c.message, c.param)
		}
	}
}

func TestParse_hostile_bodies(t *testing.T) {
	many := `{"model":"m","messages":[` + strings.Repeat(hi+",", 100_000) + hi + `]}`
	if _, err := codec.Parse([]byte(many)); err == nil || !strings.Contains(err.Error(), "at most 100000 messages") {
		t.Errorf("100,001 messages: %v", err)
	}
	deep := `{"model":"m","messages":[{"role":"user","content":` + strings.Repeat(`[{"a":`, 5000) + `1`
	if _, err := codec.Parse([]byte(deep)); err == nil {
		t.Error("10,000 levels were accepted")
	}
	deep = string(body(`"tools":[{"type":"function","function":{"name":"f","parameters":{"a":` + strings.Repeat("[", 10_000)))
	if _, err := codec.Parse([]byte(deep)); err == nil || !strings.Contains(err.Error(), "nested deeper") {
		t.Errorf("10,000 levels in a tool: %v", err)
	}
	for name, in := range map[string]string{"cut": `{"model":"m","messages":[{"role":"us`, "empty": "", "broken UTF-8": string(body("\"user\":\"\xff\""))} {
		if _, err := codec.Parse([]byte(in)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestD92_rewrite(t *testing.T) {
	to := translate.Target{BasePath: "/openai/v1", Model: `real "model"`}
	for _, c := range []struct{ in, want string }{
		{`{"model":"m","messages":[` + hi + `]}`, `{"model":"real \"model\"","messages":[` + hi + `]}`},
		{`{ "unknown" : {"a":[1, 2]},"messages":[` + hi + `], "model" : "m" }`, `{ "unknown" : {"a":[1, 2]},"messages":[` + hi + `], "model" : "real \"model\"" }`},
		{`{"model":"m","stream":true,"messages":[` + hi + `]}`, `{"model":"real \"model\"","stream":true,"messages":[` + hi + `],"stream_options":{"include_usage":true}}`},
		{`{"model":"m","stream":true,"stream_options":null,"messages":[` + hi + `]}`, `{"model":"real \"model\"","stream":true,"stream_options":{"include_usage":true},"messages":[` + hi + `]}`},
		{`{"model":"m","stream":true,"stream_options":{"include_obfuscation":false},"messages":[` + hi + `]}`, `{"model":"real \"model\"","stream":true,"stream_options":{"include_obfuscation":false,"include_usage":true},"messages":[` + hi + `]}`},
		{`{"model":"m","stream":true,"stream_options":{"include_usage":false},"messages":[` + hi + `]}`, `{"model":"real \"model\"","stream":true,"stream_options":{"include_usage":true},"messages":[` + hi + `]}`},
		{`{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[` + hi + `]}`, `{"model":"real \"model\"","stream":true,"stream_options":{"include_usage":true},"messages":[` + hi + `]}`},
		{`{"model":"m","stream":false,"messages":[` + hi + `]}`, `{"model":"real \"model\"","stream":false,"messages":[` + hi + `]}`},
	} {
		h, err := codec.Parse([]byte(c.in))
		if err != nil {
			t.Fatal(err)
		}
		up, err := codec.Rewrite(h, to)
		if err != nil {
			t.Fatal(err)
		}
		if string(up.Body) != c.want || up.Path != "/openai/v1/chat/completions" || len(up.Headers)+len(up.Dropped) > 0 {
			t.Errorf("%s:\n%s (%s), want\n%s", c.in, up.Body, up.Path, c.want)
		}
		if string(h.Body) != c.in {
			t.Errorf("the client's body was changed: %s", h.Body)
		}
	}
}

func TestRewrite_same_model_passes_the_body_itself(t *testing.T) {
	h, err := codec.Parse(body(""))
	if err != nil {
		t.Fatal(err)
	}
	up, err := codec.Rewrite(h, translate.Target{Model: "m"})
	if err != nil || &up.Body[0] != &h.Body[0] {
		t.Errorf("the body was copied: %v", err)
	}
}

func TestCodec_names(t *testing.T) {
	if codec.Schema() != chat.OpenAI || len(codec.ClientHeaders()) != 0 {
		t.Errorf("schema %q, headers %q", codec.Schema(), codec.ClientHeaders())
	}
	if s := fmt.Sprint(codec); strings.Contains(s, "0x") {
		t.Errorf("the codec holds state: %s", s)
	}
}
