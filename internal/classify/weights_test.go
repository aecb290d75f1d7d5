package classify

import (
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLoadNamesTheFaultAndTheFile(t *testing.T) {
	short := base64.StdEncoding.EncodeToString(make([]byte, 8))
	notNumber := make([]byte, 4*Buckets)
	notNumber[2], notNumber[3] = 0xc0, 0x7f
	for name, c := range map[string]struct{ change, want string }{
		"no JSON":          {`{`, "unexpected EOF"},
		"unknown member":   {`{"dragoman_weights":1,"wieghts":{}}`, `unknown field "wieghts"`},
		"two values":       {`{"dragoman_weights":1} {}`, "something stands behind"},
		"other form":       {`{"dragoman_weights":9}`, "dragoman_weights: is 9"},
		"other features":   {`{"dragoman_weights":1,"features":"x"}`, "train them again"},
		"no difficulty":    {`{FORM}`, "difficulty: is missing"},
		"unknown feature":  {`{FORM,"difficulty":{"bias":0,"weights":{"lenght":1}}}`, "difficulty.weights.lenght: there is no such feature"},
		"absurd weight":    {`{FORM,"difficulty":{"bias":0,"weights":{"length":1e9}}}`, "difficulty.weights.length: must be at most"},
		"absurd bias":      {`{FORM,"difficulty":{"bias":1e9}}`, "difficulty.bias"},
		"one knot":         {`{FORM,"difficulty":{"bias":0},"knots":[1]}`, "knots: has 1"},
		"falling knots":    {`{FORM,"difficulty":{"bias":0},"knots":[1,0]}`, "knots[1]: is smaller"},
		"few n-grams":      {`{FORM,"difficulty":{"bias":0,"ngrams":"` + short + `"}}`, "difficulty.ngrams: must be base64"},
		"no number":        {`{FORM,"difficulty":{"bias":0,"ngrams":"` + base64.StdEncoding.EncodeToString(notNumber) + `"}}`, "difficulty.ngrams: number 0"},
		"unknown task":     {`{FORM,"difficulty":{"bias":0},"tasks":{"cooking":{"bias":0}}}`, "tasks.cooking: there is no such task"},
		"lacking task":     {`{FORM,"difficulty":{"bias":0},"tasks":{"code":{"bias":0}}}`, "tasks.knowledge: is missing"},
		"file of a folder": {"", "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "w.json")
			text := strings.Replace(c.change, "FORM", `"dragoman_weights":1,"features":"`+Fingerprint()+`"`, 1)
			if c.change == "" {
				path = t.TempDir()
			} else if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Load(path); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want %q and the path", err, c.want)
			}
		})
	}
	if _, err := Load(filepath.Join(t.TempDir(), "absent.json")); err == nil || !strings.Contains(err.Error(), "absent.json") {
		t.Errorf("got %v", err)
	}
}

// What is written is read again, to the same answers.
func TestWrittenWeightsAreRead(t *testing.T) {
	m := trained(t)
	f := NewFile("note")
	grams := make([]float64, Buckets)
	for i := range grams {
		grams[i] = float64(m.difficulty.grams[i])
	}
	f.Difficulty, f.Knots = NewOutput(0, nil, grams), m.knots
	data, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "w.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	read, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, prompt := range prompts {
		a, b := m.Classify(Text{User: prompt}), read.Classify(Text{User: prompt})
		if a != b || a.Task != Default().Classify(Text{User: prompt}).Task {
			t.Errorf("%s: %+v and %+v", name, a, b)
		}
	}
	if read.Name() != path {
		t.Errorf("name %q", read.Name())
	}
}

// An explanation adds up to what was said.
func TestExplainAddsUp(t *testing.T) {
	for name, prompt := range prompts {
		e := Default().Explain(Text{User: prompt})
		sum, all := Default().difficulty.bias, 0.0
		for _, p := range e.Difficulty {
			sum += p.Adds
		}
		for _, p := range e.Tasks {
			all += p
		}
		if got := 1 / (1 + math.Exp(-sum)); math.Abs(got-e.Result.Difficulty) > 1e-9 || math.Abs(all-1) > 1e-9 {
			t.Errorf("%s: %g is said to be %g; tasks sum to %g", name, e.Result.Difficulty, got, all)
		}
		if math.Abs(e.Tasks[e.Result.Task.String()]-e.Confidence) > 1e-9 {
			t.Errorf("%s: confidence %g", name, e.Confidence)
		}
	}
	parts := trained(t).Explain(Text{User: prompts["typical"]}).Difficulty
	if len(parts) != 1 || parts[0].Feature != "ngrams" {
		t.Errorf("got %v", parts)
	}
}

func TestLexica(t *testing.T) {
	for text, want := range map[string]Lexicon{
		"Zusammenfassung": LexSummarise, "fasse zusammen": LexSummarise, "переведите": LexTranslate, "翻訳して": LexTranslate, "into German": LexTranslate,
		"Don't": LexNegation, "WHICH CATEGORY": LexClassify, "번역해": LexTranslate, "Übersetze": LexTranslate,
	} {
		var s Sample
		s.Read(Text{User: text})
		if s.Dense[fLexica+int(want)] == 0 {
			t.Errorf("%q is not in %s", text, lexiconNames[want])
		}
	}
	for bad, want := range map[string]string{
		`{"nobody":{"en":"a"}}`: "no lexicon named", `{"code":{"en":"a*"}}`: "too short", `{"code":{"ja":"アルゴリズム"}}`: "more than", `[`: "JSON",
	} {
		if _, err := parseLexica([]byte(bad)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
