package gemini

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

const bothContents = `{"role":"user","parts":[{"text":"one two"}]}`

func TestCountTokens_of_a_client(t *testing.T) {
	for body, messages := range map[string]int{
		`{"contents":[` + bothContents + `]}`: 1,
		`{"generateContentRequest":{"model":"models/m","contents":[` + bothContents + `],"systemInstruction":{"parts":[{"text":"s"}]}}}`: 2,
		`{"contents":[` + bothContents + `],"system_instruction":{"parts":[{"text":"s"}]}}`:                                              2,
	} {
		h, err := CountTokens{}.Parse([]byte(body))
		if err != nil {
			t.Fatal(body, err)
		}
		r, err := CountTokens{}.Decode(h)
		if err != nil || len(r.Messages) != messages || h.TextBytes < 7 {
			t.Errorf("%s: %v %+v", body, err, r)
		}
	}
	for _, body := range []string{`{}`, `{"contents":[]}`, `{"generateContentRequest":{}}`, `{"generateContentRequest":[]}`, `{"generateContentRequest":null}`,
		`{"contents":[` + bothContents + `],"generateContentRequest":{"contents":[` + bothContents + `]}}`,
		`{"generate_content_request":{"contents":[` + bothContents + `]},"contents":[` + bothContents + `]}`} {
		_, err := CountTokens{}.Parse([]byte(body))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.InvalidRequest || f.Param == "" {
			t.Errorf("%s: %v", body, err)
		}
	}
	body, err := CountTokens{}.EncodeResponse(&chat.Response{Count: ptr(int64(42))}, translate.Answer{})
	if err != nil || string(body) != `{"totalTokens":42}` {
		t.Errorf("%s %v", body, err)
	}
}

func TestCountTokens_of_a_provider(t *testing.T) {
	r := asks(said(chat.System, "s"), said(chat.User, "x"))
	r.Tools = []chat.Tool{{Name: "f"}}
	vertex := translate.Target{BasePath: "/v1/p", Model: "gemini-2.5-flash", Dialect: Vertex}
	for _, c := range []struct {
		r    *chat.Request
		to   translate.Target
		path string
		body string
	}{
		{hello(), flash, "/v1beta/models/gemini-2.5-flash:countTokens", `{"contents":[{"role":"user","parts":[{"text":"hi"}]}]}`},
		{r, flash, "/v1beta/models/gemini-2.5-flash:countTokens", `{"generateContentRequest":{"model":"models/gemini-2.5-flash","contents":[{"role":"user","parts":[{"text":"x"}]}],"systemInstruction":{"parts":[{"text":"s"}]},"tools":[{"functionDeclarations":[{"name":"f"}]}]}}`},
		{r, vertex, "/v1/p/models/gemini-2.5-flash:countTokens", `{"contents":[{"role":"user","parts":[{"text":"x"}]}],"systemInstruction":{"parts":[{"text":"s"}]},"tools":[{"functionDeclarations":[{"name":"f"}]}]}`},
	} {
		up, err := CountTokens{}.Encode(c.r, c.to)
		if err != nil || up.Path != c.path || string(up.Body) != c.body {
			t.Errorf("%v %s\n%s", err, up.Path, up.Body)
		}
	}
	h, err := CountTokens{}.Parse([]byte(`{"generateContentRequest":{"model":"models/auto","contents":[` + bothContents + `]}}`))
	if err != nil {
		t.Fatal(err)
	}
	up, err := CountTokens{}.Rewrite(h, flash)
	if err != nil || string(up.Body) != `{"generateContentRequest":{"model":"models/gemini-2.5-flash","contents":[`+bothContents+`]}}` {
		t.Errorf("%v %s", err, up.Body)
	}
	for body, want := range map[string]int64{`{"totalTokens":31,"promptTokensDetails":[]}`: 31, `{}`: 0} {
		got, err := CountTokens{}.DecodeResponse([]byte(body))
		if err != nil || *got.Count != want {
			t.Errorf("%s: %v", body, err)
		}
	}
	wholeOnlyFaults(t, CountTokens{})
	if seen, err := (CountTokens{}).PeekResponse([]byte(`{"totalTokens":1}`)); err != nil || !seen.End || seen.Usage.Known {
		t.Errorf("%+v %v", seen, err)
	}
}

// wholeOnlyFaults: what is no answer of an operation.
func wholeOnlyFaults(t *testing.T, c translate.Provider) {
	t.Helper()
	for _, body := range []string{``, `[]`, `null`, `{"totalTokens":"x","embedding":1}`, `<html>`, `{"totalTokens":`, googleError("UNAVAILABLE", "busy"), "[" + googleError("UNAVAILABLE", "busy") + "]"} {
		_, err := c.DecodeResponse([]byte(body))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Message == "" || (f.Kind == fault.Overloaded) != strings.Contains(body, "UNAVAILABLE") {
			t.Errorf("%s: %v", body, err)
		}
		if _, err := c.PeekResponse([]byte(body)); err == nil {
			t.Errorf("%s: peeked", body)
		}
	}
	if f := c.DecodeFault(503, noHeader, []byte(googleError("UNAVAILABLE", "busy"))); f.Kind != fault.Overloaded {
		t.Errorf("%+v", f)
	}
	if c.ClientHeaders() != nil || c.Schema() != chat.Gemini {
		t.Error("headers or schema")
	}
}

func embeds(texts ...string) *chat.Request {
	q := &chat.EmbeddingRequest{}
	for _, s := range texts {
		q.Inputs = append(q.Inputs, chat.EmbeddingInput{Text: s})
	}
	return &chat.Request{Schema: chat.OpenAI, Embedding: q}
}

func TestEmbeddings_requests(t *testing.T) {
	studio := translate.Target{BasePath: "/v1beta", Model: "gemini-embedding-001"}
	vertex := translate.Target{BasePath: "/v1/p", Model: "text-embedding-005", Dialect: Vertex}
	vertexNew := translate.Target{BasePath: "/v1/p", Model: "gemini-embedding-2", Dialect: Vertex}
	tuned := embeds(`a"b`, "c")
	tuned.Embedding.Dimensions, tuned.Embedding.Purpose = ptr(int64(256)), "query"
	for _, c := range []struct {
		r    *chat.Request
		to   translate.Target
		path string
		body string
	}{
		{embeds("a"), studio, "/v1beta/models/gemini-embedding-001:embedContent", `{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a"}]}}`},
		{tuned, studio, "/v1beta/models/gemini-embedding-001:batchEmbedContents", `{"requests":[{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"a\"b"}]},"taskType":"RETRIEVAL_QUERY","outputDimensionality":256},{"model":"models/gemini-embedding-001","content":{"parts":[{"text":"c"}]},"taskType":"RETRIEVAL_QUERY","outputDimensionality":256}]}`},
		{tuned, vertex, "/v1/p/models/text-embedding-005:predict", `{"instances":[{"content":"a\"b","task_type":"RETRIEVAL_QUERY"},{"content":"c","task_type":"RETRIEVAL_QUERY"}],"parameters":{"outputDimensionality":256}}`},
		{embeds("a"), vertexNew, "/v1/p/models/gemini-embedding-2:embedContent", `{"content":{"parts":[{"text":"a"}]}}`},
	} {
		up, err := Embeddings{}.Encode(c.r, c.to)
		if err != nil || up.Path != c.path || string(up.Body) != c.body {
			t.Errorf("%v %+v", err, up)
		}
	}
	tuned.Embedding.User, tuned.Embedding.Extra = "u", []chat.Extra{{Name: "x"}}
	if up, err := (Embeddings{}).Encode(tuned, studio); err != nil || !reflect.DeepEqual(up.Dropped, []string{"user", "x"}) {
		t.Errorf("%v %+v", err, up)
	}
	tokens := &chat.Request{Embedding: &chat.EmbeddingRequest{Inputs: []chat.EmbeddingInput{{Tokens: []int64{1}}}}}
	for name, c := range map[string]struct {
		r    *chat.Request
		to   translate.Target
		kind fault.Kind
	}{
		"nothing": {embeds(), studio, fault.InvalidRequest}, "tokens": {tokens, studio, fault.Unsupported},
		"too many": {embeds(make([]string, 251)...), studio, fault.Unsupported}, "several": {embeds("a", "b"), vertexNew, fault.Unsupported},
		"another operation": {hello(), studio, fault.Internal},
	} {
		_, err := Embeddings{}.Encode(c.r, c.to)
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Embeddings{}).Rewrite(&chat.Head{}, studio); err == nil {
		t.Error("rewritten")
	}
}

func TestEmbeddings_answers(t *testing.T) {
	for body, want := range map[string]chat.Response{
		`{"embedding":{"values":[0.5,-1,2e-1]},"usageMetadata":{"promptTokenCount":4}}`:                                                              {Usage: chat.Usage{Known: true, Input: 4}, Embedding: &chat.EmbeddingResponse{Vectors: [][]float32{{0.5, -1, 0.2}}}},
		`{"embeddings":[{"values":[1]},{"values":[2]}]}`:                                                                                             {Embedding: &chat.EmbeddingResponse{Vectors: [][]float32{{1}, {2}}}},
		`{"predictions":[{"embeddings":{"values":[1],"statistics":{"token_count":3}}},{"embeddings":{"statistics":{"tokenCount":2},"values":[2]}}]}`: {Usage: chat.Usage{Known: true, Input: 5}, Embedding: &chat.EmbeddingResponse{Vectors: [][]float32{{1}, {2}}}},
	} {
		got, err := Embeddings{}.DecodeResponse([]byte(body))
		want.Embedding.Usage = want.Usage
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Errorf("%s: %v %+v", body, err, got)
		}
		seen, err := Embeddings{}.PeekResponse([]byte(body))
		if err != nil || seen.Usage != want.Usage || !seen.End {
			t.Errorf("%s: %v %+v", body, err, seen)
		}
	}
	wholeOnlyFaults(t, Embeddings{})
}
