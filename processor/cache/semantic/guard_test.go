package semantic

import (
	"bufio"
	"os"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

type guardCase struct {
	want Guard
	a, b string
}

func guardCases(t testing.TB) (cases []guardCase) {
	t.Helper()
	f, err := os.Open("testdata/guards.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if parts := strings.Split(lines.Text(), " | "); len(parts) == 3 {
			cases = append(cases, guardCase{Guard(strings.TrimPrefix(parts[0], "-")), parts[1], parts[2]})
		}
	}
	if len(cases) < 60 {
		t.Fatalf("only %d cases", len(cases))
	}
	return cases
}

func TestGuards(t *testing.T) {
	for _, c := range guardCases(t) {
		a, b := Analyse(c.a), Analyse(c.b)
		if got := All.Check(a, b, 0.955); got != c.want {
			t.Errorf("%q | %q: refused by %q, want %q", c.a, c.b, got, c.want)
		}
		if got := All.Check(b, a, 0.955); got != c.want {
			t.Errorf("%q | %q (the other way round): refused by %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

// TestEachGuardCanBeSwitchedOff: then it refuses nothing; what it would have refused may still meet another guard.
func TestEachGuardCanBeSwitchedOff(t *testing.T) {
	seen := map[Guard]bool{}
	for _, c := range guardCases(t) {
		if c.want == None {
			continue
		}
		seen[c.want] = true
		a, b := Analyse(c.a), Analyse(c.b)
		if got := Only(c.want).Check(a, b, 0.955); got != c.want {
			t.Errorf("%q | %q: alone, %s lets it pass", c.a, c.b, c.want)
		}
		if got := All.Without(c.want).Check(a, b, 0.955); got == c.want {
			t.Errorf("%q | %q: %s refuses though it is off", c.a, c.b, c.want)
		}
		if got := Set(0).Check(a, b, 0.955); got != None {
			t.Errorf("%q | %q: %s refuses though all are off", c.a, c.b, got)
		}
	}
	for _, g := range Guards {
		if !seen[g] {
			t.Errorf("no case of %s", g)
		}
	}
}

// TestVeryCloseVectors: one more common word is forgiven where the model sees hardly a difference; a number, a name or an opposite
// never is.
func TestVeryCloseVectors(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want Guard
	}{
		{"How do I recharge these batteries quickly?", "How do I recharge these regular batteries quickly?", None},
		{"How do I recharge these batteries quickly?", "How do I recharge these 2 batteries quickly?", Numbers},
		{"How do I recharge these batteries quickly?", "How do I recharge these Varta batteries quickly?", Entities},
		{"How do I recharge these batteries quickly?", "How do I recharge these regular batteries quickly at home?", Scope},
		{"How do I recharge these batteries quickly?", "How do I not recharge these batteries quickly?", Negation},
		{"Recharge batteries", "Recharge regular batteries", Scope},
	} {
		if got := All.Check(Analyse(c.a), Analyse(c.b), 0.99); got != c.want {
			t.Errorf("%q | %q: %q, want %q", c.a, c.b, got, c.want)
		}
	}
}

func TestNormal(t *testing.T) {
	for text, want := range map[string]string{
		"How do I reset my password?":                           "how to reset password?",
		"How can we reset the password":                         "how to reset password?",
		"Hi! Could you please tell me what's new? Thanks a lot": "what is new?",
		"um, what is uh this":                                   "what is this?",
		"What does £50 buy?":                                    "what £50 buy?",
		"thanks":                                                "thank?",
		"":                                                      "",
		" ?! ":                                                  "",
		"¿Qué hora es?":                                         "qué hora es?",
	} {
		if got := Analyse(text).Normal(); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestSets(t *testing.T) {
	for _, g := range Guards {
		if !All.Has(g) || All.Without(g).Has(g) || !Only(g).Has(g) || Set(0).Has(g) {
			t.Errorf("%s", g)
		}
	}
	if All.Has("nonsense") || All.Has(None) {
		t.Error("a guard that does not exist is on")
	}
}

// TestLongTextsAreCheap: nothing that a client sends makes a check slow.
func TestLongTextsAreCheap(t *testing.T) {
	many := strings.Repeat("alpha beta gamma delta ", 180)
	for name, pair := range map[string][2]string{
		"many words":      {many[:4000], strings.ToUpper(many[:3900])},
		"one word":        {strings.Repeat("x", 4000), strings.Repeat("y", 4000)},
		"many names":      {strings.Repeat("Qa Qb Qc Qd Qe Qf ", 200), strings.Repeat("Za Zb Zc Zd Ze Zf ", 200)},
		"many numbers":    {strings.Repeat("1 2 3 ", 600), strings.Repeat("3 2 1 ", 600)},
		"many operators":  {strings.Repeat("+-*/=", 800), strings.Repeat("=/*-+", 800)},
		"apostrophes":     {strings.Repeat("'", 4000), strings.Repeat("a'b", 1300)},
		"one of each":     {strings.Repeat("the ", 1000), many[:4000]},
		"number words":    {strings.Repeat("hundred ", 500), strings.Repeat("million ", 500)},
		"other alphabets": {strings.Repeat("日", 1300), strings.Repeat("本", 1300)},
	} {
		began := time.Now()
		All.Check(Analyse(pair[0]), Analyse(pair[1]), 0.96)
		if took := time.Since(began); took > 50*time.Millisecond {
			t.Errorf("%s: %v", name, took)
		}
	}
}

func FuzzCheck(f *testing.F) {
	for _, c := range guardCases(f) {
		f.Add(c.a, c.b)
	}
	f.Add("a\xff'", "-5%£$10k 1:2:3,4.5")
	f.Fuzz(func(t *testing.T, x, y string) {
		a, b := Analyse(x), Analyse(y)
		got := All.Check(a, b, 0.955)
		if All.Check(b, a, 0.955) != got || All.Check(Analyse(x), Analyse(y), 0.955) != got {
			t.Fatalf("%q | %q: not the same twice", x, y)
		}
		if g := All.Check(a, Analyse(x), 1); a.normal != "" && g != None {
			t.Fatalf("%q refuses itself: %s", x, g)
		}
		if utf8.ValidString(x) != utf8.ValidString(a.normal) && utf8.ValidString(x) {
			t.Fatalf("%q became %q", x, a.normal)
		}
	})
}

func BenchmarkAnalyse(b *testing.B) {
	english()
	b.ReportAllocs()
	for b.Loop() {
		Analyse("Could you tell me how I transfer £50 from my savings to my current account, please?")
	}
}

// BenchmarkCheck is what a candidate costs, the analysis of its text included.
func BenchmarkCheck(b *testing.B) {
	q := Analyse("Could you tell me how I transfer £50 from my savings to my current account, please?")
	b.ReportAllocs()
	for b.Loop() {
		All.Check(q, Analyse("What's the best way to transfer £50 from my savings to the current account?"), 0.97)
	}
}
