package fakeprovider_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"dragoman/test/fakeprovider"
	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/chat"
	"dragoman/translate/gemini"
	"dragoman/translate/openai"
	"dragoman/translate/translatetest"
)

const vertexBase = "/v1/projects/p/locations/l/publishers/google"

// TestGeminiTakesWhatTheCodecWrites sends each golden request of the clients through the codec to both of Google's services
// and several generations of models: what the codec writes must be accepted, and what comes back must be read.
func TestGeminiTakesWhatTheCodecWrites(t *testing.T) {
	f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini})
	for _, client := range []translatetest.Codec{openai.Codec{}, anthropic.Codec{}, gemini.Codec{}} {
		cases, err := translatetest.Cases(client.Schema())
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range cases {
			for _, model := range []string{"gemini-2.0-flash", "gemini-2.5-flash", "gemini-2.5-pro", "gemini-3-pro-preview", "gemini-3-flash-preview"} {
				for _, dialect := range []string{"", gemini.Vertex} {
					for _, stream := range []bool{false, true} {
						to := translate.Target{BasePath: "/v1beta", Model: model, MaxOutput: 8192, Dialect: dialect, Lossy: true}
						if dialect == gemini.Vertex {
							to.BasePath = vertexBase
						}
						name := string(client.Schema()) + "/" + k.Name + "/" + model + "/" + dialect
						t.Run(name, func(t *testing.T) { geminiRoundTrip(t, f, client, k.Request, to, stream) })
					}
				}
			}
		}
	}
}

func geminiRoundTrip(t *testing.T, f *fakeprovider.Server, client translate.Client, request []byte, to translate.Target, stream bool) {
	h, err := client.Parse(request)
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.Decode(h)
	if err != nil {
		t.Fatal(err)
	}
	r.Stream = stream
	foreign(r)
	up, err := gemini.Codec{}.Encode(r, to)
	if err != nil {
		t.Fatal(err)
	}
	status, body := geminiPost(t, f, up, to.Dialect == gemini.Vertex)
	if status != http.StatusOK {
		t.Fatalf("%d %s\nto %s", status, body, up.Body)
	}
	if !stream {
		if _, err := (gemini.Codec{}).DecodeResponse(body); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return
	}
	acc, d := chat.NewAccumulator(1<<20), gemini.Codec{}.NewDecoder(1<<20)
	if err := d.Decode(body, acc.Add); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(acc.Add); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	if _, ok := acc.Response(); !ok {
		t.Fatalf("no answer: %s", body)
	}
}

// foreign takes signatures away that no fake has made.
func foreign(r *chat.Request) {
	for i := range r.Messages {
		for j := range r.Messages[i].Parts {
			r.Messages[i].Parts[j].Signature = ""
		}
	}
}

func geminiPost(t *testing.T, f *fakeprovider.Server, up *translate.Upstream, vertex bool) (int, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.Origin()+up.Path, bytes.NewReader(up.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if vertex {
		req.Header.Set("Authorization", "Bearer "+f.Key())
	} else {
		req.Header.Set("X-Goog-Api-Key", f.Key())
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// TestGeminiOperations sends the codec's other operations to both services.
func TestGeminiOperations(t *testing.T) {
	f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini, Models: []string{"gemini-3-flash-preview", "gemini-embedding-001", "gemini-embedding-2"}})
	size := int64(8)
	for _, dialect := range []string{"", gemini.Vertex} {
		base := map[string]string{"": "/v1beta", gemini.Vertex: vertexBase}[dialect]
		to := translate.Target{BasePath: base, Model: "gemini-3-flash-preview", Dialect: dialect}
		h, err := gemini.CountTokens{}.Parse([]byte(`{"contents":[{"parts":[{"text":"one two three"}]}],"systemInstruction":{"parts":[{"text":"be brief"}]}}`))
		if err != nil {
			t.Fatal(err)
		}
		r, err := gemini.CountTokens{}.Decode(h)
		if err != nil {
			t.Fatal(err)
		}
		up, err := gemini.CountTokens{}.Encode(r, to)
		if err != nil {
			t.Fatal(err)
		}
		status, body := geminiPost(t, f, up, dialect != "")
		if got, err := (gemini.CountTokens{}).DecodeResponse(body); status != 200 || err != nil || *got.Count != 6 { // with the role
			t.Errorf("%s count: %d %s %v", dialect, status, body, err)
		}
		for _, texts := range [][]string{{"a b"}, {"a", "b c"}} {
			for _, model := range []string{"gemini-embedding-001", "gemini-embedding-2"} {
				if dialect == gemini.Vertex && model == "gemini-embedding-2" && len(texts) > 1 {
					continue
				}
				q := &chat.EmbeddingRequest{Dimensions: &size, Purpose: "query"}
				for _, s := range texts {
					q.Inputs = append(q.Inputs, chat.EmbeddingInput{Text: s})
				}
				to.Model = model
				up, err := gemini.Embeddings{}.Encode(&chat.Request{Schema: chat.OpenAI, Embedding: q}, to)
				if err != nil {
					t.Fatal(err)
				}
				status, body := geminiPost(t, f, up, dialect != "")
				got, err := gemini.Embeddings{}.DecodeResponse(body)
				if status != 200 || err != nil || len(got.Embedding.Vectors) != len(texts) || len(got.Embedding.Vectors[0]) != 8 {
					t.Errorf("%s %s: %d %s %v", up.Path, texts, status, body, err)
				}
			}
		}
	}
}

// TestGeminiSignaturesAreItsOwn: a conversation goes on from signed answers, and breaks with somebody else's signature.
func TestGeminiSignaturesAreItsOwn(t *testing.T) {
	f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini})
	to := translate.Target{BasePath: "/v1beta", Model: "gemini-3-pro-preview"}
	r := &chat.Request{Schema: chat.OpenAI, Tools: []chat.Tool{{Name: "now"}}, Messages: []chat.Message{
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "now and now"}}},
	}}
	up, err := gemini.Codec{}.Encode(r, to)
	if err != nil {
		t.Fatal(err)
	}
	_, body := geminiPost(t, f, up, false)
	got, err := gemini.Codec{}.DecodeResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	said := chat.Message{Role: chat.Assistant, Parts: got.Choices[0].Parts}
	r.Messages = append(r.Messages, said)
	for _, p := range said.Parts {
		if p.Call != nil {
			r.Messages = append(r.Messages, chat.Message{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{
				CallID: p.Call.ID, Parts: []chat.Part{{Kind: chat.Text, Text: "noon"}}}}}})
		}
	}
	if up, err = (gemini.Codec{}).Encode(r, to); err != nil {
		t.Fatal(err)
	}
	if status, body := geminiPost(t, f, up, false); status != 200 || bytes.Contains(up.Body, []byte("skip_thought")) {
		t.Errorf("%d %s\nto %s", status, body, up.Body)
	}
	up.Body = bytes.Replace(up.Body, []byte(`"thoughtSignature":"`), []byte(`"thoughtSignature":"AAAA`), 1)
	if status, body := geminiPost(t, f, up, false); status != 400 || !strings.Contains(string(body), "Corrupted") {
		t.Errorf("%d %s", status, body)
	}
	f.TakeUnexpected()
}
