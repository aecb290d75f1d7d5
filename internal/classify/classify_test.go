package classify

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestTasksInNineLanguages(t *testing.T) {
	for prompt, want := range map[string]Task{
		"What is the tallest mountain in South America?":                      Knowledge,
		"Wer hat die Glühbirne erfunden?":                                     Knowledge,
		"Write a Python function that merges two sorted lists.":               Code,
		"用 Go 写一个函数，实现字符串反转。":                                                 Code,
		"Summarise the following text in one sentence.\n\nThe ship sank.":     Summarisation,
		"Résume le texte suivant en deux phrases.\n\nLe bateau a coulé.":      Summarisation,
		"Solve the equation 4x - 3 = 2x + 9 step by step.":                    Reasoning,
		"Реши уравнение 5x + 2 = 17 и объясни пошагово.":                      Reasoning,
		"Write exactly three sentences, each must begin with the letter B.":   InstructionFollowing,
		"Traduce al inglés: Mañana no puedo ir.":                              Translation,
		"次の文を英語に翻訳してください: 猫が寝ています。":                                           Translation,
		"Classify the sentiment as positive or negative: \"It broke twice.\"": Classification,
		"다음 문장의 감정을 분류해 줘: 최악이었어요.":                                           Classification,
		"Ciao! Come stai oggi?":                                               Chat,
		"hi":                                                                  Chat,
	} {
		if r := Default().Classify(Text{User: prompt, Turns: 1}); r.Task != want || !(r.Confidence > 0.125 && r.Confidence <= 1) {
			t.Errorf("%q: got %s (%.2f), want %s", prompt, r.Task, r.Confidence, want)
		}
	}
}

// The system prompt says what is to be done with whatever the user sends.
func TestSystemPromptNamesTheTask(t *testing.T) {
	text := Text{System: "Translate everything that the user writes into German.", User: "The bakery opens at seven.", Turns: 2}
	if r := Default().Classify(text); r.Task != Translation {
		t.Errorf("got %s (%.2f)", r.Task, r.Confidence)
	}
}

func TestDifficultyFollowsWhatIsAsked(t *testing.T) {
	hard := "A tenant, whose lease does not mention repairs, sued the landlord after the third flood. Assuming that the statute applies unless the " +
		"contract excludes it, determine which of the claims is most likely to succeed, compare the arguments of both parties, and calculate the damages if " +
		"each flood cost 1,250 dollars and the court awards 12 percent interest per year for 18 months."
	last := -1.0
	for _, prompt := range []string{"hi", "What is the capital of Peru?", "Write a SQL query that counts orders per customer and explain each clause.", hard} {
		r := Default().Classify(Text{User: prompt, Turns: 1})
		if r.Difficulty <= last || r.Difficulty < 0 || r.Difficulty > 1 {
			t.Errorf("%.40q: difficulty %.2f, the easier one before it %.2f", prompt, r.Difficulty, last)
		}
		last = r.Difficulty
	}
}

func TestNames(t *testing.T) {
	for i, name := range TaskNames() {
		if task, ok := TaskNamed(name); !ok || task != Task(i) || task.String() != name {
			t.Errorf("%d %s", i, name)
		}
	}
	if _, ok := TaskNamed("cooking"); ok || Tasks.String() != "unknown" {
		t.Error("an unknown task has a name")
	}
	seen := map[string]bool{}
	for _, f := range Features() {
		if f.Name == "" || f.Doc == "" || seen[f.Name] {
			t.Errorf("feature %q: no name, no words, or twice", f.Name)
		}
		seen[f.Name] = true
	}
}

func TestRankKeepsOrder(t *testing.T) {
	knots := []float64{-1, 0, 0, 0, 2, 5}
	last := -1.0
	for score := -50.0; score < 60; score += 0.25 {
		r := Rank(knots, score)
		if r < last || r < 0 || r > 1 || math.IsNaN(r) {
			t.Fatalf("rank of %g is %g after %g", score, r, last)
		}
		last = r
	}
	if a, b := Rank(knots, 6), Rank(knots, 7); a >= b {
		t.Errorf("beyond the last knot order is lost: %g, %g", a, b)
	}
	if r := Rank([]float64{3, 3}, 3); math.IsNaN(r) {
		t.Error("NaN")
	}
}

var prompts = map[string]string{
	"typical": strings.Repeat("Please explain how the monthly interest of 3.5 percent is calculated, and compare both offers. ", 6),
	"long":    strings.Repeat("The committee (chaired by A. Smith) met on 12 May; `foo_bar()` was not called, because x = 3. ", 20_000),
	"chinese": strings.Repeat("请根据以下资料，分析市场需求与利率之间的关系，并计算每年的利润。", 100),
	"code":    strings.Repeat("func main() {\n\tfor i := 0; i < n; i++ { sum += a[i] * b[i] }\n}\n", 60),
}

// However long the text is, a bounded part of it is read.
func TestLongTextsCostNoMore(t *testing.T) {
	m, long := trained(t), Text{User: prompts["long"]}
	began := time.Now()
	for range 50 {
		m.Classify(long)
	}
	if took := time.Since(began) / 50; took > 5*time.Millisecond {
		t.Errorf("2 MB took %s", took)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	m := trained(t)
	for name, prompt := range prompts {
		text := Text{User: prompt, System: "You are helpful."}
		if n := testing.AllocsPerRun(20, func() { m.Classify(text) }); n > 0 {
			t.Errorf("%s: %g allocations", name, n)
		}
	}
}

func FuzzClassify(f *testing.F) {
	for _, prompt := range prompts {
		f.Add("Translate.", prompt[:min(len(prompt), 300)])
	}
	f.Add("", "\xff\xfe' _ ___ ``` a.b 1,2.3 ：？«»\t\n- x\nA. y")
	m := Default()
	f.Fuzz(func(t *testing.T, system, user string) {
		var s Sample
		s.Read(Text{System: system, User: user})
		for i, v := range s.Dense {
			if !(v >= 0 && v <= 2) {
				t.Errorf("%s is %g", features[i].Name, v)
			}
		}
		r := m.Classify(Text{System: system, User: user})
		if r.Task >= Tasks || !(r.Difficulty >= 0 && r.Difficulty <= 1) || !(r.Confidence > 0 && r.Confidence <= 1) {
			t.Errorf("%+v", r)
		}
		if text := clip(user, 7); len(text) > 7 || utf8.ValidString(user) && !utf8.ValidString(text) {
			t.Errorf("clip %q", text)
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	for _, model := range []*Model{Default(), trained(b)} {
		for _, name := range []string{"typical", "long", "chinese", "code"} {
			b.Run(model.Name()+"/"+name, func(b *testing.B) {
				text := Text{User: prompts[name], System: "You are a helpful assistant."}
				b.ReportAllocs()
				for b.Loop() {
					model.Classify(text)
				}
			})
		}
	}
}

// trained is a model with n-grams, which cost the most.
func trained(t testing.TB) *Model {
	t.Helper()
	f := NewFile("")
	grams := make([]float64, Buckets)
	for i := range grams {
		grams[i] = float64(i%7) - 3
	}
	f.Difficulty = NewOutput(0, nil, grams)
	f.Knots = []float64{-2, 0, 2}
	m, err := f.Model("trained")
	if err != nil {
		t.Fatal(err)
	}
	return m
}
