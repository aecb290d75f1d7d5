package openai

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/translate"
	"dragoman/translate/chat"
)

func TestD134_annotations_and_citations(t *testing.T) {
	const annotations = `[{"type":"url_citation","url_citation":{"start_index":5,"end_index":9,"title":"A","url":"https://a.example"}},{"type":"later"}]`
	want := chat.Citation{Title: "A", URL: "https://a.example", Start: 8, End: 12}
	r, err := Codec{}.DecodeResponse([]byte(`{"id":"x","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Żółw slow","annotations":` + annotations + `},"finish_reason":"stop"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Choices[0].Parts[0].Citations; len(got) != 1 || got[0] != want {
		t.Errorf("%+v", got)
	}
	// A stream tells them behind the text.
	stream := `data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Żółw"}}]}

data: {"id":"x","choices":[{"index":0,"delta":{"content":" slow"}}]}

data: {"id":"x","choices":[{"index":0,"delta":{"annotations":` + annotations + `}}]}

data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}

data: [DONE]

`
	streamed := gather(t, stream)
	if got := streamed.Choices[0].Parts[0].Citations; len(got) != 1 || got[0] != want {
		t.Errorf("%+v", got)
	}
	// Another provider's are made into annotations, whole and streamed.
	r.Choices[0].Parts[0].Extra = nil
	r.Choices[0].Parts = append([]chat.Part{{Kind: chat.Text, Text: "ół "}}, r.Choices[0].Parts...)
	r.Choices[0].Parts[1].Citations = append(r.Choices[0].Parts[1].Citations, chat.Citation{Title: "no page"}, chat.Citation{URL: "https://b.example"})
	out, err := Codec{}.EncodeResponse(r, translate.Answer{RequestID: "r"})
	if err != nil {
		t.Fatal(err)
	}
	const shown = `[{"type":"url_citation","url_citation":{"start_index":8,"end_index":12,"title":"A","url":"https://a.example"}},` +
		`{"type":"url_citation","url_citation":{"start_index":3,"end_index":12,"title":"","url":"https://b.example"}}]`
	if got := gjson.GetBytes(out, "choices.0.message.annotations").Raw; got != shown {
		t.Errorf("%s", got)
	}
	e, text := Codec{}.NewEncoder(translate.Answer{RequestID: "r"}), []byte(nil)
	chat.Replay(r, func(ev *chat.Event) { text = e.Encode(text, ev) })
	if !strings.Contains(string(text), `"delta":{"annotations":`+shown+`}`) {
		t.Errorf("%s", text)
	}
}

func TestD134_pages_of_perplexity(t *testing.T) {
	for members, want := range map[string]chat.Citation{
		`"citations":["https://a.example","no page"]`: {URL: "https://a.example"},
		`"citations":["https://a.example"],"search_results":[{"title":"T","url":"https://b.example","snippet":"q","date":"2026"}]`: {URL: "https://b.example", Title: "T", Quote: "q"},
	} {
		r, err := Codec{}.DecodeResponse([]byte(`{"id":"x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],` + members + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Choices[0].Parts[0].Citations; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %+v", members, got)
		}
		r = gather(t, `data: {"id":"x","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"}}],`+members+`}

data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],`+members+`}

data: [DONE]

`)
		if got := r.Choices[0].Parts[0].Citations; len(got) != 1 || got[0] != want {
			t.Errorf("%s, streamed: %+v", members, got)
		}
	}
}

func gather(t *testing.T, stream string) *chat.Response {
	t.Helper()
	acc, d := chat.NewAccumulator(1<<20), Codec{}.NewDecoder(1<<20)
	if err := d.Decode([]byte(stream), acc.Add); err != nil {
		t.Fatal(err)
	}
	r, ok := acc.Response()
	if !ok {
		t.Fatal(acc.Fault())
	}
	return r
}

// What Gemini signed a call with goes to a client as Google's own endpoint sends it, and comes back (D79).
func TestD79_signature_of_a_call(t *testing.T) {
	for _, parts := range [][]chat.Part{
		{{Kind: chat.ToolCall, Signature: "gemini:sig==", Call: &chat.Call{ID: "c", Name: "f", Arguments: "{}"}}},
		{{Kind: chat.Thinking, Signature: "gemini:sig=="}, {Kind: chat.ToolCall, Call: &chat.Call{ID: "c", Name: "f", Arguments: "{}"}}},
	} {
		r := &chat.Response{ID: "x", Choices: []chat.Choice{{Parts: parts, Finish: chat.FinishToolCalls}}}
		out, err := Codec{}.EncodeResponse(r, translate.Answer{})
		if err != nil {
			t.Fatal(err)
		}
		call := gjson.GetBytes(out, "choices.0.message.tool_calls.0")
		if call.Get("extra_content.google.thought_signature").Str != "sig==" {
			t.Errorf("%s", out)
		}
		e, text := Codec{}.NewEncoder(translate.Answer{RequestID: "r"}), []byte(nil)
		chat.Replay(r, func(ev *chat.Event) { text = e.Encode(text, ev) })
		if strings.Count(string(text), `"extra_content":{"google":{"thought_signature":"sig=="}}`) != 1 {
			t.Errorf("%s", text)
		}
		if got := gather(t, string(text)); got.Choices[0].Parts[len(got.Choices[0].Parts)-1].Signature != "gemini:sig==" {
			t.Errorf("%+v", got)
		}
		h, err := Codec{}.Parse([]byte(`{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[` + call.Raw + `]}]}`))
		if err != nil {
			t.Fatal(err)
		}
		back, err := Codec{}.Decode(h)
		if err != nil || back.Messages[1].Parts[0].Signature != "gemini:sig==" {
			t.Errorf("%+v %v", back, err)
		}
	}
	// Another provider's signature is no thought_signature.
	out, _ := Codec{}.EncodeResponse(&chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{{Kind: chat.ToolCall, Signature: "bedrock:x", Call: &chat.Call{ID: "c", Name: "f"}}}}}}, translate.Answer{})
	if strings.Contains(string(out), "extra_content") {
		t.Errorf("%s", out)
	}
}
