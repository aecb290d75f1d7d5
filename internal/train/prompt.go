package train

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"dragoman/internal/classify"
)

// maxSorted bounds how many names an error lists.
const maxSorted = 12

func sorted(names []string) string {
	slices.Sort(names)
	if len(names) > maxSorted {
		names = append(names[:maxSorted], "…")
	}
	return strings.Join(names, ", ")
}

// prompt reads the text of a row: a string, or turns.
func (o object) prompt(named string) (classify.Text, error) {
	name, value := o.find(pick(named, promptNames))
	if value == nil && named == "" {
		name, value = o.find([]string{"messages"})
	}
	if value == nil {
		want := strings.Join(promptNames, ", ") + " or messages"
		if named != "" {
			want = named
		}
		return classify.Text{}, fmt.Errorf("has no prompt (%s); its members are %s", want, o.names())
	}
	var s string
	if json.Unmarshal(value, &s) == nil {
		t := classify.Text{User: s, Bytes: len(s), Turns: 1}
		var err error
		if t.System, err = o.string([]string{"system"}); err != nil {
			return t, err
		}
		t.Bytes += len(t.System)
		return t, notEmpty(name, t)
	}
	var turns []turn
	if json.Unmarshal(value, &turns) != nil {
		return classify.Text{}, fmt.Errorf(`%s: must be a string, or turns such as {"role": "user", "content": "…"}`, name)
	}
	t := classify.Text{Turns: len(turns)}
	for _, u := range turns {
		text := u.text()
		t.Bytes += len(text)
		switch {
		case u.Role == "user" && text != "":
			t.User = text
		case (u.Role == "system" || u.Role == "developer") && t.System == "":
			t.System = text
		}
	}
	return t, notEmpty(name, t)
}

func notEmpty(name string, t classify.Text) error {
	if strings.TrimSpace(t.User) == "" {
		return fmt.Errorf("%s: has no text of a user", name)
	}
	return nil
}

// turn is a message of OpenAI's chat completions.
type turn struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

func (u turn) text() string {
	var s string
	if json.Unmarshal(u.Content, &s) == nil {
		return s
	}
	var parts []struct {
		Text string `json:"text"`
	}
	_ = json.Unmarshal(u.Content, &parts) // parts of other kinds have no text
	var texts []string
	for _, p := range parts {
		if p.Text != "" {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, "\n")
}
