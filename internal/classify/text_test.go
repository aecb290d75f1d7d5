package classify

import (
	"strings"
	"testing"

	"dragoman/translate/chat"
)

func head(fields ...string) *chat.Head {
	h := &chat.Head{Messages: 3, TextBytes: 99, Tools: 1}
	for i := 0; i < len(fields); i += 2 {
		start := len(h.Body)
		h.Body = append(h.Body, fields[i+1]...)
		h.Fields = append(h.Fields, chat.Field{Name: fields[i], Start: start, End: len(h.Body)})
	}
	return h
}

// Every client schema gives the same text.
func TestFromHead(t *testing.T) {
	for name, h := range map[string]*chat.Head{
		"openai": head("messages", `[{"role":"system","content":"be brief"},{"role":"user","content":"first"},{"role":"assistant","content":"x"},{"content":"caf\u00e9\nand \"tea\"","role":"user"},{"role":"tool","content":"42"}]`),
		"parts":  head("messages", `[{"role":"developer","content":[{"type":"text","text":"be brief"}]},{"role":"user","content":[{"type":"image_url","image_url":{"url":"u"}},{"type":"text","text":"café"},{"type":"text","text":"and \"tea\""}]}]`),
		"anthropic": head("system", `[{"type":"text","text":"be brief"}]`, "messages",
			`[{"role":"user","content":"café\nand \"tea\""},{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"b","input":{"text":"no"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"99"}]}]`),
		"responses": head("instructions", `"be brief"`, "input", `[{"role":"user","content":[{"type":"input_text","text":"café\nand \"tea\""}]},{"type":"function_call_output","output":"9"}]`),
		"one text":  head("instructions", `"be brief"`, "input", `"café\nand \"tea\""`),
		"gemini":    head("systemInstruction", `{"parts":[{"text":"be brief"}]}`, "contents", `[{"parts":[{"text":"café\nand \"tea\""}]},{"role":"model","parts":[{"text":"x"}]}]`),
		"bedrock":   head("system", `[{"text":"be brief"}]`, "messages", `[{"role":"user","content":[{"text":"café\nand \"tea\""}]}]`),
	} {
		got := FromHead(h)
		if got.User != "café\nand \"tea\"" || got.System != "be brief" || got.UserBytes != 0 || got.Bytes != 99 || got.Tools != 1 {
			t.Errorf("%s: %+v", name, got)
		}
	}
	for name, h := range map[string]*chat.Head{"nothing": head(), "null": head("messages", "null"), "empty": head("messages", "[]"), "odd": head("messages", `[1,"x",{"role":5,"content":{"a":1}},{"role":"user","content":[null,{"text":3}]}]`), "no value": head("input", "")} {
		if got := FromHead(h); got.User != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// Only the ends of a long text are unescaped, and no escape is cut.
func TestFromHeadOfLongTexts(t *testing.T) {
	for name, piece := range map[string]string{"escapes": `\u00e9`, "pairs": `\ud83d\ude00`, "breaks": `word\n`, "plain": "word ", "backslashes": `\\`} {
		raw := strings.Repeat(piece, 100_000/len(piece))
		got := FromHead(head("messages", `[{"role":"user","content":"`+raw+`"}]`))
		if len(got.User) > 2*(headBytes+tailBytes) || got.UserBytes < 90_000 {
			t.Errorf("%s: %d bytes of %d", name, len(got.User), got.UserBytes)
		}
		if strings.Contains(got.User, "\ufffd") || name != "backslashes" && strings.Contains(strings.ReplaceAll(got.User, "u00e9", ""), "\\") {
			t.Errorf("%s: a cut escape in %q … %q", name, got.User[:20], got.User[len(got.User)-20:])
		}
	}
}

func TestFromRequestAgrees(t *testing.T) {
	text := func(s string) chat.Part { return chat.Part{Kind: chat.Text, Text: s} }
	r := &chat.Request{Format: &chat.Format{}, Tools: make([]chat.Tool, 2), Messages: []chat.Message{
		{Role: chat.System, Parts: []chat.Part{text("be brief")}},
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.Image}, text("first part"), text("last part")}},
		{Role: chat.ToolRole, Parts: []chat.Part{{Kind: chat.ToolResult}}},
		{Role: chat.User, Parts: []chat.Part{{Kind: chat.ToolResult}}},
	}}
	want := Text{System: "be brief", User: "first part\nlast part", Bytes: 27, Turns: 4, Tools: 2, Media: 1, Structured: true}
	if got := FromRequest(r); got != want {
		t.Errorf("got %+v", got)
	}
	r.Messages[1].Parts = []chat.Part{text(strings.Repeat("ä", 5000)), text("middle"), text(strings.Repeat("z", 5000))}
	if got := FromRequest(r); len(got.User) > headBytes+tailBytes+1 || got.UserBytes < 15_000 || !strings.HasSuffix(got.User, "z") {
		t.Errorf("%d bytes of %d", len(got.User), got.UserBytes)
	}
	if got := FromRequest(&chat.Request{}); got != (Text{}) {
		t.Errorf("of nothing: %+v", got)
	}
}

func BenchmarkFromHead(b *testing.B) {
	for name, turns := range map[string]int{"short": 1, "conversation": 40} {
		b.Run(name, func(b *testing.B) {
			turn := `{"role":"user","content":"Please explain how the interest is \"calculated\",\nand compare both offers."},{"role":"assistant","content":"` + strings.Repeat("word ", 200) + `"},`
			h := head("messages", "["+strings.TrimSuffix(strings.Repeat(turn, turns), ",")+"]")
			b.ReportAllocs()
			b.SetBytes(int64(len(h.Body)))
			for b.Loop() {
				FromHead(h)
			}
		})
	}
}
