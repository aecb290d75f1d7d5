package redis

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	lanes     = 4    // round trips at the same time: the server does one thing at a time anyway
	laneBatch = 64   // scripts of one round trip
	laneQueue = 8192 // scripts that wait; more fail at once
)

// errBusy says that more wait for the server than it can be asked in time.
var errBusy = errors.New("redis: too many calls wait")

// call is one run of a script.
type call struct {
	op     string
	script *goredis.Script
	keys   []string
	id     string
	blob   []byte

	gone   atomic.Bool // nobody waits any more
	done   chan struct{}
	answer string
	err    error
}

// batcher runs scripts. While a lane is free a call goes out at once, in its caller's goroutine; else calls wait and go out together:
// a burst of requests needs a few connections and a few round trips, and not one of each for every request.
type batcher struct {
	client *Client
	mu     sync.Mutex
	busy   int
	queue  []*call
}

// run asks the server and waits for at most wait, of which what stands in the queue is part.
func (b *batcher) run(ctx context.Context, wait time.Duration, c *call) (string, error) {
	if !b.client.Available() {
		return "", ErrAway
	}
	b.mu.Lock()
	switch {
	case b.busy < lanes:
		b.busy++
		b.mu.Unlock()
		b.send(ctx, wait, []*call{c})
		b.next(wait)
		return c.answer, c.err
	case len(b.queue) >= laneQueue:
		b.mu.Unlock()
		return "", errBusy
	}
	c.done = make(chan struct{})
	b.queue = append(b.queue, c)
	b.mu.Unlock()
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-c.done:
		return c.answer, c.err
	case <-late.C:
		c.gone.Store(true)
		return "", context.DeadlineExceeded
	case <-ctx.Done():
		c.gone.Store(true)
		return "", ctx.Err()
	}
}

// next gives the lane to those who wait.
func (b *batcher) next(wait time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.busy--
		return
	}
	go b.drain(wait)
}

// drain sends until nobody waits.
func (b *batcher) drain(wait time.Duration) {
	for {
		batch := b.waiting()
		if batch == nil {
			return
		}
		b.send(context.Background(), wait, batch)
		for _, c := range batch {
			close(c.done)
		}
	}
}

// waiting is the next batch, nil when there is none and the lane is free again.
func (b *batcher) waiting() []*call {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch []*call
	for len(b.queue) > 0 && len(batch) < laneBatch {
		c := b.queue[0]
		b.queue[0] = nil
		b.queue = b.queue[1:]
		if !c.gone.Load() {
			batch = append(batch, c)
		}
	}
	if batch == nil {
		b.busy--
		b.queue = nil
	}
	return batch
}

// send makes one round trip, or two where the server does not know a script.
func (b *batcher) send(ctx context.Context, wait time.Duration, batch []*call) {
	if len(batch) == 1 {
		c := batch[0]
		c.err = b.client.Do(ctx, c.op, wait, func(ctx context.Context, db goredis.UniversalClient) (err error) {
			c.answer, err = c.script.Run(ctx, db, c.keys, c.id, c.blob).Text()
			return err
		})
		return
	}
	cmds := make([]*goredis.Cmd, len(batch))
	pipeline := func(ctx context.Context, db goredis.UniversalClient) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, c := range batch {
				cmds[i] = c.script.EvalSha(ctx, p, c.keys, c.id, c.blob)
			}
			return nil
		})
		return err
	}
	err := b.client.Do(ctx, batch[0].op, wait, pipeline)
	if goredis.HasErrorPrefix(err, "NOSCRIPT") {
		err = b.client.Do(ctx, "limit_load", wait, func(ctx context.Context, db goredis.UniversalClient) error {
			return batch[0].script.Load(ctx, db).Err()
		})
		if err == nil {
			err = b.client.Do(ctx, batch[0].op, wait, pipeline)
		}
	}
	for i, c := range batch {
		switch {
		case cmds[i] != nil:
			c.answer, c.err = cmds[i].Text()
		default:
			c.err = err
		}
		if c.err == nil && c.answer == "" {
			c.err = errReply
		}
	}
}
