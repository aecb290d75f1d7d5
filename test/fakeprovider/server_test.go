package fakeprovider

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHeadersOffTheAllowListAreUnexpected(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	for _, name := range []string{"X-Request-Id", "X-Forwarded-For", "X-Envoy-Attempt-Count", "Traceparent", "Cookie", "X-Api-Key", "X-Stainless-Lang", "X-Dragoman-Route"} {
		req := request(t, s, plain(OpenAI, false))
		req.Header.Set(name, "canary")
		status, body := do(t, client(t), req)
		problems := s.TakeUnexpected()
		if status != 400 || len(problems) != 1 || !strings.Contains(problems[0], strings.ToLower(name)) || strings.Contains(problems[0], "canary") {
			t.Errorf("%s: %d %s %v", name, status, body, problems)
		}
	}
	if where := s.Saw("canary"); len(where) != 8 {
		t.Errorf("canaries: %v", where)
	}
	if where := s.Saw("never sent"); where != nil {
		t.Errorf("%v", where)
	}
	sdk := Start(t, Options{Schema: OpenAI, AllowHeaders: SDKHeaders})
	req := request(t, sdk, plain(OpenAI, false))
	req.Header.Set("X-Stainless-Lang", "go")
	if status, body := do(t, client(t), req); status != 200 {
		t.Errorf("an SDK's header: %d %s", status, body)
	}
}

func TestCredentials(t *testing.T) {
	for _, c := range []struct {
		schema      Schema
		header      string
		value, want string
	}{
		{OpenAI, "Authorization", "", "You didn't provide an API key."},
		{OpenAI, "Authorization", "Bearer sk-wrong-0123456789", "Incorrect API key provided: sk-wrong*******6789."},
		{OpenAI, "Authorization", DefaultKey, "Incorrect API key provided"},
		{OpenAI, "Authorization", "bearer " + DefaultKey, "Incorrect API key provided"},
		{OpenAI, "Authorization", "Bearer  " + DefaultKey, "Incorrect API key provided"},
		{Anthropic, "X-Api-Key", "", "x-api-key header is required"},
		{Anthropic, "X-Api-Key", "wrong", "invalid x-api-key"},
		{Anthropic, "Anthropic-Version", "", "anthropic-version: header is required"},
		{Anthropic, "Anthropic-Version", "2024-01-01", `"2024-01-01" is not a valid version`},
	} {
		s := Start(t, Options{Schema: c.schema})
		req := request(t, s, plain(c.schema, false))
		req.Header.Del(c.header)
		if c.value != "" {
			req.Header.Set(c.header, c.value)
		}
		want := 401
		if c.header == "Anthropic-Version" {
			want = 400
		}
		if status, body := do(t, client(t), req); status != want || !strings.Contains(strings.ReplaceAll(string(body), `\"`, `"`), c.want) {
			t.Errorf("%s %s %q: %d %s", c.schema, c.header, c.value, status, body)
		}
	}
}

func TestAnthropicVersions(t *testing.T) {
	s := Start(t, Options{Schema: Anthropic})
	bearer := func(body []byte, version string) *http.Request {
		req := request(t, s, body)
		req.Header.Del("X-Api-Key")
		req.Header.Set("Authorization", "Bearer "+s.Key())
		req.Header.Set("Anthropic-Version", version)
		return req
	}
	document := map[string]any{"type": "document", "source": map[string]any{"type": "text", "media_type": "text/plain", "data": "x"}}
	cited := map[string]any{"type": "text", "text": "x", "citations": []any{map[string]any{"type": "char_location"}}}
	for _, c := range []struct {
		name     string
		set      map[string]any
		old, new int
	}{
		{"plain", nil, 200, 200},
		{"temperature", map[string]any{"temperature": 1}, 200, 400},
		{"top_p", map[string]any{"top_p": 0.9}, 200, 400},
		{"top_k", map[string]any{"top_k": 5}, 200, 400},
		{"document of the assistant", map[string]any{"messages.1": map[string]any{"role": "assistant", "content": []any{document}},
			"messages.2": map[string]any{"role": "user", "content": "x"}}, 200, 400},
		{"citations of the user", map[string]any{"messages.0.content": []any{cited}}, 200, 400},
	} {
		body := edit(t, plain(Anthropic, false), c.set, nil)
		for version, want := range map[string]int{version2023: c.old, version2026: c.new} {
			if status, got := do(t, client(t), bearer(body, version)); status != want {
				t.Errorf("%s in %s: %d %s", c.name, version, status, got)
			}
		}
	}
	req := bearer(plain(Anthropic, false), version2023)
	req.Header.Set("X-Api-Key", s.Key())
	if status, _ := do(t, client(t), req); status != 400 || len(s.TakeUnexpected()) != 1 {
		t.Errorf("both credentials: %d", status)
	}
}

func TestBadBodiesAndURLs(t *testing.T) {
	for _, schema := range []Schema{OpenAI, Anthropic} {
		s := Start(t, Options{Schema: schema, MaxBody: 10000})
		for name, body := range map[string]string{
			"cut": `{"model":`, "array": `[]`, "trailing": string(plain(schema, false)) + "x", "UTF-8": "{\"model\":\"\xff\"}",
			"deep": `{"a":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + "}", "empty": "",
		} {
			if status, got := post(t, s, []byte(body)); status != 400 || !strings.Contains(string(got), "JSON") {
				t.Errorf("%s %s: %d %s", schema, name, status, got)
			}
		}
		if status, got := post(t, s, []byte(`{"x":"`+strings.Repeat("x", 10000)+`"}`)); status != 413 {
			t.Errorf("too large: %d %s", status, got)
		}
		if p := s.Unexpected(); len(p) != 0 {
			t.Errorf("%v", p)
		}
		if status, _ := post(t, s, []byte(`{"model":"a","model":"b"}`)); status != 400 || len(s.TakeUnexpected()) != 1 {
			t.Errorf("duplicate members: %d", status)
		}
		for path, want := range map[string]int{"/v1/other": 404, "/": 404, s.vendor.path() + "?x=1": 400, "/v1/models": 405} {
			req := request(t, s, plain(schema, false))
			req.URL.Path, req.URL.RawQuery, _ = strings.Cut(path, "?")
			if status, body := do(t, client(t), req); status != want || len(s.TakeUnexpected()) != 1 {
				t.Errorf("%s %s: %d %s", schema, path, status, body)
			}
		}
		req := request(t, s, plain(schema, false))
		req.Header.Set("Content-Type", "text/plain")
		if status, _ := do(t, client(t), req); status != 400 {
			t.Errorf("text/plain: %d", status)
		}
	}
}

func TestModels(t *testing.T) {
	for _, schema := range []Schema{OpenAI, Anthropic} {
		s := Start(t, Options{Schema: schema, Models: []string{"m-1", "m-2"}})
		for path, want := range map[string]string{"/v1/models": `"id":"m-2"`, "/v1/models/m-1": `"id":"m-1"`, "/v1/models/m-3": "m-3"} {
			req := request(t, s, nil)
			req.Method, req.URL.Path, req.Body, req.ContentLength = "GET", path, nil, 0
			status, body := do(t, client(t), req)
			if (status == 404) != strings.HasSuffix(path, "m-3") || !strings.Contains(string(body), want) {
				t.Errorf("%s %s: %d %s", schema, path, status, body)
			}
		}
	}
}

func TestAnyModel(t *testing.T) {
	s := Start(t, Options{Schema: Anthropic, Models: []string{"*"}})
	for model, want := range map[string]int{"whatever": 200, "": 400} {
		if status, body := post(t, s, edit(t, plain(Anthropic, false), map[string]any{"model": model}, nil)); status != want {
			t.Errorf("%q: %d %s", model, status, body)
		}
	}
}

func TestTransports(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		ca         *CA
		protocol   func(*http.Protocols)
	}{
		{"clear HTTP/1.1", "HTTP/1.1", nil, func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"clear HTTP/2", "HTTP/2.0", nil, func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }},
		{"TLS HTTP/1.1", "HTTP/1.1", ca, func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"TLS HTTP/2", "HTTP/2.0", ca, func(p *http.Protocols) { p.SetHTTP2(true) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := Start(t, Options{Schema: Anthropic, CA: c.ca})
			tr := &http.Transport{Protocols: new(http.Protocols), TLSClientConfig: &tls.Config{RootCAs: ca.Pool()}}
			c.protocol(tr.Protocols)
			t.Cleanup(tr.CloseIdleConnections)
			cl := &http.Client{Transport: tr}
			if status, body := do(t, cl, request(t, s, plain(Anthropic, true))); status != 200 {
				t.Fatalf("%d %s", status, body)
			}
			if got := s.Last().Proto; got != c.want {
				t.Errorf("protocol %s", got)
			}
			for _, kind := range []Failure{Reset, Cut} {
				s.Fail(1, Fault{Kind: kind, After: 2})
				resp, err := cl.Do(request(t, s, plain(Anthropic, true)))
				if err == nil {
					_, err = resp.Body.Read(make([]byte, 1))
					for err == nil {
						_, err = resp.Body.Read(make([]byte, 1000))
					}
					resp.Body.Close()
				}
				if err == nil || err.Error() == "EOF" && kind == Cut {
					t.Errorf("%v: %v", kind, err)
				}
			}
			if status, _ := do(t, cl, request(t, s, plain(Anthropic, false))); status != 200 {
				t.Errorf("afterwards: %d", status)
			}
		})
	}
}

func TestCertificateFiles(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key, err := ca.WritePair(dir, "server", "gateway.example", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(pair.Leaf.DNSNames, []string{"gateway.example"}) || len(pair.Leaf.IPAddresses) != 1 {
		t.Errorf("%v %v", pair.Leaf.DNSNames, pair.Leaf.IPAddresses)
	}
	if path, err := ca.WriteFile(dir); err != nil || path == "" {
		t.Error(path, err)
	}
}

func TestRequestsAreKeptUpToABound(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	c := client(t)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range (keptRequests + 100) / 4 {
				body := edit(t, plain(OpenAI, false), map[string]any{"user": fmt.Sprint(w, i)}, nil)
				if status, got := do(t, c, request(t, s, body)); status != 200 {
					t.Errorf("%d %s", status, got)
					return
				}
			}
		})
	}
	wg.Wait()
	all := s.Requests()
	if len(all) != keptRequests || all[len(all)-1].Serial != keptRequests+100 || s.Counters().Requests != keptRequests+100 {
		t.Errorf("%d kept, last %d", len(all), all[len(all)-1].Serial)
	}
	big := edit(t, plain(OpenAI, false), map[string]any{"messages.0.content": strings.Repeat("x", 2<<20)}, nil)
	if status, _ := post(t, s, big); status != 200 || len(s.Last().Body) != keptBody || s.Last().BodyLen != int64(len(big)) || len(s.Last().Response) != keptResponse {
		t.Errorf("%d: body %d of %d, response %d", status, len(s.Last().Body), s.Last().BodyLen, len(s.Last().Response))
	}
}

func TestUnknownSchemaAndTakenAddress(t *testing.T) {
	if _, err := New(Options{Schema: "no-such-schema"}); err == nil {
		t.Error("no error for an unknown schema")
	}
	s := Start(t, Options{Schema: OpenAI})
	if _, err := New(Options{Schema: OpenAI, Addr: s.Addr()}); err == nil {
		t.Error("no error for a taken address")
	}
	s.Close()
	s.Close() // twice does no harm
}
