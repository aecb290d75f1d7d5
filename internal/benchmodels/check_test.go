package benchmodels

import (
	"strings"
	"testing"
)

// solved has a right answer to each built-in task, and a wrong one with the score that it deserves.
var solved = map[string]struct {
	right, wrong string
	score        float64
}{
	"knowledge-element": {"**Tungsten**.", "Tantalum", 0},
	"knowledge-history": {"It was signed in 1648 and ended the Thirty Years' War.", "In 1648 it ended the Hundred Years' War.", 0.5},
	"knowledge-choice":  {"B. Thyroid gland", "A", 0},
	"code-output":       {"The program prints:\n\n381", "341", 0},
	"code-regex":        {"```regex\n^([01]\\d|2[0-3]):[0-5]\\d$\n```", `\d\d:\d\d`, 0},
	"code-bug":          {"Line 3", "4", 0},
	"summary-news": {"A crane collapsed in Velm's harbour because a cracked bearing was overlooked. Forty ships were diverted to Kestad and freight became " +
		"dearer. The port reopened on 19 March.", "A crane fell because of its bearing. Nobody was hurt, ships had to go elsewhere for some time.", 0.6},
	"summary-minutes": {`{"decisions":["Beta starts on 3 June"],"actions":[{"who":"Mira","what":"translations"},{"who":"Raul","what":"offer of Lexora"}],"open":["logo"]}`,
		`{"decisions":"Beta starts on 3 June","actions":[],"open":["logo","Lexora"]}`, 0},
	"reasoning-pipes": {"The rate is 1/3 an hour, so it takes 2.25 hours.\n\n**135**", "150 minutes", 0},
	"reasoning-order": {"Uma < Vic < Xan < Wes, so Yoko is first.\n\n**Yoko**", "Yoko cannot be first.\n\nUma", 0},
	"reasoning-money": {"The price was 250.00", "It was 297.50", 0},
	"follow-lines":    {"Rain falls.\nRain stays.\n\nRain sings.\nRain goes.", "Rain is wet.\nRain stays.\nRain sings.\nRain goes.", 2.0 / 3},
	"follow-json":     {`{"title":"Fix your bike","tags":["tyres","chain","brakes"],"rating":4}`, "```json\n{\"title\":\"Fix\",\"tags\":[\"a\",\"b\"],\"rating\":4}\n```", 0},
	"follow-list":     {"1) SUNDAY\n2) SATURDAY\n3) FRIDAY\n4) THURSDAY\n5) WEDNESDAY\n6) TUESDAY\n7) MONDAY", "1) MONDAY\n2) TUESDAY\n3) WEDNESDAY\n4) THURSDAY\n5) FRIDAY\n6) SATURDAY\n7) SUNDAY", 2.0 / 3},
}

func TestBuiltinTasksAreGraded(t *testing.T) {
	tasks, classes := Builtin(), map[string]int{}
	if len(tasks) != 14 || len(solved) != 14 {
		t.Fatalf("%d tasks, %d answers", len(tasks), len(solved))
	}
	for i := range tasks {
		task := &tasks[i]
		classes[task.Class]++
		answers := solved[task.ID]
		if got := task.Grade(answers.right); got != 1 {
			t.Errorf("%s: the right answer gets %.2f", task.ID, got)
		}
		if got := task.Grade(answers.wrong); got < answers.score-1e-9 || got > answers.score+1e-9 {
			t.Errorf("%s: the wrong answer gets %.2f, want %.2f", task.ID, got, answers.score)
		}
		for _, empty := range []string{"", "I cannot help with that.", task.Prompt} {
			if got := task.Grade(empty); got > 0.34 {
				t.Errorf("%s: %q gets %.2f", task.ID, empty, got)
			}
		}
	}
	for _, class := range Classes[:5] {
		if classes[class] < 2 {
			t.Errorf("%d tasks of %s", classes[class], class)
		}
	}
}

func TestNumbersAreRead(t *testing.T) {
	for text, want := range map[string]float64{"1,234.5 euros": 1234.5, "x = −7": -7, "from 3 to 12.": 12, "**42**": 42} {
		if got, ok := lastNumber(text); !ok || got != want {
			t.Errorf("%q: %g %t", text, got, ok)
		}
	}
	if _, ok := lastNumber("none"); ok {
		t.Error("a number where there is none")
	}
}

func TestPatternsOfModelsAreTriedSafely(t *testing.T) {
	e := &Examples{Match: []string{"ab"}, Differs: []string{"b"}}
	for answer, want := range map[string]bool{"ab": true, "/a.b?/": true, "a?b": false, "^a?b": false, "a(b": false, "": false,
		strings.Repeat("a", 5000): false, "`a+b+`": true, "(a*)*(a*)*ab": true, "(?=a)ab": false} {
		if got := e.hold(answer); got != want {
			t.Errorf("%.40q: %t", answer, got)
		}
	}
}

func TestFaultsOfTasksNameTheLine(t *testing.T) {
	good := `{"id":"a","class":"code","prompt":"p","checks":[{"exact":["x"]}]}` + "\n"
	for text, want := range map[string]string{
		"":                                       "f: no tasks",
		good + good:                              `f:2: id: "a" stands here twice`,
		good + "{":                               "f:2: unexpected EOF",
		`{"id":"a","klass":"code"}`:              `f:1: json: unknown field "klass"`,
		`{"class":"code","prompt":"p"}`:          "f:1: id: is missing",
		`{"id":"a","class":"cooking"}`:           `f:1: class: "cooking" is none; the classes are knowledge`,
		`{"id":"a","class":"code"}`:              "f:1: prompt: is missing",
		`{"id":"a","class":"code","prompt":"p"}`: "f:1: checks: is missing",
		`{"id":"a","class":"code","prompt":"p","max_tokens":99999,"checks":[{"regex":"x"}]}`:     "f:1: max_tokens",
		`{"id":"a","class":"code","prompt":"p","checks":[{}]}`:                                   "f:1: checks[0]: wants exactly one",
		`{"id":"a","class":"code","prompt":"p","checks":[{"regex":"x","words":{}}]}`:             "it has 2",
		`{"id":"a","class":"code","prompt":"p","checks":[{"regex":"("}]}`:                        "f:1: checks[0]: error parsing regexp",
		`{"id":"a","class":"code","prompt":"p","checks":[{"pattern":{}}]}`:                       "checks[0].pattern.match: is empty",
		`{"id":"a","class":"code","prompt":"p","checks":[{"schema":{"type":"text"}}]}`:           `checks[0].schema.type: there is no type "text"`,
		`{"id":"a","class":"code","prompt":"p","checks":[{"schema":{"oneOf":[]}}]}`:              `unknown field "oneOf"`,
		`{"id":"a","class":"code","prompt":"p","checks":[{"schema":{"items":{"pattern":"("}}}]}`: "checks[0].schema.items.pattern",
	} {
		if _, err := readTasks("f", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := ReadTasks("absent.jsonl"); err == nil {
		t.Error("a file that is not there is read")
	}
}

func TestSchemas(t *testing.T) {
	for schema, c := range map[string]struct{ fits, not []string }{
		`{"type":"integer","minimum":2,"maximum":4}`:                              {[]string{"2", "4.0"}, []string{"1", "5", "2.5", `"2"`, "null"}},
		`{"enum":["a",null,3]}`:                                                   {[]string{`"a"`, "null", "3"}, []string{`"b"`, "false"}},
		`{"const":true}`:                                                          {[]string{"true"}, []string{"false", `"true"`}},
		`{"type":"string","minLength":2,"maxLength":3,"pattern":"^ä"}`:            {[]string{`"äb"`, `"äöü"`}, []string{`"ä"`, `"äöüß"`, `"ab"`}},
		`{"type":"array","maxItems":2,"items":{"type":"boolean"}}`:                {[]string{"[]", "[true,false]"}, []string{"[1]", "[true,true,true]", "{}"}},
		`{"type":"object","required":["a"],"properties":{"a":{"type":"number"}}}`: {[]string{`{"a":1,"b":2}`}, []string{`{}`, `{"a":"1"}`, `[]`}},
		`{"additionalProperties":false,"properties":{"a":{"type":"null"}}}`:       {[]string{`{}`, `{"a":null}`, `7`}, []string{`{"b":1}`}},
	} {
		tasks, err := readTasks("f", strings.NewReader(`{"id":"a","class":"code","prompt":"p","checks":[{"schema":`+schema+`}]}`))
		if err != nil {
			t.Fatal(schema, err)
		}
		for _, text := range c.fits {
			if tasks[0].Grade(text) != 1 || tasks[0].Grade("Here it is:\n```json\n"+text+"\n```") != 1 {
				t.Errorf("%s: %s does not fit", schema, text)
			}
		}
		for _, text := range append(c.not, "{", "") {
			if tasks[0].Grade(text) != 0 {
				t.Errorf("%s: %s fits", schema, text)
			}
		}
	}
}
