package translatetest_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dragoman/internal/fault"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/openai"
	"dragoman/translate/translatetest"
)

// What translation costs, for every pair of schemas: CPU beyond what the pass-through takes of a request of 2 KB and of an event of a
// stream, and copies of a large body.

// costTarget is a model that every schema's codec knows how to ask.
func costTarget(s chat.Schema) translate.Target {
	model := map[chat.Schema]string{chat.Gemini: "gemini-2.5-flash", chat.Anthropic: "claude-haiku-4-5", chat.Bedrock: "anthropic.claude-haiku-4-5-20251001-v1:0"}[s]
	if model == "" {
		model = "some-model"
	}
	return translate.Target{Model: model, MaxOutput: 8192}
}

// turnOf2KB is a few turns with a tool and its result.
var turnOf2KB = func() []byte {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 8)
	return fmt.Appendf(nil, `{"model":"auto","stream":true,"temperature":0.7,"max_tokens":1024,"messages":[{"role":"system","content":"You are a helpful assistant."},
{"role":"user","content":"%s"},{"role":"assistant","content":"%s"},{"role":"user","content":[{"type":"text","text":"%s"}]},{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Paris\"}"}}]},
{"role":"tool","tool_call_id":"call_1","content":"{\"temp\":21}"},{"role":"assistant","content":"Sunny."},{"role":"user","content":"And in Rome? And tomorrow?"}],"tools":[{"type":"function","function":{"name":"get_weather","description":"Weather of a city","parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]}`, text, text, text)
}()

// turnWithImage has an image of three quarters of a megabyte, a megabyte as base64.
var turnWithImage = func() []byte {
	image := append([]byte("\x89PNG\r\n\x1a\n"), bytes.Repeat([]byte("picture"), 112_000)...)
	return fmt.Appendf(nil, `{"model":"auto","max_tokens":100,"messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,%s"}}]}]}`,
		base64.StdEncoding.EncodeToString(image))
}()

// said is a request of OpenAI's schema as a client of another one would say it.
func said(tb testing.TB, c translatetest.Codec, body []byte) []byte {
	tb.Helper()
	if c.Schema() == chat.OpenAI {
		return body
	}
	h, err := openai.Codec{}.Parse(body)
	if err != nil {
		tb.Fatal(err)
	}
	r, err := openai.Codec{}.Decode(h)
	if err != nil {
		tb.Fatal(err)
	}
	up, err := c.Encode(r, costTarget(c.Schema()))
	if err != nil {
		tb.Fatal(err)
	}
	return up.Body
}

// TestCopiesOfALargeBody: from a client's body to a provider's at most three times its size is allocated, the provider's body included.
func TestCopiesOfALargeBody(t *testing.T) {
	for _, client := range codecs {
		body := said(t, client, turnWithImage)
		for _, provider := range providers() {
			if client.Schema() == provider.Schema() {
				continue
			}
			translateOnce := func() error {
				h, err := client.Parse(body)
				if err != nil {
					return err
				}
				r, err := client.Decode(h)
				if err != nil {
					return err
				}
				_, err = provider.Encode(r, costTarget(provider.Schema()))
				return err
			}
			if err := translateOnce(); err != nil {
				if f, ok := err.(*fault.Fault); ok && f.Kind == fault.Unsupported {
					continue
				}
				t.Fatalf("%s to %s: %v", client.Schema(), provider.Schema(), err)
			}
			const runs = 3
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				_ = translateOnce()
			}
			runtime.ReadMemStats(&after)
			copies := float64(after.TotalAlloc-before.TotalAlloc) / runs / float64(len(body))
			t.Logf("%s to %s: %.2f copies", client.Schema(), provider.Schema(), copies)
			if copies > 3 {
				t.Errorf("%s to %s: %.2f copies of the body", client.Schema(), provider.Schema(), copies)
			}
		}
	}
}

// cpu is the CPU time of the process, the collector's included: what the machine's other work does not lengthen.
func cpu(tb testing.TB) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}

// compare reports what translated takes of CPU beyond passed, for each of n things that one call does. The two take turns.
func compare(b *testing.B, n int, passed, translated func()) {
	var base, all time.Duration
	runs := 0
	b.ReportAllocs()
	for b.Loop() {
		t0 := cpu(b)
		for range 10 {
			passed()
		}
		t1 := cpu(b)
		for range 10 {
			translated()
		}
		base, all = base+t1-t0, all+cpu(b)-t1
		runs += 10 * n
	}
	b.ReportMetric(float64(all-base)/float64(runs)/1000, "added-cpu-µs")
	b.ReportMetric(float64(base)/float64(runs)/1000, "passed-cpu-µs")
}

// BenchmarkAddedToRequest: the aim is 20 µs.
func BenchmarkAddedToRequest(b *testing.B) {
	for _, client := range codecs {
		body := said(b, client, turnOf2KB)
		for _, provider := range providers() {
			if client.Schema() == provider.Schema() {
				continue
			}
			b.Run(string(client.Schema())+"-"+string(provider.Schema()), func(b *testing.B) {
				own, other := costTarget(client.Schema()), costTarget(provider.Schema())
				compare(b, 1, func() {
					h, _ := client.Parse(body)
					_, _ = client.Rewrite(h, own)
				}, func() {
					h, _ := client.Parse(body)
					r, _ := client.Decode(h)
					if _, err := provider.Encode(r, other); err != nil {
						b.Fatal(err)
					}
				})
			})
		}
	}
}

// BenchmarkAddedToEvent: the aim is 2 µs. The events are those of the case `plain`, many times over.
func BenchmarkAddedToEvent(b *testing.B) {
	for _, provider := range providers() {
		stream, events := longStream(b, provider)
		for _, client := range codecs {
			if client.Schema() == provider.Schema() {
				continue
			}
			b.Run(string(provider.Schema())+"-"+string(client.Schema()), func(b *testing.B) {
				var out []byte
				compare(b, events, func() {
					tap := provider.NewTap(1<<20, translate.Answer{})
					out, _ = tap.Write(out[:0], stream)
				}, func() {
					d, e := provider.NewDecoder(1<<20), client.NewEncoder(translate.Answer{RequestID: "r"})
					out = out[:0]
					_ = d.Decode(stream, func(ev *chat.Event) { out = e.Encode(out, ev) })
				})
			})
		}
	}
}

// longStream is a provider's stream with one of its text events 200 times over.
func longStream(b *testing.B, p translate.Provider) (stream []byte, events int) {
	all, err := translatetest.Cases(p.Schema())
	if err != nil {
		b.Fatal(err)
	}
	for i := range all {
		if all[i].Name != "plain" {
			continue
		}
		begin, delta := firstText(b, p, all[i].Stream)
		return append(bytes.Clone(all[i].Stream[:begin]), bytes.Repeat(all[i].Stream[begin:begin+delta], 200)...), 200
	}
	b.Fatal("no case plain")
	return nil, 0
}

// firstText finds the first piece of a stream that yields text after some text has come: where it begins, and its length.
func firstText(b *testing.B, p translate.Provider, stream []byte) (begin, length int) {
	d := p.NewDecoder(1 << 20)
	last, texts := 0, 0
	for i := range stream {
		got, text := 0, false
		_ = d.Decode(stream[i:i+1], func(ev *chat.Event) { got++; text = text || ev.Kind == chat.EventDelta && ev.Text != "" })
		if got == 0 {
			continue
		}
		if text {
			if texts++; texts == 2 {
				return last, i + 1 - last
			}
		}
		last = i + 1
	}
	b.Fatalf("the stream of %s has no two texts", p.Schema())
	return 0, 0
}
