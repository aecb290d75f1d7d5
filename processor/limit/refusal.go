package limit

import (
	"fmt"
	"strings"
	"time"

	"dragoman/internal/config"
	"dragoman/internal/fault"
)

type refusalKind uint8

const (
	none refusalKind = iota
	later
	never
)

// refusal is why a reservation cannot be made: of all the limits in the way, the one that is in it longest.
type refusal struct {
	kind        refusalKind
	level       string
	unit        string
	limit, used float64
	asked       int64
	wait        time.Duration
}

// check looks at both limits of one level.
func (r *refusal) check(c *config.Level, l *level, tokens int64) {
	if l.requestsLimit > 0 {
		r.consider(c.ID, "requests", l.requestsLimit, l.requests, 1)
	}
	if l.tokensLimit > 0 {
		r.consider(c.ID, "tokens", l.tokensLimit, l.tokens, tokens)
	}
}

func (r *refusal) consider(level, unit string, limit, used float64, asked int64) {
	over := used + float64(asked) - limit
	if over <= rounding {
		return
	}
	kind, wait := later, refill(over, limit)
	if float64(asked) > limit {
		kind = never
	}
	if kind > r.kind || (kind == r.kind && wait > r.wait) {
		*r = refusal{kind, level, unit, limit, used, asked, wait}
	}
}

// fault says which limit of whom, and what to do.
func (r *refusal) fault() *fault.Fault {
	if r.kind == never {
		// A 429 would be retried for ever by clients that wait for a bucket which is never large enough.
		f := fault.New(fault.InvalidRequest, "This request needs up to %d tokens (its input and its output cap), more than the %.0f "+
			"tokens per minute that %s may use at all. Shorten it, lower max_tokens, or have the limit raised.", r.asked, r.limit, owner(r.level))
		f.Param, f.Code = "max_tokens", "request_exceeds_rate_limit"
		return f
	}
	f := fault.New(fault.RateLimited, "Rate limit reached for %s: limit %.0f %s per minute, used or reserved %.0f, requested %d. Try again in %s.",
		owner(r.level), r.limit, r.unit, r.used, r.asked, seconds(r.wait))
	f.Code, f.RetryAfter = "rate_limit_exceeded", r.wait
	return f
}

// owner reads key:acme/search/ci as a person would: key acme/search/ci.
func owner(level string) string {
	kind, name, ok := strings.Cut(level, ":")
	if !ok {
		return level
	}
	return fmt.Sprintf("%s %s", kind, name)
}
