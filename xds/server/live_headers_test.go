package server_test

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"dragoman/internal/wiring"
)

// nosy is what a client may send to see what gets through; none of it may reach a provider.
var nosy = []string{
	"Authorization", "Bearer client-canary", "X-Api-Key", "client-canary", "Api-Key", "client-canary", "X-Goog-Api-Key", "client-canary",
	"Cookie", "session=client-canary", "Proxy-Authorization", "Basic client-canary", "X-Custom", "client-canary",
	"OpenAI-Organization", "client-canary", "OpenAI-Project", "client-canary", "X-Stainless-Lang", "client-canary",
	"X-Forwarded-For", "203.0.113.9", "X-Forwarded-Host", "client-canary", "Forwarded", "for=client-canary", "Via", "client-canary",
	"X-Request-Id", "client-canary", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Referer", "client-canary",
	"X-Envoy-Max-Retries", "0", "X-Envoy-Retry-On", "5xx", "X-Envoy-Upstream-Rq-Timeout-Ms", "1", "X-Envoy-Attempt-Count", "7",
	wiring.HeaderOrdered, "1", wiring.HeaderProbe, "1", wiring.HeaderLength, "1", "X-Dragoman-Exchange", "client-canary",
	"User-Agent", "client-canary", "X-Session-Id", "client-canary", "X-Client-Request-Id", "client-canary", "Accept-Encoding", "gzip",
}

// credentials of the three providers, as environment variables of the rig.
const threeProviders = `
listen: {address: "127.0.0.1:0"}
providers:
- {name: alpha, schema: openai, endpoint: %q, credentials: [{secret: {env: KEY_ALPHA}}]}
- {name: claude, schema: anthropic, endpoint: %q, credentials: [{secret: {env: KEY_CLAUDE}}]}
- {name: free, schema: openai, endpoint: %q}
`

func TestLive_headersAreAnAllowList(t *testing.T) {
	alpha, claude, free := newUpstream(t, answering(503)), newUpstream(t, answering(503)), newUpstream(t, answering(200))
	r := newRig(t, compile(t, fmt.Sprintf(threeProviders, alpha.URL, claude.URL, free.URL)))
	first := map[string]string{"openai-beta": "from-first", "anthropic-beta": "from-first", "anthropic-version": "from-first", "x-leak": "canary"}
	later := map[string]map[string]string{
		"alpha/default":  {":path": "/openai", wiring.HeaderLength: "9", "x-leak": "canary"},
		"claude/default": {":path": "/anthropic", wiring.HeaderLength: "9", "anthropic-version": "2023-06-01"},
		"free/default":   {":path": "/free", wiring.HeaderLength: "9", "openai-beta": "own"},
	}
	attempt := func(cluster string, _ int) plan { return plan{body: `{"n": 2 }`, set: later[cluster]} }
	plain := []string{"Accept", "Content-Length", "Content-Type", "Host", "User-Agent"}
	for _, c := range []struct {
		name  string
		order []string
		want  map[*upstream][]string // headers beyond the plain ones
	}{
		{"openai first", []string{"alpha", "claude", "free"}, map[*upstream][]string{
			alpha: {"Authorization", "Openai-Beta"}, claude: {"Anthropic-Version", "X-Api-Key"}, free: {"Openai-Beta"},
		}},
		{"anthropic first", []string{"claude", "alpha", "free"}, map[*upstream][]string{
			claude: {"Anthropic-Beta", "Anthropic-Version", "X-Api-Key"}, alpha: {"Authorization"}, free: {"Openai-Beta"},
		}},
		{"without a key first", []string{"free"}, map[*upstream][]string{free: {"Openai-Beta"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := ordered(c.order...)
			maps.Copy(p.set, first)
			r.stub.script(p, attempt)
			resp, _, err := r.post("/v1/chat/completions", `{"model":"m"}`, append(slices.Clone(nosy), "Accept", "application/json")...)
			if err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, err)
			}
			for u, extra := range c.want {
				all := u.seen()
				got := all[len(all)-1]
				want := slices.Sorted(slices.Values(slices.Concat(plain, extra)))
				if names := slices.Sorted(maps.Keys(got.header)); !slices.Equal(names, want) {
					t.Errorf("%s received %v, want %v", got.path, names, want)
				}
				if got.header.Get("User-Agent") != "dragoman ()" {
					t.Errorf("user-agent %q", got.header.Get("User-Agent"))
				}
			}
		})
	}
	keysStayAtHome(t, map[string]*upstream{"alpha": alpha, "claude": claude, "free": free})
	processorSawNoKey(t, r)
}

// keysStayAtHome looks for every canary in everything that each provider ever received.
func keysStayAtHome(t *testing.T, providers map[string]*upstream) {
	t.Helper()
	for name, u := range providers {
		for _, got := range u.seen() {
			text := fmt.Sprint(got.path, got.header)
			if strings.Contains(text, "client-canary") || got.header.Get("x-leak") != "" {
				t.Errorf("%s got what was not for it: %s", name, text)
			}
			for other := range providers {
				if has := strings.Contains(text, "sk-canary-"+other); has != (other == name && name != "free") {
					t.Errorf("%s: key of %s present: %v: %s", name, other, has, text)
				}
			}
		}
	}
}

// A provider's key is Envoy's alone: not even Dragoman's own filters are shown it.
func processorSawNoKey(t *testing.T, r *rig) {
	t.Helper()
	r.stub.mu.Lock()
	defer r.stub.mu.Unlock()
	for _, s := range append(slices.Clone(r.stub.requests), r.stub.attempts...) {
		if strings.Contains(fmt.Sprint(s.headers), "sk-canary-") {
			t.Errorf("an ext_proc stream saw a key: %v", s.headers)
		}
	}
}

func TestLive_hostAndLengthFollowTheAttempt(t *testing.T) {
	alpha, claude, free := newUpstream(t, answering(503)), newUpstream(t, answering(503)), newUpstream(t, answering(200))
	r := newRig(t, compile(t, fmt.Sprintf(threeProviders, alpha.URL, claude.URL, free.URL)))
	bodies := map[string]string{"claude/default": `{"longer":"body"}`, "free/default": ""}
	r.stub.script(ordered("alpha", "claude", "free"), func(cluster string, _ int) plan {
		p := plan{body: bodies[cluster], set: map[string]string{":path": "/" + cluster}}
		if p.body != "" {
			p.set[wiring.HeaderLength] = fmt.Sprint(len(p.body))
		}
		return p
	})
	if resp, _, err := r.post("/v1/chat/completions", `{"model":"m"}`); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	for _, c := range []struct {
		u            *upstream
		path, length string
	}{{alpha, "/v1/chat/completions", "13"}, {claude, "/claude/default", "17"}} {
		got := c.u.seen()[0]
		if got.path != c.path || got.header.Get("Content-Length") != c.length || "http://"+got.header.Get("Host") != c.u.URL {
			t.Errorf("%s: path %s, headers %v", c.u.URL, got.path, got.header)
		}
	}
	// The last one's filter left the body alone: what is sent is the request's own, of its own length or chunked.
	if got := free.seen()[0]; got.body != `{"model":"m"}` {
		t.Errorf("body %q with headers %v", got.body, got.header)
	}
}

// TestLive_forgedPathsReachNoProvider: only what the processor ordered has a route, whatever the client's path and method are.
func TestLive_forgedPathsReachNoProvider(t *testing.T) {
	ok := newUpstream(t, answering(200))
	r := newRig(t, compile(t, fmt.Sprintf("listen: {address: \"127.0.0.1:0\"}\nproviders: [{name: ok, schema: openai, endpoint: %q}]", ok.URL)))
	r.stub.script(plan{}, nil)
	for _, path := range []string{"/", "/v1/models", "/../v1/chat/completions", "/%2e%2e/", "/v1//chat", "/v1/chat/completions?x-dragoman-ordered=1"} {
		resp, _, err := r.post(path, "{}", wiring.HeaderOrdered, "1")
		if err != nil || resp.StatusCode == http.StatusOK {
			t.Errorf("%s: %v %v", path, resp, err)
		}
	}
	if n := len(ok.seen()); n != 0 {
		t.Errorf("the provider was asked %d times", n)
	}
}
