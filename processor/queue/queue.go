// Package queue holds requests that nobody can take at this moment: a bounded line for each route, in which tenants take turns. Only
// the head of a line looks whether there is room; the others wait behind it, so that nobody overtakes and nobody asks in vain.
package queue

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Outcome is how waiting ended.
type Outcome uint8

// The outcomes.
const (
	Served  Outcome = iota + 1 // there was room
	Full                       // the line was too long to begin with
	Expired                    // no room in time
	Gone                       // the context ended
	Failed                     // try gave up
)

var outcomeNames = [...]string{Served: "served", Full: "full", Expired: "expired", Gone: "gone", Failed: "failed"}

// String is the outcome's name in metrics.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists all, for tables that must be complete.
func Outcomes() []Outcome { return []Outcome{Served, Full, Expired, Gone, Failed} }

// Limits of one line.
type Limits struct {
	Length int
	Wait   time.Duration // of one request
}

// Queues are the lines of all routes. They are safe for concurrent use.
type Queues struct {
	mu      sync.Mutex
	lines   map[string]*line
	waiting atomic.Int64 // in all of them
}

// New makes queues without lines.
func New() *Queues { return &Queues{lines: map[string]*line{}} }

// line is the queue of one route. A line without waiters does not exist.
type line struct {
	length  int
	tenants []*tenant // in the order of their turns
	head    *waiter
	wake    chan struct{} // of capacity 1: there may be room
}

type tenant struct {
	name    string
	waiters []*waiter
}

type waiter struct {
	tenant string
	turn   chan struct{} // closed when it is the head
}

// maxPause bounds how long a head waits before it looks again: room may have come without a sign.
const maxPause = 500 * time.Millisecond

// Wait waits until try says that there is room: it returns for how long there will be none, 0 when there is some, and an error to give
// up. It is called by the head of the line alone, one call at a time.
func (q *Queues) Wait(ctx context.Context, route, name string, l Limits, try func() (time.Duration, error)) (Outcome, error) {
	ln, w, ok := q.enter(route, name, l.Length)
	if !ok {
		return Full, nil
	}
	defer q.leave(route, ln, w)
	late := time.NewTimer(l.Wait)
	defer late.Stop()
	select {
	case <-w.turn:
	case <-late.C:
		return Expired, nil
	case <-ctx.Done():
		return Gone, ctx.Err()
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ln.wake:
		case <-late.C:
			return Expired, nil
		case <-ctx.Done():
			return Gone, ctx.Err()
		}
		again, err := try()
		if err != nil {
			return Failed, err
		}
		if again <= 0 {
			return Served, nil
		}
		pause.Reset(min(again, maxPause))
	}
}

// enter puts a waiter at the end of its tenant's part of the line.
func (q *Queues) enter(route, name string, most int) (*line, *waiter, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	ln := q.lines[route]
	if ln == nil {
		ln = &line{wake: make(chan struct{}, 1)}
	}
	if ln.length >= most {
		return nil, nil, false
	}
	q.lines[route] = ln
	w := &waiter{tenant: name, turn: make(chan struct{})}
	ln.add(w)
	ln.length++
	q.waiting.Add(1)
	if ln.head == nil {
		ln.advance()
	}
	return ln, w, true
}

// leave takes a waiter out, and makes the next one the head when it was that.
func (q *Queues) leave(route string, ln *line, w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting.Add(-1)
	if ln.length--; ln.length == 0 {
		delete(q.lines, route)
		return
	}
	if ln.head == w {
		ln.advance()
	} else {
		ln.remove(w)
	}
}

func (l *line) add(w *waiter) {
	for _, t := range l.tenants {
		if t.name == w.tenant {
			t.waiters = append(t.waiters, w)
			return
		}
	}
	l.tenants = append(l.tenants, &tenant{w.tenant, []*waiter{w}})
}

// advance makes the first waiter of the next tenant the head; that tenant's turn comes again after all others'.
func (l *line) advance() {
	l.head = nil
	if len(l.tenants) == 0 {
		return
	}
	t := l.tenants[0]
	l.tenants = l.tenants[1:]
	l.head, t.waiters = t.waiters[0], t.waiters[1:]
	if len(t.waiters) > 0 {
		l.tenants = append(l.tenants, t)
	}
	close(l.head.turn)
}

func (l *line) remove(w *waiter) {
	for i, t := range l.tenants {
		if t.name != w.tenant {
			continue
		}
		for j := range t.waiters {
			if t.waiters[j] == w {
				t.waiters = append(t.waiters[:j], t.waiters[j+1:]...)
				break
			}
		}
		if len(t.waiters) == 0 {
			l.tenants = append(l.tenants[:i], l.tenants[i+1:]...)
		}
		return
	}
}

// Waiting is how many requests of a route wait. It costs a load while nobody waits anywhere.
func (q *Queues) Waiting(route string) int {
	if q.waiting.Load() == 0 {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if l := q.lines[route]; l != nil {
		return l.length
	}
	return 0
}

// Wake has the head of each line look again: something has ended. It costs a load while nobody waits.
func (q *Queues) Wake() {
	if q.waiting.Load() == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, l := range q.lines {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Lengths are the lines that there are, by route.
func (q *Queues) Lengths() map[string]int {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make(map[string]int, len(q.lines))
	for route, l := range q.lines {
		out[route] = l.length
	}
	return out
}
