package chaos

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"dragoman/test/fakeprovider"
	"dragoman/test/harness"
)

// harm is one way in which a provider fails.
type harm struct {
	name   string
	refuse bool // nobody listens
	fault  fakeprovider.Fault
}

var harms = []harm{
	{name: "killed", refuse: true},
	{name: "slowed", fault: fakeprovider.Fault{Kind: fakeprovider.Delay, Delay: 700 * time.Millisecond}},
	{name: "hanging", fault: fakeprovider.Fault{Kind: fakeprovider.Hang}},
	{name: "limited for a second", fault: fakeprovider.Fault{Kind: fakeprovider.Status, Status: 429, RetryAfter: "1"}},
	{name: "limited", fault: fakeprovider.Fault{Kind: fakeprovider.Status, Status: 429}},
	{name: "500", fault: fakeprovider.Fault{Kind: fakeprovider.Status, Status: 500}},
	{name: "overloaded", fault: fakeprovider.Fault{Kind: fakeprovider.Status, Status: 529}},
	{name: "key refused", fault: fakeprovider.Fault{Kind: fakeprovider.Status, Status: 401}},
	{name: "a web page", fault: fakeprovider.Fault{Kind: fakeprovider.HTML200}},
	{name: "garbage", fault: fakeprovider.Fault{Kind: fakeprovider.BadJSON}},
	{name: "nothing", fault: fakeprovider.Fault{Kind: fakeprovider.EmptyBody}},
	{name: "reset", fault: fakeprovider.Fault{Kind: fakeprovider.Reset}},
	{name: "error as first event", fault: fakeprovider.Fault{Kind: fakeprovider.ErrorEvent}},
	{name: "cut before the first event", fault: fakeprovider.Fault{Kind: fakeprovider.Cut, After: 1}},
	{name: "cut in the middle", fault: fakeprovider.Fault{Kind: fakeprovider.Cut, After: 4}},
	{name: "no terminal event", fault: fakeprovider.Fault{Kind: fakeprovider.EndEarly, After: 4}},
	{name: "stalling in the middle", fault: fakeprovider.Fault{Kind: fakeprovider.Stall, After: 4}},
}

// havoc harms providers, one at a time and two at once.
type havoc struct {
	g      *harness.Gateway
	names  []string
	ill    map[string]*atomic.Int32 // by provider: which harm, -1 for none
	random *rand.Rand
}

func newHavoc(g *harness.Gateway) *havoc {
	h := &havoc{g: g, ill: map[string]*atomic.Int32{}, random: rand.New(rand.NewPCG(11, 13))}
	for name, fake := range g.Fakes {
		h.names = append(h.names, name)
		ill := &atomic.Int32{}
		ill.Store(-1)
		h.ill[name] = ill
		for i := range harms {
			// The fakes are never reset: their counters are held against the gateway's.
			fake.Script(fakeprovider.Rule{Fault: &harms[i].fault, Match: func(r *fakeprovider.Request) bool {
				return !harms[i].refuse && ill.Load() == int32(i) && r.Method == "POST"
			}})
		}
	}
	slices.Sort(h.names)
	return h
}

// run goes through all harms again and again, each for a moment at one provider or two.
func (h *havoc) run(ctx context.Context, t *testing.T) {
	phase := min(3*time.Second, runTime(t)/time.Duration(len(harms)))
	tick := time.NewTicker(phase)
	defer tick.Stop()
	for n := 0; ; n++ {
		h.rest(t)
		h.harm(t, n%len(harms))
		if n%2 == 1 {
			h.harm(t, h.random.IntN(len(harms)))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// harm makes one provider that is well ill.
func (h *havoc) harm(t *testing.T, which int) {
	name := h.names[h.random.IntN(len(h.names))]
	if h.ill[name].Load() >= 0 {
		return
	}
	h.ill[name].Store(int32(which))
	if harms[which].refuse {
		if err := h.g.Fakes[name].Refuse(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// rest makes all of them well.
func (h *havoc) rest(t *testing.T) {
	for _, name := range h.names {
		if which := h.ill[name].Swap(-1); which >= 0 && harms[which].refuse {
			if err := h.g.Fakes[name].Accept(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}
