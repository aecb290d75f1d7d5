package processor

import (
	"sync"
	"time"

	"dragoman/internal/classify"
	"dragoman/internal/config"
	"dragoman/internal/fault"
	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
	"dragoman/processor/limit"
	"dragoman/processor/route"
	"dragoman/processor/turns"
	"dragoman/processor/window"
	"dragoman/translate"
	"dragoman/translate/chat"
)

// phase says how far an exchange has come. It only grows.
type phase uint8

const (
	uploading phase = iota // the client's request is arriving
	ordered                // Envoy has its orders; providers are tried
	answering              // the final response has begun to arrive
	answered               // the last message for Envoy was sent
)

// Exchange is all state of one client request. The request stream owns it: it is made when that stream opens and settled
// when it closes. mu guards it against the two others that come near: its timer, and attempt streams, which find it in the
// registry by its id and read only what does not change once the exchange is ordered.
type Exchange struct {
	s      *Server
	stream stream
	snap   *config.Snapshot
	id     string
	start  time.Time

	mu       sync.Mutex
	phase    phase
	ended    bool // nothing may be sent any more
	trailers bool // the client sent trailers
	timer    *time.Timer
	due      time.Time // when timer comes, zero when it is not set
	deadline time.Time
	fire     func()        // what happens at the deadline, nil when nothing does
	overhead time.Duration // spent in receive, attempts not included

	// The request.
	endpoint    *endpoint
	requestID   string             // Envoy's x-request-id
	patience    time.Duration      // for how long the client waits for the answer to begin, 0: it did not say
	within      time.Duration      // for how long for the whole of it
	until       time.Time          // when that is over
	badTimeout  bool               // it said so in no words that are known
	acts        bool               // the answer may take actions at the provider
	cures       bool               // a failure's cause is worth reading
	bound       bool               // only the providers of the plan can serve it
	trial       config.ClusterName // half open, and tried with this request
	debug       bool               // x-dragoman-debug: route
	passing     []translate.Header // client headers that may go to a provider of the client's schema
	directives  cache.Directives
	modelHeader string   // x-dragoman-model
	objectID    string   // that the path names
	filesAt     string   // the account of the files that a chat request names
	query       string   // of the path
	upload      *upload  // a body that is passed on as it comes
	list        *listing // of objects, that is asked for
	principal   *config.Principal
	tokens      []byte // what Envoy says of the caller's token
	body        []byte
	head        *chat.Head
	decodeOnce  sync.Once
	request     *chat.Request // decoded when a provider speaks another schema, or for the cache
	requestErr  error
	asked       *chat.Head    // head as the client sent it, where a stored conversation was put in front
	origin      string        // the provider that keeps that conversation, "" for none
	native      bool          // and alone understands it
	gauge       window.Gauge  // attemptMu guards it once the exchange is ordered
	route       string        // what the model asked for stands for, once it is known
	policy      *config.Route // what the route says about requests
	ruled       ruled
	told        map[string]string // headers that rules may read
	wishes      wishes
	session     string // the client's own name of its conversation
	mirrorOf    string // the route whose copy this is
	class       *classify.Result
	decision    *route.Decision
	downgraded  string        // the pressure under which simpler models were chosen from, "" for none
	queued      time.Duration // in the route's line
	inLine      bool          // it stands there, or has stood
	reservation *limit.Reservation
	limits      limit.Status
	keyPart     string // the client's own part of cacheKey
	cacheKey    cache.Key
	keyed       bool            // cacheKey is set: the request may be answered by another's answer
	caching     bool            // and its answer may be stored
	hit         *cache.Entry    // what it was answered with
	stale       *cache.Entry    // what it may be answered with when every provider fails
	flight      *cache.Flight   // that it leads
	question    *semantic.Query // for the semantic tier, where it was asked
	claimed     cache.Claimer   // that it has to release
	fresh       *cache.Entry    // what it has made

	// The attempts, by their number from 1: written by attempt streams.
	attemptMu sync.Mutex
	droppedAt int
	startedAt time.Time            // of the last attempt
	dropped   []string             // fields that the last attempt's request had to leave out
	names     *chat.Names          // of its tools, where they had to change
	held      *route.Held          // its place at heldAt
	heldAt    *config.Cluster      // nil: only Envoy knows
	left      bool                 // it has no place any more
	truncated string               // what was cut from it, "" for nothing
	cappedTo  string               // the cap that a budget has put on its output, "" for none
	tries     []try                // by their number, less one
	probed    map[int]*fault.Fault // what a probe found wrong in an answer that its status hid
	replanned []route.Step         // instead of the decision's plan, since the cause of a failure was known
	spare     *route.Step          // the last step, which is for a refusal by content policy alone
	cause     *fault.Fault         // of the last failure that was seen
	askedAt   []config.ClusterName // that have failed
	barredAt  int                  // the attempt that was not made
	repeats   bool                 // it counts in Server.repeats

	// The answer.
	responseTrailers bool
	attempts         int
	step             *route.Step
	cluster          *config.Cluster
	provider         translate.Provider
	status           int
	local            *fault.Fault // Envoy answered by itself
	bodyless         bool         // the response ended with its headers
	clientStatus     int          // what the client got, 0: as the provider said
	replied          bool         // the response headers were answered
	carrier          *translate.Stream
	inflate          *inflater
	acc              *chat.Accumulator
	object           []byte         // the response as a client of the Responses API got it
	signed           *chat.Response // the answer, where it may hold signatures that its client drops
	objectKept       bool           // object is stored
	signedKept       bool
	answer           []byte // of a whole answer, until it is complete
	header           []field
	raw              bool   // the answer passes untouched
	tail             []byte // its end, of an event stream
	seen             translate.Seen
	firstByte        time.Time
	firstContent     time.Time
	outcome          *fault.Fault // nil: success
	cacheState       string
}

func newExchange(s *Server, stream stream) *Exchange {
	return &Exchange{s: s, stream: stream, snap: s.Config(), start: s.Now()}
}

// decoded is the whole request in neutral form. Attempts of one exchange may ask at the same time.
func (ex *Exchange) decoded() (*chat.Request, error) {
	ex.decodeOnce.Do(func() {
		ex.request, ex.requestErr = ex.endpoint.client.Decode(ex.head)
		if ex.requestErr == nil && ex.s != nil {
			turns.Restore(ex.stream.Context(), ex.s.Turns(), ex.principal.Tenant, ex.request)
		}
	})
	return ex.request, ex.requestErr
}

// send gives Envoy one message.
func (ex *Exchange) send(m *outbound) error { return ex.stream.SendMsg(m) }

// end marks the last message as sent.
func (ex *Exchange) end() {
	ex.ended = true
	ex.concludeFlight()
	if ex.timer != nil {
		ex.timer.Stop()
	}
}

// arm sets the exchange's one deadline: after d without another arm or disarm, fire runs with mu held. Streams arm it again
// for every chunk, so that it costs a comparison: the timer itself is only moved when it would come too late, and looks
// again when it comes too early.
func (ex *Exchange) arm(d time.Duration, fire func()) {
	ex.deadline, ex.fire = time.Now().Add(d), fire
	switch {
	case ex.timer == nil:
		ex.due = ex.deadline
		ex.timer = time.AfterFunc(d, ex.onTimer)
	case ex.due.IsZero() || ex.deadline.Before(ex.due):
		ex.due = ex.deadline
		ex.timer.Reset(d)
	}
}

// disarm lets the deadline pass unheeded.
func (ex *Exchange) disarm() { ex.fire = nil }

func (ex *Exchange) onTimer() {
	ex.mu.Lock()
	defer ex.mu.Unlock()
	ex.due = time.Time{}
	if ex.ended || ex.fire == nil {
		return
	}
	if left := time.Until(ex.deadline); left > 0 {
		ex.due = ex.deadline
		ex.timer.Reset(left)
		return
	}
	ex.fire()
}

// registry finds the exchange that an attempt belongs to. Sharded: every request writes to it twice.
type registry struct{ shards [32]registryShard }

type registryShard struct {
	mu sync.Mutex
	m  map[string]*Exchange
	_  [40]byte // one shard a cache line
}

func newRegistry() *registry {
	r := &registry{}
	for i := range r.shards {
		r.shards[i].m = make(map[string]*Exchange)
	}
	return r
}

func (r *registry) shard(id string) *registryShard {
	var h uint32 = 2166136261
	for i := 0; i < len(id); i++ {
		h = (h ^ uint32(id[i])) * 16777619
	}
	return &r.shards[h%uint32(len(r.shards))]
}

func (r *registry) add(ex *Exchange) {
	sh := r.shard(ex.id)
	sh.mu.Lock()
	sh.m[ex.id] = ex
	sh.mu.Unlock()
}

func (r *registry) remove(id string) {
	sh := r.shard(id)
	sh.mu.Lock()
	delete(sh.m, id)
	sh.mu.Unlock()
}

func (r *registry) find(id string) *Exchange {
	sh := r.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	return sh.m[id]
}
