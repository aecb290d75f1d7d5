package openai_test

import (
	"fmt"
	"strings"
	"testing"

	"dragoman/translate/chat"
)

// typical is a request of about 2 KB: a few turns, a tool, a stream.
var typical = func() []byte {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 8)
	return fmt.Appendf(nil, `{"model":"auto","stream":true,"temperature":0.7,"max_tokens":1024,"messages":[{"role":"system","content":"You are a helpful assistant."},
{"role":"user","content":"%s"},{"role":"assistant","content":"%s"},{"role":"user","content":[{"type":"text","text":"%s"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}}]},
{"role":"tool","tool_call_id":"call_1","content":"{\"temp\":21}"}],"tools":[{"type":"function","function":{"name":"get_weather","description":"Weather of a city","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]}`, text, text, text)
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

func BenchmarkParse(b *testing.B) {
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.Parse(typical); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeEncode(b *testing.B) {
	h, err := codec.Parse(typical)
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(typical)))
	b.ReportAllocs()
	for b.Loop() {
		r, err := codec.Decode(h)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := codec.Encode(r, target); err != nil {
			b.Fatal(err)
		}
	}
}

const (
	firstChunk = `data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1718000000,"model":"gpt-5-mini","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}]}` + "\n\n"
	wordChunk  = `data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1718000000,"model":"gpt-5-mini","system_fingerprint":"fp","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}` + "\n\n"
)

func BenchmarkTap_per_event(b *testing.B) {
	tap := codec.NewTap(1<<20, reply)
	dst, _ := tap.Write(nil, []byte(firstChunk))
	in := []byte(wordChunk)
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
	dec := codec.NewDecoder(1 << 20)
	emit := func(*chat.Event) {}
	if err := dec.Decode([]byte(firstChunk), emit); err != nil {
		b.Fatal(err)
	}
	in := []byte(wordChunk)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if err := dec.Decode(in, emit); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode_per_event(b *testing.B) {
	enc := codec.NewEncoder(reply)
	dst := enc.Encode(nil, &begin)
	first, ev := start(chat.Text, 0), delta(0, " word")
	dst = enc.Encode(dst, &first)
	b.ReportAllocs()
	for b.Loop() {
		dst = enc.Encode(dst[:0], &ev)
	}
}

func BenchmarkPeekResponse(b *testing.B) {
	in := []byte(`{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"` +
		strings.Repeat("word ", 200) + `"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":200,"total_tokens":210}}`)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := codec.PeekResponse(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponse_decode_encode(b *testing.B) {
	r := &chat.Response{ID: "msg_1", Model: "claude", Usage: chat.Usage{Known: true, Input: 3, Output: 5}, Choices: []chat.Choice{{
		Finish: chat.FinishStop, Parts: []chat.Part{{Kind: chat.Text, Text: strings.Repeat("word ", 200)}},
	}}}
	b.ReportAllocs()
	for b.Loop() {
		body, err := codec.EncodeResponse(r, reply)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := codec.DecodeResponse(body); err != nil {
			b.Fatal(err)
		}
	}
}
