package bedrock_test

import (
	"reflect"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/bedrock"
	"dragoman/translate/chat"
)

func texts(list ...string) (in []chat.EmbeddingInput) {
	for _, s := range list {
		in = append(in, chat.EmbeddingInput{Text: s})
	}
	return in
}

func ptr[T any](v T) *T { return &v }

func TestEmbeddingsEncode(t *testing.T) {
	const v2, v3, v4 = "amazon.titan-embed-text-v2:0", "cohere.embed-multilingual-v3", "us.cohere.embed-v4:0"
	for _, c := range []struct {
		model string
		q     chat.EmbeddingRequest
		want  string // a body, or the kind of a fault and its field
	}{
		{v2, chat.EmbeddingRequest{Inputs: texts(`a "b"`), Dimensions: ptr(int64(512))}, `{"inputText":"a \"b\"","dimensions":512,"normalize":true}`},
		{v2, chat.EmbeddingRequest{Inputs: texts("a"), Purpose: "query"}, `{"inputText":"a","normalize":true}`},
		{v2, chat.EmbeddingRequest{Inputs: texts("a"), Dimensions: ptr(int64(100))}, `unsupported dimensions`},
		{v2, chat.EmbeddingRequest{Inputs: texts("a", "b")}, `unsupported input`},
		{v2, chat.EmbeddingRequest{}, `invalid_request input`},
		{v2, chat.EmbeddingRequest{Inputs: []chat.EmbeddingInput{{Tokens: []int64{1}}}}, `unsupported input`},
		{"amazon.titan-embed-text-v1", chat.EmbeddingRequest{Inputs: texts("a")}, `{"inputText":"a"}`},
		{"amazon.titan-embed-text-v1", chat.EmbeddingRequest{Inputs: texts("a"), Dimensions: ptr(int64(512))}, `unsupported dimensions`},
		{v3, chat.EmbeddingRequest{Inputs: texts("a", "b")}, `{"texts":["a","b"],"input_type":"search_document","embedding_types":["float"]}`},
		{v3, chat.EmbeddingRequest{Inputs: texts("a"), Dimensions: ptr(int64(512))}, `unsupported dimensions`},
		{v4, chat.EmbeddingRequest{Inputs: texts("a"), Purpose: "query", Dimensions: ptr(int64(512))}, `{"texts":["a"],"input_type":"search_query","embedding_types":["float"],"output_dimension":512}`},
		{v4, chat.EmbeddingRequest{Inputs: texts(make([]string, 97)...)}, `unsupported input`},
		{haiku, chat.EmbeddingRequest{Inputs: texts("a")}, `unsupported model`},
		{v4, chat.EmbeddingRequest{Inputs: texts("a"), Extra: []chat.Extra{{Name: "x", Meaning: true}}}, `unsupported x`},
		{v4, chat.EmbeddingRequest{Inputs: texts("a"), Extra: []chat.Extra{{Name: "guardrailConfig", JSON: []byte(`{"guardrailIdentifier":"a","guardrailVersion":"1"}`)}}}, `unsupported guardrailConfig`},
	} {
		up, err := bedrock.Embeddings{}.Encode(&chat.Request{Embedding: &c.q}, translate.Target{Model: c.model})
		got := ""
		if err != nil {
			f := asFault(t, err)
			got = f.Kind.String() + " " + f.Param
		} else if got = string(up.Body); !strings.HasSuffix(up.Path, "/invoke") {
			t.Errorf("path %s", up.Path)
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.model, got, c.want)
		}
	}
	up, err := bedrock.Embeddings{}.Encode(&chat.Request{Embedding: &chat.EmbeddingRequest{Inputs: texts("a"), User: "u"}}, translate.Target{Model: v2})
	if err != nil || !reflect.DeepEqual(up.Dropped, []string{"user"}) {
		t.Errorf("%v %v", up.Dropped, err)
	}
}

func TestEmbeddingsDecode(t *testing.T) {
	for body, want := range map[string][][]float32{
		`{"embedding":[0.5,-1],"inputTextTokenCount":7}`:                                              {{0.5, -1}},
		`{"embedding":[0.5],"embeddingsByType":{"float":[9]},"inputTextTokenCount":7}`:                {{0.5}},
		`{"embeddings":[[1,2],[3,4]],"id":"x","response_type":"embeddings_floats","texts":["a","b"]}`: {{1, 2}, {3, 4}},
		`{"embeddings":{"int8":[[1]],"float":[[1e-3]]},"response_type":"embeddings_by_type"}`:         {{1e-3}},
		`{}`: nil, ``: nil, `[]`: nil, `{"embeddings":[]}`: nil, `{"embedding":"x"}`: nil, `{"embedding":[null]}`: nil, `{"embedding":[1e300]}`: nil,
		`{"embedding":[0.5`: nil, `{"embeddings":{"int8":[[1]]}}`: nil, `{"message":"throttled"}`: nil,
	} {
		r, err := bedrock.Embeddings{}.DecodeResponse([]byte(body))
		seen, peeked := bedrock.Embeddings{}.PeekResponse([]byte(body))
		if (err == nil) != (peeked == nil) {
			t.Errorf("%s: %v, peeked %v", body, err, peeked)
		}
		if want == nil {
			if f := asFault(t, err); !f.FromProvider() {
				t.Errorf("%s: %+v", body, f)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(r.Embedding.Vectors, want) || seen.Usage != r.Usage || r.Usage.Known != strings.Contains(body, "TokenCount") {
			t.Errorf("%s: %v %+v", body, err, r)
		}
	}
}

func TestRerank(t *testing.T) {
	q := &chat.RerankRequest{Query: "q", Documents: []string{"a", "b"}, TopN: ptr(int64(5)), MaxTokensPerDoc: ptr(int64(100))}
	for model, want := range map[string]string{
		"cohere.rerank-v3-5:0": `{"query":"q","documents":["a","b"],"top_n":2,"api_version":2,"max_tokens_per_doc":100}`,
		"amazon.rerank-v1:0":   `{"query":"q","documents":["a","b"],"top_n":2}`,
	} {
		up, err := bedrock.Rerank{}.Encode(&chat.Request{Rerank: q}, translate.Target{Model: model})
		if err != nil || string(up.Body) != want || up.Path != "/model/"+strings.ReplaceAll(model, ":", "%3A")+"/invoke" {
			t.Errorf("%s: %v %+v", model, err, up)
		}
	}
	if _, err := (bedrock.Rerank{}).Encode(&chat.Request{Rerank: &chat.RerankRequest{Query: "q"}}, translate.Target{}); asFault(t, err).Param != "documents" {
		t.Error(err)
	}
	r, err := bedrock.Rerank{}.DecodeResponse([]byte(`{"id":"x","results":[{"index":1,"relevance_score":0.9},{"index":0,"relevance_score":0.1}]}`))
	if err != nil || !reflect.DeepEqual(r.Rerank.Results, []chat.RerankResult{{Index: 1, Score: 0.9}, {Index: 0, Score: 0.1}}) || r.ID != "x" {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := (bedrock.Rerank{}).PeekResponse([]byte(`{"results":[]}`)); err != nil {
		t.Error(err)
	}
	for _, body := range []string{``, `{}`, `{"results":{}}`, `{"results":[{"index":-1}]}`, `[`} {
		if _, err := (bedrock.Rerank{}).DecodeResponse([]byte(body)); err == nil {
			t.Errorf("%s passed", body)
		}
	}
}

// TestVectorsAreProviders: faults and rewriting are those of the chat codec, and there are no streams.
func TestVectorsAreProviders(t *testing.T) {
	for _, p := range []translate.Provider{bedrock.Embeddings{}, bedrock.Rerank{}} {
		f := p.DecodeFault(429, header("x-amzn-errortype", "ThrottlingException"), []byte(`{"message":"x"}`))
		if f.Kind != fault.RateLimited || p.Schema() != chat.Bedrock || p.ClientHeaders() != nil {
			t.Errorf("%+v", f)
		}
		if up, err := p.Rewrite(&chat.Head{Body: []byte("{}")}, translate.Target{Model: "m"}); err != nil || up.Path != "/model/m/invoke" || string(up.Body) != "{}" {
			t.Errorf("%+v %v", up, err)
		}
		if err := p.NewDecoder(1).Decode([]byte("x"), nil); err == nil {
			t.Error("a stream was read")
		}
	}
}
