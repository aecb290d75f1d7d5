package anthropic_test

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/translate"
	"dragoman/translate/chat"
)

const citedAnswer = `{"id":"msg_1","type":"message","role":"assistant","model":"m","stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":1},"content":[
 {"type":"text","text":"Żółw: "},
 {"type":"text","text":"slow","citations":[
  {"type":"web_search_result_location","url":"https://a.example/1","title":"A","cited_text":"it is slow","encrypted_index":"xyz"},
  {"type":"page_location","document_title":"Doc","cited_text":"p. 3","document_index":0},
  {"type":"search_result_location","source":"https://b.example","title":"B","cited_text":"q"}, {"type":"later"}]},
 {"type":"text","text":"."}]}`

var wantCited = []chat.Citation{
	{URL: "https://a.example/1", Title: "A", Quote: "it is slow", Start: 9, End: 13},
	{Title: "Doc", Quote: "p. 3", Start: 9, End: 13},
	{URL: "https://b.example", Title: "B", Quote: "q", Start: 9, End: 13},
}

func TestD134_citations_are_read(t *testing.T) {
	r, err := codec.DecodeResponse([]byte(citedAnswer))
	if err != nil {
		t.Fatal(err)
	}
	same(t, r.Choices[0].Parts[0].Citations, wantCited)
}

func TestD134_citations_of_a_stream(t *testing.T) {
	stream := `event: message_start
data: {"type":"message_start","message":{"id":"msg_1","model":"m","usage":{"input_tokens":1,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":"a"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://a.example/1","title":"A","cited_text":"q"}}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"citations_delta","citation":{"type":"unknown"}}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"bc"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}

event: message_stop
data: {"type":"message_stop"}

`
	acc, d := chat.NewAccumulator(1<<20), codec.NewDecoder(1<<20)
	if err := d.Decode([]byte(stream), acc.Add); err != nil {
		t.Fatal(err)
	}
	r, ok := acc.Response()
	if !ok {
		t.Fatal(acc.Fault())
	}
	same(t, r.Choices[0].Parts[0].Citations, []chat.Citation{{URL: "https://a.example/1", Title: "A", Quote: "q", Start: 0, End: 3}})

	// Told to a client of this schema again, whole and streamed.
	out, err := codec.EncodeResponse(r, translate.Answer{RequestID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	if got := gjson.GetBytes(out, "content.0.citations.0"); got.Get("type").Str != "web_search_result_location" || got.Get("url").Str != "https://a.example/1" || got.Get("cited_text").Str != "q" {
		t.Errorf("%s", out)
	}
	e, text := codec.NewEncoder(translate.Answer{RequestID: "r"}), []byte(nil)
	chat.Replay(r, func(ev *chat.Event) { text = e.Encode(text, ev) })
	if !strings.Contains(string(text), `"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","cited_text":"q","encrypted_index":"","title":"A","url":"https://a.example/1"}}`) {
		t.Errorf("%s", text)
	}
	if strings.Index(string(text), "citations_delta") > strings.Index(string(text), "content_block_stop") {
		t.Error("citations behind their block")
	}
}

// The service's own list, kept with an answer, is given back as it was; what has no URL is not made up.
func TestD134_citations_that_are_kept(t *testing.T) {
	raw := `[{"type":"char_location","cited_text":"x","document_index":0}]`
	for _, c := range []struct {
		p    chat.Part
		want string
	}{
		{chat.Part{Kind: chat.Text, Text: "a", Extra: []chat.Extra{{Name: "citations", JSON: []byte(raw)}}, Citations: []chat.Citation{{URL: "https://a"}}}, raw},
		{chat.Part{Kind: chat.Text, Text: "a", Citations: []chat.Citation{{Title: "a file"}}}, ""},
	} {
		out, err := codec.EncodeResponse(&chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{c.p}}}}, translate.Answer{})
		if err != nil || gjson.GetBytes(out, "content.0.citations").Raw != c.want {
			t.Errorf("%s: %v", out, err)
		}
	}
}

func TestD78_only_its_own_signatures_go_to_anthropic(t *testing.T) {
	r := &chat.Request{Messages: []chat.Message{
		{Role: chat.User, Parts: []chat.Part{text("hi")}},
		{Role: chat.Assistant, Parts: []chat.Part{
			{Kind: chat.Thinking, Text: "foreign", Signature: chat.Sign(chat.Gemini, "g==")},
			{Kind: chat.RedactedThinking, Signature: chat.Sign(chat.Bedrock, "b==")},
			{Kind: chat.Thinking, Text: "own", Signature: "sig=="}, text("yes"),
		}},
		{Role: chat.User, Parts: []chat.Part{text("go on")}},
	}}
	up, err := codec.Encode(r, translate.Target{Model: "claude-haiku-4-5"})
	if err != nil {
		t.Fatal(err)
	}
	if b := string(up.Body); strings.Contains(b, "foreign") || strings.Contains(b, "b==") || !strings.Contains(b, `"thinking":"own","signature":"sig=="`) {
		t.Errorf("%s", b)
	}
	if len(up.Dropped) == 0 {
		t.Error("nothing is named")
	}
}

// A client sends back what it was given; the service would refuse a place in its own search results that it never gave.
func TestD134_sources_of_others_do_not_go_to_anthropic(t *testing.T) {
	const body = `{"model":"m", "max_tokens":5,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"text","text":"a","citations":[{"type":"web_search_result_location","encrypted_index":"own","url":"u"}]},{"type":"text","text":"b","citations":[{"type":"web_search_result_location","cited_text":"","encrypted_index":"","title":"","url":"https://a"}]}]}]}`
	h, err := codec.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	up, err := codec.Rewrite(h, translate.Target{BasePath: "/v1", Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"model":"m", "max_tokens":5,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"text","text":"a","citations":[{"type":"web_search_result_location","encrypted_index":"own","url":"u"}]},{"type":"text","text":"b","citations":null}]}]}`
	if string(up.Body) != want {
		t.Errorf("%s", up.Body)
	}
	if string(h.Body) != body {
		t.Error("the client's body was written to")
	}
}
