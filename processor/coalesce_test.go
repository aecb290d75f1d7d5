package processor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	extproc "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"dragoman/processor/account"
	"dragoman/processor/cache"
	"dragoman/processor/limit"
)

const sharingConfig = keyedConfig + "cache: {exact: {ttl: 1h, stale_if_error: 1h}, coalesce: {max_wait: 5s}}\n"

// ledger is a book that several streams write to.
type ledger struct {
	limit.Counters
	mu                sync.Mutex
	records           []account.Record
	reserved, settled int
	tokens            int64
}

func (l *ledger) Ready() error { return nil }

func (l *ledger) Begin(*account.Record) {}

func (l *ledger) Record(r *account.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, *r)
}

func (l *ledger) Reserve(ctx context.Context, q *limit.Request) (*limit.Reservation, limit.Status, error) {
	l.mu.Lock()
	l.reserved++
	l.mu.Unlock()
	return l.Counters.Reserve(ctx, q)
}

func (l *ledger) Settle(now time.Time, r *limit.Reservation, u limit.Used) {
	l.mu.Lock()
	l.settled++
	l.tokens += u.Usage.Total()
	l.mu.Unlock()
	l.Counters.Settle(now, r, u)
}

func newSharingServer(t testing.TB, yaml string, backend cache.Backend) (*Server, *ledger) {
	t.Helper()
	s := newTestServer(t, yaml)
	if backend == nil {
		m := cache.NewMemory(s.Config().Cache, time.Now)
		t.Cleanup(m.Close)
		backend = m
	}
	var mu sync.Mutex
	id := s.NewID
	s.NewID = func() string { mu.Lock(); defer mu.Unlock(); return id() }
	l := &ledger{Counters: newGate()}
	s.Counters, s.Ledger, s.Cache = l, l, func() cache.Backend { return backend }
	return s, l
}

// live is one request stream whose messages come when the test sends them.
type live struct {
	ctx    context.Context
	cancel context.CancelFunc
	in     chan []byte
	done   chan error

	mu  sync.Mutex
	out []*outbound
}

func (l *live) Context() context.Context { return l.ctx }

func (l *live) RecvMsg(m any) error {
	select {
	case b, ok := <-l.in:
		if !ok {
			return io.EOF
		}
		return NewCodec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, m)
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
}

func (l *live) SendMsg(m any) error {
	if l.ctx.Err() != nil {
		return l.ctx.Err()
	}
	o := m.(*outbound)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = append(l.out, &outbound{head: bytes.Clone(o.head), body: bytes.Clone(o.body)})
	return nil
}

// start opens a stream for a request, whose question it sends.
func start(t testing.TB, s *Server, messages [][]byte) *live {
	t.Helper()
	l := &live{in: make(chan []byte, 16), done: make(chan error, 1)}
	l.ctx, l.cancel = context.WithCancel(requestContext())
	t.Cleanup(l.cancel)
	go func() { l.done <- s.Process(l) }()
	l.send(messages[:2]...)
	return l
}

func (l *live) send(messages ...[]byte) {
	for _, m := range messages {
		l.in <- m
	}
}

// end waits until the stream has ended, as Envoy would end it after its last message.
func (l *live) end(t testing.TB) {
	t.Helper()
	select {
	case err := <-l.done:
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the stream does not end")
	}
}

// got is what the client has: the text of its answer so far, its cache state, and whether it has ended.
func (l *live) got(t testing.TB) (state, body string, ended bool) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range l.out {
		m := &extproc.ProcessingResponse{}
		if err := proto.Unmarshal(append(bytes.Clone(o.head), o.body...), m); err != nil {
			t.Fatal(err)
		}
		if im := m.GetImmediateResponse(); im != nil {
			for _, h := range im.GetHeaders().GetSetHeaders() {
				if h.GetHeader().GetKey() == "x-dragoman-cache" {
					state = string(h.GetHeader().GetRawValue())
				}
			}
			return state, string(im.GetBody()), true
		}
		for _, h := range m.GetStreamedImmediateResponse().GetHeadersResponse().GetHeaders().GetHeaders() {
			if h.GetKey() == "x-dragoman-cache" {
				state = string(h.GetRawValue())
			}
		}
		if b := m.GetStreamedImmediateResponse().GetBodyResponse(); b != nil {
			body += string(b.GetBody())
			ended = ended || b.GetEndOfStream()
		}
		if r := m.GetResponseBody().GetResponse().GetBodyMutation().GetStreamedResponse(); r != nil {
			body += string(r.GetBody())
			ended = ended || r.GetEndOfStream()
		}
	}
	return state, body, ended
}

// ordered says that the request was sent to a provider.
func (l *live) ordered() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.out) >= 2
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(what)
		}
	}
}

// settledOnce: one record and one settlement for each exchange, and nothing is left behind.
func settledOnce(t testing.TB, s *Server, l *ledger, exchanges int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.records) != exchanges || l.reserved != exchanges || l.settled != exchanges {
		t.Errorf("%d exchanges: %d records, %d reservations, %d settled", exchanges, len(l.records), l.reserved, l.settled)
	}
	if s.flights.Len() != 0 || s.InFlight() != 0 {
		t.Errorf("%d flights and %d streams are left", s.flights.Len(), s.InFlight())
	}
}

func streamScript() script {
	return script{status: "200", stream: true, pieces: []string{chunk, chunk, lastChunks}}
}

// TestFollowersShareTheLeadersStream: fed while it comes, charged nothing, with what they saved.
func TestFollowersShareTheLeadersStream(t *testing.T) {
	s, l := newSharingServer(t, sharingConfig, nil)
	m := streamScript().messages(t)
	whole := script{status: "200", question: strings.Replace(`{"model":"m","messages":[{"role":"user","content":"hello there"}],"stream":true}`, "true", "false", 1)}.messages(t)
	leader := start(t, s, m)
	eventually(t, "the leader is not ordered", leader.ordered)
	follower, patient := start(t, s, m), start(t, s, whole)
	leader.send(m[2], m[3])
	eventually(t, "the follower is not fed", func() bool { _, body, _ := follower.got(t); return strings.Contains(body, "four") })
	if state, _, ended := follower.got(t); state != "coalesced" || ended {
		t.Errorf("the follower is a %q and has ended: %v", state, ended)
	}
	if _, body, _ := patient.got(t); body != "" {
		t.Errorf("who waits for the whole has %q", body)
	}
	late := start(t, s, m)
	leader.send(m[4:]...)
	for _, x := range []*live{leader, follower, late, patient} {
		x.end(t)
	}
	for _, x := range []*live{leader, follower, late} {
		if _, body, ended := x.got(t); strings.Count(body, "four") != 2 || !strings.HasSuffix(body, "data: [DONE]\n\n") || !ended {
			t.Errorf("a stream is %q", body)
		}
	}
	if state, body, _ := patient.got(t); state != "coalesced" || !strings.Contains(body, `"fourfour"`) {
		t.Errorf("the whole answer is a %s: %s", state, body)
	}
	settledOnce(t, s, l, 4)
	saved := 0
	for _, r := range l.records {
		if r.Outcome != "ok" || r.Cache == "coalesced" && (r.Usage.Total() != 0 || r.SavedTokens != 49 || r.Saved == 0 || r.Overhead > time.Second) {
			t.Errorf("recorded %+v", r)
		}
		if r.SavedTokens > 0 {
			saved++
		}
	}
	if l.tokens != 49 || saved != 3 {
		t.Errorf("%d tokens charged, %d followers", l.tokens, saved)
	}
	// What was shared is stored too.
	again := start(t, s, m)
	again.end(t)
	if state, _, _ := again.got(t); state != "hit" {
		t.Errorf("the next is a %q", state)
	}
}

// TestEveryWayALeaderEndsSettlesItsFollowers: cut at every message, by Envoy's end or by a client that leaves; each follower then
// has an answer of its own, or the error, and is settled once.
func TestEveryWayALeaderEndsSettlesItsFollowers(t *testing.T) {
	for name, c := range map[string]script{
		"stream":         streamScript(),
		"whole":          {status: "200", pieces: []string{plainAnswer}},
		"provider error": {status: "500", pieces: []string{`{"error":{"message":"x"}}`}},
		"no answer":      {status: "200", pieces: []string{"<html>"}},
	} {
		good := script{status: "200", pieces: []string{plainAnswer}}
		if c.stream {
			good = streamScript()
		}
		messages := c.messages(t)
		for cut := 2; cut <= len(messages); cut++ {
			for _, leaves := range []bool{false, true} {
				s, l := newSharingServer(t, sharingConfig, nil)
				leader := start(t, s, messages)
				eventually(t, "the leader is not ordered", leader.ordered)
				followers := []*live{start(t, s, messages), start(t, s, messages), start(t, s, messages)}
				leader.send(messages[2:cut]...)
				if leaves {
					leader.cancel()
				} else {
					close(leader.in)
				}
				leader.end(t)
				// Whoever was promoted gets a good answer.
				for ended := 0; ended < len(followers); {
					ended = 0
					for _, f := range followers {
						if f.ordered() && len(f.in) == 0 && !f.over() {
							f.send(good.messages(t)[2:]...)
						}
						if f.over() {
							ended++
						}
					}
					time.Sleep(time.Millisecond)
				}
				for _, f := range followers {
					f.end(t)
					_, body, ended := f.got(t)
					if whole := strings.Contains(body, "So it is.") || strings.HasSuffix(body, "[DONE]\n\n"); !ended || !whole && !strings.Contains(body, `"error"`) {
						t.Errorf("%s, cut after %d, client leaves %v: a follower has %q", name, cut, leaves, body)
					}
				}
				settledOnce(t, s, l, 4)
			}
		}
	}
}

// over says that the stream has ended; end still finds its error.
func (l *live) over() bool {
	select {
	case err := <-l.done:
		l.done <- err
		return true
	default:
		return false
	}
}

// TestAFollowerThatLeaves ends its own stream at once, and nobody else's.
func TestAFollowerThatLeaves(t *testing.T) {
	s, l := newSharingServer(t, sharingConfig, nil)
	m := streamScript().messages(t)
	leader := start(t, s, m)
	eventually(t, "the leader is not ordered", leader.ordered)
	early, late := start(t, s, m), start(t, s, m)
	eventually(t, "they do not come", func() bool { return s.InFlight() == 3 })
	early.cancel()
	early.end(t)
	leader.send(m[2], m[3])
	eventually(t, "the follower is not fed", func() bool { _, body, _ := late.got(t); return body != "" })
	late.cancel()
	late.end(t)
	leader.send(m[4:]...)
	leader.end(t)
	if _, body, _ := leader.got(t); !strings.HasSuffix(body, "[DONE]\n\n") {
		t.Errorf("the leader has %q", body)
	}
	settledOnce(t, s, l, 3)
	canceled := 0
	for _, r := range l.records {
		if r.Outcome == "canceled" && r.Usage.Total() == 0 {
			canceled++
		}
	}
	if canceled != 2 {
		t.Errorf("recorded %+v", l.records)
	}
}

// TestAFollowerDoesNotWaitForEver: after max_wait it asks for itself.
func TestAFollowerDoesNotWaitForEver(t *testing.T) {
	s, l := newSharingServer(t, strings.Replace(sharingConfig, "max_wait: 5s", "max_wait: 50ms", 1), nil)
	m := script{status: "200", pieces: []string{plainAnswer}}.messages(t)
	leader := start(t, s, m)
	eventually(t, "the leader is not ordered", leader.ordered)
	follower := start(t, s, m)
	eventually(t, "the follower does not ask", follower.ordered)
	follower.send(m[2:]...)
	follower.end(t)
	if _, body, _ := follower.got(t); !strings.Contains(body, "So it is.") {
		t.Errorf("it has %q", body)
	}
	leader.send(m[2:]...)
	leader.end(t)
	settledOnce(t, s, l, 2)
}

// TestFreshEnoughForTheFollower: what the leader finds in the cache may be too old for one that follows it.
func TestFreshEnoughForTheFollower(t *testing.T) {
	s, l := newSharingServer(t, sharingConfig, &slowBackend{entry: oldEntry(t), asked: make(chan struct{}), answer: make(chan struct{})})
	backend := s.Cache().(*slowBackend)
	m := script{status: "200", pieces: []string{plainAnswer}}.messages(t)
	leader := start(t, s, m)
	<-backend.asked
	picky := start(t, s, withHeader(t, m, "cache-control", "max-age=60"))
	eventually(t, "it does not come", func() bool { return s.InFlight() == 2 })
	time.Sleep(20 * time.Millisecond)
	close(backend.answer)
	leader.end(t)
	if state, _, _ := leader.got(t); state != "hit" {
		t.Errorf("the leader is a %q", state)
	}
	eventually(t, "the follower does not ask", picky.ordered)
	picky.send(m[2:]...)
	picky.end(t)
	settledOnce(t, s, l, 2)
}

// slowBackend has one entry, and answers when the test lets it.
type slowBackend struct {
	cache.None
	entry         *cache.Entry
	once          sync.Once
	asked, answer chan struct{}
}

func (b *slowBackend) Enabled() bool { return true }

func (b *slowBackend) Get(context.Context, cache.Key) (*cache.Entry, bool) {
	b.once.Do(func() { close(b.asked) })
	<-b.answer
	return b.entry, true
}

// oldEntry is an answer of half an hour ago.
func oldEntry(t testing.TB) *cache.Entry {
	t.Helper()
	r, err := openaiCodec.DecodeResponse([]byte(plainAnswer))
	if err != nil {
		t.Fatal(err)
	}
	return &cache.Entry{Response: r, Raw: []byte(plainAnswer), Schema: openaiCodec.Schema(), Stored: time.Now().Add(-30 * time.Minute), Usage: r.Usage}
}

func withHeader(t testing.TB, messages [][]byte, name, value string) [][]byte {
	t.Helper()
	m := &extproc.ProcessingRequest{}
	if err := proto.Unmarshal(messages[0], m); err != nil {
		t.Fatal(err)
	}
	hs := m.GetRequestHeaders().GetHeaders()
	hs.Headers = append(hs.Headers, header(name, value))
	return append(wired(t, []*extproc.ProcessingRequest{m}), messages[1:]...)
}

// claimer is a backend that replicas share.
type claimer struct {
	mu       sync.Mutex
	outcomes []cache.Claim // of the next claims; the last one stays
	entry    *cache.Entry
	claims   int
	held     int
	stored   int
}

func (c *claimer) Enabled() bool { return true }

func (c *claimer) Get(context.Context, cache.Key) (*cache.Entry, bool) { return nil, false }

func (c *claimer) Put(context.Context, cache.Key, *cache.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stored++
}

func (c *claimer) Claim(context.Context, cache.Key, time.Time) (*cache.Entry, cache.Claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	outcome := c.outcomes[min(c.claims, len(c.outcomes)-1)]
	c.claims++
	if outcome == cache.Claimed {
		c.held++
	}
	if outcome == cache.Unclaimed {
		return c.entry, outcome
	}
	return nil, outcome
}

func (c *claimer) Release(cache.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held--
}

// TestAnotherReplicaLeads: this one waits for the stored answer, takes over when the other gives up, and goes alone when it
// takes too long. A claim is released on every way out.
func TestAnotherReplicaLeads(t *testing.T) {
	good := script{status: "200", pieces: []string{plainAnswer}}
	for name, c := range map[string]struct {
		outcomes []cache.Claim
		found    bool
		asks     bool
		answer   script
		stored   int
	}{
		"it stores the answer":      {[]cache.Claim{cache.Busy, cache.Busy, cache.Unclaimed}, true, false, good, 0},
		"it gives up":               {[]cache.Claim{cache.Busy, cache.Claimed}, false, true, good, 1},
		"it takes too long":         {[]cache.Claim{cache.Busy}, false, true, good, 1},
		"nobody else":               {[]cache.Claim{cache.Claimed}, false, true, good, 1},
		"claimed, provider fails":   {[]cache.Claim{cache.Claimed}, false, true, script{status: "500"}, 0},
		"claimed, refused finish":   {[]cache.Claim{cache.Claimed}, false, true, script{status: "200", pieces: []string{strings.Replace(plainAnswer, `"stop"`, `"content_filter"`, 1)}}, 0},
		"the store is away":         {[]cache.Claim{cache.Unclaimed}, false, true, good, 1},
		"away, and provider failed": {[]cache.Claim{cache.Unclaimed}, false, true, script{status: "429"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := &claimer{outcomes: c.outcomes}
			if c.found {
				b.entry = oldEntry(t)
			}
			s, l := newSharingServer(t, strings.Replace(sharingConfig, "max_wait: 5s", "max_wait: 300ms", 1), b)
			m := c.answer.messages(t)
			x := start(t, s, m)
			if c.asks {
				eventually(t, "it does not ask", x.ordered)
				x.send(m[2:]...)
			}
			x.end(t)
			settledOnce(t, s, l, 1)
			if state, _, _ := x.got(t); c.found && state != "hit" {
				t.Errorf("it is a %q", state)
			}
			if b.held != 0 || b.stored != c.stored {
				t.Errorf("%d claims are held, %d answers stored, want %d", b.held, b.stored, c.stored)
			}
			if r := l.records[0]; r.Overhead > 250*time.Millisecond {
				t.Errorf("waiting counts as overhead: %s", r.Overhead)
			}
		})
	}
	t.Run("the client leaves", func(t *testing.T) {
		b := &claimer{outcomes: []cache.Claim{cache.Busy}}
		s, l := newSharingServer(t, sharingConfig, b)
		x := start(t, s, good.messages(t))
		eventually(t, "nothing is claimed", func() bool { b.mu.Lock(); defer b.mu.Unlock(); return b.claims > 1 })
		x.cancel()
		x.end(t)
		settledOnce(t, s, l, 1)
		if l.records[0].Outcome != "canceled" {
			t.Errorf("recorded %+v", l.records[0])
		}
	})
}

// TestOneLeaderOfMany: any number of identical requests make one call, whatever the moment at which each comes.
func TestOneLeaderOfMany(t *testing.T) {
	s, l := newSharingServer(t, sharingConfig, nil)
	m := streamScript().messages(t)
	const n = 60
	all := make([]*live, n)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i] = start(t, s, m) })
	}
	wg.Wait()
	calls := 0
	eventually(t, "nobody leads", func() bool {
		for _, x := range all {
			if _, _, ended := x.got(t); x.ordered() && !ended && len(x.in) == 0 {
				if state, _, _ := x.got(t); state == "" {
					return true
				}
			}
		}
		return false
	})
	for _, x := range all {
		if state, _, _ := x.got(t); x.ordered() && state == "" {
			calls++
			x.send(m[2:]...)
		}
	}
	for i, x := range all {
		x.end(t)
		if _, body, _ := x.got(t); strings.Count(body, "four") != 2 || !strings.HasSuffix(body, "[DONE]\n\n") {
			t.Errorf("%d has %q", i, body)
		}
	}
	if calls != 1 {
		t.Errorf("%d calls", calls)
	}
	settledOnce(t, s, l, n)
}

// BenchmarkHit is a request that the cache answers, to be held against BenchmarkPlain.
func BenchmarkHit(b *testing.B) {
	for _, coalesce := range []bool{true, false} {
		b.Run(fmt.Sprintf("coalesce=%v", coalesce), func(b *testing.B) {
			s, _ := newSharingServer(b, benchConfig+fmt.Sprintf("cache: {exact: {}, coalesce: {enabled: %v}}\n", coalesce), nil)
			answer := `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"` + strings.Repeat("So it is. ", 90) + `"},"finish_reason":"stop"}],"usage":{"prompt_tokens":400,"completion_tokens":250,"total_tokens":650}}`
			messages := recorded(b, "/v1/chat/completions", question, answer, "a/default")
			s.Ledger = account.None{}
			if err := s.Process(&tape{ctx: requestContext(), in: messages}); err != nil {
				b.Fatal(err)
			}
			ctx := requestContext()
			b.ReportAllocs()
			for b.Loop() {
				t := &tape{ctx: ctx, in: messages[:2]}
				if err := s.Process(t); err != nil {
					b.Fatal(err)
				}
				if len(t.out) != 1 {
					b.Fatalf("%d messages sent", len(t.out))
				}
			}
		})
	}
}
