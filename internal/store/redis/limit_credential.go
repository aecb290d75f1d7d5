package redis

import (
	"sync"
	"time"

	"dragoman/internal/config"
	"dragoman/processor/limit"
)

// What a provider grants one credential is granted to all replicas together. It is counted by leases, as everything that is global; but a
// request that has got so far has waited for the server already, or had nothing to wait for, so that it never waits here: what a lease
// lacks is drawn behind it. Until the draw is answered a replica may owe, on top of what it holds, an eighth of what was left when it last
// heard of it, or one request that fits. Debts are charged in full. Over t minutes all replicas together can therefore take t+1 limits,
// and each of them two chunks that it still held and an eighth of the limit (at least a request); of requests at the same time the limit,
// and each of them an eighth of it (at least one).

// Credentials are the limits of credentials that all replicas share. The zero value is not usable: see Limits.Credentials.
type Credentials struct {
	l *Limits

	mu     sync.RWMutex
	meters map[*config.CredentialLimits]*credential
}

// credential is one credential's limits as meters; nil: unlimited.
type credential struct{ requests, tokens, concurrency *config.Meter }

// Credentials are the limits of credentials, counted with the counters of l.
func (l *Limits) Credentials() *Credentials {
	return &Credentials{l: l, meters: map[*config.CredentialLimits]*credential{}}
}

func (c *Credentials) of(l *config.CredentialLimits) *credential {
	c.mu.RLock()
	k := c.meters[l]
	c.mu.RUnlock()
	if k != nil {
		return k
	}
	meter := func(kind config.MeterKind, what string, amount uint64) *config.Meter {
		if amount == 0 {
			return nil
		}
		return config.NewMeter(config.Meter{Key: "credential/" + l.ID + "/" + what, Level: "credential:" + l.ID, Name: what, Kind: kind, Global: true}, int64(amount))
	}
	k = &credential{meter(config.MeterRequests, "rpm", l.Requests), meter(config.MeterTokens, "tpm", l.Tokens), meter(config.MeterConcurrent, "concurrency", l.Concurrency)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.meters) >= maxKeys {
		clear(c.meters) // a reload makes new ones
	}
	c.meters[l] = k
	return k
}

// ops are what a request of so many tokens takes. A request that is larger than the whole limit fits one that nobody uses.
func (k *credential) ops(tokens int64) (ops [3]limit.Op, n int) {
	add := func(m *config.Meter, amount int64) {
		if m != nil {
			most := m.Limit(time.Time{})
			ops[n] = limit.Op{Meter: m, Rate: m.Kind.Rate(), Hold: true, Limit: most, Fixed: min(amount, most), Seed: -1, Keep: credentialKeep.Milliseconds()}
			n++
		}
	}
	add(k.requests, 1)
	add(k.tokens, tokens)
	add(k.concurrency, 1)
	return ops, n
}

// credentialKeep is how long a counter that nobody touches is kept: a debt of a minute or more has flowed off by then.
const credentialKeep = 20 * time.Minute

// Take counts a request of so many tokens and waits for nothing. With strict it counts nothing where there is no room: wait says for how
// long there will be none. give ends it: used is how many tokens it took in truth, negative when nobody knows. Both are zero while the
// server is away: then nothing was counted, and each replica is on its own.
func (c *Credentials) Take(l *config.CredentialLimits, tokens int64, strict bool) (give func(used int64), wait time.Duration) {
	if !c.l.client.Available() {
		return nil, 0
	}
	ops, n := c.of(l).ops(tokens)
	var pools [len(ops)]*pool
	for i := range ops[:n] {
		pools[i] = c.l.leases.pool("", &ops[i])
		if wait = pools[i].takeAhead(&ops[i], strict); wait == 0 {
			continue
		}
		for j := range ops[:i] {
			pools[j].settle(&ops[j], ops[j].Taken, 0, nil)
		}
		return nil, wait
	}
	return func(used int64) {
		for i := range ops[:n] {
			o, use := &ops[i], ops[i].Taken
			switch {
			case !o.Rate:
				use = 0
			case o.Meter.Kind == config.MeterTokens && used >= 0:
				use = used
			}
			pools[i].settle(o, o.Taken, use, nil)
		}
	}, 0
}

// Left is the part that is left, from 0 to 1, and for how long there is no room for a request of so many tokens; 1 and 0 while the server
// is away.
func (c *Credentials) Left(l *config.CredentialLimits, tokens int64) (left float64, wait time.Duration) {
	left = 1
	if !c.l.client.Available() {
		return left, 0
	}
	ops, n := c.of(l).ops(tokens)
	for i := range ops[:n] {
		part, w := c.l.leases.pool("", &ops[i]).ahead(&ops[i])
		left, wait = min(left, part), max(wait, w)
	}
	return left, wait
}

// owing is the part of what is left that one replica may owe: eight that do so at once take no more than there is.
const owing = 8

// takeAhead is take for a request that does not wait. What it takes beyond the lease is owed, and drawn at once.
func (p *pool) takeAhead(o *limit.Op, strict bool) (wait time.Duration) {
	now := p.l.l.wall()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.op, p.slot, p.used = *o, "", now
	if wait = p.lacks(o, now); wait == 0 || !strict {
		p.reserve(o, 0)
		wait = 0
	} else {
		o.Taken = 0
	}
	if p.free(now) < (p.chunk()+1)/2 && !now.Before(p.dry) {
		p.asked = min(p.asked+o.Fixed, o.Limit)
		p.kick()
	}
	return wait
}

// lacks is for how long there is no room; 0: there is. p.mu is held.
func (p *pool) lacks(o *limit.Op, now time.Time) time.Duration {
	free := p.free(now)
	if !o.Rate {
		free = min(free, p.granted-p.reserved-p.spent) // of a lease that is too old nothing is free, and what is owed is owed still
	}
	if o.Fixed <= free {
		return 0
	}
	left := p.believed(o, now)
	debt := float64(o.Fixed - free)
	if debt <= left/owing || free >= 0 && float64(o.Fixed) <= left {
		return 0
	}
	if !o.Rate {
		return max(dryFor, p.dry.Sub(now))
	}
	return max(dryFor, time.Duration((debt-left)/float64(o.Limit)*float64(time.Minute)))
}

// believed is what is left with all replicas, as far as is known: what flows off a rate has flowed since the last draw. p.mu is held.
func (p *pool) believed(o *limit.Op, now time.Time) float64 {
	age := now.Sub(p.drawn)
	switch {
	case p.drawn.IsZero(), !o.Rate && age > chunkRenew+time.Second:
		return float64(o.Limit)
	case o.Rate:
		return min(float64(o.Limit), p.left+float64(o.Limit)*age.Minutes())
	}
	return p.left
}

// ahead is what takeAhead would find: the part that is left, and for how long there is no room.
func (p *pool) ahead(o *limit.Op) (left float64, wait time.Duration) {
	now := p.l.l.wall()
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = p.lacks(o, now)
	if wait > 0 && !now.Before(p.dry) {
		// A request that is turned away for this never comes to take: so it is here that more is asked for.
		p.op, p.used = *o, now
		p.asked = max(p.asked, o.Fixed)
		p.kick()
	}
	left = (p.believed(o, now) + float64(p.free(now))) / float64(o.Limit)
	return min(max(left, 0), 1), wait
}

// kick has the pool tended at once. p.mu is held.
func (p *pool) kick() {
	if p.kicked {
		return
	}
	select {
	case p.l.kicks <- p:
		p.kicked = true
	default: // the next tick finds it
	}
}
