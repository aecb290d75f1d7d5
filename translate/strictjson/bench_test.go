package strictjson_test

import (
	"fmt"
	"strings"
	"testing"

	"dragoman/translate/strictjson"
)

func request(turns int, text string) []byte {
	var b strings.Builder
	b.WriteString(`{"model":"gpt-5-mini","temperature":0.2,"stream":true,"messages":[{"role":"system","content":"You are helpful."}`)
	for i := range turns {
		fmt.Fprintf(&b, `,{"role":"user","content":[{"type":"text","text":"%d %s"}]},{"role":"assistant","content":"%s"}`, i, text, text)
	}
	b.WriteString(`],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}}]}`)
	return []byte(b.String())
}

func BenchmarkScan(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog.\\n", 8)
	for name, body := range map[string][]byte{
		"request-2KB":    request(2, text),
		"request-200KB":  request(250, text),
		"japanese-200KB": request(80, strings.Repeat("いろはにほへと ちりぬるを", 30)),
		"image-1MB":      request(1, strings.Repeat("iVBORw0KGgoAAAAN", 32<<10)),
		"structure":      []byte(`{"x":[` + strings.Repeat(`{"a":1,"b":[true,null],"c":{"d":"e"}},`, 5000) + `0]}`),
		"most-keys":      append(append([]byte(`{"x":`), manyKeys(strictjson.MaxMembers, 0)...), '}'),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := strictjson.Scan(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendString(b *testing.B) {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog, \"twice\".\n", 20)
	dst := make([]byte, 0, 4096)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		dst = strictjson.AppendString(dst[:0], text)
	}
}

func BenchmarkSet(b *testing.B) {
	body := request(2, strings.Repeat("x", 400))
	fields, err := strictjson.Scan(body)
	if err != nil {
		b.Fatal(err)
	}
	model := []byte(`"gpt-5-mini-2025-08-07"`)
	b.ReportAllocs()
	for b.Loop() {
		strictjson.Set(body, fields, strictjson.Member{Name: "model", Value: model})
	}
}
