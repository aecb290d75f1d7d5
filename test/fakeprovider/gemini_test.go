package fakeprovider_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
)

// geminiAsk posts a body and returns the status and the answer.
func geminiAsk(t *testing.T, f *fakeprovider.Server, path, body string, header ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, f.Origin()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if len(header) == 0 {
		header = []string{"X-Goog-Api-Key", f.Key()}
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(got)
}

// refusal is a request that is refused, with these words.
type refusal struct{ name, model, body, words string }

const geminiUser = `{"role":"user","parts":[{"text":"hi"}]}`

// geminiWith is a request with one more member, geminiConfig one with one more setting.
func geminiWith(member string) string { return `{"contents":[` + geminiUser + `],` + member + `}` }

func geminiConfig(member string) string { return geminiWith(`"generationConfig":{` + member + `}`) }

func geminiRefuses(t *testing.T, list []refusal) {
	t.Helper()
	f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini})
	for _, c := range list {
		t.Run(c.name, func(t *testing.T) {
			status, body := geminiAsk(t, f, "/v1beta/models/"+c.model+":generateContent", c.body)
			e := gjson.Get(body, "error")
			if status != 400 || e.Get("status").Str != "INVALID_ARGUMENT" || e.Get("code").Int() != 400 || !strings.Contains(body, c.words) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
}

// TestGeminiTakesEnumsInAnyCase: Google's own examples write them in lower case.
func TestGeminiTakesEnumsInAnyCase(t *testing.T) {
	f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini})
	for _, member := range []string{
		`"tools":[{"functionDeclarations":[{"name":"x","parameters":{"type":"object","properties":{"a":{"type":"Array","items":{"type":"string"}}}}}]}],"toolConfig":{"functionCallingConfig":{"mode":"any"}}`,
		`"generationConfig":{"responseModalities":["text"]}`,
	} {
		if status, body := geminiAsk(t, f, "/v1beta/models/gemini-2.5-flash:generateContent", geminiWith(member)); status != 200 {
			t.Errorf("%s: %d %s", member, status, body)
		}
	}
}

func TestGeminiRefusesMessages(t *testing.T) {
	const user = geminiUser
	const call = `{"role":"model","parts":[{"functionCall":{"name":"f","args":{}}}]}`
	const response = `{"functionResponse":{"name":"f","response":{"output":"x"}}}`
	contents := func(list ...string) string { return `{"contents":[` + strings.Join(list, ",") + `]}` }
	with, config := geminiWith, geminiConfig
	geminiRefuses(t, []refusal{
		{"no contents", "gemini-2.5-flash", `{}`, "contents is not specified"},
		{"unknown member", "gemini-2.5-flash", with(`"stream":true`), `Unknown name \"stream\": Cannot find field`},
		{"unknown member within", "gemini-2.5-flash", config(`"max_tokens":1`), `at 'generation_config'`},
		{"two spellings", "gemini-2.5-flash", with(`"toolConfig":{},"tool_config":{}`), "already set"},
		{"member of Vertex AI", "gemini-2.5-flash", with(`"modelArmorConfig":{}`), "Cannot find field"},
		{"wrong type", "gemini-2.5-flash", config(`"temperature":"warm"`), "TYPE_NUMBER"},
		{"wrong enum", "gemini-2.5-flash", with(`"toolConfig":{"functionCallingConfig":{"mode":"MUST"}}`), "TYPE_ENUM"},
		{"no base64", "gemini-2.5-flash", contents(`{"parts":[{"inlineData":{"mimeType":"image/png","data":"%%%"}}]}`), "TYPE_BYTE"},
		{"no list", "gemini-2.5-flash", `{"contents":` + user + `}`, "must be a list"},
		{"seed too large", "gemini-2.5-flash", config(`"seed":3000000000`), "TYPE_INT32"},
		{"role", "gemini-2.5-flash", contents(`{"role":"assistant","parts":[{"text":"x"}]}`), "valid role"},
		{"no parts", "gemini-2.5-flash", contents(`{"role":"user","parts":[]}`), "parts must not be empty"},
		{"empty part", "gemini-2.5-flash", contents(`{"parts":[{}]}`), "must have one initialized field"},
		{"two kinds in a part", "gemini-2.5-flash", contents(`{"parts":[{"text":"a","inlineData":{"mimeType":"image/png","data":""}}]}`), "oneof"},
		{"media type", "gemini-2.5-flash", contents(`{"parts":[{"inlineData":{"mimeType":"image/gif","data":""}}]}`), "Unsupported MIME type"},
		{"model first", "gemini-2.5-flash", contents(`{"role":"model","parts":[{"text":"x"}]}`), "begin with a user turn"},
		{"response without call", "gemini-2.5-flash", contents(user, `{"parts":[`+response+`]}`), "number of function response parts"},
		{"call without response", "gemini-2.5-flash", contents(user, call, user), "function response turn comes immediately after"},
		{"call at the end", "gemini-2.5-flash", contents(user, call), "function response turn comes immediately after"},
		{"call after the model's turn", "gemini-2.5-flash", contents(user, `{"role":"model","parts":[{"text":"x"}]}`, call, `{"parts":[`+response+`]}`), "comes immediately after a user turn"},
		{"call of the user", "gemini-2.5-flash", contents(`{"role":"user","parts":[{"functionCall":{"name":"f"}}]}`), "of the model"},
		{"D36 siblings", "gemini-3-pro-preview", contents(user, call, `{"parts":[`+response+`,{"text":"and"}]}`), "must not be mixed"},
		{"D79 signature missing", "gemini-3-pro-preview", contents(user, call, `{"parts":[`+response+`]}`), "missing a thought_signature"},
		{"D78 signature of somebody else", "gemini-2.5-flash", contents(user, strings.Replace(call, `}}]`, `},"thoughtSignature":"AAAA"}]`, 1), `{"parts":[`+response+`]}`), "Corrupted"},
	})
}

func TestGeminiRefusesToolsAndSettings(t *testing.T) {
	with, config := geminiWith, geminiConfig
	schema := func(s string) string { return config(`"responseMimeType":"application/json","responseSchema":` + s) }
	geminiRefuses(t, []refusal{
		{"D14 name", "gemini-2.5-flash", with(`"tools":[{"functionDeclarations":[{"name":"1/x"}]}]`), "Invalid function name"},
		{"twice the same name", "gemini-2.5-flash", with(`"tools":[{"functionDeclarations":[{"name":"x"},{"name":"x"}]}]`), "Duplicate"},
		{"D20 functions apart", "gemini-2.5-flash", with(`"tools":[{"functionDeclarations":[{"name":"x"}]},{"functionDeclarations":[{"name":"y"}]}]`), "Multiple tools"},
		{"D20 kinds together", "gemini-2.5-flash", with(`"tools":[{"functionDeclarations":[{"name":"x"}],"googleSearch":{}}]`), "one_of 'tool_type'"},
		{"allowed name", "gemini-2.5-flash", with(`"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["y"]}}`), "not declared"},
		{"D15 type", "gemini-2.5-flash", with(`"tools":[{"functionDeclarations":[{"name":"x","parameters":{"type":"STRING"}}]}]`), "should be of type OBJECT"},
		{"D15 no properties", "gemini-2.5-flash", with(`"tools":[{"functionDeclarations":[{"name":"x","parameters":{"type":"OBJECT","properties":{}}}]}]`), "should be non-empty"},
		{"D17 additionalProperties", "gemini-2.5-flash", schema(`{"type":"OBJECT","additionalProperties":false}`), "additionalProperties"},
		{"D17 $ref", "gemini-2.5-flash", schema(`{"$ref":"#/x"}`), "$ref"},
		{"D17 unknown type", "gemini-2.5-flash", schema(`{"type":"Thing"}`), "TYPE_ENUM"},
		{"D17 rules of a type in lower case", "gemini-2.5-flash", schema(`{"type":"array"}`), "missing field"},
		{"D17 no type", "gemini-2.5-flash", schema(`{"description":"x"}`), "must be specified"},
		{"D17 no items", "gemini-2.5-flash", schema(`{"type":"ARRAY"}`), "missing field"},
		{"D17 enum of numbers", "gemini-2.5-flash", schema(`{"type":"INTEGER","enum":["1"]}`), "only allowed for STRING"},
		{"D17 anyOf beside", "gemini-2.5-flash", schema(`{"type":"STRING","anyOf":[{"type":"STRING"}]}`), "only field set"},
		{"D17 format", "gemini-2.5-flash", schema(`{"type":"STRING","format":"email"}`), "are supported for STRING"},
		{"D17 required", "gemini-2.5-flash", schema(`{"type":"OBJECT","properties":{"a":{"type":"STRING"}},"required":["b"]}`), "not defined"},
		{"D17 nested", "gemini-2.5-flash", schema(`{"type":"OBJECT","properties":{"a":{"type":"ARRAY","items":{"type":"ARRAY"}}}}`), "missing field"},
		{"JSON Schema of an old model", "gemini-2.0-flash", config(`"responseMimeType":"application/json","responseJsonSchema":{}`), "not supported for model"},
		{"JSON Schema beside $ref", "gemini-2.5-flash", config(`"responseMimeType":"application/json","responseJsonSchema":{"properties":{"a":{"$ref":"#","description":"x"}}}`), "beside $ref"},
		{"schema without JSON", "gemini-2.5-flash", config(`"responseSchema":{"type":"STRING"}`), "only allowed for response mime type"},
		{"JSON with tools", "gemini-2.5-flash", with(`"tools":[{"functionDeclarations":[{"name":"x"}]}],"generationConfig":{"responseMimeType":"application/json"}`), "is unsupported"},
		{"D48 temperature", "gemini-2.5-flash", config(`"temperature":2.5`), "must be in the range"},
		{"D50 penalty", "gemini-2.5-flash", config(`"presencePenalty":0.5`), "Penalty is not enabled"},
		{"D53 stops", "gemini-2.5-flash", config(`"stopSequences":["1","2","3","4","5","6"]`), "must not be more than 5"},
		{"D59 level", "gemini-2.5-flash", config(`"thinkingConfig":{"thinkingLevel":"LOW"}`), "level is not supported"},
		{"D59 level of 3 Pro", "gemini-3-pro-preview", config(`"thinkingConfig":{"thinkingLevel":"MINIMAL"}`), "MINIMAL is not supported"},
		{"D59 both", "gemini-3-pro-preview", config(`"thinkingConfig":{"thinkingLevel":"LOW","thinkingBudget":5}`), "only set one of"},
		{"D59 budget", "gemini-2.5-pro", config(`"thinkingConfig":{"thinkingBudget":0}`), "is invalid"},
		{"D59 no thinker", "gemini-2.0-flash", config(`"thinkingConfig":{"includeThoughts":true}`), "not supported for this model"},
		{"logprobs", "gemini-2.5-flash", config(`"logprobs":3`), "only valid when"},
		{"not JSON", "gemini-2.5-flash", `{"contents":`, "Invalid JSON payload"},
	})
}

func TestGeminiCredentialsAndPaths(t *testing.T) {
	f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini})
	const studio, vertex = "/v1beta/models/gemini-2.5-flash:generateContent", "/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash:generateContent"
	const hello = `{"contents":[{"parts":[{"text":"hi"}]}]}`
	const withID = `{"contents":[{"parts":[{"text":"hi"}]},{"role":"model","parts":[{"functionCall":{"id":"1","name":"f"}}]},{"parts":[{"functionResponse":{"name":"f","response":{}}}]}]}`
	bearer := []string{"Authorization", "Bearer " + f.Key()}
	for _, c := range []struct {
		name, path, body string
		header           []string
		status           int
		word             string
	}{
		{"key", studio, hello, nil, 200, "echo: hi"},
		{"the newer version", strings.Replace(studio, "v1beta", "v1", 1), hello, nil, 200, "echo: hi"},
		{"wrong key", studio, hello, []string{"X-Goog-Api-Key", "nope"}, 400, "API_KEY_INVALID"},
		{"no key", studio, hello, []string{"Accept", "*/*"}, 403, "PERMISSION_DENIED"},
		{"token", vertex, hello, bearer, 200, "echo: hi"},
		{"wrong token", vertex, hello, []string{"Authorization", "Bearer x"}, 401, "UNAUTHENTICATED"},
		{"key for Vertex AI", vertex, hello, nil, 401, "UNAUTHENTICATED"},
		{"token for AI Studio", studio, hello, bearer, 401, "UNAUTHENTICATED"},
		{"D34 id at Vertex AI", vertex, withID, bearer, 400, `Unknown name \"id\"`},
		{"unknown model", "/v1beta/models/gpt-5:generateContent", hello, nil, 404, "NOT_FOUND"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if status, body := geminiAsk(t, f, c.path, c.body, c.header...); status != c.status || !strings.Contains(body, c.word) {
				t.Errorf("%d %s", status, body)
			}
		})
	}
	for _, path := range []string{"/v1beta/models/x:predict", "/v1beta/models/x:fly", "/v1beta/models/a/b:generateContent", "/v1beta/models/:generateContent", "/v1/projects/p/publishers/google/models/m:generateContent"} {
		if status, body := geminiAsk(t, f, path, hello); status != 404 {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	f.TakeUnexpected()
}

func TestGeminiStreams(t *testing.T) {
	f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini})
	const body = `{"contents":[{"parts":[{"text":"hi there"}]}],"generationConfig":{"candidateCount":2}}`
	_, events := geminiAsk(t, f, "/v1beta/models/gemini-3-flash-preview:streamGenerateContent?alt=sse", body)
	for _, line := range strings.Split(strings.TrimSpace(events), "\n\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok || !gjson.Valid(data) || !gjson.Get(data, "usageMetadata.promptTokenCount").Exists() {
			t.Errorf("event %q", line)
		}
	}
	if strings.Count(events, `"finishReason":"STOP"`) != 2 || strings.Contains(events, "[DONE]") {
		t.Errorf("%s", events)
	}
	status, array := geminiAsk(t, f, "/v1beta/models/gemini-3-flash-preview:streamGenerateContent", body)
	if status != 200 || !gjson.Valid(array) || len(gjson.Parse(array).Array()) < 4 {
		t.Errorf("%d %s", status, array)
	}
}

func TestGeminiFails(t *testing.T) {
	f := fakeprovider.Start(t, fakeprovider.Options{Schema: fakeprovider.Gemini})
	const hello = `{"contents":[{"parts":[{"text":"hi"}]}]}`
	for status, word := range map[int]string{429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"} {
		f.Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: status})
		got, body := geminiAsk(t, f, "/v1beta/models/gemini-2.5-flash:generateContent", hello)
		if got != status || gjson.Get(body, "error.status").Str != word || (status == 429) != strings.Contains(body, `"retryDelay":"7s"`) {
			t.Errorf("%d %s", got, body)
		}
	}
	f.Fail(1, fakeprovider.Fault{Kind: fakeprovider.ErrorEvent, After: 1, Status: 503})
	_, body := geminiAsk(t, f, "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse", hello)
	events := strings.Split(strings.TrimSpace(body), "\n\n")
	if len(events) != 2 || gjson.Get(strings.TrimPrefix(events[1], "data: "), "error.status").Str != "UNAVAILABLE" {
		t.Errorf("%s", body)
	}
}

func ExampleOptions_gemini() {
	f, err := fakeprovider.New(fakeprovider.Options{Schema: fakeprovider.Gemini})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	fmt.Println(f.Model(), f.URL() == f.Origin())
	// Output: gemini-3-flash-preview true
}
