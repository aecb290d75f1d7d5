package app

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"dragoman/internal/embed"
)

// benchCache runs the benchmark with the real model, which `make embedder` fetches.
func benchCache(t *testing.T, o CacheBench) (string, error) {
	t.Helper()
	if o.Embedder = os.Getenv("DRAGOMAN_EMBEDDER"); o.Embedder == "" {
		o.Embedder = filepath.Join("..", "..", ".tools", "embedder")
	}
	if o.Pairs == "" {
		o.Pairs = "testdata/pairs.jsonl"
	}
	if o.Threshold == 0 {
		o.Threshold = 0.95
	}
	var out bytes.Buffer
	o.Stdout, o.LookupEnv = &out, os.LookupEnv
	err := BenchCache(t.Context(), o)
	return out.String(), err
}

func TestBenchCacheJSON(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	out, err := benchCache(t, CacheBench{JSON: true})
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(out))
	var got map[string]float64
	if err := d.Decode(&got); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Errorf("more than one object: %q", out)
	}
	// Of three pairs with the same answer two are found; of four with different answers only the one whose texts are equal.
	want := map[string]float64{"precision": 2.0 / 3, "recall": 2.0 / 3, "false_hit_rate": 1.0 / 4}
	if len(got) != 3 {
		t.Errorf("got %v", got)
	}
	for name, v := range want {
		if got[name] != v {
			t.Errorf("%s is %v, want %v", name, got[name], v)
		}
	}
}

func TestBenchCacheReport(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "plot.svg")
	out, err := benchCache(t, CacheBench{SVG: svg, Show: 10})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"7 pairs, 3 with the same answer, 4 with different answers", "0.80 ", "0.99 ", "negation      refuses    1",
		"numbers       refuses    1", "wrong hits at 0.95", `"How is the weather?" | "How is the weather?"`} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	data, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(bytes.NewReader(data)); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(string(data), "<polyline"); n != 4 {
		t.Errorf("%d curves", n)
	}
}

func TestBenchCacheSplits(t *testing.T) {
	for split, want := range map[string]string{"even": "4 pairs", "odd": "3 pairs", "all": "7 pairs"} {
		if out, err := benchCache(t, CacheBench{Split: split}); err != nil || !strings.Contains(out, want) {
			t.Errorf("%s: %v\n%.100s", split, err, out)
		}
	}
}

func TestBenchCacheBadPairs(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "no JSON": "hello", "no label": `{"a":"x","b":"y"}`, "no text": `{"a":"x","same_answer":true}`,
		"label is text": `{"a":"x","b":"y","same_answer":"yes"}`, "second line": `{"a":"x","b":"y","same_answer":true}` + "\n[]",
	} {
		path := filepath.Join(t.TempDir(), "pairs")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := benchCache(t, CacheBench{Pairs: path}); err == nil || out != "" || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v %q", name, err, out)
		}
	}
	if _, err := benchCache(t, CacheBench{Pairs: "/nowhere"}); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// TestBenchCacheLongTexts: what the model does not take matches nothing, and ends nothing.
func TestBenchCacheLongTexts(t *testing.T) {
	long := strings.Repeat("word ", 400)
	path := filepath.Join(t.TempDir(), "pairs")
	if err := os.WriteFile(path, []byte(`{"a":"`+long+`","b":"`+long+`","same_answer":true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := benchCache(t, CacheBench{Pairs: path, JSON: true})
	if err != nil || strings.TrimSpace(out) != `{"precision":1,"recall":0,"false_hit_rate":0}` {
		t.Errorf("%q %v", out, err)
	}
}

func TestBenchCacheWithoutEmbedder(t *testing.T) {
	var out bytes.Buffer
	err := BenchCache(t.Context(), CacheBench{Pairs: "testdata/pairs.jsonl", Embedder: t.TempDir(), Stdout: &out, LookupEnv: os.LookupEnv})
	var missing *embed.MissingError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "make embedder") || out.Len() > 0 {
		t.Errorf("%v %q", err, out.String())
	}
}

// TestGuardsOfTheSemanticTier: 273 pairs of many domains that look alike and need other answers, and 264 that mean the same. None of the
// former may be served; without guards, one in four would be.
func TestGuardsOfTheSemanticTier(t *testing.T) {
	out, err := benchCache(t, CacheBench{JSON: true, Pairs: "testdata/traps.jsonl"})
	if err != nil {
		t.Fatal(err)
	}
	var got rates
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatal(err)
	}
	if got.FalseHitRate > 0.004 || got.Recall < 0.68 { // one wrong hit, for processors that round otherwise
		t.Errorf("%+v", got)
	}
}
