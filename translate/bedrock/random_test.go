package bedrock_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/test/fakeprovider"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// TestRandomHistories: whatever a conversation looks like (results without calls, calls without results, repeated ids, odd
// orders, blank texts, too many marks), it is refused with a fault of the client's or accepted by the strict fake.
func TestRandomHistories(t *testing.T) {
	fake := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Bedrock, Models: []string{"*"}})
	models := []string{
		haiku, "us.amazon.nova-2-lite-v1:0", "meta.llama3-3-70b-instruct-v1:0", "mistral.mistral-large-2407-v1:0",
		"anthropic.claude-3-haiku-20240307-v1:0", "amazon.titan-text-express-v1", "global.anthropic.claude-sonnet-4-6", "openai.gpt-oss-120b-1:0",
		"arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc123",
	}
	sent := 0
	for seed := range uint64(1500) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		r := g.request()
		to := translate.Target{Model: models[int(seed)%len(models)], Lossy: g.one(4) > 0, MaxOutput: int64(g.one(3)) * 2000}
		up, err := codec.Encode(r, to)
		if err != nil {
			f := asFault(t, err)
			if f.Kind != fault.Unsupported && f.Kind != fault.InvalidRequest {
				t.Fatalf("seed %d: %+v", seed, f)
			}
			continue
		}
		sent++
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { accepted(t, fake, up) })
	}
	if sent < 500 {
		t.Errorf("only %d requests were sent: the generator makes too many that are refused", sent)
	}
}

// generator makes requests; n is one of few, so that things meet.
type generator struct{ r *rand.Rand }

func (g generator) one(n int) int { return g.r.IntN(n) }

func (g generator) mark() *chat.CacheMark {
	if g.one(4) == 0 {
		return &chat.CacheMark{}
	}
	return nil
}

func (g generator) text() string {
	return []string{"hello", "a\nb ", " ", "", "Łódź \U0001f600", "get_weather"}[g.one(6)]
}

func (g generator) request() *chat.Request {
	r := &chat.Request{Stream: false}
	for range g.one(8) {
		r.Messages = append(r.Messages, g.message())
	}
	for i := range g.one(3) {
		tool := chat.Tool{Name: []string{"get_weather", "a/b", "now"}[i], Cache: g.mark()}
		if g.one(2) == 0 {
			tool.Parameters = []byte(`{"properties":{"x":{"type":"integer","minimum":1}}}`)
		}
		if g.one(3) == 0 {
			tool.Strict = ptr(true)
		}
		r.Tools = append(r.Tools, tool)
	}
	switch g.one(6) {
	case 0:
		r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNone}
	case 1:
		r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolRequired}
	case 2:
		r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNamed, Name: "a/b"}
	}
	g.options(r)
	return r
}

func (g generator) options(r *chat.Request) {
	if g.one(3) == 0 {
		r.ParallelToolCalls = ptr(false)
	}
	if g.one(2) == 0 {
		r.MaxTokens = ptr(int64(1 + g.one(5000)))
	}
	if g.one(3) == 0 {
		r.Temperature = ptr(float64(g.one(21)) / 10)
	}
	if g.one(3) == 0 {
		r.TopP = ptr(float64(g.one(11)) / 10)
	}
	if g.one(5) == 0 {
		r.TopK = ptr(int64(5))
	}
	if g.one(3) == 0 {
		r.Reasoning = &chat.Reasoning{Effort: []string{"none", "low", "high", "xhigh", ""}[g.one(5)], Budget: int64(g.one(3) * 3000)}
	}
	if g.one(4) == 0 {
		r.Format = &chat.Format{Name: "f"}
		if g.one(3) > 0 {
			r.Format.Schema = []byte(`{"type":"object","properties":{"a":{"oneOf":[{"type":"string"},{"type":"object"}]}}}`)
		}
	}
	if g.one(4) == 0 {
		r.Stop = []string{" ", "END"}
	}
}

func (g generator) message() chat.Message {
	m := chat.Message{Role: []chat.Role{chat.System, chat.User, chat.Assistant, chat.ToolRole, chat.Assistant, chat.Developer}[g.one(6)]}
	for range g.one(4) {
		m.Parts = append(m.Parts, g.part(m.Role))
	}
	return m
}

func (g generator) part(role chat.Role) chat.Part {
	id := []string{"call_0", "call_1", "functions.x:0", ""}[g.one(4)]
	switch {
	case role == chat.Assistant && g.one(2) == 0:
		name := []string{"get_weather", "a/b", "gone"}[g.one(3)]
		return chat.Part{Kind: chat.ToolCall, Cache: g.mark(), Call: &chat.Call{ID: id, Name: name, Arguments: []string{"", `{"x":1}`}[g.one(2)]}}
	case role == chat.Assistant && g.one(3) == 0:
		return chat.Part{Kind: chat.Thinking, Text: g.text(), Signature: []string{"", "EqQB", "gemini:x"}[g.one(3)]}
	case role == chat.ToolRole, role == chat.User && g.one(4) == 0:
		res := &chat.Result{CallID: id}
		for range g.one(3) {
			res.Parts = append(res.Parts, chat.Part{Kind: chat.Text, Text: g.text()}, g.media())
		}
		if g.one(2) == 0 {
			res.IsError = ptr(g.one(2) == 0)
		}
		return chat.Part{Kind: chat.ToolResult, Result: res, Cache: g.mark()}
	case role == chat.User && g.one(4) == 0:
		return g.media()
	}
	return chat.Part{Kind: chat.Text, Text: g.text(), Cache: g.mark()}
}

func (g generator) media() chat.Part {
	if g.one(2) == 0 {
		return chat.Part{Kind: chat.Document, Media: &chat.Media{Type: "application/pdf", Data: "JVBERi0=", Name: "a.pdf"}}
	}
	return chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "iVBORw0KGgo="}}
}

// TestD68_Sizes: what the service would refuse for its size is refused here, whose limit that is.
func TestD68_Sizes(t *testing.T) {
	for _, c := range []struct {
		media chat.Part
		bytes int
		ok    bool
	}{
		{chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/png"}}, 3_750_000, true},
		{chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/png"}}, 3_750_003, false},
		{chat.Part{Kind: chat.Document, Media: &chat.Media{Type: "text/csv"}}, 4_500_000, true},
		{chat.Part{Kind: chat.Document, Media: &chat.Media{Type: "text/csv"}}, 4_500_003, false},
	} {
		c.media.Media.Data = strings.Repeat("AAAA", c.bytes/3)
		r := &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "x"}, c.media}}}}
		_, err := codec.Encode(r, translate.Target{Model: haiku})
		if c.ok != (err == nil) || err != nil && asFault(t, err).Kind != fault.TooLarge {
			t.Errorf("%s of %d bytes: %v", c.media.Media.Type, c.bytes, err)
		}
	}
}

func TestReservedToolName(t *testing.T) {
	r := &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "x"}}}}, Tools: []chat.Tool{{Name: "dragoman_structured_answer"}}}
	if _, err := codec.Encode(r, translate.Target{Model: haiku}); err == nil || asFault(t, err).Kind != fault.Unsupported {
		t.Error(err)
	}
}
