package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// Keys of the gateway in these tests.
const (
	goodKey    = "dgm-e2e-good"
	narrowKey  = "dgm-e2e-narrow" // may use one model
	revokedKey = "dgm-e2e-revoked"
	maxBody    = 1 << 20
)

func keysConfig() string {
	hash := func(k string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(k))) }
	return fmt.Sprintf(`{{providers}}
limits: {max_body_bytes: %d, upload_timeout: 1s}
tenants:
  - name: acme
    keys:
      - {name: good, hash: %q}
      - {name: narrow, hash: %q, models: [gpt-4o]}
      - {name: revoked, hash: %q, revoked: true}
`, maxBody, hash(goodKey), hash(narrowKey), hash(revokedKey))
}

// wantUntouched checks that no provider was asked, and that the gateway still serves.
func wantUntouched(t *testing.T, g *harness.Gateway) {
	t.Helper()
	for name, f := range g.Fakes {
		if n := f.Counters().Requests; n != 0 {
			t.Errorf("%s was asked %d times", name, n)
		}
	}
	wantIdle(t, g)
	for _, client := range schemas {
		if a := post(t, g, paths[client], body(client, "openai/gpt-4.1", false), "Authorization", "Bearer "+goodKey); a.status != 200 {
			t.Errorf("the gateway serves no more: %s", a)
		}
	}
	if err := g.ResetFakes(); err != nil {
		t.Fatal(err)
	}
}

// TestBadBodies sends what no provider is to see.
func TestBadBodies(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	for _, client := range schemas {
		whole := body(client, "openai/gpt-4.1", false)
		with := func(member string) string { return strings.TrimSuffix(whole, "}") + "," + member + "}" }
		replaced := func(old, new string) string {
			if !strings.Contains(whole, old) {
				t.Fatalf("%s has no %s", whole, old)
			}
			return strings.Replace(whole, old, new, 1)
		}
		messages := whole[strings.Index(whole, `[{"role"`) : len(whole)-1]
		for _, c := range []struct {
			name, body string
			status     int
			says       string
		}{
			{"empty", "", 400, "body"},
			{"blank", "  \n", 400, "JSON"},
			{"cut", whole[:len(whole)-10], 400, "JSON"},
			{"two values", whole + whole, 400, "JSON"},
			{"not JSON", "model=gpt-4.1", 400, "JSON"},
			{"an array", "[" + whole + "]", 400, "object"},
			{"a string", `"hello"`, 400, "object"},
			{"null", "null", 400, "object"},
			{"single quotes", strings.ReplaceAll(whole, `"`, `'`), 400, "JSON"},
			{"a trailing comma", strings.TrimSuffix(whole, "}") + ",}", 400, "JSON"},
			{"a comment", "// hi\n" + whole, 400, "JSON"},
			{"NaN", with(`"temperature":NaN`), 400, "JSON"},
			{"invalid UTF-8", replaced(question, "caf\xe9"), 400, "UTF-8"},
			{"a control character", replaced(question, "a\x01b"), 400, ""},
			{"a member twice", with(`"model":"other"`), 400, "model"},
			{"nested 10000 deep", with(`"x":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000)), 400, "nest"},
			{"nested and cut", strings.Repeat("[", 10000), 400, ""},
			{"no model", strings.Replace(whole, `"model":"openai/gpt-4.1",`, "", 1), 400, "model"},
			{"model null", replaced(`"openai/gpt-4.1"`, "null"), 400, "model"},
			{"model a number", replaced(`"openai/gpt-4.1"`, "7"), 400, "model"},
			{"model empty", replaced(`"openai/gpt-4.1"`, `""`), 400, "model"},
			{"no messages", strings.Replace(whole, `"messages":`, `"x-messages":`, 1), 400, "messages"},
			{"messages empty", replaced(messages, "[]"), 400, "messages"},
			{"messages an object", replaced(messages, "{}"), 400, "messages"},
			{"messages a string", replaced(messages, `"hi"`), 400, "messages"},
			{"messages null", replaced(messages, "null"), 400, "messages"},
			{"a message that is a string", replaced(messages, `["hi"]`), 400, "messages"},
			{"a message without role", replaced(messages, `[{"content":"hi"}]`), 400, "role"},
			{"a role that is none", replaced(messages, `[{"role":"wizard","content":"hi"}]`), 400, "role"},
			{"content a number", replaced(messages, `[{"role":"user","content":7}]`), 400, "content"},
			{"content an object", replaced(messages, `[{"role":"user","content":{"a":1}}]`), 400, "content"},
			{"stream a string", with(`"stream":"yes"`), 400, "stream"},
			{"temperature a string", with(`"temperature":"hot"`), 400, "temperature"},
			{"tools an object", with(`"tools":{}`), 400, "tools"},
			{"unknown model", replaced("openai/gpt-4.1", "no-such-model"), 404, "no-such-model"},
			{"a model of an unknown provider", replaced("openai/gpt-4.1", "nobody/gpt-4.1"), 404, "nobody/gpt-4.1"},
		} {
			t.Run(client+"/"+c.name, func(t *testing.T) {
				a := post(t, g, paths[client], c.body, "Authorization", "Bearer "+goodKey)
				wantFault(t, a, client, c.status, c.says)
				wantNoSecret(t, g, a)
			})
		}
		wantUntouched(t, g)
	}
}

func TestBadKeys(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	for _, client := range schemas {
		for _, c := range []struct {
			name, key string
			status    int
			says      string
		}{
			{"missing", "", 401, "No API key"},
			{"unknown", "dgm-e2e-unknown", 401, "not one of this gateway"},
			{"revoked", revokedKey, 401, "revoked"},
			{"a provider's own", g.OpenAI().Key(), 401, "not one of this gateway"},
			{"not for this model", narrowKey, 403, "may not use"},
		} {
			for _, header := range []string{"Authorization", "X-Api-Key"} {
				t.Run(client+"/"+c.name+" in "+header, func(t *testing.T) {
					var pair []string
					if c.key != "" {
						pair = []string{header, strings.TrimPrefix("Bearer "+c.key, map[string]string{"X-Api-Key": "Bearer "}[header])}
					}
					a := post(t, g, paths[client], body(client, "openai/gpt-4.1", false), pair...)
					wantFault(t, a, client, c.status, c.says)
					if c.key != "" && strings.Contains(string(a.body), c.key) {
						t.Errorf("the answer repeats the key: %s", a)
					}
				})
			}
		}
	}
	wantUntouched(t, g)
}

// endless is a body of n bytes that is never held in memory.
func endless(n int64) io.Reader { return io.LimitReader(zeros{}, n) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// padded is a right request of exactly n bytes.
func padded(client string, n int) string {
	b := body(client, "openai/gpt-4.1", false)
	return strings.Replace(b, question, strings.Repeat("x", n-len(b)+len(question)), 1)
}

func TestC24_a_body_over_the_limit_is_refused_in_the_clients_schema(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	for _, client := range schemas {
		for _, chunked := range []bool{false, true} {
			for name, b := range map[string]func() io.Reader{
				"one byte over": func() io.Reader { return strings.NewReader(padded(client, maxBody+1)) },
				"100 MB":        func() io.Reader { return endless(100 << 20) },
			} {
				t.Run(fmt.Sprintf("%s/%s, chunked %v", client, name, chunked), func(t *testing.T) {
					req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+paths[client], b())
					if err != nil {
						t.Fatal(err)
					}
					if !chunked && req.ContentLength <= 0 {
						req.ContentLength = 100 << 20
					}
					if chunked {
						req.ContentLength, req.Body = -1, io.NopCloser(b())
					}
					req.Header.Set("Authorization", "Bearer "+goodKey)
					req.Header.Set("Content-Type", "application/json")
					resp, err := g.HTTP.Do(req)
					if err != nil {
						// The client was still sending when the gateway had answered and closed: what net/http then says depends on timing.
						t.Logf("%v", err)
						return
					}
					defer resp.Body.Close()
					got, _ := io.ReadAll(resp.Body)
					wantFault(t, &answer{status: resp.StatusCode, header: resp.Header, body: got}, client, 413, "max_body_bytes")
				})
			}
		}
		wantUntouched(t, g)
		a := post(t, g, paths[client], padded(client, maxBody), "Authorization", "Bearer "+goodKey)
		if a.status != 200 {
			t.Errorf("a body of exactly the limit: status %d %.200s", a.status, a.body)
		}
		if err := g.ResetFakes(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWrongPathsAndMethods(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	for _, c := range []struct {
		method, path, client string
		status               int
		says                 string
	}{
		{"GET", "/v1/chat/completions", "openai", 405, "POST"},
		{"GET", "/v1/messages", "anthropic", 405, "POST"},
		{"DELETE", "/v1/messages", "anthropic", 405, "POST"},
		{"POST", "/v1/models", "openai", 405, "GET"},
		{"POST", "/v1/nothing", "openai", 404, "/v1/chat/completions"},
		{"POST", "/v1/messages/batches", "anthropic", 404, "/v1/messages"},
		{"GET", "/", "openai", 404, "/v1/models"},
		{"POST", "/v1/chat/completions/../../../etc/passwd", "openai", 404, "endpoint"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			var b io.Reader
			if c.method == "POST" {
				b = strings.NewReader(body(c.client, "openai/gpt-4.1", false))
			}
			a := do(t, g, c.method, c.path, b, "Authorization", "Bearer "+goodKey)
			wantFault(t, a, c.client, c.status, c.says)
		})
	}
	wantUntouched(t, g)
}

// raw opens a connection of its own and sends text on it.
func raw(t *testing.T, g *harness.Gateway, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(g.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	return conn
}

// head is a raw request's first part.
func head(client string, more ...string) string {
	return "POST " + paths[client] + " HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer " + goodKey + "\r\nContent-Type: application/json\r\n" + strings.Join(more, "\r\n") + "\r\n\r\n"
}

func TestUploadsThatStopHalfWay(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	for _, client := range schemas {
		for name, start := range map[string]string{
			"chunked":        head(client, "Transfer-Encoding: chunked") + "a\r\n{\"model\":\"\r\n",
			"with a length":  head(client, "Content-Length: 500") + `{"model":"`,
			"nothing at all": head(client, "Content-Length: 500"),
		} {
			t.Run(client+"/"+name, func(t *testing.T) {
				conn := raw(t, g, start)
				begin := time.Now()
				got, _ := io.ReadAll(conn)
				if took := time.Since(begin); took < 900*time.Millisecond || took > 5*time.Second {
					t.Errorf("after %v", took)
				}
				first, b, _ := strings.Cut(string(got), "\r\n\r\n")
				if !strings.HasPrefix(first, "HTTP/1.1 408 ") || shapeError(client, []byte(b)) != nil {
					t.Errorf("%q", got)
				}
			})
		}
	}
	wantUntouched(t, g)
}

func TestClientsThatGoAwayDuringTheUpload(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	wantIdle(t, g) // what came before is settled
	before := metric(t, g, "dragoman_settlements_total")
	for range 10 {
		for _, client := range schemas {
			conn := raw(t, g, head(client, "Content-Length: 500")+`{"model":"`)
			time.Sleep(2 * time.Millisecond)
			conn.Close()
		}
	}
	wantUntouched(t, g)
	if n := metric(t, g, "dragoman_settlements_total") - before; n < 2 || n > 22 {
		t.Errorf("%v settlements of at most 22 requests", n)
	}
}

// TestC1_a_client_that_goes_away_mid_stream_ends_the_providers_stream leaves while a slow stream is coming: the provider is told,
// nothing stays in flight, and what was delivered is accounted for.
func TestC1_a_client_that_goes_away_mid_stream_ends_the_providers_stream(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	output := func() float64 { return metric(t, g, "dragoman_tokens_total", `class="output"`) }
	for _, client := range schemas {
		for _, provider := range schemas {
			t.Run(client+" client of "+provider, func(t *testing.T) {
				f, before := g.Fakes[provider], output()
				f.Next(&fakeprovider.Reply{Blocks: fakeprovider.Text(strings.Repeat("many words ", 100)).Blocks, Chunks: 100, Pace: 20 * time.Millisecond})
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				req, _ := http.NewRequestWithContext(ctx, http.MethodPost, g.URL+paths[client], strings.NewReader(body(client, provider+"/"+f.Model(), true)))
				req.Header.Set("Authorization", "Bearer "+goodKey)
				resp, err := g.HTTP.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if _, err := io.ReadFull(resp.Body, make([]byte, 1500)); err != nil {
					t.Fatal(err)
				}
				leave()
				wantIdle(t, g)
				if r := f.Last(); !r.Aborted {
					t.Errorf("the provider went on to the end: %+v", f.Counters())
				}
				if n := output() - before; n < 3 {
					t.Errorf("%v output tokens accounted for", n)
				}
			})
		}
	}
}

func TestHTTP2WithPriorKnowledge(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	for _, client := range schemas {
		for _, stream := range []bool{false, true} {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+paths[client], strings.NewReader(body(client, "openai/gpt-4.1", stream)))
			req.Header.Set("Authorization", "Bearer "+goodKey)
			resp, err := tr.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || resp.ProtoMajor != 2 || !strings.Contains(string(got), "echo") {
				t.Errorf("%s: %v %s %s %s", client, err, resp.Proto, resp.Status, got)
			}
		}
		bad, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, g.URL+paths[client], strings.NewReader("{"))
		bad.Header.Set("Authorization", "Bearer "+goodKey)
		resp, err := tr.RoundTrip(bad)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		wantFault(t, &answer{status: resp.StatusCode, header: resp.Header, body: got}, client, 400, "JSON")
	}
	wantIdle(t, g)
}

// TestStrangeButRight sends what is unusual and legal: it must be served.
func TestStrangeButRight(t *testing.T) {
	g := harness.Shared(t, keysConfig())
	escaped := `日本語 🚀 \u202e\u0000 e\u0301 \ud83d\ude80 ﷽`
	for _, client := range schemas {
		whole := body(client, "openai/gpt-4.1", false)
		key := []string{"Authorization", "Bearer " + goodKey}
		for name, a := range map[string]*answer{
			"unicode":                  post(t, g, paths[client], strings.Replace(whole, question, escaped, 1), key...),
			"half of a surrogate pair": post(t, g, paths[client], strings.Replace(whole, question, `\ud800 is legal JSON`, 1), key...),
			"white space around":       post(t, g, paths[client], " \r\n\t"+whole+"\n\n", key...),
			"a large header":           post(t, g, paths[client], whole, append(key, "X-Large", strings.Repeat("v", 40<<10))...),
			"expect":                   post(t, g, paths[client], whole, append(key, "Expect", "100-continue")...),
			"a query":                  post(t, g, paths[client]+"?beta=true", whole, key...),
			"the key in another case":  post(t, g, paths[client], whole, "Authorization", "bearer "+goodKey),
			"no content type":          post(t, g, paths[client], whole, append(key, "Content-Type", "")...),
			"text/plain":               post(t, g, paths[client], whole, append(key, "Content-Type", "text/plain")...),
		} {
			content := gjson.GetBytes(a.body, "choices.0.message.content").String() + gjson.GetBytes(a.body, "content.0.text").String()
			if a.status != 200 || !strings.HasPrefix(content, "echo: ") {
				t.Errorf("%s, %s: %s", client, name, a)
			}
			if want := "echo: " + gjson.Parse(`"`+escaped+`"`).String(); name == "unicode" && content != want {
				t.Errorf("%s: %q, want %q", client, content, want)
			}
		}
		over := post(t, g, paths[client], whole, append(key, "X-Large", strings.Repeat("v", 200<<10))...)
		if over.err == nil && (over.status != 431 || shapeError(client, over.body) != nil) {
			t.Errorf("%s, headers beyond every bound: %s", client, over)
		}
	}
	wantIdle(t, g)
}
