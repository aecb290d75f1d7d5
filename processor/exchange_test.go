package processor

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
	"dragoman/processor/account"
	"dragoman/processor/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// book is a ledger and counters that remember.
type book struct {
	limit.Counters
	records  []account.Record
	reserved int
	settled  []int64
}

func (b *book) Ready() error { return nil }

func (b *book) Begin(*account.Record) {}

func (b *book) Record(r *account.Record) { b.records = append(b.records, *r) }

func (b *book) Reserve(ctx context.Context, q *limit.Request) (*limit.Reservation, limit.Status, error) {
	r, st, err := b.Counters.Reserve(ctx, q)
	if r != nil {
		b.reserved++
	}
	return r, st, err
}

func (b *book) Settle(now time.Time, r *limit.Reservation, u limit.Used) {
	b.settled = append(b.settled, u.Usage.Total())
	b.Counters.Settle(now, r, u)
}

const keyedConfig = benchConfig + `
tenants:
- name: acme
  limits: {tokens_per_minute: 1000000}
  keys: [{name: ci, hash: "` + testKeyHash + `"}]
`

// The key is "x": requests of recorded() send it.
const testKeyHash = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"

// newGate counts in process.
func newGate() *limit.Gate {
	return limit.NewGate(limit.Options{Quota: config.Quota{Lease: time.Minute, MinOutput: 64}, Store: limit.NewMemory()})
}

func newBookServer(t *testing.T) (*Server, *book) {
	t.Helper()
	s := newTestServer(t, keyedConfig)
	b := &book{Counters: newGate()}
	s.Counters, s.Ledger = b, b
	return s, b
}

const (
	plainAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"So it is."},"finish_reason":"stop"}],"usage":{"prompt_tokens":40,"completion_tokens":25,"total_tokens":65}}`
	chunk       = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"four"},"finish_reason":null}]}` + "\n\n"
	lastChunks  = `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n" +
		`data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[],"usage":{"prompt_tokens":40,"completion_tokens":9,"total_tokens":49}}` + "\n\ndata: [DONE]\n\n"
)

// script is one request as Envoy would tell it, cut where the test wants.
type script struct {
	question string
	stream   bool
	status   string
	headers  []*corev3.HeaderValue
	pieces   []string // of the answer
	local    string   // Envoy's own reply, its details
}

func (c script) messages(t testing.TB) [][]byte {
	body := `{"model":"m","messages":[{"role":"user","content":"hello there"}],"stream":` + strconv.FormatBool(c.stream) + `}`
	if c.question != "" {
		body = c.question
	}
	all := recorded(t, "/v1/chat/completions", body, "", "a/default")[:2]
	kind := "application/json"
	if c.stream {
		kind = "text/event-stream"
	}
	hs := append([]*corev3.HeaderValue{header(":status", c.status), header("content-type", kind), header("set-cookie", "a=b")}, c.headers...)
	if c.local != "" {
		hs = append(hs, header(wiring.HeaderLocalReply, c.local))
	}
	answer := []*extproc.ProcessingRequest{{
		Attributes: map[string]*structpb.Struct{wiring.AttributesKey: {Fields: map[string]*structpb.Value{
			wiring.AttributeCluster: structpb.NewStringValue("a/default"), wiring.AttributeAttempts: structpb.NewNumberValue(1),
		}}},
		Request: &extproc.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extproc.HttpHeaders{
			Headers: &corev3.HeaderMap{Headers: hs}, EndOfStream: len(c.pieces) == 0,
		}},
	}}
	for i, p := range c.pieces {
		answer = append(answer, &extproc.ProcessingRequest{Request: &extproc.ProcessingRequest_ResponseBody{
			ResponseBody: &extproc.HttpBody{Body: []byte(p), EndOfStream: i == len(c.pieces)-1},
		}})
	}
	return append(all, wired(t, answer)...)
}

// client puts together what Envoy would give the client: status (0: none), body.
func client(t testing.TB, out []*outbound) (status string, headers map[string]string, body string) {
	t.Helper()
	headers = map[string]string{}
	note := func(m *extproc.HeaderMutation) {
		for _, name := range m.GetRemoveHeaders() { // Envoy removes first
			headers[name] = "removed"
		}
		for _, h := range m.GetSetHeaders() {
			headers[h.GetHeader().GetKey()] = string(h.GetHeader().GetRawValue())
		}
	}
	for _, o := range out {
		m := &extproc.ProcessingResponse{}
		if err := proto.Unmarshal(append(bytes.Clone(o.head), o.body...), m); err != nil {
			t.Fatal(err)
		}
		switch r := m.Response.(type) {
		case *extproc.ProcessingResponse_ImmediateResponse:
			note(r.ImmediateResponse.GetHeaders())
			return strconv.Itoa(int(r.ImmediateResponse.GetStatus().GetCode())), headers, string(r.ImmediateResponse.GetBody())
		case *extproc.ProcessingResponse_ResponseHeaders:
			note(r.ResponseHeaders.GetResponse().GetHeaderMutation())
			if status = headers[":status"]; status == "" {
				status = "200"
			}
		case *extproc.ProcessingResponse_ResponseBody:
			body += string(r.ResponseBody.GetResponse().GetBodyMutation().GetStreamedResponse().GetBody())
		}
	}
	return status, headers, body
}

// TestEveryExitSettlesOnce cuts requests at every message: whatever happened, there is one record and one settlement.
func TestEveryExitSettlesOnce(t *testing.T) {
	for name, c := range map[string]script{
		"plain":           {status: "200", pieces: []string{plainAnswer[:50], plainAnswer[50:]}},
		"stream":          {status: "200", stream: true, pieces: []string{chunk, chunk, lastChunks}},
		"provider error":  {status: "429", headers: []*corev3.HeaderValue{header("retry-after", "7")}, pieces: []string{`{"error":{"message":"slow down","type":"requests"}}`}},
		"bodyless error":  {status: "500"},
		"envoy's own":     {status: "503", local: "no_healthy_upstream", pieces: []string{"x"}},
		"no answer":       {status: "200", pieces: []string{"<html>"}},
		"refused":         {question: `{"model":"unheard-of","messages":[{"role":"user","content":"x"}]}`, status: "200"},
		"cut stream":      {status: "200", stream: true, pieces: []string{chunk, chunk}},
		"error in stream": {status: "200", stream: true, pieces: []string{chunk, `data: {"error":{"message":"overloaded","type":"server_error"}}` + "\n\n"}},
	} {
		messages := c.messages(t)
		for cut := 1; cut <= len(messages); cut++ {
			s, b := newBookServer(t)
			if err := s.Process(&tape{ctx: requestContext(), in: messages[:cut]}); err != nil {
				t.Fatalf("%s, cut after %d: %v", name, cut, err)
			}
			if len(b.records) != 1 || len(b.settled) != b.reserved || b.reserved > 1 {
				t.Errorf("%s, cut after %d messages: %d records, %d of %d reservations settled", name, cut, len(b.records), len(b.settled), b.reserved)
			}
			if n := len(s.exchanges.shard("").m); n != 0 || s.InFlight() != 0 {
				t.Errorf("%s, cut after %d messages: exchanges are left", name, cut)
			}
		}
	}
}

func TestOutcomes(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	_, _ = w.Write([]byte(plainAnswer))
	w.Close()
	for name, c := range map[string]struct {
		script
		status, outcome, body string
		output                int64
	}{
		"plain":            {script{status: "200", pieces: []string{plainAnswer}}, "200", "ok", plainAnswer, 25},
		"gzip":             {script{status: "200", headers: []*corev3.HeaderValue{header("content-encoding", "gzip")}, pieces: []string{zipped.String()[:30], zipped.String()[30:]}}, "200", "ok", plainAnswer, 25},
		"unknown encoding": {script{status: "200", headers: []*corev3.HeaderValue{header("content-encoding", "zstd")}, pieces: []string{"x"}}, "502", "provider_failed", "zstd", 0},
		"html":             {script{status: "200", pieces: []string{"<html>no</html>"}}, "502", "provider_failed", "Provider a: ", 0},
		"429":              {script{status: "429", headers: []*corev3.HeaderValue{header("retry-after", "7")}, pieces: []string{`{"error":{"message":"slow down","type":"requests"}}`}}, "429", "rate_limited", "slow down", 0},
		"500 without body": {script{status: "500"}, "500", "provider_error", "Provider a: ", 0},
		"local timeout":    {script{status: "504", local: "upstream_per_try_timeout", pieces: []string{"x"}}, "504", "provider_timeout", "upstream_per_try_timeout", 0},
		"stream":           {script{status: "200", stream: true, pieces: []string{chunk, lastChunks}}, "200", "ok", "[DONE]", 9},
		"cut stream":       {script{status: "200", stream: true, pieces: []string{chunk, ""}}, "200", "provider_failed", `data: {"error":`, 1},
		"no stream":        {script{status: "200", stream: true, headers: []*corev3.HeaderValue{header("content-type", "application/json")}, pieces: []string{plainAnswer}}, "200", "ok", "So it is.", 25},
	} {
		t.Run(name, func(t *testing.T) {
			messages := c.messages(t)
			if name == "no stream" {
				c.script.stream = false
				messages = append(c.script.streamedQuestion(t), c.script.messages(t)[2:]...)
			}
			s, b := newBookServer(t)
			stream := &tape{ctx: requestContext(), in: messages}
			if err := s.Process(stream); err != nil {
				t.Fatal(err)
			}
			status, headers, body := client(t, stream.out)
			if status != c.status || !strings.Contains(body, c.body) {
				t.Errorf("the client got %s %s, want %s %s", status, body, c.status, c.body)
			}
			if headers["set-cookie"] != "removed" && status == "200" {
				t.Error("a provider's cookie reached the client")
			}
			if name == "429" && headers["retry-after"] != "7" {
				t.Errorf("retry-after is %q, want 7", headers["retry-after"])
			}
			if r := b.records[0]; r.Outcome != c.outcome || r.Usage.Output != c.output || len(b.settled) != 1 {
				t.Errorf("recorded %s with %d output tokens, want %s with %d; settled %d times", r.Outcome, r.Usage.Output, c.outcome, c.output, len(b.settled))
			}
		})
	}
}

// streamedQuestion asks for a stream, whatever the provider then does.
func (c script) streamedQuestion(t testing.TB) [][]byte {
	c.stream = true
	return c.messages(t)[:2]
}

// TestC1_a_client_that_leaves_pays_for_what_it_got: usage comes only with the last event, so what was delivered is counted.
func TestC1_a_client_that_leaves_pays_for_what_it_got(t *testing.T) {
	s, b := newBookServer(t)
	many := strings.Repeat(chunk, 50)
	messages := script{status: "200", stream: true, pieces: []string{many, "never"}}.messages(t)
	if err := s.Process(&tape{ctx: requestContext(), in: messages[:4]}); err != nil {
		t.Fatal(err)
	}
	r := b.records[0]
	if r.Outcome != "canceled" || !r.Estimated || r.Usage.Output != 50 || r.Usage.Input == 0 || b.settled[0] != r.Usage.Total() {
		t.Errorf("recorded %+v and settled %d, want 50 estimated output tokens", r, b.settled)
	}
}

// TestGzipStreamAtEverySplit: a stream that came compressed though nobody asked is the same for any split of its bytes.
func TestGzipStreamAtEverySplit(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	for _, part := range []string{chunk, chunk, lastChunks} {
		_, _ = w.Write([]byte(part))
		w.Flush()
	}
	w.Close()
	whole, gz := chunk+chunk, zipped.String()
	for at := 1; at < len(gz); at += 7 {
		s, _ := newBookServer(t)
		stream := &tape{ctx: requestContext(), in: script{
			status: "200", stream: true, headers: []*corev3.HeaderValue{header("content-encoding", "gzip")}, pieces: []string{gz[:at], gz[at:]},
		}.messages(t)}
		if err := s.Process(stream); err != nil {
			t.Fatal(err)
		}
		if _, _, body := client(t, stream.out); !strings.HasPrefix(body, whole) || !strings.HasSuffix(body, "[DONE]\n\n") {
			t.Fatalf("split at %d of %d: %q", at, len(gz), body)
		}
	}
}

// slow is a stream whose next message never comes.
type slow struct {
	*tape
	done chan struct{}
}

func (s *slow) RecvMsg(m any) error {
	if s.next < len(s.in) {
		return s.tape.RecvMsg(m)
	}
	<-s.done
	return errors.New("the stream was left open")
}

func (s *slow) SendMsg(m any) error {
	err := s.tape.SendMsg(m)
	if o := m.(*outbound); bytes.Contains(o.body, []byte("stalled")) || bytes.Contains(o.body, []byte("did not arrive")) {
		close(s.done)
	}
	return err
}

func TestStallsEndByTheExchangesOwnTimer(t *testing.T) {
	for name, c := range map[string]struct {
		messages [][]byte
		want     string
	}{
		"upload": {script{status: "200"}.messages(t)[:1], "did not arrive within 40ms"},
		"stream": {script{status: "200", stream: true, pieces: []string{chunk, "x"}}.messages(t)[:4], "stalled: no data for 40ms"},
		"whole":  {script{status: "200", pieces: []string{plainAnswer[:9], "x"}}.messages(t)[:4], "stalled: no data for 40ms"},
	} {
		s, b := newBookServer(t)
		snap := *s.Config()
		snap.Retry.IdleTimeout, snap.Limits.UploadTimeout = 40*time.Millisecond, 40*time.Millisecond
		s.Options.Config = func() *config.Snapshot { return &snap }
		stream := &slow{&tape{ctx: requestContext(), in: c.messages}, make(chan struct{})}
		_ = s.Process(stream)
		if _, _, body := client(t, stream.out); !strings.Contains(body, c.want) {
			t.Errorf("%s: the client got %q, want %q", name, body, c.want)
		}
		if len(b.records) != 1 || b.records[0].Outcome == "ok" {
			t.Errorf("%s: recorded %+v", name, b.records)
		}
	}
}

// TestPanicEndsOneStream: a bug in one request must not end the process.
func TestPanicEndsOneStream(t *testing.T) {
	s, _ := newBookServer(t)
	s.Options.Random = func() float64 { panic("bug") }
	if err := s.Process(&tape{ctx: requestContext(), in: script{status: "200"}.messages(t)}); err == nil {
		t.Error("a panic ended a stream as if all were well")
	}
	if s.InFlight() != 0 {
		t.Error("the stream still counts as open")
	}
}
