package fakeprovider

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/tidwall/gjson"
)

// eventSchemas are the schemas of the events by their type.
var eventSchemas = map[string]string{
	"error": "ResponseErrorEvent", "response.created": "ResponseCreatedEvent", "response.in_progress": "ResponseInProgressEvent",
	"response.output_item.added": "ResponseOutputItemAddedEvent", "response.output_item.done": "ResponseOutputItemDoneEvent",
	"response.content_part.added": "ResponseContentPartAddedEvent", "response.content_part.done": "ResponseContentPartDoneEvent",
	"response.output_text.delta": "ResponseTextDeltaEvent", "response.output_text.done": "ResponseTextDoneEvent",
	"response.refusal.delta": "ResponseRefusalDeltaEvent", "response.refusal.done": "ResponseRefusalDoneEvent",
	"response.function_call_arguments.delta": "ResponseFunctionCallArgumentsDeltaEvent", "response.function_call_arguments.done": "ResponseFunctionCallArgumentsDoneEvent",
	"response.reasoning_summary_part.added": "ResponseReasoningSummaryPartAddedEvent", "response.reasoning_summary_part.done": "ResponseReasoningSummaryPartDoneEvent",
	"response.reasoning_summary_text.delta": "ResponseReasoningSummaryTextDeltaEvent", "response.reasoning_summary_text.done": "ResponseReasoningSummaryTextDoneEvent",
	"response.completed": "ResponseCompletedEvent", "response.incomplete": "ResponseIncompleteEvent",
}

func validate(t *testing.T, schema string, body []byte) {
	t.Helper()
	spec, err := responsesSchemas()
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if err := spec[schema].Validate(value); err != nil {
		t.Errorf("%s: %v\n%s", schema, err, body)
	}
}

const allOfIt = `{"model":"gpt-5","user":null,"instructions":"x","input":[{"role":"user","content":"get_weather({\"city\":\"Paris\"})"}],"reasoning":{"effort":"low","summary":"auto"},
"include":["reasoning.encrypted_content","message.output_text.logprobs"],"tools":[{"type":"function","name":"get_weather","parameters":{"type":"object","properties":{}},"strict":false}]}`

// TestResponsesAnswersFitTheDescription: whole answers and every event, of every kind of block.
func TestResponsesAnswersFitTheDescription(t *testing.T) {
	s := Start(t, Options{Schema: Responses})
	for _, blocks := range [][]Block{
		nil,
		{{Kind: ThinkingBlock, Text: "hm"}, {Kind: TextBlock, Text: "Hello there."}, Call("get_weather", `{"city":"Rome"}`), Call("now", "")},
		{{Kind: RefusalBlock, Text: "I can't."}},
	} {
		for _, finish := range []string{"", "content_filter"} {
			reply := &Reply{Blocks: blocks, Finish: finish}
			if blocks == nil {
				reply = nil
			}
			s.Next(reply, reply)
			status, body := post(t, s, []byte(allOfIt))
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
			validate(t, "Response", body)
			status, body = post(t, s, []byte(strings.Replace(allOfIt, `{"model"`, `{"stream":true,"model"`, 1)))
			if status != http.StatusOK {
				t.Fatalf("%d %s", status, body)
			}
			for i, event := range strings.Split(strings.TrimSpace(string(body)), "\n\n") {
				name, data, _ := strings.Cut(event, "\ndata: ")
				kind := gjson.Get(data, "type").String()
				if name != "event: "+kind || gjson.Get(data, "sequence_number").Int() != int64(i) || eventSchemas[kind] == "" {
					t.Fatalf("event %d: %s", i, event)
				}
				validate(t, eventSchemas[kind], []byte(data))
			}
		}
	}
}

// TestResponsesRefusals: what the vendor refuses, in its words.
func TestResponsesRefusals(t *testing.T) {
	s := Start(t, Options{Schema: Responses})
	for _, c := range []struct{ name, body, param, code, message string }{
		{"no model", `{"input":"x"}`, "model", "missing_required_parameter", ""},
		{"unknown model", `{"model":"x","input":"x"}`, "model", "model_not_found", ""},
		{"no input", `{"model":"gpt-5"}`, "input", "missing_required_parameter", ""},
		{"unknown member", `{"model":"gpt-5","input":"x","messages":[]}`, "messages", "unknown_parameter", ""},
		{"user of a wrong type", `{"model":"gpt-5","input":"x","user":7}`, "user", "invalid_type", ""},
		{"input of a wrong type", `{"model":"gpt-5","input":7}`, "input", "invalid_type", ""},
		{"small cap", `{"model":"gpt-5","input":"x","max_output_tokens":5}`, "max_output_tokens", "", ""},
		{"unknown include", `{"model":"gpt-5","input":"x","include":["y"]}`, "include[0]", "invalid_value", ""},
		{"previous", `{"model":"gpt-5","input":"x","previous_response_id":"resp_x"}`, "previous_response_id", "previous_response_not_found", ""},
		{"reference", `{"model":"gpt-5","input":[{"type":"item_reference","id":"msg_x"}]}`, "input", "", "Item with id 'msg_x' not found"},
		{"result without call", `{"model":"gpt-5","input":[{"type":"function_call_output","call_id":"c","output":"x"}]}`, "input", "", "No tool call found"},
		{"call without result", `{"model":"gpt-5","input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"}]}`, "input", "", "No tool output found"},
		{"long call id", `{"model":"gpt-5","input":[{"type":"function_call","call_id":"` + strings.Repeat("c", 65) + `","name":"f","arguments":"{}"}]}`, "input[0].call_id", "string_above_max_length", ""},
		{"call without arguments", `{"model":"gpt-5","input":[{"type":"function_call","call_id":"c","name":"f"}]}`, "input[0].arguments", "missing_required_parameter", ""},
		{"role", `{"model":"gpt-5","input":[{"role":"tool","content":"x"}]}`, "input[0].role", "invalid_value", ""},
		{"assistant's input", `{"model":"gpt-5","input":[{"role":"assistant","content":[{"type":"input_text","text":"x"}]}]}`, "input[0].content[0]", "invalid_value", "output_text"},
		{"user's output", `{"model":"gpt-5","input":[{"type":"message","id":"msg_1","role":"user","content":[{"type":"output_text","text":"x"}]}]}`, "", "", ""},
		{"built-in item", `{"model":"gpt-5","input":[{"type":"computer_call"}]}`, "input[0]", "invalid_value", ""},
		{"foreign reasoning", `{"model":"gpt-5","input":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"dragoman.thinking:x"}]}`, "", "invalid_encrypted_content", "could not be verified"},
		{"reasoning not kept", `{"model":"gpt-5","input":[{"type":"reasoning","id":"rs_1","summary":[]}]}`, "input", "", "Items are not persisted"},
		{"tool name", `{"model":"gpt-5","input":"x","tools":[{"type":"function","name":"a.b","strict":null,"parameters":null}]}`, "tools[0].name", "invalid_value", ""},
		{"tool schema", `{"model":"gpt-5","input":"x","tools":[{"type":"function","name":"a","strict":true,"parameters":{"type":"object","properties":{"x":{"type":"string"}}}}]}`, "tools[0].parameters", "invalid_function_parameters", ""},
		{"tool choice", `{"model":"gpt-5","input":"x","tool_choice":{"type":"function","name":"a"}}`, "tool_choice", "", ""},
		{"format", `{"model":"gpt-5","input":"x","text":{"format":{"type":"json_schema","name":"a b","schema":{"type":"object"}}}}`, "text.format.name", "invalid_value", ""},
		{"json object", `{"model":"gpt-5","input":"x","text":{"format":{"type":"json_object"}}}`, "input", "", "'json'"},
		{"temperature", `{"model":"gpt-5","input":"x","temperature":0.5}`, "temperature", "unsupported_parameter", ""},
		{"effort", `{"model":"gpt-4.1","input":"x","reasoning":{"effort":"low"}}`, "reasoning.effort", "unsupported_parameter", ""},
		{"encrypted", `{"model":"gpt-4.1","input":"x","include":["reasoning.encrypted_content"]}`, "include", "", "Encrypted content is not supported"},
		{"background", `{"model":"gpt-5","input":"x","background":true}`, "background", "unsupported_parameter", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			status, body := post(t, s, []byte(c.body))
			if status != http.StatusBadRequest && status != http.StatusNotFound {
				t.Fatalf("%d %s", status, body)
			}
			e := gjson.GetBytes(body, "error")
			checkField(t, "param", e.Get("param").String(), c.param)
			checkField(t, "code", e.Get("code").String(), c.code)
			if !strings.Contains(e.Get("message").String(), c.message) || s.Last().Rejected == "" {
				t.Errorf("message %q", e.Get("message").String())
			}
		})
	}
}

// TestResponsesKeepsWhatItAnswered, and only that: unless it is told not to.
func TestResponsesKeepsWhatItAnswered(t *testing.T) {
	s := Start(t, Options{Schema: Responses})
	_, body := post(t, s, []byte(allOfIt))
	id, call, reasoning := gjson.GetBytes(body, "id").String(), gjson.GetBytes(body, "output.#(type==function_call)"), gjson.GetBytes(body, "output.#(type==reasoning)")
	result := `{"type":"function_call_output","call_id":"` + call.Get("call_id").String() + `","output":"sunny"}`
	for name, request := range map[string]string{
		"previous response": `{"model":"gpt-5","previous_response_id":"` + id + `","input":[` + result + `]}`,
		"references":        `{"model":"gpt-5","input":[{"type":"item_reference","id":"` + reasoning.Get("id").String() + `"},{"id":"` + call.Get("id").String() + `"},` + result + `]}`,
		"items":             `{"model":"gpt-5","input":[` + reasoning.Raw + `,` + call.Raw + `,` + result + `]}`,
	} {
		status, body := post(t, s, []byte(request))
		if status != http.StatusOK || !strings.Contains(gjson.GetBytes(body, "output.0.content.0.text").String(), "=sunny") {
			t.Errorf("%s: %d %s", name, status, body)
		}
	}
	var request map[string]any
	if err := json.Unmarshal([]byte(allOfIt), &request); err != nil {
		t.Fatal(err)
	}
	request["store"] = false
	_, body = post(t, s, mustJSON(request))
	status, _ := post(t, s, []byte(`{"model":"gpt-5","input":"x","previous_response_id":"`+gjson.GetBytes(body, "id").String()+`"}`))
	if status != http.StatusBadRequest {
		t.Errorf("what was not to be stored is found: %d", status)
	}
}
