package eventstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"

	"dragoman/internal/fault"
	"dragoman/translate/eventstream"
)

const maxMessage = 1 << 20

// everyType has one header of each type.
func everyType() []eventstream.Header {
	return []eventstream.Header{
		eventstream.StringHeader(":event-type", "contentBlockDelta"),
		{Name: []byte("yes"), Type: eventstream.True},
		{Name: []byte("no"), Type: eventstream.False},
		{Name: []byte("i8"), Type: eventstream.Int8, Value: []byte{0xFE}},
		{Name: []byte("i16"), Type: eventstream.Int16, Value: []byte{1, 2}},
		{Name: []byte("i32"), Type: eventstream.Int32, Value: []byte{1, 2, 3, 4}},
		{Name: []byte("i64"), Type: eventstream.Int64, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}},
		{Name: []byte("bytes"), Type: eventstream.Bytes, Value: []byte{0, 255}},
		{Name: []byte("at"), Type: eventstream.Timestamp, Value: []byte{0, 0, 1, 0x93, 0, 0, 0, 0}},
		{Name: []byte("id"), Type: eventstream.UUID, Value: bytes.Repeat([]byte{7}, 16)},
	}
}

func sample() []byte {
	b := eventstream.Append(nil, everyType(), []byte(`{"text":"Łódź"}`))
	b = eventstream.Append(b, nil, nil)
	return eventstream.Append(b, []eventstream.Header{eventstream.StringHeader("a", "")}, bytes.Repeat([]byte("x"), 300))
}

// read shows each message of a stream that is fed in the given pieces.
func read(limit int, pieces ...[]byte) (shown []string, raw []byte, err error) {
	r := eventstream.NewReader(limit)
	for _, p := range pieces {
		p = bytes.Clone(p)
		r.Feed(p)
		for r.Next() {
			m := r.Message()
			raw = append(raw, m.Raw...)
			shown = append(shown, fmt.Sprintf("%d %s %s", len(m.All()), m.Text(":event-type"), m.Payload))
		}
		if r.Err() != nil {
			return shown, raw, r.Err()
		}
		clear(p) // the Reader must not hold the caller's bytes
	}
	if r.Partial() {
		err = errors.New("partial")
	}
	return shown, raw, err
}

func TestEverySplit(t *testing.T) {
	stream := sample()
	want, raw, err := read(maxMessage, stream)
	if err != nil || len(want) != 3 || !bytes.Equal(raw, stream) {
		t.Fatal(want, err)
	}
	for i := range stream {
		for _, j := range []int{i, i + 1, i + 13, len(stream)} {
			j = min(j, len(stream))
			got, raw, err := read(maxMessage, stream[:i], stream[i:j], stream[j:])
			if err != nil || !bytes.Equal(raw, stream) || strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Fatalf("cut at %d and %d: %v %q", i, j, err, got)
			}
		}
	}
	var single [][]byte
	for i := range stream {
		single = append(single, stream[i:i+1])
	}
	if got, _, err := read(maxMessage, single...); err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("byte by byte: %v %q", err, got)
	}
}

func TestPartial(t *testing.T) {
	one := eventstream.Append(nil, everyType(), []byte("x"))
	for n := range one {
		if _, _, err := read(maxMessage, one[:n]); (err == nil) != (n == 0) {
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// TestEveryDamage flips each bit: no damage passes.
func TestEveryDamage(t *testing.T) {
	stream := eventstream.Append(nil, everyType(), []byte(`{"text":"x"}`))
	for i := range stream {
		for bit := range 8 {
			damaged := bytes.Clone(stream)
			damaged[i] ^= 1 << bit
			shown, _, err := read(maxMessage, damaged)
			var f *fault.Fault
			if len(shown) > 0 || !errors.As(err, &f) || f.Kind != fault.ProviderFailed {
				t.Fatalf("byte %d, bit %d: %q %v", i, bit, shown, err)
			}
			if _, _, again := read(maxMessage, damaged[:i+1], damaged[i+1:]); again == nil || again.Error() != err.Error() {
				t.Fatalf("byte %d, in two pieces: %v, whole: %v", i, again, err)
			}
		}
	}
}

func TestReaderStaysAtItsFault(t *testing.T) {
	r := eventstream.NewReader(100)
	r.Feed(bytes.Repeat([]byte("x"), 50))
	if r.Next() || r.Err() == nil {
		t.Fatal("garbage was read")
	}
	r.Feed(eventstream.Append(nil, nil, nil))
	if r.Next() || r.Err() == nil || r.Message().Raw != nil {
		t.Fatal("a Reader came back from its fault")
	}
}

func TestBounds(t *testing.T) {
	m := eventstream.Append(nil, nil, make([]byte, 84)) // 100 bytes
	if _, _, err := read(100, m); err != nil {
		t.Error(err)
	}
	if _, _, err := read(99, m); err == nil || !strings.Contains(err.Error(), "more than 99 bytes") {
		t.Error(err)
	}
	huge := eventstream.Append(nil, nil, make([]byte, 1<<20))
	if _, _, err := read(1000, huge[:12]); err == nil {
		t.Error("a length over the bound was believed")
	}
}

// TestBadHeaders: what the sums cover may still be nonsense.
func TestBadHeaders(t *testing.T) {
	for name, headers := range map[string]string{
		"no name":         "\x00\x00",
		"name too long":   "\x09abc",
		"no type":         "\x03abc",
		"unknown type":    "\x01a\x0a",
		"number cut":      "\x01a\x04\x00\x00",
		"no length":       "\x01a\x07\x00",
		"string too long": "\x01a\x07\x00\x05abcd",
		"uuid cut":        "\x01a\x09123",
	} {
		if _, _, err := read(maxMessage, withHeaders(headers)); err == nil || !strings.Contains(err.Error(), "headers") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// withHeaders makes a message with right sums around any header bytes: they are another message's payload, whose split is
// moved.
func withHeaders(headers string) []byte {
	var b bytes.Buffer
	if err := rawMessage(&b, []byte(headers)); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestAppendRefuses(t *testing.T) {
	for name, h := range map[string][]eventstream.Header{
		"empty name":  {{Type: eventstream.True}},
		"long name":   {{Name: make([]byte, 256), Type: eventstream.True}},
		"type":        {{Name: []byte("a"), Type: 10}},
		"size":        {{Name: []byte("a"), Type: eventstream.Int32, Value: []byte{1}}},
		"long string": {{Name: []byte("a"), Type: eventstream.String, Value: make([]byte, 1<<16)}},
		"all headers": {eventstream.StringHeader("a", strings.Repeat("x", 65_000)), eventstream.StringHeader("b", strings.Repeat("x", 65_000)), eventstream.StringHeader("c", strings.Repeat("x", 65_000))},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was encoded", name)
				}
			}()
			eventstream.Append(nil, h, nil)
		}()
	}
}

func TestHeaderLookup(t *testing.T) {
	r := eventstream.NewReader(maxMessage)
	r.Feed(eventstream.Append(nil, append(everyType(), eventstream.StringHeader("twice", "a"), eventstream.StringHeader("twice", "b")), nil))
	if !r.Next() {
		t.Fatal(r.Err())
	}
	m := r.Message()
	if s := m.Text("twice"); string(s) != "a" {
		t.Errorf("of two headers %q", s)
	}
	if m.Text("i32") != nil || m.Text("absent") != nil {
		t.Error("not a string")
	}
	if h, ok := m.Header("i16"); !ok || h.Type != eventstream.Int16 || !bytes.Equal(h.Value, []byte{1, 2}) {
		t.Errorf("%+v", h)
	}
}

// TestAgainstSDK: what one side writes the other reads.
func TestAgainstSDK(t *testing.T) {
	m, err := sdk.NewDecoder().Decode(bytes.NewReader(sample()), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		":event-type": "contentBlockDelta", "yes": "true", "no": "false", "i8": "-2", "i16": "258", "i32": "16909060",
		"i64": "72623859790382856", "id": "07070707-0707-0707-0707-070707070707",
	} {
		if v := m.Headers.Get(name); v == nil || strings.Trim(v.String(), "[]") != want && fmt.Sprint(v.Get()) != want {
			t.Errorf("%s: %v", name, v)
		}
	}
	var h sdk.Headers
	h.Set("a", sdk.StringValue("text"))
	h.Set("b", sdk.BytesValue([]byte{1, 2, 3}))
	h.Set("c", sdk.TimestampValue(time.UnixMilli(1_735_000_000_123)))
	h.Set("d", sdk.UUIDValue{1, 2})
	h.Set("e", sdk.Int64Value(-5))
	var b bytes.Buffer
	if err := sdk.NewEncoder().Encode(&b, sdk.Message{Headers: h, Payload: []byte("payload")}); err != nil {
		t.Fatal(err)
	}
	r := eventstream.NewReader(maxMessage)
	r.Feed(b.Bytes())
	if !r.Next() {
		t.Fatal(r.Err())
	}
	got := r.Message()
	if string(got.Text("a")) != "text" || string(got.Payload) != "payload" || len(got.All()) != 5 {
		t.Errorf("%+v", got.All())
	}
	if again := eventstream.Append(nil, got.All(), got.Payload); !bytes.Equal(again, b.Bytes()) {
		t.Errorf("not the same bytes:\n%x\n%x", again, b.Bytes())
	}
}

func BenchmarkRead100(b *testing.B) {
	var stream []byte
	for i := range 100 {
		stream = eventstream.Append(stream, []eventstream.Header{
			eventstream.StringHeader(":event-type", "contentBlockDelta"), eventstream.StringHeader(":content-type", "application/json"), eventstream.StringHeader(":message-type", "event"),
		}, fmt.Appendf(nil, `{"contentBlockIndex":0,"delta":{"text":"word %d, "},"p":"abcdefgh"}`, i))
	}
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		r := eventstream.NewReader(maxMessage)
		r.Feed(stream)
		for r.Next() {
			if r.Message().Text(":event-type") == nil {
				b.Fatal("no type")
			}
		}
	}
}
