package demo

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// exact are options under which an answer is the same each time.
var exact = Options{Pace: -1, Now: func() time.Time { return time.Unix(1_700_000_000, 0) }, ID: func() string { return "1" }}

func post(h http.Handler, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	return w
}

func TestBadRequestsAreAnsweredInTheSchema(t *testing.T) {
	nested := `{"model":"m","messages":` + strings.Repeat("[", 20_000)
	cases := []struct{ name, body, param string }{
		{"empty", ``, ""},
		{"not JSON", `{"model":`, ""},
		{"nested without end", nested, ""},
		{"wrong type", `{"model":1,"messages":[]}`, "model"},
		{"no model", `{"messages":[{"role":"user","content":"x"}],"max_tokens":5}`, "model"},
		{"no messages", `{"model":"m","messages":[],"max_tokens":5}`, "messages"},
		{"null message", `{"model":"m","messages":[null],"max_tokens":5}`, "messages[0].role"},
		{"negative limit", `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":-1}`, "max_tokens"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := post(OpenAI(exact), "/v1/chat/completions", c.body)
			if want := `"type":"invalid_request_error"`; w.Code != 400 || !strings.Contains(w.Body.String(), want) || !strings.Contains(w.Body.String(), c.param) {
				t.Errorf("openai: got %d %s", w.Code, w.Body)
			}
			w = post(Anthropic(exact), "/v1/messages", c.body)
			if want := `{"error":{"message":`; w.Code != 400 || !strings.HasPrefix(w.Body.String(), want) || !strings.Contains(w.Body.String(), `"type":"error"`) || !strings.Contains(w.Body.String(), c.param) {
				t.Errorf("anthropic: got %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestTooLargeBody(t *testing.T) {
	body := bytes.Repeat([]byte(" "), maxBody+1)
	w := httptest.NewRecorder()
	OpenAI(exact).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", bytes.NewReader(body)))
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("openai: got %d", w.Code)
	}
	w = httptest.NewRecorder()
	Anthropic(exact).ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/messages", bytes.NewReader(body)))
	if w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(w.Body.String(), "request_too_large") {
		t.Errorf("anthropic: got %d %s", w.Code, w.Body)
	}
}

func TestOnlyOneAnswer(t *testing.T) {
	w := post(OpenAI(exact), "/v1/chat/completions", `{"model":"m","n":2,"messages":[{"role":"user","content":"x"}]}`)
	if w.Code != 400 || !strings.Contains(w.Body.String(), `"param":"n"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestAnthropicNeedsMaxTokens(t *testing.T) {
	w := post(Anthropic(exact), "/v1/messages", `{"model":"m","messages":[{"role":"user","content":"x"}]}`)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "max_tokens: Field required.") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestOtherPathsAndMethods(t *testing.T) {
	for _, c := range []struct {
		handler            http.Handler
		method, path, want string
		status             int
	}{
		{OpenAI(exact), http.MethodGet, "/v1/models", `"id":"demo-openai"`, 200},
		{Anthropic(exact), http.MethodGet, "/v1/models", `"id":"demo-anthropic"`, 200},
		{OpenAI(exact), http.MethodPost, "/v1/embeddings", `"code":"unknown_url"`, 404},
		{Anthropic(exact), http.MethodPost, "/v1/complete", `"type":"not_found_error"`, 404},
		{OpenAI(exact), http.MethodGet, "/v1/chat/completions", `"code":"unknown_url"`, 404},
	} {
		w := httptest.NewRecorder()
		c.handler.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: got %d %s", c.method, c.path, w.Code, w.Body)
		}
	}
}

func TestTheMagicTextFails(t *testing.T) {
	body := func(text string) string {
		return `{"model":"m","max_tokens":500,"messages":[{"role":"user","content":"fail please"},{"role":"user","content":[{"type":"image"},{"type":"text","text":"` + text + `"}]}]}`
	}
	for _, c := range []struct {
		text              string
		openAI, anthropic int
	}{
		{"hello", 200, 200}, // only the last user text counts
		{"Fail please!", 503, 200},
		{"fail everywhere please", 503, 529},
		{"fail", 200, 200},
	} {
		if got := post(OpenAI(exact), "/v1/chat/completions", body(c.text)).Code; got != c.openAI {
			t.Errorf("openai, %q: got %d, want %d", c.text, got, c.openAI)
		}
		if got := post(Anthropic(exact), "/v1/messages", body(c.text)).Code; got != c.anthropic {
			t.Errorf("anthropic, %q: got %d, want %d", c.text, got, c.anthropic)
		}
	}
}

func TestTooManyInFlight(t *testing.T) {
	release := make(chan struct{})
	entered := make(chan struct{}, maxInFlight)
	h := limited(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { entered <- struct{}{}; <-release }),
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) })
	done := make(chan struct{}, maxInFlight)
	for range maxInFlight {
		go func() { post(h, "/", ""); done <- struct{}{} }()
	}
	for range maxInFlight {
		<-entered
	}
	if w := post(h, "/", ""); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("got %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	close(release)
	for range maxInFlight {
		<-done
	}
	go post(h, "/", "")
	<-entered // a slot is free again
}

func TestStreamStopsWhenTheClientGoes(t *testing.T) {
	s, err := StartWith(Options{Pace: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	body := strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`)
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.OpenAI+"/v1/chat/completions", body)
	client := &http.Client{Transport: &http.Transport{}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 10)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal("the first event did not come at once:", err)
	}
	cancel()
	resp.Body.Close()
	client.CloseIdleConnections()
	started := time.Now()
	s.Close()
	if took := time.Since(started); took > 1500*time.Millisecond {
		t.Errorf("Close waited %s for a stream whose client had gone", took)
	}
	s.Close() // may be called again
}

func TestStartListensOnLoopback(t *testing.T) {
	s, err := Start()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.OpenAI == s.Anthropic || !strings.HasPrefix(s.OpenAI, "http://127.0.0.1:") || !strings.HasPrefix(s.Anthropic, "http://127.0.0.1:") {
		t.Errorf("got %q and %q", s.OpenAI, s.Anthropic)
	}
}

func TestEcho(t *testing.T) {
	long := strings.Repeat("é", maxEcho+5)
	for _, c := range [][2]string{
		{"", ""}, {" a\n\tb ", "a b"}, {"a\x00b", "a b"}, {long, strings.Repeat("é", maxEcho) + "…"},
	} {
		if got := echo(c[0]); got != c[1] {
			t.Errorf("echo(%q) = %q", c[0], got)
		}
	}
}

func TestSplitWords(t *testing.T) {
	for _, text := range []string{"", "a", " a", "one two  three ", "é è", "   "} {
		if got := strings.Join(splitWords(text), ""); got != text {
			t.Errorf("splitWords(%q) makes %q", text, got)
		}
	}
}

// FuzzRequest sends any bytes to both providers: an answer must come, with a status that the schema knows.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":3,"messages":[{"role":"user","content":"x"}],"tools":[{}],"stream":true}`))
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"\ud800"}]}]}`))
	openAI, anthropic := OpenAI(exact), Anthropic(exact)
	f.Fuzz(func(t *testing.T, body []byte) {
		for path, h := range map[string]http.Handler{"/v1/chat/completions": openAI, "/v1/messages": anthropic} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, bytes.NewReader(body)))
			switch w.Code {
			case 200, 400, 503, 529:
			default:
				t.Errorf("%s: status %d", path, w.Code)
			}
			if w.Body.Len() == 0 {
				t.Errorf("%s: nothing was said", path)
			}
		}
	})
}
