package fakeprovider

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// postTo posts to a path of a fake, with the credential that its schema wants.
func postTo(t testing.TB, s *Server, path string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.Origin()+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if s.Schema() == Anthropic {
		req.Header.Set("X-Api-Key", s.Key())
		req.Header.Set("Anthropic-Version", version2023)
	} else {
		req.Header.Set("Authorization", "Bearer "+s.Key())
	}
	return do(t, client(t), req)
}

func TestRefusalsOfOperations(t *testing.T) {
	servers := map[string]*Server{"/v1/embeddings": Start(t, Options{Schema: OpenAI}), "/v1/messages/count_tokens": Start(t, Options{Schema: Anthropic})}
	cohere := Start(t, Options{Schema: Cohere})
	for _, name := range []string{"cohere", "embeddings"} {
		raw, err := os.ReadFile("testdata/" + name + "_refusals.json")
		if err != nil {
			t.Fatal(err)
		}
		var files map[string]refusals
		if err := json.Unmarshal(raw, &files); err != nil {
			t.Fatal(err)
		}
		for path, file := range files {
			s := servers[path]
			if s == nil {
				s = cohere
			}
			if status, body := postTo(t, s, path, file.Base); status != http.StatusOK {
				t.Fatalf("the good request to %s got %d %s", path, status, body)
			}
			for _, c := range file.Cases {
				t.Run(path+"/"+c.Name, func(t *testing.T) {
					status, body := postTo(t, s, path, edit(t, file.Base, c.Set, c.Delete))
					want := c.Status
					if want == 0 {
						want = http.StatusBadRequest
					}
					message := gjson.GetBytes(body, "message").String()
					if s != cohere {
						message = gjson.GetBytes(body, "error.message").String()
					}
					if status != want || !strings.Contains(message, c.Message) {
						t.Errorf("%d %s\nwant %d %q", status, body, want, c.Message)
					}
				})
			}
		}
	}
}

func TestCohereCredentials(t *testing.T) {
	s := Start(t, Options{Schema: Cohere})
	for header, want := range map[string]int{"": 401, "Bearer wrong": 401, "Basic x": 401, "Bearer " + s.Key(): 200} {
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.Origin()+"/v2/chat",
			strings.NewReader(`{"model":"command-a-03-2025","messages":[{"role":"user","content":"x"}]}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		if header != "" {
			req.Header.Set("Authorization", header)
		}
		if status, body := do(t, client(t), req); status != want {
			t.Errorf("%q: %d %s", header, status, body)
		}
	}
}

func TestCohereAnswers(t *testing.T) {
	s := Start(t, Options{Schema: Cohere})
	ask := func(more string) gjson.Result {
		t.Helper()
		status, body := postTo(t, s, "/v2/chat", []byte(`{"model":"command-a-03-2025","messages":[{"role":"user","content":"hello there"}]`+more+`}`))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return gjson.ParseBytes(body)
	}
	plain := ask("")
	if plain.Get("message.content.0.text").String() != "echo: hello there" || plain.Get("finish_reason").String() != "COMPLETE" ||
		plain.Get("usage.tokens.input_tokens").Int() != 3 || plain.Get("usage.billed_units.input_tokens").Int() != 2 {
		t.Error(plain.Raw)
	}
	s.Next(&Reply{Blocks: []Block{{Kind: TextBlock, Text: "I will look."}, Call("f", `{"a":1}`)}})
	if got := ask(""); got.Get("message.tool_plan").String() != "I will look." || got.Get("message.content").Exists() ||
		got.Get("message.tool_calls.0.function.arguments").String() != `{"a":1}` || got.Get("finish_reason").String() != "TOOL_CALL" {
		t.Error(got.Raw)
	}
	if got := ask(`,"thinking":{"type":"enabled"},"logprobs":true,"stop_sequences":["there"]`); got.Get("message.content.0.type").String() != "thinking" ||
		got.Get("finish_reason").String() != "STOP_SEQUENCE" || len(got.Get("logprobs").Array()) == 0 {
		t.Error(got.Raw)
	}
}

// A stream ends in message-end and [DONE], and says what the whole answer says.
func TestCohereStreams(t *testing.T) {
	s := Start(t, Options{Schema: Cohere})
	s.Next(&Reply{Blocks: []Block{{Kind: ThinkingBlock, Text: "hm"}, {Kind: TextBlock, Text: "I will look."}, Call("f", `{"a":1}`), Call("g", "")}})
	status, body := postTo(t, s, "/v2/chat", []byte(`{"model":"command-a-03-2025","stream":true,"messages":[{"role":"user","content":"x"}]}`))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	var kinds []string
	events := strings.Split(strings.TrimSpace(string(body)), "\n\n")
	for _, e := range events[:len(events)-1] {
		name, data, _ := strings.Cut(e, "\n")
		kind := gjson.Get(strings.TrimPrefix(data, "data: "), "type").String()
		if name != "event: "+kind {
			t.Errorf("%s", e)
		}
		if n := len(kinds); n == 0 || kinds[n-1] != kind {
			kinds = append(kinds, kind)
		}
	}
	want := strings.Fields("message-start content-start content-delta content-end tool-plan-delta tool-call-start tool-call-delta tool-call-end tool-call-start tool-call-end message-end")
	if !slices.Equal(kinds, want) || events[len(events)-1] != "data: [DONE]" {
		t.Errorf("%v", kinds)
	}
	s.Fail(1, Fault{Kind: ErrorEvent, After: 2, Status: 500})
	if _, body := postTo(t, s, "/v2/chat", []byte(`{"model":"command-a-03-2025","stream":true,"messages":[{"role":"user","content":"x"}]}`)); !strings.Contains(string(body), `"finish_reason":"ERROR"`) {
		t.Errorf("%s", body)
	}
}

func TestCohereVectorsAndRankings(t *testing.T) {
	s := Start(t, Options{Schema: Cohere})
	status, body := postTo(t, s, "/v2/embed", []byte(`{"model":"embed-v4.0","input_type":"search_query","texts":["a","b"],"output_dimension":256,"embedding_types":["float","base64","int8","ubinary"]}`))
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	got := gjson.ParseBytes(body)
	for i, text := range []string{"a", "b"} {
		v := Vector(text, 256)
		if e := got.Get("embeddings.float").Array()[i].Array(); len(e) != 256 || float32(e[7].Float()) != v[7] {
			t.Errorf("%s: %d numbers", text, len(e))
		}
		if packed := got.Get("embeddings.base64").Array()[i].String(); packed != vector64(v) {
			t.Errorf("%s: %.40s", text, packed)
		}
	}
	if n := len(got.Get("embeddings.ubinary.0").Array()); n != 32 {
		t.Errorf("%d packed bytes", n)
	}
	many := mustJSON(map[string]any{"model": "embed-v4.0", "input_type": "search_query", "texts": slices.Repeat([]any{"x"}, maxCohereTexts+1)})
	if status, body := postTo(t, s, "/v2/embed", many); status != http.StatusBadRequest || !strings.Contains(string(body), "at most 96 - received 97") {
		t.Errorf("%d %s", status, body)
	}
	status, body = postTo(t, s, "/v2/rerank", []byte(`{"model":"rerank-v3.5","query":"red fish","documents":["blue fish","red fish","bird"],"top_n":2}`))
	if status != http.StatusOK || gjson.GetBytes(body, "results.#.index").Raw != "[1,0]" || gjson.GetBytes(body, "meta.billed_units.search_units").Int() != 1 {
		t.Errorf("%d %s", status, body)
	}
}

func TestEmbeddingsAnswerByTheDescription(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	spec, err := openaiEmbeddingsSchemas()
	if err != nil {
		t.Fatal(err)
	}
	for _, input := range []string{`"a"`, `["a","b"]`, `[1,2,3]`, `[[1],[2,3]]`} {
		status, body := postTo(t, s, "/v1/embeddings", []byte(`{"model":"text-embedding-3-large","input":`+input+`}`))
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", input, status, body)
		}
		v, err := parseJSON(body)
		if err != nil {
			t.Fatal(err)
		}
		if err := spec.response.Validate(v); err != nil {
			t.Errorf("%s: %v", input, err)
		}
		if n := len(gjson.GetBytes(body, "data.0.embedding").Array()); n != 3072 {
			t.Errorf("%s: %d dimensions", input, n)
		}
	}
	s.Fail(1, Fault{Kind: Status, Status: 429})
	if status, _ := postTo(t, s, "/v1/embeddings", []byte(`{"model":"text-embedding-3-large","input":"a"}`)); status != 429 {
		t.Errorf("%d", status)
	}
}

func TestVectorsAreOnTheUnitSphere(t *testing.T) {
	for _, n := range []int{1, 7, 256, 1536} {
		var sum float64
		for _, x := range Vector("text", n) {
			sum += float64(x) * float64(x)
		}
		if math.Abs(sum-1) > 1e-4 {
			t.Errorf("%d: length %g", n, math.Sqrt(sum))
		}
	}
	if slices.Equal(Vector("a", 8), Vector("b", 8)) || !slices.Equal(Vector("a", 8), Vector("a", 8)) {
		t.Error("vectors are not of their texts")
	}
}

func TestCountTokensGrows(t *testing.T) {
	s := Start(t, Options{Schema: Anthropic})
	count := func(text string) int64 {
		t.Helper()
		status, body := postTo(t, s, "/v1/messages/count_tokens", mustJSON(map[string]any{"model": "claude-haiku-4-5", "messages": []any{map[string]any{"role": "user", "content": text}}}))
		if status != http.StatusOK {
			t.Fatalf("%d %s", status, body)
		}
		return gjson.GetBytes(body, "input_tokens").Int()
	}
	if few, many := count("one"), count("one two three"); many-few != 2 {
		t.Errorf("%d, %d", few, many)
	}
}
