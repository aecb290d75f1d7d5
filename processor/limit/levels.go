package limit

import (
	"cmp"
	"context"
	"slices"
	"time"

	"dragoman/internal/config"
)

// Level is where one limit or budget stands, for people.
type Level struct {
	Level    string    `json:"level"`
	Name     string    `json:"name"`
	Mode     string    `json:"mode"`
	Unit     string    `json:"unit"` // requests, tokens, usd
	Limit    float64   `json:"limit"`
	Spent    float64   `json:"spent"` // of a rate: what has not flowed off yet
	Reserved float64   `json:"reserved"`
	Resets   time.Time `json:"resets,omitzero"`    // when a calendar's budget begins anew
	Override string    `json:"override,omitempty"` // why the limit is another one at the moment
	Needs    float64   `json:"needs,omitempty"`    // that the request in question would reserve
}

const (
	maxLevels = 2000 // that are shown
	lookBatch = 64   // counters asked for at once
)

// Levels are the limits and budgets of principals, each once, sorted.
func (g *Gate) Levels(ctx context.Context, now time.Time, principals []*config.Principal) (list []Level, err error) {
	s := g.state.Load()
	seen := map[string]bool{}
	bySlot := map[string][]Op{}
	for _, p := range principals {
		for _, m := range p.Meters {
			k := key(p.Slot, m)
			if seen[k] || len(seen) >= maxLevels {
				continue
			}
			seen[k] = true
			bySlot[p.Slot] = append(bySlot[p.Slot], g.lookOp(p.Slot, m, now))
		}
	}
	for slot, ops := range bySlot {
		for batch := range slices.Chunk(ops, lookBatch) {
			r := NewReservation("look", slot, now, s.Quota.Lease, batch)
			if err := s.Store.Look(ctx, r); err != nil {
				return nil, err
			}
			for i := range r.Ops {
				list = append(list, r.Ops[i].level(now))
			}
		}
	}
	slices.SortFunc(list, func(a, b Level) int { return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Name, b.Name)) })
	return list, nil
}

func (g *Gate) lookOp(slot string, m *config.Meter, now time.Time) Op {
	o := Op{Meter: m, Rate: m.Kind.Rate(), Limit: m.Limit(now), Seed: -1, Keep: 60_000}
	o.place(now)
	if m.Kind.Budget() {
		o.Seed = g.seed(slot, &o, now)
	}
	return o
}

// Plan is what a request would take, without taking it. The error is the *fault.Fault that it would be refused with before any counter is
// asked.
func (g *Gate) Plan(q *Request) ([]Level, error) {
	if len(q.Principal.Meters) == 0 {
		return nil, nil
	}
	s := g.state.Load()
	r, err := g.plan(s, q)
	if err != nil {
		return nil, err
	}
	if err := s.Store.Look(context.Background(), r); err == nil {
		r.decide()
	}
	list := make([]Level, len(r.Ops))
	for i := range r.Ops {
		o := &r.Ops[i]
		_, scale := o.unit()
		list[i] = o.level(q.Now)
		list[i].Needs = float64(o.amount(max(r.Output, 0))) / scale
	}
	if r.Refused {
		return list, r.refusal().fault(r)
	}
	return list, nil
}

// unit is what the operation counts, and how many of what is kept make one of it.
func (o *Op) unit() (name string, scale float64) {
	switch o.Meter.Kind {
	case config.MeterBudgetUSD:
		return "usd", million
	case config.MeterBudgetTokens, config.MeterTokens:
		return "tokens", 1
	default:
		return "requests", 1
	}
}

func (o *Op) level(now time.Time) Level {
	m := o.Meter
	unit, scale := o.unit()
	l := Level{Level: m.Level, Name: m.Name, Mode: m.Mode.String(), Unit: unit, Limit: float64(o.Limit) / scale,
		Spent: float64(o.Spent) / scale, Reserved: float64(o.Reserved) / scale}
	if o.Rate {
		l.Spent = o.Used
	}
	if m.Kind.Budget() && o.Step == 0 {
		l.Resets = o.reset(now).UTC()
	}
	for i := range m.Overrides {
		if x := &m.Overrides[i]; !now.Before(x.From) && now.Before(x.Until) {
			l.Override = "until " + x.Until.UTC().Format(time.RFC3339)
			if x.Reason != "" {
				l.Override += ": " + x.Reason
			}
		}
	}
	return l
}
