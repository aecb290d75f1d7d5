package train

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"dragoman/internal/classify"
)

// Bounds of a file of prompts.
const (
	maxRows     = 1_000_000
	maxRowBytes = 4 << 20
)

// Row is one labelled prompt.
type Row struct {
	Text  classify.Text
	Group string // prompts that belong together (a subject, a customer), "" when the file has none
	// Gain is how much better the strong model's answer was than the weak one's, -1..1; with HasGain only. Of a file with `weak` and
	// `strong` on another scale than 0..1 it is scaled by the widest difference.
	Gain         float64
	HasGain      bool
	Weak, Strong float64 // as they stood there, with HasPair only
	HasPair      bool
	Task         classify.Task // with HasTask only
	HasTask      bool
}

// Fields are the names of a file's members, "" for the usual ones.
type Fields struct{ Prompt, Weak, Strong, Group string }

// The names that are looked for, in this order. What else a row has is passed over.
var (
	promptNames = []string{"prompt", "text", "question", "input"}
	weakNames   = []string{"weak", "weak_score", "weak_correct"}
	strongNames = []string{"strong", "strong_score", "strong_correct"}
	groupNames  = []string{"group", "subject", "topic"}
	taskNames   = []string{"task", "class"}
)

// ReadRows reads JSON lines, one prompt each:
//
//	prompt (text, question, input): a string; or messages: OpenAI's list of turns; or an array of turns in prompt's place
//	weak and strong: how good both models' answers were, true/false or numbers on one scale
//	weak alone: whether the weak model's answer was good enough
//	better: "strong", "weak" or "tie"
//	difficulty: 0..1
//	task (class): a name of classify.TaskNames
//	group (subject, topic): for tests on groups that were not trained on
//
// Each row needs a prompt and a label; all rows need the same kind of label. Errors name the file and the line.
func ReadRows(path string, f Fields) ([]Row, error) {
	in := io.Reader(os.Stdin)
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	return readRows(path, in, f)
}

func readRows(path string, in io.Reader, f Fields) ([]Row, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxRowBytes)
	var rows []Row
	var kind label
	n := 1
	for ; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		if n == 1 && line[0] != '{' {
			return nil, fmt.Errorf(`%s:1: want JSON lines: an object on each line, such as {"prompt": "…", "weak": 0, "strong": 1}`, path)
		}
		row, k, err := parseRow(line, f)
		if err == nil && len(rows) > 0 && k != kind {
			err = fmt.Errorf("has the label %s, the lines before have %s: a file has one kind", k, kind)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		kind = k
		if rows = append(rows, row); len(rows) > maxRows {
			return nil, fmt.Errorf("%s: more than %d prompts", path, maxRows)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, n, err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s: no prompts", path)
	}
	if kind == labelPair {
		scale(rows)
	}
	return rows, nil
}

// label is what a row is labelled with, apart from a task.
type label string

// The labels.
const (
	labelPair       label = "weak and strong"
	labelWeak       label = "weak"
	labelBetter     label = "better"
	labelDifficulty label = "difficulty"
	labelTask       label = "task"
)

func parseRow(line []byte, f Fields) (row Row, kind label, err error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(line, &members); err != nil {
		return row, "", fmt.Errorf("no JSON object: %w", err)
	}
	m := object{members}
	if row.Text, err = m.prompt(f.Prompt); err != nil {
		return row, "", err
	}
	if row.Group, err = m.string(pick(f.Group, groupNames)); err != nil {
		return row, "", err
	}
	if row.Group == "" && f.Group != "" {
		return row, "", fmt.Errorf("has no member %q", f.Group)
	}
	task, err := m.string(taskNames)
	if err != nil {
		return row, "", err
	}
	if task != "" {
		if row.Task, row.HasTask = classify.TaskNamed(task); !row.HasTask {
			return row, "", fmt.Errorf("task: there is no task %.40q; the tasks are %s", task, strings.Join(classify.TaskNames(), ", "))
		}
	}
	kind, err = m.label(&row, f)
	return row, kind, err
}

func pick(name string, usual []string) []string {
	if name != "" {
		return []string{name}
	}
	return usual
}

// object is a row's members.
type object struct{ members map[string]json.RawMessage }

// find is the first member that is there and not null.
func (o object) find(names []string) (name string, value json.RawMessage) {
	for _, name := range names {
		if v, ok := o.members[name]; ok && string(v) != "null" {
			return name, v
		}
	}
	return "", nil
}

func (o object) string(names []string) (string, error) {
	name, value := o.find(names)
	if value == nil {
		return "", nil
	}
	var s string
	if json.Unmarshal(value, &s) != nil {
		return "", fmt.Errorf("%s: must be a string", name)
	}
	return s, nil
}

// number reads a number, or true and false as 1 and 0.
func (o object) number(names []string) (v float64, ok bool, err error) {
	name, value := o.find(names)
	if value == nil {
		return 0, false, nil
	}
	var yes bool
	if json.Unmarshal(value, &yes) == nil {
		if yes {
			v = 1
		}
		return v, true, nil
	}
	if json.Unmarshal(value, &v) != nil || math.Abs(v) > 1e9 {
		return 0, false, fmt.Errorf("%s: must be a number, true or false", name)
	}
	return v, true, nil
}

// label reads what the row is labelled with.
func (o object) label(row *Row, f Fields) (label, error) {
	weak, hasWeak, err := o.number(pick(f.Weak, weakNames))
	if err != nil {
		return "", err
	}
	strong, hasStrong, err := o.number(pick(f.Strong, strongNames))
	if err != nil {
		return "", err
	}
	difficulty, hasDifficulty, err := o.number([]string{"difficulty"})
	if err != nil {
		return "", err
	}
	better, err := o.string([]string{"better"})
	if err != nil {
		return "", err
	}
	row.HasGain = true
	switch {
	case hasWeak && hasStrong:
		row.Weak, row.Strong, row.HasPair, row.Gain = weak, strong, true, strong-weak
		return labelPair, nil
	case hasStrong:
		return "", errors.New("has a label of the strong model and none of the weak one")
	case hasWeak:
		if weak < 0 || weak > 1 {
			return "", errors.New("weak: without strong it must be 0 to 1, true or false: whether the weak model's answer was good enough")
		}
		row.Gain = 1 - weak
		return labelWeak, nil
	case better != "":
		gain, ok := map[string]float64{"strong": 1, "weak": -1, "tie": 0}[better]
		if !ok {
			return "", fmt.Errorf(`better: must be "strong", "weak" or "tie", not %.40q`, better)
		}
		row.Gain = gain
		return labelBetter, nil
	case hasDifficulty:
		if difficulty < 0 || difficulty > 1 {
			return "", errors.New("difficulty: must be 0 to 1")
		}
		row.Gain = difficulty
		return labelDifficulty, nil
	case row.HasTask:
		row.HasGain = false
		return labelTask, nil
	}
	return "", fmt.Errorf("has no label: want weak and strong, weak, better, difficulty or task; its members are %s", o.names())
}

// names lists the members, for an error.
func (o object) names() string {
	var names []string
	for name := range o.members {
		names = append(names, fmt.Sprintf("%.40q", name))
	}
	if len(names) == 0 {
		return "none"
	}
	return sorted(names)
}

// scale brings the gains of pairs into -1..1.
func scale(rows []Row) {
	widest := 1.0
	for i := range rows {
		widest = max(widest, math.Abs(rows[i].Gain))
	}
	for i := range rows {
		rows[i].Gain /= widest
	}
}
