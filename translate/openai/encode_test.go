package openai_test

import (
	"errors"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// What only other schemas' clients can say.
func TestEncode_from_other_schemas(t *testing.T) {
	yes := true
	user := func(parts ...chat.Part) []chat.Message { return []chat.Message{{Role: chat.User, Parts: parts}} }
	text := chat.Part{Kind: chat.Text, Text: "hi"}
	for _, c := range []struct {
		name    string
		r       chat.Request
		body    string // a part of it
		dropped string
		refused string // the fault's Param when the target is not lossy
	}{
		{name: "D43 an error flag", body: `{"role":"tool","tool_call_id":"c","content":"boom"}`, dropped: "messages[].content[].is_error",
			r: chat.Request{Messages: []chat.Message{{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: "c", IsError: &yes, Parts: []chat.Part{{Kind: chat.Text, Text: "boom"}}}}}}}}},
		{name: "D41 text beside results in one turn", body: `{"role":"tool","tool_call_id":"c","content":""},{"role":"user","content":"hi"}]`,
			r: chat.Request{Messages: user(text, chat.Part{Kind: chat.ToolResult, Result: &chat.Result{CallID: "c"}})}},
		{name: "D42 images of results and the turn's own text", body: `{"role":"user","content":[{"type":"text","text":"Output of the tool call c:"},{"type":"image_url","image_url":{"url":"https://h/i"}},{"type":"text","text":"hi"}]}`,
			r: chat.Request{Messages: user(chat.Part{Kind: chat.ToolResult, Result: &chat.Result{CallID: "c", Parts: []chat.Part{{Kind: chat.Image, Media: &chat.Media{URL: "https://h/i"}}}}}, text)}},
		{name: "D53 too many stop sequences", body: `"stop":["1","2","3","4"]`, dropped: "stop_sequences", refused: "stop_sequences",
			r: chat.Request{Messages: user(text), Stop: []string{"1", "2", "3", "4", "5"}}},
		{name: "D71 an image by id", body: `"content":[{"type":"text","text":"hi"},{"type":"text","text":"hi"}]`, dropped: "messages[].content[].source.file_id", refused: "messages[].content[].source.file_id",
			r: chat.Request{Messages: user(text, chat.Part{Kind: chat.Image, Media: &chat.Media{FileID: "f"}}, text)}},
		{name: "a document by URL", body: `"content":""`, dropped: "messages[].content[].source.url", refused: "messages[].content[].source.url",
			r: chat.Request{Messages: user(chat.Part{Kind: chat.Document, Media: &chat.Media{URL: "https://h/d.pdf"}})}},
		{name: "a text that is no base64", body: `"content":""`, dropped: "messages[].content[].source.data", refused: "messages[].content[].source.data",
			r: chat.Request{Messages: user(chat.Part{Kind: chat.Document, Media: &chat.Media{Type: "text/plain", Data: "!"}})}},
		{name: "a sound by URL", body: `"content":""`, dropped: "messages[].content[].source.url", refused: "messages[].content[].source.url",
			r: chat.Request{Messages: user(chat.Part{Kind: chat.Audio, Media: &chat.Media{URL: "https://h/a.wav"}})}},
		{name: "an image of the assistant", body: `{"role":"assistant","content":"hi"}`, dropped: "messages[].content", refused: "messages[].content",
			r: chat.Request{Messages: []chat.Message{{Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.Image, Media: &chat.Media{URL: "https://h"}}, text}}}}},
		{name: "thinking in a user's turn", body: `{"role":"user","content":""}`, dropped: "messages[].content[].thinking",
			r: chat.Request{Messages: user(chat.Part{Kind: chat.Thinking, Text: "x"})}},
		{name: "D11 metadata is not copied", body: `"user":"u"`, dropped: "metadata",
			r: chat.Request{Messages: user(text), User: "u", Extra: []chat.Extra{{Name: "metadata", JSON: []byte(`{}`)}}}},
		{name: "D134 citations of a part", body: `"content":"hi"`, dropped: "citations",
			r: chat.Request{Messages: user(chat.Part{Kind: chat.Text, Text: "hi", Extra: []chat.Extra{{Name: "citations"}}})}},
		{name: "a choice of a tool that is left out", body: `"function":{"name":"f"`, dropped: "tools\ntool_choice", refused: "tools",
			r: chat.Request{Messages: user(text), Tools: []chat.Tool{{Name: "f"}, {Name: "w", Kind: "web_search"}}, ToolChoice: &chat.ToolChoice{Mode: chat.ToolNamed, Name: "w"}}},
		{name: "D14 a long name in history", body: `"name":"` + strings.Repeat("n", 51) + `_`,
			r: chat.Request{Messages: []chat.Message{{Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.ToolCall, Call: &chat.Call{ID: "c", Name: strings.Repeat("n", 65)}}}}}}},
		{name: "D62 a format without a name", body: `"json_schema":{"name":"response","schema":{"type":"object"}}`,
			r: chat.Request{Messages: user(text), Format: &chat.Format{Schema: []byte(`{"type":"object"}`)}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := target
			up, err := codec.Encode(&c.r, to)
			var f *fault.Fault
			switch {
			case c.refused == "" && err != nil:
				t.Fatalf("refused: %v", err)
			case c.refused != "" && (!errors.As(err, &f) || f.Kind != fault.Unsupported || f.Param != c.refused):
				t.Fatalf("got %v, want it refused because of %s", err, c.refused)
			}
			if c.refused != "" {
				to.Lossy = true
				if up, err = codec.Encode(&c.r, to); err != nil {
					t.Fatal(err)
				}
			}
			if !strings.Contains(string(up.Body), c.body) || strings.Join(up.Dropped, "\n") != c.dropped {
				t.Errorf("%s\nwant %s in it; dropped %q, want %q", up.Body, c.body, up.Dropped, c.dropped)
			}
			encoded(t, &c.r, to)
		})
	}
}

func TestEncode_names_a_bounded_number_of_drops(t *testing.T) {
	r := chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "x"}}}}}
	for i := range 1000 {
		r.Extra = append(r.Extra, chat.Extra{Name: strings.Repeat("x", i)}, chat.Extra{Name: "twice"})
	}
	up, err := codec.Encode(&r, target)
	if err != nil || len(up.Dropped) != 32 {
		t.Errorf("%d names, %v", len(up.Dropped), err)
	}
}

func TestEncode_unknown_output_cap(t *testing.T) {
	n := int64(1_000_000)
	r := chat.Request{MaxTokens: &n, Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "x"}}}}}
	up, err := codec.Encode(&r, translate.Target{Model: "m"})
	if err != nil || !strings.Contains(string(up.Body), `"max_completion_tokens":1000000`) || up.Path != "/chat/completions" {
		t.Errorf("%s %s %v", up.Path, up.Body, err)
	}
	if n != 1_000_000 {
		t.Error("the request was changed")
	}
}
