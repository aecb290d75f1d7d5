package cache

import (
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"dragoman/internal/fault"
	"dragoman/translate/chat"
)

// played is a stream of every kind of event.
func played() []chat.Event {
	return []chat.Event{
		{Kind: chat.EventStart, ID: "m1", Model: "m"},
		{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Thinking}},
		{Kind: chat.EventDelta, Text: "hm"},
		{Kind: chat.EventSignature, Text: "sig"},
		{Kind: chat.EventBlockStop},
		{Kind: chat.EventBlockStart, Index: 1, Block: chat.Part{Kind: chat.Text}},
		{Kind: chat.EventDelta, Index: 1, Text: "hel"},
		{Kind: chat.EventDelta, Index: 1, Text: "lo", LogProbs: []byte(`{"content":[]}`)},
		{Kind: chat.EventBlockStop, Index: 1, Block: chat.Part{Citations: []chat.Citation{{Title: "t"}}}},
		{Kind: chat.EventBlockStart, Index: 2, Block: chat.Part{Kind: chat.ToolCall, Call: &chat.Call{ID: "c", Name: "f"}, Extra: []chat.Extra{{Name: "x", JSON: []byte("1")}}}},
		{Kind: chat.EventDelta, Index: 2, Text: "{}"},
		{Kind: chat.EventBlockStop, Index: 2},
		{Kind: chat.EventFinish, Finish: chat.FinishStop},
		{Kind: chat.EventUsage, Usage: chat.Usage{Known: true, Output: 3}},
		{Kind: chat.EventEnd},
	}
}

// collect reads a flight to its end, as a follower does.
func collect(fl *Flight) (*chat.Response, View) {
	acc := chat.NewAccumulator(1 << 20)
	for seen := 0; ; {
		v, changed := fl.Look(seen)
		seen += v.Events(acc.Add)
		if v.Ended {
			r, _ := acc.Response()
			return r, v
		}
		<-changed
	}
}

func text(r *chat.Response) (all string) {
	for _, c := range r.Choices {
		for _, p := range c.Parts {
			all += p.Text + p.Signature
			if p.Call != nil {
				all += p.Call.Name + p.Call.Arguments
			}
			for _, c := range p.Citations {
				all += c.Title
			}
			for _, e := range p.Extra {
				all += string(e.JSON)
			}
		}
		all += string(c.LogProbs)
	}
	return all
}

// TestFollowersSeeAllOfAFlight, whenever they join, although the leader's decoder writes to its event again and again.
func TestFollowersSeeAllOfAFlight(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	flights := NewFlights()
	fl, leads := flights.Join(keyN(1), 100, 1<<20)
	if !leads {
		t.Fatal("the first does not lead")
	}
	entry := entry(1)
	var wg sync.WaitGroup
	follow := func() {
		own, leads := flights.Join(keyN(1), 100, 1<<20)
		if leads || own != fl {
			t.Error("a second leads")
			return
		}
		wg.Go(func() {
			defer own.Leave()
			r, v := collect(own)
			if r == nil || text(r) != `hmsighellotf{}1{"content":[]}` || v.Entry != entry || v.Failed || !v.Begun {
				t.Errorf("a follower sees %+v %+v", r, v)
			}
		})
	}
	var reused chat.Event
	var probs []byte
	for i, ev := range played() {
		follow()
		reused = ev
		probs = append(probs[:0], ev.LogProbs...)
		if reused.LogProbs != nil {
			reused.LogProbs = probs
		}
		fl.Add(&reused)
		if i%3 == 0 {
			fl.Flush()
		}
		clear(probs)
		if reused.Block.Call != nil {
			reused.Block.Call.Name = "overwritten"
		}
	}
	fl.Add(&chat.Event{Kind: chat.EventPing})
	fl.Finish(entry)
	follow() // the answer is stored in a moment: who comes now finds the flight
	wg.Wait()
	fl.Remove()
	if _, leads := flights.Join(keyN(1), 100, 1<<20); !leads || flights.Len() != 1 {
		t.Error("the flight is still there after it was removed")
	}
}

func TestAFlightThatFails(t *testing.T) {
	flights := NewFlights()
	fl, _ := flights.Join(keyN(1), 1, 1<<20)
	follower, _ := flights.Join(keyN(1), 1, 1<<20)
	if full, leads := flights.Join(keyN(1), 1, 1<<20); full != nil || leads {
		t.Error("a follower too many")
	}
	f := fault.New(fault.Overloaded, "no capacity")
	fl.Fail(f)
	fl.Finish(entry(1)) // too late
	fl.Fail(nil)
	v, changed := follower.Look(0)
	if !v.Ended || !v.Failed || v.Fault != f || v.Entry != nil || changed != nil || v.Begun {
		t.Errorf("%+v", v)
	}
	next, leads := flights.Join(keyN(1), 1, 1<<20)
	if !leads || next == fl {
		t.Error("nobody takes the leader's place")
	}
	fl.Remove() // the old leader's end must not take the new one's flight away
	if again, leads := flights.Join(keyN(1), 1, 1<<20); leads || again != next {
		t.Error("the new flight is gone")
	}
	follower.Leave()
	next.Finish(nil)
	if v, _ := next.Look(0); v.Failed || !v.Ended || v.Entry != nil {
		t.Errorf("a whole stream that could not be kept: %+v", v)
	}
	next.Fail(f) // after the end
	if v, _ := next.Look(0); v.Failed {
		t.Error("an end is taken back")
	}
}

// TestAFlightIsBounded by the bytes that it keeps, also when each event has none.
func TestAFlightIsBounded(t *testing.T) {
	for name, ev := range map[string]chat.Event{
		"large":  {Kind: chat.EventDelta, Text: strings.Repeat("x", 300)},
		"empty":  {Kind: chat.EventDelta},
		"blocks": {Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Text}},
		"probs":  {Kind: chat.EventDelta, LogProbs: make([]byte, 200)},
	} {
		fl, _ := NewFlights().Join(keyN(1), 1, 10_000)
		for range 300 {
			fl.Add(&ev)
		}
		if v, _ := fl.Look(0); !v.Failed || v.Fault == nil || len(v.log) > 10_000/eventSize || len(v.text) > 10_000 {
			t.Errorf("%s: %d events and %d bytes are kept; failed %v", name, len(v.log), len(v.text), v.Failed)
		}
	}
}

// TestFlightsConcurrently: for the race detector, and that each answer has exactly one leader at a time.
func TestFlightsConcurrently(t *testing.T) {
	flights := NewFlights()
	var wg sync.WaitGroup
	var mu sync.Mutex
	leading := map[int]bool{}
	for w := range 8 {
		wg.Go(func() {
			for i := range 300 {
				n := (i + w) % 3
				fl, leads := flights.Join(keyN(n), 100, 1<<20)
				if !leads {
					collect(fl)
					fl.Leave()
					continue
				}
				mu.Lock()
				if leading[n] {
					t.Error("two lead")
				}
				leading[n] = true
				mu.Unlock()
				fl.Add(&chat.Event{Kind: chat.EventStart})
				fl.Add(&chat.Event{Kind: chat.EventBlockStart, Block: chat.Part{Kind: chat.Text}})
				fl.Add(&chat.Event{Kind: chat.EventDelta, Text: "x"})
				fl.Flush()
				mu.Lock()
				leading[n] = false
				mu.Unlock()
				if i%2 == 0 {
					fl.Fail(nil)
				} else {
					fl.Finish(nil)
					fl.Remove()
				}
			}
		})
	}
	wg.Wait()
	if n := flights.Len(); n != 0 {
		t.Errorf("%d flights are left", n)
	}
}

func BenchmarkFlight(b *testing.B) {
	flights, key := NewFlights(), keyN(1)
	b.Run("join", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fl, _ := flights.Join(key, 100, 1<<20)
			fl.Finish(nil)
			fl.Remove()
		}
	})
	b.Run("add", func(b *testing.B) {
		fl, _ := flights.Join(key, 100, 1<<60)
		ev := &chat.Event{Kind: chat.EventDelta, Text: " word"}
		b.ReportAllocs()
		for b.Loop() {
			fl.Add(ev)
			fl.Flush()
		}
	})
}
