package gemini

import (
	"slices"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
)

func TestD45_D47_D48_D51_to_D57_generation(t *testing.T) {
	n, k, seed, big, f, top := int64(100_000), int64(40), int64(7), int64(1)<<31, 2.5, int64(30)
	three, half, yes := int64(3), 0.5, true
	r := hello()
	r.MaxTokens, r.TopK, r.Seed, r.Temperature, r.TopP, r.N = &n, &k, &seed, &f, &half, &three
	r.FrequencyPenalty, r.Stop, r.LogProbs, r.TopLogProbs = &half, []string{"a", "", "b", "c", "d", "e"}, &yes, &top
	to := flash
	to.MaxOutput = 65_536
	v, up := encoded(t, r, to)
	is(t, v, "generationConfig", `{"maxOutputTokens":65536,"candidateCount":3,"stopSequences":["a","b","c","d","e"],"temperature":2,"topP":0.5,"topK":40,"seed":7,"responseLogprobs":true,"logprobs":20}`)
	dropped(t, up, "stop", "temperature", "frequency_penalty")
	v, _ = encoded(t, r, on("gemini-2.0-flash")) // D50: the older ones have penalties
	is(t, v, "generationConfig.frequencyPenalty", `0.5`)

	r = hello()
	r.Seed = &big
	v, up = encoded(t, r, flash)
	is(t, v, "generationConfig", "")
	dropped(t, up, "seed")
	r.Stop = []string{"1", "2", "3", "4", "5", "6"}
	refused(t, r, flash, fault.Unsupported, "stop")
	r = hello()
	nine := int64(9)
	r.N = &nine
	refused(t, r, flash, fault.Unsupported, "n")
}

func TestD59_thinking_by_budget_or_by_level(t *testing.T) {
	cap1000 := int64(1000)
	for _, c := range []struct {
		model   string
		rs      chat.Reasoning
		max     *int64
		want    string
		dropped bool
	}{
		{"gemini-2.5-flash", chat.Reasoning{Effort: "low"}, nil, `{"thinkingBudget":1024,"includeThoughts":true}`, false},
		{"gemini-2.5-flash", chat.Reasoning{Effort: "medium"}, nil, `{"thinkingBudget":8192,"includeThoughts":true}`, false},
		{"gemini-2.5-flash", chat.Reasoning{Effort: "max"}, nil, `{"thinkingBudget":24576,"includeThoughts":true}`, false},
		{"gemini-2.5-pro", chat.Reasoning{Effort: "max"}, nil, `{"thinkingBudget":32768,"includeThoughts":true}`, false},
		{"gemini-2.5-flash", chat.Reasoning{Budget: 3000, Display: "omitted"}, nil, `{"thinkingBudget":3000}`, false},
		{"gemini-2.5-flash", chat.Reasoning{Budget: 3000}, &cap1000, `{"thinkingBudget":500,"includeThoughts":true}`, false}, // D47
		{"gemini-2.5-flash", chat.Reasoning{Adaptive: true}, nil, `{"thinkingBudget":-1,"includeThoughts":true}`, false},
		{"gemini-2.5-flash", chat.Reasoning{Disabled: true}, nil, `{"thinkingBudget":0}`, false},
		{"gemini-2.5-flash-lite", chat.Reasoning{Budget: 5}, nil, `{"thinkingBudget":512,"includeThoughts":true}`, false},
		{"gemini-2.5-pro", chat.Reasoning{Effort: "none"}, nil, `{"thinkingBudget":128}`, true},
		{"gemini-3-pro-preview", chat.Reasoning{Effort: "high"}, nil, `{"thinkingLevel":"HIGH","includeThoughts":true}`, false},
		{"gemini-3-pro-preview", chat.Reasoning{Effort: "medium"}, nil, `{"thinkingLevel":"HIGH","includeThoughts":true}`, false},
		{"gemini-3.1-pro-preview", chat.Reasoning{Effort: "medium"}, nil, `{"thinkingLevel":"MEDIUM","includeThoughts":true}`, false},
		{"gemini-3-pro-preview", chat.Reasoning{Effort: "minimal"}, nil, `{"thinkingLevel":"LOW","includeThoughts":true}`, false},
		{"gemini-3-flash-preview", chat.Reasoning{Effort: "minimal"}, nil, `{"thinkingLevel":"MINIMAL","includeThoughts":true}`, false},
		{"gemini-3-flash-preview", chat.Reasoning{Budget: 5000}, nil, `{"thinkingLevel":"MEDIUM","includeThoughts":true}`, false},
		{"gemini-3-flash-preview", chat.Reasoning{Disabled: true}, nil, `{"thinkingLevel":"MINIMAL"}`, true},
		{"gemini-3-flash-preview", chat.Reasoning{Adaptive: true}, nil, `{"includeThoughts":true}`, false},
		{"gemini-2.0-flash", chat.Reasoning{Effort: "high"}, nil, ``, true},
		{"gemini-2.0-flash", chat.Reasoning{Disabled: true}, nil, ``, false},
	} {
		r := hello()
		r.Reasoning, r.MaxTokens = &c.rs, c.max
		v, up := encoded(t, r, on(c.model))
		is(t, v, "generationConfig.thinkingConfig", c.want)
		if got := slices.Contains(up.Dropped, "reasoning_effort"); got != c.dropped {
			t.Errorf("%s %+v: dropped %v", c.model, c.rs, up.Dropped)
		}
	}
}

func TestD61_structured_output(t *testing.T) {
	r := hello()
	r.Format = &chat.Format{}
	v, _ := encoded(t, r, flash)
	is(t, v, "generationConfig", `{"responseMimeType":"application/json"}`)
	r.Tools = []chat.Tool{{Name: "f"}}
	refused(t, r, flash, fault.Unsupported, "response_format")
	if v, _ = encoded(t, r, on("gemini-3-pro-preview")); !v.Get("generationConfig.responseMimeType").Exists() {
		t.Error("Gemini 3 takes both")
	}
	lossy := flash
	lossy.Lossy = true
	v, up := encoded(t, r, lossy)
	is(t, v, "generationConfig", "")
	dropped(t, up, "response_format")
}

func TestD65_to_D72_media(t *testing.T) {
	vertex := flash
	vertex.Dialect = Vertex
	for _, c := range []struct {
		part chat.Part
		to   translate.Target
		want string
		kind fault.Kind
	}{
		{chat.Part{Kind: chat.Image, Media: &chat.Media{URL: "data:image/jpg;base64,AAAA"}}, flash, `{"inlineData":{"mimeType":"image/jpeg","data":"AAAA"}}`, 0},
		{chat.Part{Kind: chat.Document, Media: &chat.Media{Type: "application/pdf", Data: "AAAA", Name: "a.pdf"}}, flash, `{"inlineData":{"mimeType":"application/pdf","data":"AAAA"}}`, 0},
		{chat.Part{Kind: chat.Audio, Media: &chat.Media{Type: "audio/wav", Data: "AAAA"}}, flash, `{"inlineData":{"mimeType":"audio/wav","data":"AAAA"}}`, 0},
		{chat.Part{Kind: chat.Image, Media: &chat.Media{URL: "https://e.com/a.PNG?x=1"}}, vertex, `{"fileData":{"mimeType":"image/png","fileUri":"https://e.com/a.PNG?x=1"}}`, 0},
		{chat.Part{Kind: chat.Image, Media: &chat.Media{URL: "https://e.com/a"}}, flash, `{"fileData":{"fileUri":"https://e.com/a"}}`, 0},
		{chat.Part{Kind: chat.Image, Media: &chat.Media{URL: "https://e.com/a"}}, vertex, ``, fault.Unsupported}, // D66
		{chat.Part{Kind: chat.Image, Media: &chat.Media{URL: "file:///etc/passwd"}}, flash, ``, fault.InvalidRequest},
		{chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/gif", Data: "AAAA"}}, flash, ``, fault.Unsupported},
		{chat.Part{Kind: chat.Document, Media: &chat.Media{Type: "application/zip", Data: "AAAA"}}, flash, ``, fault.Unsupported},
		{chat.Part{Kind: chat.Image, Media: &chat.Media{FileID: "file-1"}}, flash, ``, fault.Unsupported}, // D71
		{chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "%"}}, flash, ``, fault.InvalidRequest},
		{chat.Part{Kind: chat.Image, Media: &chat.Media{Type: "image/png"}}, flash, ``, fault.InvalidRequest},
		{chat.Part{Kind: chat.Image}, flash, ``, fault.InvalidRequest},
	} {
		r := asks(chat.Message{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "see"}, c.part}})
		if c.kind != 0 {
			refused(t, r, c.to, c.kind, "messages[0].content[1]")
			continue
		}
		v, _ := encoded(t, r, c.to)
		is(t, v, "contents.0.parts.1", c.want)
	}
	r := asks(chat.Message{Role: chat.User, Parts: []chat.Part{{Kind: chat.Text, Text: "see"}, {Kind: chat.Image, Media: &chat.Media{Type: "image/png", Data: "AAAA", Detail: "low"}}}})
	_, up := encoded(t, r, flash)
	dropped(t, up, "messages[0].content[1].image_url.detail") // D67
}

func TestD75_D78_D79_D80_signatures(t *testing.T) {
	own := func(s string) chat.Part {
		return chat.Part{Kind: chat.Thinking, Signature: chat.Sign(chat.Gemini, s)}
	}
	call := chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "1", Name: "f"}}
	for _, c := range []struct {
		name, model string
		parts       []chat.Part
		want        string
		dropped     bool
	}{
		{"on its call", "gemini-3-pro-preview", []chat.Part{own("AAAA"), call}, `[{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"AAAA"}]`, false},
		{"of the call itself", "gemini-3-pro-preview", []chat.Part{{Kind: chat.ToolCall, Call: call.Call, Signature: "gemini:BBBB"}}, `[{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"BBBB"}]`, false},
		{"of a text, and of a call", "gemini-3-pro-preview", []chat.Part{{Kind: chat.Text, Text: "x"}, own("AAAA"), own("BBBB"), call},
			`[{"text":"x","thoughtSignature":"AAAA"},{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"BBBB"}]`, false},
		{"of a thought", "gemini-2.5-flash", []chat.Part{{Kind: chat.Thinking, Text: "hm", Signature: "gemini:AAAA"}, call},
			`[{"text":"hm","thought":true,"thoughtSignature":"AAAA"},{"functionCall":{"id":"1","name":"f","args":{}}}]`, false},
		{"lost", "gemini-3-pro-preview", []chat.Part{call}, `[{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"skip_thought_signature_validator"}]`, false},
		{"lost, of an older model", "gemini-2.5-flash", []chat.Part{call}, `[{"functionCall":{"id":"1","name":"f","args":{}}}]`, false},
		{"of another provider", "gemini-3-pro-preview", []chat.Part{{Kind: chat.Thinking, Text: "hm", Signature: "ErUB"}, {Kind: chat.RedactedThinking, Signature: "EmwK"}, call},
			`[{"functionCall":{"id":"1","name":"f","args":{}},"thoughtSignature":"skip_thought_signature_validator"}]`, true},
		{"unsigned thought", "gemini-2.5-flash", []chat.Part{{Kind: chat.Thinking, Text: "hm"}, call}, `[{"functionCall":{"id":"1","name":"f","args":{}}}]`, true},
		{"of a text alone", "gemini-2.5-flash", []chat.Part{own("AAAA"), {Kind: chat.Text, Text: "x"}, call}, `[{"text":"","thoughtSignature":"AAAA"},{"text":"x"},{"functionCall":{"id":"1","name":"f","args":{}}}]`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := asks(said(chat.User, "q"), chat.Message{Role: chat.Assistant, Parts: c.parts}, answered("1", "y"))
			v, up := encoded(t, r, on(c.model))
			is(t, v, "contents.1.parts", c.want)
			if got := slices.Contains(up.Dropped, "messages[1].reasoning_content"); got != c.dropped {
				t.Errorf("dropped %v", up.Dropped)
			}
		})
	}
	// The escape value stands only in the current turn, on the first call of each step.
	two := called(chat.Call{ID: "1", Name: "f"}, chat.Call{ID: "2", Name: "f"})
	r := asks(said(chat.User, "q"), two, answered("1", "y"), answered("2", "y"), said(chat.Assistant, "so"),
		said(chat.User, "again"), two, answered("1", "y"), answered("2", "y"), two, answered("1", "y"), answered("2", "y"))
	v, _ := encoded(t, r, on("gemini-3-pro-preview"))
	if got := v.Get(`contents.#.parts.#.thoughtSignature`).Raw; got != `[[],[],[],[],[],["skip_thought_signature_validator"],[],["skip_thought_signature_validator"],[]]` {
		t.Errorf("%s", got)
	}
}

func TestD83_equal_requests_give_equal_bytes(t *testing.T) {
	r := asks(said(chat.User, "x"), called(chat.Call{ID: "a/b", Name: "f g"}), answered("a/b", "y"))
	r.Tools = []chat.Tool{{Name: "f g", Parameters: []byte(`{"type":"object","properties":{"b":{"type":"string"},"a":{"$ref":"#/$defs/z"}},"$defs":{"z":{},"y":{}}}`)}}
	_, first := encoded(t, r, flash)
	for range 20 {
		if _, again := encoded(t, r, flash); string(again.Body) != string(first.Body) {
			t.Fatalf("%s\n%s", first.Body, again.Body)
		}
	}
}

func TestDropped_names_are_bounded(t *testing.T) {
	r := hello()
	for i := range 100 {
		r.Messages = append(r.Messages, chat.Message{Role: chat.User, Name: strings.Repeat("x", i+1), Parts: []chat.Part{{Kind: chat.Text, Text: "x"}}})
	}
	_, up := encoded(t, r, flash)
	if len(up.Dropped) != 33 || up.Dropped[32] != "..." {
		t.Errorf("%d: %v", len(up.Dropped), up.Dropped)
	}
}

func TestTraits_follow_the_generation(t *testing.T) {
	for model, want := range map[string]int{
		"gemini-2.5-flash": 205, "models/gemini-2.5-pro-001": 205, "gemini-3-pro-preview": 300, "gemini-3.1-flash-lite": 301, "gemini-4-argon": 400,
		"gemini-2.0-flash-001": 200, "gemini-1.5-pro": 105, "gemini-pro": 0, "gemini-flash-latest": newest, "gemma-3-27b": 0, "": 0, "gemini-20251001": 0,
		"publishers/google/models/gemini-2.5-flash": 205,
	} {
		if got := generation(model); got != want {
			t.Errorf("%s: %d, want %d", model, got, want)
		}
	}
}
