package openai_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
	"dragoman/translate/wire"
)

var embeddings = openai.Embeddings{}

func TestEmbeddingRequests(t *testing.T) {
	dimensions := int64(256)
	for body, want := range map[string]chat.EmbeddingRequest{
		`"input":"a"`:            {Inputs: []chat.EmbeddingInput{{Text: "a"}}},
		`"input":["a","\u00fc"]`: {Inputs: []chat.EmbeddingInput{{Text: "a"}, {Text: "ü"}}},
		`"input":[1,2]`:          {Inputs: []chat.EmbeddingInput{{Tokens: []int64{1, 2}}}},
		`"input":[[1],[2,3]]`:    {Inputs: []chat.EmbeddingInput{{Tokens: []int64{1}}, {Tokens: []int64{2, 3}}}},
		`"input":"a","dimensions":256,"encoding_format":"base64","user":"bob"`: {Inputs: []chat.EmbeddingInput{{Text: "a"}}, Dimensions: &dimensions, Base64: true, User: "bob"},
		`"input":"a","input_type":"passage"`:                                   {Inputs: []chat.EmbeddingInput{{Text: "a"}}, Purpose: "document"},
		`"input":"a","input_type":"other","x":null,"y":{}`: {Inputs: []chat.EmbeddingInput{{Text: "a"}},
			Extra: []chat.Extra{{Name: "input_type", JSON: []byte(`"other"`)}, {Name: "y", JSON: []byte(`{}`)}}},
	} {
		h, err := embeddings.Parse([]byte(`{"model":"m",` + body + `}`))
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		r, err := embeddings.Decode(h)
		if err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		want.Model = "m"
		if !reflect.DeepEqual(*r.Embedding, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", body, *r.Embedding, want)
		}
	}
}

func TestEmbeddingRequestsThatAreNone(t *testing.T) {
	for body, param := range map[string]string{
		`{"input":"a"}`: "model", `{"model":"m"}`: "input", `{"model":"","input":"a"}`: "model", `{"model":"m","input":[]}`: "input", `{"model":"m","input":{}}`: "input",
		`{"model":"m","input":null}`: "input", `{"model":"m","input":["a",1]}`: "input", `{"model":"m","input":[[1],"a"]}`: "input", `{"model":"m","input":[{}]}`: "input[0]",
		`{"model":"m","input":[[1.5]]}`: "input[0][0]", `{"model":"m","input":[-1]}`: "input[0]", `{"model":"m","input":[["a"]]}`: "input[0][0]",
		`{"model":"m","input":"a","dimensions":0}`: "dimensions", `{"model":"m","input":"a","encoding_format":"int8"}`: "encoding_format", `{"model":"m","input":"a","user":5}`: "user",
	} {
		_, err := embeddings.Parse([]byte(body))
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.InvalidRequest || f.Param != param {
			t.Errorf("%s: %v, want %s", body, err, param)
		}
	}
}

// The estimate must be near what a tokenizer would say, for texts and for tokens.
func TestEmbeddingTokensAreEstimated(t *testing.T) {
	tokens := strings.TrimSuffix(strings.Repeat("7,", 1000), ",")
	for name, input := range map[string]string{
		"text": `"` + strings.Repeat("four", 1000) + `"`, "texts": `["` + strings.Repeat("four", 500) + `","` + strings.Repeat("four", 500) + `"]`,
		"tokens": "[" + tokens + "]", "lists": "[[" + tokens + "]]",
	} {
		h, err := embeddings.Parse([]byte(`{"model":"m","input":` + input + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if n := h.InputTokens(); n < 950 || n > 1050 {
			t.Errorf("%s: %d tokens", name, n)
		}
	}
}

func TestEmbeddingsKeepTheClientsBytes(t *testing.T) {
	body := `{"model": "m", "input": "a", "x_of_tomorrow": [1.0]}`
	h, err := embeddings.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	up, err := embeddings.Rewrite(h, translate.Target{BasePath: "/v1", Model: "m"})
	if err != nil || string(up.Body) != body || up.Path != "/v1/embeddings" {
		t.Errorf("%v %s %s", err, up.Path, up.Body)
	}
	if up, err = embeddings.Rewrite(h, translate.Target{BasePath: "/v1", Model: "o"}); err != nil || string(up.Body) != strings.Replace(body, `"m"`, `"o"`, 1) {
		t.Errorf("%v %s", err, up.Body)
	}
}

// Azure's classic API has the model in the path.
func TestEmbeddingsAtAzure(t *testing.T) {
	h, err := embeddings.Parse([]byte(`{"model":"m","input":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	up, err := embeddings.Rewrite(h, translate.Target{BasePath: "/openai", Model: "my-embedder", Dialect: "azure", APIVersion: "2024-10-21"})
	if err != nil || up.Path != "/openai/deployments/my-embedder/embeddings?api-version=2024-10-21" {
		t.Errorf("%v %+v", err, up)
	}
}

func TestEmbeddingsForOpenAI(t *testing.T) {
	to := translate.Target{BasePath: "/v1", Model: "text-embedding-3-small"}
	dimensions := int64(3)
	up, err := embeddings.Encode(&chat.Request{Embedding: &chat.EmbeddingRequest{
		Inputs: []chat.EmbeddingInput{{Text: "a\"b"}, {Text: ""}}, Dimensions: &dimensions, Base64: true, User: "bob", Purpose: "query",
		Extra: []chat.Extra{{Name: "truncate", JSON: []byte(`"END"`)}},
	}}, to)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"model":"text-embedding-3-small","input":["a\"b",""],"encoding_format":"base64","dimensions":3,"user":"bob"}`
	if string(up.Body) != want || strings.Join(up.Dropped, " ") != "input_type truncate" {
		t.Errorf("%s, dropped %v", up.Body, up.Dropped)
	}
	up, err = embeddings.Encode(&chat.Request{Embedding: &chat.EmbeddingRequest{Inputs: []chat.EmbeddingInput{{Tokens: []int64{1, 2}}, {Tokens: []int64{3}}}}}, to)
	if err != nil || string(up.Body) != `{"model":"text-embedding-3-small","input":[[1,2],[3]]}` {
		t.Errorf("%v %s", err, up.Body)
	}
	for name, r := range map[string]*chat.Request{
		"nothing": {}, "mixed": {Embedding: &chat.EmbeddingRequest{Inputs: []chat.EmbeddingInput{{Text: "a"}, {Tokens: []int64{1}}}}},
		"int8": {Embedding: &chat.EmbeddingRequest{Extra: []chat.Extra{{Name: "embedding_types", JSON: []byte(`["int8"]`), Meaning: true}}}},
	} {
		_, err := embeddings.Encode(r, to)
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.Unsupported {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEmbeddingAnswers(t *testing.T) {
	vectors := [][]float32{{0.5, -1}, {1e-7, 3}}
	answer := &chat.Response{Embedding: &chat.EmbeddingResponse{Vectors: vectors, Usage: chat.Usage{Known: true, Input: 9}}}
	for format, want := range map[string][2]string{
		`"float"`: {`[0.5,-1]`, `[1e-07,3]`}, `null`: {`[0.5,-1]`, `[1e-07,3]`}, `"base64"`: {`"AAAAPwAAgL8="`, `"lb/WMwAAQEA="`},
	} {
		h, err := embeddings.Parse([]byte(`{"model":"m","input":"a","encoding_format":` + format + `}`))
		if err != nil {
			t.Fatal(err)
		}
		out, err := embeddings.EncodeResponse(answer, translate.Answer{Head: h, Model: "m"})
		if err != nil {
			t.Fatal(err)
		}
		if got := string(out); got != fmt.Sprintf(`{"object":"list","data":[{"object":"embedding","index":0,"embedding":%s},{"object":"embedding","index":1,"embedding":%s}],"model":"m","usage":{"prompt_tokens":9,"total_tokens":9}}`, want[0], want[1]) {
			t.Error(got)
		}
		back, err := embeddings.DecodeResponse(out)
		if err != nil || !reflect.DeepEqual(back.Embedding.Vectors, vectors) || back.Usage != answer.Embedding.Usage || back.Model != "m" {
			t.Errorf("%v %+v", err, back)
		}
		seen, err := embeddings.PeekResponse(out)
		if err != nil || seen.Usage != answer.Embedding.Usage || seen.Model != "m" || !seen.End {
			t.Errorf("%v %+v", err, seen)
		}
	}
	if _, err := embeddings.EncodeResponse(&chat.Response{}, translate.Answer{}); err == nil {
		t.Error("an answer without vectors")
	}
}

func TestEmbeddingAnswersOfOtherServers(t *testing.T) {
	for body, want := range map[string]string{
		`{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[1]}]}`: "[[1] [2]]",
		`{"data":[{"embedding":[1]},{"embedding":[2]}],"usage":null}`:        "[[1] [2]]",
		`{"data":[{"index":0,"embedding":"AACAPwAA\/\/8="}]}`:                "", // NaN
		`{"data":[{"index":0,"embedding":"zczMPf\/\/f38="}]}`:                "[[0.1 3.4028235e+38]]",
		`{"data":[]}`:                            "[]",
		`{"data":[{"index":5,"embedding":[1]}]}`: "", `{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}`: "",
		`{"data":[{"index":0,"embedding":[]}]}`: "", `{"data":[{"index":0}]}`: "", `{"data":[7]}`: "", `{"data":[{"embedding":["x"]}]}`: "",
		`{"error":{"message":"no"}}`: "", `{}`: "", ``: "", `<html>`: "", `{"data":[{"embedding":[1]}`: "",
	} {
		r, err := embeddings.DecodeResponse([]byte(body))
		if want == "" {
			var f *fault.Fault
			if !errors.As(err, &f) || f.Message == "" {
				t.Errorf("%s: %+v %v", body, r, err)
			}
			continue
		}
		if err != nil || fmt.Sprint(r.Embedding.Vectors) != want {
			t.Errorf("%s: %v %+v", body, err, r)
		}
	}
}

func TestEmbeddingsHaveNoStreams(t *testing.T) {
	if err := embeddings.NewDecoder(1<<20).Decode([]byte("data: {}\n\n"), nil); err == nil {
		t.Error("a stream was taken")
	}
	if status, body := embeddings.EncodeFault(fault.New(fault.NotFound, "x"), ""); status != 404 || !json.Valid(body) {
		t.Errorf("%d %s", status, body)
	}
	if f := embeddings.DecodeFault(429, func(string) string { return "" }, []byte(`{"error":{"message":"slow"}}`)); f.Kind != fault.RateLimited {
		t.Errorf("%+v", f)
	}
}

func FuzzEmbeddings(f *testing.F) {
	for _, s := range []string{`{"model":"m","input":["a"],"encoding_format":"base64","dimensions":3}`, `{"model":"m","input":[[1],[2]]}`, `{"model":"m","input":[1,2]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := embeddings.Parse(body)
		if err != nil {
			return
		}
		r, err := embeddings.Decode(h)
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		up, err := embeddings.Encode(r, translate.Target{Model: "m", Lossy: true})
		if err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		if _, err := embeddings.Parse(up.Body); err != nil {
			t.Fatalf("%v: %s became %s", err, body, up.Body)
		}
	})
}

func FuzzEmbeddingAnswer(f *testing.F) {
	f.Add([]byte(`{"object":"list","data":[{"index":0,"embedding":[0.5,-1e-3]},{"index":1,"embedding":"AACAPw=="}],"model":"m","usage":{"prompt_tokens":1}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := embeddings.DecodeResponse(body)
		if err != nil {
			return
		}
		out, err := embeddings.EncodeResponse(r, translate.Answer{})
		if err != nil || !json.Valid(out) {
			t.Fatalf("%v %s", err, out)
		}
	})
}

// vectorsOf is an answer of eight vectors of 1536 dimensions.
func vectorsOf(packed bool) []byte {
	body := []byte(`{"object":"list","data":[`)
	for i := range 8 {
		v := make([]float32, 1536)
		for j := range v {
			v[j] = float32(i+1) / float32(j+3)
		}
		if i > 0 {
			body = append(body, ',')
		}
		body = fmt.Appendf(body, `{"object":"embedding","index":%d,"embedding":`, i)
		if packed {
			body = append(wire.AppendVector64(append(body, '"'), v), '"', '}')
		} else {
			body = append(wire.AppendFloats(body, v), '}')
		}
	}
	return append(body, `],"model":"m","usage":{"prompt_tokens":8,"total_tokens":8}}`...)
}

func BenchmarkEmbeddingAnswer(b *testing.B) {
	for name, body := range map[string][]byte{"float": vectorsOf(false), "base64": vectorsOf(true)} {
		b.Run("decode "+name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := embeddings.DecodeResponse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("peek "+name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := embeddings.PeekResponse(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEmbeddingRequest(b *testing.B) {
	body := fmt.Appendf(nil, `{"model":"m","input":["%s","%[1]s"]}`, strings.Repeat("The quick brown fox. ", 50))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		h, err := embeddings.Parse(body)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := embeddings.Rewrite(h, translate.Target{Model: "o"}); err != nil {
			b.Fatal(err)
		}
	}
}
