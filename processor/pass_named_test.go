package processor

import (
	"slices"
	"testing"

	"dragoman/translate/openai"
	"dragoman/translate/responses"
)

// TestNamedFiles: ids are found wherever a provider reads them, and nowhere else, at the bytes that they stand at.
func TestNamedFiles(t *testing.T) {
	for name, c := range map[string]struct {
		responses bool
		body      string
		want      []string
	}{
		"a file":       {false, `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file": { "file_id" : "a" } },{"type":"text","text":"file_id"}]}]}`, []string{"a"}},
		"two, escaped": {false, `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file\u005fid":"a\u0062"}},{"type":"file","file":{"file_id":"c"}}]}]}`, []string{"ab", "c"}},
		"not in tools' parameters, metadata or text": {false, `{"model":"m","metadata":{"file_id":"x"},"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"file_id":{"const":"x"}},"default":{"file_id":"x"}}}}],"messages":[{"role":"assistant","tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"file_id\":\"x\"}"}}]}]}`, nil},
		"responses":       {true, `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":"a"},{"type":"input_image","detail":"auto","file_id":"b"}]}],"tools":[{"type":"code_interpreter","container":{"type":"auto","file_ids":["c","d"]}}]}`, []string{"a", "b", "c", "d"}},
		"of another kind": {true, `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_id":null,"filename":"a","file_data":"data:application/pdf;base64,AAAA"}]}]}`, nil},
	} {
		parse := openai.Codec{}.Parse
		if c.responses {
			parse = responses.Codec{}.Parse
		}
		h, err := parse([]byte(c.body))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var got []string
		for _, n := range namedFiles(h) {
			got = append(got, n.id)
			if raw := c.body[n.from:n.to]; raw[0] != '"' || raw[len(raw)-1] != '"' {
				t.Errorf("%s: %q stands at %s", name, n.id, raw)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
