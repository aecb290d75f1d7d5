package cohere

import (
	"fmt"
	"strings"
	"testing"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// typical is a request of about 2 KB: a few turns, a tool, a stream.
var typical = func() []byte {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 8)
	return fmt.Appendf(nil, `{"model":"auto","stream":true,"temperature":0.7,"max_tokens":1024,"messages":[{"role":"system","content":"You are a helpful assistant."},
{"role":"user","content":"%s"},{"role":"assistant","content":"%s"},{"role":"user","content":[{"type":"text","text":"%s"}]},{"role":"assistant","tool_plan":"I will look.","tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}}]},
{"role":"tool","tool_call_id":"call_1","content":"{\"temp\":21}"}],"tools":[{"type":"function","function":{"name":"get_weather","description":"Weather of a city","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]}`, text, text, text)
}()

func BenchmarkParseRewrite(b *testing.B) {
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		h, err := Codec{}.Parse(typical)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := (Codec{}).Rewrite(h, target); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEncode(b *testing.B) {
	h, err := Codec{}.Parse(typical)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := Codec{}.Decode(h)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := (Codec{}).Encode(r, target); err != nil {
			b.Fatal(err)
		}
	}
}

// chunk is one event of a stream's middle; 100 of them make an iteration.
var chunk = []byte(strings.Repeat(event("content-delta", `"index":0,"delta":{"message":{"content":{"text":" Hello"}}}`), 100))

func BenchmarkStreamDecode(b *testing.B) {
	d := Codec{}.NewDecoder(1 << 20)
	if err := d.Decode([]byte(event("message-start", `"id":"a"`)), func(*chat.Event) {}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := d.Decode(chunk, func(*chat.Event) {}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

func BenchmarkStreamTap(b *testing.B) {
	t := Codec{}.NewTap(1<<20, translate.Answer{})
	dst := make([]byte, 0, 2*len(chunk))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := t.Write(dst[:0], chunk); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
}

func BenchmarkStreamEncode(b *testing.B) {
	e := Codec{}.NewEncoder(translate.Answer{})
	e.Encode(nil, &chat.Event{Kind: chat.EventStart, ID: "a"})
	e.Encode(nil, &chat.Event{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Thinking}})
	ev := &chat.Event{Kind: chat.EventDelta, Text: " Hello"}
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		e.Encode(dst[:0], ev)
	}
}
