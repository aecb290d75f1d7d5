package fakeprovider

import (
	"encoding/json"
	"net/http"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"github.com/tidwall/sjson"
)

// refusals is a file of bad requests: a good one, and what to change in it. Keys of `set` are sjson paths.
type refusals struct {
	Base  json.RawMessage `json:"base"`
	Cases []struct {
		Name    string         `json:"name"`
		Set     map[string]any `json:"set"`
		Delete  []string       `json:"delete"`
		Tools   bool           `json:"tools"` // adds Anthropic's tool `a`
		Status  int            `json:"status"`
		Type    string         `json:"type"`
		Code    string         `json:"code"`
		Param   string         `json:"param"`
		Message string         `json:"message"` // a part of it
	} `json:"cases"`
}

func TestRefusals(t *testing.T) {
	for _, schema := range []Schema{OpenAI, Anthropic} {
		t.Run(string(schema), func(t *testing.T) {
			var file refusals
			raw, err := os.ReadFile("testdata/" + string(schema) + "_refusals.json")
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(raw, &file); err != nil {
				t.Fatal(err)
			}
			s := Start(t, Options{Schema: schema})
			if status, body := post(t, s, file.Base); status != http.StatusOK {
				t.Fatalf("the good request got %d %s", status, body)
			}
			for _, c := range file.Cases {
				t.Run(c.Name, func(t *testing.T) {
					body := edit(t, file.Base, c.Set, c.Delete)
					if c.Tools {
						body = edit(t, body, map[string]any{"tools": []any{map[string]any{"name": "a", "input_schema": map[string]any{"type": "object"}}}}, nil)
					}
					status, got := post(t, s, body)
					want := c.Status
					if want == 0 {
						want = http.StatusBadRequest
					}
					if status != want {
						t.Fatalf("status %d, want %d: %s", status, want, got)
					}
					e := gjson.GetBytes(got, "error")
					checkField(t, "code", e.Get("code").String(), c.Code)
					checkField(t, "param", e.Get("param").String(), c.Param)
					checkField(t, "type", e.Get("type").String(), c.Type)
					if !strings.Contains(e.Get("message").String(), c.Message) {
						t.Errorf("message %q\n   want %q", e.Get("message").String(), c.Message)
					}
					if r := s.Last(); r.Rejected == "" {
						t.Error("not recorded as rejected")
					}
				})
			}
		})
	}
}

func checkField(t *testing.T, name, got, want string) {
	t.Helper()
	if want != "" && got != want {
		t.Errorf("%s %q, want %q", name, got, want)
	}
}

func edit(t *testing.T, body []byte, set map[string]any, remove []string) []byte {
	t.Helper()
	paths := make([]string, 0, len(set))
	for p := range set {
		paths = append(paths, p)
	}
	sort.Strings(paths) // messages.-1 (append) before messages.2
	for _, p := range paths {
		var err error
		if body, err = sjson.SetBytes(body, p, set[p]); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range remove {
		var err error
		if body, err = sjson.DeleteBytes(body, p); err != nil {
			t.Fatal(err)
		}
	}
	return body
}
