package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

// TestFilesAreNamedByTheirOwnerAlone: a chat request that names a file gets it when it is the caller's own, at the account where it is.
func TestFilesAreNamedByTheirOwnerAlone(t *testing.T) {
	g := passGateway(t)
	upload := func(key string) string {
		contentType, body := form([]byte("%PDF-1.4 canary"), []string{"purpose=user_data"})
		status, _, got := call(t, g, key, "POST", "/v1/files", contentType, body)
		if status != 200 {
			t.Fatalf("status %d, %s", status, got)
		}
		return gjson.Get(got, "id").Str
	}
	mine := upload(passAcmeKey)
	plain, _, _ := strings.Cut(mine, ".")
	account := "openai"
	if ids, _ := g.Fakes["second"].Objects(); len(ids) > 0 {
		account = "second"
	}
	other := map[string]string{"openai": "second", "second": "openai"}[account]
	ask := func(key, model, id string) (int, string) {
		status, _, got := call(t, g, key, "POST", "/v1/chat/completions", "application/json", fmt.Sprintf(
			`{"model":%q,"metadata":null,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"file_id":{"type":"string"}}}}}],"messages":[{"role":"user","content":[{"type":"file","file":{"file_id": %q}},{"type":"text","text":"file_id of mine?"}]}]}`, model, id))
		return status, got
	}
	status, got := ask(passAcmeKey, account+"/gpt-4.1", mine)
	if last := g.Fakes[account].Last(); status != 200 || last.Get("messages.0.content.0.file.file_id").Str != plain {
		t.Errorf("the owner: %d %s: %s", status, got, last.Body)
	}
	for name, c := range map[string]struct{ key, model, id, says string }{
		"another tenant":       {passBetaKey, account + "/gpt-4.1", mine, "No such file"},
		"another, by plain id": {passBetaKey, account + "/gpt-4.1", plain, "No such file"},
		"the owner, plain":     {passAcmeKey, account + "/gpt-4.1", plain, "No such file"},
		"at another provider":  {passAcmeKey, other + "/gpt-4.1", mine, "another provider"},
		"in another schema":    {passAcmeKey, "anthropic/claude-haiku-4-5", mine, "another provider"},
	} {
		for _, f := range g.Fakes {
			must(t, f.Reset())
		}
		status, got := ask(c.key, c.model, c.id)
		if status != 400 || gjson.Get(got, "error.param").Str != "file_id" || !strings.Contains(got, c.says) {
			t.Errorf("%s: %d %s", name, status, got)
		}
		for _, f := range g.Fakes {
			if n := len(f.Requests()); n != 0 {
				t.Errorf("%s: a provider got %d requests", name, n)
			}
		}
	}
	// A name written with escapes is the same name.
	escaped := strings.Replace(`{"model":"MODEL","messages":[{"role":"user","content":[{"type":"file","file":{"file\u005fid":"ID"}}]}]}`, "ID", plain, 1)
	if status, _, got := call(t, g, passBetaKey, "POST", "/v1/chat/completions", "application/json", strings.Replace(escaped, "MODEL", account+"/gpt-4.1", 1)); status != 400 {
		t.Errorf("escaped: %d %s", status, got)
	}
	// The Responses API has more places.
	for _, input := range []string{`[{"role":"user","content":[{"type":"input_file","file_id":"ID"}]}]`, `[{"role":"user","content":[{"type":"input_image","detail":"auto","file_id":"ID"}]}]`} {
		if status, _, got := call(t, g, passBetaKey, "POST", "/v1/responses", "application/json", `{"model":"`+account+`/gpt-4.1","input":`+strings.Replace(input, "ID", plain, 1)+`}`); status != 400 || !strings.Contains(got, "No such file") {
			t.Errorf("%s: %d %s", input, status, got)
		}
	}
}
