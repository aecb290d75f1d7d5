package limit

import (
	"dragoman/internal/config"
	"dragoman/internal/fault"
)

// Cap is how many tokens of output, of each choice, a model may be asked for so that what was reserved suffices; 0 when it needs no
// cap. binds is the budget that asks for it. The error, a *fault.Fault, says that the model cannot serve the request within what
// was reserved.
func (r *Reservation) Cap(m *config.Model) (tokens int64, binds *config.Meter, err error) {
	if r == nil {
		return 0, nil, nil
	}
	for _, u := range r.unpriced {
		if m.Price == nil && u.Served("", "", m) {
			return 0, nil, unpricedFault(&Request{Asked: m.Name}, u)
		}
	}
	longest := r.Want
	if r.Elastic {
		longest = times(m.MaxOutput, r.choices) // 0: unknown, and so always capped
	}
	output := int64(most)
	for i := range r.Ops {
		o := &r.Ops[i]
		if !o.Hold || !o.Meter.Kind.Budget() {
			continue
		}
		if n, ok := r.buys(o, m); ok && n < output {
			output, binds = n, o.Meter
		}
	}
	switch {
	case binds == nil || (longest > 0 || !r.Elastic) && output >= longest: // what answers with no text wants none
		return 0, nil, nil
	case !r.Elastic || output < r.Least:
		f := fault.New(fault.BudgetExhausted, "The model %s costs more than what was left for this request of %s's budget %s.", m.Name, owner(binds.Level), binds.Name)
		f.Code = "budget_exhausted"
		return 0, nil, f
	}
	return max(output/r.choices, 1), binds, nil
}

// Capped notes that a cap of Cap was sent to a provider.
func (r *Reservation) Capped(m *config.Meter) {
	if r.report != nil {
		r.report(m)
	}
}

// buys is how much output of a model one budget's part of the reservation pays for. ok is false when it sets no bound.
func (r *Reservation) buys(o *Op, m *config.Model) (tokens int64, ok bool) {
	in, out := int64(million), int64(million)
	if o.Meter.Kind == config.MeterBudgetUSD {
		p := m.Price
		if p == nil {
			p = o.Meter.Assumed
		}
		if p == nil {
			return 0, false
		}
		i, x := p.Highest()
		in, out = int64(i), int64(x)
	}
	left := o.Taken - product(r.input, in)
	switch {
	case left < 0:
		return -1, true
	case out <= 0:
		return 0, false
	case left > most/million:
		return min(left/out*million, most), true // so much that rounding does not matter
	}
	return left * million / out, true
}
