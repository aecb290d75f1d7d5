package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
	"dragoman/test/sdk"
)

// Keys of the tenants of passConfig.
const (
	passAcmeKey    = "dgm_test_acme_0123456789"
	passBetaKey    = "dgm_test_beta_0123456789"
	passNarrowKey  = "dgm_test_narrow_0123456789"
	passLimitedKey = "dgm_test_limited_0123456789"
)

// passConfig has two accounts of OpenAI's schema, an Anthropic provider, and tenants. The second account is a provider's that is not known
// by name.
var passConfig = `providers:
{{provider "openai"}}{{provider "second"}}    apis: [completions, files, batches]
{{provider "anthropic"}}
objects: {secret: {env: OBJECT_SECRET}}
limits: {max_upload_bytes: 20971520, max_body_bytes: 1048576}
models:
- {name: scribe, provider: openai, id: whisper-1, aliases: [ears]}
- {name: voice, provider: openai, id: tts-1}
routes:
- {model: complete, strategy: fallback, candidates: [{model: second/gpt-3.5-turbo-instruct}, {model: openai/gpt-3.5-turbo-instruct}]}
tenants:
- name: acme
  keys: [{name: k, hash: "` + config.HashKey(passAcmeKey) + `"}, {name: narrow, hash: "` + config.HashKey(passNarrowKey) + `", models: [scribe, voice]}]
- name: beta
  keys: [{name: k, hash: "` + config.HashKey(passBetaKey) + `"}]
- name: limited
  limits: {requests_per_minute: 3}
  keys: [{name: k, hash: "` + config.HashKey(passLimitedKey) + `"}]
`

func passGateway(t *testing.T) *harness.Gateway {
	t.Helper()
	return harness.Start(t, harness.Options{
		Fakes:  []fakeprovider.Options{{Schema: fakeprovider.OpenAI}, {Schema: fakeprovider.OpenAI, Name: "second", Keys: []string{"sk-fake-second-0123456789"}}, {Schema: fakeprovider.Anthropic}},
		Config: passConfig,
		Env:    map[string]string{"OBJECT_SECRET": "a secret that is long enough"},
	})
}

func passClient(g *harness.Gateway, key string) openai.Client {
	return openai.NewClient(openaioption.WithBaseURL(g.URL+"/v1"), openaioption.WithAPIKey(key), openaioption.WithMaxRetries(0), openaioption.WithHTTPClient(g.HTTP))
}

func TestPassGoSDK(t *testing.T) {
	g := passGateway(t)
	for _, c := range sdk.PassCases() {
		t.Run(c.Name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if err := c.Run(ctx, g.Target(passAcmeKey, "")); err != nil {
				t.Error(err)
			}
		})
	}
	g.CheckFakes(t)
}

func TestPassPythonSDK(t *testing.T) {
	g := passGateway(t)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	report, err := sdk.Python(ctx, g.Target(passAcmeKey, ""), []string{"openai"}, sdk.PythonOptions{Client: "pass"})
	if err != nil {
		t.Fatal(err)
	}
	if len(report) < 10 {
		t.Errorf("only %d cases ran", len(report))
	}
	for name, result := range report {
		if result != "ok" {
			t.Errorf("%s: %s", name, result)
		}
	}
}

// call is one request as bytes.
func call(t *testing.T, g *harness.Gateway, key, method, path, contentType, body string, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, g.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := g.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(got)
}

// form is a multipart body: fields as name=value, then a file, then fields behind it.
func form(content []byte, before []string, after ...string) (contentType, body string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	field := func(f string) {
		name, value, _ := strings.Cut(f, "=")
		_ = w.WriteField(name, value)
	}
	for _, f := range before {
		field(f)
	}
	if content != nil {
		p, _ := w.CreateFormFile("file", "notes.jsonl")
		_, _ = p.Write(content)
	}
	for _, f := range after {
		field(f)
	}
	_ = w.Close()
	return w.FormDataContentType(), b.String()
}

func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return b
}

// TestPassUploadModel: where the model is looked for, and what a key may reach by it.
func TestPassUploadModel(t *testing.T) {
	g := passGateway(t)
	sound := noise(300 << 10)
	for name, c := range map[string]struct {
		key           string
		before, after []string
		header        []string
		status        int
		model, code   string
	}{
		"before the file":           {passAcmeKey, []string{"model=openai/whisper-1"}, nil, nil, 200, "whisper-1", ""},
		"an alias":                  {passAcmeKey, []string{"model=ears"}, nil, nil, 200, "whisper-1", ""},
		"allowed to a narrow key":   {passNarrowKey, []string{"model=scribe"}, nil, nil, 200, "whisper-1", ""},
		"forbidden to a narrow key": {passNarrowKey, []string{"model=openai/gpt-4o-transcribe"}, nil, nil, 403, "", "model_not_allowed"},
		"in the header":             {passAcmeKey, nil, []string{"model=whisper-1"}, []string{"x-dragoman-model", "scribe"}, 200, "whisper-1", ""},
		"header says another":       {passNarrowKey, nil, []string{"model=gpt-4o-transcribe"}, []string{"x-dragoman-model", "scribe"}, 400, "", ""},
		"behind the file":           {passAcmeKey, nil, []string{"model=whisper-1"}, nil, 200, "whisper-1", ""},
		"behind, of a narrow key":   {passNarrowKey, nil, []string{"model=whisper-1"}, nil, 403, "", "model_not_allowed"},
		"twice":                     {passAcmeKey, []string{"model=scribe"}, []string{"model=gpt-4o-transcribe"}, nil, 400, "", ""},
		"unknown":                   {passAcmeKey, []string{"model=nothing"}, nil, nil, 404, "", "model_not_found"},
		"of Anthropic":              {passAcmeKey, []string{"model=anthropic/claude-haiku-4-5"}, nil, nil, 400, "", "unsupported_by_provider"},
		"of a provider without":     {passAcmeKey, []string{"model=second/whisper-1"}, nil, nil, 400, "", "unsupported_by_provider"},
	} {
		t.Run(name, func(t *testing.T) {
			contentType, body := form(sound, c.before, c.after...)
			before := g.OpenAI().Counters().Complete
			status, header, got := call(t, g, c.key, "POST", "/v1/audio/transcriptions", contentType, body, c.header...)
			if status != c.status {
				t.Fatalf("status %d, want %d: %s", status, c.status, got)
			}
			if c.status != 200 {
				if err := shapeError("openai", []byte(got)); err != nil {
					t.Error(err)
				}
				if code := gjson.Get(got, "error.code").Str; code != c.code {
					t.Errorf("code %q, want %q", code, c.code)
				}
				if n := g.OpenAI().Counters().Complete; n != before {
					t.Errorf("the provider answered %d requests", n-before)
				}
				return
			}
			if text := gjson.Get(got, "text").Str; text != fakeprovider.Transcript(sound) {
				t.Errorf("the provider heard %s", text)
			}
			if last := g.OpenAI().Last(); !bytes.Contains(last.Body, []byte("name=\"model\"\r\n\r\n"+c.model+"\r\n")) && c.after == nil {
				t.Errorf("the provider was asked for another model than %s", c.model)
			}
			if header.Get("X-Dragoman-Provider") != "openai" {
				t.Errorf("headers %v", header)
			}
		})
	}
	g.CheckFakes(t)
}

// TestPassLargeUpload: an upload larger than what the gateway holds of any body passes; one over its own limit does not.
func TestPassLargeUpload(t *testing.T) {
	g := passGateway(t)
	sound := noise(8 << 20) // limits.max_body_bytes is 1 MiB
	contentType, body := form(sound, []string{"model=ears", "response_format=text"})
	status, header, got := call(t, g, passAcmeKey, "POST", "/audio/transcriptions", contentType, body)
	if status != 200 || got != fakeprovider.Transcript(sound)+"\n" || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Fatalf("status %d, %s, %v", status, got, header)
	}
	if last := g.OpenAI().Last(); last.Header.Get("Content-Length") == "" || last.Header.Get("Transfer-Encoding") != "" {
		t.Errorf("the upload's length was lost: %v", last.Header)
	}

	// The same without a length.
	req, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/v1/audio/transcriptions", struct{ io.Reader }{strings.NewReader(body)})
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+passAcmeKey)
	req.Header.Set("Content-Type", contentType)
	resp, err := g.HTTP.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || string(text) != fakeprovider.Transcript(sound)+"\n" {
		t.Errorf("chunked: status %d, %s", resp.StatusCode, text)
	}

	contentType, body = form(noise(21<<20), []string{"model=ears"})
	if status, _, got := call(t, g, passAcmeKey, "POST", "/v1/audio/transcriptions", contentType, body); status != 413 || !strings.Contains(got, "max_upload_bytes") {
		t.Errorf("over the limit: status %d, %s", status, got)
	}
	g.CheckFakes(t)
}

// TestPassBrokenUploads: an upload that stops half way, or is none, ends at the provider too, and the gateway goes on.
func TestPassBrokenUploads(t *testing.T) {
	g := passGateway(t)
	contentType, body := form(noise(1<<20), []string{"model=ears"})

	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n", passAcmeKey, contentType)
	half := body[:len(body)/2]
	fmt.Fprintf(conn, "%x\r\n%s\r\n", len(half), half)
	waitFor(t, "the provider to see the upload begin", func() bool { return g.OpenAI().Counters().InFlight == 1 })
	conn.Close()
	waitFor(t, "the provider's request to end", func() bool { return g.OpenAI().Counters().InFlight == 0 })
	if n := g.OpenAI().Counters().Complete; n != 0 {
		t.Errorf("%d complete answers to half an upload", n)
	}

	for name, c := range map[string]struct{ contentType, body string }{
		"cut before the end":   {contentType, body[:len(body)-10]},
		"cut early":            {contentType, body[:1000]},
		"not multipart":        {"application/json", `{"model":"scribe"}`},
		"no boundary":          {"multipart/form-data", body},
		"another boundary":     {"multipart/form-data; boundary=abc", body},
		"bare line feeds":      {"multipart/form-data; boundary=abc", "--abc\nContent-Disposition: form-data; name=\"model\"\n\nscribe\n--abc--\n"},
		"hidden second model":  {"multipart/form-data; boundary=abc", "--abc\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nscribe\n--abc\nContent-Disposition: form-data; name=\"model\"\r\n\r\nother\r\n--abc--\r\n"},
		"name with a charset":  {"multipart/form-data; boundary=abc", "--abc\r\nContent-Disposition: form-data; name*=utf-8''mod%65l\r\n\r\nscribe\r\n--abc--\r\n"},
		"something behind it":  {"multipart/form-data; boundary=abc", "--abc\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nscribe\r\n--abc--\r\nGET / HTTP/1.1\r\n"},
		"an encoded part":      {"multipart/form-data; boundary=abc", "--abc\r\nContent-Disposition: form-data; name=\"model\"\r\nContent-Transfer-Encoding: base64\r\n\r\nc2NyaWJl\r\n--abc--\r\n"},
		"an endless part head": {"multipart/form-data; boundary=abc", "--abc\r\nContent-Disposition: " + strings.Repeat("x", 100<<10)},
	} {
		status, _, got := call(t, g, passAcmeKey, "POST", "/v1/audio/transcriptions", c.contentType, c.body)
		if status != 400 || shapeError("openai", []byte(got)) != nil {
			t.Errorf("%s: status %d, %.300s", name, status, got)
		}
	}
	if status, _, got := call(t, g, passAcmeKey, "POST", "/v1/audio/transcriptions", contentType, body); status != 200 {
		t.Errorf("afterwards: status %d, %s", status, got)
	}
	g.CheckFakes(t)
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestPassEarlyAnswer: a provider that refuses an upload at once, without reading it.
func TestPassEarlyAnswer(t *testing.T) {
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		_, _ = io.WriteString(w, `{"error":{"message":"Maximum content size limit exceeded","type":"invalid_request_error","param":null,"code":null}}`)
	}))
	defer refusing.Close()
	g := harness.Start(t, harness.Options{Config: "providers:\n- {name: early, schema: openai, endpoint: \"" + refusing.URL + "\", apis: [audio], models: [whisper-1]}\n"})
	contentType, body := form(noise(6<<20), []string{"model=early/whisper-1"})
	answers := 0
	for range 5 {
		req, err := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/v1/audio/transcriptions", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", contentType)
		resp, err := g.HTTP.Do(req)
		if err != nil {
			continue // the answer may be overtaken by the end of the connection that is still written to (RFC 9112, 9.3)
		}
		answers++
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 413 || !bytes.Contains(got, []byte("Maximum content size")) {
			t.Errorf("status %d, %s", resp.StatusCode, got)
		}
	}
	if answers == 0 {
		t.Error("no answer came through")
	}
}

// TestPassObjectsBelongToTheirTenant: nobody else can see, read, use or delete what a tenant made through the shared key.
func TestPassObjectsBelongToTheirTenant(t *testing.T) {
	g := passGateway(t)
	ctx := t.Context()
	acme, beta := passClient(g, passAcmeKey), passClient(g, passBetaKey)
	upload := func(c openai.Client, text string, opts ...openaioption.RequestOption) *openai.FileObject {
		f, err := c.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(strings.NewReader(text), "requests.jsonl", "application/jsonl")}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	mine, theirs := upload(acme, "{\"acme\":1}\n"), upload(beta, "{\"beta\":1}\n")
	if mine.Filename != "requests.jsonl" || mine.Purpose != "batch" || mine.Bytes != 11 || !strings.Contains(mine.ID, ".") {
		t.Errorf("made %+v", mine)
	}
	batch, err := beta.Batches.New(ctx, openai.BatchNewParams{InputFileID: theirs.ID, Endpoint: "/v1/chat/completions", CompletionWindow: "24h", Metadata: map[string]string{"job": "7"}})
	if err != nil {
		t.Fatal(err)
	}
	if batch.Metadata["job"] != "7" || len(batch.Metadata) != 1 || batch.InputFileID != theirs.ID {
		t.Errorf("made %+v", batch)
	}
	plain, names := g.OpenAI().Objects()
	if len(plain) != 3 {
		t.Fatalf("the provider has %v", plain)
	}
	for _, n := range names {
		if !strings.HasPrefix(n, "dgm-") || !strings.HasSuffix(n, "-requests.jsonl") {
			t.Errorf("a file is called %s at the provider", n)
		}
	}
	count := g.OpenAI().Counters().Requests
	for name, id := range map[string]string{"of another tenant": theirs.ID, "of the provider": plain[1], "forged": plain[1] + mine.ID[strings.Index(mine.ID, "."):]} {
		for what, try := range map[string]func() error{
			"retrieve": func() error { _, err := acme.Files.Get(ctx, id); return err },
			"delete":   func() error { _, err := acme.Files.Delete(ctx, id); return err },
			"content": func() error {
				r, err := acme.Files.Content(ctx, id)
				if err == nil {
					r.Body.Close()
				}
				return err
			},
		} {
			if err := try(); status(err) != 404 {
				t.Errorf("%s a file %s: %v", what, name, err)
			}
		}
		if _, err := acme.Batches.New(ctx, openai.BatchNewParams{InputFileID: id, Endpoint: "/v1/chat/completions", CompletionWindow: "24h"}); status(err) != 400 {
			t.Errorf("a batch of a file %s: %v", name, err)
		}
	}
	for _, id := range []string{batch.ID, plain[2]} {
		if _, err := acme.Batches.Get(ctx, id); status(err) != 404 {
			t.Errorf("retrieve a batch: %v", err)
		}
		if _, err := acme.Batches.Cancel(ctx, id); status(err) != 404 {
			t.Errorf("cancel a batch: %v", err)
		}
	}
	if n := g.OpenAI().Counters().Requests; n != count {
		t.Errorf("%d of these requests reached the provider", n-count)
	}
	checkBatch(t, beta, batch.ID)
	checkFileOwner(t, acme, mine)
	if err := errors.Join(onlyFiles(ctx, acme), onlyFiles(ctx, beta, theirs.ID)); err != nil {
		t.Error(err)
	}
	g.CheckFakes(t)
}

// checkBatch: the owner sees its batch, and the file that came of it.
func checkBatch(t *testing.T, c openai.Client, id string) {
	t.Helper()
	b, err := c.Batches.Get(t.Context(), id)
	if err != nil || b.Status != "completed" {
		t.Fatalf("got %+v, %v", b, err)
	}
	r, err := c.Files.Content(t.Context(), b.OutputFileID)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if text, _ := io.ReadAll(r.Body); !strings.Contains(string(text), "custom_id") {
		t.Errorf("the result is %s", text)
	}
	if c, err := c.Batches.Cancel(t.Context(), id); err != nil || c.ID != id || c.Status != "cancelling" {
		t.Errorf("cancel: %+v, %v", c, err)
	}
}

// checkFileOwner: the owner can do all of it.
func checkFileOwner(t *testing.T, c openai.Client, f *openai.FileObject) {
	t.Helper()
	if got, err := c.Files.Get(t.Context(), f.ID); err != nil || got.ID != f.ID || got.Filename != f.Filename {
		t.Errorf("retrieve: %+v, %v", got, err)
	}
	if err := onlyFiles(t.Context(), c, f.ID); err != nil {
		t.Error(err)
	}
	if got, err := c.Files.Delete(t.Context(), f.ID); err != nil || !got.Deleted || got.ID != f.ID {
		t.Errorf("delete: %+v, %v", got, err)
	}
}

// onlyFiles pages through a list, two at a time, and wants these files.
func onlyFiles(ctx context.Context, c openai.Client, want ...string) error {
	var got []string
	pages := c.Files.ListAutoPaging(ctx, openai.FileListParams{Limit: openai.Int(2)})
	for pages.Next() {
		got = append(got, pages.Current().ID)
	}
	if pages.Err() != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("listed %v, want %v: %w", got, want, pages.Err())
	}
	return nil
}

// TestPassListsGoThroughEverything: pages stay whole although the provider's are full of other tenants' objects, and go on in the next
// account.
func TestPassListsGoThroughEverything(t *testing.T) {
	g := passGateway(t)
	ctx := t.Context()
	acme, beta := passClient(g, passAcmeKey), passClient(g, passBetaKey)
	inSecond := openaioption.WithHeader("x-dragoman-model", "second/gpt-3.5-turbo-instruct")
	make := func(c openai.Client, opts ...openaioption.RequestOption) (file, batch string) {
		f, err := c.Files.New(ctx, openai.FileNewParams{Purpose: openai.FilePurposeBatch, File: openai.File(strings.NewReader("{}\n"), "r.jsonl", "application/jsonl")}, opts...)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.Batches.New(ctx, openai.BatchNewParams{InputFileID: f.ID, Endpoint: "/v1/chat/completions", CompletionWindow: "24h"})
		if err != nil {
			t.Fatal(err)
		}
		return f.ID, b.ID
	}
	var files, batches []string
	add := func(f, b string) { files, batches = append(files, f), append(batches, b) }
	add(make(acme))
	for range 120 { // more than a page of the provider's
		make(beta)
	}
	add(make(acme))
	add(make(acme))
	newest := []string{files[2], files[1], files[0]}
	newestBatches := []string{batches[2], batches[1], batches[0]}
	f, b := make(acme, inSecond)
	newest, newestBatches = append(newest, f), append(newestBatches, b)
	if _, names := g.Fakes["second"].Objects(); len(names) != 1 {
		t.Fatalf("the second account has files %v", names)
	}
	if err := onlyFiles(ctx, acme, newest...); err != nil {
		t.Error(err)
	}
	var got []string
	pages := acme.Batches.ListAutoPaging(ctx, openai.BatchListParams{Limit: openai.Int(2)})
	for pages.Next() {
		if pages.Current().Metadata != nil {
			t.Errorf("metadata %v", pages.Current().Metadata)
		}
		got = append(got, pages.Current().ID)
	}
	if pages.Err() != nil || fmt.Sprint(got) != fmt.Sprint(newestBatches) {
		t.Errorf("listed %v, want %v: %v", got, newestBatches, pages.Err())
	}
	status, _, text := call(t, g, passAcmeKey, "GET", "/v1/files?limit=0", "", "")
	if status != 400 {
		t.Errorf("limit=0: %d %s", status, text)
	}
	for _, query := range []string{"after=file-unknown", "after=" + plainID(g), "colour=red", "limit=1&limit=2"} {
		if status, _, text := call(t, g, passAcmeKey, "GET", "/v1/files?"+query, "", ""); status != 400 || shapeError("openai", []byte(text)) != nil {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
	g.CheckFakes(t)
}

func plainID(g *harness.Gateway) string {
	ids, _ := g.OpenAI().Objects()
	return ids[0]
}

// TestPassRefusals: what the operations refuse, and how.
func TestPassRefusals(t *testing.T) {
	g := passGateway(t)
	js := "application/json"
	for name, c := range map[string]struct {
		key, method, path, contentType, body string
		status                               int
	}{
		"unknown key":                {"wrong", "GET", "/v1/files", "", "", 401},
		"only Anthropic has it":      {passAcmeKey, "POST", "/v1/completions", js, `{"model":"anthropic/claude-haiku-4-5","prompt":"x"}`, 400},
		"provider without the API":   {passAcmeKey, "POST", "/v1/moderations", js, `{"model":"second/omni-moderation-latest","input":"x"}`, 400},
		"forbidden model":            {passNarrowKey, "POST", "/v1/images/generations", js, `{"model":"openai/gpt-image-1","prompt":"x"}`, 403},
		"default of a narrow key":    {passNarrowKey, "POST", "/v1/moderations", js, `{"input":"x"}`, 403},
		"batches of a narrow key":    {passNarrowKey, "POST", "/v1/batches", js, `{"input_file_id":"x"}`, 403},
		"no model":                   {passAcmeKey, "POST", "/v1/completions", js, `{"prompt":"x"}`, 400},
		"two models":                 {passAcmeKey, "POST", "/v1/audio/speech", js, `{"model":"voice","model":"tts-1","input":"x","voice":"alloy"}`, 400},
		"not JSON":                   {passAcmeKey, "POST", "/v1/moderations", js, `{"input":`, 400},
		"batch without a file":       {passAcmeKey, "POST", "/v1/batches", js, `{"endpoint":"/v1/chat/completions"}`, 400},
		"batch without a body":       {passAcmeKey, "POST", "/v1/batches", "", "", 400},
		"no such method":             {passAcmeKey, "PUT", "/v1/files", js, `{}`, 405},
		"no such path":               {passAcmeKey, "GET", "/v1/files/a/b", "", "", 404},
		"delete with a body":         {passAcmeKey, "DELETE", "/v1/files/x", js, `{"a":1}`, 404},
		"out of the path":            {passAcmeKey, "GET", "/v1/files/..%2fmodels", "", "", 404},
		"body over the limit":        {passAcmeKey, "POST", "/v1/audio/speech", js, `{"model":"voice","voice":"alloy","input":"` + strings.Repeat("x", 1<<20) + `"}`, 413},
		"provider refuses the voice": {passAcmeKey, "POST", "/v1/audio/speech", js, `{"model":"voice","input":"x"}`, 400},
	} {
		status, _, got := call(t, g, c.key, c.method, c.path, c.contentType, c.body)
		if status != c.status || shapeError("openai", []byte(got)) != nil {
			t.Errorf("%s: status %d, want %d: %.300s", name, status, c.status, got)
		}
	}
	for i := range 5 {
		status, _, got := call(t, g, passLimitedKey, "POST", "/v1/moderations", js, `{"input":"x"}`)
		if want := map[bool]int{true: 200, false: 429}[i < 3]; status != want {
			t.Errorf("request %d of a limited tenant: status %d, want %d: %s", i, status, want, got)
		}
	}
	g.CheckFakes(t)
}

// TestPassFailover: JSON operations fail over between providers of the schema, as chat does.
func TestPassFailover(t *testing.T) {
	g := passGateway(t)
	for _, stream := range []bool{false, true} {
		g.Fakes["second"].Script(fakeprovider.Rule{Times: 1, Fault: &fakeprovider.Fault{Kind: fakeprovider.Status, Status: 503}})
		status, header, got := call(t, g, passAcmeKey, "POST", "/v1/completions", "application/json", fmt.Sprintf(`{"model":"complete","prompt":"hello there","stream":%v}`, stream))
		if status != 200 || !strings.Contains(got, "echo") || header.Get("X-Dragoman-Attempts") != "2" || header.Get("X-Dragoman-Provider") != "openai" {
			t.Errorf("stream %v: status %d, %v, %s", stream, status, header, got)
		}
		if stream && (strings.Contains(got, "prompt_tokens") || !strings.HasSuffix(got, "data: [DONE]\n\n")) {
			t.Errorf("the stream is %s", got)
		}
	}
	g.CheckFakes(t)
}

// TestPassRawAnswers: sound passes as it is, and is never ended cleanly half way.
func TestPassRawAnswers(t *testing.T) {
	g := passGateway(t)
	speak := func(extra string) (int, http.Header, string, error) {
		req, _ := http.NewRequestWithContext(t.Context(), "POST", g.URL+"/v1/audio/speech", strings.NewReader(`{"model":"voice","input":"good morning","voice":"alloy"`+extra+`}`))
		req.Header.Set("Authorization", "Bearer "+passAcmeKey)
		resp, err := g.HTTP.Do(req)
		if err != nil {
			return 0, nil, "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return resp.StatusCode, resp.Header, string(b), err
	}
	status, header, got, err := speak("")
	if status != 200 || err != nil || got != string(fakeprovider.Sound("good morning")) || header.Get("Content-Type") != "audio/mpeg" {
		t.Errorf("status %d, %v, %d bytes, %v", status, header, len(got), err)
	}
	if header.Get("Set-Cookie") != "" || header.Get("Openai-Organization") != "" {
		t.Errorf("headers of the provider passed: %v", header)
	}
	if status, _, got, err := speak(`,"stream_format":"sse"`); status != 200 || err != nil || strings.Count(got, "data:") != 2 {
		t.Errorf("events: status %d, %s, %v", status, got, err)
	}
	g.OpenAI().Script(fakeprovider.Rule{Times: 1, Fault: &fakeprovider.Fault{Kind: fakeprovider.Cut}})
	if _, _, got, err := speak(""); err == nil {
		t.Errorf("a sound that was cut ends cleanly after %d bytes", len(got))
	}
	g.CheckFakes(t)
}

// TestPassStall: a provider that stops in the middle of a sound is given up, and the client's connection is broken.
func TestPassStall(t *testing.T) {
	g := harness.Start(t, harness.Options{Config: "{{providers}}retry: {idle_timeout: 500ms}\n"})
	g.OpenAI().Script(fakeprovider.Rule{Times: 1, Fault: &fakeprovider.Fault{Kind: fakeprovider.Stall}})
	begin := time.Now()
	resp, err := g.HTTP.Post(g.URL+"/v1/audio/speech", "application/json", strings.NewReader(`{"model":"openai/tts-1","input":"good morning","voice":"alloy"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if took := time.Since(begin); err == nil || took > 10*time.Second || len(got) == 0 {
		t.Errorf("%d bytes, %v after %v", len(got), err, took)
	}
	waitFor(t, "the provider's request to end", func() bool { return g.OpenAI().Counters().InFlight == 0 })
}

// TestPassIDsSurviveARestart: with a secret in the config, ids are good in the next process.
func TestPassIDsSurviveARestart(t *testing.T) {
	first := passGateway(t)
	client := passClient(first, passAcmeKey)
	f, err := client.Files.New(t.Context(), openai.FileNewParams{Purpose: openai.FilePurposeUserData, File: openai.File(strings.NewReader("text"), "a.txt", "text/plain")})
	if err != nil {
		t.Fatal(err)
	}
	if err := first.RestartDragoman(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, err := client.Files.Get(t.Context(), f.ID); err != nil || got.Filename != "a.txt" {
		t.Errorf("after a restart: %+v, %v", got, err)
	}
}
