package fakeprovider

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"
	"time"
)

// request makes a request as a bare client of the vendor would.
func request(t testing.TB, s *Server, body []byte) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, s.Origin()+s.vendor.path(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	switch s.Schema() {
	case OpenAI, Responses:
		req.Header.Set("Authorization", "Bearer "+s.Key())
	case Anthropic:
		req.Header.Set("X-Api-Key", s.Key())
		req.Header.Set("Anthropic-Version", "2023-06-01")
	}
	return req
}

// client without keep-alive surprises: each test has connections of its own.
func client(t testing.TB) *http.Client {
	tr := &http.Transport{DisableCompression: true}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func post(t testing.TB, s *Server, body []byte) (int, []byte) {
	t.Helper()
	return do(t, client(t), request(t, s, body))
}

func do(t testing.TB, c *http.Client, req *http.Request) (int, []byte) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, body
}

// plain is a good request.
func plain(s Schema, stream bool) []byte {
	body := `{"model":"gpt-4.1-mini","messages":[{"role":"user","content":"hello there"}]}`
	if s == Anthropic {
		body = `{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"hello there"}]}`
	}
	if stream {
		body = body[:len(body)-1] + `,"stream":true}`
	}
	return []byte(body)
}
