package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// load says how a target is measured once: so many clients, each asking again as soon as it has its answer.
type load struct {
	clients  int
	warmUp   time.Duration
	duration time.Duration // of what counts
}

const (
	patience  = 20 * time.Second // for an answer when the time is over: longer than any provider takes
	maxErrors = 100              // of one measurement: what fails that often will not get better
)

// sample is what one measurement gave.
type sample struct {
	requests, errors uint64
	meant            uint64 // requests that the gateway answered in the way that is to be measured
	firstError       error
	elapsed          time.Duration
	whole, first     histogram                // until the answer's end; until its first byte of body
	cpu              map[string]time.Duration // CPU time used, by process
}

// phases of a measurement, as the clients see them.
const (
	warming int32 = iota
	counting
	over
)

var errHopeless = errors.New("too many requests failed")

// measure loads one target and reads the CPU time of the given processes, by name, as counting begins and ends.
// Requests under way at the two ends are counted where they end, which evens out. Errors count from the first request on.
func (l load) measure(ctx context.Context, c *call, processes map[string][]int) (*sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var phase atomic.Int32
	samples := make([]*sample, l.clients)
	deadline := time.Now().Add(l.warmUp + l.duration + patience)
	var clients sync.WaitGroup
	for i := range samples {
		samples[i] = &sample{}
		clients.Go(func() {
			samples[i].run(ctx, &client{call: c, deadline: deadline}, &phase)
			if samples[i].errors >= maxErrors {
				cancel(errHopeless) // no need to wait for the end
			}
		})
	}
	defer clients.Wait()
	defer phase.Store(over)

	wait(ctx, l.warmUp)
	before, err := cpuTimes(processes)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	phase.Store(counting)
	wait(ctx, l.duration)
	phase.Store(over)
	elapsed := time.Since(begin)
	after, err := cpuTimes(processes)
	if err != nil {
		return nil, err
	}
	clients.Wait()
	all := &sample{elapsed: elapsed, cpu: map[string]time.Duration{}}
	for _, s := range samples {
		all.merge(s)
	}
	for name := range after {
		all.cpu[name] = after[name] - before[name]
	}
	return all, nil
}

// run asks until the measurement is over or has failed.
func (s *sample) run(ctx context.Context, c *client, phase *atomic.Int32) {
	defer c.close()
	for {
		t, err := c.ask(ctx)
		now := phase.Load()
		switch {
		case err != nil && context.Cause(ctx) == errHopeless:
			return // it was another client's errors that ended this request
		case err != nil:
			if s.errors++; s.firstError == nil {
				s.firstError = err
			}
			if s.errors >= maxErrors {
				return
			}
		case now == counting:
			s.requests++
			if t.meant {
				s.meant++
			}
			s.whole.add(t.whole)
			s.first.add(t.first)
		}
		if now == over {
			return
		}
	}
}

func (s *sample) merge(o *sample) {
	s.requests += o.requests
	s.errors += o.errors
	s.meant += o.meant
	if s.firstError == nil {
		s.firstError = o.firstError
	}
	s.whole.merge(&o.whole)
	s.first.merge(&o.first)
}

func cpuTimes(processes map[string][]int) (map[string]time.Duration, error) {
	used := make(map[string]time.Duration, len(processes))
	for name, pids := range processes {
		for _, pid := range pids {
			t, err := cpuTime(pid)
			if err != nil {
				return nil, err
			}
			used[name] += t
		}
	}
	return used, nil
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
