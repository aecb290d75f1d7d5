package cohere

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/wire"
)

func parsed(t *testing.T, c translate.Client, body string) *chat.Head {
	t.Helper()
	h, err := c.Parse([]byte(body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return h
}

func decoded(t *testing.T, c translate.Client, body string) *chat.Request {
	t.Helper()
	r, err := c.Decode(parsed(t, c, body))
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return r
}

// bad holds bodies against what is at fault in them.
func bad(t *testing.T, c translate.Client, bodies map[string]string) {
	t.Helper()
	for body, param := range bodies {
		_, err := c.Parse([]byte(body))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.InvalidRequest || !strings.HasPrefix(f.Param, param) || f.Param == "" && param != "" {
			t.Errorf("%s: %v (%q)", body, err, param)
		}
	}
}

func TestEmbedRequests(t *testing.T) {
	r := decoded(t, Embeddings{}, `{"model":"m","input_type":"search_query","texts":["a","ü"],"embedding_types":["float","base64"],"output_dimension":512,"truncate":"END"}`)
	same(t, *r.Embedding, chat.EmbeddingRequest{Model: "m", Inputs: []chat.EmbeddingInput{{Text: "a"}, {Text: "ü"}}, Dimensions: ptr(int64(512)),
		Base64: true, Purpose: "query", Extra: []chat.Extra{{Name: "truncate", JSON: []byte(`"END"`)}}})
	r = decoded(t, Embeddings{}, `{"model":"m","input_type":"clustering","inputs":[{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}]}`)
	same(t, r.Embedding.Inputs, []chat.EmbeddingInput{{Text: "a\nb"}})
	for body, name := range map[string]string{
		`"texts":["a"],"embedding_types":["int8"]`: "embedding_types", `"images":["data:image/png;base64,AA"]`: "images",
		`"inputs":[{"content":[{"type":"image_url","image_url":{"url":"x"}}]}]`: "inputs[0].content[0]",
	} {
		r := decoded(t, Embeddings{}, `{"model":"m","input_type":"search_document",`+body+`}`)
		if x := r.Embedding.Extra; len(x) != 1 || !x[0].Meaning || x[0].Name != name {
			t.Errorf("%s: %+v", body, x)
		}
	}
	if h := parsed(t, Embeddings{}, `{"model":"m","input_type":"x","texts":["`+strings.Repeat("four", 1000)+`"]}`); h.InputTokens() < 900 || h.InputTokens() > 1100 {
		t.Errorf("%d tokens", h.InputTokens())
	}
	bad(t, Embeddings{}, map[string]string{
		`{"input_type":"x","texts":["a"]}`: "model", `{"model":"m","texts":["a"]}`: "input_type", `{"model":"m","input_type":"x"}`: "texts",
		`{"model":"m","input_type":"x","texts":[]}`: "texts", `{"model":"m","input_type":"x","texts":[5]}`: "texts[0]", `{"model":"m","input_type":"x","texts":"a"}`: "texts",
		`{"model":"m","input_type":"x","inputs":[{}]}`: "inputs", `{"model":"m","input_type":"x","inputs":[{"content":[{"type":"video"}]}]}`: "inputs[0].content[0].type",
		`{"model":"m","input_type":"x","texts":["a"],"output_dimension":0}`: "output_dimension", `[]`: "",
	})
}

func embedding(n int) *chat.Request {
	e := &chat.EmbeddingRequest{}
	for i := range n {
		e.Inputs = append(e.Inputs, chat.EmbeddingInput{Text: fmt.Sprint("text ", i)})
	}
	return &chat.Request{Embedding: e}
}

func TestEmbedAtCohere(t *testing.T) {
	r := embedding(2)
	r.Embedding.Purpose, r.Embedding.Dimensions, r.Embedding.User = "query", ptr(int64(256)), "bob"
	up, err := Embeddings{}.Encode(r, target)
	if err != nil {
		t.Fatal(err)
	}
	same(t, up.Path+" "+string(up.Body), `/v2/embed {"model":"command-a-03-2025","input_type":"search_query","texts":["text 0","text 1"],"embedding_types":["float"],"output_dimension":256}`)
	same(t, up.Dropped, []string{"user"})
	if up, err = (Embeddings{}).Encode(embedding(maxTexts), target); err != nil || !strings.Contains(string(up.Body), `"input_type":"search_document"`) {
		t.Errorf("%v", err)
	}
	for name, r := range map[string]*chat.Request{
		"too many": embedding(maxTexts + 1), "tokens": {Embedding: &chat.EmbeddingRequest{Inputs: []chat.EmbeddingInput{{Tokens: []int64{1}}}}},
		"no embedding": {},
	} {
		lossy := target
		lossy.Lossy = true
		_, err := Embeddings{}.Encode(r, lossy)
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.Unsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEmbedAnswers(t *testing.T) {
	vectors := [][]float32{{0.5, -1, 1e-7}, {0, 1, 2}}
	answer := chat.Response{ID: "e1", Embedding: &chat.EmbeddingResponse{Vectors: vectors, Usage: chat.Usage{Known: true, Input: 9}}}
	for types, want := range map[string]string{
		``:                                      `"float":[[0.5,-1,1e-07],[0,1,2]]`,
		`,"embedding_types":["float"]`:          `"float":[[0.5,-1,1e-07],[0,1,2]]`,
		`,"embedding_types":["base64"]`:         `"base64":["AAAAPwAAgL+Vv9Yz","AAAAAAAAgD8AAABA"]`,
		`,"embedding_types":["base64","float"]`: `"float":[[0.5,-1,1e-07],[0,1,2]],"base64":["AAAAPwAAgL+Vv9Yz","AAAAAAAAgD8AAABA"]`,
	} {
		h := parsed(t, Embeddings{}, `{"model":"m","input_type":"x","texts":["a","b"]`+types+`}`)
		out, err := Embeddings{}.EncodeResponse(&answer, translate.Answer{Head: h})
		if err != nil {
			t.Fatal(err)
		}
		same(t, string(out), `{"id":"e1","embeddings":{`+want+`},"texts":["a","b"],"meta":{"api_version":{"version":"2"},"billed_units":{"input_tokens":9,"output_tokens":0}},"response_type":"embeddings_by_type"}`)
		back, err := Embeddings{}.DecodeResponse(out)
		if err != nil {
			t.Fatal(err)
		}
		same(t, []any{back.ID, back.Embedding.Vectors, back.Usage, back.Billed}, []any{"e1", vectors, chat.Usage{Known: true, Input: 9}, chat.Billed{Known: true, Input: 9}})
		seen, err := Embeddings{}.PeekResponse(out)
		if err != nil || seen.Usage.Input != 9 || !seen.End {
			t.Errorf("%v %+v", err, seen)
		}
	}
	for _, body := range []string{``, `{}`, `[]`, `{"embeddings":[[1]]}`, `{"message":"no"}`, `<html>`, `{"embeddings":{"float":[[1],["x"]]}}`, `{"embeddings":{"float":[[]]}}`, `{"embeddings":{"int8":[[1]]}}`, `{"embeddings":{"base64":["AA"]}}`} {
		if r, err := (Embeddings{}).DecodeResponse([]byte(body)); err == nil {
			t.Errorf("%s is an answer: %+v", body, r)
		}
	}
}

func TestRerankRequests(t *testing.T) {
	r := decoded(t, Rerank{}, `{"model":"m","query":"q","documents":["a","b"],"top_n":1,"max_tokens_per_doc":100,"priority":2}`)
	same(t, *r.Rerank, chat.RerankRequest{Model: "m", Query: "q", Documents: []string{"a", "b"}, TopN: ptr(int64(1)), MaxTokensPerDoc: ptr(int64(100)),
		Extra: []chat.Extra{{Name: "priority", JSON: []byte("2")}}})
	up, err := Rerank{}.Encode(r, target)
	if err != nil {
		t.Fatal(err)
	}
	same(t, up.Path+" "+string(up.Body), `/v2/rerank {"model":"command-a-03-2025","query":"q","documents":["a","b"],"top_n":1,"max_tokens_per_doc":100}`)
	same(t, up.Dropped, []string{"priority"})
	h := parsed(t, Rerank{}, `{"model":"m","query":"q","documents":["a"],"x":1}`)
	if up, err = (Rerank{}).Rewrite(h, target); err != nil || string(up.Body) != `{"model":"command-a-03-2025","query":"q","documents":["a"],"x":1}` || up.Path != "/v2/rerank" {
		t.Errorf("%v %s", err, up.Body)
	}
	bad(t, Rerank{}, map[string]string{
		`{"query":"q","documents":["a"]}`: "model", `{"model":"m","documents":["a"]}`: "query", `{"model":"m","query":"q"}`: "documents",
		`{"model":"m","query":"q","documents":[]}`: "documents", `{"model":"m","query":"q","documents":[{"text":"a"}]}`: "documents[0]",
		`{"model":"m","query":"q","documents":["a"],"top_n":0}`: "top_n", `{"model":"m","query":5,"documents":["a"]}`: "query",
	})
	bad(t, CommonRerank{}, map[string]string{
		`{"model":"m","query":"q","documents":[{"title":"a"}]}`: "documents[0].text", `{"model":"m","query":"q","documents":[5]}`: "documents[0]",
		`{"model":"m","query":"q","documents":["a"],"return_documents":1}`: "return_documents",
	})
	if _, err := (Rerank{}).Encode(&chat.Request{}, target); err == nil {
		t.Error("a request for nothing")
	}
}

// The common form goes through Cohere's and comes back with the documents that were asked for.
func TestCommonRerank(t *testing.T) {
	in := `{"model":"m","query":"q","documents":["a",{"text":"b","id":7}],"return_documents":true,"top_n":2}`
	h := parsed(t, CommonRerank{}, in)
	if h.Schema == (Rerank{}).Schema() {
		t.Fatal("the bytes would pass to a provider that refuses them")
	}
	r, err := CommonRerank{}.Decode(h)
	if err != nil {
		t.Fatal(err)
	}
	up, err := Rerank{}.Encode(r, target)
	if err != nil {
		t.Fatal(err)
	}
	same(t, string(up.Body), `{"model":"command-a-03-2025","query":"q","documents":["a","b"],"top_n":2}`)
	answer := `{"id":"r1","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.25},{"index":5,"relevance_score":0.1}],"meta":{"billed_units":{"search_units":2}}}`
	out, seen, err := translate.Whole(CommonRerank{}, Rerank{}, []byte(answer), translate.Answer{Head: h, Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	same(t, string(out), `{"id":"r1","model":"m","results":[{"index":1,"relevance_score":0.9,"document":{"text":"b","id":7}},{"index":0,"relevance_score":0.25,"document":{"text":"a"}},{"index":5,"relevance_score":0.1}],"meta":{"billed_units":{"search_units":2}}}`)
	same(t, seen.Billed, chat.Billed{Known: true, Units: 2})
	out, _, err = translate.Whole(CommonRerank{}, Rerank{}, []byte(answer), translate.Answer{Model: "m"})
	if err != nil || strings.Contains(string(out), "document") {
		t.Errorf("%v %s", err, out)
	}
}

func TestRerankAnswers(t *testing.T) {
	in := &chat.Response{ID: "r1", Rerank: &chat.RerankResponse{Results: []chat.RerankResult{{Index: 3, Score: 0.5}}, Units: 1.5}}
	out, err := Rerank{}.EncodeResponse(in, translate.Answer{})
	if err != nil {
		t.Fatal(err)
	}
	same(t, string(out), `{"id":"r1","results":[{"index":3,"relevance_score":0.5}],"meta":{"api_version":{"version":"2"},"billed_units":{"search_units":1.5}}}`)
	back, err := Rerank{}.DecodeResponse(out)
	if err != nil {
		t.Fatal(err)
	}
	same(t, []any{back.Rerank.Results, back.Rerank.Units, back.Usage}, []any{in.Rerank.Results, 1.5, chat.Usage{}})
	if seen, err := (Rerank{}).PeekResponse(out); err != nil || seen.Billed.Units != 1.5 {
		t.Errorf("%v %+v", err, seen)
	}
	for _, body := range []string{``, `{}`, `{"results":{}}`, `{"message":"no"}`, `{"results":[`} {
		if r, err := (Rerank{}).DecodeResponse([]byte(body)); err == nil {
			t.Errorf("%s is an answer: %+v", body, r)
		}
	}
	for _, c := range []translate.Client{Embeddings{}, Rerank{}, CommonRerank{}} {
		if _, err := c.EncodeResponse(&chat.Response{}, translate.Answer{}); err == nil {
			t.Error("an answer of nothing")
		}
		if status, body := c.EncodeFault(fault.New(fault.NotFound, "x"), "req-1"); status != 404 || !json.Valid(body) {
			t.Errorf("%d %s", status, body)
		}
	}
}

func FuzzEmbed(f *testing.F) {
	f.Add([]byte(`{"model":"m","input_type":"search_query","texts":["a"],"embedding_types":["float"]}`))
	f.Add([]byte(`{"model":"m","input_type":"image","inputs":[{"content":[{"type":"text","text":"a"}]}],"output_dimension":3}`))
	f.Fuzz(func(t *testing.T, body []byte) { roundTrip(t, Embeddings{}, Embeddings{}, body) })
}

func FuzzRerank(f *testing.F) {
	f.Add([]byte(`{"model":"m","query":"q","documents":["a",{"text":"b"}],"top_n":1,"return_documents":true}`))
	f.Fuzz(func(t *testing.T, body []byte) { roundTrip(t, CommonRerank{}, Rerank{}, body) })
}

// roundTrip: what the client's codec takes, the provider's can say, and the client's takes again.
func roundTrip(t *testing.T, c translate.Client, p translate.Provider, body []byte) {
	h, err := c.Parse(body)
	if err != nil {
		return
	}
	r, err := c.Decode(h)
	if err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	up, err := p.Encode(r, translate.Target{Model: "m", Lossy: true})
	if err != nil {
		return
	}
	if _, err := c.Parse(up.Body); err != nil && strings.Contains(string(up.Body), `":["`) {
		t.Fatalf("%v: %s became %s", err, body, up.Body)
	}
}

func FuzzEmbedAnswer(f *testing.F) {
	f.Add([]byte(`{"id":"e","embeddings":{"float":[[1,2.5],[-1e-3]],"base64":["AACAPw=="]},"meta":{"billed_units":{"input_tokens":3}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Embeddings{}.DecodeResponse(body)
		if err != nil {
			return
		}
		out, err := Embeddings{}.EncodeResponse(r, translate.Answer{})
		if err != nil || !json.Valid(out) {
			t.Fatalf("%v: %s", err, out)
		}
	})
}

func BenchmarkEmbedAnswer(b *testing.B) {
	vectors := make([][]float32, 8)
	for i := range vectors {
		vectors[i] = make([]float32, 1536)
		for j := range vectors[i] {
			vectors[i][j] = float32(i+1) / float32(j+3)
		}
	}
	body := []byte(`{"id":"e","embeddings":{"float":[`)
	for i, v := range vectors {
		body = wire.AppendFloats(comma(body, i), v)
	}
	body = append(body, `]},"meta":{"billed_units":{"input_tokens":3}}}`...)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := (Embeddings{}).DecodeResponse(body); err != nil {
			b.Fatal(err)
		}
	}
}
