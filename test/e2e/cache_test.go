package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/openai/openai-go/v3"
	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// cacheConfig has three tenants, of which two share a scope, a route without the cache, and one attempt a request.
func cacheConfig(exact, rest string) string {
	return "{{providers}}retry: {max_attempts: 1}\nlimits: {max_body_bytes: 1048576}\n" +
		"cache: {exact: {" + exact + "}" + rest + "}\n" +
		"routes:\n- {model: uncached, candidates: [openai/gpt-4.1], cache: {exact: false}}\n- {model: cached, candidates: [openai/gpt-4.1]}\n" +
		"tenants:\n" +
		"- {name: acme, keys: [{name: k, hash: '" + config.HashKey("dgm_acme") + "'}]}\n" +
		"- {name: globex, keys: [{name: k, hash: '" + config.HashKey("dgm_globex") + "'}]}\n" +
		"- {name: north, cache_scope: poles, keys: [{name: k, hash: '" + config.HashKey("dgm_north") + "'}]}\n" +
		"- {name: south, cache_scope: poles, keys: [{name: k, hash: '" + config.HashKey("dgm_south") + "'}]}\n"
}

const cachedModel = "openai/gpt-4.1"

// chatBody is one request that both schemas take, for a text.
func chatBody(model, text string, stream bool) string {
	return fmt.Sprintf(`{"model":%q,"max_tokens":100,"stream":%t,"messages":[{"role":"user","content":%q}]}`, model, stream, text)
}

// askAs posts a request of a tenant.
func askAs(t testing.TB, g *harness.Gateway, tenant, client, body string, header ...string) *answer {
	t.Helper()
	a := post(t, g, paths[client], body, append(header, "authorization", "Bearer dgm_"+tenant)...)
	a.text = textOf(client, a.body)
	return a
}

// textOf is what a whole or streamed answer says. A stream that does not end as its schema wants says nothing.
func textOf(client string, body []byte) string {
	if gjson.ValidBytes(body) {
		return gjson.GetBytes(body, map[string]string{"openai": "choices.0.message.content", "anthropic": "content.0.text"}[client]).String()
	}
	text, ended := "", false
	for line := range strings.Lines(string(body)) {
		data, ok := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		switch {
		case !ok:
		case data == "[DONE]":
			ended = true
		default:
			ended = ended || gjson.Get(data, "type").String() == "message_stop"
			text += gjson.Get(data, "choices.0.delta.content").String() + gjson.Get(data, "delta.text").String()
		}
	}
	if !ended {
		return ""
	}
	return text
}

func wantState(t testing.TB, a *answer, state, text string) {
	t.Helper()
	if got := a.header.Get("x-dragoman-cache"); a.err != nil || a.status != 200 || got != state || a.text != text {
		t.Errorf("want a %s that says %q, got a %s: %v", state, text, got, a)
	}
}

// settled waits until what was answered is stored too.
func settled(t testing.TB, g *harness.Gateway) {
	t.Helper()
	wantIdle(t, g)
}

// emptied is the shared gateway with nothing in its cache.
func emptied(t testing.TB, config string) *harness.Gateway {
	t.Helper()
	g := harness.Shared(t, config)
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodDelete, g.Admin+"/cache?all=true", nil)
	resp, err := g.HTTP.Do(req)
	must(t, err)
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("the cache cannot be emptied: %s", resp.Status)
	}
	return g
}

// slowly is an answer in many pieces.
func slowly(text string, pace time.Duration) *fakeprovider.Reply {
	return &fakeprovider.Reply{Blocks: fakeprovider.Text(text).Blocks, Chunks: 20, Pace: pace}
}

// TestIdenticalRequestsShareOneCall: 200 clients of both schemas ask for the same stream at once; the provider is asked once,
// and each gets all of it.
func TestIdenticalRequestsShareOneCall(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: cacheConfig("ttl: 1h", "")})
	const clients = 200
	said := strings.Repeat("shared words ", 40)
	g.OpenAI().Next(slowly(said, 150*time.Millisecond))
	transport := &http.Transport{MaxIdleConnsPerHost: clients}
	defer transport.CloseIdleConnections()
	g.HTTP.Transport = transport
	var wg sync.WaitGroup
	states := make([]string, clients)
	for i := range clients {
		wg.Go(func() {
			a := askAs(t, g, "acme", schemas[i%2], chatBody(cachedModel, "all at once", true))
			if a.err != nil || a.status != 200 || a.text != said {
				t.Errorf("client %d: %v", i, a)
			}
			states[i] = a.header.Get("x-dragoman-cache")
		})
	}
	wg.Wait()
	if n := g.OpenAI().Counters().Requests; n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	count := map[string]int{}
	for _, s := range states {
		count[s]++
	}
	t.Logf("states: %v", count)
	if count["miss"] != 1 || count["coalesced"] < clients/2 || count["miss"]+count["coalesced"]+count["hit"] != clients {
		t.Errorf("states: %v", count)
	}
	wantIdle(t, g)
	if n := metric(t, g, "dragoman_coalesce_followers_total", `result="served"`); n != float64(count["coalesced"]) {
		t.Errorf("%v followers counted", n)
	}
	if n := metric(t, g, "dragoman_settlements_total"); n != clients {
		t.Errorf("%v settlements of %d requests", n, clients)
	}
	output, saved := metric(t, g, "dragoman_tokens_total", `class="output"`), metric(t, g, "dragoman_cache_saved_tokens_total", `tenant="acme"`)
	if output != 80 || saved < (clients-1)*output {
		t.Errorf("%v output tokens charged, %v tokens saved", output, saved)
	}
	wantState(t, askAs(t, g, "acme", "openai", chatBody(cachedModel, "all at once", false)), "hit", said)
}

// TestFollowersAreFedAsTheLeaderReceives: a follower's stream begins long before the leader's ends, and one that comes in the
// middle gets what it has missed. A follower that asked for a whole answer gets one.
func TestFollowersAreFedAsTheLeaderReceives(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: cacheConfig("ttl: 1h", "")})
	said := strings.Repeat("one two three four ", 20)
	g.OpenAI().Next(slowly(said, 100*time.Millisecond)) // two seconds
	var wg sync.WaitGroup
	defer wg.Wait()
	leader := make(chan *answer, 1)
	wg.Go(func() { leader <- askAs(t, g, "acme", "openai", chatBody(cachedModel, "feed me", true)) })
	waitForRequests(t, g, 1)
	time.Sleep(500 * time.Millisecond)
	wg.Go(func() {
		wantState(t, askAs(t, g, "acme", "openai", chatBody(cachedModel, "feed me", false)), "coalesced", said)
	})
	for _, client := range schemas {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+paths[client], strings.NewReader(chatBody(cachedModel, "feed me", true)))
		req.Header.Set("authorization", "Bearer dgm_acme")
		resp, err := g.HTTP.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Header.Get("x-dragoman-cache") != "coalesced" || !strings.HasPrefix(resp.Header.Get("content-type"), "text/event-stream") || resp.Header.Get("x-request-id") == "" {
			t.Errorf("%s: %v", client, resp.Header)
		}
		first := make([]byte, 200)
		if _, err := io.ReadFull(resp.Body, first); err != nil {
			t.Error(err)
		}
		select {
		case <-leader:
			t.Errorf("%s: nothing came before the leader had everything", client)
		default:
		}
		wg.Go(func() {
			defer resp.Body.Close()
			rest, err := io.ReadAll(resp.Body)
			if got := textOf(client, append(first, rest...)); err != nil || got != said {
				t.Errorf("%s: %v %q", client, err, got)
			}
		})
	}
	wantState(t, <-leader, "miss", said)
	if n := g.OpenAI().Counters().Requests; n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

func waitForRequests(t testing.TB, g *harness.Gateway, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); g.OpenAI().Counters().Requests < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the provider was asked %d times only", g.OpenAI().Counters().Requests)
		}
	}
}

// TestAFollowerTakesALeadersPlace when the leader's provider fails it, or its client goes away.
func TestAFollowerTakesALeadersPlace(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 71m", ""))
	for name, fail := range map[string]func(leave func()){
		"provider fails": func(func()) {},
		"client leaves":  func(leave func()) { leave() },
	} {
		for _, stream := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, stream %v", name, stream), func(t *testing.T) {
				before := g.OpenAI().Counters().Requests
				text := fmt.Sprintf("promote %s %v", name, stream)
				g.OpenAI().Script(fakeprovider.Rule{Times: 1, Fault: &fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500, Delay: 700 * time.Millisecond}})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				var wg sync.WaitGroup
				wg.Go(func() {
					req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+paths["openai"], strings.NewReader(chatBody(cachedModel, text, stream)))
					req.Header.Set("authorization", "Bearer dgm_acme")
					if resp, err := g.HTTP.Do(req); err == nil {
						_, _ = io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
						if resp.StatusCode != 500 {
							t.Errorf("the leader got %d", resp.StatusCode)
						}
					}
				})
				waitForRequests(t, g, before+1)
				for i := range 5 {
					wg.Go(func() {
						a := askAs(t, g, "acme", schemas[i%2], chatBody(cachedModel, text, stream))
						if a.err != nil || a.status != 200 || a.text != "echo: "+text {
							t.Errorf("follower %d: %v", i, a)
						}
					})
				}
				time.Sleep(200 * time.Millisecond)
				fail(leave)
				wg.Wait()
				settled(t, g)
				if n := g.OpenAI().Counters().Requests - before; n != 2 {
					t.Errorf("the provider was asked %d times: the leader, and one of five in its place", n)
				}
			})
		}
	}
}

// TestFollowersOfABrokenStreamGetTheError in their own schema, never a clean end, and nothing of it is stored.
func TestFollowersOfABrokenStreamGetTheError(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 72m", ""))
	for _, client := range schemas {
		text := "break off for " + client
		g.OpenAI().Script(fakeprovider.Rule{Times: 1, Reply: slowly(strings.Repeat("half ", 50), 60*time.Millisecond), Fault: &fakeprovider.Fault{Kind: fakeprovider.EndEarly, After: 12}})
		before := g.OpenAI().Counters().Requests
		var wg sync.WaitGroup
		wg.Go(func() { askAs(t, g, "acme", "openai", chatBody(cachedModel, text, true)) })
		waitForRequests(t, g, before+1)
		time.Sleep(300 * time.Millisecond)
		a := askAs(t, g, "acme", client, chatBody(cachedModel, text, true))
		if a.err != nil || a.header.Get("x-dragoman-cache") != "coalesced" || !strings.Contains(string(a.body), `"error"`) || !strings.Contains(string(a.body), "half") || a.text != "" {
			t.Errorf("%s: %v", client, a)
		}
		wg.Wait()
		settled(t, g)
		wantState(t, askAs(t, g, "acme", client, chatBody(cachedModel, text, false)), "miss", "echo: "+text)
	}
}

// TestNobodyGetsAnothersAnswer: not another tenant and not another conversation, neither from the cache nor in flight. Tenants
// that agreed on a scope do.
func TestNobodyGetsAnothersAnswer(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 73m", ""))
	base := chatBody(cachedModel, "mine", false)
	variants := map[string][2]string{
		"acme":        {"acme", base},
		"globex":      {"globex", base},
		"north":       {"north", base},
		"system":      {"acme", strings.Replace(base, `"messages":[`, `"messages":[{"role":"system","content":"Be a pirate."},`, 1)},
		"turns":       {"acme", strings.Replace(base, `"messages":[`, `"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"ho"},`, 1)},
		"temperature": {"acme", strings.Replace(base, "{", `{"temperature":0.2,`, 1)},
		"model":       {"acme", chatBody("openai/gpt-4o", "mine", false)},
		"route":       {"acme", chatBody("cached", "mine", false)},
	}
	g.OpenAI().Fail(0, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 500 * time.Millisecond})
	var wg sync.WaitGroup
	for name, v := range variants {
		wg.Go(func() {
			if a := askAs(t, g, v[0], "openai", v[1]); a.header.Get("x-dragoman-cache") != "miss" || a.status != 200 {
				t.Errorf("%s shares another's call: %v", name, a)
			}
		})
	}
	wg.Wait()
	settled(t, g)
	if n := g.OpenAI().Counters().Requests; n != len(variants) {
		t.Errorf("%d different requests made %d calls", len(variants), n)
	}
	must(t, g.ResetFakes())
	for name, v := range variants {
		if a := askAs(t, g, v[0], "openai", v[1]); a.header.Get("x-dragoman-cache") != "hit" {
			t.Errorf("%s does not find its own: %v", name, a)
		}
	}
	wantState(t, askAs(t, g, "south", "openai", base), "hit", "echo: mine")
	if n := g.OpenAI().Counters().Requests; n != 0 {
		t.Errorf("the provider was asked %d times for what is stored", n)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestC14_failures_are_never_stored, whole or streamed.
func TestC14_failures_are_never_stored(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 74m", ""))
	for name, f := range map[string]fakeprovider.Fault{
		"429":         {Kind: fakeprovider.Status, Status: 429},
		"500":         {Kind: fakeprovider.Status, Status: 500},
		"cut":         {Kind: fakeprovider.Cut, After: 3},
		"end early":   {Kind: fakeprovider.EndEarly, After: 3},
		"error event": {Kind: fakeprovider.ErrorEvent, After: 3},
	} {
		for _, client := range schemas {
			body := chatBody(cachedModel, name+" for "+client, true)
			g.OpenAI().Fail(1, f)
			if a := askAs(t, g, "acme", client, body); a.err == nil && a.text != "" {
				t.Errorf("%s: a whole answer: %v", name, a)
			}
			settled(t, g)
			wantState(t, askAs(t, g, "acme", client, body), "miss", "echo: "+name+" for "+client)
		}
	}
}

// TestHitsCrossSchemas: stored by a client of one schema, whole or streamed, and read by the official SDK types of the other.
func TestHitsCrossSchemas(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 75m", ""))
	for _, stored := range schemas {
		for _, streamed := range []bool{false, true} {
			for _, provider := range schemas {
				model := provider + "/" + g.Fakes[provider].Model()
				text := fmt.Sprintf("crossing %s %v %s", stored, streamed, provider)
				wantState(t, askAs(t, g, "acme", stored, chatBody(model, text, streamed)), "miss", "echo: "+text)
				settled(t, g)
				for _, client := range schemas {
					whole := askAs(t, g, "acme", client, chatBody(model, text, false))
					wantState(t, whole, "hit", "echo: "+text)
					wantSDKTypes(t, client, whole.body)
					replayed := askAs(t, g, "acme", client, chatBody(model, text, true))
					state := "hit"
					if replayed.header.Get("x-dragoman-cache") == "coalesced" {
						state = "coalesced" // right, too: with an exchange that is just ending
					}
					wantState(t, replayed, state, "echo: "+text)
					if whole.header.Get("x-dragoman-cache-entry") != replayed.header.Get("x-dragoman-cache-entry") || len(whole.header.Get("x-dragoman-cache-entry")) != 64 {
						t.Errorf("entry %q", whole.header.Get("x-dragoman-cache-entry"))
					}
				}
			}
		}
	}
}

// wantSDKTypes reads a whole answer as the official SDKs do.
func wantSDKTypes(t testing.TB, client string, body []byte) {
	t.Helper()
	switch client {
	case "openai":
		var c openai.ChatCompletion
		if err := json.Unmarshal(body, &c); err != nil || c.Object != "chat.completion" || len(c.Choices) != 1 || c.Choices[0].FinishReason != "stop" || c.ID == "" || c.Usage.CompletionTokens == 0 || c.Created == 0 {
			t.Errorf("%v: %s", err, body)
		}
	case "anthropic":
		var m anthropic.Message
		if err := json.Unmarshal(body, &m); err != nil || m.Type != "message" || m.Role != "assistant" || m.StopReason != anthropic.StopReasonEndTurn || m.ID == "" || m.Usage.OutputTokens == 0 {
			t.Errorf("%v: %s", err, body)
		}
	}
}

// TestRequestsControlTheCache: by cache-control, a key of their own, and the route that they ask.
func TestRequestsControlTheCache(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 76m, max_temperature: 0.5", ""))
	send := func(model, text string, header ...string) *answer {
		t.Helper()
		a := askAs(t, g, "acme", "openai", strings.Replace(chatBody(model, text, false), "{", `{"temperature":0.5,`, 1), header...)
		settled(t, g)
		return a
	}
	wantState(t, send(cachedModel, "a"), "miss", "echo: a")
	wantState(t, send(cachedModel, "a", "cache-control", "max-age=60"), "hit", "echo: a")
	time.Sleep(1100 * time.Millisecond)
	wantState(t, send(cachedModel, "a", "cache-control", "max-age=1"), "miss", "echo: a")
	wantState(t, send(cachedModel, "a", "cache-control", "no-cache"), "miss", "echo: a")
	wantState(t, send(cachedModel, "a", "cache-control", "no-store"), "bypass", "echo: a")
	wantState(t, send(cachedModel, "a", "x-dragoman-cache-key", "v2"), "miss", "echo: a")
	wantState(t, send(cachedModel, "a", "x-dragoman-cache-key", "v2"), "hit", "echo: a")
	wantState(t, send(cachedModel, "a", "x-dragoman-cache-key", "v3"), "miss", "echo: a")
	wantFault(t, send(cachedModel, "a", "x-dragoman-cache-key", strings.Repeat("k", 257)), "openai", 400, "256 bytes")
	wantState(t, send("cached", "b"), "miss", "echo: b")
	wantState(t, send("cached", "b"), "hit", "echo: b")
	wantState(t, send("uncached", "b"), "bypass", "echo: b")
	wantState(t, send("uncached", "b"), "bypass", "echo: b")
	// Above the limit of the temperature, which a request without one is at 1.
	wantState(t, askAs(t, g, "acme", "openai", chatBody(cachedModel, "a", false)), "bypass", "echo: a")
	for _, r := range g.OpenAI().Requests() {
		if r.Header.Get("x-dragoman-cache-key") != "" {
			t.Error("the client's key reached the provider")
		}
	}
}

// TestStaleIfError: when the provider fails, an answer that is past its time is better than none; health still learns of it.
func TestStaleIfError(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 1s, stale_if_error: 1h", ""))
	for _, client := range schemas {
		for _, stream := range []bool{false, true} {
			text := fmt.Sprintf("old %s %v", client, stream)
			wantState(t, askAs(t, g, "acme", client, chatBody(cachedModel, text, stream)), "miss", "echo: "+text)
			settled(t, g)
		}
	}
	time.Sleep(1100 * time.Millisecond)
	for _, client := range schemas {
		for _, stream := range []bool{false, true} {
			text := fmt.Sprintf("old %s %v", client, stream)
			// What is wrong with the request itself is said.
			g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 400})
			if a := askAs(t, g, "acme", client, chatBody(cachedModel, text, stream)); a.status != 400 {
				t.Errorf("after a 400: %v", a)
			}
			for _, f := range []fakeprovider.Fault{
				{Kind: fakeprovider.Status, Status: 500}, {Kind: fakeprovider.Status, Status: 429}, {Kind: fakeprovider.HTML200}, {Kind: fakeprovider.Reset},
			} {
				g.OpenAI().Fail(1, f)
				a := askAs(t, g, "acme", client, chatBody(cachedModel, text, stream))
				wantState(t, a, "stale", "echo: "+text)
				if a.header.Get("age") == "0" || a.header.Get("age") == "" {
					t.Errorf("age %q", a.header.Get("age"))
				}
				must(t, g.ResetFakes()) // a connection that broke on its way may have left the rule unused
			}
			// The provider is back; a connection that it broke may still fail one request.
			a := askAs(t, g, "acme", client, chatBody(cachedModel, text, stream))
			for tries := 0; tries < 5 && a.header.Get("x-dragoman-cache") == "stale"; tries++ {
				a = askAs(t, g, "acme", client, chatBody(cachedModel, text, stream))
			}
			wantState(t, a, "miss", "echo: "+text)
			settled(t, g)
		}
	}
	wantFault(t, func() *answer {
		g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500})
		return askAs(t, g, "acme", "openai", chatBody(cachedModel, "never asked before", false))
	}(), "openai", 500)
}

// TestPurgeAndFeedback by the admin port.
func TestPurgeAndFeedback(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 77m", ""))
	admin := func(method, path, body string, want int) string {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, g.Admin+path, strings.NewReader(body))
		resp, err := g.HTTP.Do(req)
		must(t, err)
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != want {
			t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, b)
		}
		return string(b)
	}
	ask := func(tenant, text string) *answer {
		t.Helper()
		a := askAs(t, g, tenant, "openai", chatBody(cachedModel, text, false))
		settled(t, g)
		return a
	}
	admin(http.MethodDelete, "/cache?all=true", "", 200)
	for _, tenant := range []string{"acme", "globex"} {
		wantState(t, ask(tenant, "one"), "miss", "echo: one")
		wantState(t, ask(tenant, "two"), "miss", "echo: two")
	}
	admin(http.MethodDelete, "/cache", "", 400)
	if got := admin(http.MethodDelete, "/cache?tenant=acme&model="+cachedModel, "", 200); !strings.Contains(got, `"removed":2`) {
		t.Errorf("purged %s", got)
	}
	wantState(t, ask("acme", "one"), "miss", "echo: one")
	hit := ask("globex", "one")
	wantState(t, hit, "hit", "echo: one")
	key := hit.header.Get("x-dragoman-cache-entry")
	admin(http.MethodPost, "/cache/feedback", `{"key":"`+key+`","wrong":true}`, 200)
	admin(http.MethodPost, "/cache/feedback", `{"key":"`+key+`","wrong":true}`, 404)
	wantState(t, ask("globex", "one"), "miss", "echo: one")
	wantState(t, ask("globex", "two"), "hit", "echo: two")
	if got := admin(http.MethodDelete, "/cache?key="+key, "", 200); !strings.Contains(got, `"removed":1`) {
		t.Errorf("purged %s", got)
	}
	if !strings.Contains(admin(http.MethodGet, "/", "", 200), "DELETE /cache") {
		t.Error("the index does not name the endpoints")
	}
}

// TestCoalescingWithoutACache: cache.coalesce alone shares calls and stores nothing; and it can be switched off beside a cache.
func TestCoalescingWithoutACache(t *testing.T) {
	five := func(t *testing.T, g *harness.Gateway, text string) (states map[string]int) {
		t.Helper()
		g.OpenAI().Script(fakeprovider.Rule{Times: 5, Fault: &fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: time.Second}})
		var wg sync.WaitGroup
		var mu sync.Mutex
		states = map[string]int{}
		for range 5 {
			wg.Go(func() {
				a := askAs(t, g, "acme", "openai", chatBody(cachedModel, text, false))
				if a.text != "echo: "+text {
					t.Errorf("%v", a)
				}
				mu.Lock()
				states[a.header.Get("x-dragoman-cache")]++
				mu.Unlock()
			})
		}
		wg.Wait()
		settled(t, g)
		return states
	}
	t.Run("without a cache", func(t *testing.T) {
		g := emptied(t, strings.Replace(cacheConfig("ttl: 1h", ""), "cache: {exact: {ttl: 1h}}", "cache: {coalesce: {}}", 1))
		if got := five(t, g, "at once"); got["coalesced"] != 4 || got[""] != 1 {
			t.Errorf("states: %v", got)
		}
		must(t, g.ResetFakes())
		wantState(t, askAs(t, g, "acme", "openai", chatBody(cachedModel, "at once", false)), "", "echo: at once")
	})
	t.Run("switched off", func(t *testing.T) {
		g := emptied(t, cacheConfig("ttl: 78m", ", coalesce: {enabled: false}"))
		if got := five(t, g, "by themselves"); got["miss"] != 5 {
			t.Errorf("states: %v", got)
		}
	})
	t.Run("few followers, little patience", func(t *testing.T) {
		g := emptied(t, cacheConfig("ttl: 79m", ", coalesce: {max_followers: 2, max_wait: 200ms}"))
		if got := five(t, g, "impatient"); got["miss"] != 5 || g.OpenAI().Counters().Requests != 5 {
			t.Errorf("states: %v, %d calls", got, g.OpenAI().Counters().Requests)
		}
	})
}

// TestHitRate of a workload as gateways see it: many different questions, a few of which are asked again and again (Zipf),
// whole and streamed, by clients of both schemas, a third of it with tools or warm and so never cached.
func TestHitRate(t *testing.T) {
	g := emptied(t, cacheConfig("ttl: 80m", ""))
	r := rand.New(rand.NewPCG(7, 11))
	zipf := rand.NewZipf(r, 1.1, 4, 2000)
	const requests = 400
	hits := 0
	for range requests {
		text := fmt.Sprintf("question %d", zipf.Uint64())
		body := chatBody(cachedModel, text, r.IntN(2) == 0)
		switch r.IntN(6) {
		case 0:
			body = strings.Replace(body, "{", `{"temperature":1.5,`, 1)
		case 1:
			body = strings.Replace(body, "{", `{"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],`, 1)
		}
		client := "openai"
		if !strings.Contains(body, "tools") && !strings.Contains(body, "temperature") {
			client = schemas[r.IntN(2)]
		}
		a := askAs(t, g, "acme", client, body)
		if a.err != nil || a.status != 200 {
			t.Fatal(a)
		}
		switch a.header.Get("x-dragoman-cache") {
		case "hit", "coalesced":
			hits++
			if a.text != "echo: "+text {
				t.Fatalf("%q is answered with %q", text, a.text)
			}
		}
	}
	t.Logf("%d of %d requests were answered from the cache", hits, requests)
	if hits*5 < requests {
		t.Errorf("only %d of %d requests were answered from the cache", hits, requests)
	}
}
