package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/test/harness"
)

// What not every schema can say, from an OpenAI client to each provider: it arrives, or it is refused with the field at fault, or, where the
// route says so, it is left out and named. Nothing is lost in silence.

// droppable are routes to each provider that drop what their schema cannot say.
func droppable(g string) string {
	routes := everyone + "\nroutes:\n"
	for _, p := range strings.Fields(g) {
		provider, model, _ := strings.Cut(p, "=")
		routes += fmt.Sprintf("- {model: lossy-%s, strategy: fallback, unsupported: drop, candidates: [%q]}\n", provider, provider+"/"+model)
	}
	return routes
}

const ofEach = "openai=gpt-4.1 anthropic=claude-opus-4-5 gemini=gemini-3-flash-preview bedrock=eu.anthropic.claude-haiku-4-5-20251001-v1:0 cohere=command-a-03-2025"

func TestWhatOnlySomeProvidersCanSay(t *testing.T) {
	g := harness.Shared(t, droppable(ofEach))
	sound := base64.StdEncoding.EncodeToString([]byte("RIFF0000WAVEfmt "))
	pdf := base64.StdEncoding.EncodeToString(paper)
	for _, c := range []struct {
		name, members, content string
		able                   string // providers that can say it
		at                     string // what a provider's request has then, "" for anything
		param                  string // of the refusal
	}{
		{"two answers", `"n":2,`, `"hi"`, "openai gemini", "", "n"},
		{"log probabilities", `"logprobs":true,`, `"hi"`, "openai gemini cohere", "", "logprobs"},
		{"a PDF", "", `[{"type":"text","text":"hi"},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,` + pdf + `"}}]`, "openai anthropic gemini bedrock", pdf, "messages"},
		{"a sound", "", `[{"type":"text","text":"hi"},{"type":"input_audio","input_audio":{"data":"` + sound + `","format":"wav"}}]`, "openai gemini", sound, "messages"},
	} {
		for _, p := range strings.Fields(ofEach) {
			provider, model, _ := strings.Cut(p, "=")
			must(t, g.ResetFakes())
			ask := func(model string) *answer {
				return post(t, g, paths["openai"], fmt.Sprintf(`{"model":%q,%s"max_tokens":50,"messages":[{"role":"user","content":%s}]}`, model, c.members, c.content))
			}
			a := ask(provider + "/" + model)
			able := strings.Contains(c.able, provider)
			switch {
			case able && (a.status != 200 || !strings.Contains(string(g.Fakes[provider].Last().Body), c.at) || a.header.Get("X-Dragoman-Dropped") != ""):
				t.Errorf("%s to %s: %s", c.name, provider, a)
			case able && c.name == "two answers" && gjson.GetBytes(a.body, "choices.#").Int() != 2:
				t.Errorf("%s to %s: %s", c.name, provider, a)
			case !able:
				wantFault(t, a, "openai", 400)
				if got := gjson.GetBytes(a.body, "error.param").Str; !strings.HasPrefix(got, c.param) || len(g.Fakes[provider].Requests()) != 0 {
					t.Errorf("%s to %s: %s", c.name, provider, a)
				}
			}
			if able {
				continue
			}
			a = ask("lossy-" + provider)
			if a.status == 400 && badShape("openai", 400, a.body) == "" { // what no answer can do without
				continue
			}
			if a.status != 200 || !strings.HasPrefix(a.header.Get("X-Dragoman-Dropped"), c.param) {
				t.Errorf("%s to %s, to be dropped: %s", c.name, provider, a)
			}
		}
	}
}

// TestModelsAreListed: what a caller may choose from, with what is known of it.
func TestModelsAreListed(t *testing.T) {
	g := harness.Shared(t, everyone)
	list := do(t, g, "GET", "/v1/models", nil)
	for _, want := range []string{"context_window", "max_output_tokens", "price_usd_per_million_tokens.input", "price_usd_per_million_tokens.output", "capabilities.0"} {
		if got := gjson.GetBytes(list.body, `data.#(id=="gpt-4.1").`+want); !got.Exists() {
			t.Errorf("no %s: %.600s", want, list.body)
		}
	}
	if one := do(t, g, "GET", "/v1/models/gpt-4.1", nil); one.status != 200 || gjson.GetBytes(one.body, "context_window").Int() < 100_000 {
		t.Errorf("%s", one)
	}
	wantFault(t, do(t, g, "GET", "/v1/models/nothing", nil), "openai", 404)
	// A model that nobody has a price of says so by having none.
	if price := gjson.GetBytes(list.body, `data.#(id=="gpt-5-stateful").price_usd_per_million_tokens`); price.Exists() {
		t.Errorf("an unknown price is %s", price.Raw)
	}
	for header, path := range map[string]string{"Anthropic-Version=2023-06-01": "data.0.display_name", "X-Goog-Api-Key=k": "models.0.inputTokenLimit"} {
		name, value, _ := strings.Cut(header, "=")
		if a := do(t, g, "GET", "/v1/models", nil, name, value); a.status != 200 || !gjson.GetBytes(a.body, path).Exists() && !strings.Contains(string(a.body), strings.TrimPrefix(path, "models.0.")) {
			t.Errorf("%s: %.400s", header, a)
		}
	}
}
