package processor

import (
	"bytes"
	"compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
)

// packed is text in an encoding.
func packed(t *testing.T, encoding, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	var z io.WriteCloser = gzip.NewWriter(&b)
	if encoding == "br" {
		z = brotli.NewWriter(&b)
	}
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestInflaterTakesAnySplit unpacks a stream in pieces of every size.
func TestInflaterTakesAnySplit(t *testing.T) {
	want := strings.Repeat("data: {\"n\":1}\n\n", 50)
	for _, encoding := range []string{"gzip", "br"} {
		all := packed(t, encoding, want)
		for size := 1; size <= len(all); size++ {
			f, err := newInflater(encoding, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			var got []byte
			for rest := all; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				out, err := f.Write(rest[:min(size, len(rest))])
				if err != nil {
					t.Fatalf("%s in pieces of %d: %v", encoding, size, err)
				}
				got = append(got, out...)
			}
			if string(got) != want {
				t.Errorf("%s in pieces of %d: %d bytes, want %d", encoding, size, len(got), len(want))
			}
			f.Close()
		}
		f, _ := newInflater(encoding, 100)
		if _, err := f.Write(all); err == nil {
			t.Errorf("%s: a bomb is unpacked", encoding)
		}
		f.Close()
	}
}

// TestInflaterHoldsNothingBack: what a provider has flushed is there at once, the end not awaited.
func TestInflaterHoldsNothingBack(t *testing.T) {
	for _, encoding := range []string{"gzip", "br"} {
		var b bytes.Buffer
		var z interface {
			io.Writer
			Flush() error
		} = gzip.NewWriter(&b)
		if encoding == "br" {
			z = brotli.NewWriter(&b)
		}
		f, err := newInflater(encoding, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range []string{"data: 1\n\n", "data: 2\n\n", "data: 3\n\n"} {
			_, _ = io.WriteString(z, event)
			_ = z.Flush()
			got, err := f.Write(bytes.Clone(b.Bytes()))
			if err != nil || string(got) != event {
				t.Errorf("%s: %q, %v", encoding, got, err)
			}
			b.Reset()
		}
		f.Close()
	}
}

func TestInflateWhole(t *testing.T) {
	want := strings.Repeat("hello ", 100)
	for _, encoding := range []string{"gzip", "x-gzip", "br"} {
		all := packed(t, encoding, want)
		if got, err := inflateWhole(encoding, all, len(want)); err != nil || string(got) != want {
			t.Errorf("%s: %d bytes, %v", encoding, len(got), err)
		}
		if _, err := inflateWhole(encoding, all, len(want)-1); err == nil {
			t.Errorf("%s: more than the bound is unpacked", encoding)
		}
		for _, cut := range [][]byte{all[:len(all)/2], []byte("neither"), nil} {
			if got, err := inflateWhole(encoding, cut, 1<<20); err == nil {
				t.Errorf("%s: %q of damaged data", encoding, got)
			}
		}
	}
	if _, err := inflateWhole("zstd", nil, 1); err == nil {
		t.Error("an unknown encoding is taken")
	}
}

func TestInflaterRefusesWhatIsDamaged(t *testing.T) {
	for name, c := range map[string]struct{ encoding, data string }{
		"no gzip":      {"gzip", "plainly no gzip at all"},
		"damaged gzip": {"gzip", "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff"},
		"no brotli":    {"br", "\xff\xff\xff\xff\xff"},
	} {
		f, _ := newInflater(c.encoding, 1<<20)
		if out, err := f.Write([]byte(c.data)); err == nil {
			t.Errorf("%s: %q", name, out)
		}
		f.Close()
	}
	if _, err := newInflater("zstd", 1); err == nil {
		t.Error("an unknown encoding is taken")
	}
}
