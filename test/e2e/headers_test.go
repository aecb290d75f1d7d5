package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// smuggled is what a client may send that no provider may see; canary stands in each value.
const canary = "canary-5d81"

func smuggled() []string {
	var out []string
	for _, name := range []string{
		"Cookie", "X-Custom", "X-Dragoman-Ordered", "X-Dragoman-Probe", "X-Dragoman-Length", "X-Dragoman-Local-Reply", "X-Envoy-Max-Retries",
		"X-Envoy-Attempt-Count", "X-Envoy-Upstream-Rq-Timeout-Ms", "X-Envoy-Retry-On", "X-Envoy-Original-Path", "X-Forwarded-For", "X-Forwarded-Host",
		"X-Request-Id", "Forwarded", "Referer", "Origin", "Traceparent", "Openai-Organization", "Openai-Project", "Proxy-Authorization", "User-Agent",
		"X-Stainless-Lang", "Api-Key", "X-Goog-Api-Key", "X-Session-Id", "X-Client-Request-Id", "Accept-Language", "Range", "If-None-Match",
	} {
		out = append(out, name, canary+"-"+name)
	}
	return append(out, "Authorization", "Bearer "+canary+"-bearer", "X-Api-Key", canary+"-x-api-key")
}

// chain is a configuration whose route `chain` goes from one provider to the other and back.
const chain = `{{providers}}
retry: {max_attempts: 3, backoff: 5ms}
health: {half_life: 100ms}
routes:
  - {model: chain, strategy: fallback, candidates: [openai/gpt-4.1, anthropic/claude-opus-4-5, openai/gpt-4o]}
  - {model: niahc, strategy: fallback, candidates: [anthropic/claude-opus-4-5, openai/gpt-4.1, anthropic/claude-haiku-4-5]}
`

// wantSealed checks what every attempt looked like: nothing of the client's, the provider's own key alone, a length that is right.
func wantSealed(t *testing.T, g *harness.Gateway) {
	t.Helper()
	for name, f := range g.Fakes {
		for _, secret := range []string{canary, clientKey} {
			if where := f.Saw(secret); len(where) > 0 {
				t.Errorf("%s saw %s in %v", name, secret, where)
			}
		}
		for _, r := range f.Requests() {
			if got := r.Header.Get("Content-Length"); got != fmt.Sprint(r.BodyLen) || r.Header.Get("Transfer-Encoding") != "" {
				t.Errorf("%s: content-length %q of a body of %d bytes", name, got, r.BodyLen)
			}
			keys := map[string]string{"openai": r.Header.Get("Authorization"), "anthropic": r.Header.Get("X-Api-Key")}
			if (keys["openai"] != "") == (keys["anthropic"] != "") || keys[name] == "" {
				t.Errorf("%s got the credentials of another schema: %v", name, keys)
			}
		}
	}
	g.CheckFakes(t)
}

// TestC21_headers_to_a_provider_are_an_allow_list_on_every_attempt sends what must not get through along a chain of three attempts.
func TestC21_headers_to_a_provider_are_an_allow_list_on_every_attempt(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: chain}) // of its own: what health has learnt elsewhere changes the order
	for route, order := range map[string][]string{"chain": {"openai", "anthropic", "openai"}, "niahc": {"anthropic", "openai", "anthropic"}} {
		for attempts := 1; attempts <= 3; attempts++ {
			for _, client := range schemas {
				t.Run(fmt.Sprintf("%s/%s client, attempt %d", route, client, attempts), func(t *testing.T) {
					must(t, g.ResetFakes())
					for _, p := range order[:attempts-1] {
						g.Fakes[p].Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500})
					}
					a := post(t, g, paths[client], body(client, route, attempts%2 == 0), smuggled()...)
					if a.status != 200 || !strings.Contains(string(a.body), "echo") {
						t.Errorf("%s", a)
					}
					total := 0
					for _, f := range g.Fakes {
						total += len(f.Requests())
					}
					if total != attempts {
						t.Errorf("%d attempts, want %d", total, attempts)
					}
					wantSealed(t, g)
				})
			}
		}
	}
}

func TestAnthropicBetaPassesOnlyToAnthropic(t *testing.T) {
	g := harness.Shared(t, "")
	for _, client := range schemas {
		for _, provider := range schemas {
			post(t, g, paths[client], body(client, provider+"/"+g.Fakes[provider].Model(), false), "Anthropic-Beta", "context-1m-2025-08-07", "Anthropic-Version", "2023-06-01")
			got := g.Fakes[provider].Last().Header.Get("Anthropic-Beta")
			if want := client == "anthropic" && provider == "anthropic"; (got != "") != want {
				t.Errorf("%s client to %s: anthropic-beta %q", client, provider, got)
			}
		}
	}
	g.CheckFakes(t)
}

func TestResponseHeadersOfAProviderStayBehind(t *testing.T) {
	g := harness.Shared(t, "")
	secret := map[string]string{
		"Set-Cookie": "__cf_bm=" + canary, "X-Ratelimit-Remaining-Requests": canary, "Openai-Organization": canary, "Anthropic-Organization-Id": canary,
		"Request-Id": canary, "X-Custom": canary, "Via": canary, "Alt-Svc": canary, "Server": canary, "X-Dragoman-Local-Reply": canary, "X-Envoy-Upstream-Service-Time": canary,
		"Strict-Transport-Security": canary, "Access-Control-Allow-Origin": "*",
	}
	allowed := []string{"Content-Type", "Content-Length", "Date", "Server", "X-Request-Id", "X-Dragoman-Provider", "X-Dragoman-Model", "X-Dragoman-Attempts",
		"X-Dragoman-Dropped", "X-Dragoman-Cache", "Cache-Control", "Openai-Processing-Ms"}
	for _, client := range schemas {
		for _, provider := range schemas {
			for _, stream := range []bool{false, true} {
				f := g.Fakes[provider]
				f.Next(&fakeprovider.Reply{Blocks: fakeprovider.Text("hi").Blocks, Header: secret})
				a := post(t, g, paths[client], body(client, provider+"/"+f.Model(), stream))
				if a.status != 200 {
					t.Errorf("%s", a)
				}
				for name, values := range a.header {
					if !slices.Contains(allowed, name) || strings.Contains(strings.Join(values, " "), canary) {
						t.Errorf("%s client of %s, streamed %v, gets %s: %v", client, provider, stream, name, values)
					}
				}
			}
		}
	}
}

// TestC24_large_bodies_are_sent_again tries a body of 20 MB on the first provider, which fails, and on the next.
func TestC24_large_bodies_are_sent_again(t *testing.T) {
	g := harness.Shared(t, chain+`  - {model: large, strategy: fallback, candidates: [roomy-gpt, roomy-claude]}
models: # whose windows are unknown, and so no reason to refuse
  - {name: roomy-gpt, provider: openai, id: gpt-4.1}
  - {name: roomy-claude, provider: anthropic, id: claude-opus-4-5}
`)
	big := strings.Repeat("word ", 20<<20/5)
	for _, client := range schemas {
		if err := g.ResetFakes(); err != nil {
			t.Fatal(err)
		}
		g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500})
		a := post(t, g, paths[client], strings.Replace(body(client, "large", false), question, big, 1))
		if a.status != 200 || a.header.Get("X-Dragoman-Attempts") != "2" {
			t.Errorf("status %d, header %v, %.300s", a.status, a.header, a.body)
			continue
		}
		if n := g.Anthropic().Last().BodyLen; n < 20<<20 {
			t.Errorf("the second provider got %d bytes", n)
		}
	}
}
