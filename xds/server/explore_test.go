package server_test

import (
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

func show(t *testing.T, r *rig, what string, f func()) {
	r.stub.mu.Lock(); r.stub.requests, r.stub.attempts, r.stub.entries = nil, nil, nil; r.stub.mu.Unlock()
	t.Log("=========", what)
	f()
	for _, e := range r.stub.logged(1) {
		t.Logf("LOG cluster=%s code=%v flags=%v details=%q dur=%v fail=%q hdr=%v", e.GetCommonProperties().GetUpstreamCluster(), e.GetResponse().GetResponseCode(), e.GetCommonProperties().GetResponseFlags(), e.GetResponse().GetResponseCodeDetails(), e.GetCommonProperties().GetDuration().AsDuration(), e.GetCommonProperties().GetUpstreamTransportFailureReason(), e.GetResponse().GetResponseHeaders())
	}
	r.stub.mu.Lock(); defer r.stub.mu.Unlock()
	for _, x := range r.stub.requests { t.Logf("REQ bytes=%d chunks=%d RESP %v  ATTR %v", x.bytes, x.chunks, x.response, x.attrs) }
	for _, x := range r.stub.attempts { t.Logf("ATT %s count=%s chunks=%d RESP %v", x.cluster, x.headers["x-envoy-attempt-count"], x.chunks, x.response) }
}

func TestExplore2(t *testing.T) {
	reset := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) { c, _, _ := w.(http.Hijacker).Hijack(); c.(*net.TCPConn).SetLinger(0); c.Close() })
	hang := newUpstream(t, func(w http.ResponseWriter, req *http.Request) { select { case <-req.Context().Done(): case <-time.After(20 * time.Second): } })
	slow := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/event-stream")
		for i := range 10 { fmt.Fprintf(w, "data: %d\n\n", i); w.(http.Flusher).Flush(); time.Sleep(400 * time.Millisecond) }
	})
	cut := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-length", "1000"); fmt.Fprint(w, "data: 1\n\n"); w.(http.Flusher).Flush(); time.Sleep(50*time.Millisecond); c, _, _ := w.(http.Hijacker).Hijack(); c.Close() })
	stall := newUpstream(t, func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprint(w, "data: 1\n\n"); w.(http.Flusher).Flush(); select { case <-req.Context().Done(): case <-time.After(20 * time.Second): } })
	sse := newUpstream(t, func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("content-type", "text/event-stream"); w.(http.Flusher).Flush(); time.Sleep(300*time.Millisecond); fmt.Fprint(w, "event: error\ndata: {\"type\":\"overloaded_error\"}\n\n") })
	ok := newUpstream(t, status(200))
	l, _ := net.Listen("tcp", "127.0.0.1:0"); dead := l.Addr().String(); l.Close()
	s := compile(t, fmt.Sprintf(`
listen: {address: "127.0.0.1:0"}
retry: {per_try_timeout: 1s, idle_timeout: 2s, timeout: 12s}
providers:
- {name: reset, schema: openai, endpoint: %s}
- {name: hang, schema: openai, endpoint: %s}
- {name: slow, schema: openai, endpoint: %s}
- {name: cut, schema: openai, endpoint: %s}
- {name: stall, schema: openai, endpoint: %s}
- {name: sse, schema: openai, endpoint: %s}
- {name: ok, schema: openai, endpoint: %s}
- {name: dead, schema: openai, endpoint: "http://%s"}
`, reset.URL, hang.URL, slow.URL, cut.URL, stall.URL, sse.URL, ok.URL, dead))
	r := newRig(t, s)
	var order string; probe := false
	r.stub.request = func(h map[string]string) plan {
		p := plan{order: strings.Split(order, " "), set: map[string]string{wiring.HeaderOrdered: "1", wiring.HeaderMaxRetries: "3"}}
		if probe { p.set[wiring.HeaderProbe] = "1" }
		return p
	}
	r.stub.attempt = func(cluster string, n int) plan { return plan{hold: probe} }
	go1 := func(o string) func() { return func() { order = o; st := time.Now(); resp, body, err := r.post("/v1/chat/completions", `{"model":"m"}`); 
		if err != nil { t.Log("ERR", err, body, time.Since(st)); return }; t.Log(resp.Status, resp.Header, body, time.Since(st)) } }
	show(t, r, "refused then ok", go1("dead ok"))
	show(t, r, "reset then ok", go1("reset ok"))
	show(t, r, "hang (per try 1s) then ok", go1("hang ok"))
	show(t, r, "long stream with per-try 1s", go1("slow"))
	show(t, r, "cut mid body", go1("cut ok"))
	show(t, r, "stall mid body (idle 2s)", go1("stall ok"))
	show(t, r, "dead only", func() { order="dead"; r.stub.request = func(h map[string]string) plan { return plan{order: []string{"dead"}, set: map[string]string{wiring.HeaderOrdered:"1", wiring.HeaderMaxRetries:"0"}} }; resp, body, err := r.post("/v1/messages", "{}"); t.Log(resp.Status, resp.Header, body, err) })
	show(t, r, "hang only", func() { r.stub.request = func(h map[string]string) plan { return plan{order: []string{"hang"}, set: map[string]string{wiring.HeaderOrdered:"1", wiring.HeaderMaxRetries:"0"}} }; resp, body, err := r.post("/v1/messages", "{}"); t.Log(resp.Status, resp.Header, body, err) })
	probe = true
	r.stub.request = func(h map[string]string) plan { return plan{order: strings.Split(order, " "), set: map[string]string{wiring.HeaderOrdered: "1", wiring.HeaderMaxRetries: "3", wiring.HeaderProbe: "1"}} }
	show(t, r, "probed: sse error then ok", go1("sse ok"))
	show(t, r, "probed: slow", go1("slow"))
	show(t, r, "probed: hang, then slow", go1("hang slow"))
	show(t, r, "immediate", func() { r.stub.request = func(map[string]string) plan { return plan{immediate: &extprocv3.ImmediateResponse{Status: &typev3.HttpStatus{Code: 429}, Body: []byte(`{"own":"body"}`), Details: "dragoman_rate_limited", Headers: &extprocv3.HeaderMutation{SetHeaders: setHeaders(map[string]string{"content-type": "application/json", "retry-after": "9"})}}} }
		resp, body, err := r.post("/v1/messages", "{}"); t.Log(resp.Status, resp.Header, body, err) })
	show(t, r, "ext_proc error", func() { r.stub.request = func(map[string]string) plan { return plan{fail: fmt.Errorf("bang")} }
		resp, body, err := r.post("/v1/messages", "{}"); t.Log(resp.Status, resp.Header, body, err) })
	show(t, r, "unordered", func() { r.stub.request = func(map[string]string) plan { return plan{} }
		resp, body, err := r.post("/v1/messages", "{}"); t.Log(resp.Status, resp.Header, body, err) })
	show(t, r, "big", func() { r.stub.request = func(map[string]string) plan { return plan{order: []string{"dead","ok"}, set: map[string]string{wiring.HeaderOrdered:"1", wiring.HeaderMaxRetries:"1"}} }
		resp, body, err := r.post("/v1/messages", strings.Repeat("x", 30<<20)); t.Log(resp.Status, resp.Header, body, err); for _, x := range ok.seen() { t.Log("ok got", len(x.body)) } })
	r.grpc.Stop()
	show(t, r, "dragoman gone", func() { resp, body, err := r.post("/v1/messages", "{}"); t.Log(resp.Status, resp.Header, body, err) })
}
