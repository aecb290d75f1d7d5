// Package cache answers a request that was answered before: the same tenant, the same model asked for, the same request to
// the last parameter. What is not exactly the same is a miss; nothing here guesses.
package cache

import (
	"context"
	"time"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

// Backend keeps answers. Implementations are safe for concurrent use. The cache fails open: a backend that is away
// has no entries and takes none.
type Backend interface {
	// Enabled says whether it is worth making a key.
	Enabled() bool
	// Get finds an answer that is kept, be it fresh or not any more: see Entry.Fresh. The entry is shared: it must not be
	// written to.
	Get(ctx context.Context, key Key) (*Entry, bool)
	// Put keeps an answer, which must not be written to any more.
	Put(ctx context.Context, key Key, e *Entry)
}

// Claimer is a Backend that several replicas share, so that one of them can ask a provider for all.
type Claimer interface {
	Backend
	// Claim is Get and, when what it finds was stored before since, the attempt to become the one that makes the answer
	// anew: in one round trip. Who has claimed must Release, after Put when there is an answer.
	Claim(ctx context.Context, key Key, since time.Time) (*Entry, Claim)
	// Release lets another replica claim.
	Release(key Key)
}

// Claim is what became of the attempt to claim a key.
type Claim uint8

// The outcomes.
const (
	Unclaimed Claim = iota // there is no need, or nobody to ask: the backend is away
	Claimed                // the caller is to make the answer
	Busy                   // another replica is making it
)

// Entry is one stored answer: a complete 2xx one (see Storable), never an error (C14).
type Entry struct {
	ID       string         // of the exchange that made it, for ids that are derived from it
	Response *chat.Response // the answer in neutral form
	Schema   chat.Schema    // of the provider that gave it
	Raw      []byte         // its bytes as sent, for a client of the same schema; nil for a stream
	Tenant   string         // whose request was answered
	Asked    string         // the model as it was asked for
	Model    string         // catalogue name
	Provider string
	Stored   time.Time
	Usage    chat.Usage      // what it cost when it was made; a hit costs nothing
	Cost     config.MicroUSD // of Usage, 0 when not Priced
	Priced   bool
}

// Age is the time since the entry was stored; never negative, whatever other replicas' clocks say.
func (e *Entry) Age(now time.Time) time.Duration { return max(0, now.Sub(e.Stored)) }

// Fresh says whether the entry may answer a request that goes well otherwise.
func (e *Entry) Fresh(now time.Time, ttl time.Duration, d Directives) bool {
	age := e.Age(now)
	return age < ttl && (!d.HasMaxAge || age <= d.MaxAge)
}

// Overheads of what Size counts, in bytes: a little more than the structs take.
const (
	entryOverhead    = 512
	choiceOverhead   = 128
	partOverhead     = 192
	extraOverhead    = 64
	citationOverhead = 64
)

// Size is about how many bytes of memory the entry takes.
func (e *Entry) Size() int {
	n := entryOverhead + len(e.ID) + len(e.Raw) + len(e.Tenant) + len(e.Asked) + len(e.Model) + len(e.Provider)
	r := e.Response
	if r == nil {
		return n
	}
	n += len(r.ID) + len(r.Model) + extraSize(r.Extra)
	for i := range r.Choices {
		c := &r.Choices[i]
		n += choiceOverhead + len(c.RawFinish) + len(c.StopSequence) + len(c.LogProbs)
		for j := range c.Parts {
			n += partSize(&c.Parts[j])
		}
	}
	return n
}

func partSize(p *chat.Part) int {
	n := partOverhead + len(p.Text) + len(p.Signature) + extraSize(p.Extra)
	if p.Media != nil {
		n += len(p.Media.Data) + len(p.Media.URL)
	}
	if p.Call != nil {
		n += len(p.Call.ID) + len(p.Call.Name) + len(p.Call.Arguments)
	}
	if p.Result != nil {
		for i := range p.Result.Parts {
			n += partSize(&p.Result.Parts[i])
		}
	}
	for i := range p.Citations {
		c := &p.Citations[i]
		n += citationOverhead + len(c.Title) + len(c.URL) + len(c.Quote)
	}
	return n
}

func extraSize(es []chat.Extra) (n int) {
	for i := range es {
		n += extraOverhead + len(es[i].Name) + len(es[i].JSON)
	}
	return n
}

// None is the cache that is off.
type None struct{}

// Enabled is false.
func (None) Enabled() bool { return false }

// Get finds nothing.
func (None) Get(context.Context, Key) (*Entry, bool) { return nil, false }

// Put keeps nothing.
func (None) Put(context.Context, Key, *Entry) {}
