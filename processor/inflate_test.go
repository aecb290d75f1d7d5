package processor

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

// TestInflaterTakesAnySplit unpacks a stream in pieces of every size.
func TestInflaterTakesAnySplit(t *testing.T) {
	want := strings.Repeat("data: {\"n\":1}\n\n", 50)
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(want))
	_ = z.Close()
	for _, size := range []int{1, 2, 7, b.Len() - 1, b.Len()} {
		f, err := newInflater("gzip", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for rest := b.Bytes(); len(rest) > 0; rest = rest[min(size, len(rest)):] {
			out, err := f.Write(rest[:min(size, len(rest))])
			if err != nil {
				t.Fatalf("in pieces of %d: %v", size, err)
			}
			got = append(got, out...)
		}
		if string(got) != want {
			t.Errorf("in pieces of %d: %d bytes, want %d", size, len(got), len(want))
		}
		f.Close()
	}
	f, _ := newInflater("gzip", 100)
	if _, err := f.Write(b.Bytes()); err == nil {
		t.Error("a bomb is unpacked")
	}
	f.Close()
}

func TestInflaterRefusesWhatIsDamaged(t *testing.T) {
	for name, p := range map[string]string{"no gzip": "plainly no gzip at all", "damaged": "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff"} {
		f, _ := newInflater("gzip", 1<<20)
		if out, err := f.Write([]byte(p)); err == nil {
			t.Errorf("%s: %q", name, out)
		}
		f.Close()
	}
	if _, err := newInflater("br", 1); err == nil {
		t.Error("an unknown encoding is taken")
	}
}
