package wire

import (
	"math"
	"slices"
	"testing"
)

func TestVectorsComeBack(t *testing.T) {
	all := []float32{0, 1, -1, 0.1, math.SmallestNonzeroFloat32, math.MaxFloat32, -1e-7, 0.333333343, 12345.678}
	for n := range len(all) + 1 {
		want := all[:n]
		if got, ok := ParseFloats(AppendFloats(nil, want), 0); !ok || !slices.Equal(got, want) {
			t.Errorf("numbers of %d: %v, want %v", n, got, want)
		}
		if got, ok := ParseVector64(AppendVector64(nil, want)); !ok || !slices.Equal(got, want) {
			t.Errorf("base64 of %d: %v, want %v", n, got, want)
		}
	}
}

// The bytes are those of OpenAI's documentation: 1.0 is 00 00 80 3f.
func TestVectorIsLittleEndian(t *testing.T) {
	if got := string(AppendVector64(nil, []float32{1, -2})); got != "AACAPwAAAMA=" {
		t.Error(got)
	}
}

func TestVectorsThatAreNone(t *testing.T) {
	for _, text := range []string{"A", "AAAA", "!!!!", "AACAP", "AADAfw==", "AACAfw==", "AACA/w=="} { // the last ones: NaN, ±Inf
		if v, ok := ParseVector64([]byte(text)); ok {
			t.Errorf("%s: %v", text, v)
		}
	}
	for _, text := range []string{`[null]`, `["1"]`, `[1e40]`, `[[1],{}]`, `[true]`} {
		if v, ok := ParseFloats([]byte(text), 0); ok {
			t.Errorf("%s: %v", text, v)
		}
	}
}

func FuzzVector64(f *testing.F) {
	f.Add([]byte("AACAPwAAAMA="))
	f.Fuzz(func(t *testing.T, text []byte) {
		if v, ok := ParseVector64(text); ok {
			if again, ok := ParseVector64(AppendVector64(nil, v)); !ok || !slices.Equal(again, v) {
				t.Errorf("%v, %v", v, again)
			}
		}
	})
}
