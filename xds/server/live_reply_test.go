package server_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	extprocv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"dragoman/internal/wiring"
)

// said reads an error body strictly.
func said(t *testing.T, schema, body string) (kind, message string) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(body))
	dec.DisallowUnknownFields()
	var err error
	switch schema {
	case "anthropic":
		var e struct {
			Type  string `json:"type"`
			Error struct {
				Type    string `json:"type"`
				Message string `json:"message"`
			} `json:"error"`
		}
		err = dec.Decode(&e)
		if e.Type != "error" {
			t.Errorf("type %q, want error: %s", e.Type, body)
		}
		kind, message = e.Error.Type, e.Error.Message
	case "gemini":
		var e struct {
			Error struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
				Status  string `json:"status"`
			} `json:"error"`
		}
		err = dec.Decode(&e)
		kind, message = e.Error.Status, e.Error.Message
		if e.Error.Code < 400 {
			t.Errorf("no status: %s", body)
		}
	case "cohere":
		var e struct {
			Message string `json:"message"`
		}
		err = dec.Decode(&e)
		message = e.Message
	default:
		var e struct {
			Error struct {
				Message string  `json:"message"`
				Type    string  `json:"type"`
				Param   *string `json:"param"`
				Code    string  `json:"code"`
			} `json:"error"`
		}
		err = dec.Decode(&e)
		kind, message = e.Error.Type, e.Error.Message
		if e.Error.Code == "" {
			t.Errorf("no code: %s", body)
		}
	}
	if err != nil {
		t.Errorf("no %s error: %v: %s", schema, err, body)
	}
	return kind, message
}

var clientPaths = map[string]string{"openai": "/v1/chat/completions", "anthropic": "/v1/messages?beta=true",
	"gemini": "/v1beta/models/m:generateContent", "cohere": "/v2/chat", "responses": "/v1/responses"}

func TestLive_ownRepliesSpeakTheClientsSchema(t *testing.T) {
	r, _ := failing(t)
	for _, c := range []struct {
		name              string
		plan              plan
		status            int
		openai, anthropic string // error types
		gemini            string // error status
		says              string
		marked            bool // for the processor, which sees it on the way
	}{
		{"not ordered", plan{}, 503, "server_error", "overloaded_error", "UNAVAILABLE", "no provider to go to", true},
		{"nobody there", ordered("refuses"), 503, "server_error", "overloaded_error", "UNAVAILABLE", "No provider could be reached", true},
		{"too slow", ordered("hangs"), 504, "server_error", "timeout_error", "DEADLINE_EXCEEDED", "did not answer in time", true},
		{"processor fails", plan{fail: errors.New("secret detail")}, 503, "server_error", "overloaded_error", "UNAVAILABLE", "processor is unavailable", false},
	} {
		for schema, path := range clientPaths {
			t.Run(c.name+" "+schema, func(t *testing.T) {
				p := c.plan
				p.schema = schema
				r.stub.script(p, nil)
				resp, body, err := r.post(path, "{}")
				if err != nil || resp.StatusCode != c.status || resp.Header.Get("Content-Type") != "application/json" {
					t.Fatal(resp, body, err)
				}
				kind, message := said(t, schema, body)
				if want := map[string]string{"openai": c.openai, "responses": c.openai, "anthropic": c.anthropic, "gemini": c.gemini}[schema]; kind != want || !strings.Contains(message, c.says) {
					t.Errorf("type %q (want %q), message %q", kind, want, message)
				}
				if strings.Contains(body, "secret detail") || strings.Contains(body, "127.0.0.1") {
					t.Errorf("the body says too much: %s", body)
				}
				if (c.status == 503) != (resp.Header.Get("Retry-After") == "1") {
					t.Errorf("Retry-After %q with %d", resp.Header.Get("Retry-After"), c.status)
				}
				if marked := resp.Header.Get(wiring.HeaderLocalReply) != ""; marked != c.marked {
					t.Errorf("%s: %q", wiring.HeaderLocalReply, resp.Header.Get(wiring.HeaderLocalReply))
				}
			})
		}
	}
}

// The processor has changed the path to the provider's; what it said of the client decides.
func TestLive_ownReplyAfterTranslation(t *testing.T) {
	r, _ := failing(t)
	for schema, path := range clientPaths {
		p := ordered("refuses")
		p.schema = schema
		p.set[":path"] = map[string]string{"openai": "/v1/messages", "gemini": "/v2/chat"}[schema]
		if p.set[":path"] == "" {
			p.set[":path"] = "/v1beta/models/m:generateContent"
		}
		r.stub.script(p, nil)
		_, body, err := r.post(path, "{}")
		if err != nil {
			t.Fatal(err)
		}
		said(t, schema, body)
	}
}

func TestLive_processorsReplyStaysItsOwn(t *testing.T) {
	r, _ := failing(t)
	r.stub.script(plan{immediate: &extprocv3.ImmediateResponse{
		Status: &typev3.HttpStatus{Code: 429}, Body: []byte(`{"own":"body"}`), Details: wiring.DetailsPrefix + "_rate_limited",
		Headers: &extprocv3.HeaderMutation{SetHeaders: setHeaders(map[string]string{"content-type": "application/json", "retry-after": "9"})},
	}}, nil)
	for _, path := range clientPaths {
		resp, body, err := r.post(path, "{}")
		if err != nil || resp.StatusCode != 429 || body != `{"own":"body"}` {
			t.Fatal(resp, body, err)
		}
		if h := resp.Header; h.Get("Retry-After") != "9" || h.Get("Content-Type") != "application/json" || h.Get(wiring.HeaderLocalReply) != "" {
			t.Errorf("headers %v", h)
		}
	}
}

func TestLive_processorGoneAndBack(t *testing.T) {
	r, _ := failing(t)
	r.stub.script(ordered("ok"), nil)
	r.grpc.Stop()
	for schema, path := range clientPaths {
		resp, body, err := r.post(path, "{}")
		if err != nil || resp.StatusCode != 503 || resp.Header.Get("Retry-After") != "1" {
			t.Fatal(resp, body, err)
		}
		if _, message := said(t, schema, body); !strings.Contains(message, "processor is unavailable") {
			t.Errorf("message %q", message)
		}
		if strings.Contains(fmt.Sprint(body, resp.Header), r.sock) {
			t.Errorf("the socket's path is shown to a client: %s %v", body, resp.Header)
		}
	}
	r.serve()
	deadline := time.Now().Add(10 * time.Second)
	for {
		resp, _, err := r.post("/v1/chat/completions", "{}")
		if err == nil && resp.StatusCode == 200 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("Envoy does not come back to a restarted processor: %v %v", resp, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A client that stops in the middle of its upload is told so, even when the processor would wait for ever.
func TestLive_stalledUpload(t *testing.T) {
	ok := newUpstream(t, answering(200))
	r := newRig(t, compile(t, fmt.Sprintf("listen: {address: \"127.0.0.1:0\"}\nlimits: {upload_timeout: 1s}\nretry: {timeout: 2s, per_try_timeout: 1s, idle_timeout: 1s}\nproviders: [{name: ok, schema: openai, endpoint: %q}]", ok.URL)))
	r.stub.script(ordered("ok"), nil)
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, "POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{\"half\":")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var body strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&body); err != nil {
		t.Fatal(err)
	}
	if kind, _ := said(t, "anthropic", body.String()); resp.StatusCode != 408 || kind != "invalid_request_error" {
		t.Errorf("%s %s", resp.Status, body.String())
	}
}
