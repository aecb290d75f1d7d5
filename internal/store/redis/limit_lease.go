package redis

import (
	"context"
	_ "embed"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragoman/processor/limit"
)

// Counters that are global, or all with local leases, are counted in this process, by leases of a part of the limit that are drawn from
// the server ahead of need. What all replicas hold together never exceeds a budget; a replica may refuse, at its end, what others have
// left in their leases: at most a chunk each. A rate lets through, in any minute, at most a chunk a replica more.

//go:embed lua/draw.lua
var drawLua string

var drawScript = goredis.NewScript(countLua + drawLua)

const (
	// chunkLease is after which a dead replica's lease flows back. A living one renews it, and stops using it in time when it cannot.
	chunkLease = 30 * time.Second
	chunkUse   = 25 * time.Second
	chunkRenew = 5 * time.Second
	chunkTick  = 250 * time.Millisecond
	chunkIdle  = 5 * time.Second // after which what is not used is given back
	dryFor     = 100 * time.Millisecond
	debtMost   = 10 // limits that a rate can be charged beyond what it holds, at a time
)

// leases are what this process holds.
type leases struct {
	l    *Limits
	id   string
	stop context.CancelFunc
	done sync.WaitGroup

	kicks chan *pool // to be tended before the next tick

	mu    sync.Mutex
	pools map[string]*pool
}

// pool is the lease of one counter.
type pool struct {
	l    *leases
	key  counterKeys
	draw sync.Mutex // one draw at a time

	mu       sync.Mutex
	op       limit.Op // as last asked
	slot     string
	granted  int64 // leased; of a rate what is left of it
	reserved int64
	spent    int64 // not yet charged; of a rate to be given back
	number   int64 // of the last draw that was answered
	unsure   bool  // whether the one after it was made, nobody knows: it was sent and not answered
	charged  int64 // by that one
	settled  func(*limit.Reservation)
	others   struct{ spent, reserved int64 } // as of the last draw, all replicas together
	drawn    time.Time
	used     time.Time
	dry      time.Time // until when it is known that there is nothing to draw

	// Of credentials, see limit_credential.go.
	left   float64 // with all replicas, as of the last draw
	asked  int64   // that is missing since
	kicked bool    // it waits in kicks
}

func newLeases(l *Limits, id string) *leases {
	ctx, stop := context.WithCancel(context.Background())
	s := &leases{l: l, id: id, stop: stop, pools: map[string]*pool{}, kicks: make(chan *pool, 256)}
	s.done.Go(func() { s.run(ctx) })
	return s
}

func (s *leases) pool(slot string, o *limit.Op) *pool {
	k := s.l.keysOf(slot, o.Meter)
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.pools[k.counter]
	if p == nil {
		p = &pool{l: s, key: k, number: time.Now().UnixNano() >> 10} // of another process of the same name it would be an old one
		s.pools[k.counter] = p
	}
	return p
}

// free is what can be reserved at once. p.mu is held.
func (p *pool) free(now time.Time) int64 {
	if p.op.Rate {
		return p.granted
	}
	if now.Sub(p.drawn) > chunkUse {
		return 0
	}
	return p.granted - p.reserved - p.spent
}

// chunk is what is drawn ahead of need.
func (p *pool) chunk() int64 {
	return max(1, int64(float64(p.op.Limit)*p.l.l.o.Chunk))
}

// take reserves for a request with so much output, or less if the request is elastic. ok is false when there is not enough.
func (p *pool) take(ctx context.Context, r *limit.Reservation, o *limit.Op, output int64) (granted int64, ok bool, err error) {
	now := p.l.l.wall()
	p.mu.Lock()
	p.note(r, o, now)
	if !o.Hold || o.Amount(output) <= p.free(now) {
		defer p.mu.Unlock()
		p.reserve(o, output)
		return output, true, nil
	}
	dry := now.Before(p.dry)
	p.mu.Unlock()
	if !dry {
		if err := p.fetch(ctx, o, output, r.Need); err != nil {
			return 0, false, err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.free(now)
	o.Spent, o.Reserved = p.others.spent+p.spent, max(0, p.others.reserved-p.spent-max(free, 0))
	if o.Rate {
		o.Used = p.usage()
	}
	if o.Amount(output) > free {
		p.dry = now.Add(dryFor)
		if output = o.Affords(free); o.Per == 0 || output < r.Least {
			o.Short = true
			return 0, false, nil
		}
	}
	p.reserve(o, output)
	return output, true, nil
}

// note keeps what a later draw has to say. p.mu is held.
func (p *pool) note(r *limit.Reservation, o *limit.Op, now time.Time) {
	p.op, p.slot, p.used = *o, r.Slot, now
	o.Spent, o.Reserved = p.others.spent+p.spent, p.others.reserved
	if o.Rate {
		o.Used = p.usage()
	}
}

// usage is what is used of a rate, without what is left of the lease. p.mu is held.
func (p *pool) usage() float64 { return float64(max(0, p.others.spent-p.granted)) }

// reserve takes from the lease. p.mu is held.
func (p *pool) reserve(o *limit.Op, output int64) {
	o.Taken = o.Amount(output)
	if o.Rate {
		p.granted -= o.Taken
	} else {
		p.reserved += o.Taken
	}
}

// settle gives back what was reserved and notes what was used.
func (p *pool) settle(o *limit.Op, taken, use int64, done func(*limit.Reservation)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o.Rate {
		p.granted += taken - use
		if over := p.granted - 2*p.chunk(); over > 0 {
			p.granted -= over
			p.spent += over
		}
		return
	}
	p.reserved -= taken
	p.spent += use
	if done != nil {
		p.settled = done
	}
}

// fetch draws for a request that finds too little, unless another has just done so.
func (p *pool) fetch(ctx context.Context, o *limit.Op, output, need int64) error {
	p.draw.Lock()
	defer p.draw.Unlock()
	p.mu.Lock()
	enough := o.Amount(output) <= p.free(p.l.l.wall())
	p.mu.Unlock()
	if enough {
		return nil
	}
	least := o.Amount(output)
	if o.Per > 0 {
		least = o.Amount(min(output, need))
	}
	return p.exchange(ctx, o.Amount(output), least, true)
}

// exchange draws a new lease for the old one: room for what is reserved, for ask and for a chunk. grow is false where what is not used
// is to be given back. p.draw is held.
func (p *pool) exchange(ctx context.Context, ask, least int64, grow bool) error {
	now := p.l.l.wall()
	p.mu.Lock()
	o := p.op
	if o.Rate && p.granted < 0 { // what is owed is charged even where nothing is left
		p.spent += max(p.granted, -debtMost*o.Limit)
		p.granted = 0
	}
	charge, want, need, out := p.spent, p.chunk()+ask, least, int64(0)
	if p.unsure { // it may have been made, and is known by its number: what it charges must be what it charged
		charge = p.charged
	}
	switch {
	case o.Rate:
		want, need = max(0, want-p.granted), max(0, least-p.granted)
	default:
		if !grow || now.Sub(p.drawn) > chunkUse {
			p.granted = p.reserved + p.spent // nothing beyond it is handed out until the answer is there
		} else if p.surplus() > 0 {
			p.granted = p.reserved + p.spent + p.chunk()
		}
		out = p.granted - charge
		if !grow {
			want, need = out, out
			break
		}
		want, need = max(out, p.reserved+want), max(out, p.reserved+need)
	}
	if !grow && o.Rate {
		want, need = 0, 0
	}
	number := p.number + 1
	p.mu.Unlock()
	v, err := p.l.send(ctx, p.key, &o, number, charge, want, need, out)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if !errors.Is(err, ErrAway) { // then nothing was sent
			p.unsure, p.charged = true, charge
		}
		return err
	}
	p.number, p.unsure = number, false
	p.drawn = now
	p.spent -= charge
	if o.Rate {
		p.granted += int64(v[0])
		p.others.spent = int64(v[2] + v[0])
		p.left = float64(o.Limit) - v[2] - v[0]
	} else {
		p.granted = int64(v[0])
		p.others.spent, p.others.reserved = int64(v[2]), int64(v[3])
		p.left = float64(o.Limit) - v[2] - v[3]
	}
	p.tell(o, charge, v, now)
	return nil
}

// tell says what the budget has come to, to whoever asked last. p.mu is held.
func (p *pool) tell(o limit.Op, charge int64, v []float64, now time.Time) {
	if o.Rate || charge == 0 || p.settled == nil {
		return
	}
	o.Spent, o.After, o.Use = int64(v[1]), int64(v[2]), charge
	r := &limit.Reservation{Slot: p.slot, Now: now, Ops: []limit.Op{o}}
	go p.settled(r)
}

func (s *leases) send(ctx context.Context, k counterKeys, o *limit.Op, number, charge, want, need, out int64) (v []float64, err error) {
	b := pack(make([]byte, 0, 8*13), s.l.now(), chunkLease.Milliseconds(), number, flags(o), o.Limit, charge, want, need, out, o.Window, o.Step,
		max(o.Keep, 2*chunkLease.Milliseconds()), o.Seed)
	keys := []string{k.counter, k.leases, k.leases + "|" + s.id}
	err = s.l.client.Do(ctx, "limit_draw", s.l.o.Wait, func(ctx context.Context, db goredis.UniversalClient) error {
		answer, err := drawScript.Run(ctx, db, keys, s.id, b).Text()
		if err != nil {
			return err
		}
		v, err = doubles(answer, 4)
		return err
	})
	return v, err
}

// run charges what was spent, renews, fetches ahead and gives back.
func (s *leases) run(ctx context.Context) {
	tick := time.NewTicker(chunkTick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case p := <-s.kicks:
			p.tend(ctx)
		case <-tick.C:
			s.each(func(p *pool) { p.tend(ctx) })
		}
	}
}

func (s *leases) each(f func(*pool)) {
	s.mu.Lock()
	list := make([]*pool, 0, len(s.pools))
	for _, p := range s.pools {
		list = append(list, p)
	}
	s.mu.Unlock()
	for _, p := range list {
		f(p)
	}
}

// tend does what is due for one pool.
func (p *pool) tend(ctx context.Context) {
	p.draw.Lock()
	defer p.draw.Unlock()
	now := p.l.l.wall()
	p.mu.Lock()
	idle := now.Sub(p.used) > chunkIdle
	low := !idle && p.free(now) < p.chunk()/2 && !now.Before(p.dry)
	renew := !p.op.Rate && p.granted > 0 && now.Sub(p.drawn) > chunkRenew
	back := idle && (p.op.Rate && p.granted > 0 || !p.op.Rate && p.granted > p.reserved+p.spent)
	empty := idle && p.granted == 0 && p.reserved == 0 && p.spent == 0 || idle && p.op.Rate && p.granted <= 0
	if back && p.op.Rate {
		p.spent += p.granted
		p.granted = 0
	}
	ask := min(p.asked, p.op.Limit)
	due := p.spent != 0 || p.unsure || low || renew || back || ask > 0 || p.op.Rate && p.granted < 0 || p.surplus() > 0
	p.asked, p.kicked = 0, false
	p.mu.Unlock()
	switch {
	case due:
		if p.exchange(ctx, ask, ask, !idle) == nil && ask > 0 {
			p.mark(ask)
		}
	case empty && now.Sub(p.drawn) > chunkLease:
		p.l.forget(p)
	}
}

// surplus is what is leased of a sum far beyond what is in use: others may need it. p.mu is held.
func (p *pool) surplus() int64 {
	if p.op.Rate {
		return 0
	}
	return max(0, p.granted-p.reserved-p.spent-2*p.chunk())
}

// mark notes that a draw has not brought what was asked for: the next one would not either.
func (p *pool) mark(ask int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.l.l.wall(); p.free(now) < min(ask, p.chunk()) {
		p.dry = now.Add(dryFor)
	}
}

// forget drops a pool that holds nothing. One that a request has just found stays good for that request: what it takes is drawn anew.
func (s *leases) forget(p *pool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.granted == 0 && p.reserved == 0 && p.spent == 0 && !p.unsure && s.l.wall().Sub(p.used) > chunkIdle {
		delete(s.pools, p.key.counter)
	}
}

// close charges what was spent and gives back the rest.
func (s *leases) close() {
	s.stop()
	s.done.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), settleLast)
	defer cancel()
	s.each(func(p *pool) {
		p.draw.Lock()
		defer p.draw.Unlock()
		p.mu.Lock()
		if p.op.Rate {
			p.spent += max(p.granted, 0)
			p.granted = 0
		}
		held, again := p.spent > 0 || p.granted > 0, p.unsure
		p.mu.Unlock()
		if held || again {
			_ = p.exchange(ctx, 0, 0, false)
		}
		if again { // what was spent since is not in it
			_ = p.exchange(ctx, 0, 0, false)
		}
	})
}
