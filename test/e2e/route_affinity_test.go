package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// fleetGateway serves one model from n endpoints of one provider, each with a prompt cache of its own.
func fleetGateway(t *testing.T, n int, rest string) *harness.Gateway {
	var fakes []fakeprovider.Options
	endpoints := ""
	for i := range n {
		name := fmt.Sprint("e", i)
		fakes = append(fakes, fakeprovider.Options{Schema: fakeprovider.OpenAI, Name: name, Models: []string{"*"}, PromptCache: true})
		endpoints += fmt.Sprintf("  - {name: %s, url: '{{endpoint %q}}'}\n", name, name)
	}
	return harness.Start(t, harness.Options{Fakes: fakes, Config: `providers:
- name: fleet
  schema: openai
  catalogue: none
  credentials: [{secret: {env: '{{keyvar "e0"}}'}}]
  endpoints:
` + endpoints + "models: [{name: served, provider: fleet, price: {input: 1, cache_read: 0.1, output: 1}}]\n" + rest})
}

// talk is a conversation: each turn repeats all before it, and its system prompt is its own.
type talk struct {
	messages []map[string]string
	header   []string
}

func newTalk(i int, header ...string) *talk {
	system := fmt.Sprintf("You are assistant number %d. ", i) + strings.Repeat("Follow these rules of the house with care. ", 120)
	return &talk{messages: []map[string]string{{"role": "system", "content": system}}, header: header}
}

// say asks the next question and keeps the answer.
func (c *talk) say(t testing.TB, g *harness.Gateway, text string) *answer {
	c.messages = append(c.messages, map[string]string{"role": "user", "content": text})
	body, err := json.Marshal(map[string]any{"model": "served", "max_tokens": 50, "messages": c.messages})
	must(t, err)
	a := post(t, g, paths["openai"], string(body), c.header...)
	if a.status != 200 {
		t.Errorf("%v", a)
		return a
	}
	c.messages = append(c.messages, map[string]string{"role": "assistant", "content": gjson.GetBytes(a.body, "choices.0.message.content").Str})
	return a
}

// cachedShare has conversations of some turns, several at a time, and says which part of their prompts' tokens came from the
// providers' caches, as the gateway counts them.
func cachedShare(t *testing.T, g *harness.Gateway, header func(i int) []string) float64 {
	t.Helper()
	const conversations, turns, together = 24, 6, 6
	slots := make(chan struct{}, together)
	var wg sync.WaitGroup
	for i := range conversations {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			var h []string
			if header != nil {
				h = header(i)
			}
			c := newTalk(i, h...)
			for turn := range turns {
				c.say(t, g, fmt.Sprintf("question %d of %d, and some more words", turn, i))
			}
		})
	}
	wg.Wait()
	wantIdle(t, g)
	read, fresh := metric(t, g, "dragoman_tokens_total", `class="cache_read"`), metric(t, g, "dragoman_tokens_total", `class="input"`)
	return read / (read + fresh)
}

// TestC9_prompt_caches_stay_warm: behind four endpoints at least nine tenths of the tokens are cached that a single one would have
// cached; without affinity far fewer are.
func TestC9_prompt_caches_stay_warm(t *testing.T) {
	single := cachedShare(t, fleetGateway(t, 1, ""), nil)
	four := cachedShare(t, fleetGateway(t, 4, ""), nil)
	named := cachedShare(t, fleetGateway(t, 4, "routes: [{model: served, strategy: fallback, candidates: [fleet/served], affinity: {min_tokens: 1000000}}]\n"),
		func(i int) []string { return []string{"x-session-id", fmt.Sprint("session-", i)} })
	without := cachedShare(t, fleetGateway(t, 4, "routes: [{model: served, strategy: fallback, candidates: [fleet/served], affinity: {enabled: false}}]\n"), nil)
	t.Logf("cached tokens: single endpoint %.3f, four with affinity %.3f, by session id %.3f, without %.3f", single, four, named, without)
	if single < 0.7 || four < 0.9*single || named < 0.9*single {
		t.Errorf("affinity keeps %.3f and %.3f of %.3f", four, named, single)
	}
	if without > 0.9*single {
		t.Errorf("without affinity %.3f: this test shows nothing", without)
	}
}

// TestAffinitySpreadsAndYields: conversations are spread over all endpoints; those of one that fails go on elsewhere, and the others stay.
func TestAffinitySpreadsAndYields(t *testing.T) {
	g := fleetGateway(t, 4, "")
	home := func(i int) string {
		c := newTalk(i)
		before := map[string]int{}
		for name, f := range g.Fakes {
			before[name] = f.Counters().Complete
		}
		c.say(t, g, "where am I?")
		for name, f := range g.Fakes {
			if f.Counters().Complete > before[name] {
				return name
			}
		}
		t.Fatal("nobody answered")
		return ""
	}
	const n = 32
	homes, used := make([]string, n), map[string]int{}
	for i := range n {
		homes[i] = home(i)
		used[homes[i]]++
		if again := home(i); again != homes[i] {
			t.Fatalf("conversation %d moved from %s to %s", i, homes[i], again)
		}
	}
	if len(used) != 4 {
		t.Errorf("only %v are used", used)
	}
	failed := homes[0]
	must(t, g.Fakes[failed].Refuse())
	for i := range n { // until health has seen it
		home(i)
	}
	waitFor(t, "health to know", func() bool {
		return statusOf(t, g, fmt.Sprintf(`clusters.#(cluster=="fleet/%s").state`, failed)).Str != "healthy"
	})
	moved := 0
	for i := range n {
		now := home(i)
		switch {
		case homes[i] == failed && now == failed:
			t.Errorf("conversation %d is still at %s", i, now)
		case homes[i] != failed && now != homes[i]:
			moved++
		}
	}
	if moved > 0 {
		t.Errorf("%d conversations of healthy endpoints moved", moved)
	}
}

// TestLoadGoesBeforeAffinity: one conversation that everybody has cannot fill one endpoint while others are idle.
func TestLoadGoesBeforeAffinity(t *testing.T) {
	g := fleetGateway(t, 4, "")
	for _, f := range g.Fakes {
		f.Fail(0, fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 700 * time.Millisecond})
	}
	var wg sync.WaitGroup
	for range 60 {
		wg.Go(func() { newTalk(1).say(t, g, "the same for all") })
	}
	wg.Wait()
	for name, f := range g.Fakes {
		if n := f.Counters().Complete; n == 0 || n > 30 {
			t.Errorf("%s served %d of 60", name, n)
		}
	}
}
