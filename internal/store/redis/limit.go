package redis

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"math"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragoman/internal/config"
	"dragoman/processor/limit"
)

const takeDeadline = 20 * time.Millisecond

//go:embed lua/count.lua
var countLua string

//go:embed lua/take.lua
var takeLua string

//go:embed lua/give.lua
var giveLua string

var (
	takeScript = goredis.NewScript(countLua + takeLua)
	giveScript = goredis.NewScript(countLua + giveLua)
)

// LimitOptions are what Limits work with.
type LimitOptions struct {
	// Clock is where the counters' time comes from: nil is the server's, the same for all replicas. Tests set one.
	Clock func() time.Time
	Wait  time.Duration // of a reservation, default 20 ms
	Queue int           // settlements that wait, default 65536
	Lost  func(n int)   // settlements that could not be made; may be nil
	// Of leases, see limit_lease.go.
	ID     string  // of this process, unique among the replicas
	Chunk  float64 // part of a limit that is drawn at a time, default 0.02
	Leased bool    // every counter is counted by leases, not only what is global
}

// Limits keep counters where all replicas find them, those of one organisation in one slot of a cluster. A reservation is one round
// trip; settlements go out behind the requests, many at a time. It implements limit.Store.
type Limits struct {
	client *Client
	o      LimitOptions
	batch  batcher
	queue  *settlements
	leases *leases

	mu   sync.RWMutex
	keys map[*config.Meter]counterKeys
}

// counterKeys are one meter's keys: the counter and, of a sum, its reservations.
type counterKeys struct{ slot, counter, leases string }

// maxKeys bounds what is remembered of meters, of which a reload makes new ones.
const maxKeys = 50_000

// NewLimits makes counters on a client, which stays the caller's. The caller must Close them, before the client.
func NewLimits(client *Client, o LimitOptions) *Limits {
	if o.Wait == 0 {
		o.Wait = takeDeadline
	}
	if o.Queue == 0 {
		o.Queue = 1 << 16
	}
	if o.Chunk == 0 {
		o.Chunk = 0.02
	}
	l := &Limits{client: client, o: o, batch: batcher{client: client}, keys: map[*config.Meter]counterKeys{}}
	l.queue = newSettlements(l)
	l.leases = newLeases(l, o.ID)
	return l
}

// Close settles what waits, as far as the server takes it within a second.
func (l *Limits) Close() {
	l.leases.close()
	l.queue.close()
}

// now is the time that scripts are given: 0 has them ask the server.
func (l *Limits) now() int64 {
	if l.o.Clock == nil {
		return 0
	}
	return l.o.Clock().UnixMilli()
}

// wall is the time of this process.
func (l *Limits) wall() time.Time {
	if l.o.Clock == nil {
		return time.Now()
	}
	return l.o.Clock()
}

// leased says that an operation's counter is counted in this process.
func (l *Limits) leased(o *limit.Op) bool { return l.o.Leased || o.Meter.Global }

// direct is how many operations are the scripts' own.
func (l *Limits) direct(r *limit.Reservation) (n int) {
	for i := range r.Ops {
		if !l.leased(&r.Ops[i]) {
			n++
		}
	}
	return n
}

// keysOf names the counters. What is global has a slot of its own.
func (l *Limits) keysOf(slot string, m *config.Meter) counterKeys {
	if m.Global {
		slot = "global"
	}
	l.mu.RLock()
	k, ok := l.keys[m]
	l.mu.RUnlock()
	if ok && k.slot == slot {
		return k
	}
	k = counterKeys{slot, l.client.Key("limit", "{"+slot+"}", m.Key), l.client.Key("lease", "{"+slot+"}", m.Key)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.keys) >= maxKeys {
		clear(l.keys)
	}
	l.keys[m] = k
	return k
}

// keyList is the KEYS of both scripts.
func (l *Limits) keyList(r *limit.Reservation) []string {
	keys := make([]string, 1, 1+2*len(r.Ops))
	keys[0] = l.client.Key("settled", "{"+r.Slot+"}", r.ID)
	for i := range r.Ops {
		o := &r.Ops[i]
		if l.leased(o) {
			continue
		}
		k := l.keysOf(r.Slot, o.Meter)
		keys = append(keys, k.counter)
		if !o.Rate {
			keys = append(keys, k.leases)
		}
	}
	return keys
}

const (
	flagRate = 1
	flagHold = 2
)

func flags(o *limit.Op) (f int64) {
	if o.Rate {
		f = flagRate
	}
	if o.Hold {
		f |= flagHold
	}
	return f
}

// pack appends little endian integers.
func pack(b []byte, ns ...int64) []byte {
	for _, n := range ns {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// errReply says that a script's answer is none.
var errReply = errors.New("redis: a script of limits answered what it never answers")

// doubles reads a script's answer.
func doubles(s string, n int) ([]float64, error) {
	if len(s) != 8*n {
		return nil, errReply
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = math.Float64frombits(binary.LittleEndian.Uint64([]byte(s[8*i : 8*i+8])))
	}
	return out, nil
}

// errSettled says that a reservation came after its own settlement: its request was given up.
var errSettled = errors.New("redis: the reservation came too late")

// Take implements limit.Store.
func (l *Limits) Take(ctx context.Context, r *limit.Reservation) error {
	direct := l.direct(r)
	if direct == len(r.Ops) {
		return l.takeDirect(ctx, r, direct)
	}
	want := r.Want
	defer func() { r.Want = want }()
	held, err := l.takeLeased(ctx, r)
	if err == nil && direct > 0 && !r.Refused {
		err = l.takeDirect(ctx, r, direct)
	}
	l.adjust(r, held, err == nil && !r.Refused)
	return err
}

// takeLeased reserves what is counted here, and lowers Want to what can be had. held says of which operations something was taken.
func (l *Limits) takeLeased(ctx context.Context, r *limit.Reservation) (held int, err error) {
	r.Refused, r.Output = false, r.Want
	for i := range r.Ops {
		o := &r.Ops[i]
		if !l.leased(o) {
			continue
		}
		output, ok, err := l.leases.pool(r.Slot, o).take(ctx, r, o, r.Want)
		if err != nil {
			return i, err
		}
		if !ok {
			r.Refused = true
			return i, nil
		}
		r.Want, r.Output = min(r.Want, output), min(r.Output, output)
	}
	return len(r.Ops), nil
}

// adjust gives back what the other operations have left no use for.
func (l *Limits) adjust(r *limit.Reservation, held int, taken bool) {
	for i := range r.Ops[:held] {
		o := &r.Ops[i]
		if !l.leased(o) {
			continue
		}
		keep := int64(0)
		if taken {
			keep = o.Amount(r.Output)
		}
		if o.Taken != keep {
			use := int64(0)
			l.leases.pool(r.Slot, o).settle(o, o.Taken-keep, use, nil)
			o.Taken = keep
		}
	}
}

func (l *Limits) takeDirect(ctx context.Context, r *limit.Reservation, n int) error {
	err := l.ask(ctx, "limit_take", r, n, 0)
	if err != nil && !errors.Is(err, ErrAway) && !errors.Is(err, errSettled) {
		l.release(r) // the server may have taken it all the same
	}
	if err == nil && !r.Refused {
		for i := range r.Ops {
			if o := &r.Ops[i]; !l.leased(o) {
				o.Taken = o.Amount(r.Output)
			}
		}
	}
	return err
}

// Look implements limit.Store. What is counted by leases is shown as it is with all replicas.
func (l *Limits) Look(ctx context.Context, r *limit.Reservation) error {
	for _, global := range []bool{false, true} {
		part := &limit.Reservation{ID: r.ID, Slot: r.Slot, Now: r.Now, Lease: r.Lease}
		var at []int
		for i := range r.Ops {
			if r.Ops[i].Meter.Global == global {
				at = append(at, i)
				part.Ops = append(part.Ops, r.Ops[i])
			}
		}
		if err := l.look(ctx, part, global); err != nil {
			return err
		}
		for i, n := range at {
			r.Ops[n] = part.Ops[i]
		}
	}
	return nil
}

func (l *Limits) look(ctx context.Context, r *limit.Reservation, global bool) error {
	if len(r.Ops) == 0 {
		return nil
	}
	slot := r.Slot
	if global {
		slot = "global"
	}
	keys := []string{l.client.Key("settled", "{"+slot+"}", "look")}
	for i := range r.Ops {
		k := l.keysOf(r.Slot, r.Ops[i].Meter)
		if keys = append(keys, k.counter); !r.Ops[i].Rate {
			keys = append(keys, k.leases)
		}
	}
	return l.run(ctx, "limit_look", lookDeadline, r, keys, len(r.Ops), 1, func(*limit.Op) bool { return false })
}

// lookDeadline is for people.
const lookDeadline = time.Second

func (l *Limits) ask(ctx context.Context, op string, r *limit.Reservation, n int, look int64) error {
	return l.run(ctx, op, l.o.Wait, r, l.keyList(r), n, look, l.leased)
}

func (l *Limits) run(ctx context.Context, op string, wait time.Duration, r *limit.Reservation, keys []string, n int, look int64, skip func(*limit.Op) bool) error {
	b := pack(make([]byte, 0, 8*(7+8*n)), l.now(), r.Lease.Milliseconds(), r.Want, r.Need, r.Least, int64(n), look)
	for i := range r.Ops {
		o := &r.Ops[i]
		if skip(o) {
			continue
		}
		b = pack(b, flags(o), o.Limit, o.Fixed, o.Per, o.Window, o.Step, o.Keep, o.Seed)
	}
	answer, err := l.batch.run(ctx, wait, &call{op: op, script: takeScript, keys: keys, id: r.ID, blob: b})
	if err != nil {
		return err
	}
	return read(r, answer, n, skip)
}

// read sets what the script found.
func read(r *limit.Reservation, answer string, n int, skip func(*limit.Op) bool) error {
	if len(answer) == 8 {
		return errSettled
	}
	v, err := doubles(answer, 2+2*n)
	if err != nil {
		return err
	}
	r.Refused, r.Output = v[0] == 0, int64(v[1])
	v = v[2:]
	for i := range r.Ops {
		o := &r.Ops[i]
		if skip(o) {
			continue
		}
		if o.Rate {
			o.Used = v[0]
		} else {
			o.Spent, o.Reserved = int64(v[0]), int64(v[1])
		}
		v = v[2:]
	}
	return nil
}

// release takes back a reservation of which nobody knows whether it was made, whenever it should arrive.
func (l *Limits) release(r *limit.Reservation) {
	gone := &limit.Reservation{ID: r.ID, Slot: r.Slot, Now: r.Now, Lease: r.Lease}
	for i := range r.Ops {
		if o := r.Ops[i]; !l.leased(&o) {
			o.Taken, o.Use = 0, 0
			gone.Ops = append(gone.Ops, o)
		}
	}
	l.queue.add(gone, nil)
}

// Give implements limit.Store.
func (l *Limits) Give(r *limit.Reservation, done func(*limit.Reservation)) {
	direct := l.direct(r)
	for i := range r.Ops {
		if o := &r.Ops[i]; l.leased(o) {
			l.leases.pool(r.Slot, o).settle(o, o.Taken, o.Use, done)
			o.Spent, o.After = 0, 0 // told when it is charged
		}
	}
	if direct > 0 {
		l.queue.add(r, done)
	}
}

// Pending is how many settlements wait.
func (l *Limits) Pending() int { return l.queue.waiting() }

// giveArgs are ARGV[2] of the settlement.
func (l *Limits) giveArgs(r *limit.Reservation, ends int64) []byte {
	n := l.direct(r)
	b := pack(make([]byte, 0, 8*(4+8*n)), l.now(), ends, markFor.Milliseconds(), int64(n))
	for i := range r.Ops {
		o := &r.Ops[i]
		if l.leased(o) {
			continue
		}
		b = pack(b, flags(o)&flagRate, o.Limit, o.Taken, o.Use, o.Window, o.Step, o.Keep, o.Seed)
	}
	return b
}
