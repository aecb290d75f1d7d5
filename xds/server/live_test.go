package server_test

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"dragoman/internal/wiring"
)

func TestExplore(t *testing.T) {
	a := newUpstream(t, status(503, "retry-after", "7"))
	b := newUpstream(t, status(429, "retry-after", "3"))
	c := newUpstream(t, status(200))
	s := compile(t, fmt.Sprintf(`
listen: {address: "127.0.0.1:0"}
providers:
- {name: alpha, schema: openai, endpoint: %s, credentials: [{secret: {env: KEY_ALPHA}}]}
- {name: beta, schema: anthropic, endpoint: %s, credentials: [{secret: {env: KEY_BETA}}]}
- {name: gamma, schema: openai, endpoint: %s, credentials: [{name: one, secret: {env: KEY_ONE}}, {name: two, secret: {env: KEY_TWO}}]}
`, a.URL, b.URL, c.URL))
	r := newRig(t, s)
	r.stub.request = func(h map[string]string) plan {
		return plan{order: []string{"alpha", "beta", "gamma/one"}, set: map[string]string{wiring.HeaderOrdered: "1", wiring.HeaderMaxRetries: "2", "openai-beta": "x", "x-leak": "y"}}
	}
	r.stub.attempt = func(cluster string, n int) plan {
		return plan{body: `{"attempt":` + fmt.Sprint(n) + `}`, set: map[string]string{":path": "/attempt/" + fmt.Sprint(n), "anthropic-version": "2023-06-01", "content-length": "13"}}
	}
	resp, body, err := r.post("/v1/chat/completions?x=1", `{"model":"m"}`, "Authorization", "Bearer client", "X-Api-Key", "client", "Cookie", "a=b", "X-Custom", "1", "X-Dragoman-Ordered", "1", "Anthropic-Version", "client", "X-Envoy-Max-Retries", "0")
	if err != nil {
		t.Fatal(err)
	}
	t.Log(resp.Status, resp.Header, body)
	for _, u := range []*upstream{a, b, c} {
		for _, x := range u.seen() {
			t.Logf("%+v", x)
		}
	}
	for _, x := range r.stub.requests {
		t.Logf("REQ %v\n   RESP %v\n  ATTR %v", x.headers, x.response, x.attrs)
	}
	for _, x := range r.stub.attempts {
		t.Logf("ATT %s %v\n   RESP %v\n  ATTR %v META %v", x.cluster, x.headers, x.response, x.attrs, x.meta)
	}
	for _, e := range r.stub.logged(2) {
		t.Logf("LOG %v", e)
	}
	t.Log(r.server.Status(), r.events.all)
	_ = os.Getenv
	_ = http.StatusOK
	_ = strings.Repeat
	_ = time.Now
}
