package anthropic_test

import (
	"fmt"
	"strings"
	"testing"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// request2KB is a usual request: a system prompt, a few turns, a tool.
func request2KB() []byte {
	var b strings.Builder
	b.WriteString(`{"model":"claude-haiku-4-5","max_tokens":1024,"stream":true,"system":"You are a helpful assistant.","messages":[`)
	for i := range 4 {
		fmt.Fprintf(&b, `{"role":"user","content":"Question %d: %s"},{"role":"assistant","content":[{"type":"text","text":"Answer.\n%s"}]},`, i, strings.Repeat("why is it so? ", 8), strings.Repeat("because. ", 16))
	}
	b.WriteString(`{"role":"user","content":"go on"}],"tools":[{"name":"f","description":"does f","input_schema":{"type":"object","properties":{"a":{"type":"string"}}}}]}`)
	return []byte(b.String())
}

func BenchmarkParse2KB(b *testing.B) {
	body := request2KB()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Parse(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRewrite2KB(b *testing.B) {
	h, err := codec.Parse(request2KB())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Rewrite(h, target); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode2KB(b *testing.B) {
	h, err := codec.Parse(request2KB())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Decode(h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode2KB(b *testing.B) {
	h, err := codec.Parse(request2KB())
	if err != nil {
		b.Fatal(err)
	}
	r, err := codec.Decode(h)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Encode(r, target); err != nil {
			b.Fatal(err)
		}
	}
}

// stream100 is a stream of 100 text deltas.
func stream100() []byte {
	lines := []string{messageStart, textStart}
	for i := range 100 {
		lines = append(lines, fmt.Sprintf(`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"word %d, "}}`, i))
	}
	return data(append(lines, `{"type":"content_block_stop","index":0}`, messageDelta, messageStop)...)
}

func BenchmarkStreamDecode100(b *testing.B) {
	stream := stream100()
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		d := codec.NewDecoder(maxEvent)
		if err := d.Decode(stream, func(*chat.Event) {}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStreamDecodeEncode100(b *testing.B) {
	stream := stream100()
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		d, e := codec.NewDecoder(maxEvent), codec.NewEncoder(translate.Answer{})
		out = out[:0]
		if err := d.Decode(stream, func(ev *chat.Event) { out = e.Encode(out, ev) }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTap100(b *testing.B) {
	stream := stream100()
	var out []byte
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		t := codec.NewTap(maxEvent, translate.Answer{})
		var err error
		if out, err = t.Write(out[:0], stream); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		r, err := codec.DecodeResponse([]byte(whole))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := codec.EncodeResponse(r, translate.Answer{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPeekResponse(b *testing.B) {
	body := []byte(whole)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.PeekResponse(body); err != nil {
			b.Fatal(err)
		}
	}
}
