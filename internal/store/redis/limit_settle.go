package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragoman/processor/limit"
)

const (
	settleBatch    = 128 // settlements of one round trip
	settleDeadline = 500 * time.Millisecond
	settleRetry    = 50 * time.Millisecond
	settleLinger   = 2 * time.Millisecond // for others to go along
	settleLast     = time.Second          // that Close waits
	// markFor is how long a request is known to be settled: one whose answer was lost is tried again well within.
	markFor = 5 * time.Minute
)

// settlement is one reservation on its way back.
type settlement struct {
	r    *limit.Reservation
	done func(*limit.Reservation)
	ends int64     // of its lease, Unix ms
	sent time.Time // when it was first tried, zero: never
}

// settlements are made in the order in which they come, many at a time, and tried until they are made: nothing that a request has
// used is forgotten while the server is away. What one request is charged is charged once, for the script marks it.
type settlements struct {
	l    *Limits
	mu   sync.Mutex
	list []settlement
	wake chan struct{}
	stop context.CancelFunc
	last chan struct{} // closed: no more will come
	done sync.WaitGroup
	shut bool
}

func newSettlements(l *Limits) *settlements {
	ctx, stop := context.WithCancel(context.Background())
	s := &settlements{l: l, wake: make(chan struct{}, 1), stop: stop, last: make(chan struct{})}
	s.done.Go(func() { s.run(ctx) })
	return s
}

func (s *settlements) add(r *limit.Reservation, done func(*limit.Reservation)) {
	s.mu.Lock()
	full := s.shut || len(s.list) >= s.l.o.Queue
	if !full {
		s.list = append(s.list, settlement{r: r, done: done, ends: r.Ends()})
	}
	s.mu.Unlock()
	if full {
		s.lost(1)
		return
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *settlements) lost(n int) {
	if s.l.o.Lost != nil && n > 0 {
		s.l.o.Lost(n)
	}
}

// waiting is how many are not made yet.
func (s *settlements) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.list)
}

func (s *settlements) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			select {
			case <-time.After(settleLinger):
			case <-s.last:
			case <-ctx.Done():
			}
		case <-s.last:
			if s.waiting() == 0 {
				return
			}
		}
		for s.waiting() > 0 && ctx.Err() == nil {
			if s.batch(ctx) {
				continue
			}
			select {
			case <-ctx.Done():
			case <-time.After(settleRetry):
			}
		}
	}
}

// batch makes the first settlements. Those that failed stay first. It says whether all is well.
func (s *settlements) batch(ctx context.Context) bool {
	s.mu.Lock()
	jobs := append([]settlement(nil), s.list[:min(settleBatch, len(s.list))]...)
	s.mu.Unlock()
	if !s.l.client.Available() {
		return false
	}
	failed := s.send(ctx, jobs)
	s.mu.Lock()
	rest := s.list[len(jobs):]
	if len(failed) > 0 {
		rest = append(failed, rest...)
	} else if len(rest) == 0 {
		rest = s.list[:0]
	}
	s.list = rest
	s.mu.Unlock()
	return len(failed) == 0
}

// send makes one round trip, or two where the server does not know the script.
func (s *settlements) send(ctx context.Context, jobs []settlement) (failed []settlement) {
	now := time.Now()
	cmds := make([]*goredis.Cmd, len(jobs))
	pipeline := func(ctx context.Context, db goredis.UniversalClient) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i := range jobs {
				cmds[i] = giveScript.EvalSha(ctx, p, s.l.keyList(jobs[i].r), jobs[i].r.ID, s.l.giveArgs(jobs[i].r, jobs[i].ends))
			}
			return nil
		})
		return err
	}
	err := s.l.client.Do(ctx, "limit_give", settleDeadline, pipeline)
	if goredis.HasErrorPrefix(err, "NOSCRIPT") {
		err = s.l.client.Do(ctx, "limit_load", settleDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
			return giveScript.Load(ctx, db).Err()
		})
		if err == nil {
			_ = s.l.client.Do(ctx, "limit_give", settleDeadline, pipeline)
		}
	}
	dropped := 0
	for i := range jobs {
		j := &jobs[i]
		if s.settled(j, cmds[i]) {
			continue
		}
		if !j.sent.IsZero() && now.Sub(j.sent) > markFor-settleLast && !errors.Is(err, ErrAway) && isAnswer(cmds[i]) {
			dropped++ // the server refuses it for a reason that does not pass
			continue
		}
		if j.sent.IsZero() {
			j.sent = now
		}
		failed = append(failed, *j)
	}
	s.lost(dropped)
	return failed
}

// isAnswer says that the server spoke, if only to refuse.
func isAnswer(cmd *goredis.Cmd) bool {
	var answer goredis.Error
	return cmd != nil && cmd.Err() != nil && errors.As(cmd.Err(), &answer) && !isFailure(cmd.Err())
}

// settled reads one answer and tells who waits for it.
func (s *settlements) settled(j *settlement, cmd *goredis.Cmd) bool {
	if cmd == nil {
		return false
	}
	answer, err := cmd.Text()
	if err != nil {
		return false
	}
	if len(answer) == 8 {
		return true // made before: the answer was lost
	}
	v, err := doubles(answer, 1+2*s.l.direct(j.r))
	if err != nil {
		return false
	}
	v = v[1:]
	for i := range j.r.Ops {
		o := &j.r.Ops[i]
		if s.l.leased(o) {
			continue
		}
		if !o.Rate {
			o.Spent, o.After = int64(v[0]), int64(v[1])
		}
		v = v[2:]
	}
	if j.done != nil {
		j.done(j.r)
	}
	return true
}

// close makes what waits, within a second.
func (s *settlements) close() {
	s.mu.Lock()
	s.shut = true
	s.mu.Unlock()
	close(s.last)
	end := time.AfterFunc(settleLast, s.stop)
	s.done.Wait()
	end.Stop()
	s.stop()
	s.lost(s.waiting())
}
