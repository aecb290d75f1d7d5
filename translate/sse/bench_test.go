package sse_test

import (
	"strings"
	"testing"

	"dragoman/translate/sse"
)

const chunk = `data: {"id":"chatcmpl-123","object":"chat.completion.chunk","created":1718000000,"model":"gpt-5-mini","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null}]}` + "\n\n"

func BenchmarkReader(b *testing.B) {
	ten := []byte(strings.Repeat(chunk, 10))
	half := []byte(strings.Repeat(chunk, 10))[:len(ten)-50]
	rest := []byte(strings.Repeat(chunk, 1))[len(chunk)-50:]
	for name, pieces := range map[string][][]byte{
		"whole-10":   {ten},
		"split-10":   {half, rest},
		"crlf-10":    {[]byte(strings.ReplaceAll(string(ten), "\n", "\r\n"))},
		"one-by-one": {[]byte(chunk)},
	} {
		b.Run(name, func(b *testing.B) {
			r := sse.NewReader(1 << 20)
			size := 0
			for _, p := range pieces {
				size += len(p)
			}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, p := range pieces {
					r.Feed(p)
					for r.Next() {
						if r.Event().Data == nil {
							b.Fatal("no data")
						}
					}
				}
			}
		})
	}
}
