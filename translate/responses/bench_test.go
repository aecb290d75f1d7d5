package responses_test

import (
	"fmt"
	"strings"
	"testing"

	"dragoman/translate/chat"
	"dragoman/translate/responses"
)

// typical is a request of about 2 KB: a few turns, a tool, a stream.
var typical = func() []byte {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 8)
	return fmt.Appendf(nil, `{"model":"auto","stream":true,"temperature":0.7,"max_output_tokens":1024,"instructions":"You are a helpful assistant.","input":[
{"role":"user","content":"%s"},{"role":"assistant","content":"%s"},{"role":"user","content":[{"type":"input_text","text":"%s"}]},{"type":"function_call","call_id":"call_1","name":"get_weather","arguments":"{\"city\":\"Paris\"}"},
{"type":"function_call_output","call_id":"call_1","output":"{\"temp\":21}"}],"tools":[{"type":"function","name":"get_weather","description":"Weather of a city","strict":false,"parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}]}`, text, text, text)
}()

func BenchmarkParseRewrite(b *testing.B) {
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		h, err := codec.Parse(typical)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := codec.Rewrite(h, target); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	h := head(b, string(typical))
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Decode(h); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	r := decode(b, string(typical))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Encode(r, target); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkContinue(b *testing.B) {
	h := head(b, string(typical))
	history := decode(b, string(typical)).Messages
	b.ReportAllocs()
	for b.Loop() {
		if _, err := responses.Continue(h, history, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTap_per_event(b *testing.B) {
	tap := codec.NewTap(1<<20, reply)
	dst, _ := tap.Write(nil, sse(created, openText))
	in := sse(deltaText)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if dst, err = tap.Write(dst[:0], in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode_per_event(b *testing.B) {
	d := codec.NewDecoder(1 << 20)
	emit := func(*chat.Event) {}
	if err := d.Decode(sse(created, openText), emit); err != nil {
		b.Fatal(err)
	}
	in := sse(deltaText)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(in, emit); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode_per_event(b *testing.B) {
	b.ReportAllocs()
	n := 0
	var dst []byte
	e := codec.NewEncoder(reply)
	ev := chat.Event{Kind: chat.EventDelta, Text: " word"}
	for b.Loop() {
		if n%10_000 == 0 { // a stream repeats its answer at the end, so that it keeps it
			e = codec.NewEncoder(reply)
			dst = e.Encode(dst[:0], &chat.Event{Kind: chat.EventStart, ID: "x"})
			dst = e.Encode(dst, &chat.Event{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Text}})
		}
		n++
		dst = e.Encode(dst[:0], &ev)
	}
}
