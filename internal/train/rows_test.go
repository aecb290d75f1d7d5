package train

import (
	"strings"
	"testing"

	"dragoman/internal/classify"
)

func TestRowsOfEveryKind(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		f    Fields
		gain float64
		user string
	}{
		"pair":         {`{"id":1,"prompt":"a b","weak":false,"strong":true,"group":"g"}`, Fields{}, 1, "a b"},
		"scores":       {`{"question":"q","weak_score":7.5,"strong_score":2.5}`, Fields{}, -1, "q"},
		"named":        {`{"ask":"q","mixtral":0,"gpt":0.5,"area":"law"}`, Fields{Prompt: "ask", Weak: "mixtral", Strong: "gpt", Group: "area"}, 0.5, "q"},
		"weak alone":   {`{"text":"q","weak":0.25}`, Fields{}, 0.75, "q"},
		"better":       {`{"input":"q","better":"weak"}`, Fields{}, -1, "q"},
		"tie":          {`{"input":"q","better":"tie"}`, Fields{}, 0, "q"},
		"difficulty":   {`{"prompt":"q","difficulty":0.3,"system":"s"}`, Fields{}, 0.3, "q"},
		"turns":        {`{"messages":[{"role":"system","content":"s"},{"role":"user","content":[{"type":"text","text":"q"}]}],"weak":1}`, Fields{}, 0, "q"},
		"prompt turns": {`{"prompt":[{"role":"user","content":"q"},{"role":"assistant","content":"x"}],"weak":true}`, Fields{}, 0, "q"},
	} {
		rows, err := readRows("f", strings.NewReader("\n"+c.text+"\n"), c.f)
		if err != nil || len(rows) != 1 || !rows[0].HasGain || rows[0].Gain != c.gain || rows[0].Text.User != c.user {
			t.Errorf("%s: %+v %v", name, rows, err)
		}
	}
	rows, err := readRows("f", strings.NewReader(`{"prompt":"q","class":"code","group":null}`), Fields{})
	if err != nil || rows[0].HasGain || rows[0].Task != classify.Code || !rows[0].HasTask {
		t.Errorf("task: %+v %v", rows, err)
	}
}

func TestFaultsOfRowsNameTheLine(t *testing.T) {
	good := `{"prompt":"q","weak":0,"strong":1}` + "\n"
	for text, want := range map[string]string{
		"":                            "f: no prompts",
		"prompt,weak,strong\nq,0,1\n": "f:1: want JSON lines",
		good + "{":                    "f:2: no JSON object",
		good + `{"promt":"q","weak":0,"strong":1}`:     `f:2: has no prompt (prompt, text, question, input or messages); its members are "promt", "strong", "weak"`,
		good + `{"prompt":"q","weak":0}`:               "f:2: has the label weak, the lines before have weak and strong",
		good + `{"prompt":"q","strong":0}`:             "f:2: has a label of the strong model and none of the weak one",
		good + `{"prompt":"q","cost":0}`:               `f:2: has no label: want weak and strong, weak, better, difficulty or task; its members are "cost", "prompt"`,
		good + `{}`:                                    "its members are none",
		good + `{"prompt":" ","weak":0,"strong":1}`:    "f:2: prompt: has no text of a user",
		good + `{"prompt":7,"weak":0,"strong":1}`:      "f:2: prompt: must be a string, or turns",
		good + `{"prompt":"q","weak":"x","strong":1}`:  "f:2: weak: must be a number",
		good + `{"prompt":"q","weak":1e99,"strong":1}`: "f:2: weak: must be a number",
		`{"prompt":"q","weak":3}`:                      "f:1: weak: without strong it must be 0 to 1",
		`{"prompt":"q","better":"both"}`:               `f:1: better: must be "strong", "weak" or "tie"`,
		`{"prompt":"q","difficulty":2}`:                "f:1: difficulty: must be 0 to 1",
		`{"prompt":"q","task":"cooking"}`:              `f:1: task: there is no task "cooking"; the tasks are knowledge, code`,
		`{"prompt":"q","weak":0,"group":3}`:            "f:1: group: must be a string",
	} {
		_, err := readRows("f", strings.NewReader(text), Fields{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q:\n got %v\nwant %s", text, err, want)
		}
	}
	if _, err := readRows("f", strings.NewReader(`{"prompt":"q","weak":0}`), Fields{Group: "area"}); err == nil || !strings.Contains(err.Error(), `f:1: has no member "area"`) {
		t.Errorf("%v", err)
	}
	if _, err := ReadRows("testdata/absent.jsonl", Fields{}); err == nil {
		t.Error("a file that is not there is read")
	}
}
