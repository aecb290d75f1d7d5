package cohere

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"dragoman/translate"
	"dragoman/translate/chat"
)

func TestD58_EffortsAreBudgets(t *testing.T) {
	able := target
	able.Capabilities = map[string]bool{"reasoning": true}
	unable := target
	unable.Capabilities = map[string]bool{"tools": true}
	for name, c := range map[string]struct {
		reasoning chat.Reasoning
		want      string
		unable    bool // something is lost at a model that cannot think
	}{
		"effort":   {chat.Reasoning{Effort: "medium"}, `{"token_budget":2048,"type":"enabled"}`, true},
		"budget":   {chat.Reasoning{Budget: 5000}, `{"token_budget":5000,"type":"enabled"}`, true},
		"adaptive": {chat.Reasoning{Adaptive: true}, `{"type":"enabled"}`, true},
		"off":      {chat.Reasoning{Disabled: true}, `{"type":"disabled"}`, false},
		"none":     {chat.Reasoning{Effort: "none"}, `{"type":"disabled"}`, false},
	} {
		r := hello()
		r.Reasoning = &c.reasoning
		body, _ := sent(t, r, able)
		got, _ := json.Marshal(body["thinking"])
		if string(got) != c.want {
			t.Errorf("%s: %s", name, got)
		}
		body, up := sent(t, r, unable)
		if body["thinking"] != nil || (len(up.Dropped) == 1) != c.unable {
			t.Errorf("%s: %v, dropped %v", name, body, up.Dropped)
		}
	}
}

func TestD61_AnyJSONObject(t *testing.T) {
	r := hello()
	r.Format = &chat.Format{}
	body, _ := sent(t, r, target)
	same(t, body["response_format"], map[string]any{"type": "json_object"})
}

func TestD62_TheSchemaIsWithinJSONObject(t *testing.T) {
	r := hello()
	r.Format = &chat.Format{Name: "n", Schema: []byte(oneRequired)}
	body, _ := sent(t, r, target)
	got, _ := json.Marshal(body["response_format"])
	same(t, string(got), `{"json_schema":`+canon(t, oneRequired)+`,"type":"json_object"}`)
	r.Tools = []chat.Tool{function("f", "")}
	refused(t, r, target, "response_format")
}

func TestD65_Images(t *testing.T) {
	image := func(m chat.Media) chat.Part { return chat.Part{Kind: chat.Image, Media: &m} }
	r := &chat.Request{Messages: []chat.Message{turn(chat.User, image(chat.Media{Type: "image/png", Data: "AAAA", Detail: "low"}), image(chat.Media{URL: "https://x.example/a"}))}}
	same(t, messagesOf(t, r), `[{"content":[{"image_url":{"detail":"low","url":"data:image/png;base64,AAAA"},"type":"image_url"},{"image_url":{"url":"https://x.example/a"},"type":"image_url"}],"role":"user"}]`)
	for _, p := range []chat.Part{image(chat.Media{FileID: "file-1"}), {Kind: chat.Audio, Media: &chat.Media{Data: "AAAA"}}, {Kind: chat.Document, Media: &chat.Media{Type: "application/pdf", Data: "AAAA"}}} {
		r.Messages[0].Parts = []chat.Part{p, text("x")}
		if _, err := (Codec{}).Encode(r, translate.Target{Model: "m", Lossy: true}); err == nil {
			t.Errorf("%+v was taken", p.Media)
		}
	}
	r.Messages[0].Parts = []chat.Part{{Kind: chat.Document, Media: &chat.Media{Type: "text/plain", Data: "aGkh", Name: "a.txt"}}, text("x")}
	same(t, messagesOf(t, r), `[{"content":[{"text":"a.txt\n\nhi!","type":"text"},{"text":"x","type":"text"}],"role":"user"}]`)
}

// Thinking of a model of Cohere's goes back to one; any other's, or none that is known to be, does not.
func TestD78_OnlyOwnThinkingGoesBack(t *testing.T) {
	thought := func(signature string) chat.Part {
		return chat.Part{Kind: chat.Thinking, Text: "hm", Signature: signature}
	}
	r := hello()
	r.Messages = append(r.Messages, turn(chat.Assistant, thought(ownThinking), text("yes")), turn(chat.User, text("why?")))
	if got := messagesOf(t, r); !strings.Contains(got, `[{"thinking":"hm","type":"thinking"},{"text":"yes","type":"text"}]`) {
		t.Error(got)
	}
	for _, signature := range []string{"", "ErUB", "gemini:x"} {
		r.Messages[1].Parts[0] = thought(signature)
		body, up := sent(t, r, target)
		if got, _ := json.Marshal(body); strings.Contains(string(got), "hm") || !slices.Contains(up.Dropped, thinkingMember) {
			t.Errorf("%q: %s, dropped %v", signature, got, up.Dropped)
		}
	}
	r.Messages[1].Parts = r.Messages[1].Parts[:1]
	same(t, messagesOf(t, r), `[{"content":"hello","role":"user"},{"content":"why?","role":"user"}]`)
}

func TestWhatHasNoPlaceIsNamed(t *testing.T) {
	r := hello()
	r.User = "bob"
	r.Messages[0].Name = "Bob"
	r.Messages[0].Parts[0].Cache = &chat.CacheMark{}
	r.Extra = []chat.Extra{{Name: "service_tier", JSON: []byte(`"auto"`)}}
	_, up := sent(t, r, target)
	slices.Sort(up.Dropped)
	same(t, up.Dropped, []string{"cache_control", "messages[].name", "service_tier", "user"})
}

func TestDocumentsAndTheStrictSafetyModeAreCoheresAlone(t *testing.T) {
	for body, meaning := range map[string]bool{
		`"documents":["x"]`: true, `"documents":[{"id":"1","data":{"t":"x"}}]`: true, `"documents":[]`: false, `"safety_mode":"STRICT"`: true,
		`"safety_mode":"OFF"`: false, `"citation_options":{"mode":"FAST"}`: false, `"priority":3`: false,
	} {
		h, err := Codec{}.Parse([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],` + body + `}`))
		if err != nil {
			t.Fatal(err)
		}
		r, err := Codec{}.Decode(h)
		if err != nil || len(r.Extra) != 1 || r.Extra[0].Meaning != meaning {
			t.Errorf("%s: %v %+v", body, err, r)
		}
	}
}
