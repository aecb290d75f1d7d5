package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// labelled writes prompts of which the long ones need the strong model.
func labelled(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for i := range 200 {
		weak, text := 1, "What is the capital of France?"
		if i%2 == 0 {
			weak, text = i/2%4/3, strings.Repeat("If the contract does not apply, determine which of the 12 claims follows. ", 4)
		}
		fmt.Fprintf(&b, `{"prompt":%q,"weak":%d,"strong":1,"group":"g%d"}`+"\n", fmt.Sprint(text, i), weak, i%6)
	}
	path := filepath.Join(t.TempDir(), "prompts.jsonl")
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// What train writes, bench routing and classify read.
func TestTrainThenMeasureThenExplain(t *testing.T) {
	from := labelled(t)
	weights := filepath.Join(filepath.Dir(from), "weights.json")
	var out bytes.Buffer
	if err := Train(Training{From: from, Out: weights, Seed: 1, Stdout: &out}); err != nil {
		t.Fatal(err)
	}
	grouped, random := strings.Index(out.String(), "grouped:"), strings.Index(out.String(), "random:")
	if grouped < 0 || random < grouped || !strings.Contains(out.String(), "APGR") || !strings.Contains(out.String(), weights) {
		t.Errorf("the stricter test does not come first:\n%s", out.String())
	}
	for _, file := range []string{"", weights} {
		out.Reset()
		if err := BenchRouting(RoutingBench{Data: from, Weights: file, JSON: true, Stdout: &out}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), `"apgr":0.`) || !strings.Contains(out.String(), `"cpt80":0.`) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s", out.String())
		}
	}
	out.Reset()
	if err := Classify(Classification{Text: from, Weights: weights, Stdout: &out}); err != nil || !strings.Contains(out.String(), "difficulty") || !strings.Contains(out.String(), "adds") {
		t.Errorf("%v\n%s", err, out.String())
	}
	out.Reset()
	if err := Classify(Classification{Features: true, Stdout: &out}); err != nil || !strings.Contains(out.String(), "code_asked") {
		t.Errorf("%v\n%s", err, out.String())
	}
	if err := BenchRouting(RoutingBench{Data: from, Weights: from, Stdout: &out}); err == nil || !strings.Contains(err.Error(), from) {
		t.Errorf("prompts taken for weights: %v", err)
	}
}
