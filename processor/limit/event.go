package limit

import (
	"time"

	"dragoman/internal/config"
)

// Event is something about a limit that its owner wants to know.
type Event struct {
	Time   time.Time `json:"time"`
	Kind   string    `json:"event"` // budget_warning, budget_exhausted, limit_passed
	Level  string    `json:"level"`
	Name   string    `json:"name"`
	Mode   string    `json:"mode"`
	Part   float64   `json:"part,omitempty"` // that was reached
	Unit   string    `json:"unit"`           // usd, tokens, requests
	Spent  float64   `json:"spent"`          // in Unit
	Limit  float64   `json:"limit"`
	Resets time.Time `json:"resets,omitzero"`
}

// everyMinute bounds the events of one soft limit.
const everyMinute = time.Minute

// crossed tells of the parts of a budget that this settlement has reached: of all replicas only the one that settles it sees the sum
// go from below to beyond.
func (g *Gate) crossed(s *state, r *Reservation, o *Op) {
	if over := o.After - max(o.Limit, o.Spent); over > 0 && o.Hold && s.Report.Overspent != nil {
		s.Report.Overspent(o.Meter, over)
	}
	if s.Report.Event == nil || o.After <= o.Spent || o.Meter.Mode == config.Shadow {
		return
	}
	tell := func(kind string, part float64) {
		at := part * float64(o.Limit)
		if float64(o.Spent) < at && float64(o.After) >= at {
			s.Report.Event(o.event(r.Now, kind, part))
		}
	}
	for _, part := range o.Meter.WarnAt {
		if part < 1 {
			tell("budget_warning", part)
		}
	}
	tell("budget_exhausted", 1)
}

// passed tells of a soft rate limit, once a minute.
func (g *Gate) passed(s *state, r *Reservation, o *Op) {
	if s.Report.Event == nil {
		return
	}
	k := key(r.Slot, o.Meter)
	g.mu.Lock()
	old, ok := g.known[k]
	if ok && r.Now.Sub(old.said) < everyMinute {
		g.mu.Unlock()
		return
	}
	if !ok {
		if len(g.known) >= maxKnown {
			clear(g.known)
		}
		old.spent = -1
	}
	old.said = r.Now
	g.known[k] = old
	g.mu.Unlock()
	s.Report.Event(o.event(r.Now, "limit_passed", 0))
}

func (o *Op) event(now time.Time, kind string, part float64) Event {
	unit, scale := o.unit()
	spent := float64(o.After)
	switch {
	case o.Rate:
		spent = o.Used
	case !o.Meter.Kind.Budget():
		spent = float64(o.Reserved)
	}
	return Event{Time: now.UTC(), Kind: kind, Level: o.Meter.Level, Name: o.Meter.Name, Mode: o.Meter.Mode.String(), Part: part, Unit: unit,
		Spent: spent / scale, Limit: float64(o.Limit) / scale, Resets: o.reset(now)}
}
