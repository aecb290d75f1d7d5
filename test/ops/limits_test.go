package ops

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// tenants is a configuration with keys: each line is one key of the tenant acme.
func tenants(extra string, keys ...string) string {
	b := &strings.Builder{}
	b.WriteString("{{providers}}routes: [{model: cheap, strategy: fallback, candidates: [openai/gpt-4.1-mini]}]\n" + extra + "tenants:\n- name: acme\n  keys:\n")
	for _, k := range keys {
		b.WriteString("  - " + k + "\n")
	}
	return b.String()
}

func keyed(name, rest string) string {
	return fmt.Sprintf("{name: %s, hash: '%s'%s}", name, config.HashKey("dgm_"+name), rest)
}

func as(name string) []string { return []string{"authorization", "Bearer dgm_" + name} }

func withKey(t testing.TB, g *harness.Gateway, name, path, body string) reply {
	t.Helper()
	return ask(t, g.URL, path, body, as(name)...)
}

// TestKeys: which models a key may use, in both schemas, and keys that are of no use.
func TestKeys(t *testing.T) {
	g := harness.Shared(t, tenants("", keyed("any", ""), keyed("some", ", models: [cheap, 'claude-*']"), keyed("gone", ", revoked: true")))
	for _, c := range []struct {
		key, model string
		status     int
		code       string
	}{
		{"any", "gpt-4.1", 200, ""}, {"any", "anthropic/claude-haiku-4-5", 200, ""},
		{"some", "cheap", 200, ""}, {"some", "claude-haiku-4-5", 200, ""}, {"some", "anthropic/claude-haiku-4-5", 200, ""},
		{"some", "gpt-4.1", 403, "model_not_allowed"}, {"some", "openai/gpt-4.1-mini", 403, "model_not_allowed"}, {"some", "auto", 403, "model_not_allowed"},
		{"some", "nothing-like-that", 404, "model_not_found"},
		{"gone", "cheap", 401, "revoked_api_key"}, {"nobody", "cheap", 401, "invalid_api_key"},
	} {
		for _, path := range []string{chatPath, messagesPath} {
			r := withKey(t, g, c.key, path, question(c.model, "x"))
			if r.status != c.status || path == chatPath && gjson.Get(r.body, "error.code").String() != c.code {
				t.Errorf("%s with key %s asks for %s: %d %s, want %d %s", path, c.key, c.model, r.status, r.body, c.status, c.code)
			}
			want := map[int]string{401: "authentication_error", 403: "permission_error", 404: "not_found_error"}[c.status]
			if path == messagesPath && gjson.Get(r.body, "error.type").String() != want {
				t.Errorf("%s: %s, want %s", path, r.body, want)
			}
			if strings.Contains(r.body, "dgm_") {
				t.Errorf("the key is shown: %s", r.body)
			}
		}
	}
	for _, f := range g.Fakes {
		if n := f.Counters().Rejected; n > 0 {
			t.Errorf("%s refused %d requests that should not have come", f.Name(), n)
		}
	}
}

// TestRequestsPerMinute has the headers that OpenAI's clients read, to the digit, and says when to come back.
func TestRequestsPerMinute(t *testing.T) {
	for _, path := range []string{chatPath, messagesPath} {
		key := "rpm" + strings.Trim(strings.ReplaceAll(path, "/", ""), "_")
		g := harness.Start(t, harness.Options{Config: tenants("", keyed(key, ", limits: {requests_per_minute: 2}"))})
		r := withKey(t, g, key, path, question("cheap", "x"))
		wantOK(t, r, "echo: x")
		wantHeaders(t, r, "x-ratelimit-limit-requests", "2", "x-ratelimit-remaining-requests", "1", "x-ratelimit-reset-requests", "30s",
			"x-ratelimit-limit-tokens", "", "retry-after", "")
		r = withKey(t, g, key, path, question("cheap", "x"))
		wantHeaders(t, r, "x-ratelimit-remaining-requests", "0")

		r = withKey(t, g, key, path, question("cheap", "x"))
		wait, err := strconv.Atoi(r.header.Get("retry-after"))
		if r.status != 429 || err != nil || wait < 25 || wait > 30 {
			t.Errorf("%s: %d retry-after %q %s", path, r.status, r.header.Get("retry-after"), r.body)
		}
		wantHeaders(t, r, "x-ratelimit-limit-requests", "2", "x-ratelimit-remaining-requests", "0")
		kind := gjson.Get(r.body, "error.type").String()
		if path == messagesPath && kind != "rate_limit_error" || path == chatPath && gjson.Get(r.body, "error.code").String() != "rate_limit_exceeded" {
			t.Errorf("%s: %s", path, r.body)
		}
		if n := g.OpenAI().Counters().Requests; n != 2 {
			t.Errorf("the provider was asked %d times", n)
		}
		wantMetric(t, g, `dragoman_limit_refusals_total{tenant="acme"}`, "1")
	}
}

func wantHeaders(t testing.TB, r reply, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := r.header.Get(pairs[i]); got != pairs[i+1] {
			t.Errorf("%s: %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

func number(t testing.TB, r reply, header string) int {
	t.Helper()
	n, err := strconv.Atoi(r.header.Get(header))
	if err != nil {
		t.Fatalf("%s: %v (%d %s)", header, err, r.status, r.body)
	}
	return n
}

// TestTokensAreSettled: the worst case is reserved, and what was not used is given back when the answer has ended.
func TestTokensAreSettled(t *testing.T) {
	for i, c := range []struct {
		path   string
		stream bool
	}{{chatPath, false}, {chatPath, true}, {messagesPath, false}, {messagesPath, true}} {
		name := fmt.Sprintf("settled%d", i)
		t.Run(name, func(t *testing.T) {
			g := harness.Shared(t, tenants("", keyed(name, ", limits: {tokens_per_minute: 600}")))
			body := question("cheap", "one two three")
			if c.stream {
				body = streamed(body)
			}
			first := withKey(t, g, name, c.path, body)
			wantOK(t, first, "three")
			wantHeaders(t, first, "x-ratelimit-limit-tokens", "600")
			left := number(t, first, "x-ratelimit-remaining-tokens")
			if left < 450 || left >= 500 { // 600 less 100 of output and the prompt
				t.Errorf("%d left after reserving 100 and the prompt", left)
			}
			time.Sleep(100 * time.Millisecond) // the settlement comes just after the answer
			// 4 tokens in and 4 out were used; all else is back, and 10 a second flow back besides.
			second := withKey(t, g, name, c.path, body)
			if now := number(t, second, "x-ratelimit-remaining-tokens"); now < left-8 || now > left {
				t.Errorf("%d left, %d before", now, left)
			}
		})
	}
}

// TestFailureIsRefunded: a request that no provider answered costs nothing.
func TestFailureIsRefunded(t *testing.T) {
	g := harness.Shared(t, tenants("", keyed("refund", ", limits: {tokens_per_minute: 600}")))
	g.OpenAI().Fail(0, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 400})
	first := withKey(t, g, "refund", chatPath, question("cheap", "x"))
	left := number(t, first, "x-ratelimit-remaining-tokens")
	for range 10 { // more than the limit, if each kept its reservation
		time.Sleep(20 * time.Millisecond)
		r := withKey(t, g, "refund", chatPath, question("cheap", "x"))
		if now := number(t, r, "x-ratelimit-remaining-tokens"); r.status != 400 || now < left {
			t.Fatalf("%d, %d left, %d before: %s", r.status, now, left, r.body)
		}
	}
}

// TestC3_concurrent_requests_cannot_overspend sends 50 requests at once of which 9 fit: each is reserved at its worst case, and
// none is admitted on what another has already taken.
func TestC3_concurrent_requests_cannot_overspend(t *testing.T) {
	const limit, output = 1000, 100
	g := harness.Shared(t, tenants("", keyed("c3", fmt.Sprintf(", limits: {tokens_per_minute: %d}", limit))))
	g.OpenAI().Fail(0, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 700 * time.Millisecond}) // all are under way at once
	var mu sync.Mutex
	var admitted, refused int
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			path := []string{chatPath, messagesPath}[i%2]
			r := withKey(t, g, "c3", path, question("cheap", "x"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case r.status == http.StatusOK:
				admitted++
			case r.status == http.StatusTooManyRequests && r.header.Get("retry-after") != "":
				refused++
			default:
				t.Errorf("%d %v %s", r.status, r.err, r.body)
			}
		})
	}
	wg.Wait()
	// Each took 100 and at least one token of the prompt; in the second that this takes, 17 flow back.
	if admitted < 5 || admitted*(output+1) > limit+limit/60*2 || admitted+refused != 50 {
		t.Errorf("%d admitted, %d refused", admitted, refused)
	}
	if n := g.OpenAI().Counters().Requests; n != admitted {
		t.Errorf("the provider was asked %d times for %d admitted requests", n, admitted)
	}
	t.Logf("%d admitted, %d refused", admitted, refused)
}

// TestModelLists by key, in both schemas, with the official SDKs.
func TestModelLists(t *testing.T) {
	g := harness.Shared(t, tenants("", keyed("all", ""), keyed("few", ", models: [cheap, 'claude-haiku-4-5']")))
	for key, want := range map[string][]string{"all": {"cheap", "claude-haiku-4-5", "gpt-4.1", "auto"}, "few": {"cheap", "claude-haiku-4-5"}} {
		o := openai.NewClient(openaioption.WithBaseURL(g.URL+"/v1"), openaioption.WithAPIKey("dgm_"+key), openaioption.WithHTTPClient(g.HTTP), openaioption.WithMaxRetries(0))
		a := anthropic.NewClient(anthropicoption.WithBaseURL(g.URL), anthropicoption.WithAPIKey("dgm_"+key), anthropicoption.WithHTTPClient(g.HTTP), anthropicoption.WithMaxRetries(0))
		var openaiIDs, anthropicIDs []string
		for page := o.Models.ListAutoPaging(t.Context()); ; {
			if !page.Next() {
				must(t, page.Err())
				break
			}
			openaiIDs = append(openaiIDs, page.Current().ID)
		}
		for page := a.Models.ListAutoPaging(t.Context(), anthropic.ModelListParams{}); ; {
			if !page.Next() {
				must(t, page.Err())
				break
			}
			anthropicIDs = append(anthropicIDs, page.Current().ID)
		}
		for _, ids := range [][]string{openaiIDs, anthropicIDs} {
			for _, id := range want {
				if !slices.Contains(ids, id) {
					t.Errorf("key %s does not see %s in %v", key, id, ids)
				}
			}
			if key == "few" && len(ids) != len(want) {
				t.Errorf("key few sees %v", ids)
			}
		}
		m, err := o.Models.Get(t.Context(), "claude-haiku-4-5")
		if err != nil || m.ID != "claude-haiku-4-5" || m.OwnedBy == "" {
			t.Errorf("one model, OpenAI: %+v %v", m, err)
		}
		am, err := a.Models.Get(t.Context(), "cheap", anthropic.ModelGetParams{})
		if err != nil || am.ID != "cheap" || am.DisplayName == "" {
			t.Errorf("one model, Anthropic: %+v %v", am, err)
		}
		_, err = o.Models.Get(t.Context(), "gpt-4.1")
		var apiError *openai.Error
		if seen := !errors.As(err, &apiError); seen != (key == "all") || !seen && apiError.StatusCode != 404 {
			t.Errorf("key %s asks for gpt-4.1: %v", key, err)
		}
	}
}
