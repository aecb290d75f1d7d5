package limit

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

// verdict is what becomes of a request that does not fit. A later one is more final.
type verdict uint8

const (
	fitting   verdict = iota
	later             // room comes back by itself
	inFlight          // room comes back when requests under way are settled
	exhausted         // not before the budget's next window
	never             // more than the limit holds when nothing is used
)

// Refusal is why a reservation was not made: of all that was in the way, what is in it longest.
type Refusal struct {
	Op      *Op
	verdict verdict
	asked   int64
	wait    time.Duration
	reset   time.Time // of budgets; zero: unknown
}

// retrySoon is how long a client waits for what is in flight.
const retrySoon = time.Second

// soonest is up to which time to the reset a client may wait for a budget: SDKs do not wait longer than a minute.
const soonest = time.Minute

// refusal looks at every operation.
func (r *Reservation) refusal() *Refusal {
	var worst Refusal
	for i := range r.Ops {
		o := &r.Ops[i]
		if _, ok := r.fits(o); ok || !o.Hold {
			continue
		}
		if x := r.judge(o); x.verdict > worst.verdict || x.verdict == worst.verdict && x.wait > worst.wait {
			worst = x
		}
	}
	if worst.Op == nil {
		return nil
	}
	return &worst
}

// judge says why one operation does not fit.
func (r *Reservation) judge(o *Op) (x Refusal) {
	x = Refusal{Op: o, asked: o.Fixed}
	if o.Per > 0 {
		x.asked = o.amount(r.Least)
	}
	defer func() {
		if x.wait <= 0 && (x.verdict == later || x.verdict == inFlight) {
			x.wait = retrySoon // another replica holds what is left
		}
	}()
	switch {
	case o.Rate:
		x.verdict, x.wait = later, refill(o.Used+float64(x.asked)-float64(o.Limit), float64(o.Limit))
		if x.asked > o.Limit {
			x.verdict = never
		}
	case !o.Meter.Kind.Budget():
		x.verdict, x.wait = inFlight, retrySoon
	default:
		x.reset = o.reset(r.Now)
		switch until := x.reset.Sub(r.Now); {
		case o.Spent+x.asked <= o.Limit:
			x.verdict, x.wait = inFlight, retrySoon
		case x.asked > o.Limit && o.Limit > 0 && o.Spent == 0:
			x.verdict = never
		case !x.reset.IsZero() && until <= soonest && x.asked <= o.Limit:
			x.verdict, x.wait = later, max(until, time.Millisecond)
		default:
			x.verdict = exhausted
		}
	}
	return x
}

// reset is when a budget begins anew; of a rolling one, when the next step of it may give something back.
func (o *Op) reset(now time.Time) time.Time {
	if !o.Meter.Kind.Budget() {
		return time.Time{}
	}
	return o.Meter.Window(now).End
}

// refill is how long a bucket of limit a minute takes to give amount.
func refill(amount, limit float64) time.Duration {
	if amount <= rounding {
		return 0
	}
	return time.Duration(math.Ceil(min(amount/limit*float64(time.Minute), math.MaxInt64/2)))
}

// fault says which limit of whom, and what to do.
func (x *Refusal) fault(r *Reservation) *fault.Fault {
	o := x.Op
	switch {
	case !o.Meter.Kind.Budget() && !o.Rate:
		f := fault.New(fault.RateLimited, "Limit reached for %s: limit %d %s, under way %d. Try again when one has ended.", owner(o.Meter.Level), o.Limit, o.Meter.Name, o.Reserved)
		f.Code, f.RetryAfter = "concurrency_limit_exceeded", x.wait
		return f
	case o.Meter.Kind.Budget():
		return x.budgetFault(r)
	case x.verdict == never:
		// A 429 would be retried for ever by clients that wait for a bucket which is never large enough.
		f := fault.New(fault.InvalidRequest, "This request needs up to %d tokens (its input and its output cap), more than the %d "+
			"%s that %s may use at all. Shorten it, lower max_tokens, or have the limit raised.", x.asked, o.Limit, o.Meter.Name, owner(o.Meter.Level))
		f.Param, f.Code = "max_tokens", "request_exceeds_rate_limit"
		return f
	}
	f := fault.New(fault.RateLimited, "Rate limit reached for %s: limit %d %s, used or reserved %.0f, requested %d. Try again in %s.",
		owner(o.Meter.Level), o.Limit, o.Meter.Name, o.Used, x.asked, seconds(x.wait))
	f.Code, f.RetryAfter = "rate_limit_exceeded", x.wait
	if o.Meter.Kind == config.MeterTokens {
		f.Type = "tokens"
	}
	return f
}

// budgetFault tells three things apart: wait a moment, wait for the next window, and ask for less.
func (x *Refusal) budgetFault(r *Reservation) *fault.Fault {
	o := x.Op
	state := fmt.Sprintf("%s of %s: limit %s, spent %s, reserved by requests under way %s, needed for this one up to %s",
		o.Meter.Name, owner(o.Meter.Level), o.sum(o.Limit), o.sum(o.Spent), o.sum(o.Reserved), o.sum(x.asked))
	advice := ""
	if left := o.Limit - o.Spent; !r.Elastic && left > 0 && x.asked > left {
		advice = " A lower max_tokens may fit: it bounds what this request can cost."
	}
	switch x.verdict {
	case inFlight:
		f := fault.New(fault.RateLimited, "The budget %s. Try again in %s.", state, seconds(x.wait))
		f.Code, f.RetryAfter = "budget_reserved", x.wait
		return f
	case later:
		f := fault.New(fault.RateLimited, "The budget %s. It begins anew in %s.", state, seconds(x.wait))
		f.Code, f.RetryAfter = "budget_exhausted", x.wait
		return f
	case never:
		f := fault.New(fault.InvalidRequest, "This request can cost more than there is in the whole budget %s. Shorten it, lower max_tokens, or have the budget raised.", state)
		f.Param, f.Code = "max_tokens", "request_exceeds_budget"
		return f
	}
	f := fault.New(fault.BudgetExhausted, "The budget is exhausted: %s. It begins anew at %s.%s", state, x.reset.UTC().Format(time.RFC3339), advice)
	if o.Step > 0 {
		f = fault.New(fault.BudgetExhausted, "The budget is exhausted: %s. What was spent counts for %s.%s", state, o.Meter.Period.Rolling, advice)
	}
	f.Code = "budget_exhausted"
	return f
}

func unpricedFault(q *Request, m *config.Meter) *fault.Fault {
	f := fault.New(fault.PermissionDenied, "No price is known for the model %q, and %s has the budget %s in USD, which counts no request of unknown cost. "+
		"Ask for another model, or have its price configured (models[].price, or the budget's assumed_price).", clipped(q.Asked), owner(m.Level), m.Name)
	f.Param, f.Code = "model", "model_price_unknown"
	return f
}

func clipped(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// sum is an amount with its unit.
func (o *Op) sum(n int64) string {
	switch o.Meter.Kind {
	case config.MeterBudgetUSD:
		return usd(n) + " USD"
	case config.MeterBudgetTokens:
		return strconv.FormatInt(n, 10) + " tokens"
	default:
		return strconv.FormatInt(n, 10)
	}
}

// usd writes micro-USD in dollars: with cents, and more digits only where they are not 0.
func usd(micro int64) string {
	sign := ""
	if micro < 0 {
		sign, micro = "-", -micro
	}
	s := fmt.Sprintf("%s%d.%06d", sign, micro/million, micro%million)
	for strings.HasSuffix(s, "0") && len(s)-strings.IndexByte(s, '.') > 3 {
		s = s[:len(s)-1]
	}
	return s
}

// owner reads key:acme/search/ci as a person would: key acme/search/ci.
func owner(level string) string {
	kind, name, ok := strings.Cut(level, ":")
	switch {
	case ok:
		return kind + " " + name
	case level == "global":
		return "the whole gateway"
	default:
		return level
	}
}
