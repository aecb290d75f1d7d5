package wordpiece

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// vocabulary is the real one, which `make embedder` fetches.
var vocabulary = sync.OnceValues(func() (*Tokenizer, error) {
	folder := os.Getenv("DRAGOMAN_EMBEDDER")
	if folder == "" {
		folder = filepath.Join("..", "..", "..", ".tools", "embedder")
	}
	return Load(filepath.Join(folder, "vocab.txt"))
})

func load(t testing.TB) *Tokenizer {
	t.Helper()
	tok, err := vocabulary()
	if err != nil {
		t.Fatalf("%v: run make embedder", err)
	}
	return tok
}

// TestReferences compares with the ids that the reference implementation (the Python package tokenizers, with the model's own
// settings) gave.
func TestReferences(t *testing.T) {
	tok := load(t)
	data, err := os.ReadFile("testdata/references.json")
	if err != nil {
		t.Fatal(err)
	}
	var refs []struct {
		Text string
		IDs  []uint16
	}
	if err := json.Unmarshal(data, &refs); err != nil {
		t.Fatal(err)
	}
	if len(refs) < 50 {
		t.Fatalf("only %d references", len(refs))
	}
	for _, r := range refs {
		got, err := tok.Encode(r.Text, 1000)
		if err != nil || !slices.Equal(got, r.IDs) {
			t.Errorf("%q: got %v (%v), want %v", r.Text, got, err, r.IDs)
		}
	}
}

func TestTooLong(t *testing.T) {
	tok := load(t)
	text := strings.Repeat("word ", 254)
	if ids, err := tok.Encode(text, 256); err != nil || len(ids) != 256 {
		t.Errorf("254 words: %d tokens, %v", len(ids), err)
	}
	if ids, err := tok.Encode(text+"word", 256); !errors.Is(err, ErrTooLong) || ids != nil {
		t.Errorf("255 words: %d tokens, %v", len(ids), err)
	}
}

func TestBadVocabularies(t *testing.T) {
	for name, text := range map[string]string{
		"empty":      "",
		"no markers": "hello\nworld\n",
		"no [SEP]":   "[UNK]\n[CLS]\nhello\n",
		"long piece": "[UNK]\n[CLS]\n[SEP]\n" + strings.Repeat("x", 300) + "\n",
		"long line":  strings.Repeat("x", 1<<20),
		"too many":   "[UNK]\n[CLS]\n[SEP]\n" + strings.Repeat("a\n", 1<<16),
	} {
		if _, err := New(strings.NewReader(text)); err == nil {
			t.Errorf("%s: was taken", name)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file was taken")
	}
}

func TestSmallVocabulary(t *testing.T) {
	tok, err := New(strings.NewReader("[UNK]\r\n[CLS]\r\n[SEP]\r\nun\r\n##aff\r\n##able\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]uint16{
		"unaffable":     {1, 3, 4, 5, 2},
		"UNAFFABLE un":  {1, 3, 4, 5, 3, 2},
		"unaffablest":   {1, 0, 2}, // a word with a piece that is not there is unknown as a whole
		"aff":           {1, 0, 2},
		"un,un":         {1, 3, 0, 3, 2},
		"":              {1, 2},
		"\x00\u200b":    {1, 2},
		"u\u0301n \xff": {1, 3, 2},
	} {
		if got, err := tok.Encode(text, 100); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %v %v, want %v", text, got, err, want)
		}
	}
}

func FuzzEncode(f *testing.F) {
	tok := load(f)
	for _, s := range []string{"", "How do I?", "日本語", "a\xffb", "İ\u0307", strings.Repeat("x", 300), "\u0301"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ids, err := tok.Encode(text, 256)
		if err != nil {
			if !errors.Is(err, ErrTooLong) {
				t.Fatal(err)
			}
			return
		}
		if len(ids) < 2 || len(ids) > 256 || ids[0] != tok.cls || ids[len(ids)-1] != tok.sep {
			t.Fatalf("%q: %v", text, ids)
		}
		// Case and accents make no difference, so neither does taking them away first.
		if again, err := tok.Encode(normalise(text), 256); utf8.ValidString(text) && (err != nil || !slices.Equal(again, ids)) {
			t.Fatalf("%q: %v, normalised first %v", text, ids, again)
		}
	})
}

func BenchmarkEncode(b *testing.B) {
	tok := load(b)
	const text = "How do I transfer money from my savings to my current account, and what does it cost when I do it on a Sunday?"
	b.ReportAllocs()
	for b.Loop() {
		if _, err := tok.Encode(text, 256); err != nil {
			b.Fatal(err)
		}
	}
}
