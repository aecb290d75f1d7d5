package responses_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

var target = translate.Target{BasePath: "/v1", Model: "gpt-5", MaxOutput: 16_384}

func head(t testing.TB, body string) *chat.Head {
	t.Helper()
	h, err := codec.Parse([]byte(body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return h
}

func decode(t testing.TB, body string) *chat.Request {
	t.Helper()
	r, err := codec.Decode(head(t, body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return r
}

func asFault(t testing.TB, err error) *fault.Fault {
	t.Helper()
	var f *fault.Fault
	if !errors.As(err, &f) {
		t.Fatalf("no fault: %v", err)
	}
	return f
}

// item is a body with one input item.
func item(raw string) string { return `{"model":"m","input":[` + raw + `]}` }

// user is a body with one part of a user's message.
func user(part string) string { return item(`{"role":"user","content":[` + part + `]}`) }

func TestParseRefusesWithThePath(t *testing.T) {
	for _, c := range []struct {
		body, param string
		kind        fault.Kind
	}{
		{`{"input":"x"}`, "model", fault.InvalidRequest},
		{`{"model":"","input":"x"}`, "model", fault.InvalidRequest},
		{`{"model":7,"input":"x"}`, "model", fault.InvalidRequest},
		{`{"model":"m"}`, "input", fault.InvalidRequest},
		{`{"model":"m","input":null}`, "input", fault.InvalidRequest},
		{`{"model":"m","input":7}`, "input", fault.InvalidRequest},
		{`{"model":"m","input":{}}`, "input", fault.InvalidRequest},
		{item(`7`), "input[0]", fault.InvalidRequest},
		{item(`{}`), "input[0].id", fault.InvalidRequest},
		{item(`{"type":"message","content":"x"}`), "input[0].role", fault.InvalidRequest},
		{item(`{"role":"tool","content":"x"}`), "input[0].role", fault.InvalidRequest},
		{item(`{"role":"user"}`), "input[0].content", fault.InvalidRequest},
		{item(`{"role":"user","content":{}}`), "input[0].content", fault.InvalidRequest},
		{item(`{"role":"user","content":7}`), "input[0].content", fault.InvalidRequest},
		{user(`{"text":"x"}`), "input[0].content[0].type", fault.InvalidRequest},
		{user(`{"type":"input_text"}`), "input[0].content[0].text", fault.InvalidRequest},
		{user(`{"type":"input_image"}`), "input[0].content[0].image_url", fault.InvalidRequest},
		{user(`{"type":"input_file","filename":"x"}`), "input[0].content[0]", fault.InvalidRequest},
		{user(`{"type":"input_audio","input_audio":{"data":"x"}}`), "input[0].content[0].input_audio.format", fault.InvalidRequest},
		{item(`{"type":"function_call","name":"f","arguments":"{}"}`), "input[0].call_id", fault.InvalidRequest},
		{item(`{"type":"function_call","call_id":"c","arguments":"{}"}`), "input[0].name", fault.InvalidRequest},
		{item(`{"type":"function_call","call_id":"c","name":"f","arguments":{}}`), "input[0].arguments", fault.InvalidRequest},
		{item(`{"type":"function_call_output","output":"x"}`), "input[0].call_id", fault.InvalidRequest},
		{item(`{"type":"function_call_output","call_id":"c"}`), "input[0].output", fault.InvalidRequest},
		{item(`{"type":"custom_tool_call","call_id":"c","name":"f"}`), "input[0].input", fault.InvalidRequest},
		{item(`{"type":"reasoning","id":"rs_1"}`), "input[0].summary", fault.InvalidRequest},
		{item(`{"type":"item_reference"}`), "input[0].id", fault.InvalidRequest},
		{`{"model":"m","input":"x","max_output_tokens":0}`, "max_output_tokens", fault.InvalidRequest},
		{`{"model":"m","input":"x","temperature":3}`, "temperature", fault.InvalidRequest},
		{`{"model":"m","input":"x","stream":"yes"}`, "stream", fault.InvalidRequest},
		{`{"model":"m","input":"x","metadata":{"a":7}}`, "metadata.a", fault.InvalidRequest},
		{`{"model":"m","input":"x","tools":[{"name":"f"}]}`, "tools[0].type", fault.InvalidRequest},
		{`{"model":"m","input":"x","tools":[{"type":"function"}]}`, "tools[0].name", fault.InvalidRequest},
		{`{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":[]}]}`, "tools[0].parameters", fault.InvalidRequest},
		{`{"model":"m","input":"x","tool_choice":"maybe"}`, "tool_choice", fault.InvalidRequest},
		{`{"model":"m","input":"x","tool_choice":{"type":"function"}}`, "tool_choice.name", fault.InvalidRequest},
		{`{"model":"m","input":"x","tool_choice":{"type":"allowed_tools","tools":[]}}`, "tool_choice.mode", fault.InvalidRequest},
		{`{"model":"m","input":"x","text":{"format":{"type":"json_schema","name":"n"}}}`, "text.format.schema", fault.InvalidRequest},
		{`{"model":"m","input":"x","text":{"format":{}}}`, "text.format.type", fault.InvalidRequest},
		{`{"model":"m","input":"x","background":true}`, "background", fault.Unsupported},
		{`{"model":"m","input":"x","conversation":"conv_1"}`, "conversation", fault.Unsupported},
	} {
		_, err := codec.Parse([]byte(c.body))
		if f := asFault(t, err); f.Kind != c.kind || f.Param != c.param {
			t.Errorf("%s: %+v", c.body, f)
		}
	}
}

func TestHeadCountsWhatPolicyNeeds(t *testing.T) {
	h := head(t, `{"model":"m","instructions":"abc","stream":true,"user":null,"safety_identifier":"u","max_output_tokens":20,"tools":[{"type":"web_search"},{"type":"function","name":"f"}],
"input":[{"role":"user","content":[{"type":"input_text","text":"12345"},{"type":"input_image","image_url":"https://x/y.png"},{"type":"of_tomorrow"}]},
{"type":"function_call_output","call_id":"c","output":"67"},{"type":"web_search_call","id":"ws_1"}],"previous_response_id":"resp_1","background":false}`)
	want := chat.Head{Schema: chat.Responses, Model: "m", Stream: true, MaxTokens: 20, N: 1, Messages: 3, Tools: 2, Images: 1, TextBytes: h.TextBytes, User: "u", Body: h.Body, Fields: h.Fields}
	if !reflect.DeepEqual(*h, want) || h.TextBytes < 10+len(`{"type":"function","name":"f"}`) || h.TextBytes > 80 {
		t.Errorf("got %+v", h)
	}
}

func TestD1_D3_roles_and_instructions(t *testing.T) {
	r := decode(t, `{"model":"m","instructions":"Be brief.","input":[{"role":"developer","content":"d"},{"role":"user","content":"u"},{"role":"assistant","content":"a"},
{"type":"reasoning","id":"rs_1","summary":[]},{"type":"message","id":"msg_1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"b","annotations":[]}]},{"role":"system","content":"s"}]}`)
	var got []string
	for _, m := range r.Messages {
		text := string(m.Role)
		for _, p := range m.Parts {
			text += " " + p.Text
		}
		got = append(got, text)
	}
	if want := []string{"system Be brief.", "developer d", "user u", "assistant a b", "system s"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestD10_end_user(t *testing.T) {
	if r := decode(t, `{"model":"m","input":"x","safety_identifier":"b","user":"a"}`); r.User != "a" {
		t.Errorf("got %q", r.User)
	}
	long := encode(t, &chat.Request{User: strings.Repeat("u", 80)}, target)
	if id := gjson.GetBytes(long.Body, "safety_identifier").String(); len(id) > 64 || id == strings.Repeat("u", 64) {
		t.Errorf("got %q", id)
	}
}

func encode(t testing.TB, r *chat.Request, to translate.Target) *translate.Upstream {
	t.Helper()
	up, err := codec.Encode(r, to)
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(up.Body) {
		t.Fatalf("no JSON: %s", up.Body)
	}
	return up
}

func TestD14_D34_names_and_ids_fit(t *testing.T) {
	name, id := strings.Repeat("long.", 20), strings.Repeat("toolu/", 20)
	up := encode(t, &chat.Request{Schema: chat.Anthropic, Tools: []chat.Tool{{Name: name}}, ToolChoice: &chat.ToolChoice{Mode: chat.ToolNamed, Name: name}, Messages: []chat.Message{
		{Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.ToolCall, Call: &chat.Call{ID: id, Name: name}}}},
		{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: id}}}},
	}}, target)
	short := gjson.GetBytes(up.Body, "tools.0.name").String()
	if len(short) > 64 || up.Names.Back(short) != name || gjson.GetBytes(up.Body, "input.0.name").String() != short || gjson.GetBytes(up.Body, "tool_choice.name").String() != short {
		t.Errorf("%s", up.Body)
	}
	a, b := gjson.GetBytes(up.Body, "input.0.call_id").String(), gjson.GetBytes(up.Body, "input.1.call_id").String()
	if a != b || len(a) > 64 || gjson.GetBytes(up.Body, "input.0.arguments").String() != "{}" {
		t.Errorf("%s", up.Body)
	}
}

func TestD19_strict_is_said(t *testing.T) {
	yes := true
	up := encode(t, &chat.Request{Schema: chat.OpenAI, Tools: []chat.Tool{{Name: "a"}, {Name: "b", Strict: &yes, Parameters: []byte(`{"type":"object"}`)}}}, target)
	if got := gjson.GetBytes(up.Body, "tools.#.strict").Raw; got != "[false,true]" {
		t.Errorf("got %s: absent would mean true", got)
	}
	if got := gjson.GetBytes(up.Body, "tools.0.parameters").Raw; got != `{"type":"object","properties":{}}` {
		t.Errorf("D15: %s", got)
	}
}

func TestD21_tools_of_one_vendor(t *testing.T) {
	r := decode(t, `{"model":"m","input":"x","tools":[{"type":"web_search"},{"type":"custom","name":"sql"}],"tool_choice":{"type":"custom","name":"sql"}}`)
	if len(r.Tools) != 2 || r.Tools[0].Kind != "web_search" || r.Tools[1].Name != "sql" || string(r.Tools[1].Raw) != `{"type":"custom","name":"sql"}` {
		t.Errorf("got %+v", r.Tools)
	}
	up := encode(t, r, target)
	if gjson.GetBytes(up.Body, "tools.#").Int() != 2 || gjson.GetBytes(up.Body, "tool_choice.type").String() != "custom" {
		t.Errorf("own: %s", up.Body)
	}
	r.Schema = chat.Anthropic
	if _, err := codec.Encode(r, target); asFault(t, err).Kind != fault.Unsupported {
		t.Errorf("got %v", err)
	}
	lossy := target
	lossy.Lossy = true
	if up := encode(t, r, lossy); !reflect.DeepEqual(up.Dropped, []string{"tools", "tool_choice"}) {
		t.Errorf("dropped %v", up.Dropped)
	}
	for _, other := range []string{`{"model":"m","input":[{"type":"web_search_call","id":"ws_1"}]}`, `{"model":"m","input":[{"type":"item_reference","id":"msg_1"}]}`, `{"model":"m","input":[{"id":"msg_1"}]}`,
		`{"model":"m","input":"x","previous_response_id":"resp_1"}`, `{"model":"m","prompt":{"id":"p"}}`} {
		if r := decode(t, other); len(r.Extra) != 1 || !r.Extra[0].Meaning {
			t.Errorf("%s: %+v", other, r.Extra)
		}
	}
}

func TestD24_D27_tool_choice(t *testing.T) {
	for _, c := range []struct {
		raw  string
		want chat.ToolChoice
		left int
	}{
		{`"auto"`, chat.ToolChoice{Mode: chat.ToolAuto}, 2}, {`"none"`, chat.ToolChoice{Mode: chat.ToolNone}, 2}, {`"required"`, chat.ToolChoice{Mode: chat.ToolRequired}, 2},
		{`{"type":"function","name":"a"}`, chat.ToolChoice{Mode: chat.ToolNamed, Name: "a"}, 2},
		{`{"type":"allowed_tools","mode":"required","tools":[{"type":"function","name":"b"}]}`, chat.ToolChoice{Mode: chat.ToolRequired}, 1},
	} {
		r := decode(t, `{"model":"m","input":"x","tools":[{"type":"function","name":"a"},{"type":"function","name":"b"}],"tool_choice":`+c.raw+`}`)
		if !reflect.DeepEqual(*r.ToolChoice, c.want) || len(r.Tools) != c.left {
			t.Errorf("%s: %+v, %d tools", c.raw, r.ToolChoice, len(r.Tools))
		}
	}
	if r := decode(t, `{"model":"m","input":"x","tool_choice":{"type":"file_search"}}`); r.ToolChoice != nil || len(r.Extra) != 1 || !r.Extra[0].Meaning {
		t.Errorf("got %+v", r)
	}
}

func TestD32_D33_arguments(t *testing.T) {
	r := decode(t, item(`{"type":"function_call","call_id":"c","name":"f","arguments":" "}`))
	if r.Messages[0].Parts[0].Call.Arguments != "{}" {
		t.Errorf("got %+v", r.Messages[0].Parts[0].Call)
	}
	for _, bad := range []string{`"[]"`, `"x"`, `"{"`} {
		_, err := codec.Decode(head(t, item(`{"type":"function_call","call_id":"c","name":"f","arguments":`+bad+`}`)))
		if f := asFault(t, err); f.Param != "input[0].arguments" {
			t.Errorf("%s: %+v", bad, f)
		}
	}
}

func TestCustomToolCallsAreTheirOwnItems(t *testing.T) {
	body := `{"model":"m","tools":[{"type":"custom","name":"sql"}],"input":[{"role":"user","content":"x"},{"type":"custom_tool_call","call_id":"c","name":"sql","input":"select \"a\""},{"type":"custom_tool_call_output","call_id":"c","output":"1"}]}`
	r := decode(t, body)
	if got := r.Messages[1].Parts[0].Call.Arguments; got != `{"input":"select \"a\""}` {
		t.Errorf("got %s", got)
	}
	up := encode(t, r, target)
	if got := gjson.GetBytes(up.Body, "input.1").Raw; got != `{"type":"custom_tool_call","call_id":"c","name":"sql","input":"select \"a\""}` {
		t.Errorf("got %s", got)
	}
	if got := gjson.GetBytes(up.Body, "input.2.type").String(); got != "custom_tool_call_output" {
		t.Errorf("got %s", got)
	}
}

func TestD38_D43_results(t *testing.T) {
	bad := true
	up := encode(t, &chat.Request{Schema: chat.Anthropic, Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{
		{Kind: chat.Text, Text: "behind"},
		{Kind: chat.ToolResult, Result: &chat.Result{CallID: "a", IsError: &bad, Parts: []chat.Part{{Kind: chat.Text, Text: "no"}}}},
		{Kind: chat.ToolResult, Result: &chat.Result{CallID: "b", Parts: []chat.Part{{Kind: chat.Text, Text: "see"}, {Kind: chat.Image, Media: &chat.Media{URL: "https://x/a.png"}}}}},
	}}}}, target)
	want := `[{"type":"function_call_output","call_id":"a","output":"no"},{"type":"function_call_output","call_id":"b","output":[{"type":"input_text","text":"see"},{"type":"input_image","image_url":"https://x/a.png","detail":"auto"}]},{"type":"message","role":"user","content":"behind"}]`
	if got := gjson.GetBytes(up.Body, "input").Raw; got != want || !reflect.DeepEqual(up.Dropped, []string{"messages[].content[].is_error"}) {
		t.Errorf("D41, D42: got %s\ndropped %v", got, up.Dropped)
	}
}

func TestD45_D51_D57_parameters(t *testing.T) {
	five, k, f, yes, top := int64(5), int64(3), 0.5, true, int64(2)
	up := encode(t, &chat.Request{MaxTokens: &five, TopK: &k, FrequencyPenalty: &f, PresencePenalty: &f, LogProbs: &yes, TopLogProbs: &top, Temperature: &f, TopP: &f}, target)
	if b := up.Body; gjson.GetBytes(b, "max_output_tokens").Int() != 16 || gjson.GetBytes(b, "include.0").String() != "message.output_text.logprobs" || gjson.GetBytes(b, "top_logprobs").Int() != 2 {
		t.Errorf("%s", b)
	}
	if !reflect.DeepEqual(up.Dropped, []string{"top_k", "frequency_penalty", "presence_penalty"}) {
		t.Errorf("dropped %v", up.Dropped)
	}
	large := int64(1 << 30)
	if up := encode(t, &chat.Request{MaxTokens: &large}, target); gjson.GetBytes(up.Body, "max_output_tokens").Int() != 16_384 {
		t.Errorf("%s", up.Body)
	}
	r := decode(t, `{"model":"m","input":"x","include":["message.output_text.logprobs","file_search_call.results"],"top_logprobs":3}`)
	if r.LogProbs == nil || !*r.LogProbs || *r.TopLogProbs != 3 || len(r.Extra) != 1 || r.Extra[0].Meaning {
		t.Errorf("got %+v", r)
	}
	if r := decode(t, `{"model":"m","input":"x","top_logprobs":3}`); r.LogProbs != nil || len(r.Extra) != 1 {
		t.Errorf("got %+v", r)
	}
}

func TestD53_D55_D56_what_has_no_counterpart_is_refused(t *testing.T) {
	n := int64(2)
	for name, r := range map[string]*chat.Request{"stop": {Stop: []string{"x"}}, "seed": {Seed: &n}, "n": {N: &n}, "logit_bias": {Extra: []chat.Extra{{Name: "logit_bias", Meaning: true}}}} {
		_, err := codec.Encode(r, target)
		if f := asFault(t, err); f.Kind != fault.Unsupported || f.Param != name {
			t.Errorf("%s: %+v", name, f)
		}
		lossy := target
		lossy.Lossy = true
		if up := encode(t, r, lossy); !reflect.DeepEqual(up.Dropped, []string{name}) {
			t.Errorf("%s: dropped %v", name, up.Dropped)
		}
	}
}

func TestD58_reasoning(t *testing.T) {
	for _, c := range []struct {
		in   *chat.Reasoning
		caps map[string]bool
		want string
		incl bool
	}{
		{&chat.Reasoning{Effort: "high"}, nil, `{"effort":"high"}`, true},
		{&chat.Reasoning{Effort: "none", Disabled: true}, nil, `{"effort":"none"}`, false},
		{&chat.Reasoning{Disabled: true}, nil, ``, false},
		{&chat.Reasoning{Budget: 1024}, nil, `{"effort":"low"}`, true},
		{&chat.Reasoning{Budget: 4096}, nil, `{"effort":"medium"}`, true},
		{&chat.Reasoning{Budget: 32_000, Display: "summarized"}, nil, `{"effort":"high","summary":"auto"}`, true},
		{&chat.Reasoning{Display: "summarized"}, map[string]bool{"reasoning": true}, `{"summary":"auto"}`, true},
		{&chat.Reasoning{Adaptive: true}, map[string]bool{}, ``, false},
		{nil, map[string]bool{"reasoning": true}, ``, true},
	} {
		to := target
		to.Capabilities = c.caps
		up := encode(t, &chat.Request{Reasoning: c.in}, to)
		if got := gjson.GetBytes(up.Body, "reasoning").Raw; got != c.want || gjson.GetBytes(up.Body, "include").Exists() != c.incl {
			t.Errorf("%+v: %s", c.in, up.Body)
		}
	}
	r := decode(t, `{"model":"m","input":"x","reasoning":{"effort":null,"summary":"detailed"}}`)
	if *r.Reasoning != (chat.Reasoning{Display: "summarized"}) {
		t.Errorf("got %+v", r.Reasoning)
	}
	if r := decode(t, `{"model":"m","input":"x","reasoning":{}}`); r.Reasoning != nil {
		t.Errorf("got %+v", r.Reasoning)
	}
	if _, err := codec.Decode(head(t, `{"model":"m","input":"x","reasoning":{"effort":"huge"}}`)); asFault(t, err).Param != "reasoning.effort" {
		t.Errorf("got %v", err)
	}
}

func TestD61_D62_formats(t *testing.T) {
	if r := decode(t, `{"model":"m","input":"x","text":{"format":{"type":"text"},"verbosity":"low"}}`); r.Format != nil || len(r.Extra) != 1 || r.Extra[0].Name != "text.verbosity" {
		t.Errorf("got %+v", r)
	}
	if r := decode(t, `{"model":"m","input":"x","text":{"format":{"type":"json_object"}}}`); r.Format == nil || r.Format.Schema != nil {
		t.Errorf("got %+v", r.Format)
	}
	if up := encode(t, &chat.Request{Format: &chat.Format{}}, target); gjson.GetBytes(up.Body, "text.format").Raw != `{"type":"json_object"}` {
		t.Errorf("%s", up.Body)
	}
	if up := encode(t, &chat.Request{Format: &chat.Format{Schema: []byte(`{"type":"object"}`)}}, target); gjson.GetBytes(up.Body, "text.format").Raw != `{"type":"json_schema","name":"response","schema":{"type":"object"}}` {
		t.Errorf("%s", up.Body)
	}
}

func TestD65_D70_D72_media(t *testing.T) {
	for _, c := range []struct {
		part string
		kind chat.PartKind
		want chat.Media
	}{
		{`{"type":"input_image","image_url":"data:image/png;base64,AAAA","detail":"low"}`, chat.Image, chat.Media{Type: "image/png", Data: "AAAA", Detail: "low"}},
		{`{"type":"input_image","image_url":"https://x/a.PDF?x"}`, chat.Document, chat.Media{Type: "application/pdf", URL: "https://x/a.PDF?x"}},
		{`{"type":"input_image","file_id":"file-1"}`, chat.Image, chat.Media{FileID: "file-1"}},
		{`{"type":"input_file","file_data":"JVBERi0=","filename":"a.pdf"}`, chat.Document, chat.Media{Type: "application/pdf", Data: "JVBERi0=", Name: "a.pdf"}},
		{`{"type":"input_file","file_data":"data:image/png;base64,AAAA"}`, chat.Image, chat.Media{Type: "image/png", Data: "AAAA"}},
		{`{"type":"input_file","file_url":"https://x/a.pdf"}`, chat.Document, chat.Media{Type: "application/pdf", URL: "https://x/a.pdf"}},
		{`{"type":"input_file","file_id":"file-1"}`, chat.Document, chat.Media{FileID: "file-1"}},
		{`{"type":"input_audio","input_audio":{"data":"AAAA","format":"mp3"}}`, chat.Audio, chat.Media{Type: "audio/mpeg", Data: "AAAA"}},
	} {
		r := decode(t, user(c.part))
		if p := r.Messages[0].Parts[0]; p.Kind != c.kind || *p.Media != c.want {
			t.Errorf("%s: %+v %+v", c.part, p, p.Media)
		}
		up := encode(t, r, target) // a client of the same schema may say all of it
		if again := decode(t, string(up.Body)); !reflect.DeepEqual(again.Messages[0].Parts[0].Media.Data, c.want.Data) || again.Messages[0].Parts[0].Kind != c.kind {
			t.Errorf("%s: %s", c.part, up.Body)
		}
	}
	for _, bad := range []string{`{"type":"input_image","image_url":"file:///etc/passwd"}`, `{"type":"input_image","image_url":"data:image/png,x"}`, `{"type":"input_file","file_url":"ftp://x"}`, `{"type":"input_file","file_data":"data:x"}`} {
		if _, err := codec.Decode(head(t, user(bad))); !strings.HasPrefix(asFault(t, err).Param, "input[0].content[0].") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	for _, p := range []chat.Part{{Kind: chat.Audio, Media: &chat.Media{Data: "A"}}, {Kind: chat.Image, Media: &chat.Media{FileID: "f"}}, {Kind: chat.Document, Media: &chat.Media{FileID: "f"}}, {Kind: chat.Document, Media: &chat.Media{Type: "text/plain", Data: "*"}}} {
		_, err := codec.Encode(&chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{p}}}}, target)
		if asFault(t, err).Kind != fault.Unsupported {
			t.Errorf("D71: %+v: %v", p, err)
		}
	}
	up := encode(t, &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Document, Media: &chat.Media{Type: "text/plain", Data: "aGk=", Name: "n"}}}}}}, target)
	if got := gjson.GetBytes(up.Body, "input.0.content.0.text").String(); got != "n\n\nhi" {
		t.Errorf("got %q", got)
	}
}

func TestD77_D78_signatures(t *testing.T) {
	r := decode(t, item(`{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gA:A"},{"type":"reasoning","id":"rs_2","summary":[]},{"type":"reasoning","id":"rs_dragoman_1_0","summary":[{"type":"summary_text","text":"a"},{"type":"summary_text","text":"b"}],"encrypted_content":"dragoman.thinking:EqQB"},{"type":"reasoning","id":"rs_dragoman_1_1","summary":[],"encrypted_content":"dragoman.redacted:zz"},{"type":"reasoning","id":"rs_dragoman_1_2","summary":[],"encrypted_content":"dragoman.thinking:responses:rs_9:gAAA"},{"role":"assistant","content":"x"}`))
	want := []chat.Part{
		{Kind: chat.Thinking, Signature: "responses:rs_1:gA:A"}, {Kind: chat.Thinking, Text: "a\n\nb", Signature: "EqQB"}, {Kind: chat.RedactedThinking, Signature: "zz"},
		{Kind: chat.Thinking, Signature: "responses:rs_9:gAAA"}, {Kind: chat.Text, Text: "x"},
	}
	if !reflect.DeepEqual(r.Messages[0].Parts, want) {
		t.Errorf("got %+v", r.Messages[0].Parts)
	}
	up := encode(t, r, target)
	if got := gjson.GetBytes(up.Body, "input.#.encrypted_content").Raw; got != `["gA:A","gAAA"]` || !reflect.DeepEqual(up.Dropped, []string{"input[].thinking"}) {
		t.Errorf("got %s, dropped %v", up.Body, up.Dropped)
	}
	rewritten, err := codec.Rewrite(head(t, item(`{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gA:A"},{"type":"reasoning","id":"rs_dragoman_1_0","summary":[],"encrypted_content":"dragoman.thinking:EqQB"},{"type":"reasoning","id":"rs_dragoman_1_2","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"dragoman.thinking:responses:rs_9:gAAA"},{"role":"user","content":"rs_dragoman_"}`)), target)
	if err != nil {
		t.Fatal(err)
	}
	if got := gjson.GetBytes(rewritten.Body, "input").Raw; got != `[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gA:A"},{"type":"reasoning","id":"rs_9","summary":[{"type":"summary_text","text":"t"}],"encrypted_content":"gAAA"},{"role":"user","content":"rs_dragoman_"}]` {
		t.Errorf("got %s", got)
	}
	if !reflect.DeepEqual(rewritten.Dropped, []string{"input[].thinking"}) {
		t.Errorf("dropped %v", rewritten.Dropped)
	}
}

func TestRewriteChangesTheModelAlone(t *testing.T) {
	body := ` {"input": "x" , "model" : "auto", "x": [1.0, "rs_dragoman_"], "stream":true}`
	up, err := codec.Rewrite(head(t, body), target)
	if err != nil || string(up.Body) != strings.Replace(body, `"auto"`, `"gpt-5"`, 1) || up.Path != "/v1/responses" || up.Dropped != nil {
		t.Errorf("%v: %s", err, up.Body)
	}
	same := target
	same.Model = "auto"
	if up, _ := codec.Rewrite(head(t, body), same); string(up.Body) != body {
		t.Errorf("got %s", up.Body)
	}
}

func TestD4_D7_D135_messages(t *testing.T) {
	up := encode(t, &chat.Request{Messages: []chat.Message{
		{Role: chat.System, Name: "n", Parts: []chat.Part{{Kind: chat.Text, Text: "a", Cache: &chat.CacheMark{}}, {Kind: chat.Text, Text: "b"}}},
		{Role: chat.User}, {Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.Text, Text: "c"}, {Kind: chat.Refusal, Text: "no"}}},
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.Refusal, Text: "quoted"}}},
	}}, target)
	want := `[{"type":"message","role":"system","content":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]},{"type":"message","role":"user","content":""},{"type":"message","role":"assistant","content":"c"},{"type":"message","id":"msg_4","status":"completed","role":"assistant","content":[{"type":"refusal","refusal":"no"}]},{"type":"message","role":"user","content":[{"type":"input_text","text":"quoted"}]}]`
	if got := gjson.GetBytes(up.Body, "input").Raw; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !reflect.DeepEqual(up.Dropped, []string{"cache_control", "messages[].name"}) {
		t.Errorf("D9, D82: dropped %v", up.Dropped)
	}
}
