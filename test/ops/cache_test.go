package ops

import (
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// cached has the cache on, and two tenants. Its ttl makes each test start with an empty one.
func cached(ttl string) string {
	return "{{providers}}cache: {exact: {ttl: " + ttl + "}}\ntenants:\n" +
		"- {name: acme, limits: {tokens_per_minute: 100000}, keys: [{name: ci, hash: '" + config.HashKey("dgm_acme") + "'}]}\n" +
		"- {name: other, keys: [{name: ci, hash: '" + config.HashKey("dgm_other") + "'}]}\n"
}

func wantCache(t testing.TB, r reply, state, contains string) {
	t.Helper()
	if r.err != nil || r.status != 200 || r.header.Get("x-dragoman-cache") != state || !strings.Contains(r.body, contains) {
		t.Errorf("want a %s with %q: %d %q %v %s", state, contains, r.status, r.header.Get("x-dragoman-cache"), r.err, r.body)
	}
}

// wantServed takes an answer that was not asked for again: of the cache, or, on a busy machine, of the request that is still storing it.
func wantServed(t testing.TB, r reply, contains string) {
	t.Helper()
	state := "hit"
	if r.header.Get("x-dragoman-cache") == "coalesced" {
		state = "coalesced"
	}
	wantCache(t, r, state, contains)
}

// TestCacheHits across streams and schemas: the answer is stored once and told in whatever way it is asked for.
func TestCacheHits(t *testing.T) {
	g := harness.Shared(t, cached("61m"))
	for _, stored := range []string{chatPath, messagesPath} {
		for _, streamedFirst := range []bool{false, true} {
			must(t, g.ResetFakes())
			text := "who" + strings.ReplaceAll(stored, "/", "")
			if streamedFirst {
				text += "streamed"
			}
			body := question("gpt-4.1", text)
			first := body
			if streamedFirst {
				first = streamed(body)
			}
			wantCache(t, withKey(t, g, "acme", stored, first), "miss", "")
			time.Sleep(50 * time.Millisecond) // stored just after the answer
			for _, path := range []string{chatPath, messagesPath} {
				content := map[string]string{chatPath: "choices.0.message.content", messagesPath: "content.0.text"}[path]
				r := withKey(t, g, "acme", path, body)
				wantServed(t, r, "")
				if got := gjson.Get(r.body, content).String(); got != "echo: "+text {
					t.Errorf("stored by %s, served to %s: %q in %s", stored, path, got, r.body)
				}
				r = withKey(t, g, "acme", path, streamed(body))
				wantServed(t, r, map[string]string{chatPath: "data: [DONE]", messagesPath: "event: message_stop"}[path])
				if !strings.HasPrefix(r.header.Get("content-type"), "text/event-stream") {
					t.Errorf("a stream's content-type: %v", r.header)
				}
			}
			if n := g.OpenAI().Counters().Requests; n != 1 {
				t.Errorf("the provider was asked %d times", n)
			}
		}
	}
}

// TestCacheHitIsNotCharged: neither tokens of the limit nor money.
func TestCacheHitIsNotCharged(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: cached("62m")})
	body := question("gpt-4.1", "charged once")
	wantCache(t, withKey(t, g, "acme", chatPath, body), "miss", "charged once")
	spent := func() string {
		return metric(t, g, `dragoman_tokens_total{class="output",model="gpt-4.1",provider="openai",tenant="acme"}`)
	}
	eventually(t, 2*time.Second, "no tokens", func() error { return wantEqual("output tokens", spent(), "3") })
	cost := `dragoman_cost_microusd_total{model="gpt-4.1",provider="openai",tenant="acme"}`
	before := metric(t, g, cost)
	left := 0
	for range 5 {
		r := withKey(t, g, "acme", chatPath, body)
		wantCache(t, r, "hit", "charged once")
		now := number(t, r, "x-ratelimit-remaining-tokens")
		if now < left { // each hit gives back all that it reserved
			t.Errorf("%d left, %d before", now, left)
		}
		left = now
		time.Sleep(20 * time.Millisecond)
	}
	if spent() != "3" || metric(t, g, cost) != before || before == "" {
		t.Errorf("tokens %s, cost %q, before %q", spent(), metric(t, g, cost), before)
	}
	wantMetric(t, g, `dragoman_cache_lookups_total{result="hit"}`, "5")
	wantMetric(t, g, `dragoman_cache_lookups_total{result="miss"}`, "1")
}

// TestTenantsNeverShareAnswers, and neither do requests that differ in anything.
func TestTenantsNeverShareAnswers(t *testing.T) {
	g := harness.Shared(t, cached("63m"))
	base := question("gpt-4.1", "secret of acme")
	wantCache(t, withKey(t, g, "acme", chatPath, base), "miss", "")
	time.Sleep(50 * time.Millisecond)
	wantCache(t, withKey(t, g, "acme", chatPath, base), "hit", "")
	wantCache(t, withKey(t, g, "other", chatPath, base), "miss", "")
	wantCache(t, withKey(t, g, "other", messagesPath, base), "hit", "") // its own, by now
	for what, body := range map[string]string{
		"model":       question("gpt-4o", "secret of acme"),
		"text":        question("gpt-4.1", "secret of acme "),
		"max_tokens":  strings.Replace(base, "100", "101", 1),
		"system":      strings.Replace(base, `"messages":[`, `"messages":[{"role":"system","content":"You are a pirate."},`, 1),
		"temperature": strings.Replace(base, "{", `{"temperature":0.5,`, 1),
		"user":        strings.Replace(base, "{", `{"stop":["x"],`, 1),
	} {
		if r := withKey(t, g, "acme", chatPath, body); r.status != 200 || r.header.Get("x-dragoman-cache") == "hit" {
			t.Errorf("another %s is answered from the cache: %d %s", what, r.status, r.body)
		}
	}
	wantCache(t, withKey(t, g, "acme", messagesPath, strings.Replace(base, "{", `{"system":"You are a judge.",`, 1)), "miss", "")
}

// TestC14_only_whole_good_answers_are_stored: an error or a broken stream must not be repeated for an hour.
func TestC14_only_whole_good_answers_are_stored(t *testing.T) {
	g := harness.Shared(t, "retry: {max_attempts: 1}\n"+cached("64m"))
	for _, c := range []struct {
		name   string
		fault  fakeprovider.Fault
		stream bool
	}{
		{"400", fakeprovider.Fault{Kind: fakeprovider.Status, Status: 400}, false},
		{"429", fakeprovider.Fault{Kind: fakeprovider.Status, Status: 429}, false},
		{"500", fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500}, true},
		{"html", fakeprovider.Fault{Kind: fakeprovider.HTML200}, false},
		{"bad json", fakeprovider.Fault{Kind: fakeprovider.BadJSON}, false},
		{"cut", fakeprovider.Fault{Kind: fakeprovider.Cut, After: 3}, true},
		{"end early", fakeprovider.Fault{Kind: fakeprovider.EndEarly, After: 3}, true},
		{"error event", fakeprovider.Fault{Kind: fakeprovider.ErrorEvent, After: 3}, true},
	} {
		for _, path := range []string{chatPath, messagesPath} {
			body := question("gpt-4.1", "after "+c.name+path)
			if c.stream {
				body = streamed(body)
			}
			g.OpenAI().Fail(1, c.fault)
			broken := withKey(t, g, "acme", path, body)
			if broken.err == nil && broken.status == 200 && !strings.Contains(broken.body, "error") {
				t.Errorf("%s %s: a clean answer: %s", c.name, path, broken.body)
			}
			time.Sleep(30 * time.Millisecond)
			wantCache(t, withKey(t, g, "acme", path, body), "miss", "")
		}
	}
}

// TestCacheControl does as the client says.
func TestCacheControl(t *testing.T) {
	g := harness.Shared(t, cached("65m"))
	send := func(text, control string) reply {
		t.Helper()
		defer time.Sleep(40 * time.Millisecond)
		header := as("acme")
		if control != "" {
			header = append(header, "cache-control", control)
		}
		return ask(t, g.URL, chatPath, question("gpt-4.1", text), header...)
	}
	wantCache(t, send("unstored", "no-store"), "bypass", "unstored")
	wantCache(t, send("unstored", ""), "miss", "unstored")
	wantCache(t, send("unstored", ""), "hit", "unstored")
	wantCache(t, send("unstored", "no-cache"), "miss", "unstored") // asks anew, and stores
	wantCache(t, send("unstored", ""), "hit", "unstored")
	if n := g.OpenAI().Counters().Requests; n != 3 {
		t.Errorf("the provider was asked %d times", n)
	}
}
