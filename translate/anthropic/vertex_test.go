package anthropic_test

import (
	"strings"
	"testing"

	"dragoman/translate"
	"dragoman/translate/anthropic"
	"dragoman/translate/chat"
)

func vertexTarget(betas string) translate.Target {
	return translate.Target{BasePath: "/v1/projects/p/locations/eu/publishers/anthropic", Model: "claude-sonnet-4-5@20250929", Dialect: anthropic.Vertex,
		Header: func(name string) string {
			if name == "anthropic-beta" {
				return betas
			}
			return ""
		}}
}

func TestD132_vertex_rewrite(t *testing.T) {
	const tail = `"max_tokens": 5 , "messages":[{"role":"user","content":"hi"}],"later":{"a":1}`
	for _, c := range []struct{ name, body, betas, want, dropped, path string }{
		{"plain", `{ "model":"m", ` + tail + `}`, "", `{"anthropic_version":"vertex-2023-10-16",` + `"max_tokens": 5,"messages":[{"role":"user","content":"hi"}],"later":{"a":1}}`, "", ":rawPredict"},
		{"streamed", `{"model":"m","stream":true,` + tail + `}`, "", `{"anthropic_version":"vertex-2023-10-16","stream":true,` + `"max_tokens": 5,"messages":[{"role":"user","content":"hi"}],"later":{"a":1}}`, "", ":streamRawPredict"},
		{"betas", `{"model":"m","anthropic_version":"x","anthropic_beta":["smuggled"],` + tail + `}`, "context-1m-2025-08-07, files-api-2025-04-14,advanced-tool-use-2025-11-20,,tool-search-tool-2025-10-19,b\"d",
			`{"anthropic_version":"vertex-2023-10-16","anthropic_beta":["context-1m-2025-08-07","tool-search-tool-2025-10-19"],` + `"max_tokens": 5,"messages":[{"role":"user","content":"hi"}],"later":{"a":1}}`,
			"anthropic-beta.files-api-2025-04-14", ":rawPredict"},
	} {
		h, err := codec.Parse([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		up, err := codec.Rewrite(h, vertexTarget(c.betas))
		if err != nil {
			t.Fatal(err)
		}
		if string(up.Body) != c.want || strings.Join(up.Dropped, " ") != c.dropped {
			t.Errorf("%s: %s, dropped %q\nwant %s", c.name, up.Body, up.Dropped, c.want)
		}
		if want := "/v1/projects/p/locations/eu/publishers/anthropic/models/claude-sonnet-4-5@20250929" + c.path; up.Path != want {
			t.Errorf("%s: %s", c.name, up.Path)
		}
		same(t, up.Headers, []translate.Header{{Name: "anthropic-beta"}, {Name: "anthropic-version"}})
	}
}

func TestD132_vertex_encode(t *testing.T) {
	r := &chat.Request{Schema: chat.OpenAI, Stream: true, Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{text("hi")}}}}
	up, err := codec.Encode(r, vertexTarget("context-1m-2025-08-07"))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"anthropic_version":"vertex-2023-10-16","max_tokens":4096,"messages":[{"role":"user","content":"hi"}],"stream":true}`
	if string(up.Body) != want || !strings.HasSuffix(up.Path, "@20250929:streamRawPredict") {
		t.Errorf("%s %s", up.Path, up.Body)
	}
}

func TestVertex_counts_tokens_with_a_model_of_its_own(t *testing.T) {
	counter := anthropic.CountTokens{}
	h, err := counter.Parse([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	up, err := counter.Rewrite(h, vertexTarget(""))
	if err != nil || !strings.HasSuffix(up.Path, "/publishers/anthropic/models/count-tokens:rawPredict") || string(up.Body) != `{"model":"claude-sonnet-4-5@20250929","messages":[{"role":"user","content":"hi"}]}` {
		t.Errorf("%+v %v", up, err)
	}
	up, err = counter.Encode(&chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{text("hi")}}}}, vertexTarget(""))
	if err != nil || !strings.HasSuffix(up.Path, "count-tokens:rawPredict") || !strings.HasPrefix(string(up.Body), `{"model":"claude-sonnet-4-5@20250929"`) {
		t.Errorf("%+v %v", up, err)
	}
}

// Other dialects and none keep the vendor's own form, whatever headers a client sent.
func TestRewrite_without_dialect(t *testing.T) {
	h, err := codec.Parse([]byte(`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	to := vertexTarget("context-1m-2025-08-07")
	to.Dialect, to.BasePath = "", "/v1"
	up, err := codec.Rewrite(h, to)
	if err != nil || up.Path != "/v1/messages" || strings.Contains(string(up.Body), "beta") || len(up.Headers) != 1 {
		t.Errorf("%+v %v", up, err)
	}
}
