// Package limit holds requests to the limits and budgets of everything that stands above a key. A request's worst case is
// reserved at every level at once before it leaves, under a lease, and settled once with what it used (C3): requests that run
// at the same time can therefore not overspend together, and what a crash leaves behind flows back.
//
// A Gate turns limits and budgets into operations on counters, and what comes of them into refusals, headers and warnings. Where
// the counters are is a Store's concern: in this process (Memory) or in Redis.
package limit

import (
	"context"
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
	"dragoman/translate/chat"
)

const (
	// assumedOutput is the output of a request that sets no cap, in tokens, until more is known; and the cap that it gets against a
	// budget where nobody knows the model's own.
	assumedOutput = 4096

	// debtMinutes bounds how far below zero settling can push a rate, in minutes of it: one answer that was far longer than its
	// reservation locks a key out for minutes, not for a day.
	debtMinutes = 10

	// share is the part of what is left of a budget that a request without a cap may take, if it does not need less: the next ones
	// find something, too.
	share = 8

	million = 1_000_000
	// most bounds every amount: exact in a float64 (Lua knows no other number), with room to add.
	most = 1 << 52
)

// Request is what admission looks at.
type Request struct {
	ID        string // unique
	Now       time.Time
	Principal *config.Principal
	Asked     string
	Route     *config.Route // that it is served by; nil where no model is asked
	Stream    bool
	Input     int64 // tokens, estimated: what rates go by
	Most      int64 // tokens that the input has at most, for any tokenizer: what budgets go by
	Output    int64 // its own cap of the output in tokens, of each choice; 0: none
	Choices   int64 // that it asks for
	Answers   bool  // there is an output
}

// Used is what a request cost in the end.
type Used struct {
	Usage     chat.Usage      // of the answer
	Cost      config.MicroUSD // everything that was billed for it
	Priced    bool            // Cost is known
	Model     *config.Model   // that served it, nil: none
	Asked     string
	Route     string
	Estimated bool
}

// Counters admit requests. Implementations are safe for concurrent use.
type Counters interface {
	// Reserve takes a request's worst case at every level, or nothing at any: the error is then a *fault.Fault. status tells either
	// way where the caller stands. Without any limit there is nothing to reserve: the reservation is nil, which Settle takes.
	Reserve(ctx context.Context, q *Request) (r *Reservation, status Status, err error)
	// Settle replaces what was reserved by what was used. Only the first call for a reservation counts. It waits for nothing.
	Settle(now time.Time, r *Reservation, u Used)
}

// Store keeps counters. Implementations are safe for concurrent use, and never alter a reservation that they no longer hold.
type Store interface {
	// Take takes all operations of r or none: it sets the counts of each operation as they were before, Refused, Output and, of what was
	// taken, Taken. The error says that the counters could not be asked: then nothing is taken, or flows back by itself.
	Take(ctx context.Context, r *Reservation) error
	// Give settles r, whose operations have their Use. done is called when it is settled, with the counts of budgets before and after;
	// it may be at once. A store that cannot settle keeps trying as long as it can.
	Give(r *Reservation, done func(*Reservation))
	// Look sets the counts of r's operations and changes nothing.
	Look(ctx context.Context, r *Reservation) error
}

// Op is what one request does to one counter.
type Op struct {
	Meter *config.Meter
	Rate  bool  // a bucket whose content flows off at Limit a minute, else a sum of what is spent and reserved
	Limit int64 // as of now
	Hold  bool  // refuses beyond it
	Fixed int64 // taken in any case
	Per   int64 // taken for a million tokens of output beside that; only where the reservation is Elastic

	// Of sums.
	Window int64 // start of the calendar's window in Unix ms; 0: rolling, or none
	Step   int64 // of a rolling window, ms
	Keep   int64 // how long the counter is worth keeping, ms
	Seed   int64 // what is known to be spent in this window, for a counter that is not there; -1: nothing is known

	// Set by Take and Look: as it was before. Used is of rates.
	Used            float64
	Spent, Reserved int64
	Taken           int64

	Short bool // set by a store whose counts do not say it: it does not fit

	Use   int64 // set for Give
	After int64 // set by Give: what is spent then; Spent is before

	counter *counter // of Memory
}

// Amount is what the operation takes of its counter for so many tokens of output.
func (o *Op) Amount(output int64) int64 { return o.amount(output) }

// Affords is how much output an amount pays for.
func (o *Op) Affords(amount int64) int64 {
	switch {
	case o.Per == 0:
		return most
	case amount-o.Fixed > most/million:
		return (amount - o.Fixed) / o.Per * million
	}
	return floorDiv((amount-o.Fixed)*million, o.Per)
}

// Ends is when the lease ends, in Unix milliseconds.
func (r *Reservation) Ends() int64 { return r.taken + r.Lease.Milliseconds() }

// amount is what the operation takes for so many tokens of output.
func (o *Op) amount(output int64) int64 {
	if o.Per == 0 {
		return o.Fixed
	}
	return o.Fixed + (o.Per*output+million-1)/million
}

// Left is what is neither spent nor reserved.
func (o *Op) Left() int64 {
	if o.Rate {
		return int64(math.Floor(max(0, float64(o.Limit)-o.Used) + rounding))
	}
	return o.Limit - o.Spent - o.Reserved
}

// rounding forgives what decaying a float64 loses: a bucket that lacks a millionth of a token is full.
const rounding = 1e-6

// Reservation is what one request took. It is settled once.
type Reservation struct {
	ID      string
	Slot    string // what the counters are kept by, see config.Principal.Slot
	Now     time.Time
	Lease   time.Duration
	Ops     []Op
	Elastic bool  // the request set no cap: Output may be less than Want
	Want    int64 // tokens of output
	Need    int64 // of them that it is expected to need
	Least   int64 // of them below which it is refused

	Refused bool
	Output  int64 // tokens of output that are reserved; with Elastic

	taken      int64 // when, in Unix ms
	choices    int64
	input      int64
	unpriced   []*config.Meter // that refuse models without a price
	settled    atomic.Bool
	report     func(*config.Meter) // of caps, may be nil
	fell       *fallen             // where it was taken while the store was away
	linked     bool                // guarded by in, a Memory
	in         *Memory
	expires    int64
	prev, next *Reservation
}

// decide sets Refused and Output by the counts of all operations.
func (r *Reservation) decide() {
	r.Refused, r.Output = false, r.Want
	for i := range r.Ops {
		o := &r.Ops[i]
		if !o.Hold {
			continue
		}
		n, ok := r.fits(o)
		if !ok {
			r.Refused = true
		}
		r.Output = min(r.Output, n)
	}
}

// fits says whether an operation can be taken, and with how much output.
func (r *Reservation) fits(o *Op) (output int64, ok bool) {
	switch {
	case o.Short:
		return 0, false
	case o.Rate:
		return r.Want, o.Used+float64(o.Fixed)-float64(o.Limit) <= rounding
	case o.Per == 0:
		return r.Want, o.Spent+o.Reserved+o.Fixed <= o.Limit
	}
	left := o.Left()
	room := max(floorDiv(left, share), min(left, o.amount(r.Need)))
	if o.amount(r.Want) <= room {
		return r.Want, true
	}
	output = floorDiv((room-o.Fixed)*million, o.Per)
	return output, output >= r.Least
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a < 0 && q*b != a {
		q--
	}
	return q
}

// product is a × b / 1e6 rounded up, at most most.
func product(a, b int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	lo, carry := bits.Add64(lo, million-1, 0)
	hi += carry
	if hi >= million {
		return most
	}
	q, _ := bits.Div64(hi, lo, million)
	return int64(min(q, most))
}

func clamp(n int64) int64 { return min(max(n, 0), most) }

// Unlimited counts nothing and refuses nobody.
type Unlimited struct{}

// Reserve admits everything.
func (Unlimited) Reserve(context.Context, *Request) (*Reservation, Status, error) {
	return nil, Status{}, nil
}

// Settle does nothing.
func (Unlimited) Settle(time.Time, *Reservation, Used) {}

// NewReservation is a request's operations for a store, without a Gate.
func NewReservation(id, slot string, now time.Time, lease time.Duration, ops []Op) *Reservation {
	return &Reservation{ID: id, Slot: slot, Now: now, Lease: lease, Ops: ops, taken: now.UnixMilli(), choices: 1}
}
