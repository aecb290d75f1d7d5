package fakeprovider

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tidwall/gjson"
)

func TestStatusFaultsAreTheVendorsOwn(t *testing.T) {
	kinds := map[int]string{401: "authentication_error", 403: "permission_error", 404: "not_found_error", 408: "timeout_error",
		413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 503: "api_error", 529: "overloaded_error", 418: "api_error"}
	for _, schema := range []Schema{OpenAI, Anthropic} {
		s := Start(t, Options{Schema: schema})
		for status, kind := range kinds {
			s.Fail(1, Fault{Kind: Status, Status: status, RetryAfter: "7", RetryAfterMS: "7000"})
			resp, err := client(t).Do(request(t, s, plain(schema, status%2 == 0)))
			if err != nil {
				t.Fatal(err)
			}
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			e := gjson.GetBytes(body, "error")
			if resp.StatusCode != status || e.Get("message").String() == "" || resp.Header.Get("Retry-After") != "7" || resp.Header.Get("Retry-After-Ms") != "7000" {
				t.Errorf("%s %d: %d %v %s", schema, status, resp.StatusCode, resp.Header, body)
			}
			if strings.Contains(string(body), "MODEL") {
				t.Errorf("model not put in: %s", body)
			}
			if schema == Anthropic && (e.Get("type").String() != kind || gjson.GetBytes(body, "type").String() != "error") {
				t.Errorf("%d: %s, want %s", status, body, kind)
			}
			if schema == OpenAI && (!e.Get("param").Exists() || !e.Get("code").Exists()) {
				t.Errorf("%d: %s", status, body)
			}
		}
		s.Fail(1, Fault{Kind: Status, Status: 400, Message: "Your credit balance is too low", Type: "billing", Code: "low"})
		if _, body := post(t, s, plain(schema, false)); gjson.GetBytes(body, "error.message").String() != "Your credit balance is too low" ||
			gjson.GetBytes(body, "error.type").String() != "billing" {
			t.Errorf("scripted words: %s", body)
		}
		if status, _ := post(t, s, plain(schema, false)); status != 200 {
			t.Errorf("after the script: %d", status)
		}
		if c := s.Counters(); c.Faults != len(kinds)+1 || c.Complete != 1 {
			t.Errorf("%+v", c)
		}
	}
}

func TestBodyFaults(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	for _, c := range []struct {
		kind   Failure
		status int
		want   string
	}{
		{HTML200, 200, "<!DOCTYPE html>"}, {HTML502, 502, "<!DOCTYPE html>"}, {BadJSON, 200, `{"id":"broken"`}, {EmptyBody, 200, ""},
		{HugeBody, 200, `"content":"huge huge`}, {EndlessLine, 200, `data: {"id":"endless"`},
	} {
		s.Fail(1, Fault{Kind: c.kind, Bytes: 3 << 20})
		status, body := post(t, s, plain(OpenAI, c.kind == EndlessLine))
		if status != c.status || !strings.Contains(string(body[:min(len(body), 1000)]), c.want) {
			t.Errorf("%v: %d %.80s", c.kind, status, body)
		}
		if c.kind == EmptyBody && len(body) != 0 || (c.kind == HugeBody || c.kind == EndlessLine) && len(body) < 3<<20 {
			t.Errorf("%v: %d bytes", c.kind, len(body))
		}
		if c.kind == EndlessLine && bytes.ContainsRune(body, '\n') {
			t.Error("the endless line ends")
		}
	}
}

func TestGzipNobodyAskedFor(t *testing.T) {
	for _, streamed := range []bool{false, true} {
		s := Start(t, Options{Schema: Anthropic})
		s.Fail(1, Fault{Kind: Gzip})
		resp, err := client(t).Do(request(t, s, plain(Anthropic, streamed)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		z, err := gzip.NewReader(resp.Body)
		if err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
			t.Fatal(err, resp.Header)
		}
		body, err := io.ReadAll(z)
		if err != nil || !strings.Contains(string(body), `"echo`) {
			t.Errorf("%v %s", err, body)
		}
	}
}

// firstEvents reads until the stream ends, however it does.
func firstEvents(t *testing.T, s *Server) ([]sseEvent, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	body := edit(t, plain(s.Schema(), true), map[string]any{"messages.0.content": strings.Repeat("word ", 50)}, nil)
	resp, err := client(t).Do(request(t, s, body).WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Fatalf("status %d", resp.StatusCode)
	}
	got, err := io.ReadAll(resp.Body)
	return readSSE(t, got), err
}

func TestStreamFaults(t *testing.T) {
	for _, schema := range []Schema{OpenAI, Anthropic} {
		for _, after := range []int{0, 1, 3} {
			s := Start(t, Options{Schema: schema, MaxHold: 300 * time.Millisecond})
			whole, err := firstEvents(t, s)
			if err != nil || len(whole) < 5 {
				t.Fatal(err, len(whole))
			}

			s.Fail(1, Fault{Kind: ErrorEvent, After: after})
			got, err := firstEvents(t, s)
			if err != nil || len(got) != after+1 || !got[after].data.Get("error.message").Exists() {
				t.Errorf("%s error event after %d: %v %d events", schema, after, err, len(got))
			}
			if schema == Anthropic && (got[after].name != "error" || got[after].data.Get("error.type").String() != "overloaded_error") {
				t.Errorf("%+v", got[after])
			}

			s.Fail(1, Fault{Kind: Cut, After: after})
			if got, err = firstEvents(t, s); err == nil || len(got) != after {
				t.Errorf("%s cut after %d: %v %d events", schema, after, err, len(got))
			}

			s.Fail(1, Fault{Kind: EndEarly, After: after})
			if got, err = firstEvents(t, s); err != nil || len(got) != after {
				t.Errorf("%s clean end after %d: %v %d events", schema, after, err, len(got))
			}

			s.Fail(1, Fault{Kind: Stall, After: after})
			began := time.Now()
			if got, err = firstEvents(t, s); len(got) != after || time.Since(began) < 250*time.Millisecond {
				t.Errorf("%s stall after %d: %v %d events in %v", schema, after, err, len(got), time.Since(began))
			}
			if c := s.Counters(); c.Complete != 1 || c.Faults != 4 || (c.Delivered > c.Tokens) != (after > 1) {
				t.Errorf("%s after %d: %+v", schema, after, c)
			}
		}
	}
}

func TestConnectionFaults(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI, MaxHold: 5 * time.Second})
	s.Fail(1, Fault{Kind: Reset})
	if _, err := client(t).Do(request(t, s, plain(OpenAI, false))); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
		t.Errorf("reset: %v", err)
	}
	s.Fail(1, Fault{Kind: Cut})
	resp, err := client(t).Do(request(t, s, plain(OpenAI, false)))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil || len(body) == 0 {
		t.Errorf("a whole answer cut half way: %v %q", err, body)
	}

	s.Fail(1, Fault{Kind: Hang, Delay: 100 * time.Millisecond})
	began := time.Now()
	if _, err := client(t).Do(request(t, s, plain(OpenAI, false))); err == nil || time.Since(began) < 100*time.Millisecond {
		t.Errorf("hang: %v after %v", err, time.Since(began))
	}
	s.Fail(1, Fault{Kind: Delay, Delay: 50 * time.Millisecond})
	began = time.Now()
	if status, _ := post(t, s, plain(OpenAI, false)); status != 200 || time.Since(began) < 50*time.Millisecond {
		t.Errorf("delay: %d after %v", status, time.Since(began))
	}
}

func TestClientThatGoesAwayIsCounted(t *testing.T) {
	for _, stop := range []Fault{{Kind: Hang}, {Kind: Stall, After: 2}} {
		s := Start(t, Options{Schema: Anthropic})
		s.Fail(1, stop)
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		resp, err := client(t).Do(request(t, s, plain(Anthropic, true)).WithContext(ctx))
		if err == nil {
			_, _ = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		cancel()
		deadline := time.Now().Add(3 * time.Second)
		for s.Counters().InFlight > 0 && time.Now().Before(deadline) {
			time.Sleep(5 * time.Millisecond)
		}
		if c := s.Counters(); c.Aborted != 1 || c.InFlight != 0 || c.Complete != 0 || c.MaxInFlight != 1 {
			t.Errorf("%+v", c)
		}
	}
}

func TestRefuseAndAccept(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	c, addr := client(t), s.Addr()
	c.Transport.(*http.Transport).DisableKeepAlives = true // a kept connection's end is an EOF, not a refusal
	for range 3 {
		if status, _ := do(t, c, request(t, s, plain(OpenAI, false))); status != 200 {
			t.Fatal(status)
		}
		if err := s.Refuse(); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Do(request(t, s, plain(OpenAI, false))); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("while refused: %v", err)
		}
		if err := s.Accept(); err != nil {
			t.Fatal(err)
		}
	}
	if status, _ := do(t, c, request(t, s, plain(OpenAI, false))); status != 200 || s.Addr() != addr {
		t.Errorf("%d at %s", status, s.Addr())
	}
}

func TestRulesApplyInOrderAndByPredicate(t *testing.T) {
	s := Start(t, Options{Schema: OpenAI})
	s.Script(
		Rule{Match: func(r *Request) bool { return r.Get("model").String() == "gpt-4o" }, Fault: &Fault{Kind: Status, Status: 503}},
		Rule{Times: 2, Fault: &Fault{Kind: Status, Status: 429}},
	)
	var got []int
	for _, model := range []string{"gpt-4o", "gpt-4.1", "gpt-4o", "gpt-4.1", "gpt-4.1", "gpt-4o"} {
		status, _ := post(t, s, edit(t, plain(OpenAI, false), map[string]any{"model": model}, nil))
		got = append(got, status)
	}
	if want := []int{503, 429, 503, 429, 200, 503}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if err := s.Reset(); err != nil {
		t.Fatal(err)
	}
	if status, _ := post(t, s, edit(t, plain(OpenAI, false), map[string]any{"model": "gpt-4o"}, nil)); status != http.StatusOK || len(s.Requests()) != 1 {
		t.Errorf("after Reset: %d, %d requests", status, len(s.Requests()))
	}
}
