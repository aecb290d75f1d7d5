package limit

import (
	"strconv"
	"strings"
	"time"

	"dragoman/internal/config"
)

// Window is where a caller stands at the rate that binds first.
type Window struct {
	Level     string        // "" when nothing is limited
	Limit     int64         // a minute's amount, which is also what a full bucket holds
	Remaining int64         // 0 when in debt
	Reset     time.Duration // until the bucket is full again, if nothing else comes
}

// tighten keeps the window that has less left.
func (w *Window) tighten(o *Op, used float64) {
	remaining := int64(max(0, float64(o.Limit)-used) + rounding)
	if w.Level != "" && remaining >= w.Remaining {
		return
	}
	*w = Window{Level: o.Meter.Level, Limit: o.Limit, Remaining: remaining, Reset: refill(used, float64(o.Limit))}
}

// Status is where a caller stands after a reservation, or a refusal.
type Status struct {
	Requests, Tokens Window
	Refusal          *Refusal
	Warnings         []string // for the client, of budgets and soft limits
	Left             float64  // the least part that is left of a hard limit or budget, 0 to 1; 1 without any
}

// status reads the counts after the reservation.
func (g *Gate) status(s *state, q *Request, r *Reservation) (st Status) {
	st.Left = 1
	for i := range r.Ops {
		o := &r.Ops[i]
		taken := o.Taken
		if r.Refused {
			taken = 0
		}
		switch {
		case o.Meter.Mode == config.Shadow:
			g.exceeded(s, r, o, nil)
			continue
		case o.Meter.Mode == config.Soft:
			g.exceeded(s, r, o, &st)
		case o.Limit > 0:
			st.Left = min(st.Left, max(0, float64(o.Left()-taken)/float64(o.Limit)))
		default:
			st.Left = 0
		}
		switch {
		case o.Meter.Kind == config.MeterRequests:
			st.Requests.tighten(o, o.Used+float64(taken))
		case o.Meter.Kind == config.MeterTokens:
			st.Tokens.tighten(o, o.Used+float64(taken))
		case o.Meter.Kind.Budget():
			st.warn(q, o)
		}
	}
	if r.Refused {
		if st.Refusal = r.refusal(); st.Refusal == nil {
			// Only Redis and this process reading a clock differently gets here: what was refused there fits here.
			st.Refusal = &Refusal{Op: r.firstHeld(), verdict: inFlight, asked: 1, wait: retrySoon}
		}
		if s.Report.Refused != nil {
			s.Report.Refused(st.Refusal.Op.Meter)
		}
	}
	return st
}

func (r *Reservation) firstHeld() *Op {
	for i := range r.Ops {
		if r.Ops[i].Hold {
			return &r.Ops[i]
		}
	}
	return &r.Ops[0]
}

// exceeded reports a limit that refuses nobody and would have, or has been passed.
func (g *Gate) exceeded(s *state, r *Reservation, o *Op, st *Status) {
	if _, ok := r.fits(o); ok || r.Refused {
		return
	}
	if o.Meter.Mode == config.Shadow {
		if s.Report.Shadow != nil {
			s.Report.Shadow(o.Meter)
		}
		return
	}
	if s.Report.Soft != nil {
		s.Report.Soft(o.Meter)
	}
	if !o.Meter.Kind.Budget() {
		st.Warnings = append(st.Warnings, o.Meter.Level+" "+o.Meter.Name+": over "+o.sum(o.Limit))
		g.passed(s, r, o)
	}
}

// warn tells the client that a budget draws to its end.
func (st *Status) warn(q *Request, o *Op) {
	if len(o.Meter.WarnAt) == 0 || float64(o.Spent) < o.Meter.WarnAt[0]*float64(o.Limit) || o.Limit <= 0 && o.Spent == 0 {
		return
	}
	part := 100.0
	if o.Limit > 0 {
		part = float64(o.Spent) / float64(o.Limit) * 100
	}
	st.Warnings = append(st.Warnings, o.Meter.Level+" "+o.Meter.Name+": "+strconv.FormatFloat(part, 'f', 0, 64)+"% of "+o.sum(o.Limit)+" spent"+o.resetText(q.Now))
}

func (o *Op) resetText(now time.Time) string {
	if o.Step > 0 {
		return ""
	}
	return ", resets " + o.reset(now).UTC().Format(time.RFC3339)
}

// Header is one HTTP header, its name in lower case.
type Header struct{ Name, Value string }

// Headers are the ones that OpenAI's clients read, with the same units: counts, and durations such as 1s, 6m0s or 12ms
// until the limit is whole again; and what only this gateway has to say. Only limits that exist have headers.
// Source: OpenAI, "Rate limits", section "Rate limits in headers".
func (s *Status) Headers() []Header {
	if s.Requests.Level == "" && s.Tokens.Level == "" && s.Refusal == nil && len(s.Warnings) == 0 {
		return nil
	}
	hs := make([]Header, 0, 8)
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
	if x := s.Refusal; x != nil {
		hs = append(hs, Header{"x-dragoman-limit", x.header()})
	}
	if len(s.Warnings) > 0 {
		hs = append(hs, Header{"x-dragoman-budget-warning", strings.Join(s.Warnings, "; ")})
	}
	return hs
}

// header is the refusal for programs.
func (x *Refusal) header() string {
	o := x.Op
	used := o.Spent
	if o.Rate {
		used = int64(o.Used)
	}
	number := func(n int64) string {
		if o.Meter.Kind == config.MeterBudgetUSD {
			return usd(n)
		}
		return strconv.FormatInt(n, 10)
	}
	out := o.Meter.Level + "; " + o.Meter.Name + "; limit=" + number(o.Limit) + "; spent=" + number(used) + "; reserved=" + number(o.Reserved)
	if !x.reset.IsZero() {
		out += "; reset=" + x.reset.UTC().Format(time.RFC3339)
	}
	return out
}

// seconds writes a duration as OpenAI does, which is as Go does, to the millisecond and never too early.
func seconds(d time.Duration) string {
	if rest := d % time.Millisecond; rest > 0 {
		d += time.Millisecond - rest
	}
	return d.String()
}
