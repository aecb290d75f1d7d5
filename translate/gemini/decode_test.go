package gemini

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

func decoded(t *testing.T, body string) *chat.Request {
	t.Helper()
	h, err := Codec{}.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Codec{}.Decode(h)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const user = `{"role":"user","parts":[{"text":"hi"}]}`

func TestParse_reads_the_head(t *testing.T) {
	h, err := Codec{}.Parse([]byte(`{"system_instruction":{"parts":[{"text":"12345"}]},"contents":[{"role":"user","parts":[{"text":"12345"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"file_data":{"file_uri":"gs://x"}}]},` + user + `],
		"tools":[{"functionDeclarations":[{"name":"a"},{"name":"b"}]},{"googleSearch":{}}],"generationConfig":{"maxOutputTokens":"77","candidate_count":3},"x":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if h.Messages != 2 || h.Images != 2 || h.Tools != 3 || h.MaxTokens != 77 || h.N != 3 || h.TextBytes < 12 || !h.IncludeUsage || h.Stream || h.Model != "" {
		t.Errorf("%+v", h)
	}
}

func TestParse_refuses(t *testing.T) {
	for body, param := range map[string]string{
		`{}`: "contents", `{"contents":[]}`: "contents", `{"contents":{}}`: "contents", `{"contents":[1]}`: "contents[0]",
		`{"contents":[{"role":"assistant","parts":[{"text":"x"}]}]}`:                                                    "contents[0].role",
		`{"contents":[{"role":"user"}]}`:                                                                                "contents[0].parts",
		`{"contents":[{"parts":[]}]}`:                                                                                   "contents[0].parts",
		`{"contents":[{"parts":[{"text":1}]}]}`:                                                                         "contents[0].parts[0].text",
		`{"contents":[{"parts":[{"text":"a","functionCall":{"name":"f"}}]}]}`:                                           "contents[0].parts[0]",
		`{"contents":[{"parts":[{"functionCall":{}}]}]}`:                                                                "contents[0].parts[0].functionCall.name",
		`{"contents":[{"parts":[{"functionCall":{"name":"f","args":"{}"}}]}]}`:                                          "contents[0].parts[0].functionCall.args",
		`{"contents":[{"parts":[{"functionResponse":{"name":"f","response":[]}}]}]}`:                                    "contents[0].parts[0].functionResponse.response",
		`{"contents":[{"parts":[{"inlineData":{"mimeType":"image/png"}}]}]}`:                                            "contents[0].parts[0].inlineData",
		`{"contents":[` + user + `],"generationConfig":{"maxOutputTokens":0}}`:                                          "generationConfig.maxOutputTokens",
		`{"contents":[` + user + `],"generationConfig":{"maxOutputTokens":"x"}}`:                                        "generationConfig.maxOutputTokens",
		`{"contents":[` + user + `],"generationConfig":{"maxOutputTokens":5,"max_output_tokens":9}}`:                    "generationConfig.max_output_tokens",
		`{"contents":[` + user + `],"generationConfig":{"candidateCount":9}}`:                                           "generationConfig.candidateCount",
		`{"contents":[` + user + `],"generationConfig":{"temperature":"warm"}}`:                                         "generationConfig.temperature",
		`{"contents":[` + user + `],"generationConfig":{"stopSequences":"x"}}`:                                          "generationConfig.stopSequences",
		`{"contents":[` + user + `],"generationConfig":{"responseSchema":[]}}`:                                          "generationConfig.responseSchema",
		`{"contents":[` + user + `],"generationConfig":{},"generation_config":{"maxOutputTokens":9}}`:                   "generation_config",
		`{"contents":[` + user + `],"tools":[{"functionDeclarations":[{"description":"x"}]}]}`:                          "tools[0].functionDeclarations[0].name",
		`{"contents":[` + user + `],"toolConfig":{"functionCallingConfig":{"mode":1}}}`:                                 "toolConfig.functionCallingConfig.mode",
		`{"contents":[` + user + `],"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":[{}]}}}`: "toolConfig.functionCallingConfig.allowedFunctionNames[0]",
		`{"contents":[` + user + `],"systemInstruction":"be brief"}`:                                                    "systemInstruction",
	} {
		_, err := Codec{}.Parse([]byte(body))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: %v (%+v), want %s", body, err, f, param)
		}
	}
}

func TestDecode_both_spellings_say_the_same(t *testing.T) {
	camelled := `{"contents":[{"role":"user","parts":[{"inlineData":{"mimeType":"image/png","data":"_-8"}}]},{"role":"model","parts":[{"functionCall":{"name":"f"},"thoughtSignature":"AAAA"}]},{"parts":[{"functionResponse":{"name":"f","response":{"output":"x"}}}]}],"systemInstruction":{"parts":[{"text":"s"}]},"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}},"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":"object","properties":{"a":{"any_of":[{"type":"string"}]}}}}]}],"generationConfig":{"topP":0.5,"topK":3,"stopSequences":["x"],"responseMimeType":"application/json","responseSchema":{"type":"OBJECT","properties":{"b":{"type":"STRING","nullable":true}}},"thinkingConfig":{"thinkingBudget":5,"includeThoughts":true}}}`
	snaked := camelled
	for _, name := range []string{"inlineData", "mimeType", "functionCall", "thoughtSignature", "functionResponse", "systemInstruction", "toolConfig", "functionCallingConfig", "allowedFunctionNames", "functionDeclarations", "parametersJsonSchema", "generationConfig", "topP", "topK", "stopSequences", "responseMimeType", "responseSchema", "thinkingConfig", "thinkingBudget", "includeThoughts"} {
		var b strings.Builder
		for _, r := range name {
			if r >= 'A' && r <= 'Z' {
				b.WriteByte('_')
				r += 'a' - 'A'
			}
			b.WriteRune(r)
		}
		snaked = strings.ReplaceAll(snaked, `"`+name+`"`, `"`+b.String()+`"`)
	}
	a, b := decoded(t, camelled), decoded(t, snaked)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("\n%+v\n%+v", a, b)
	}
	if a.Messages[1].Parts[0].Media.Data != "/+8=" || string(a.Format.Schema) != `{"type":"object","properties":{"b":{"type":["string","null"]}}}` || a.Reasoning.Budget != 5 {
		t.Errorf("%+v %s", a.Messages[1].Parts[0].Media, a.Format.Schema)
	}
}

func TestD35_responses_find_their_calls_by_name_and_order(t *testing.T) {
	r := decoded(t, `{"contents":[`+user+`,{"role":"model","parts":[{"functionCall":{"name":"f","args":{"n":1}}},{"functionCall":{"name":"g"}},{"functionCall":{"name":"f","args":{"n":2}}},{"functionCall":{"id":"own","name":"f"}}]},
		{"role":"function","parts":[{"functionResponse":{"name":"g","response":{"output":"G"}}},{"functionResponse":{"id":"own","name":"f","response":{"output":"O"}}},{"functionResponse":{"name":"f","response":{"output":"F1"}}},{"functionResponse":{"name":"f","response":{"output":"F2"}}},{"functionResponse":{"name":"lost","response":{}}}]}]}`)
	calls := map[string]string{}
	for _, p := range r.Messages[1].Parts {
		calls[p.Call.ID] = p.Call.Name + p.Call.Arguments
	}
	var got []string
	for _, m := range r.Messages[2:] {
		res := m.Parts[0].Result
		text := ""
		if len(res.Parts) > 0 {
			text = res.Parts[0].Text
		}
		got = append(got, calls[res.CallID]+"="+text)
	}
	if want := []string{`g{}=G`, `f{}=O`, `f{"n":1}=F1`, `f{"n":2}=F2`, `=`}; !reflect.DeepEqual(got, want) {
		t.Errorf("%q", got)
	}
}

func TestD42_D43_results_of_functions(t *testing.T) {
	for response, want := range map[string]string{
		`{"output":"x"}`: "x", `{"output":{"a":1}}`: `{"a":1}`, `{"error":"bad"}`: "error bad", `{"a":1,"output":2}`: `{"a":1,"output":2}`, `{"result":[1]}`: `{"result":[1]}`,
		`{"name":"f","content":"x"}`: "x", `{"content":{"a":1},"name":"f"}`: `{"a":1}`, `{"name":"f","content":""}`: "",
		`{"name":"g","content":"x"}`: `{"name":"g","content":"x"}`, `{"name":"f","content":"x","a":1}`: `{"name":"f","content":"x","a":1}`,
		`{"content":"x"}`: `{"content":"x"}`, `{"name":["f"],"content":"x"}`: `{"name":["f"],"content":"x"}`,
	} {
		r := decoded(t, `{"contents":[`+user+`,{"role":"model","parts":[{"functionCall":{"name":"f"}}]},{"parts":[{"functionResponse":{"name":"f","response":`+response+`}}]}]}`)
		res := r.Messages[2].Parts[0].Result
		got := res.Parts[0].Text
		if res.IsError != nil && *res.IsError {
			got = "error " + got
		}
		if got != want {
			t.Errorf("%s: %q", response, got)
		}
	}
}

func TestD74_D78_foreign_signatures_survive_a_client_of_this_schema(t *testing.T) {
	answer := &chat.Response{Choices: []chat.Choice{{Finish: chat.FinishToolCalls, Parts: []chat.Part{
		{Kind: chat.Thinking, Text: "hm", Signature: "ErUB+/=="}, {Kind: chat.RedactedThinking, Signature: "EmwK"}, {Kind: chat.Thinking, Signature: "responses:zzz"},
		{Kind: chat.Text, Text: "so"}, {Kind: chat.Thinking, Signature: "gemini:AAAA"}, {Kind: chat.ToolCall, Call: &chat.Call{ID: "1", Name: "f", Arguments: `{}`}},
	}}}}
	body, err := Codec{}.EncodeResponse(answer, translate.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	content := body[len(`{"candidates":[{"content":`):strings.Index(string(body), `,"finishReason"`)]
	r := decoded(t, fmt.Sprintf(`{"contents":[%s,%s]}`, user, content))
	if got := r.Messages[1].Parts; !reflect.DeepEqual(got, answer.Choices[0].Parts) {
		t.Errorf("%+v\n%s", got, content)
	}
	// The same when it was streamed, and the pieces were kept as turns of their own.
	e := Codec{}.NewEncoder(translate.Answer{})
	var out []byte
	chat.Replay(answer, func(ev *chat.Event) { out = e.Encode(out, ev) })
	contents := []string{user}
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n\n") {
		from := strings.Index(line, `"content":`) + len(`"content":`)
		to := strings.Index(line, `,"index"`)
		if at := strings.Index(line, `,"finishReason"`); at > 0 {
			continue
		}
		contents = append(contents, line[from:to])
	}
	r = decoded(t, `{"contents":[`+strings.Join(contents, ",")+`]}`)
	if got := r.Messages[1].Parts; len(r.Messages) != 2 || !reflect.DeepEqual(got, answer.Choices[0].Parts) {
		t.Errorf("%+v\n%s", got, out)
	}
}

func TestDecode_names_what_only_this_schema_says(t *testing.T) {
	r := decoded(t, `{"contents":[{"parts":[{"text":"x","partMetadata":{}}]}],"safetySettings":[],"labels":{},"cachedContent":"c","serviceTier":"x","generationConfig":{"responseModalities":["TEXT","IMAGE"],"speechConfig":{},"mediaResolution":"LOW"},"tools":[{"googleSearch":{}},{"functionDeclarations":[{"name":"f","response":{}}]}],"toolConfig":{"retrievalConfig":{},"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["a","b"]}}}`)
	got := map[string]bool{}
	for _, x := range append(r.Extra, r.Messages[0].Parts[0].Extra...) {
		got[x.Name] = x.Meaning
	}
	want := map[string]bool{
		"safetySettings": false, "labels": false, "cachedContent": true, "serviceTier": false, "generationConfig.responseModalities": true,
		"generationConfig.speechConfig": true, "generationConfig.mediaResolution": false, "tools[1].functionDeclarations[0].response": false,
		"toolConfig.retrievalConfig": false, "toolConfig.functionCallingConfig.allowedFunctionNames": true, "contents[0].parts[0].partMetadata": false,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
	if r.Tools[0].Kind != "googleSearch" || string(r.Tools[0].Raw) != `{"googleSearch":{}}` || r.ToolChoice.Mode != chat.ToolRequired {
		t.Errorf("%+v %+v", r.Tools, r.ToolChoice)
	}
	for _, part := range []string{`{"executableCode":{"code":"1"}}`, `{"toolCall":{}}`, `{"inlineData":{"mimeType":"video/mp4","data":"AAAA"}}`} {
		h, err := Codec{}.Parse([]byte(`{"contents":[{"parts":[` + part + `]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		_, err = Codec{}.Decode(h)
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.Unsupported || !strings.HasPrefix(f.Param, "contents[0].parts[0]") {
			t.Errorf("%s: %v", part, err)
		}
	}
}

func TestDecode_thinking(t *testing.T) {
	for config, want := range map[string]*chat.Reasoning{
		`{}`:                        nil,
		`{"includeThoughts":false}`: nil,
		`{"includeThoughts":true}`:  {Adaptive: true},
		`{"thinkingBudget":0}`:      {Disabled: true, Display: "omitted"},
		`{"thinkingBudget":-1}`:     {Adaptive: true, Display: "omitted"},
		`{"thinkingBudget":"2000"}`: {Budget: 2000, Display: "omitted"},
		`{"thinkingLevel":"HIGH","includeThoughts":true}`: {Effort: "high"},
	} {
		r := decoded(t, `{"contents":[`+user+`],"generationConfig":{"thinkingConfig":`+config+`}}`)
		if !reflect.DeepEqual(r.Reasoning, want) {
			t.Errorf("%s: %+v", config, r.Reasoning)
		}
	}
}

// TestDecode_is_linear: many small pieces of one thought, and many calls and responses.
func TestDecode_is_linear(t *testing.T) {
	start := time.Now()
	thoughts := strings.Repeat(`{"role":"model","parts":[{"text":"abcdefgh","thought":true}]},`, 50_000)
	decoded(t, `{"contents":[`+user+`,`+strings.TrimSuffix(thoughts, ",")+`]}`)
	calls := strings.Repeat(`{"functionCall":{"name":"f"}},`, 30_000)
	responses := strings.Repeat(`{"functionResponse":{"name":"f","response":{}}},`, 30_000)
	r := decoded(t, `{"contents":[`+user+`,{"role":"model","parts":[`+strings.TrimSuffix(calls, ",")+`]},{"parts":[`+strings.TrimSuffix(responses, ",")+`]}]}`)
	if _, err := (Codec{}).Encode(r, flash); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("took %v", took)
	}
}

// A tool of an unknown kind is kept as it came: its name may need escapes, and must not become members of its own.
func TestToolsOfUnknownKinds(t *testing.T) {
	const body = `{"contents":[{"role":"user","parts":[{"text":"x"}]}],"tools":[{"a\"b\n":{"c":1}},{"x\":1,\"googleSearch":{}}]}`
	h, err := Codec{}.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Codec{}.Decode(h)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`{"a\"b\n":{"c":1}}`, `{"x\":1,\"googleSearch":{}}`} {
		if got := string(r.Tools[i].Raw); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
