package rules

import (
	"strings"
	"testing"
	"time"
)

func input() *Input {
	return &Input{
		Tenant: "acme", Team: "search", Key: "ci", Tags: map[string]string{"cost": "batch", "eu": ""}, Model: "auto", User: "u-1", Schema: "openai",
		Path: "/v1/chat/completions", Tokens: 9000, MaxTokens: 100, Stream: true, Tools: 2,
		Time:     time.Date(2026, 3, 7, 22, 30, 0, 0, time.UTC), // a Saturday
		Headers:  map[string]string{"x-team": "blue"},
		Metadata: func() map[string]string { return map[string]string{"project": "moon"} },
		Classify: func() (string, float64) { return "code", 0.8 },
	}
}

func TestConditions(t *testing.T) {
	for source, want := range map[string]bool{
		`team == "search" && tokens > 8000`:                           true,
		`team == "search" && tokens > 10000`:                          false,
		`tenant == "acme" && key.startsWith("c")`:                     true,
		`tags.cost == "batch" && !("us" in tags)`:                     true,
		`headers["x-team"] == "blue"`:                                 true,
		`"x-other" in headers && headers["x-other"] == "blue"`:        false,
		`metadata.project == "moon"`:                                  true,
		`has(metadata.owner)`:                                         false,
		`task == "code" && difficulty > 0.5`:                          true,
		`difficulty > 1`:                                              false, // whole numbers compare with fractions
		`stream && tools > 0 && images == 0`:                          true,
		`time.getDayOfWeek() == 6 && time.getHours() >= 22`:           true,
		`model in ["auto", "fast"] && schema == "openai"`:             true,
		`user.matches("^u-[0-9]+$") && path.endsWith("/completions")`: true,
		`max_tokens < 200 && tags.exists(t, t == "eu")`:               true,
		`model.lowerAscii() == "auto"`:                                true,
	} {
		c, err := Compile(source)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		if got, err := c.Holds(input()); got != want || err != nil {
			t.Errorf("%s: got %t, %v", source, got, err)
		}
	}
}

func TestFaultsNameTheirPosition(t *testing.T) {
	for source, want := range map[string]string{
		`team = "search"`:                       "1:6: Syntax error",
		`teem == "search"`:                      "1:1: undeclared reference to 'teem'",
		"tokens > 1 &&\n  team > 2":             "2:8: found no matching overload",
		`tokens + 1`:                            "1:1: is of type int; a condition must be true or false",
		``:                                      "1:1: Syntax error",
		`team.matches("(")`:                     "",
		strings.Repeat("tokens > 1 || ", 400):   "is longer than",
		strings.Repeat("(", 300) + "true":       "",
		`[1,2,3].map(x, x) == [1] && missing()`: "undeclared reference to 'missing'",
	} {
		c, err := Compile(source)
		if err == nil {
			t.Errorf("%.40s: compiled to %v", source, c.Wants())
		} else if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.40s: %q", source, err)
		}
	}
}

// What fails when it is evaluated does not hold, and says why.
func TestEvaluationIsBounded(t *testing.T) {
	list := "[" + strings.TrimSuffix(strings.Repeat("1,", 60), ",") + "]"
	for source, want := range map[string]string{
		`headers["absent"] == "x"`: "no such key",
		list + ".all(a, " + list + ".all(b, " + list + ".all(c, a == b && b == c || tokens > 0)))": "cost limit exceeded",
	} {
		c, err := Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if yes, err := c.Holds(input()); yes || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %t, %v", source, yes, err)
		}
		if d := time.Since(begin); d > 500*time.Millisecond {
			t.Errorf("%.40s: took %s", source, d)
		}
	}
}

// A condition finds out only what it asks for, and once.
func TestLazy(t *testing.T) {
	asked := 0
	in := input()
	in.Metadata = func() map[string]string { asked++; return nil }
	in.Classify = func() (string, float64) { asked++; return "chat", 0 }
	for source, want := range map[string]struct {
		asked   int
		wants   Wants
		headers string
	}{
		`tokens > 1`:                                            {wants: Wants{Body: true}},
		`tokens > 1 || task == "code"`:                          {wants: Wants{Class: true, Body: true}},
		`task == "code" && difficulty > 0.1`:                    {asked: 1, wants: Wants{Class: true, Body: true}},
		`difficulty > 0.1 || task == "code" || "a" in metadata`: {asked: 2, wants: Wants{Class: true, Metadata: true, Body: true}},
		`model == "m" && tags.size() == 0`:                      {wants: Wants{Model: true}},
		`user == "" || stream || images > 0 || max_tokens > 1`:  {wants: Wants{Body: true}},
		`headers["x-a"] == "" || "x-b" in headers`:              {wants: Wants{Headers: true}, headers: "x-a x-b"},
	} {
		c, err := Compile(source)
		if err != nil {
			t.Fatal(err)
		}
		asked = 0
		_, _ = c.Holds(in)
		if asked != want.asked || c.Wants() != want.wants || strings.Join(c.Headers(), " ") != want.headers {
			t.Errorf("%s: asked %d, wants %+v, headers %v", source, asked, c.Wants(), c.Headers())
		}
	}
}

func BenchmarkHolds(b *testing.B) {
	for name, source := range map[string]string{
		"principal": `team == "search" && tokens > 8000`,
		"headers":   `headers["x-team"] == "blue" && stream`,
		"tags":      `"eu" in tags && model in ["auto", "fast"]`,
	} {
		b.Run(name, func(b *testing.B) {
			c, err := Compile(source)
			if err != nil {
				b.Fatal(err)
			}
			in := input()
			b.ReportAllocs()
			for b.Loop() {
				if yes, err := c.Holds(in); !yes || err != nil {
					b.Fatal(yes, err)
				}
			}
		})
	}
}
