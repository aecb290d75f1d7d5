package keystore

import (
	"context"
	"time"
)

const (
	// usesEvery is how often the database is told of uses.
	usesEvery = time.Minute
	// pruneEvery is how often what has ended long ago is removed.
	pruneEvery = time.Hour
	// wholeEvery so many prunes the table is read anew: once a day.
	wholeEvery = 24
	// keepEnded is how long what has ended is kept, so that who still uses it is told why it is refused.
	keepEnded = 90 * 24 * time.Hour
	// cacheEvery is how often the file of known keys is looked at.
	cacheEvery = time.Second
	// lastWords bounds what is written when the program ends.
	lastWords = 3 * time.Second
	// useBatch is how many uses one transaction notes.
	useBatch = 500
)

// keep writes down what was used and what is known, until ctx ends, and once more then. No request waits for it.
func (s *Store) keep(ctx context.Context) {
	uses, prune, cache := time.NewTicker(usesEvery), time.NewTicker(pruneEvery), time.NewTicker(cacheEvery)
	defer uses.Stop()
	defer prune.Stop()
	defer cache.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
			defer cancel()
			s.saveCache(true)
			s.noteUses(last)
			return
		case <-cache.C:
			s.saveCache(false)
		case <-uses.C:
			s.noteUses(ctx)
		case <-prune.C:
			s.prune(ctx)
		}
	}
}

// noteUses tells the database of uses since the last time. What it does not take waits for the next.
func (s *Store) noteUses(ctx context.Context) {
	if s.status.Load().Error != "" {
		return
	}
	var changed []*record
	for _, r := range s.table.list() {
		if r.use.at.Load() > r.use.stored.Load() {
			changed = append(changed, r)
		}
	}
	for len(changed) > 0 {
		n := min(len(changed), useBatch)
		batch := make([]Use, n)
		for i, r := range changed[:n] {
			batch[i] = Use{r.id, time.UnixMicro(r.use.at.Load()).UTC()}
		}
		if err := s.o.Database.NoteUses(ctx, batch); err != nil {
			if ctx.Err() == nil {
				s.o.Log.Warn("when keys were last used was not written down; it is tried again", "error", err)
			}
			return
		}
		for i, r := range changed[:n] {
			r.use.stored.Store(batch[i].At.UnixMicro())
		}
		changed = changed[n:]
	}
}

func (s *Store) prune(ctx context.Context) {
	n, err := s.o.Database.PruneKeys(ctx, s.o.Now().Add(-keepEnded))
	switch {
	case err != nil && ctx.Err() == nil:
		s.o.Log.Warn("keys that have ended long ago were not removed", "error", err)
	case n > 0:
		s.o.Log.Info("removed keys that have ended long ago", "keys", n)
	}
	// Whichever replica removed them, the next look reads the whole table, and lets go of them in memory.
	if s.prunes++; n > 0 || s.prunes%wholeEvery == 0 {
		s.polling.Lock()
		s.loaded = false
		s.polling.Unlock()
	}
}
