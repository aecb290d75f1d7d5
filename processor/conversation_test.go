package processor

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// twoClusters is a route where affinity could make a difference.
func twoClusters() *config.Route {
	p := &config.Provider{Name: "p", Clusters: []*config.Cluster{{Name: "p/a"}, {Name: "p/b"}}}
	return &config.Route{Name: "r", Strategy: config.Balanced, Candidates: []config.Candidate{{Model: &config.Model{Provider: p}}},
		Routing: config.Routing{Affinity: config.Affinity{On: true, MinTokens: 20}}}
}

// keyOf is the conversation's key of a body.
func keyOf(t *testing.T, client translate.Client, body string, set ...func(ex *Exchange, rt *config.Route)) uint64 {
	t.Helper()
	h, err := client.Parse([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	ex := &Exchange{head: h, principal: &config.Principal{Tenant: "acme"}}
	rt := twoClusters()
	for _, f := range set {
		f(ex, rt)
	}
	return ex.conversation(rt)
}

var longSystem = strings.Repeat("Mind the rules of the house. ", 20)

// The key of a conversation is that of its beginning, in every schema: it stays while the conversation grows.
func TestAConversationKeepsItsKey(t *testing.T) {
	for name, c := range map[string]struct {
		client       translate.Client
		first, later string
		other        string // another conversation
	}{
		"openai": {openaiCodec,
			`{"model":"m","messages":[{"role":"system","content":"` + longSystem + `"},{"role":"user","content":"one"}]}`,
			`{"model":"m","temperature":1,"messages":[{"role":"system","content":"` + longSystem + `"},{"role":"user","content":"one"},{"role":"assistant","content":"a"},{"role":"user","content":"two"}]}`,
			`{"model":"m","messages":[{"role":"system","content":"` + longSystem + `"},{"role":"user","content":"uno"}]}`},
		// The client moves its cache mark to the newest turn.
		"anthropic": {anthropicCodec,
			`{"model":"m","max_tokens":5,"system":[{"type":"text","text":"` + longSystem + `"}],"messages":[{"role":"user","content":[{"type":"text","text":"one","cache_control":{"type":"ephemeral"}}]}]}`,
			`{"model":"m","max_tokens":9,"system":[{"type":"text","text":"` + longSystem + `"}],"messages":[{"role":"user","content":[{"type":"text","text":"one"}]},{"role":"assistant","content":"a"},{"role":"user","content":[{"type":"text","text":"two","cache_control":{"type":"ephemeral"}}]}]}`,
			`{"model":"m","max_tokens":5,"system":[{"type":"text","text":"` + longSystem + `!"}],"messages":[{"role":"user","content":[{"type":"text","text":"one"}]}]}`},
		"gemini": {geminiCodec,
			`{"systemInstruction":{"parts":[{"text":"` + longSystem + `"}]},"contents":[{"role":"user","parts":[{"text":"one"}]}]}`,
			`{"systemInstruction":{"parts":[{"text":"` + longSystem + `"}]},"contents":[{"role":"user","parts":[{"text":"one"}]},{"role":"model","parts":[{"text":"a"}]},{"role":"user","parts":[{"text":"two"}]}]}`,
			`{"contents":[{"role":"user","parts":[{"text":"` + longSystem + `one"}]}]}`},
		"responses": {responsesCodec,
			`{"model":"m","instructions":"` + longSystem + `","input":[{"role":"user","content":"one"}]}`,
			`{"model":"m","instructions":"` + longSystem + `","input":[{"role":"user","content":"one"},{"role":"assistant","content":"a"},{"role":"user","content":"two"}]}`,
			`{"model":"m","instructions":"` + longSystem + `","input":"one and two"}`},
	} {
		t.Run(name, func(t *testing.T) {
			first := keyOf(t, c.client, c.first)
			if first == 0 || keyOf(t, c.client, c.later) != first {
				t.Error("the key changes from turn to turn")
			}
			if keyOf(t, c.client, c.other) == first {
				t.Error("another conversation has the same key")
			}
			if keyOf(t, c.client, c.first, func(ex *Exchange, _ *config.Route) { ex.principal = &config.Principal{Tenant: "globex"} }) == first {
				t.Error("another tenant has the same key")
			}
		})
	}
}

func TestConversationsByName(t *testing.T) {
	short := `{"model":"m","messages":[{"role":"user","content":"hi"}]%s}`
	key := func(extra string, set ...func(*Exchange, *config.Route)) uint64 {
		return keyOf(t, openaiCodec, fmt.Sprintf(short, extra), set...)
	}
	session := func(id string) func(*Exchange, *config.Route) {
		return func(ex *Exchange, _ *config.Route) { ex.session = id }
	}
	if key("") != 0 {
		t.Error("a short prompt without a name has a key")
	}
	named := key("", session("s-1"))
	for what, same := range map[string]uint64{
		"a header": key(`,"temperature":1`, session("s-1")), "prompt_cache_key": key(`,"prompt_cache_key":"s-1"`),
		"metadata": key(`,"metadata":{"conversation_id":"s-1"}`), "a session": key(`,"metadata":{"x":"y","session_id":"s-1"}`), "a thread": key(`,"metadata":{"thread_id":"s-1"}`),
	} {
		if same != named {
			t.Errorf("%s: another key", what)
		}
	}
	if key("", session("s-2")) == named || key(`,"metadata":{"conversation_id":7}`) != 0 {
		t.Error("another name, or none, has the same key")
	}
	off := func(_ *Exchange, rt *config.Route) { rt.Affinity.On = false }
	alone := func(_ *Exchange, rt *config.Route) {
		rt.Candidates[0].Model.Provider.Clusters = rt.Candidates[0].Model.Provider.Clusters[:1]
	}
	if key("", session("s-1"), off) != 0 || key("", session("s-1"), alone) != 0 {
		t.Error("a key where it makes no difference")
	}
	sticky := func(_ *Exchange, rt *config.Route) { rt.Affinity.On, rt.Sticky = false, config.StickyConversation }
	if key("", session("s-1"), sticky) != named {
		t.Error("a draw that is kept for a conversation has no key")
	}
}

func TestDrawIsKeptFor(t *testing.T) {
	ex := func(tenant, key, user string) *Exchange {
		return &Exchange{head: &chat.Head{User: user}, principal: &config.Principal{Tenant: tenant, Key: key}}
	}
	draw := func(s config.Sticky, ex *Exchange) uint64 {
		return ex.draw(&config.Route{Routing: config.Routing{Sticky: s}}, 7)
	}
	if draw(config.StickyNone, ex("a", "k", "u")) != 0 || draw("", ex("a", "k", "u")) != 0 || draw(config.StickyConversation, ex("a", "k", "u")) != 7 {
		t.Error("none, conversation")
	}
	user := draw(config.StickyUser, ex("a", "k", "u"))
	if user != draw(config.StickyUser, ex("a", "k2", "u")) || user == draw(config.StickyUser, ex("a", "k", "v")) || user == draw(config.StickyUser, ex("b", "k", "u")) {
		t.Error("user")
	}
	key := draw(config.StickyKey, ex("a", "k", "u"))
	if key != draw(config.StickyKey, ex("a", "k", "v")) || key == draw(config.StickyKey, ex("a", "k2", "u")) || draw(config.StickyUser, ex("a", "k", "")) != key {
		t.Error("key")
	}
}

func TestWishes(t *testing.T) {
	for _, c := range []struct {
		name, value string
		want        config.Ceilings
	}{
		{"x-dragoman-providers", "a, b,,", config.Ceilings{Providers: []string{"a", "b"}}},
		{"x-dragoman-data-regions", "eu", config.Ceilings{DataRegions: []string{"eu"}}},
		{"x-dragoman-max-cost", "0.05", config.Ceilings{Cost: 50_000}},
		{"x-dragoman-max-cost", "0.00000001", config.Ceilings{Cost: 1}},
		{"x-dragoman-max-latency", "800ms", config.Ceilings{Latency: 800 * time.Millisecond}},
	} {
		var w wishes
		w.read(c.name, c.value)
		if w.fault != nil || fmt.Sprint(w.ceilings) != fmt.Sprint(c.want) {
			t.Errorf("%s %s: %+v, %v", c.name, c.value, w.ceilings, w.fault)
		}
	}
	for name, values := range map[string][]string{
		"x-dragoman-providers":   {"", " , ", strings.Repeat("a,", 600)},
		"x-dragoman-max-cost":    {"", "-1", "0", "NaN", "Inf", "1e9", "cheap"},
		"x-dragoman-max-latency": {"", "5", "-1s", "0s", "soon"},
	} {
		for _, v := range values {
			var w wishes
			if w.read(name, v); w.fault == nil || w.fault.Kind != fault.InvalidRequest {
				t.Errorf("%s %.20q is taken", name, v)
			}
		}
	}
	if got := narrow([]string{"a", "b"}, []string{"b", "c"}); len(got) != 1 || got[0] != "b" {
		t.Errorf("got %v", got)
	}
	if narrow(nil, nil) != nil || narrow([]string{"a"}, nil) == nil || narrow(nil, []string{"a"}) == nil || narrow([]string{"a"}, []string{"b"}) == nil {
		t.Error("nothing allowed is not everything allowed")
	}
}

func BenchmarkConversation(b *testing.B) {
	body := `{"model":"m","messages":[{"role":"system","content":"` + strings.Repeat("Mind the rules of the house. ", 300) + `"},{"role":"user","content":"one"},{"role":"assistant","content":"` + strings.Repeat("words ", 2000) + `"},{"role":"user","content":"two"}]}`
	h, err := openaiCodec.Parse([]byte(body))
	if err != nil {
		b.Fatal(err)
	}
	ex := &Exchange{head: h, principal: &config.Principal{Tenant: "acme"}}
	rt := twoClusters()
	b.ReportAllocs()
	for b.Loop() {
		if ex.conversation(rt) == 0 {
			b.Fatal("no key")
		}
	}
}
