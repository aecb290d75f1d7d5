package responses_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/responses"
)

func said(role chat.Role, parts ...chat.Part) chat.Message {
	return chat.Message{Role: role, Parts: parts}
}

func words(s string) chat.Part { return chat.Part{Kind: chat.Text, Text: s} }

// earlier is a conversation with everything that a turn can hold.
var earlier = []chat.Message{
	said(chat.User, words("Weather?"), chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "AAAA", Detail: "auto"}}),
	said(chat.Assistant,
		chat.Part{Kind: chat.Thinking, Text: "hm", Signature: "EqQB"}, chat.Part{Kind: chat.RedactedThinking, Signature: "zz"},
		chat.Part{Kind: chat.Thinking, Text: "own", Signature: "responses:rs_1:gAAA"}, words("Let me look."),
		chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "call_1", Name: "f", Arguments: `{"a":1}`}}),
	said(chat.ToolRole, chat.Part{Kind: chat.ToolResult, Result: &chat.Result{CallID: "call_1", Parts: []chat.Part{words("sunny")}}}),
	said(chat.Assistant, words("Sunny."), chat.Part{Kind: chat.Refusal, Text: "no more"}, chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/webp", Data: "BBBB"}}),
}

// TestContinueGivesTheWholeConversation: decoding the new body finds the history as it was, then the request.
func TestContinueGivesTheWholeConversation(t *testing.T) {
	known := map[string]chat.Message{"fc_9": said(chat.Assistant, chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "call_9", Name: "g", Arguments: "{}"}})}
	for name, c := range map[string]struct {
		input string
		want  []chat.Message
	}{
		"a string": {`"And \"now\"?"`, []chat.Message{said(chat.User, words(`And "now"?`))}},
		"items": {`[{"role":"user","content":"Go on."},{"type":"item_reference","id":"fc_9"},{"type":"function_call_output","call_id":"call_9","output":"x"}]`,
			[]chat.Message{said(chat.User, words("Go on.")), known["fc_9"], said(chat.ToolRole, chat.Part{Kind: chat.ToolResult, Result: &chat.Result{CallID: "call_9", Parts: []chat.Part{words("x")}}})}},
		"nothing": {`null`, nil},
		"none":    {`[]`, nil},
	} {
		h := head(t, `{"model":"m","instructions":"Be brief.","previous_response_id":"resp_1","input":`+c.input+`,"x_of_tomorrow":1}`)
		whole, err := responses.Continue(h, earlier, known)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if string(whole.Field("x_of_tomorrow")) != "1" || responses.Previous(whole) != "" || responses.Previous(h) != "resp_1" || whole.TextBytes < h.TextBytes || whole.Messages < h.Messages+len(earlier) {
			t.Errorf("%s: %s", name, whole.Body)
		}
		r, err := codec.Decode(whole)
		if err != nil || len(r.Extra) != 1 {
			t.Fatalf("%s: %v %+v", name, err, r)
		}
		want := append([]chat.Message{said(chat.System, words("Be brief."))}, earlier...)
		if got := append(want, c.want...); !reflect.DeepEqual(r.Messages, got) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, r.Messages, got)
		}
		history, err := responses.History(whole)
		if err != nil || !reflect.DeepEqual(history, r.Messages[1:]) {
			t.Errorf("%s: %v %+v", name, err, history)
		}
		up, err := codec.Rewrite(whole, target)
		if err != nil || strings.Contains(string(up.Body), "dragoman") || !strings.Contains(string(up.Body), `"id":"rs_1"`) {
			t.Errorf("D78, %s: %v %s", name, err, up.Body)
		}
	}
	_, err := responses.Continue(head(t, item(`{"id":"msg_'<"}`)), nil, known)
	if f := asFault(t, err); f.Kind != fault.NotFound || f.Param != "input" || strings.ContainsAny(f.Message, "<") {
		t.Errorf("got %+v", f)
	}
}

func TestContinueKeepsCustomCalls(t *testing.T) {
	h := head(t, `{"model":"m","previous_response_id":"resp_1","tools":[{"type":"custom","name":"sql"}],"input":[{"type":"custom_tool_call_output","call_id":"c","output":"1"}]}`)
	whole, err := responses.Continue(h, []chat.Message{said(chat.Assistant, chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "c", Name: "sql", Arguments: `{"input":"select 1"}`}})}, nil)
	if err != nil || gjson.GetBytes(whole.Body, "input.0.type").String() != "custom_tool_call" || gjson.GetBytes(whole.Body, "input.0.input").String() != "select 1" {
		t.Errorf("%v: %s", err, whole.Body)
	}
}

func TestWhatARequestNames(t *testing.T) {
	h := head(t, item(`{"type":"item_reference","id":"a"},{"id":"b"},{"id":"c","role":"user","content":"x"},{"type":"reasoning","id":"rs_1","summary":[]}`))
	if got := responses.References(h); !reflect.DeepEqual(got, []string{"a", "b"}) {
		t.Errorf("got %v", got)
	}
	if got := responses.References(head(t, `{"model":"m","input":"\"id\""}`)); got != nil {
		t.Errorf("got %v", got)
	}
	for body, want := range map[string]bool{`{"model":"m","input":"x"}`: true, `{"model":"m","input":"x","store":null}`: true, `{"model":"m","input":"x","store":true}`: true, `{"model":"m","input":"x","store":false}`: false} {
		if responses.Stored(head(t, body)) != want {
			t.Errorf("%s", body)
		}
	}
	if responses.Previous(head(t, `{"model":"m","input":"x","previous_response_id":null}`)) != "" {
		t.Error("null is no id")
	}
}

// TestStreamAndWholeAnswerHaveTheSameObject, with the same ids: what is kept of a stream is what a whole answer would be.
func TestStreamAndWholeAnswerHaveTheSameObject(t *testing.T) {
	r := &chat.Response{ID: "msg_1", Model: "claude", Created: 7, Usage: chat.Usage{Known: true, Input: 3, CacheRead: 2, CacheWrite: 1, CacheWrite1h: 1, Output: 9, Reasoning: 4}, Choices: []chat.Choice{{Finish: chat.FinishToolCalls, RawFinish: "tool_use",
		Parts: append(earlier[1].Parts[:5:5], chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "b", Name: "g", Arguments: "{}"}}, words("after"), chat.Part{Kind: chat.Text, Text: "cited", Citations: []chat.Citation{{URL: "https://x", Title: "t", Start: 1, End: 3}}})}}}
	r.Choices[0].Parts[2] = words("x") // a provider of this schema streams no ids of reasoning before its text
	o := answerFor(head(t, `{"model":"m","input":"x","instructions":"i","metadata":{"a":"b"},"tools":[{"type":"function","name":"f"}],"temperature":0.5,"user":"u"}`))
	whole, err := codec.EncodeResponse(r, o)
	if err != nil {
		t.Fatal(err)
	}
	e := codec.NewEncoder(o)
	var stream []byte
	chat.Replay(r, func(ev *chat.Event) { stream = e.Encode(stream, ev) })
	object := responses.FinalObject(stream)
	if string(object) != string(whole) {
		t.Errorf("streamed %s\n   whole %s", object, whole)
	}
	for path, want := range map[string]string{"id": `"resp_gw-1"`, "instructions": `"i"`, "metadata.a": `"b"`, "temperature": "0.5", "top_p": "1", "user": `"u"`, "store": "true", "status": `"completed"`,
		"tools": `[{"type":"function","name":"f","parameters":null,"strict":null}]`, "usage.input_tokens": "7", "usage.input_tokens_details": `{"cached_tokens":2,"cache_write_tokens":2}`, "usage.total_tokens": "16", "created_at": "7"} {
		if got := gjson.GetBytes(whole, path).Raw; got != want {
			t.Errorf("D85, D89: %s is %s, want %s", path, got, want)
		}
	}
	items := responses.OutputItems(object)
	if len(items) != len(gjson.GetBytes(whole, "output").Array()) || !strings.HasPrefix(items[0].ID, "rs_dragoman_gw-1_") || items[0].Message.Parts[0].Signature != "EqQB" {
		t.Errorf("got %+v", items)
	}
	for _, cut := range []string{"", "data: x", "\ndata: {}", "\ndata:{\"type\":\"response.created\",\"response\":{}}\n\n"} {
		if responses.FinalObject([]byte(cut)) != nil {
			t.Errorf("%q has an object", cut)
		}
	}
}

func answerFor(h *chat.Head) translate.Answer {
	return translate.Answer{RequestID: "gw-1", Model: "auto", Head: h}
}

func TestInputItemsAreListed(t *testing.T) {
	body := responses.EncodeInputItems("resp_7", earlier, responses.Page{Limit: 100, Oldest: true})
	list := gjson.ParseBytes(body)
	kinds := list.Get("data.#.type").Raw
	if kinds != `["message","reasoning","reasoning","reasoning","message","function_call","function_call_output","message","message","image_generation_call"]` || list.Get("has_more").Bool() || list.Get("first_id").String() != list.Get("data.0.id").String() {
		t.Errorf("got %s", body)
	}
	if got := list.Get("data.0.content.#.type").Raw; got != `["input_text","input_image"]` {
		t.Errorf("got %s", got)
	}
	if got := list.Get("data.7.content.0").Raw; got != `{"type":"output_text","annotations":[],"logprobs":[],"text":"Sunny."}` {
		t.Errorf("got %s", got)
	}
	// Page by page, newest first, everything is seen once.
	var seen []string
	for after := ""; ; {
		page := gjson.ParseBytes(responses.EncodeInputItems("resp_7", earlier, responses.Page{Limit: 2, After: after}))
		for _, one := range page.Get("data.#.id").Array() {
			seen = append([]string{one.String()}, seen...)
		}
		if !page.Get("has_more").Bool() {
			break
		}
		after = page.Get("last_id").String()
	}
	var all []string
	for _, one := range list.Get("data.#.id").Array() {
		all = append(all, one.String())
	}
	if !reflect.DeepEqual(seen, all) || len(all) != 10 {
		t.Errorf("pages gave %v, the list %v", seen, all)
	}
	if got := string(responses.EncodeInputItems("", nil, responses.Page{Limit: 1, After: "x"})); got != `{"object":"list","data":[],"first_id":null,"last_id":null,"has_more":false}` {
		t.Errorf("got %s", got)
	}
	if got := string(responses.EncodeDeleted("resp_1")); got != `{"id":"resp_1","object":"response","deleted":true}` {
		t.Errorf("got %s", got)
	}
}

func TestPageQueries(t *testing.T) {
	if p, err := responses.ParsePage("after=msg_1&limit=5&order=asc&include=x"); err != nil || p != (responses.Page{After: "msg_1", Limit: 5, Oldest: true}) {
		t.Errorf("%+v %v", p, err)
	}
	if p, err := responses.ParsePage(""); err != nil || p != (responses.Page{Limit: 20}) {
		t.Errorf("%+v %v", p, err)
	}
	for _, bad := range []string{"limit=0", "limit=101", "limit=x", "order=up", "%zz"} {
		if _, err := responses.ParsePage(bad); asFault(t, err).Kind != fault.InvalidRequest {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
