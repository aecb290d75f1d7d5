package bedrock_test

import (
	"fmt"
	"strings"
	"testing"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// request2KB is a usual request: a system prompt, a few turns, a tool.
func request2KB(t testing.TB) *chat.Request {
	var b strings.Builder
	b.WriteString(`{"model":"m","max_completion_tokens":1024,"stream":true,"messages":[{"role":"system","content":"You are a helpful assistant."},`)
	for i := range 4 {
		fmt.Fprintf(&b, `{"role":"user","content":"Question %d: %s"},{"role":"assistant","content":"Answer.\n%s"},`, i, strings.Repeat("why is it so? ", 8), strings.Repeat("because. ", 16))
	}
	b.WriteString(`{"role":"user","content":"go on"}],"tools":[{"type":"function","function":{"name":"f","description":"does f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}]}`)
	return decode(t, "openai", []byte(b.String()))
}

func BenchmarkEncode2KB(b *testing.B) {
	r := request2KB(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Encode(r, translate.Target{Model: haiku}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode1MBImage(b *testing.B) {
	r := decode(b, "openai", []byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,`+strings.Repeat("AAAA", 1<<18)+`"}}]}]}`))
	b.SetBytes(1 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Encode(r, translate.Target{Model: haiku}); err != nil {
			b.Fatal(err)
		}
	}
}

// stream100 is a stream of 100 text deltas.
func stream100() []byte {
	lines := []string{start}
	for i := range 100 {
		lines = append(lines, delta(0, fmt.Sprintf(`{"text":"word %d, "}`, i)))
	}
	return stream(append(lines, blockStop(0), stop("end_turn"), meta)...)
}

func BenchmarkStreamDecode100(b *testing.B) {
	in := stream100()
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		d := codec.NewDecoder(maxEvent)
		if err := d.Decode(in, func(*chat.Event) {}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTap100(b *testing.B) {
	in := stream100()
	var out []byte
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		t := codec.NewTap(maxEvent, translate.Answer{})
		var err error
		if out, err = t.Write(out[:0], in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeResponse(b *testing.B) {
	body := whole(`{"text":"hello there"},{"toolUse":{"toolUseId":"1","name":"f","input":{"a":1}}}`, "tool_use")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.DecodeResponse(body); err != nil {
			b.Fatal(err)
		}
	}
}
