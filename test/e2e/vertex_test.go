package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/sdk"
)

// Vertex AI serves two schemas below paths of its own, with tokens that Dragoman gets from Google.
const (
	vertexToken  = "ya29.canary-vertex-token-41c9"
	vertexClaude = "claude-sonnet-4-5@20250929"
)

func vertexGateway(t *testing.T) *harness.Gateway {
	tokens := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "application/json")
		w.Header().Set("connection", "close") // nothing of it outlives the gateway
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, vertexToken)
	}))
	t.Cleanup(tokens.Close)
	config := fmt.Sprintf(`providers:
- {name: claude-vertex, schema: anthropic, dialect: vertex, project: p-1, location: europe-west4, endpoint: {{endpoint "claude-vertex"}}, models: [%q], credentials: [{google: {key: {file: %q}}}]}
- {name: gemini-vertex, schema: gemini, dialect: vertex, project: p-1, endpoint: {{endpoint "gemini-vertex"}}, models: [gemini-3-flash-preview], credentials: [{google: {key: {file: %[2]q}}}]}
routes:
- {model: claude, strategy: fallback, candidates: [claude-vertex/%[1]s, gemini-vertex/gemini-3-flash-preview]}
`, vertexClaude, keyFile(t, tokens.URL+"/token"))
	return harness.Start(t, harness.Options{Config: config, Fakes: []fakeprovider.Options{
		{Schema: fakeprovider.Anthropic, Name: "claude-vertex", Dialect: "vertex", Keys: []string{vertexToken}, Models: []string{vertexClaude}},
		{Schema: fakeprovider.Gemini, Name: "gemini-vertex", Keys: []string{vertexToken}, Models: []string{"gemini-3-flash-preview"}},
	}})
}

// TestVertex: every case of every SDK, with both schemas.
func TestVertex(t *testing.T) {
	g := vertexGateway(t)
	waitFor(t, "a token", func() bool {
		return ask(t.Context(), g, "anthropic", "claude", false).err == nil
	})
	for provider, model := range map[string]string{"claude-vertex": vertexClaude, "gemini-vertex": "gemini-3-flash-preview"} {
		schema := string(g.Fakes[provider].Schema())
		for _, c := range sdk.EveryChatCase() {
			if !holds(&c, schema) || c.Name == "models" {
				continue
			}
			why := excepted(c.Client, schema, c.Name)
			t.Run(c.Client+" to "+provider+"/"+c.Name, func(t *testing.T) {
				err := c.Run(t.Context(), g.Target("sk-client", provider+"/"+model))
				if (err == nil) != (why == "") {
					t.Errorf("%v %s", err, why)
				}
			})
		}
	}
	must(t, g.ResetFakes())
	body := `{"model":"claude-vertex/` + vertexClaude + `","messages":[{"role":"user","content":"tell me more"}]}`
	if a := post(t, g, "/v1/messages/count_tokens", body, "Anthropic-Version", "2023-06-01"); a.status != 200 || gjson.GetBytes(a.body, "input_tokens").Int() != 4 || a.header.Get("X-Dragoman-Estimate") != "" {
		t.Errorf("count: %s", a)
	}
	for name, f := range g.Fakes {
		for _, r := range f.Requests() {
			if !strings.HasPrefix(r.Path, "/v1/projects/p-1/locations/europe-west4/publishers/anthropic/models/") {
				t.Errorf("%s was asked %s", name, r.Path)
			}
		}
	}
	if text := g.Log(); strings.Contains(text, vertexToken) {
		t.Error("the token is in the log")
	}
}

// D132: beta features are a header at Anthropic, a member at Vertex, which does not know all of them; another schema gets none.
func TestD132_beta_features_of_each_backend(t *testing.T) {
	g := vertexGateway(t)
	send := func() *answer {
		return post(t, g, "/v1/messages", body("anthropic", "claude", false), "Anthropic-Version", "2023-06-01",
			"Anthropic-Beta", "context-1m-2025-08-07, files-api-2025-04-14,advanced-tool-use-2025-11-20")
	}
	waitFor(t, "a token", func() bool { return send().status == 200 })
	must(t, g.ResetFakes())
	a := send()
	last := g.Fakes["claude-vertex"].Last()
	if a.status != 200 || last.Get("anthropic_beta").Raw != `["context-1m-2025-08-07","tool-search-tool-2025-10-19"]` || last.Header.Get("Anthropic-Beta") != "" ||
		a.header.Get("X-Dragoman-Dropped") != "anthropic-beta.files-api-2025-04-14" {
		t.Errorf("%s: %s", a, last.Body)
	}
	g.Fakes["claude-vertex"].Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 529})
	if a := send(); a.status != 200 || a.header.Get("X-Dragoman-Provider") != "gemini-vertex" || strings.Contains(fmt.Sprint(g.Fakes["gemini-vertex"].Last().Header, string(g.Fakes["gemini-vertex"].Last().Body)), "context-1m") {
		t.Errorf("%s", a)
	}
}
