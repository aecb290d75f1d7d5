package processor

import (
	"context"
	"time"

	"dragoman/internal/fault"
	"dragoman/processor/cache"
	"dragoman/translate"
	"dragoman/translate/chat"
	"dragoman/translate/responses"
)

// Identical requests in flight share one call of a provider. The first to come leads: it goes its way like any other, and
// what it receives is logged in a cache.Flight. The others follow: they wait in their own streams' goroutines, where Envoy
// sends nothing until it is answered and a client that leaves ends the context. A follower that wants a stream is fed as the
// leader receives, from the first content on: until then nothing was said that a failure would have to take back. When the
// leader fails, a follower that has not begun takes its place; one that has gets the error event.

const (
	// maxTurns is how often a request follows before it goes alone: a provider that fails every leader after a minute must
	// not be waited for by each in turn.
	maxTurns = 2
	// A follower of another replica's leader looks for the answer at these intervals, the first ones shorter.
	firstPoll, lastPoll = 10 * time.Millisecond, 200 * time.Millisecond
)

// turn is how following ended.
type turn uint8

const (
	served   turn = iota + 1 // the client has its answer, as far as there was one
	promoted                 // the leader failed before it had content
	alone                    // nothing came in time, or what came is too old for this request
	gone                     // the client
)

// names of turns in metrics.
var turnNames = [...]string{served: "served", promoted: "promoted", alone: "alone", gone: "gone"}

// join finds out whether the request leads, follows or, with neither, goes alone. answered says that following has given the
// client its answer.
func (ex *Exchange) join() (answered bool, err error) {
	c := ex.snap.Coalesce
	if !c.On || ex.directives.NoCache {
		return false, nil
	}
	deadline := time.Now().Add(c.MaxWait)
	for range maxTurns {
		fl, leads := ex.s.flights.Join(ex.cacheKey, c.MaxFollowers, ex.snap.Limits.MaxResponse)
		if fl == nil {
			return false, nil
		}
		if leads {
			ex.flight = fl
			return false, nil
		}
		begin := time.Now()
		how, err := ex.follow(fl, deadline)
		ex.overhead -= time.Since(begin) // it is the provider that was waited for
		ex.s.Metrics.Followed(turnNames[how])
		switch how {
		case served, gone:
			return true, err
		case alone:
			return false, nil
		}
	}
	return false, nil
}

// follow waits for a leader's answer, and passes it on.
func (ex *Exchange) follow(fl *cache.Flight, deadline time.Time) (turn, error) {
	defer fl.Leave()
	late := time.NewTimer(time.Until(deadline))
	defer late.Stop()
	f := &follower{ex: ex}
	for {
		v, changed := fl.Look(f.seen)
		switch {
		case ex.head.Stream && v.Begun && (f.begun || !v.Failed):
			if err := f.feed(&v); err != nil || v.Ended {
				return served, err
			}
		case v.Entry != nil:
			return ex.replayShared(v.Entry)
		case v.Ended:
			return promoted, nil
		}
		expired := late.C
		if f.begun {
			expired = nil // from here on the leader's own timers decide
		}
		select {
		case <-changed:
		case <-expired:
			return alone, nil
		case <-ex.stream.Context().Done():
			return gone, ex.stream.Context().Err()
		}
	}
}

// replayShared answers with what a leader got as a whole: from a provider, or from the cache.
func (ex *Exchange) replayShared(e *cache.Entry) (turn, error) {
	age := e.Age(ex.s.Now())
	if ex.directives.HasMaxAge && age > ex.directives.MaxAge {
		return alone, nil
	}
	ex.hit = e
	ex.recalled("coalesced")
	if ttl := ex.snap.Cache.TTL; ttl > 0 && age >= ttl {
		ex.cacheState = "stale"
	}
	return served, ex.replay()
}

// follower is a client that is fed a stream while another's request receives it.
type follower struct {
	ex    *Exchange
	enc   translate.Encoder
	seen  int  // events
	begun bool // the client has the headers
	end   bool // the terminal event has been written
}

// feed passes on what is new in view, and ends the client's stream when the leader's has ended.
func (f *follower) feed(v *cache.View) error {
	ex := f.ex
	if !f.begun {
		if err := f.begin(); err != nil {
			return err
		}
	}
	var out []byte
	f.seen += v.Events(func(ev *chat.Event) {
		if !f.end {
			out = f.enc.Encode(out, ev)
			f.end = ev.Kind == chat.EventEnd
		}
	})
	if !v.Ended {
		if len(out) == 0 {
			return nil
		}
		return ex.send(streamedPiece(out, false))
	}
	if !f.end {
		ex.outcome = v.Fault
		if ex.outcome == nil {
			ex.outcome = fault.New(fault.ProviderFailed, "The answer that this request shared with an identical one broke off.")
		}
		out = f.enc.Fault(out, ex.outcome)
	}
	ex.hit = v.Entry
	if ex.head.Schema == chat.Responses && ex.outcome == nil {
		ex.object = responses.FinalObject(out)
	}
	ex.keepTurn()
	ex.phase = answered
	defer ex.end()
	return ex.send(streamedPiece(out, true))
}

// begin sends the response headers.
func (f *follower) begin() error {
	ex := f.ex
	f.begun = true
	ex.recalled("coalesced")
	ex.firstByte, ex.firstContent = ex.s.Now(), ex.s.Now()
	ex.clientStatus = 200
	f.enc = ex.endpoint.client.NewEncoder(ex.sharedOptions())
	h := newHeaders()
	h.set(":status", "200")
	h.set("content-type", ex.streamType())
	h.set("cache-control", "no-cache")
	ex.gatewayHeaders(&h)
	return ex.send(streamedHeaders(&h))
}

// sharedOptions say how a stream is written of which only the events are known.
func (ex *Exchange) sharedOptions() translate.Answer {
	return translate.Answer{RequestID: ex.requestID, Model: ex.head.Model, IncludeUsage: ex.head.IncludeUsage, Now: ex.s.Now(), Head: ex.asked, Array: ex.endpoint.array}
}

// lead shows the followers what has come since the last call.
func (ex *Exchange) lead() {
	if ex.flight != nil {
		ex.flight.Flush()
	}
}

// concludeFlight tells the followers how it ended. It runs when the last message for the client is sent.
func (ex *Exchange) concludeFlight() {
	if ex.flight == nil {
		return
	}
	switch {
	case ex.hit != nil:
		ex.flight.Finish(ex.hit)
	case ex.outcome != nil || ex.phase != answered:
		ex.flight.Fail(ex.outcome)
	case ex.fresh != nil || ex.seen.End || ex.carrier != nil && ex.carrier.Seen().End:
		ex.flight.Finish(ex.fresh)
	default:
		ex.flight.Fail(nil)
	}
}

// keepFresh stores what the exchange has made, and lets go of the flight and of the claim. It runs after the client has its
// answer.
func (ex *Exchange) keepFresh() {
	if ex.fresh != nil && ex.caching && cache.Storable(ex.fresh.Response, ex.snap.Cache.Rules) {
		ctx := context.WithoutCancel(ex.stream.Context())
		ex.s.Cache().Put(ctx, ex.cacheKey, ex.fresh)
		if tier := ex.s.Semantic(); tier != nil && ex.question != nil {
			_ = tier.Store(ctx, ex.question, ex.cacheKey, ex.fresh) // it fails open; its own counters say how often
		}
	}
	if ex.claimed != nil {
		ex.claimed.Release(ex.cacheKey)
	}
	if ex.flight != nil {
		ex.flight.Remove()
	}
}

// claim asks a cache that replicas share, and waits while another of them makes the answer: for the whole of it, because only
// whole answers travel between replicas.
func (ex *Exchange) claim(backend cache.Claimer, since time.Time) (*cache.Entry, error) {
	ctx := ex.stream.Context()
	deadline := time.Now().Add(ex.snap.Coalesce.MaxWait)
	for pause := firstPoll; ; pause = min(2*pause, lastPoll) {
		e, outcome := backend.Claim(ctx, ex.cacheKey, since)
		if outcome == cache.Claimed {
			ex.claimed = backend
		}
		if outcome != cache.Busy || !time.Now().Before(deadline) {
			return e, nil
		}
		begin := time.Now()
		err := wait(ctx, min(pause, time.Until(deadline)))
		ex.overhead -= time.Since(begin)
		if err != nil {
			return nil, err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
