package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dragoman/translate/chat"
)

// filled has something in every field that the wire form has a place for.
func filled() *Entry {
	return &Entry{
		ID: "x1", Schema: chat.Anthropic, Raw: []byte(`{"a":1}`), Tenant: "acme", Asked: "auto", Model: "m", Provider: "p",
		Stored: time.Unix(1_700_000_000, 123), Usage: chat.Usage{Known: true, Input: 1, CacheRead: 2, CacheWrite: 3, CacheWrite1h: 4, Output: 5, Reasoning: 6, AudioInput: 7, AudioOutput: 8},
		Cost: 77, Priced: true,
		Response: &chat.Response{
			ID: "msg_1", Model: "claude", Created: 1_700_000_001, Usage: chat.Usage{Known: true, Input: 9, CacheRead: 8, CacheWrite: 7, CacheWrite1h: 6, Output: 5, Reasoning: 4, AudioInput: 3, AudioOutput: 2},
			Billed: chat.Billed{Known: true, Input: 1, Output: 2, Units: 3},
			Extra:  []chat.Extra{{Name: "service_tier", JSON: []byte(`"x"`), Meaning: true}},
			Choices: []chat.Choice{{
				Finish: chat.FinishStopSequence, RawFinish: "stop_sequence", StopSequence: "END", LogProbs: []byte(`{}`),
				Parts: []chat.Part{
					{Kind: chat.Thinking, Text: "hm", Signature: "sig", Extra: []chat.Extra{{Name: "e", JSON: []byte("1"), Meaning: true}}},
					{Kind: chat.Text, Text: "Wörter", Citations: []chat.Citation{{Title: "t", URL: "u", Quote: "q", Start: 1, End: 2}}},
					{Kind: chat.ToolCall, Call: &chat.Call{ID: "c", Name: "f", Arguments: "{}"}},
				},
			}},
		},
	}
}

func TestWireRoundTrip(t *testing.T) {
	minimal := &Entry{Stored: time.Unix(0, 1), Response: &chat.Response{}}
	for _, e := range []*Entry{filled(), minimal} {
		b, err := Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Error(diff)
		}
		tenant, asked, model, stored, err := Provenance(b[:min(len(b), HeadSize)])
		if err != nil || tenant != e.Tenant || asked != e.Asked || model != e.Model || !stored.Equal(e.Stored) {
			t.Errorf("provenance: %s %s %s %s %v", tenant, asked, model, stored, err)
		}
	}
}

// elsewhere are the fields that don't occur in a stored answer: an entry that has one is not stored outside of the process.
var elsewhere = map[string]bool{
	"Response.Embedding": true, "Response.Rerank": true, "Response.Count": true,
	"Response.Choices.Parts.Media": true, "Response.Choices.Parts.Result": true, "Response.Choices.Parts.Cache": true,
}

// TestWireHasEveryField: a field that somebody adds to the neutral answer must get its place in the wire form, or be refused.
func TestWireHasEveryField(t *testing.T) {
	e := filled()
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() && v.Type() != reflect.TypeFor[*time.Location]() {
				walk(v.Elem(), path)
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Uint8 {
				return
			}
			for i := range v.Len() {
				walk(v.Index(i), path)
			}
		case reflect.Struct:
			if v.Type() == reflect.TypeFor[time.Time]() {
				return
			}
			for i := range v.NumField() {
				at := strings.TrimPrefix(path+"."+v.Type().Field(i).Name, ".")
				f := v.Field(i)
				if !f.IsZero() {
					seen[at] = true
				}
				all[at] = true
				walk(f, at)
			}
		}
	}
	seen, all = map[string]bool{}, map[string]bool{}
	walk(reflect.ValueOf(e), "")
	for at := range all {
		if seen[at] == elsewhere[at] {
			t.Errorf("%s: in the test's entry: %v, refused: %v. It must be one of both", at, seen[at], elsewhere[at])
		}
	}
	one := int64(1)
	part := func(p chat.Part) *chat.Response {
		return &chat.Response{Choices: []chat.Choice{{Parts: []chat.Part{p}}}}
	}
	for name, r := range map[string]*chat.Response{
		"nothing": nil, "embedding": {Embedding: &chat.EmbeddingResponse{}}, "rerank": {Rerank: &chat.RerankResponse{}}, "count": {Count: &one},
		"media": part(chat.Part{Media: &chat.Media{}}), "result": part(chat.Part{Result: &chat.Result{}}), "mark": part(chat.Part{Cache: &chat.CacheMark{}}),
		"many choices": {Choices: make([]chat.Choice, 129)}, "many parts": {Choices: []chat.Choice{{Parts: make([]chat.Part, 1025)}}},
		"many extras": {Extra: make([]chat.Extra, 257)}, "many citations": part(chat.Part{Citations: make([]chat.Citation, 257)}),
	} {
		if _, err := Encode(&Entry{Response: r}); !errors.Is(err, ErrUnstorable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Encode(&Entry{Asked: strings.Repeat("x", 201), Response: &chat.Response{}}); !errors.Is(err, ErrUnstorable) {
		t.Errorf("a long name: %v", err)
	}
}

var seen, all map[string]bool

func TestWireRefuses(t *testing.T) {
	good, err := Encode(filled())
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(good) {
		if _, err := Decode(good[:cut], 1<<20); !errors.Is(err, ErrWire) {
			t.Fatalf("cut at %d of %d: %v", cut, len(good), err)
		}
	}
	if _, err := Decode(append(bytes.Clone(good), 0), 1<<20); err == nil {
		t.Error("a byte too many is taken")
	}
	if _, err := Decode(good, 10); err == nil {
		t.Error("an entry over the bound is taken")
	}
	other := bytes.Clone(good)
	other[3]++
	if _, err := Decode(other, 1<<20); err == nil {
		t.Error("another version is taken")
	}
	if _, _, _, _, err := Provenance(other); err == nil {
		t.Error("another version's provenance is taken")
	}
	// A checksum stands over the rest: a flipped bit is no other answer.
	for i := len(good) - 1; i > len(good)-20; i-- {
		flipped := bytes.Clone(good)
		flipped[i] ^= 1
		if _, err := Decode(flipped, 1<<20); err == nil {
			t.Errorf("bit flipped at %d of %d: taken", i, len(good))
		}
	}
}

// TestWireBomb: a small entry that says it unpacks into much is refused before it does.
func TestWireBomb(t *testing.T) {
	head := append([]byte("DGE\x01"), make([]byte, 8+4)...)
	bomb := binary.AppendUvarint(bytes.Clone(head), 100)
	bomb = packer.EncodeAll(make([]byte, 64<<20), bomb)
	if len(bomb) > 1<<16 {
		t.Fatalf("the bomb has %d bytes", len(bomb))
	}
	allocated := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Decode(bomb, 1<<20); err == nil {
				b.Fatal("taken")
			}
		}
	}).AllocedBytesPerOp()
	if allocated > 1<<20 {
		t.Errorf("it took %d bytes to refuse it", allocated)
	}
	if _, err := Decode(binary.AppendUvarint(head, 1<<62), 1<<20); err == nil {
		t.Error("a length beyond all bounds is taken")
	}
}

func FuzzWire(f *testing.F) {
	good, _ := Encode(filled())
	f.Add(good)
	f.Add([]byte("DGE\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b, 1<<16)
		if err != nil {
			return
		}
		again, err := Encode(e)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if got, err := Decode(again, 1<<20); err != nil || !cmp.Equal(e, got) {
			t.Fatalf("read twice: %v %s", err, cmp.Diff(e, got))
		}
	})
}

// FuzzWireRest goes past the compression, which a fuzzer seldom gets through.
func FuzzWireRest(f *testing.F) {
	rest, _ := encodeRest(filled())
	f.Add(rest)
	f.Fuzz(func(t *testing.T, b []byte) {
		var e Entry
		r := wireReader{b: b}
		r.rest(&e)
		if r.bad || len(r.b) != 0 {
			return
		}
		again, err := encodeRest(&e)
		if err != nil {
			return // a list at its bound
		}
		var got Entry
		r = wireReader{b: again}
		if r.rest(&got); r.bad || !cmp.Equal(e, got) {
			t.Fatalf("read twice: %s", cmp.Diff(e, got))
		}
	})
}

func BenchmarkWire(b *testing.B) {
	e := filled()
	e.Response.Choices[0].Parts[1].Text = strings.Repeat("So it is. What was it? ", 90)
	packed, _ := Encode(e)
	b.Run("encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = Encode(e)
		}
	})
	b.Run("decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = Decode(packed, 1<<20)
		}
	})
}
