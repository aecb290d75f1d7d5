package server_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/wiring"
	"dragoman/xds"
	"dragoman/xds/server"
)

// share is a cluster's weight in percent, for two clusters a and b.
type share struct{ a, b uint32 }

func (s share) Percent(c config.ClusterName) uint32 {
	if strings.HasSuffix(string(c), "/a") {
		return s.a
	}
	return s.b
}

// applied waits until Envoy serves by what was set.
func (r *rig) applied() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	if err := r.server.WaitApplied(ctx); err != nil {
		r.t.Fatal(err)
	}
	if err := r.envoy.WaitWarm(ctx); err != nil {
		r.t.Fatal(err)
	}
}

// load sends requests one after the other until stop is called, which returns how many there were; each must succeed.
func (r *rig) load() (stop func() int64) {
	var n atomic.Int64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			if resp, body, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
				r.t.Errorf("a request was lost: %v %s %v", resp, body, err)
				return
			}
			n.Add(1)
		}
	}()
	return func() int64 {
		close(done)
		<-ended
		return n.Load()
	}
}

func twoKeys(one, two *upstream) string {
	return fmt.Sprintf(`
listen: {address: "127.0.0.1:0"}
providers:
- name: p
  schema: openai
  endpoints: [{name: a, url: %q}, {name: b, url: %q}]
  credentials: [{secret: {env: KEY_P}}]
`, one.URL, two.URL)
}

func TestLive_weightsMoveTrafficAndLoseNothing(t *testing.T) {
	a, b := newUpstream(t, answering(200)), newUpstream(t, answering(200))
	s := compile(t, twoKeys(a, b))
	r := newRig(t, s)
	r.stub.script(ordered("p"), nil)
	split := func(w xds.Weights) (int, int) {
		r.set(s, w)
		r.applied()
		a0, b0 := len(a.seen()), len(b.seen())
		for range 200 {
			if resp, body, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
				t.Fatal(resp, body, err)
			}
		}
		return len(a.seen()) - a0, len(b.seen()) - b0
	}
	if x, y := split(xds.FullWeights{}); x < 60 || y < 60 {
		t.Errorf("equal weights gave %d and %d of 200", x, y)
	}
	if x, y := split(share{100, 1}); y > 20 {
		t.Errorf("weights 100 and the least gave %d and %d of 200", x, y)
	}
	if x, y := split(share{100, 0}); y > 0 {
		t.Errorf("a cluster that is out: %d and %d of 200", x, y)
	}
	if x, y := split(share{0, 0}); x < 60 || y < 60 {
		t.Errorf("all out, so that all stay: %d and %d of 200", x, y)
	}
	stop := r.load()
	for i := range 20 {
		r.set(s, share{uint32(i), uint32(100 - i)})
		time.Sleep(20 * time.Millisecond)
	}
	r.applied()
	if n := stop(); n < 20 {
		t.Errorf("only %d requests during the changes", n)
	}
}

// A storm of pushes: Envoy serves on by whichever it has got to, and ends with the last.
func TestLive_pushStormLosesNothing(t *testing.T) {
	a, b := newUpstream(t, answering(200)), newUpstream(t, answering(200))
	s := compile(t, twoKeys(a, b))
	r := newRig(t, s)
	r.stub.script(ordered("p"), nil)
	stop := r.load()
	for i := range 300 {
		r.set(s, share{uint32(i % 101), uint32(100 - i%101)})
	}
	r.set(s, share{0, 100})
	r.applied()
	if n := stop(); n < 5 {
		t.Errorf("only %d requests during the storm", n)
	}
	before := len(a.seen())
	for range 20 {
		if resp, body, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
			t.Fatal(resp, body, err)
		}
	}
	if n := len(a.seen()) - before; n > 0 {
		t.Errorf("%d requests went to the cluster that the last push took out", n)
	}
}

func TestLive_reloadLosesNothing(t *testing.T) {
	a, b := newUpstream(t, answering(200)), newUpstream(t, answering(200))
	one := compile(t, fmt.Sprintf("listen: {address: \"127.0.0.1:0\"}\nproviders: [{name: one, schema: openai, endpoint: %q, credentials: [{secret: {env: KEY_ONE}}]}]", a.URL))
	two := compile(t, fmt.Sprintf("listen: {address: \"127.0.0.1:0\"}\nproviders: [{name: two, schema: openai, endpoint: %q, credentials: [{secret: {env: KEY_TWO}}]}]", b.URL))
	r := newRig(t, one)
	r.stub.script(ordered("one"), nil)
	stop := r.load()
	current, old, name := two, one, "two"
	for range 6 {
		r.set(current, xds.FullWeights{}, old) // with what requests under way may still name
		r.applied()
		r.stub.script(ordered(name), nil)
		time.Sleep(50 * time.Millisecond)
		r.set(current, xds.FullWeights{})
		r.applied()
		current, old = old, current
		name = map[string]string{"one": "two", "two": "one"}[name]
	}
	if n := stop(); n < 20 {
		t.Errorf("only %d requests during the reloads", n)
	}
	if len(a.seen()) == 0 || len(b.seen()) == 0 {
		t.Error("the reloads moved nothing")
	}
}

func TestLive_rotatedKeyNeedsNoRestart(t *testing.T) {
	u := newUpstream(t, answering(200))
	yaml := fmt.Sprintf("listen: {address: \"127.0.0.1:0\"}\nproviders: [{name: p, schema: openai, endpoint: %q, credentials: [{secret: {env: KEY_P}}]}]", u.URL)
	r := newRig(t, compile(t, yaml))
	r.stub.script(ordered("p"), nil)
	s := compile(t, yaml)
	s.Clusters[0].Secret = config.NewSecret("rotated", "test")
	r.set(s, xds.FullWeights{})
	r.applied()
	deadline := time.Now().Add(5 * time.Second)
	for {
		if _, _, err := r.post("/v1/chat/completions", "{}"); err != nil {
			t.Fatal(err)
		}
		all := u.seen()
		if all[len(all)-1].header.Get("Authorization") == "Bearer rotated" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the old key is still sent")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestLive_refusalIsSeen(t *testing.T) {
	u := newUpstream(t, answering(200))
	yaml := "listen: {address: %q}\nproviders: [{name: p, schema: openai, endpoint: %q}]"
	r := newRig(t, compile(t, fmt.Sprintf(yaml, "127.0.0.1:0", u.URL)))
	r.stub.script(ordered("p"), nil)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	r.set(compile(t, fmt.Sprintf(yaml, busy.Addr(), u.URL)), xds.FullWeights{})
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := r.server.WaitApplied(ctx); err == nil || !strings.Contains(err.Error(), "refused listeners") || !strings.Contains(err.Error(), "ddress already in use") {
		t.Fatalf("a listener on a taken port: %v", err)
	}
	if resp, body, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
		t.Errorf("the last good listener does not serve: %v %s %v", resp, body, err)
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	refused := 0
	for _, e := range r.events.all {
		if e.Err != "" {
			refused++
		}
	}
	if refused == 0 {
		t.Error("the refusal was not reported")
	}
}

func TestLive_dragomanRestarts(t *testing.T) {
	u := newUpstream(t, answering(200))
	s := compile(t, fmt.Sprintf("listen: {address: \"127.0.0.1:0\"}\nproviders: [{name: p, schema: openai, endpoint: %q, credentials: [{secret: {env: KEY_P}}]}]", u.URL))
	r := newRig(t, s)
	r.server.Close()
	r.grpc.Stop()
	r.server = server.New(server.Options{})
	r.set(s, xds.FullWeights{})
	r.serve()
	r.applied() // though nothing had to be sent
	r.stub.script(ordered("p"), nil)
	if resp, body, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 200 {
		t.Error(resp, body, err)
	}
	r.set(s, share{1, 1})
	r.applied()
}

// An order by metadata alone, without the header that the route asks for, goes nowhere.
func TestLive_orderNeedsItsHeader(t *testing.T) {
	u := newUpstream(t, answering(200))
	r := newRig(t, compile(t, fmt.Sprintf("listen: {address: \"127.0.0.1:0\"}\nproviders: [{name: p, schema: openai, endpoint: %q}]", u.URL)))
	p := ordered("p")
	delete(p.set, wiring.HeaderOrdered)
	r.stub.script(p, nil)
	if resp, _, err := r.post("/v1/chat/completions", "{}"); err != nil || resp.StatusCode != 503 || len(u.seen()) != 0 {
		t.Error(resp, err)
	}
}
