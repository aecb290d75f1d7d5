package openai

import (
	"errors"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// foreign is a request of another schema with most of what a dialect may not have.
func foreign() *chat.Request {
	yes := true
	return &chat.Request{
		Schema: chat.Anthropic, User: "u", Stream: true, MaxTokens: ptr(int64(9)), Temperature: ptr(0.5), TopK: ptr(int64(3)), Seed: ptr(int64(7)),
		FrequencyPenalty: ptr(0.0), PresencePenalty: ptr(0.5), Reasoning: &chat.Reasoning{Effort: "xhigh"}, ParallelToolCalls: &yes,
		Messages: []chat.Message{
			{Role: chat.Developer, Parts: []chat.Part{{Kind: chat.Text, Text: "be brief"}, {Kind: chat.Text, Text: "and kind", Cache: &chat.CacheMark{TTL: "1h"}}}},
			{Role: chat.User, Name: "ann", Parts: []chat.Part{{Kind: chat.Text, Text: "hi"}}},
			{Role: chat.Assistant, Parts: []chat.Part{
				{Kind: chat.Thinking, Text: "signed", Signature: "s=="}, {Kind: chat.Thinking, Text: "hm"},
				{Kind: chat.Refusal, Text: "no"}, {Kind: chat.ToolCall, Signature: "gemini:x", Call: &chat.Call{ID: "toolu_1", Name: "f", Arguments: "{}"}},
			}},
			{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult, Result: &chat.Result{CallID: "toolu_1", Parts: []chat.Part{{Kind: chat.Text, Text: "1"}}}}}},
		},
		Tools:      []chat.Tool{{Name: "f"}, {Name: "g"}},
		ToolChoice: &chat.ToolChoice{Mode: chat.ToolAuto},
	}
}

// each dialect's members: what must be there, with its value, and what must not.
func TestEncode_dialects(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"mistral": {"max_tokens": "9", "max_completion_tokens": "", "random_seed": "7", "seed": "", "top_k": "3", "stream_options": "", "user": "", "reasoning_effort": `"xhigh"`,
			"messages.0.role": `"system"`, "messages.1.name": "", "messages.2.content.0.thinking.0.text": `"hm"`, "messages.2.content.1": `{"type":"text","text":"no"}`,
			"messages.2.tool_calls.0.id": `"` + shortID("toolu_1") + `"`, "messages.3.tool_call_id": `"` + shortID("toolu_1") + `"`, "messages.2.tool_calls.0.extra_content": ""},
		"groq": {"max_completion_tokens": "9", "seed": "7", "top_k": "", "stream_options": `{"include_usage":true}`, "user": `"u"`, "reasoning_effort": `"high"`,
			"messages.0.role": `"developer"`, "messages.0.content": `"be brief\nand kind"`, "messages.1.name": "", "messages.2.reasoning": `"hm"`, "messages.2.content": `"no"`},
		"deepseek": {"max_tokens": "9", "seed": "", "presence_penalty": "", "frequency_penalty": "", "reasoning_effort": `"xhigh"`, "messages.1.name": `"ann"`, "messages.2.reasoning_content": `"hm"`},
		"openrouter": {"max_completion_tokens": "9", "top_k": "3", "messages.0.content.1.cache_control": `{"type":"ephemeral","ttl":"1h"}`, "messages.2.reasoning": `"hm"`,
			"messages.2.content.0.type": `"refusal"`},
		"ollama":     {"max_tokens": "9", "tool_choice": "", "parallel_tool_calls": "", "user": "", "messages.0.content": `"be brief\nand kind"`, "messages.2.reasoning": `"hm"`},
		"perplexity": {"max_tokens": "9", "stream_options": "", "seed": "", "tool_choice": `"auto"`, "messages.2.reasoning": "", "reasoning_effort": `"high"`},
		"azure":      {"max_completion_tokens": "9", "seed": "7", "top_k": "", "messages.0.role": `"developer"`, "messages.2.reasoning_content": ""},
		"":           {"max_completion_tokens": "9", "seed": "7", "top_k": "", "reasoning_effort": `"xhigh"`, "frequency_penalty": "0"},
	} {
		up, err := Codec{}.Encode(foreign(), translate.Target{Model: "m", Dialect: name})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !gjson.ValidBytes(up.Body) {
			t.Errorf("%s: %s", name, up.Body)
		}
		for path, value := range want {
			if got := gjson.GetBytes(up.Body, path).Raw; got != value {
				t.Errorf("%s: %s is %s, want %s", name, path, got, value)
			}
		}
		if strings.Contains(string(up.Body), "signed") {
			t.Errorf("%s is shown what another provider signed (D78)", name)
		}
		if !strings.Contains(strings.Join(up.Dropped, " "), thinkingMember) {
			t.Errorf("%s: dropped %q", name, up.Dropped)
		}
	}
}

func TestEncode_dialects_refuse(t *testing.T) {
	user := []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "hi"}}}}
	for _, c := range []struct {
		dialect, param, lossy string
		r                     chat.Request
	}{
		{"groq", "n", "", chat.Request{N: ptr(int64(2))}},
		{"groq", "logprobs", "", chat.Request{LogProbs: ptr(true)}},
		{"xai", "stop", "", chat.Request{Stop: []string{"x"}}},
		{"deepseek", "response_format.type", "", chat.Request{Format: &chat.Format{Schema: []byte(`{}`)}}},
		{"lmstudio", "response_format.type", "", chat.Request{Format: &chat.Format{}}},
		{"ollama", "tool_choice", `"tools"`, chat.Request{Tools: []chat.Tool{{Name: "f"}}, ToolChoice: &chat.ToolChoice{Mode: chat.ToolRequired}}},
		{"ollama", "tool_choice", `"tools"`, chat.Request{Tools: []chat.Tool{{Name: "f"}}, ToolChoice: &chat.ToolChoice{Mode: chat.ToolNamed, Name: "f"}}},
	} {
		c.r.Messages = user
		_, err := Codec{}.Encode(&c.r, translate.Target{Model: "m", Dialect: c.dialect})
		var f *fault.Fault
		if !errors.As(err, &f) || f.Kind != fault.Unsupported || f.Param != c.param {
			t.Errorf("%s %s: %v", c.dialect, c.param, err)
		}
		up, err := Codec{}.Encode(&c.r, translate.Target{Model: "m", Dialect: c.dialect, Lossy: true})
		if err != nil || strings.Join(up.Dropped, " ") != c.param || !strings.Contains(string(up.Body), c.lossy) {
			t.Errorf("%s %s: %+v %v", c.dialect, c.param, up, err)
		}
	}
}

// A provider that can only be told that a tool must be called is given only that one.
func TestD27_the_only_tool(t *testing.T) {
	r := foreign()
	r.ToolChoice = &chat.ToolChoice{Mode: chat.ToolNamed, Name: "g"}
	up, err := Codec{}.Encode(r, translate.Target{Model: "m", Dialect: "perplexity"})
	if err != nil || gjson.GetBytes(up.Body, "tools.#").Int() != 1 || gjson.GetBytes(up.Body, "tools.0.function.name").Str != "g" || gjson.GetBytes(up.Body, "tool_choice").Str != "required" {
		t.Errorf("%s %v", up.Body, err)
	}
}

func TestEncode_images_by_url_need_bytes(t *testing.T) {
	r := &chat.Request{Messages: []chat.Message{{Role: chat.User, Parts: []chat.Part{{Kind: chat.Image, Media: &chat.Media{URL: "https://h/i.png"}}}}}}
	_, err := Codec{}.Encode(r, translate.Target{Model: "m", Dialect: "ollama"})
	var f *fault.Fault
	if !errors.As(err, &f) || f.Code != translate.NeedsBytes {
		t.Errorf("%v", err)
	}
}

func TestD14_long_names_are_a_bijection(t *testing.T) {
	long := strings.Repeat("n", 80)
	r := &chat.Request{
		Messages: []chat.Message{{Role: chat.Assistant, Parts: []chat.Part{{Kind: chat.ToolCall, Call: &chat.Call{ID: "c", Name: long}}}}},
		Tools:    []chat.Tool{{Name: long}, {Name: "mcp.server/f"}}, ToolChoice: &chat.ToolChoice{Mode: chat.ToolNamed, Name: long},
	}
	up, err := Codec{}.Encode(r, translate.Target{Model: "m"})
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, path := range []string{"tools.0.function.name", "tool_choice.function.name", "messages.0.tool_calls.0.function.name", "tools.1.function.name"} {
		name := gjson.GetBytes(up.Body, path).Str
		if len(name) > 64 {
			t.Errorf("%s: %s", path, name)
		}
		names = append(names, up.Names.Back(name))
	}
	if strings.Join(names, " ") != long+" "+long+" "+long+" mcp.server/f" {
		t.Errorf("%q", names)
	}
}

func BenchmarkRewrite_dialect(b *testing.B) {
	body := request(`"max_completion_tokens":5,"stream":true,"temperature":0.5,"messages":[{"role":"developer","content":"be brief"},{"role":"user","content":"` + strings.Repeat("word ", 400) + `"}]`)
	h, err := Codec{}.Parse(body)
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"", "mistral", "azure"} {
		b.Run("dialect "+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Codec{}).Rewrite(h, translate.Target{Model: "other", Dialect: name}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
