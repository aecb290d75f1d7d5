package e2e

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// ruledPass is passConfig with rules. Files and batches are served by both accounts of OpenAI's schema.
const ruledPass = `listen: {headers: [x-place]}
rules:
- {name: closed, when: '"x-place" in headers && headers["x-place"] == "closed"', refuse: {message: Not from there.}}
- {name: second, when: '"x-place" in headers && headers["x-place"] == "second"', providers: [second]}
- {name: nobody, when: '"x-place" in headers && headers["x-place"] == "nobody"', providers: [anthropic]}
- {name: ears, when: 'model == "ears"', refuse: {message: No ears today.}}
- {name: others, when: 'path == "/v1/files" && model != "scribe"', refuse: {message: Only scribe may.}}
- {name: body, when: '!stream || tokens < 5 || tools == 0 || task != "code" || user == "" || metadata.size() == 0', refuse: {message: A guess about the body.}}
`

// TestRulesHoldForUploadsAndObjects: a rule that asks for nothing that stands in a body alone holds for what is passed on as it comes, too.
func TestRulesHoldForUploadsAndObjects(t *testing.T) {
	g := harness.Start(t, harness.Options{
		Fakes:  []fakeprovider.Options{{Schema: fakeprovider.OpenAI}, {Schema: fakeprovider.OpenAI, Name: "second", Keys: []string{"sk-fake-second-0123456789"}}, {Schema: fakeprovider.Anthropic}},
		Config: ruledPass + passConfig, Env: map[string]string{"OBJECT_SECRET": "a secret that is long enough"},
	})
	send := func(method, path, contentType, body string, header ...string) (int, http.Header, string) {
		t.Helper()
		return call(t, g, passAcmeKey, method, path, contentType, body, header...)
	}
	audioType, audio := form(noise(500), []string{"model=scribe"})
	earsType, ears := form(noise(500), []string{"model=ears"})
	lateType, late := form(noise(200_000), nil, "model=ears")
	fileType, file := form([]byte("{}\n"), []string{"purpose=batch"})
	const transcribe, files = "/v1/audio/transcriptions", "/v1/files"

	for _, c := range []struct {
		name, method, path, contentType, body, place string
		status                                       int
		says, rule                                   string
	}{
		{"an upload", "POST", transcribe, audioType, audio, "", 200, "", ""},
		{"an upload that is refused", "POST", transcribe, audioType, audio, "closed", 403, "Not from there.", "closed"},
		{"an upload whose provider is none that may", "POST", transcribe, audioType, audio, "second", 400, "stays within", "second"},
		{"an upload's model", "POST", transcribe, earsType, ears, "", 403, "No ears today.", "ears"},
		{"a model behind the file", "POST", transcribe, lateType, late, "", 400, "too late", ""},
		{"a file", "POST", files, fileType, file, "", 200, "", ""},
		{"a file that is refused", "POST", files, fileType, file, "closed", 403, "Not from there.", "closed"},
		{"a list", "GET", files, "", "", "", 200, "", ""},
		{"a list that is refused", "GET", files, "", "", "closed", 403, "Not from there.", "closed"},
		{"a list of nobody's", "GET", files, "", "", "nobody", 403, "rules", "nobody"},
		{"a batch that is refused", "POST", "/v1/batches", "application/json", `{"input_file_id":"file-x"}`, "closed", 403, "Not from there.", "closed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var header []string
			if c.place != "" {
				header = []string{"x-place", c.place}
			}
			status, h, body := send(c.method, c.path, c.contentType, c.body, header...)
			if status != c.status || !strings.Contains(body, c.says) {
				t.Errorf("status %d: %s", status, body)
			}
			if got := h.Get("x-dragoman-rule"); got != c.rule {
				t.Errorf("rule %q, want %q", got, c.rule)
			}
		})
	}

	t.Run("providers", func(t *testing.T) {
		status, h, body := send("POST", files, fileType, file, "x-place", "second")
		if status != 200 || h.Get("x-dragoman-provider") != "second" {
			t.Fatalf("status %d from %s: %s", status, h.Get("x-dragoman-provider"), body)
		}
		id := gjson.Get(body, "id").String()
		if status, _, body := send("GET", files+"/"+id, "", ""); status != 200 {
			t.Errorf("status %d: %s", status, body)
		}
		// What a rule keeps a request from is for it as if it were not there; so are the headers of the client's own.
		if status, _, body := send("GET", files+"/"+id, "", "", "x-dragoman-providers", "openai"); status != 404 {
			t.Errorf("status %d: %s", status, body)
		}
		if status, _, body := send("DELETE", files+"/"+id, "", "", "x-place", "second", "x-dragoman-providers", "second"); status != 200 {
			t.Errorf("status %d: %s", status, body)
		}
	})
	if n := metric(t, g, "dragoman_route_rules_total", `rule="body"`); n != 0 {
		t.Errorf("a rule about bodies held %v times", n)
	}
}
