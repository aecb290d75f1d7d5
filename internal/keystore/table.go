package keystore

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"dragoman/internal/config"
)

// table is every key in memory. Who looks a hash up takes no lock: a change writes a copy of the part that the hash is in, a 256th, and
// puts it in the place of the old.
type table struct {
	parts [256]atomic.Pointer[map[Hash]entry] // by the first byte of the hash, which is as good as random

	mu      sync.Mutex // guards what follows; writers of parts hold it
	records map[string]*record
}

// entry is one secret.
type entry struct {
	*record
	ends int64 // µs; 0: with its key
}

// record is one key. What is not atomic is not written to: a change makes another record.
type record struct {
	id               string
	place            config.Place
	spec             string
	expires, revoked int64 // µs; 0: never
	revision         int64
	secrets          []ending
	use              *use                     // the same for all that a key was
	compiled         atomic.Pointer[compiled] // for the configuration in force, once it was used under it
}

// ending is a secret and its end, µs; 0: with its key.
type ending struct {
	hash Hash
	ends int64
}

// use is when a key was last used, µs; 0: never.
type use struct{ at, stored atomic.Int64 }

// note keeps the second: who calls a thousand times in one writes to memory that other cores read once.
func (u *use) note(now int64) {
	for {
		last := u.at.Load()
		if now-last < int64(time.Second/time.Microsecond) || u.at.CompareAndSwap(last, now) {
			return
		}
	}
}

// atLeast takes over what is known of elsewhere.
func (u *use) atLeast(at int64) {
	for _, v := range [...]*atomic.Int64{&u.stored, &u.at} {
		for last := v.Load(); last < at && !v.CompareAndSwap(last, at); last = v.Load() {
		}
	}
}

func (t *table) init() {
	t.records = map[string]*record{}
	for i := range t.parts {
		t.parts[i].Store(&map[Hash]entry{})
	}
}

// find is the entry of a hash.
func (t *table) find(h Hash) (entry, bool) {
	e, ok := (*t.parts[h[0]].Load())[h]
	return e, ok
}

// replace makes the table anew: what is not among the records is gone. A record that has not changed stays with all that is known of it.
func (t *table) replace(records []*record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var parts [len(t.parts)]map[Hash]entry
	for i := range parts {
		parts[i] = make(map[Hash]entry, len(records)/len(parts)+1)
	}
	next := make(map[string]*record, len(records))
	for _, r := range records {
		r = t.heir(r)
		next[r.id] = r
		for _, s := range r.secrets {
			parts[s.hash[0]][s.hash] = entry{r, s.ends}
		}
	}
	t.records = next
	for i := range parts {
		t.parts[i].Store(&parts[i])
	}
}

// merge takes in records that have changed.
func (t *table) merge(records []*record) {
	t.mu.Lock()
	defer t.mu.Unlock()
	copies := map[byte]map[Hash]entry{}
	part := func(h Hash) map[Hash]entry {
		if copies[h[0]] == nil {
			copies[h[0]] = maps.Clone(*t.parts[h[0]].Load())
		}
		return copies[h[0]]
	}
	for _, r := range records {
		if old := t.records[r.id]; old != nil {
			for _, s := range old.secrets {
				delete(part(s.hash), s.hash)
			}
		}
		r = t.heir(r)
		t.records[r.id] = r
		for _, s := range r.secrets {
			part(s.hash)[s.hash] = entry{r, s.ends}
		}
	}
	for i, m := range copies {
		t.parts[i].Store(&m)
	}
}

// heir is the record that takes the place of the one with its id; mu is held.
func (t *table) heir(r *record) *record {
	old := t.records[r.id]
	if old == nil {
		return r
	}
	old.use.atLeast(r.use.at.Load())
	if old.revision == r.revision {
		return old
	}
	r.use = old.use
	return r
}

// list is every record.
func (t *table) list() []*record {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]*record, 0, len(t.records))
	for _, r := range t.records {
		out = append(out, r)
	}
	return out
}

// lastUse is the later of what is known here and of what the database has.
func (t *table) lastUse(id string, stored time.Time) time.Time {
	t.mu.Lock()
	r := t.records[id]
	t.mu.Unlock()
	if r == nil {
		return stored
	}
	if at := r.use.at.Load(); at > 0 && time.UnixMicro(at).After(stored) {
		return time.UnixMicro(at).UTC()
	}
	return stored
}

// interner shares texts that many records have: the names of tenants and teams.
type interner map[string]string

func (in interner) of(s string) string {
	if known, ok := in[s]; ok {
		return known
	}
	in[s] = s
	return s
}

// recordOf is what is kept in memory of a database's record.
func recordOf(r *Record, in interner) *record {
	out := &record{id: r.ID, place: config.Place{Tenant: in.of(r.Place.Tenant), Team: in.of(r.Place.Team), User: r.Place.User}, spec: r.Spec,
		expires: stamp(r.Expires), revoked: stamp(r.Revoked), revision: r.Revision, secrets: make([]ending, len(r.Secrets)), use: &use{}}
	for i, s := range r.Secrets {
		out.secrets[i] = ending{s.Hash, stamp(s.Expires)}
	}
	out.use.atLeast(stamp(r.LastUsed))
	return out
}

// stamp is a time in microseconds, 0 for none.
func stamp(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// size is how many keys there are.
func (t *table) size() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.records)
}
