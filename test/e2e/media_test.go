package e2e

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/internal/config"
	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// Keys of the tenants of mediaConfig.
const (
	trustedKey  = "dgm_test_trusted_0123456789"
	strangerKey = "dgm_test_stranger_0123456789"
)

// mediaConfig has a provider of each schema, one whose dialect takes bytes only, and lets one tenant have files fetched from the network
// that the test's own server is in.
const mediaFetch = `media: {fetch: {enabled: true, allow: ["127.0.0.2/32"], max_bytes: 100000, timeout: 500ms}}
`

func mediaConfig(media string) string {
	return `{{everyone}}  - {name: local, schema: openai, dialect: ollama, endpoint: {{endpoint "local"}}, credentials: [{secret: {env: {{keyvar "local"}}}}], models: [llava]}
routes:
- {model: first-openai, strategy: fallback, candidates: [openai/gpt-4.1, "bedrock/amazon.nova-2-lite-v1:0"]}
` + media + `tenants:
- {name: friend, trusted: true, keys: [{name: k, hash: "` + config.HashKey(trustedKey) + `"}]}
- {name: stranger, keys: [{name: k, hash: "` + config.HashKey(strangerKey) + `"}]}
`
}

func mediaGateway(t *testing.T, media string) *harness.Gateway {
	return harness.Start(t, harness.Options{Config: mediaConfig(media),
		Fakes: []fakeprovider.Options{harness.Default("openai"), {Schema: fakeprovider.OpenAI, Name: "local", Dialect: "ollama", Models: []string{"llava"}, Keys: []string{"sk-fake-local-0123456789"}}}})
}

var (
	picture, _ = base64.StdEncoding.DecodeString("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
	paper      = []byte("%PDF-1.4\n1 0 obj<<>>endobj\ntrailer<<>>\n%%EOF\n")
)

// fileServer is a web server on a loopback address of its own.
type fileServer struct {
	*httptest.Server
	asked atomic.Int64
}

func newFileServer(t *testing.T) *fileServer {
	l, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fileServer{}
	f.Server = &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(f.serve)}}
	f.Start()
	t.Cleanup(f.Close)
	return f
}

func (f *fileServer) serve(w http.ResponseWriter, r *http.Request) {
	f.asked.Add(1)
	if r.Header.Get("Authorization") != "" || strings.Contains(strings.ToLower(strings.Join(r.Header["User-Agent"], "")), "envoy") {
		w.WriteHeader(http.StatusTeapot) // nothing of the request goes along
		return
	}
	switch r.URL.Path {
	case "/picture":
		_, _ = w.Write(picture)
	case "/paper":
		_, _ = w.Write(paper)
	case "/moved":
		http.Redirect(w, r, "/picture", http.StatusFound)
	case "/inside":
		http.Redirect(w, r, "http://127.0.0.1:"+r.URL.Query().Get("port")+"/picture", http.StatusFound)
	case "/metadata":
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusFound)
	case "/large":
		_, _ = w.Write(append(picture[:len(picture):len(picture)], make([]byte, 200_000)...))
	case "/slow":
		<-r.Context().Done() // the gateway has lost its patience
	case "/text":
		_, _ = w.Write([]byte("<html>no picture</html>"))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// withImage is a question about a file in a client's schema.
func withImage(client, model, url string) (path, body string) {
	switch client {
	case "openai":
		return "/v1/chat/completions", `{"model":"` + model + `","messages":[{"role":"user","content":[{"type":"text","text":"tell me more about it"},{"type":"image_url","image_url":{"url":"` + url + `"}}]}]}`
	case "responses":
		return "/v1/responses", `{"model":"` + model + `","input":[{"role":"user","content":[{"type":"input_text","text":"tell me more about it"},{"type":"input_image","detail":"auto","image_url":"` + url + `"}]}]}`
	case "gemini":
		return "/v1beta/models/" + model + ":generateContent", `{"contents":[{"role":"user","parts":[{"text":"tell me more about it"},{"fileData":{"mimeType":"image/png","fileUri":"` + url + `"}}]}]}`
	case "cohere":
		return "/v2/chat", `{"model":"` + model + `","messages":[{"role":"user","content":[{"type":"text","text":"tell me more about it"},{"type":"image_url","image_url":{"url":"` + url + `"}}]}]}`
	}
	return "/v1/messages", `{"model":"` + model + `","max_tokens":100,"messages":[{"role":"user","content":[{"type":"text","text":"tell me more about it"},{"type":"image","source":{"type":"url","url":"` + url + `"}}]}]}`
}

const claudeAtBedrock = "bedrock/eu.anthropic.claude-haiku-4-5-20251001-v1:0"

// Every client may name an image by its URL, and providers that take bytes get bytes.
func TestMediaIsFetched(t *testing.T) {
	files, g := newFileServer(t), mediaGateway(t, mediaFetch)
	for _, client := range []string{"openai", "responses", "anthropic", "gemini", "cohere"} {
		for _, at := range []string{"/picture", "/moved"} {
			path, body := withImage(client, claudeAtBedrock, files.URL+at)
			a := post(t, g, path, body, "Authorization", "Bearer "+trustedKey)
			if a.status != 200 || !strings.Contains(string(a.body), reply) {
				t.Errorf("%s %s: %s", client, at, a)
				continue
			}
			if got := g.Fakes["bedrock"].Last().Get("messages.0.content.#(image).image"); got.Get("source.bytes").Str != base64.StdEncoding.EncodeToString(picture) || got.Get("format").Str != "png" {
				t.Errorf("%s %s: the provider got %.300s", client, at, got.Raw)
			}
		}
	}
	// A provider of the client's own schema that takes bytes only.
	path, body := withImage("openai", "local/llava", files.URL+"/picture")
	if a := post(t, g, path, body, "Authorization", "Bearer "+trustedKey); a.status != 200 || !strings.HasPrefix(g.Fakes["local"].Last().Get("messages.0.content.1.image_url.url").Str, "data:image/png;base64,") {
		t.Errorf("%s", a)
	}
	// A PDF under an image's name (D70).
	path, body = withImage("anthropic", claudeAtBedrock, files.URL+"/paper")
	if a := post(t, g, path, body, "Authorization", "Bearer "+trustedKey); a.status != 200 || g.Fakes["bedrock"].Last().Get("messages.0.content.#(document).document.format").Str != "pdf" {
		t.Errorf("%s", a)
	}
}

// A provider that fetches for itself gets the URL, and nothing is fetched; when it fails, the next one gets the bytes.
func TestMediaIsFetchedOnlyWhereItMustBe(t *testing.T) {
	files, g := newFileServer(t), mediaGateway(t, mediaFetch)
	path, body := withImage("anthropic", "first-openai", files.URL+"/picture")
	if a := post(t, g, path, body, "Authorization", "Bearer "+trustedKey); a.status != 200 || files.asked.Load() != 0 || g.OpenAI().Last().Get("messages.0.content.1.image_url.url").Str != files.URL+"/picture" {
		t.Errorf("%d fetched: %s", files.asked.Load(), a)
	}
	g.OpenAI().Fail(1, fakeprovider.Fault{Kind: fakeprovider.Status, Status: 503})
	if a := post(t, g, path, body, "Authorization", "Bearer "+trustedKey); a.status != 200 || a.header.Get("X-Dragoman-Provider") != "bedrock" || files.asked.Load() == 0 {
		t.Errorf("%d fetched: %s", files.asked.Load(), a)
	}
}

// What may not be fetched is refused as the client's mistake, and nobody inside is asked.
func TestMediaThatIsNotFetched(t *testing.T) {
	files, g := newFileServer(t), mediaGateway(t, mediaFetch)
	var inside atomic.Int64
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { inside.Add(1) }))
	defer private.Close()
	_, port, _ := net.SplitHostPort(private.Listener.Addr().String())
	ask := func(key, url string) *answer {
		path, body := withImage("openai", claudeAtBedrock, url)
		return post(t, g, path, body, "Authorization", "Bearer "+key)
	}
	for _, c := range []struct {
		key, url string
		status   int
		says     string
	}{
		{strangerKey, files.URL + "/picture", 400, "url"},
		{trustedKey, private.URL + "/picture", 400, "address that this gateway does not fetch from"},
		{trustedKey, "http://localhost:" + port + "/picture", 400, "address that this gateway does not fetch from"},
		{trustedKey, "http://[::1]:" + port + "/picture", 400, "address that this gateway does not fetch from"},
		{trustedKey, "http://2130706433:" + port + "/", 400, "fetch"}, // 127.0.0.1 as one number
		{trustedKey, "http://169.254.169.254/latest/meta-data/", 400, "address that this gateway does not fetch from"},
		{trustedKey, files.URL + "/inside?port=" + port, 400, "address that this gateway does not fetch from"},
		{trustedKey, files.URL + "/metadata", 400, "address that this gateway does not fetch from"},
		{trustedKey, strings.Replace(files.URL, "http://", "http://user:secret@", 1) + "/picture", 400, "password"},
		{trustedKey, "ftp://127.0.0.2/picture", 400, "http or https"},
		{trustedKey, files.URL + "/large", 413, "media.fetch.max_bytes"},
		{trustedKey, files.URL + "/slow", 408, "media.fetch.timeout"},
		{trustedKey, files.URL + "/text", 400, "no image"},
		{trustedKey, files.URL + "/missing", 400, "did not answer 200"},
	} {
		a := ask(c.key, c.url)
		wantFault(t, a, "openai", c.status, c.says)
		if param := gjson.GetBytes(a.body, "error.param").Str; !strings.HasPrefix(param, "messages[0].content[1]") {
			t.Errorf("%s: param %q", c.url, param)
		}
		if a.status == 408 && a.took > 5*time.Second {
			t.Errorf("%s took %v", c.url, a.took)
		}
	}
	if inside.Load() != 0 {
		t.Errorf("a private server was asked %d times", inside.Load())
	}
	if n := len(g.Fakes["bedrock"].Requests()); n != 0 {
		t.Errorf("the provider got %d requests", n)
	}
}

// By default nothing is fetched, for anyone.
func TestMediaFetchIsOffByDefault(t *testing.T) {
	files, g := newFileServer(t), mediaGateway(t, "")
	path, body := withImage("openai", claudeAtBedrock, files.URL+"/picture")
	wantFault(t, post(t, g, path, body, "Authorization", "Bearer "+trustedKey), "openai", 400, "url")
	if files.asked.Load() != 0 {
		t.Error("a file was fetched")
	}
}
