package window

import (
	"errors"
	"strings"
	"testing"

	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/internal/tokens"
	"dragoman/translate/chat"
)

var (
	openai = &config.Provider{Name: "openai", Schema: chat.OpenAI}
	google = &config.Provider{Name: "gemini", Schema: chat.Gemini}
)

func model(name string, window, output int64) *config.Model {
	return &config.Model{Name: name, ID: name, Provider: openai, Context: window, MaxOutput: output}
}

// request is a request with the head that its codec would read.
type request struct {
	*chat.Request
	head    chat.Head
	decoded int
	err     error
}

func newRequest(maxTokens int64, ms ...chat.Message) *request {
	r := &request{Request: &chat.Request{Messages: ms}, head: chat.Head{N: 1, MaxTokens: maxTokens, Messages: len(ms)}}
	for i := range ms {
		for j := range ms[i].Parts {
			p := &ms[i].Parts[j]
			r.head.TextBytes += len(p.Text)
			if p.Call != nil {
				r.head.TextBytes += len(p.Call.Arguments)
			}
			if p.Result != nil {
				for k := range p.Result.Parts {
					r.head.TextBytes += len(p.Result.Parts[k].Text)
				}
			}
			if p.Kind == chat.Image {
				r.head.Images++
			}
		}
	}
	r.head.Body = make([]byte, r.head.TextBytes)
	return r
}

func (r *request) gauge() *Gauge {
	g := NewGauge(&r.head, func() (*chat.Request, error) { r.decoded++; return r.Request, r.err })
	return &g
}

func text(role chat.Role, s string) chat.Message {
	return chat.Message{Role: role, Parts: []chat.Part{{Kind: chat.Text, Text: s}}}
}

// words is a text of n tokens of o200k.
func words(n int) string { return strings.TrimSuffix(strings.Repeat("word ", n), " ") }

func TestCheck(t *testing.T) {
	if n := tokens.O200k.Count(words(1000)); n.Tokens != 1000 {
		t.Fatalf("words has %+v tokens", n)
	}
	for name, c := range map[string]struct {
		prompt, maxTokens                     int
		model                                 *config.Model
		counted, fits, surely, never, decoded bool
	}{
		"small":                      {100, 100, model("gpt-5", 400_000, 0), false, true, true, false, false},
		"no window known":            {1_000_000, 0, model("gpt-5", 0, 0), false, true, true, false, false},
		"half full":                  {4000, 0, model("gpt-5", 8192, 0), true, true, true, false, true},
		"to the last token":          {1000, 93, model("gpt-5", 1100, 0), true, true, true, false, true},
		"a token too many":           {1000, 94, model("gpt-5", 1100, 0), true, false, false, true, true},
		"the cap is the model's":     {1000, 5000, model("gpt-5", 1100, 93), true, true, true, false, true},
		"Claude, within the margin":  {1000, 0, model("claude-3-opus", 1200, 0), true, false, false, false, true},
		"Claude, under it":           {1000, 0, model("claude-3-opus", 1460, 0), true, true, true, false, true},
		"Claude, over it":            {1000, 0, model("claude-3-opus", 900, 0), true, false, false, true, true},
		"by name where the id is no": {1000, 93, &config.Model{Name: "gpt-5", ID: "prod", Provider: openai, Context: 1100}, true, true, true, false, true},
		"input alone":                {1000, 100_000, &config.Model{Name: "gemini-2.5-pro", ID: "x", Provider: google, Context: 1400}, true, true, true, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRequest(int64(c.maxTokens), text(chat.User, words(c.prompt)))
			g := r.gauge()
			f, err := g.Check(c.model)
			if err != nil {
				t.Fatal(err)
			}
			if f.Counted != c.counted || f.Fits() != c.fits || f.Surely() != c.surely || f.Never() != c.never || (r.decoded > 0) != c.decoded {
				t.Errorf("%+v: fits %v, surely %v, never %v, decoded %d", f, f.Fits(), f.Surely(), f.Never(), r.decoded)
			}
			if _, err := g.Check(c.model); err != nil || r.decoded > 1 {
				t.Errorf("decoded %d times: counts are kept", r.decoded)
			}
		})
	}
}

// The cheap bound is over what every kind of tokenizer counts, for language, code and CJK.
func TestBoundHolds(t *testing.T) {
	for _, s := range []string{words(500), "func f(x int) (y string, err error) {\n\treturn fmt.Sprint(x), nil\n}\n", "译员站在使节身旁，没有人问他话的时候，他一言不发。", "通訳は使節のかたわらに立ち、話しかけられるまで何も言わなかった。", `{"id":"KB-104","price":89.95,"tags":["a","b"],"at":"2026-03-14T09:26:53Z"}`} {
		r := newRequest(0, text(chat.User, s), chat.Message{Role: chat.User, Parts: []chat.Part{{Kind: chat.Image, Media: &chat.Media{URL: "https://x"}}}})
		for _, kind := range []tokens.Kind{tokens.O200k, tokens.Cl100k, tokens.Claude, tokens.ClaudeNew, tokens.Gemini, tokens.Mistral, tokens.Unknown} {
			if total := kind.Measure(r.Request).Total(); total.Most() > bound(&r.head) {
				t.Errorf("%s has %+v for %.20q, the bound is %d", kind, total, s, bound(&r.head))
			}
		}
	}
}

func TestRequire(t *testing.T) {
	r := newRequest(500, text(chat.User, words(1000)))
	if err := r.gauge().Require(model("gpt-5", 2000, 0)); err != nil {
		t.Error(err)
	}
	var f *fault.Fault
	err := r.gauge().Require(model("gpt-5", 1200, 0))
	if !errors.As(err, &f) || f.Kind != fault.ContextLength || f.Param != "messages" || f.Code != "context_length_exceeded" {
		t.Fatalf("got %#v", err)
	}
	if want := "The prompt has 1007 tokens and the answer may have 500; the context window of gpt-5 has 1200. Shorten the conversation, or ask for a shorter answer."; f.Message != want {
		t.Errorf("got %q", f.Message)
	}
	r = newRequest(0, text(chat.User, words(1000)))
	if err = r.gauge().Require(model("claude-3-"+strings.Repeat("x", 100), 500, 0)); !errors.As(err, &f) || !strings.Contains(f.Message, "has about 1207 tokens; the context window of claude-3-x") || len(f.Message) > 250 {
		t.Errorf("got %v", err)
	}
	r.err = fault.Invalid("messages", "bad")
	if err = r.gauge().Require(model("gpt-5", 500, 0)); !errors.As(err, &f) || f.Kind != fault.InvalidRequest {
		t.Errorf("got %v", err)
	}
}

func TestSelect(t *testing.T) {
	small, medium, large, unknown := model("gpt-4o-small", 900, 0), model("gpt-4o-medium", 1100, 0), model("gpt-4o", 128_000, 0), model("mystery", 0, 0)
	perhaps := model("claude-3-haiku", 1100, 0)
	for name, c := range map[string]struct {
		prompt int
		of     []*config.Model
		want   string
	}{
		"all":                       {10, []*config.Model{small, large}, "gpt-4o-small gpt-4o"},
		"the larger ones":           {1000, []*config.Model{small, medium, large, unknown}, "gpt-4o-medium gpt-4o mystery"},
		"no doubtful one if better": {1000, []*config.Model{perhaps, large}, "gpt-4o"},
		"a doubtful one if need be": {1000, []*config.Model{small, perhaps}, "claude-3-haiku"},
		"only doubtful ones":        {1000, []*config.Model{perhaps}, "claude-3-haiku"},
		"none":                      {2000, []*config.Model{small, medium}, "the context window of gpt-4o-medium has 1100"},
	} {
		t.Run(name, func(t *testing.T) {
			var cs []config.Candidate
			for _, m := range c.of {
				cs = append(cs, config.Candidate{Model: m, Weight: 1})
			}
			r := newRequest(0, text(chat.User, words(c.prompt)))
			kept, err := r.gauge().Select(cs)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
				return
			}
			var names []string
			for _, k := range kept {
				names = append(names, k.Model.Name)
			}
			if got := strings.Join(names, " "); got != c.want {
				t.Errorf("got %s", got)
			}
			if r.decoded > 2 {
				t.Errorf("decoded %d times for two kinds", r.decoded)
			}
			if len(kept) == len(cs) && &kept[0] != &cs[0] {
				t.Error("a new slice where nothing was left out")
			}
		})
	}
	r := newRequest(0, text(chat.User, words(1000)))
	r.err = fault.Invalid("messages", "bad")
	if _, err := r.gauge().Select([]config.Candidate{{Model: small}}); err == nil {
		t.Error("decode's error is lost")
	}
}

func TestCheckOfASmallRequestAllocatesNothing(t *testing.T) {
	r := newRequest(1000, text(chat.User, words(400)))
	m, cs := model("gpt-5", 400_000, 128_000), []config.Candidate{{Model: model("gpt-5", 400_000, 128_000)}, {Model: model("claude-haiku-4-5", 200_000, 64_000)}}
	g := r.gauge()
	if n := testing.AllocsPerRun(100, func() {
		if err := g.Require(m); err != nil {
			t.Error(err)
		}
		if _, err := g.Select(cs); err != nil {
			t.Error(err)
		}
		if cut, _, err := g.Truncate(m, config.TruncateOldest); err != nil || cut != nil {
			t.Error(cut, err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCheckSmall(b *testing.B) {
	r := newRequest(1000, text(chat.User, words(400)))
	m := model("claude-haiku-4-5", 200_000, 64_000)
	b.ReportAllocs()
	for b.Loop() {
		g := NewGauge(&r.head, nil)
		if _, err := g.Check(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSelectSmall(b *testing.B) {
	r := newRequest(1000, text(chat.User, words(400)))
	cs := make([]config.Candidate, 30)
	for i := range cs {
		cs[i].Model = model("gpt-5", 400_000, 0)
	}
	b.ReportAllocs()
	for b.Loop() {
		g := NewGauge(&r.head, nil)
		if _, err := g.Select(cs); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckNearTheWindow(b *testing.B) {
	r := newRequest(1000, text(chat.User, words(100_000)))
	m := model("gpt-4o", 128_000, 16_000)
	b.SetBytes(int64(r.head.TextBytes))
	b.ReportAllocs()
	for b.Loop() {
		g := r.gauge()
		if _, err := g.Check(m); err != nil {
			b.Fatal(err)
		}
	}
}
