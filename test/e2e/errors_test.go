package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// everyClient are the schemas that clients speak, with a plain request of each.
var everyClient = []struct {
	name string
	ask  func(model string, stream bool) (path, body string)
}{
	{"openai", func(model string, stream bool) (string, string) {
		return paths["openai"], body("openai", model, stream)
	}},
	{"anthropic", func(model string, stream bool) (string, string) {
		return paths["anthropic"], body("anthropic", model, stream)
	}},
	{"responses", func(model string, stream bool) (string, string) {
		return "/v1/responses", fmt.Sprintf(`{"model":%q,"stream":%v,"input":%q}`, model, stream, question)
	}},
	{"gemini", func(model string, stream bool) (string, string) {
		method := ":generateContent"
		if stream {
			method = ":streamGenerateContent?alt=sse"
		}
		return "/v1beta/models/" + model + method, fmt.Sprintf(`{"contents":[{"role":"user","parts":[{"text":%q}]}]}`, question)
	}},
	{"cohere", func(model string, stream bool) (string, string) {
		return "/v2/chat", fmt.Sprintf(`{"model":%q,"stream":%v,"messages":[{"role":"user","content":%q}]}`, model, stream, question)
	}},
}

// badShape says what is wrong with an error body of any client's schema, "" when nothing is.
func badShape(client string, status int, b []byte) string {
	v := gjson.ParseBytes(b)
	switch client {
	case "gemini":
		if v.Get("error.code").Int() != int64(status) || v.Get("error.status").Str == "" || len(v.Get("error.message").Str) < 10 {
			return "not Google's shape"
		}
	case "cohere":
		if len(v.Get("message").Str) < 10 || v.Get("error").Exists() {
			return "not Cohere's shape"
		}
	case "responses":
		client = "openai"
		fallthrough
	default:
		if err := shapeError(client, b); err != nil {
			return err.Error()
		}
	}
	return ""
}

// TestErrorsOfEachProviderForEachClient: the status that an SDK acts on, the provider's own words, and when to come back, whoever speaks to
// whom.
func TestErrorsOfEachProviderForEachClient(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: everyone + "\nretry: {max_attempts: 1}\n"}) // of its own: health remembers models that are missing
	for _, provider := range chatProviders {
		fake := g.Fakes[provider]
		for _, c := range []struct {
			status  int
			want    map[string]int // by client; "" for any other
			message string
		}{
			{400, map[string]int{"": 400}, "a canary of a request"},
			{403, map[string]int{"": 403}, "a canary of a permission"},
			{404, map[string]int{"": 404}, "a canary of a model"},
			{429, map[string]int{"": 429}, "a canary of a limit"},
			{500, map[string]int{"": 500}, "a canary of a failure"},
			{503, map[string]int{"": 503, "anthropic": 529}, "a canary of a load"},
		} {
			for _, client := range everyClient {
				for _, stream := range []bool{false, true} {
					must(t, g.ResetFakes())
					fake.Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: c.status, Message: c.message, RetryAfter: "7"})
					path, text := client.ask(provider+"/"+fake.Model(), stream)
					a := post(t, g, path, text, "Anthropic-Version", "2023-06-01")
					want := c.want[""]
					if w := c.want[client.name]; w != 0 && provider != "anthropic" { // whose own 503 names no overload
						want = w
					}
					at := fmt.Sprintf("%s to %s, status %d, stream=%v", client.name, provider, c.status, stream)
					if a.status != want || !strings.Contains(string(a.body), c.message) || !strings.Contains(string(a.body), provider) {
						t.Errorf("%s: want %d: %s", at, want, a)
						continue
					}
					if wrong := badShape(client.name, a.status, a.body); wrong != "" {
						t.Errorf("%s: %s: %s", at, wrong, a)
					}
					if a.header.Get("Content-Type") != "application/json" {
						t.Errorf("%s: %s", at, a)
					}
					if c.status == 429 && (a.header.Get("Retry-After") != "7" || a.header.Get("Retry-After-Ms") != "7000") {
						t.Errorf("%s: %s", at, a)
					}
					wantNoSecret(t, g, a)
				}
			}
		}
	}
}

// D73: a body that the gateway does not take is refused before any provider sees it, in each schema's words.
func TestD73_too_large_in_each_schema(t *testing.T) {
	g := harness.Shared(t, everyone+"\nlimits: {max_body_bytes: 1048576}\n")
	for _, client := range everyClient {
		path, text := client.ask("openai/gpt-4.1", false)
		text = strings.Replace(text, question, strings.Repeat("word ", 300_000), 1)
		a := post(t, g, path, text, "Anthropic-Version", "2023-06-01")
		if a.status != http.StatusRequestEntityTooLarge || badShape(client.name, a.status, a.body) != "" || !strings.Contains(string(a.body), "1048576") {
			t.Errorf("%s: %s", client.name, a)
		}
	}
	if n := len(g.OpenAI().Requests()); n != 0 {
		t.Errorf("the provider got %d requests", n)
	}
}

// marks are what is in a stream of each schema alone.
var marks = map[string]string{
	"openai": "chat.completion.chunk", "anthropic": "message_start", "responses": "response.created", "gemini": "usageMetadata", "cohere": "message-start", "bedrock": "contentBlockDelta",
}

// D106, D114, D129: a translated stream is framed as the client's schema has it, nothing of the provider's is left in it, and the provider's
// limits are not shown as the gateway's.
func TestD106_D114_D129_streams_are_the_clients(t *testing.T) {
	g := harness.Shared(t, everyone)
	for _, provider := range chatProviders {
		for _, client := range everyClient {
			path, text := client.ask(provider+"/"+g.Fakes[provider].Model(), true)
			a := post(t, g, path, text, "Anthropic-Version", "2023-06-01")
			at := client.name + " to " + provider
			if a.status != 200 || a.header.Get("Content-Type") != "text/event-stream" || a.header.Get("Content-Length") != "" || a.header.Get("Content-Encoding") != "" {
				t.Errorf("%s: %s", at, a)
			}
			for schema, mark := range marks {
				if got := strings.Contains(string(a.body), mark); got != (schema == client.name) {
					t.Errorf("%s: %s in the stream: %v: %s", at, mark, got, a)
				}
			}
			if done := strings.Contains(string(a.body), "[DONE]"); done != (client.name == "openai" || client.name == "cohere") {
				t.Errorf("%s: [DONE]: %v", at, done)
			}
			for name := range a.header {
				if l := strings.ToLower(name); strings.Contains(l, "ratelimit") || strings.HasPrefix(l, "cf-") || strings.HasPrefix(l, "anthropic-") || strings.HasPrefix(l, "x-amzn") {
					t.Errorf("%s: header %s of the provider", at, name)
				}
			}
		}
	}
}

// D133: a signature covers what is sent, also where the first attempt went to somebody else in another schema.
func TestD133_signed_after_the_last_change(t *testing.T) {
	g := harness.Shared(t, everyone+`
routes:
- {model: signed, strategy: fallback, candidates: [openai/gpt-4.1, "bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0"]}
`)
	for _, client := range everyClient {
		for _, stream := range []bool{false, true} {
			must(t, g.ResetFakes())
			g.OpenAI().Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 503})
			path, text := client.ask("signed", stream)
			a := post(t, g, path, text, "Anthropic-Version", "2023-06-01")
			if a.status != 200 || a.header.Get("X-Dragoman-Provider") != "bedrock" || g.Fakes["bedrock"].Last().Rejected != "" {
				t.Errorf("%s stream=%v: %s", client.name, stream, a)
			}
			if got := g.Fakes["bedrock"].Last().Header.Get("Authorization"); !strings.HasPrefix(got, "AWS4-HMAC-SHA256 Credential=AKIDHARNESS/") {
				t.Errorf("signed by %q", got)
			}
		}
	}
}
