package gemini

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// conversation is a request of about kilobytes KB with two tools.
func conversation(kilobytes int) []byte {
	text, _ := json.Marshal(strings.Repeat("The quick brown fox jumps over the lazy dog.\n", 11))
	var b strings.Builder
	b.WriteString(`{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[`)
	for i := range kilobytes {
		fmt.Fprintf(&b, `{"role":"user","parts":[{"text":%s}]},{"role":"model","parts":[{"text":%s}]},`, text, text)
		if i == 0 {
			b.WriteString(`{"role":"user","parts":[{"text":"weather?"}]},{"role":"model","parts":[{"functionCall":{"name":"get_weather","args":{"city":"Rome"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"get_weather","response":{"output":"sunny"}}}]},`)
		}
	}
	b.WriteString(`{"role":"user","parts":[{"text":"go on"}]}],"tools":[{"functionDeclarations":[{"name":"get_weather","description":"The weather","parameters":{"type":"OBJECT","properties":{"city":{"type":"STRING"}},"required":["city"]}},{"name":"now"}]}],"generationConfig":{"temperature":0.5,"maxOutputTokens":500}}`)
	return []byte(b.String())
}

func BenchmarkRequest(b *testing.B) {
	for _, kb := range []int{2, 200} {
		body := conversation(kb)
		h, err := Codec{}.Parse(body)
		if err != nil {
			b.Fatal(err)
		}
		r, err := Codec{}.Decode(h)
		if err != nil {
			b.Fatal(err)
		}
		run := func(name string, f func() error) {
			b.Run(fmt.Sprintf("%s-%dKB", name, kb), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(len(body)))
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("parse", func() error { _, err := Codec{}.Parse(body); return err })
		run("decode", func() error { _, err := Codec{}.Decode(h); return err })
		run("encode", func() error { _, err := Codec{}.Encode(r, flash); return err })
		run("rewrite", func() error { _, err := Codec{}.Rewrite(h, flash); return err })
	}
}

const benchEvent = `data: {"candidates":[{"content":{"parts":[{"text":" and a few words of text"}],"role":"model"},"index":0}],"usageMetadata":{"promptTokenCount":19,"totalTokenCount":19,"promptTokensDetails":[{"modality":"TEXT","tokenCount":19}]},"modelVersion":"gemini-2.5-flash","responseId":"rB1XF"}` + "\n\n"

func BenchmarkStream(b *testing.B) {
	b.Run("decode-event", func(b *testing.B) {
		b.ReportAllocs()
		d := Codec{}.NewDecoder(1 << 20)
		data, drop := []byte(benchEvent), func(*chat.Event) {}
		for b.Loop() {
			if err := d.Decode(data, drop); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("tap-event", func(b *testing.B) {
		b.ReportAllocs()
		t := Codec{}.NewTap(1<<20, translate.Answer{})
		data, dst := []byte(benchEvent), []byte(nil)
		for b.Loop() {
			var err error
			if dst, err = t.Write(dst[:0], data); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encode-event", func(b *testing.B) {
		b.ReportAllocs()
		e := Codec{}.NewEncoder(translate.Answer{Model: "gpt-5"})
		dst := e.Encode(nil, &chat.Event{Kind: chat.EventStart, ID: "x"})
		dst = e.Encode(dst, &chat.Event{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Text}})
		ev := &chat.Event{Kind: chat.EventDelta, Text: " and a few words of text"}
		for b.Loop() {
			dst = e.Encode(dst[:0], ev)
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	text, _ := json.Marshal(strings.Repeat("words and words ", 128))
	body := []byte(`{"candidates":[{"content":{"parts":[{"text":` + string(text) + `}],"role":"model"},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":19,"candidatesTokenCount":300,"totalTokenCount":319},"modelVersion":"m","responseId":"r"}`)
	r, err := Codec{}.DecodeResponse(body)
	if err != nil {
		b.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"decode-2KB": func() error { _, err := Codec{}.DecodeResponse(body); return err },
		"peek-2KB":   func() error { _, err := Codec{}.PeekResponse(body); return err },
		"encode-2KB": func() error { _, err := Codec{}.EncodeResponse(r, translate.Answer{}); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if err := f(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
