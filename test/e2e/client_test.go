package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	openaioption "github.com/openai/openai-go/v3/option"
	"github.com/tidwall/gjson"

	"dragoman/test/harness"
)

// schemas are those of clients and of providers.
var schemas = []string{"openai", "anthropic"}

func other(schema string) string {
	if schema == "openai" {
		return "anthropic"
	}
	return "openai"
}

// paths is where clients of each schema send their requests.
var paths = map[string]string{"openai": "/v1/chat/completions", "anthropic": "/v1/messages"}

const (
	question = "tell me more about it" // fakes answer it with reply, in four pieces when streamed
	reply    = "echo: tell me more about it"
)

// body is a plain request of a schema.
func body(schema, model string, stream bool) string {
	extra := ""
	if schema == "anthropic" {
		extra = `"max_tokens":100,`
	}
	if stream {
		extra += `"stream":true,`
	}
	return fmt.Sprintf(`{"model":%q,%s"messages":[{"role":"user","content":%q}]}`, model, extra, question)
}

// answer is what a client got. err is what its SDK raised, nil for a clean end.
type answer struct {
	text   string
	err    error
	status int
	header http.Header
	body   []byte
	took   time.Duration
}

// String shows an answer in a failed test's message.
func (a *answer) String() string {
	return fmt.Sprintf("status %d, text %q, error %v, after %v, header %v, body %.1500s", a.status, a.text, a.err, a.took.Round(time.Millisecond), a.header, a.body)
}

// recorder is an HTTP client's transport that keeps the last answer.
type recorder struct {
	next   http.RoundTripper
	mu     sync.Mutex
	status int
	header http.Header
	body   bytes.Buffer
}

// RoundTrip sends a request.
func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.status, r.header = resp.StatusCode, resp.Header.Clone()
	r.mu.Unlock()
	resp.Body = &recordedBody{resp.Body, r}
	return resp, nil
}

type recordedBody struct {
	io.ReadCloser
	r *recorder
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.r.mu.Lock()
	b.r.body.Write(p[:n])
	b.r.mu.Unlock()
	return n, err
}

// ask sends the question by the official SDK of the client's schema, which makes no retries of its own.
func ask(ctx context.Context, g *harness.Gateway, client, model string, stream bool) *answer {
	rec := &recorder{next: g.HTTP.Transport}
	hc := &http.Client{Transport: rec}
	a, begin := &answer{}, time.Now()
	switch client {
	case "openai":
		c := openai.NewClient(openaioption.WithBaseURL(g.URL+"/v1"), openaioption.WithAPIKey(clientKey), openaioption.WithMaxRetries(0), openaioption.WithHTTPClient(hc))
		a.text, a.err = askOpenAI(ctx, c, model, stream)
	case "anthropic":
		c := anthropic.NewClient(anthropicoption.WithBaseURL(g.URL), anthropicoption.WithAPIKey(clientKey), anthropicoption.WithMaxRetries(0), anthropicoption.WithHTTPClient(hc))
		a.text, a.err = askAnthropic(ctx, c, model, stream)
	}
	a.took = time.Since(begin)
	rec.mu.Lock()
	defer rec.mu.Unlock()
	a.status, a.header, a.body = rec.status, rec.header, bytes.Clone(rec.body.Bytes())
	return a
}

// clientKey is a canary too: it must reach no provider.
const clientKey = "sk-client-canary-77f3c1"

func askOpenAI(ctx context.Context, c openai.Client, model string, stream bool) (string, error) {
	p := openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(question)}}
	if !stream {
		got, err := c.Chat.Completions.New(ctx, p)
		if err != nil {
			return "", err
		}
		if len(got.Choices) != 1 {
			return "", fmt.Errorf("%d choices", len(got.Choices))
		}
		return got.Choices[0].Message.Content, nil
	}
	s := c.Chat.Completions.NewStreaming(ctx, p)
	defer s.Close()
	text, finish := "", ""
	for s.Next() {
		for _, choice := range s.Current().Choices {
			text += choice.Delta.Content
			finish += choice.FinishReason
		}
	}
	if s.Err() == nil && finish == "" {
		return text, errNoEnd
	}
	return text, s.Err()
}

// errNoEnd is a stream that an SDK takes for complete although nothing said so.
var errNoEnd = errors.New("the stream ended cleanly without its end")

func askAnthropic(ctx context.Context, c anthropic.Client, model string, stream bool) (string, error) {
	p := anthropic.MessageNewParams{Model: anthropic.Model(model), MaxTokens: 100, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(question))}}
	if !stream {
		got, err := c.Messages.New(ctx, p)
		if err != nil {
			return "", err
		}
		text := ""
		for _, b := range got.Content {
			text += b.Text
		}
		return text, nil
	}
	s := c.Messages.NewStreaming(ctx, p)
	defer s.Close()
	text, stopped := "", false
	for s.Next() {
		ev := s.Current()
		text += ev.Delta.Text
		stopped = stopped || ev.Type == "message_stop"
	}
	if s.Err() == nil && !stopped {
		return text, errNoEnd
	}
	return text, s.Err()
}

// status is that of the SDK's own error type, 0 for any other error.
func status(err error) int {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return e.StatusCode
	}
	if e, ok := errors.AsType[*anthropic.Error](err); ok {
		return e.StatusCode
	}
	return 0
}

// shapeError says what is wrong with an error body of a schema, nil when nothing is.
func shapeError(schema string, b []byte) error {
	if !gjson.ValidBytes(b) {
		return fmt.Errorf("the error is no JSON: %.300q", b)
	}
	v := gjson.ParseBytes(b)
	e := v.Get("error")
	switch {
	case e.Get("message").Type != gjson.String || len(e.Get("message").Str) < 10:
		return fmt.Errorf("no message: %s", b)
	case e.Get("type").Type != gjson.String || e.Get("type").Str == "":
		return fmt.Errorf("no type: %s", b)
	case schema == "openai" && (!e.Get("param").Exists() || !e.Get("code").Exists() || v.Get("type").Exists()):
		return fmt.Errorf("not OpenAI's shape: %s", b)
	case schema == "anthropic" && v.Get("type").Str != "error":
		return fmt.Errorf("not Anthropic's shape: %s", b)
	}
	return nil
}

func message(b []byte) string { return gjson.GetBytes(b, "error.message").String() }

// wantFault checks an error answer: its status, its shape, that its message has each of says, and that it can be found
// again in the log.
func wantFault(t testing.TB, a *answer, schema string, wantStatus int, says ...string) {
	t.Helper()
	if a.status != wantStatus {
		t.Errorf("status %d, want %d: %s", a.status, wantStatus, a)
		return
	}
	if err := shapeError(schema, a.body); err != nil {
		t.Error(err)
	}
	for _, s := range says {
		if !strings.Contains(strings.ToLower(message(a.body)), strings.ToLower(s)) {
			t.Errorf("the message %q does not say %q", message(a.body), s)
		}
	}
	if ct := a.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("content-type %q", ct)
	}
	if a.header.Get("X-Request-Id") == "" {
		t.Errorf("no x-request-id: %v", a.header)
	}
}

// wantNoSecret looks for keys, the fakes' and the client's, in all that the client got.
func wantNoSecret(t testing.TB, g *harness.Gateway, a *answer) {
	t.Helper()
	all := fmt.Sprint(a.header) + string(a.body)
	secrets := []string{clientKey}
	for _, f := range g.Fakes {
		secrets = append(secrets, f.Key())
	}
	for _, s := range secrets {
		if strings.Contains(all, s) {
			t.Errorf("the answer shows a key: %s", a)
		}
	}
}

// post sends a raw request and reads its whole answer. header is pairs of name and value.
func post(t testing.TB, g *harness.Gateway, path, body string, header ...string) *answer {
	t.Helper()
	return do(t, g, http.MethodPost, path, strings.NewReader(body), header...)
}

func do(t testing.TB, g *harness.Gateway, method, path string, body io.Reader, header ...string) *answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, g.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for pair := range slices.Chunk(header, 2) {
		req.Header.Set(pair[0], pair[1])
	}
	begin := time.Now()
	resp, err := g.HTTP.Do(req)
	if err != nil {
		return &answer{err: err, took: time.Since(begin)}
	}
	defer resp.Body.Close()
	a := &answer{status: resp.StatusCode, header: resp.Header}
	a.body, a.err = io.ReadAll(resp.Body)
	a.took = time.Since(begin)
	return a
}

// wantIdle waits until no request is in flight any more, in Dragoman or at a fake.
func wantIdle(t testing.TB, g *harness.Gateway) {
	t.Helper()
	var left string
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		left = ""
		st, err := g.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if n := gjson.GetBytes(st, "in_flight").Int(); n != 0 {
			left = fmt.Sprintf("%d requests in flight", n)
		}
		for name, f := range g.Fakes {
			if n := f.Counters().InFlight; n != 0 {
				left += fmt.Sprintf(" %d at provider %s", n, name)
			}
		}
		if left == "" {
			return
		}
	}
	t.Errorf("still %s", left)
}

// metric sums the samples of a metric whose labels hold each of those given, as `name="value"`.
func metric(t testing.TB, g *harness.Gateway, name string, labels ...string) float64 {
	t.Helper()
	text, err := g.Metrics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != '{' && rest[0] != ' ' || slices.ContainsFunc(labels, func(l string) bool { return !strings.Contains(rest, l) }) {
			continue
		}
		var v float64
		if _, err := fmt.Sscan(rest[strings.LastIndexByte(rest, ' ')+1:], &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		sum += v
	}
	return sum
}
