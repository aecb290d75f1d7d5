package keystore

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Where a Store knows its keys from.
const (
	SourceNone     = "none"  // neither the database nor the file could be read yet
	SourceCache    = "cache" // the file: the database has not been reached since the start
	SourceDatabase = "database"
)

// Status is what is known of a Store's knowledge, for metrics and the admin port.
type Status struct {
	Keys     int       `json:"keys"`   // in memory, those included that have ended
	Source   string    `json:"source"` // database, cache or none
	Revision int64     `json:"revision"`
	AsOf     time.Time `json:"as_of"` // when the database was last known to hold the same; the zero time: never
	Age      float64   `json:"age_seconds"`
	Failures uint64    `json:"failures"`        // looks at the database that failed
	Error    string    `json:"error,omitempty"` // of the last look; "" when it was good
}

// Status says how good the knowledge is.
func (s *Store) Status() Status {
	st := *s.status.Load()
	if at := s.seen.Load(); at != 0 {
		st.AsOf = time.UnixMicro(at).UTC()
		st.Age = max(0, s.o.Now().Sub(st.AsOf).Seconds())
	}
	return st
}

// current says that the table holds what the database did a moment ago.
func (s *Store) current() bool {
	st := s.status.Load()
	return st.Source == SourceDatabase && s.o.Now().UnixMicro()-s.seen.Load() < int64((grace+3*s.o.Settings.Refresh)/time.Microsecond)
}

const (
	// grace is how late a look may be on a busy machine before the knowledge counts as old.
	grace = 5 * time.Second
	// patience bounds one look at the database that finds a few changes; a whole table may take longer.
	patience      = 2 * time.Second
	patienceWhole = 60 * time.Second
)

// Start takes the keys from the database, or, where it cannot be reached, from the file of the last known ones; without either the Store knows
// no key until the database is there. The error is ErrSecret alone.
func (s *Store) Start(ctx context.Context) error {
	s.started.Store(true)
	ask, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	err := s.claim(ask)
	if err == nil {
		err = s.Refresh(ctx)
	} else {
		s.failed(err)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrSecret):
		return fmt.Errorf("%w: bring that one back (where it was made by the gateway: the file keys.secret beside the database)", ErrSecret)
	}
	s.o.Log.Error("the database of keys does not answer", "error", err)
	s.fromCache()
	return nil
}

// startPatience is how long a start waits for the database to answer at all.
const startPatience = 10 * time.Second

// Run looks for changes of other replicas, and writes down what was used and is known, until ctx ends; then once more.
func (s *Store) Run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.keep(ctx)
	}()
	tick := time.NewTicker(s.o.Settings.Refresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			<-done
			return
		case <-tick.C:
			s.look(ctx)
			s.sweep()
		}
	}
}

// look is Refresh with a word about what changes.
func (s *Store) look(ctx context.Context) {
	before := s.status.Load().Error
	err := s.Refresh(ctx)
	switch {
	case ctx.Err() != nil:
	case err != nil && before == "":
		s.o.Log.Error("the database of keys does not answer; callers are let in by what is known", "error", err)
	case err == nil && before != "":
		s.o.Log.Info("the database of keys answers again", "keys", s.status.Load().Keys)
	}
}

// Refresh takes in what has changed in the database. The error is the database's, or ErrSecret; the table then stays as it is.
func (s *Store) Refresh(ctx context.Context) error {
	s.polling.Lock()
	defer s.polling.Unlock()
	at := s.o.Now()
	err := s.refresh(ctx)
	if err != nil {
		if ctx.Err() == nil { // else it was not the database that failed
			s.failed(err)
		}
		s.loaded = false // whatever comes back may be another database: a backup, say
		return err
	}
	s.seen.Store(at.UnixMicro())
	s.status.Store(&Status{Keys: s.table.size(), Source: SourceDatabase, Revision: s.revision, Failures: s.status.Load().Failures})
	return nil
}

func (s *Store) failed(err error) {
	st := *s.status.Load()
	st.Failures++
	st.Error = err.Error()
	s.status.Store(&st)
}

// refresh is Refresh under the lock.
func (s *Store) refresh(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	state, err := s.o.Database.KeyState(ask)
	switch {
	case err != nil:
		return err
	case state.Check != "" && state.Check != s.check:
		return ErrSecret
	case state.Check == "" && s.revision > 0: // an empty database has taken the place of the other
		if err := s.claim(ask); err != nil {
			return err
		}
	}
	whole := !s.loaded || state.Revision < s.revision
	if !whole && state.Revision == s.revision {
		return nil
	}
	return s.load(ctx, whole)
}

// load reads what has changed, or all of it.
func (s *Store) load(ctx context.Context, whole bool) error {
	ctx, cancel := context.WithTimeout(ctx, patienceWhole)
	defer cancel()
	since := s.revision
	if whole {
		since = 0
	}
	var records []*record
	newest, names := since, interner{}
	err := s.o.Database.KeysSince(ctx, since, func(r *Record) error {
		newest = max(newest, r.Revision)
		records = append(records, recordOf(r, names))
		return nil
	})
	if err != nil {
		return err
	}
	if whole {
		s.table.replace(records)
	} else {
		s.table.merge(records)
	}
	s.loaded, s.revision = true, newest
	s.cache.touch()
	return nil
}
