// Package benchmodels asks models the same tasks through a running gateway, grades the answers by fixed rules, and writes the result as
// catalogue overrides that routing uses. No answer is ever executed.
package benchmodels

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Classes are the classes of task that qualities are measured for: the names in `quality` of a catalogue entry.
var Classes = []string{"knowledge", "code", "summarisation", "reasoning", "instruction_following", "translation", "classification", "chat"}

// Bounds of a file of tasks.
const (
	maxTasks     = 10_000
	maxTaskBytes = 1 << 20
)

// Task is one question and how its answer is graded.
type Task struct {
	ID     string  `json:"id"`
	Class  string  `json:"class"`
	System string  `json:"system,omitempty"`
	Prompt string  `json:"prompt"`
	Tokens int64   `json:"max_tokens,omitempty"` // output cap, default 2048: room for models that think first
	Checks []Check `json:"checks"`               // the score is the share of checks passed
}

const (
	defaultTokens = 2048
	maxTokens     = 32_768
)

//go:embed tasks.jsonl
var builtin []byte

// Builtin are the 14 tasks that come with the program.
func Builtin() []Task {
	tasks, err := readTasks("built-in tasks", bytes.NewReader(builtin))
	if err != nil {
		panic(err) // embedded; its tests find it
	}
	return tasks
}

// ReadTasks reads a user's own tasks: JSON lines in the form of Task. Errors name the file and the line.
func ReadTasks(path string) ([]Task, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readTasks(path, f)
}

func readTasks(path string, in io.Reader) ([]Task, error) {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, maxTaskBytes)
	var tasks []Task
	ids := map[string]bool{}
	n := 1
	for ; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		if len(line) == 0 {
			continue
		}
		t, err := parseTask(line)
		if err == nil && ids[t.ID] {
			err = fmt.Errorf("id: %q stands here twice", t.ID)
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, n, err)
		}
		ids[t.ID] = true
		if tasks = append(tasks, t); len(tasks) > maxTasks {
			return nil, fmt.Errorf("%s: more than %d tasks", path, maxTasks)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", path, n, err)
	}
	if len(tasks) == 0 {
		return nil, fmt.Errorf("%s: no tasks", path)
	}
	return tasks, nil
}

func parseTask(line []byte) (t Task, err error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&t); err != nil {
		return t, err
	}
	switch {
	case t.ID == "":
		return t, errors.New("id: is missing")
	case !slices.Contains(Classes, t.Class):
		return t, fmt.Errorf("class: %.40q is none; the classes are %s", t.Class, strings.Join(Classes, ", "))
	case strings.TrimSpace(t.Prompt) == "":
		return t, errors.New("prompt: is missing")
	case len(t.Checks) == 0:
		return t, errors.New("checks: is missing: nothing would be graded")
	case t.Tokens < 0 || t.Tokens > maxTokens:
		return t, fmt.Errorf("max_tokens: must be at most %d", maxTokens)
	case t.Tokens == 0:
		t.Tokens = defaultTokens
	}
	for i := range t.Checks {
		if err := t.Checks[i].compile(); err != nil {
			return t, fmt.Errorf("checks[%d]%w", i, err)
		}
	}
	return t, nil
}
