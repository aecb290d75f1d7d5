package processor

import (
	"math"
	"strconv"
	"time"

	"dragoman/internal/fault"
	"dragoman/internal/wiring"
)

// A client may say how long it waits. x-dragoman-timeout is about the whole request. x-stainless-timeout is what the SDKs of OpenAI and
// Anthropic send by themselves, in seconds: for how long they wait for bytes, so it is about the first of them. Neither is ever longer
// than what the configuration allows, whose timeouts Envoy holds.

// maxPatience bounds what a client may say, so that nothing overflows.
const maxPatience = 7 * 24 * time.Hour

// readDeadline reads either header. What an SDK sends by itself is never an error.
func (ex *Exchange) readDeadline(name, value string) {
	d, ok := parsePatience(value)
	switch {
	case name == wiring.HeaderClientTimeout && ok:
		ex.patience = d
	case name == wiring.HeaderTimeout && ok:
		ex.within = d
	case name == wiring.HeaderTimeout:
		ex.badTimeout = true
	}
}

// parsePatience reads seconds ("30", "0.5") or a duration with its unit ("1500ms").
func parsePatience(text string) (time.Duration, bool) {
	if len(text) == 0 || len(text) > 32 {
		return 0, false
	}
	if s, err := strconv.ParseFloat(text, 64); err == nil {
		if !(s > 0) || math.IsInf(s, 0) {
			return 0, false
		}
		return time.Duration(min(s, maxPatience.Seconds()) * float64(time.Second)), true
	}
	d, err := time.ParseDuration(text)
	return min(d, maxPatience), err == nil && d > 0
}

// wait arms the client's deadline for the time until its answer begins. An answer in one piece begins when it ends.
func (ex *Exchange) wait() {
	if ex.within > 0 {
		ex.until = time.Now().Add(ex.within - ex.s.Now().Sub(ex.start))
	}
	limit := ex.within
	if ex.patience > 0 && (limit == 0 || ex.patience < limit) {
		limit = ex.patience
	}
	if limit == 0 {
		return
	}
	if !ex.head.Stream {
		ex.until = time.Now().Add(limit - ex.s.Now().Sub(ex.start))
	}
	ex.arm(limit-ex.s.Now().Sub(ex.start), ex.tooLate)
}

// tooLate answers a client whose time is up before any provider has. Envoy drops what is under way.
func (ex *Exchange) tooLate() { _ = ex.refuse(ex.late()) }

func (ex *Exchange) late() *fault.Fault {
	f := fault.New(fault.ProviderTimeout, "No answer within the time that the client gave (%s or %s).", wiring.HeaderTimeout, wiring.HeaderClientTimeout)
	f.Code = "deadline_exceeded"
	return f
}

// nextPiece is how long the next piece of an answer may take: retry.idle_timeout, but no longer than the client waits.
func (ex *Exchange) nextPiece() time.Duration {
	idle := ex.retry().IdleTimeout
	if ex.until.IsZero() {
		return idle
	}
	return min(idle, max(0, time.Until(ex.until)))
}

// stall is why no more pieces are waited for.
func (ex *Exchange) stall() *fault.Fault {
	if !ex.until.IsZero() && !time.Now().Before(ex.until) {
		return ex.late()
	}
	return fault.New(fault.ProviderTimeout, "The answer stalled: no data for %s.", ex.retry().IdleTimeout)
}
