package bedrock_test

import (
	"slices"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/translate"
	"dragoman/translate/chat"
)

// TestD132_BetaFeatures: what a client of Anthropic's schema says in a header is a member of the body, as far as Bedrock knows it.
func TestD132_BetaFeatures(t *testing.T) {
	sent := "context-1m-2025-08-07, interleaved-thinking-2025-05-14,files-api-2025-04-14 ,context-1m-2025-08-07,," + "bad name\x01"
	header := func(name string) string {
		if name == "anthropic-beta" {
			return sent
		}
		return ""
	}
	for _, c := range []struct {
		schema, want string
		model        string
		header       func(string) string
		dropped      []string
	}{
		{"anthropic", `["context-1m-2025-08-07","interleaved-thinking-2025-05-14"]`, haiku, header, []string{"anthropic-beta.files-api-2025-04-14"}},
		{"anthropic", "", haiku, nil, nil},
		{"anthropic", "", "amazon.nova-2-lite-v1:0", header, nil},
		{"openai", "", haiku, header, nil},
	} {
		r := decode(t, c.schema, []byte(`{"model":"auto","max_tokens":10,"messages":[{"role":"user","content":"hi"}]}`))
		up, err := codec.Encode(r, translate.Target{Model: c.model, Header: c.header})
		if err != nil {
			t.Fatal(err)
		}
		if got := gjson.GetBytes(up.Body, "additionalModelRequestFields.anthropic_beta").Raw; got != c.want || !slices.Equal(up.Dropped, c.dropped) {
			t.Errorf("%s to %s: %s, dropped %v", c.schema, c.model, got, up.Dropped)
		}
		if r.Schema != chat.Schema(c.schema) {
			t.Errorf("the request is of %s", r.Schema)
		}
	}
}
