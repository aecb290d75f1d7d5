package config

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Store holds the snapshot in force. It is safe for concurrent use.
type Store struct {
	opts    Options
	current atomic.Pointer[Snapshot]
	status  atomic.Pointer[Status]

	mu          sync.Mutex // one load at a time; guards what follows
	files       []dependency
	subscribers []*subscriber
}

type subscriber struct {
	call func(old, current *Snapshot)
}

// Status is what is known of the configuration's loads, for metrics and the admin port.
type Status struct {
	Version    string    // in force
	Source     string    // where it came from
	Loaded     time.Time // when it came into force
	Loads      uint64    // good ones, those that changed nothing included
	Failures   uint64
	LastError  error // of the last load; nil when it was good
	LastFailed time.Time
}

// Open loads the first snapshot. Without a good one there is no Store.
func Open(o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{opts: o}
	snap, files, err := load(o)
	if err != nil {
		return nil, err
	}
	s.files = files
	s.current.Store(snap)
	s.status.Store(&Status{Version: snap.Version, Source: snap.Source, Loaded: snap.Loaded, Loads: 1})
	return s, nil
}

// Current is the snapshot in force. A request asks once and keeps what it got.
func (s *Store) Current() *Snapshot { return s.current.Load() }

// Status says how the loads went.
func (s *Store) Status() Status { return *s.status.Load() }

// Subscribe has f called after each change, in order and one at a time, with what was in force before and what is now. f must
// be quick and must not call Reload, Subscribe or cancel. After cancel has returned, f is not called again.
func (s *Store) Subscribe(f func(old, current *Snapshot)) (cancel func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one := &subscriber{f}
	s.subscribers = append(s.subscribers, one)
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.subscribers = slices.DeleteFunc(s.subscribers, func(x *subscriber) bool { return x == one })
	}
}

// Reload loads again: for SIGHUP, and for Watch. A load that fails changes nothing but Status; one that says the same as
// before neither. The error is a *Problems, or ctx's when it is done before the load begins.
func (s *Store) Reload(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.reload()
}

// reload is Reload under the lock.
func (s *Store) reload() error {
	old := s.current.Load()
	snap, files, err := load(s.opts)
	s.files = files
	// Many programs write a file by cutting it to nothing first, and an empty configuration is a valid one: it would throw
	// away every key and provider.
	if err == nil && snap.empty && !old.empty {
		err = problem(snap.Source, "", "the file is empty. It was not, and is taken to be half written: the last good configuration stays")
	}
	status := *s.status.Load()
	status.LastError = err
	if err != nil {
		status.Failures++
		status.LastFailed = s.opts.Now()
		s.status.Store(&status)
		return err
	}
	status.Loads++
	if snap.Version == old.Version {
		s.status.Store(&status)
		return nil
	}
	status.Version, status.Source, status.Loaded = snap.Version, snap.Source, snap.Loaded
	s.current.Store(snap)
	s.status.Store(&status)
	for _, one := range s.subscribers {
		one.call(old, snap)
	}
	return nil
}
