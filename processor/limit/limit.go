// Package limit counts requests and tokens against the limits of everything that stands above a key. A request's worst
// case is reserved at every level at once before it leaves, and settled once with what it used (C3): requests that run at
// the same time can therefore not overspend together.
package limit

import (
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
)

// Counters keep what was used of each level. Implementations are safe for concurrent use.
type Counters interface {
	// Reserve takes one request and tokens from every level, or, when one of them has not enough left, from none: the
	// error is then a *fault.Fault. It is RateLimited, with RetryAfter, when the request would fit later, and
	// InvalidRequest with the code request_exceeds_rate_limit when it is more than a full bucket and could never be
	// admitted. status tells either way where the caller stands. Without levels there is nothing to reserve: the
	// reservation is nil, which Settle takes.
	Reserve(now time.Time, levels []config.Level, tokens int64) (r *Reservation, status Status, err error)
	// Settle replaces what was reserved by the tokens that were used. Only the first call for a reservation counts.
	Settle(now time.Time, r *Reservation, tokens int64)
}

const (
	// Lease is how long what was reserved but not used can be given back. A reservation that is never settled needs no
	// clean-up: what it took flows back at the bucket's own rate, and nothing else remembers it.
	Lease = 15 * time.Minute

	// AssumedOutput is the output reserved for a request that sets no cap, in tokens.
	AssumedOutput = 4096

	// debtMinutes bounds how far below zero settling can push a level, in minutes of its rate: one answer that was far
	// longer than its reservation locks a key out for minutes, not for a day.
	debtMinutes = 10

	maxTokens = 1 << 50 // exact in a float64, with room to add
)

// WorstCase is the most tokens that a request can cost: its estimated input and n answers of maxOutput each. Without a
// cap (0) AssumedOutput is taken, but no more than half of the tightest level, so that a small limit does not refuse
// every request that sets none.
func WorstCase(levels []config.Level, input, maxOutput, n int64) int64 {
	input, n = clampTokens(input), max(1, n)
	if maxOutput <= 0 {
		maxOutput = AssumedOutput
		for i := range levels {
			if t := levels[i].Tokens; t > 0 {
				maxOutput = min(maxOutput, int64(min(t, maxTokens)/2))
			}
		}
	}
	if maxOutput > maxTokens/n {
		return maxTokens
	}
	return clampTokens(input + maxOutput*n)
}

func clampTokens(n int64) int64 { return min(max(n, 0), maxTokens) }

// Reservation is what one request took. It is settled once.
type Reservation struct {
	levels  []config.Level
	tokens  int64
	expires time.Time
	settled atomic.Bool
}

// NewReservation is for implementations of Counters. levels must not be written to any more.
func NewReservation(now time.Time, levels []config.Level, tokens int64) *Reservation {
	return &Reservation{levels: levels, tokens: tokens, expires: now.Add(Lease)}
}

// Close marks the reservation as settled and says what is to be done: delta tokens are to be added to each of levels,
// negative to give back. ok is false when there is nothing to do: it was settled before, or is nil.
func (r *Reservation) Close(now time.Time, used int64) (levels []config.Level, delta int64, ok bool) {
	if r == nil || !r.settled.CompareAndSwap(false, true) {
		return nil, 0, false
	}
	delta = clampTokens(used) - r.tokens
	if delta < 0 && now.After(r.expires) {
		delta = 0 // it has long flowed back by itself
	}
	return r.levels, delta, delta != 0
}

// Window is where a caller stands at the level that binds first.
type Window struct {
	Level     string        // config.Level.ID, "" when nothing is limited
	Limit     int64         // a minute's amount, which is also what a full bucket holds
	Remaining int64         // 0 when in debt
	Reset     time.Duration // until the bucket is full again, if nothing else comes
}

// tighten keeps the window that has less left.
func (w *Window) tighten(level string, limit, used float64) {
	remaining := int64(math.Floor(max(0, limit-used) + rounding))
	if w.Level != "" && remaining >= w.Remaining {
		return
	}
	*w = Window{Level: level, Limit: int64(limit), Remaining: remaining, Reset: refill(used, limit)}
}

// rounding forgives what decaying a float64 loses: a bucket that lacks a millionth of a token is full.
const rounding = 1e-6

// refill is how long a bucket of limit a minute takes to give amount.
func refill(amount, limit float64) time.Duration {
	if amount <= rounding {
		return 0
	}
	return time.Duration(math.Ceil(amount / limit * float64(time.Minute)))
}

// Status is where a caller stands after a reservation, or a refusal.
type Status struct{ Requests, Tokens Window }

// Header is one HTTP header, its name in lower case.
type Header struct{ Name, Value string }

// Headers are the ones that OpenAI's clients read, with the same units: counts, and durations such as 1s, 6m0s or 12ms
// until the limit is whole again. Only limits that exist have headers.
// Source: OpenAI, "Rate limits", section "Rate limits in headers".
func (s *Status) Headers() []Header {
	if s.Requests.Level == "" && s.Tokens.Level == "" {
		return nil
	}
	hs := make([]Header, 0, 6)
	if w := &s.Requests; w.Level != "" {
		hs = append(hs, Header{"x-ratelimit-limit-requests", strconv.FormatInt(w.Limit, 10)},
			Header{"x-ratelimit-remaining-requests", strconv.FormatInt(w.Remaining, 10)},
			Header{"x-ratelimit-reset-requests", seconds(w.Reset)})
	}
	if w := &s.Tokens; w.Level != "" {
		hs = append(hs, Header{"x-ratelimit-limit-tokens", strconv.FormatInt(w.Limit, 10)},
			Header{"x-ratelimit-remaining-tokens", strconv.FormatInt(w.Remaining, 10)},
			Header{"x-ratelimit-reset-tokens", seconds(w.Reset)})
	}
	return hs
}

// seconds writes a duration as OpenAI does, which is as Go does, to the millisecond and never too early.
func seconds(d time.Duration) string {
	if rest := d % time.Millisecond; rest > 0 {
		d += time.Millisecond - rest
	}
	return d.String()
}

// Unlimited counts nothing and refuses nobody.
type Unlimited struct{}

// Reserve admits everything.
func (Unlimited) Reserve(time.Time, []config.Level, int64) (*Reservation, Status, error) {
	return nil, Status{}, nil
}

// Settle does nothing.
func (Unlimited) Settle(time.Time, *Reservation, int64) {}
