package tokens

import (
	"bufio"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// OpenAI's own hashes of the files that tiktoken 0.14.0 reads (tiktoken_ext/openai_public.py).
func TestVocabularyIsOpenAIs(t *testing.T) {
	for _, c := range []struct {
		encoding *encoding
		hash     string
	}{
		{o200k(), "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"},
		{cl100k(), "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7"},
	} {
		sum := sha256.New()
		for rank := range len(c.encoding.offsets) - 1 {
			token := c.encoding.token(rank)
			fmt.Fprintf(sum, "%s %d\n", base64.StdEncoding.EncodeToString(token), rank)
			if got := c.encoding.rank(token); got != uint32(rank) {
				t.Fatalf("%q has rank %d, want %d", token, got, rank)
			}
		}
		if got := hex.EncodeToString(sum.Sum(nil)); got != c.hash {
			t.Errorf("the vocabulary's hash is %s, want %s", got, c.hash)
		}
	}
}

// counts.jsonl holds what tiktoken 0.14.0 counts: chosen texts, thousands of random ones over characters that the
// expressions tell apart, and the files of testdata.
func TestCountIsTiktokens(t *testing.T) {
	file, err := os.Open("testdata/counts.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines := 0
	for scanner := bufio.NewScanner(file); scanner.Scan(); lines++ {
		var text string
		var o, c int64
		if err := json.Unmarshal(scanner.Bytes(), &[]any{&text, &o, &c}); err != nil {
			t.Fatal(err)
		}
		if got := o200k().count(text); got != o {
			t.Errorf("o200k: %q has %d tokens, want %d", text, got, o)
		}
		if got := cl100k().count(text); got != c {
			t.Errorf("cl100k: %q has %d tokens, want %d", text, got, c)
		}
	}
	if lines < 4000 {
		t.Errorf("only %d texts", lines)
	}
}

// Pieces that no language has are counted in parts: in linear time, and at most a token a part too many.
func TestCountIsBounded(t *testing.T) {
	const size = 1 << 18 // some 30 ms each; quadratic time would be minutes
	for _, unit := range []string{"a", "A", "=", " ", "\n ", "中", "\u0301", "中A", "1", "xyzq", "ʰA", "'", "'s", "Aa", " \t", "\xff", "\x00"} {
		text := strings.Repeat(unit, size/len(unit))
		start := time.Now()
		n := o200k().count(text)
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("256 KB of %q took %s", unit, took)
		}
		if n <= 0 || n > size {
			t.Errorf("256 KB of %q has %d tokens", unit, n)
		}
	}
	// tiktoken 0.14.0 counts 1280 for ten times 256 letters; each part may add one.
	if got := o200k().count(strings.Repeat("xyzq", 10*maxPiece/4)); got < 1280 || got > 1290 {
		t.Errorf("a long piece has %d tokens, want %d to %d", got, 1280, 1290)
	}
}

func TestLoadAndCountConcurrently(t *testing.T) {
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			if n := o200k().count("Hello, world!") + cl100k().count("Hello, world!"); n != 8 {
				t.Errorf("%d tokens", n)
			}
		})
	}
	group.Wait()
}

// Any text is divided into pieces that are not empty, and has no more tokens than bytes.
func FuzzCount(f *testing.F) {
	f.Add("Hello, it's 1234 中文\n \n x")
	f.Add("\xff\u0301ʰA 'ſ")
	f.Fuzz(func(t *testing.T, text string) {
		for _, e := range []*encoding{o200k(), cl100k()} {
			for rest := text; rest != ""; {
				n := e.piece(rest)
				if n <= 0 || n > len(rest) {
					t.Fatalf("%q begins with a piece of %d bytes", rest, n)
				}
				rest = rest[n:]
			}
			if n := e.count(text); n > int64(len(text)) || n <= 0 && text != "" {
				t.Errorf("%q has %d tokens", text, n)
			}
		}
	})
}

func BenchmarkLoad(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		load(o200kVocabulary, o200kPiece)
	}
}

func BenchmarkCount(b *testing.B) {
	for _, name := range []string{"english.txt", "chinese.txt", "tool.json"} {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				o200k().count(string(text))
			}
		})
	}
}
