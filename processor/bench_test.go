package processor

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"dragoman/internal/config"
	"dragoman/internal/health"
	"dragoman/internal/observe"
	"dragoman/internal/wiring"
	"dragoman/processor/account"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/processor/turns"
)

// tape is an ext_proc stream that plays recorded messages, through the codec as gRPC would.
type tape struct {
	ctx  context.Context
	in   [][]byte
	next int
	out  []*outbound
}

func (t *tape) Context() context.Context { return t.ctx }

func (t *tape) RecvMsg(m any) error {
	if t.next == len(t.in) {
		return io.EOF
	}
	t.next++
	return NewCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(t.in[t.next-1])}, m)
}

func (t *tape) SendMsg(m any) error { t.out = append(t.out, m.(*outbound)); return nil }

func header(name, value string) *corev3.HeaderValue {
	return &corev3.HeaderValue{Key: name, RawValue: []byte(value)}
}

// recorded is what Envoy sends for one plain request, as seen on a real one.
func recorded(tb testing.TB, path, body, answer, cluster string) [][]byte {
	attributes := map[string]*structpb.Struct{wiring.AttributesKey: {Fields: map[string]*structpb.Value{
		wiring.AttributeCluster:  structpb.NewStringValue(cluster),
		wiring.AttributeAttempts: structpb.NewNumberValue(1),
	}}}
	return wired(tb, []*extproc.ProcessingRequest{
		{Request: &extproc.ProcessingRequest_RequestHeaders{RequestHeaders: &extproc.HttpHeaders{Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
			header(":authority", "localhost:8080"), header(":path", path), header(":method", "POST"), header(":scheme", "http"),
			header("content-type", "application/json"), header("user-agent", "OpenAI/Python"), header("authorization", "Bearer x"),
			header("x-forwarded-proto", "http"), header("x-request-id", "6cf6e31e-0311-4105-82a5-37fa02eccb19"),
		}}}}},
		{Request: &extproc.ProcessingRequest_RequestBody{RequestBody: &extproc.HttpBody{Body: []byte(body), EndOfStream: true}}},
		{Attributes: attributes, Request: &extproc.ProcessingRequest_ResponseHeaders{ResponseHeaders: &extproc.HttpHeaders{Headers: &corev3.HeaderMap{Headers: []*corev3.HeaderValue{
			header(":status", "200"), header("content-type", "application/json"), header("date", "Sat, 21 Nov 2026 11:23:01 GMT"),
		}}}}},
		{Request: &extproc.ProcessingRequest_ResponseBody{ResponseBody: &extproc.HttpBody{Body: []byte(answer), EndOfStream: true}}},
	})
}

func wired(tb testing.TB, messages []*extproc.ProcessingRequest) (out [][]byte) {
	tb.Helper()
	for _, m := range messages {
		b, err := proto.Marshal(m)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

func requestContext() context.Context {
	return metadata.NewIncomingContext(context.Background(), metadata.Pairs(wiring.MetaFilter, wiring.FilterRequest))
}

const benchConfig = `
providers:
- {name: a, schema: openai, endpoint: "http://127.0.0.1:1"}
- {name: b, schema: anthropic, endpoint: "http://127.0.0.1:2"}
models:
- {name: m, provider: a, price: {input: 1, output: 2}}
- {name: n, provider: b, price: {input: 1, output: 2}, max_output: 4096}
`

func newTestServer(tb testing.TB, yaml string) *Server {
	tb.Helper()
	file, err := config.Parse("test.yaml", []byte(yaml))
	if err != nil {
		tb.Fatal(err)
	}
	snap, err := config.Compile(file, config.Options{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		tb.Fatal(err)
	}
	tracker := health.New(snap.Health, time.Now)
	tracker.SetClusters(snap.Clusters)
	n := 0
	kept := turns.NewMemory(1<<20, turns.TTL{}, time.Now)
	tb.Cleanup(kept.Close)
	return New(Options{
		Config: func() *config.Snapshot { return snap }, Health: tracker, Counters: newGate(),
		Turns: func() turns.Store { return kept }, Semantic: func() *semantic.Tier { return nil },
		Cache: func() cache.Backend { return cache.None{} }, Ledger: account.None{}, Metrics: observe.NewMetrics(),
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Random: func() float64 { return 0.5 },
		NewID: func() string { n++; return "exchange-" + strconv.Itoa(n) },
	})
}

var question = `{"model":"m","messages":[{"role":"system","content":"You are helpful."},{"role":"user","content":"` + strings.Repeat("What is it? ", 160) + `"}],"temperature":0.5,"max_tokens":300}`

func BenchmarkPlain(b *testing.B) {
	answer := `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("So it is. ", 90) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":400,"completion_tokens":250,"total_tokens":650}}`
	benchmark(b, recorded(b, "/v1/chat/completions", question, answer, "a/default"))
}

func BenchmarkTranslated(b *testing.B) {
	answer := `{"id":"msg_1","type":"message","role":"assistant","model":"n","content":[{"type":"text","text":"` + strings.Repeat("So it is. ", 90) + `"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":400,"output_tokens":250}}`
	benchmark(b, recorded(b, "/v1/chat/completions", strings.Replace(question, `"m"`, `"n"`, 1), answer, "b/default"))
}

func benchmark(b *testing.B, messages [][]byte) {
	s := newTestServer(b, benchConfig)
	ctx := requestContext()
	b.ReportAllocs()
	for b.Loop() {
		t := &tape{ctx: ctx, in: messages}
		if err := s.Process(t); err != nil {
			b.Fatal(err)
		}
		if len(t.out) != 4 {
			b.Fatalf("%d messages sent", len(t.out))
		}
	}
}
