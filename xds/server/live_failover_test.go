package server_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	accesslogdatav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"

	"dragoman/internal/wiring"
)

// ordered is the plan of a request that goes to these groups, one attempt each.
func ordered(groups ...string) plan {
	return plan{order: groups, set: map[string]string{
		wiring.HeaderOrdered: "1", wiring.HeaderMaxRetries: fmt.Sprint(len(groups) - 1), wiring.HeaderRetryCodes: wiring.ElsewhereCodes,
	}}
}

func probed(groups ...string) plan {
	p := ordered(groups...)
	p.set[wiring.HeaderProbe] = "1"
	return p
}

// Ways in which a provider fails.

func resetting(w http.ResponseWriter, _ *http.Request) {
	c, _, _ := w.(http.Hijacker).Hijack()
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

func hanging(_ http.ResponseWriter, req *http.Request) {
	select {
	case <-req.Context().Done():
	case <-time.After(20 * time.Second):
	}
}

// streaming sends n events, one each 100 ms.
func streaming(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("content-type", "text/event-stream")
		for i := range n {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// erring answers 200, and then an error as its first event.
func erring(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("content-type", "text/event-stream")
	w.(http.Flusher).Flush()
	time.Sleep(50 * time.Millisecond)
	fmt.Fprint(w, "event: error\ndata: {\"type\":\"overloaded_error\"}\n\n")
}

func cutting(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("content-length", "1000")
	fmt.Fprint(w, "data: 1\n\n")
	w.(http.Flusher).Flush()
	time.Sleep(50 * time.Millisecond)
	c, _, _ := w.(http.Hijacker).Hijack()
	c.Close()
}

// refusingURL is an address at which nobody listens.
func refusingURL(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// failing is a rig with a provider for each way to fail, and a good one.
func failing(t *testing.T) (*rig, map[string]*upstream) {
	t.Helper()
	all := map[string]*upstream{}
	yaml := "listen: {address: \"127.0.0.1:0\"}\nretry: {per_try_timeout: 1s, timeout: 10s}\nproviders:\n"
	for name, handle := range map[string]http.HandlerFunc{
		"ok": answering(200), "busy": answering(429, "retry-after", "7"), "broken": answering(503), "locked": answering(401),
		"missing": answering(404), "picky": answering(400), "resets": resetting, "hangs": hanging, "streams": streaming(20),
		"errs": erring, "cuts": cutting,
	} {
		all[name] = newUpstream(t, handle)
		yaml += fmt.Sprintf("- {name: %s, schema: openai, endpoint: %q}\n", name, all[name].URL)
	}
	yaml += fmt.Sprintf("- {name: refuses, schema: openai, endpoint: %q}\n", refusingURL(t))
	return newRig(t, compile(t, yaml)), all
}

func TestLive_failover(t *testing.T) {
	r, providers := failing(t)
	for name, want := range map[string]func(*accesslogdatav3.HTTPAccessLogEntry) bool{
		"busy": func(e *accesslogdatav3.HTTPAccessLogEntry) bool {
			return code(e) == 429 && e.GetResponse().GetResponseHeaders()["retry-after"] == "7"
		},
		"broken":  func(e *accesslogdatav3.HTTPAccessLogEntry) bool { return code(e) == 503 },
		"locked":  func(e *accesslogdatav3.HTTPAccessLogEntry) bool { return code(e) == 401 },
		"missing": func(e *accesslogdatav3.HTTPAccessLogEntry) bool { return code(e) == 404 },
		"refuses": func(e *accesslogdatav3.HTTPAccessLogEntry) bool {
			return code(e) == 0 && e.GetCommonProperties().GetResponseFlags().GetUpstreamConnectionFailure()
		},
		"resets": func(e *accesslogdatav3.HTTPAccessLogEntry) bool {
			return code(e) == 0 && e.GetCommonProperties().GetResponseFlags().GetUpstreamConnectionTermination()
		},
		"hangs": func(e *accesslogdatav3.HTTPAccessLogEntry) bool {
			return code(e) == 0 && e.GetCommonProperties().GetResponseFlags().GetUpstreamRequestTimeout() &&
				e.GetCommonProperties().GetDuration().AsDuration() >= 900*time.Millisecond
		},
	} {
		t.Run(name, func(t *testing.T) {
			r.stub.script(ordered(name, "ok"), nil)
			start, before := time.Now(), len(providers["ok"].seen())
			resp, body, err := r.post("/v1/chat/completions", `{"model":"m"}`)
			if err != nil || resp.StatusCode != 200 || body != `{"status":200}` {
				t.Fatalf("%v %s %v", resp, body, err)
			}
			if len(providers["ok"].seen()) != before+1 {
				t.Error("the next provider was not asked exactly once")
			}
			if name != "hangs" && time.Since(start) > 900*time.Millisecond {
				t.Errorf("the failover took %v: there is nothing to wait for at another provider", time.Since(start))
			}
			request, attempts := r.stub.last()
			fields := request.attrs[wiring.AttributesKey].GetFields()
			if c, n := fields[wiring.AttributeCluster].GetStringValue(), fields[wiring.AttributeAttempts].GetNumberValue(); c != "ok/default" || n != 2 {
				t.Errorf("attributes with the answer: cluster %q, attempts %v", c, n)
			}
			if len(attempts) != 1 || attempts[0].cluster != "ok/default" || attempts[0].headers[wiring.HeaderAttemptCount] != "2" {
				t.Errorf("attempt streams: %+v, want one for attempt 2 alone", attempts)
			}
			if log := r.stub.logged(1, name+"/default"); len(log) != 1 || !want(log[0]) {
				t.Errorf("attempts logged: %v", log)
			}
		})
	}
}

func code(e *accesslogdatav3.HTTPAccessLogEntry) uint32 {
	return e.GetResponse().GetResponseCode().GetValue()
}

// forget says how often each provider was asked since the last time.
func forget(providers map[string]*upstream) map[string]int {
	n := map[string]int{}
	for name, u := range providers {
		n[name] = len(u.seen())
		u.mu.Lock()
		u.received = nil
		u.mu.Unlock()
	}
	return n
}

func TestLive_ordersAndRetries(t *testing.T) {
	r, providers := failing(t)
	asked := func() map[string]int { return forget(providers) }
	t.Run("a success costs no log entry and no attempt stream", func(t *testing.T) {
		r.stub.script(ordered("ok"), nil)
		if resp, _, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		if _, attempts := r.stub.last(); len(attempts) != 0 || len(r.stub.logged(0, "ok/default")) != 0 {
			t.Error("a plain success cost more than its one stream")
		}
	})
	t.Run("a request at fault is not tried elsewhere", func(t *testing.T) {
		asked()
		r.stub.script(ordered("picky", "ok"), nil)
		if resp, _, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 400 {
			t.Fatal(resp, err)
		}
		if n := asked(); n["ok"] != 0 {
			t.Error("a 400 was retried")
		}
	})
	t.Run("a refused credential is not tried again unless the processor says so", func(t *testing.T) {
		asked()
		p := ordered("locked", "ok")
		delete(p.set, wiring.HeaderRetryCodes)
		r.stub.script(p, nil)
		if resp, _, err := r.post("/v1/chat/completions", "{}", wiring.HeaderRetryCodes, wiring.ElsewhereCodes); err != nil || resp.StatusCode != 401 {
			t.Fatal(resp, err)
		}
		if n := asked(); n["locked"] != 1 || n["ok"] != 0 {
			t.Errorf("asked %v", n)
		}
	})
	t.Run("retries as many as the processor said", func(t *testing.T) {
		asked()
		p := ordered("broken", "busy", "ok")
		p.set[wiring.HeaderMaxRetries] = "1"
		r.stub.script(p, nil)
		if resp, _, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 429 {
			t.Fatal(resp, err)
		}
		if n := asked(); n["broken"] != 1 || n["busy"] != 1 || n["ok"] != 0 {
			t.Errorf("asked %v", n)
		}
	})
}

func TestLive_failsClosed(t *testing.T) {
	r, providers := failing(t)
	asked := func() map[string]int { return forget(providers) }
	t.Run("an unknown group ends nowhere, not at some provider", func(t *testing.T) {
		asked()
		r.stub.script(ordered("broken", "renamed", "ok"), nil)
		resp, body, err := r.post("/v1/chat/completions", "{}")
		if err != nil || resp.StatusCode != 503 || resp.Header.Get(wiring.HeaderLocalReply) != "no_healthy_upstream" {
			t.Fatal(resp, body, err)
		}
		if n := asked(); n["broken"] != 1 || n["ok"] != 0 {
			t.Errorf("asked %v", n)
		}
	})
	t.Run("a client cannot order its own request", func(t *testing.T) {
		asked()
		r.stub.script(plan{}, nil) // the processor orders nothing
		resp, body, err := r.post("/v1/chat/completions", "{}", wiring.HeaderOrdered, "1", wiring.HeaderProbe, "1", wiring.HeaderMaxRetries, "9")
		if err != nil || resp.StatusCode != 503 || !strings.Contains(body, "not_routed") {
			t.Fatal(resp, body, err)
		}
		for name, n := range asked() {
			if n != 0 {
				t.Errorf("%s was asked", name)
			}
		}
	})
}

func TestLive_streams(t *testing.T) {
	r, _ := failing(t)
	hold := func(string, int) plan { return plan{hold: true} }
	t.Run("a long stream outlives the per-try timeout", func(t *testing.T) {
		r.stub.script(ordered("streams"), nil)
		if _, body, err := r.post("/v1/chat/completions", "{}"); err != nil || strings.Count(body, "data: ") != 20 {
			t.Fatal(body, err)
		}
	})
	t.Run("also when its first event was held", func(t *testing.T) {
		r.stub.script(probed("streams"), hold)
		if _, body, err := r.post("/v1/chat/completions", "{}"); err != nil || strings.Count(body, "data: ") != 20 {
			t.Fatal(body, err)
		}
		_, attempts := r.stub.last()
		if len(attempts) != 1 || attempts[0].headers[wiring.HeaderAttemptCount] != "1" || exchange(attempts[0]) != "exchange-1" {
			t.Errorf("a probed first attempt: %+v", attempts)
		}
	})
	t.Run("an error as the first event is failed over", func(t *testing.T) {
		r.stub.script(probed("errs", "ok"), hold)
		resp, body, err := r.post("/v1/chat/completions", "{}")
		if err != nil || resp.StatusCode != 200 || body != `{"status":200}` {
			t.Fatal(resp, body, err)
		}
		if log := r.stub.logged(1, "errs/default"); len(log) != 1 || code(log[0]) != 503 {
			t.Errorf("attempts logged: %v", log)
		}
	})
	t.Run("a held provider that says nothing is given up", func(t *testing.T) {
		r.stub.script(probed("hangs", "ok"), hold)
		if resp, _, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
	})
	t.Run("a cut stream is no clean end, and is logged", func(t *testing.T) {
		r.stub.script(ordered("cuts", "ok"), nil)
		if _, body, err := r.post("/v1/chat/completions", "{}"); err == nil {
			t.Fatalf("the client took %q for a whole answer", body)
		}
		if log := r.stub.logged(1, "cuts/default"); len(log) != 1 || code(log[0]) != 200 || log[0].GetCommonProperties().GetResponseFlags() == nil {
			t.Errorf("attempts logged: %v", log)
		}
	})
}

func exchange(s *seen) string {
	return s.meta.GetFilterMetadata()[wiring.MetadataExchange].GetFields()[wiring.KeyExchange].GetStringValue()
}

func TestLive_laterAttempts(t *testing.T) {
	r, providers := failing(t)
	t.Run("the exchange is known to each", func(t *testing.T) {
		r.stub.script(ordered("broken", "busy", "locked", "ok"), nil)
		if resp, _, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		_, attempts := r.stub.last()
		var clusters []string
		for i, a := range attempts {
			clusters = append(clusters, a.cluster)
			if exchange(a) != "exchange-1" || a.headers[wiring.HeaderAttemptCount] != fmt.Sprint(i+2) {
				t.Errorf("attempt %d: exchange %q, headers %v", i+2, exchange(a), a.headers)
			}
		}
		if want := []string{"busy/default", "locked/default", "ok/default"}; !slices.Equal(clusters, want) {
			t.Errorf("attempt streams of %v, want %v", clusters, want)
		}
	})
	t.Run("the processor may leave once it has answered the request", func(t *testing.T) {
		r.stub.script(ordered("broken", "streams"), func(string, int) plan { return plan{leave: true} })
		if _, body, err := r.post("/v1/chat/completions", "{}"); err != nil || strings.Count(body, "data: ") != 20 {
			t.Fatal(body, err)
		}
	})
	t.Run("a large body is sent again, and may be replaced", func(t *testing.T) {
		big, other := strings.Repeat("x", 20<<20), strings.Repeat("y", 25<<20)
		r.stub.script(ordered("refuses", "ok"), nil)
		if resp, _, err := r.post("/v1/chat/completions", big); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		r.stub.script(ordered("refuses", "ok"), func(string, int) plan {
			return plan{body: other, set: map[string]string{wiring.HeaderLength: fmt.Sprint(len(other))}}
		})
		if resp, _, err := r.post("/v1/chat/completions", big); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, err)
		}
		got := providers["ok"].seen()
		if n := len(got); n < 2 || got[n-2].body != big || got[n-1].body != other {
			t.Error("the bodies of later attempts are not what they should be")
		}
	})
}
