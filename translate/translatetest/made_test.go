package translatetest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/chat"
	"dragoman/translate/cohere"
	"dragoman/translate/gemini"
	"dragoman/translate/openai"
	"dragoman/translate/responses"
)

// An answer with an image that the model made, of Google and of a provider with OpenRouter's extension.
const (
	madeByGemini = `{"candidates":[{"content":{"parts":[{"text":"Here: "},{"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}},{"text":"Nice?"}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":1290,"totalTokenCount":1293},"modelVersion":"gemini-2.5-flash-image","responseId":"r1"}`

	madeByOpenRouter = `{"id":"gen-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Here: Nice?","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgo="}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1290,"total_tokens":1293}}`
)

// streamOf is a whole answer as the one event of a stream.
func streamOf(whole string) string {
	if strings.Contains(whole, "candidates") {
		return "data: " + whole + "\n\n"
	}
	return "data: " + strings.NewReplacer("chat.completion", "chat.completion.chunk", `"message":`, `"delta":`).Replace(whole) + "\n\ndata: [DONE]\n\n"
}

const data = "data:image/png;base64,iVBORw0KGgo="

// shown is where each client finds the image in a whole answer and in its stream's events joined.
var shown = []struct {
	client       translate.Client
	path, want   string
	inStream     string
	streamWanted int
}{
	{openai.Codec{}, "choices.0.message.images.0.image_url.url", data, `"delta":{"images":[{"type":"image_url","image_url":{"url":"` + data + `"}}]}`, 1},
	{gemini.Codec{}, "candidates.0.content.parts.#(inlineData).inlineData.data", "iVBORw0KGgo=", `"inlineData":{"mimeType":"image/png","data":"iVBORw0KGgo="}`, 1},
	{responses.Codec{}, `output.#(type=="image_generation_call").result`, "iVBORw0KGgo=", `"type":"image_generation_call"`, 3}, // added, done, completed
	{anthropic.Codec{}, `content.#(text%"*image/png*").text`, `[The model made a file of the type "image/png" here, which an answer of this API has no place for.]`, "image/png", 1},
	{cohere.Codec{}, `message.content.#(text%"*image/png*").text`, `[The model made a file of the type "image/png" here, which an answer of this API has no place for.]`, "image/png", 1},
}

func TestImagesThatModelsMake(t *testing.T) {
	o := translate.Answer{RequestID: "r", Model: "m", Now: time.Unix(1, 0)}
	for from, c := range map[string]struct {
		provider translate.Provider
		answer   string
	}{"gemini": {gemini.Codec{}, madeByGemini}, "openai": {openai.Codec{}, madeByOpenRouter}} {
		for _, to := range shown {
			r, err := c.provider.DecodeResponse([]byte(c.answer))
			if err != nil {
				t.Fatal(err)
			}
			whole, err := to.client.EncodeResponse(r, o)
			if err != nil {
				t.Fatal(err)
			}
			if got := gjson.GetBytes(whole, to.path).Str; got != to.want {
				t.Errorf("%s to %s: %q in %s", from, to.client.Schema(), got, whole)
			}
			if stream := restream(t, c.provider, to.client, streamOf(c.answer), o); strings.Count(stream, to.inStream) != to.streamWanted && !strings.Contains(strings.ReplaceAll(stream, `"role":"assistant",`, ""), to.inStream) {
				t.Errorf("%s to %s: %s", from, to.client.Schema(), stream)
			}
		}
	}
}

// restream is a provider's stream as a client gets it.
func restream(t *testing.T, p translate.Provider, c translate.Client, in string, o translate.Answer) string {
	t.Helper()
	d, e := p.NewDecoder(1<<20), c.NewEncoder(o)
	var out []byte
	emit := func(ev *chat.Event) { out = e.Encode(out, ev) }
	if err := d.Decode([]byte(in), emit); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(emit); err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestImagesThatModelsMadeGoBack: a client that sends an answer back as it got it shows the model its own image again.
func TestImagesThatModelsMadeGoBack(t *testing.T) {
	const history = `{"model":"m","messages":[{"role":"user","content":"draw"},{"role":"assistant","content":"Here: ","images":[{"type":"image_url","image_url":{"url":"` + data + `"}}]},{"role":"user","content":"in blue"}]}`
	var client openai.Codec
	h, err := client.Parse([]byte(history))
	if err != nil {
		t.Fatal(err)
	}
	if h.Images != 1 {
		t.Errorf("%d images", h.Images)
	}
	r, err := client.Decode(h)
	if err != nil {
		t.Fatal(err)
	}
	up, err := gemini.Codec{}.Encode(r, translate.Target{Model: "gemini-2.5-flash-image"})
	if err != nil {
		t.Fatal(err)
	}
	if got := gjson.GetBytes(up.Body, "contents.1.parts.1.inlineData.data").Str; got != "iVBORw0KGgo=" {
		t.Errorf("%s", up.Body)
	}
	if _, err := (anthropic.Codec{}).Encode(r, translate.Target{Model: "claude", MaxOutput: 100}); err == nil {
		t.Error("an image of an assistant's turn is dropped in silence")
	}
	again, err := client.Rewrite(h, translate.Target{Model: "m", Dialect: "openrouter"})
	if err != nil || gjson.GetBytes(again.Body, "messages.1.images.0.image_url.url").Str != data {
		t.Errorf("%v %s", err, again.Body)
	}
	other, err := client.Rewrite(h, translate.Target{Model: "m", Dialect: "mistral"})
	if err != nil || gjson.GetBytes(other.Body, "messages.1.images").Exists() || len(other.Dropped) != 1 || other.Dropped[0] != "messages[].images" {
		t.Errorf("%v %v %s", err, other.Dropped, other.Body)
	}
	for name, images := range map[string]string{"a text": `[{"type":"text","text":"x"}]`, "no data": `[{"type":"image_url","image_url":{"url":"data:image/png,zz"}}]`} {
		h, err := client.Parse([]byte(`{"model":"m","messages":[{"role":"assistant","content":"x","images":` + images + `}]}`))
		if err == nil {
			_, err = client.Decode(h)
		}
		if err == nil {
			t.Errorf("%s is taken for an image", name)
		}
	}
}
