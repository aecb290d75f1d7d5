package processor

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"dragoman/internal/fault"
	"dragoman/processor/route"
)

// sent is a stream to Envoy that keeps what it is given.
type sent struct{ messages []*outbound }

func (s *sent) Context() context.Context { return context.Background() }
func (s *sent) RecvMsg(any) error        { return context.Canceled }
func (s *sent) SendMsg(m any) error      { s.messages = append(s.messages, m.(*outbound)); return nil }

// probing is an attempt whose response headers wait for the first event.
func probing(t *testing.T, body bool) (*attempt, *sent) {
	t.Helper()
	w := newSteered(t)
	ex := w.exchange(t, "scored")
	out := &sent{}
	a := &attempt{s: w.s, stream: out, ex: ex, number: 1, step: &ex.decision.Plan[0]}
	in := &inbound{kind: responseHeadersMessage, headers: []field{{":status", "200"}, {"content-type", "text/event-stream"}}, last: !body}
	if done, err := a.onResponse(in); err != nil || done == body {
		t.Fatal(done, err)
	}
	return a, out
}

func event(delta string) []byte {
	return fmt.Appendf(nil, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{%s},"finish_reason":null}]}`+"\n\n", delta)
}

const (
	role    = `"role":"assistant","content":""`
	content = `"content":"four"`
)

// What has no content is held; the first content lets everything go; from then on nothing is looked at.
func TestProbeHoldsUntilContent(t *testing.T) {
	a, out := probing(t, true)
	for i := range 3 {
		if done, err := a.onChunk(event(role), false); done || err != nil || len(out.messages) != 0 {
			t.Fatalf("role event %d: %v %v, %d messages", i, done, err, len(out.messages))
		}
	}
	if done, err := a.onChunk(event(content), false); !done || err != nil || len(out.messages) != 5 {
		t.Errorf("content: %v %v, %d messages, want the headers' and four chunks'", done, err, len(out.messages))
	}
	if a.ex.hidden() != nil {
		t.Error("a good stream is blamed")
	}
}

// A stream that has events and never content is held for so many bytes, not for ever.
func TestProbeIsBoundedInBytes(t *testing.T) {
	a, out := probing(t, true)
	held := 0
	for {
		done, err := a.onChunk(event(role+`,"x":"`+strings.Repeat("x", 4000)+`"`), false)
		if err != nil {
			t.Fatal(err)
		}
		if held += 4000; done {
			break
		}
		if held > 4*maxProbe {
			t.Fatalf("%d bytes are held", held)
		}
	}
	if a.bytes <= maxProbe || len(out.messages) < 2 {
		t.Errorf("let go after %d bytes with %d messages", a.bytes, len(out.messages))
	}
}

func TestProbeRejects(t *testing.T) {
	for name, c := range map[string]struct {
		chunks []string
		last   bool
		kind   fault.Kind
	}{
		"nothing":                  {[]string{""}, true, fault.ProviderFailed},
		"lifecycle alone":          {[]string{string(event(role))}, true, fault.ProviderFailed},
		"an error first":           {[]string{"data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\"}}\n\n"}, false, fault.ProviderError},
		"an error after lifecycle": {[]string{string(event(role)), "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\"}}\n\n"}, false, fault.ProviderError},
		"no JSON":                  {[]string{"data: <html>\n\n"}, false, fault.ProviderFailed},
	} {
		t.Run(name, func(t *testing.T) {
			a, out := probing(t, true)
			var done bool
			var err error
			for i, chunk := range c.chunks {
				done, err = a.onChunk([]byte(chunk), c.last && i == len(c.chunks)-1)
			}
			f := a.ex.probed[1]
			if !done || err != nil || f == nil || f.Kind != c.kind {
				t.Fatalf("%v %v %v", done, err, f)
			}
			if len(out.messages) == 0 || !strings.Contains(string(out.messages[0].head), "503") {
				t.Error("Envoy is not told to try again")
			}
		})
	}
}

func TestRemedies(t *testing.T) {
	w := newSteered(t)
	snap := w.s.Config()
	a, b := snap.Providers[0], snap.Providers[1]
	m := snap.Models[0]
	plan := []route.Step{{Group: "b", Provider: b, Model: m}, {Group: "a", Provider: a, Model: m}, {Group: "b/one", Provider: b, Cluster: b.Clusters[0], Model: m}}
	cured := func(kind fault.Kind, spare *route.Step) string {
		ex := w.exchange(t, "scored")
		ex.decision.Plan, ex.spare = plan, spare
		return groups(ex.cure(1, "b/one", &fault.Fault{Kind: kind}))
	}
	for kind, want := range map[fault.Kind]string{
		fault.QuotaExhausted: "b b/two a", fault.ProviderAuth: "b b/two a", fault.InvalidRequest: "", fault.Overloaded: "", fault.ContentFiltered: "", fault.ContextLength: "",
	} {
		if got := cured(kind, nil); got != want {
			t.Errorf("%v: %q, want %q", kind, got, want)
		}
	}
	spare := &route.Step{Group: "x", Provider: a, Model: snap.Models[1]}
	if got := cured(fault.ContentFiltered, spare); got != "b x a" {
		t.Errorf("content policy: %q", got)
	}
	ex := w.exchange(t, "scored")
	ex.decision.Plan = plan
	for range 3 { // never beyond the plan's length, however often
		ex.cure(3, "b/one", &fault.Fault{Kind: fault.ProviderAuth})
	}
	if got := groups(ex.plan()); got != "b a b/one" {
		t.Errorf("after the last attempt: %q", got)
	}
}
