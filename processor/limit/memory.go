package limit

import (
	"context"
	"math"
	"sync"
	"time"

	"dragoman/internal/config"
)

// sweepAt is the least number of counters at which idle ones are looked for.
const sweepAt = 4096

// Memory counts in this process. A rate is a token bucket that holds a minute's amount and refills continuously, so that in any
// stretch of t minutes at most 1+t limits can be used. What is kept is the amount *used*, which flows off at the limit's rate: a
// reload that changes the limit then needs no conversion. A sum is what was spent in its window and what is reserved.
//
// One lock guards everything: a request holds it for about a microsecond, twice.
type Memory struct {
	mu       sync.Mutex
	counters map[string]*counter
	sweep    int
	leases   Reservation // head of the ring of what is reserved, by when it expires
}

// counter is the count of one meter.
type counter struct {
	used   float64 // of a rate, at ms
	at     int64
	spent  int64 // of a sum, in its window
	leased int64
	holds  int   // reservations that have a part of leased
	window int64 // calendar: start; rolling: number of the last step
	steps  []int64
	until  int64 // ms; not worth keeping after
}

// NewMemory makes empty counters.
func NewMemory() *Memory {
	m := &Memory{counters: map[string]*counter{}, sweep: sweepAt}
	m.leases.prev, m.leases.next = &m.leases, &m.leases
	return m
}

// Take implements Store.
func (m *Memory) Take(_ context.Context, r *Reservation) error {
	now := r.Now.UnixMilli()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	for i := range r.Ops {
		o := &r.Ops[i]
		o.counter = m.find(now, r.Slot, o)
		o.Used, o.Spent, o.Reserved = o.counter.used, o.counter.spent, o.counter.leased
	}
	if r.decide(); r.Refused {
		return nil
	}
	for i := range r.Ops {
		o := &r.Ops[i]
		o.Taken = o.amount(r.Output)
		if o.Rate {
			o.counter.used += float64(o.Taken)
			continue
		}
		o.counter.leased += o.Taken
		o.counter.holds++
	}
	m.link(r, now+r.Lease.Milliseconds())
	return nil
}

// Look implements Store.
func (m *Memory) Look(_ context.Context, r *Reservation) error {
	now := r.Now.UnixMilli()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	for i := range r.Ops {
		o := &r.Ops[i]
		if c := m.counters[key(r.Slot, o.Meter)]; c != nil {
			c.advance(now, o)
			o.Used, o.Spent, o.Reserved = c.used, c.spent, c.leased
		} else {
			o.Used, o.Spent, o.Reserved = 0, max(o.Seed, 0), 0
		}
	}
	return nil
}

// Give implements Store.
func (m *Memory) Give(r *Reservation, done func(*Reservation)) {
	m.give(r)
	if done != nil {
		done(r)
	}
}

func (m *Memory) give(r *Reservation) {
	now := r.Now.UnixMilli()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	held := r.in == m && r.linked
	if held {
		m.unlink(r)
	}
	for i := range r.Ops {
		o := &r.Ops[i]
		c := o.counter
		if c == nil || r.in != m { // taken elsewhere
			if o.Use == 0 || o.Rate {
				continue
			}
			c = m.find(now, r.Slot, o)
		}
		c.advance(now, o)
		if o.Rate {
			c.settle(o, held)
			continue
		}
		if held {
			c.leased -= o.Taken
			c.holds--
		}
		o.Spent = c.spent
		c.spend(o)
		o.After = c.spent
		o.counter = nil
	}
}

// key names a counter.
func key(slot string, m *config.Meter) string { return m.Counter(slot) }

// find is the counter of an operation at now.
func (m *Memory) find(now int64, slot string, o *Op) *counter {
	k := key(slot, o.Meter)
	c := m.counters[k]
	if c == nil {
		if len(m.counters) >= m.sweep {
			m.dropIdle(now)
		}
		c = &counter{at: now}
		c.begin(now, o)
		m.counters[k] = c
	}
	c.advance(now, o)
	// What is reserved may be on its way to be charged, and known already.
	if known := o.Seed - c.leased; !o.Rate && o.Step == 0 && c.window == o.Window && known > c.spent {
		c.spent = known
	}
	return c
}

// dropIdle forgets counters that are as good as new. So those of keys that were removed from the config do not pile up.
func (m *Memory) dropIdle(now int64) {
	for k, c := range m.counters {
		if c.holds == 0 && now >= c.until {
			delete(m.counters, k)
		}
	}
	m.sweep = max(sweepAt, 2*len(m.counters))
}

// begin sets what is known to be spent.
func (c *counter) begin(now int64, o *Op) {
	if o.Rate {
		return
	}
	c.window = o.windowAt(now)
	if o.Step > 0 {
		c.steps = make([]int64, config.RollingSteps+1)
	}
	if o.Seed > 0 {
		c.spent = o.Seed
		c.note(o.Seed)
	}
}

// windowAt is the calendar's window, or the step of a rolling one.
func (o *Op) windowAt(now int64) int64 {
	if o.Step > 0 {
		return now / o.Step
	}
	return o.Window
}

// advance lets time pass. A clock that went back gives nothing and takes nothing.
func (c *counter) advance(now int64, o *Op) {
	c.until = max(c.until, now+o.Keep)
	if o.Rate {
		if dt := now - c.at; dt > 0 {
			c.at = now
			if c.used -= float64(o.Limit) * float64(dt) / 60_000; c.used < rounding {
				c.used = 0
			}
		}
		return
	}
	w := o.windowAt(now)
	switch {
	case w <= c.window:
	case o.Step > 0:
		for s := max(c.window+1, w-config.RollingSteps); s <= w; s++ {
			step := &c.steps[s%int64(len(c.steps))]
			c.spent -= *step
			*step = 0
		}
		c.window = w
	default:
		c.spent, c.window = 0, w
	}
}

// spend charges a sum.
func (c *counter) spend(o *Op) {
	c.spent = min(c.spent+o.Use, most)
	c.note(o.Use)
}

func (c *counter) note(amount int64) {
	if c.steps != nil {
		c.steps[c.window%int64(len(c.steps))] += amount
	}
}

// settle corrects a rate. What flowed back by itself, after the lease, is not given back again.
func (c *counter) settle(o *Op, held bool) {
	delta := float64(o.Use - o.Taken)
	if delta < 0 && !held {
		return
	}
	bound := max(float64(o.Limit)*(1+debtMinutes), c.used)
	c.used = max(0, math.Min(c.used+delta, bound))
}

// link adds r to the ring. Leases are as long as each other but for reloads: the end is where it belongs, or nearly.
func (m *Memory) link(r *Reservation, expires int64) {
	r.expires, r.linked, r.in = expires, true, m
	r.prev, r.next = m.leases.prev, &m.leases
	r.prev.next, r.next.prev = r, r
}

func (m *Memory) unlink(r *Reservation) {
	r.prev.next, r.next.prev = r.next, r.prev
	r.prev, r.next, r.linked = nil, nil, false
}

// expire lets flow back what nobody settled in time.
func (m *Memory) expire(now int64) {
	for r := m.leases.next; r != &m.leases && r.expires <= now; r = m.leases.next {
		m.unlink(r)
		for i := range r.Ops {
			if o := &r.Ops[i]; !o.Rate {
				o.counter.leased -= o.Taken
				o.counter.holds--
			}
		}
	}
}

// Reserved is how many reservations are open at a time.
func (m *Memory) Reserved(now time.Time) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now.UnixMilli())
	for r := m.leases.next; r != &m.leases; r = r.next {
		n++
	}
	return n
}
