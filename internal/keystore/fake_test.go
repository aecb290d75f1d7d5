package keystore

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragoman/internal/config"
)

// memory is a Database that can be made to fail, and to stand still. storetest holds the real ones to what it does.
type memory struct {
	mu    sync.Mutex
	away  error         // what every call says
	still chan struct{} // while it is not nil, calls wait for it or their context
	state State
	keys  map[string]Record
	uses  []Use // every one that was noted
	asked int   // calls of KeysSince
}

func newMemory() *memory { return &memory{keys: map[string]Record{}} }

// do runs f unless the database is away.
func (m *memory) do(ctx context.Context, f func() error) error {
	m.mu.Lock()
	still := m.still
	m.mu.Unlock()
	if still != nil {
		select {
		case <-still:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.away != nil {
		return m.away
	}
	return f()
}

func (m *memory) set(away error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = away
}

func copyOf(r Record) *Record {
	r.Secrets = slices.Clone(r.Secrets)
	return &r
}

func (m *memory) KeyState(ctx context.Context) (s State, err error) {
	err = m.do(ctx, func() error { s = m.state; return nil })
	return s, err
}

func (m *memory) ClaimKeys(ctx context.Context, check string) (have string, err error) {
	err = m.do(ctx, func() error {
		if len(m.keys) == 0 {
			m.state.Check = check
		}
		have = m.state.Check
		return nil
	})
	return have, err
}

func (m *memory) KeysSince(ctx context.Context, revision int64, each func(*Record) error) error {
	return m.do(ctx, func() error {
		m.asked++
		for _, r := range slices.SortedFunc(maps.Values(m.keys), func(a, b Record) int { return cmp.Compare(a.Revision, b.Revision) }) {
			if r.Revision <= revision {
				continue
			}
			if err := each(copyOf(r)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (m *memory) AddKey(ctx context.Context, r *Record, most int64) error {
	return m.do(ctx, func() error {
		live := int64(0)
		for _, k := range m.keys {
			if !k.Revoked.IsZero() {
				continue
			}
			live++
			if k.Place == r.Place && k.Name == r.Name {
				return ErrTaken
			}
		}
		if live >= most {
			return ErrFull
		}
		m.state.Revision++
		r.Revision = m.state.Revision
		m.keys[r.ID] = *copyOf(*r)
		return nil
	})
}

func (m *memory) ChangeKey(ctx context.Context, id string, change func(*Record) error) (out *Record, err error) {
	err = m.do(ctx, func() error {
		r, ok := m.keys[id]
		if !ok {
			return ErrNotFound
		}
		out = copyOf(r)
		if err := change(out); err != nil {
			return err
		}
		m.state.Revision++
		out.Revision = m.state.Revision
		m.keys[id] = *copyOf(*out)
		return nil
	})
	return out, err
}

func (m *memory) Key(ctx context.Context, id string) (out *Record, err error) {
	err = m.do(ctx, func() error {
		r, ok := m.keys[id]
		if !ok {
			return ErrNotFound
		}
		out = copyOf(r)
		return nil
	})
	return out, err
}

func (m *memory) Keys(ctx context.Context, f Filter) (list []*Record, err error) {
	is := func(want, have string) bool { return want == "" || want == have }
	err = m.do(ctx, func() error {
		for _, r := range slices.SortedFunc(maps.Values(m.keys), func(a, b Record) int { return strings.Compare(a.ID, b.ID) }) {
			if len(list) < f.Limit && r.ID > f.After && (f.Revoked || r.Revoked.IsZero()) && is(f.Tenant, r.Place.Tenant) && is(f.Team, r.Place.Team) &&
				is(f.User, r.Place.User) && is(f.Name, r.Name) {
				list = append(list, copyOf(r))
			}
		}
		return nil
	})
	return list, err
}

func (m *memory) NoteUses(ctx context.Context, uses []Use) error {
	return m.do(ctx, func() error {
		m.uses = append(m.uses, uses...)
		for _, u := range uses {
			if r, ok := m.keys[u.ID]; ok && r.LastUsed.Before(u.At) {
				r.LastUsed = u.At
				m.keys[u.ID] = r
			}
		}
		return nil
	})
}

func (m *memory) PruneKeys(ctx context.Context, before time.Time) (n int64, err error) {
	err = m.do(ctx, func() error {
		for id, r := range m.keys {
			if !r.Revoked.IsZero() && r.Revoked.Before(before) {
				delete(m.keys, id)
				n++
			}
		}
		return nil
	})
	return n, err
}

const testSecret = "a secret of more than 32 characters, for tests alone"

// snapshot is a compiled configuration with identity.keys and these tenants.
func snapshot(t testing.TB, tenants string) *config.Snapshot {
	t.Helper()
	file, err := config.Parse("dragoman.yaml", []byte("providers: [{name: openai, endpoint: 'http://127.0.0.1:1'}]\nidentity: {keys: {}}\nledger: {sqlite: /nowhere/ledger.db}\ntenants: "+tenants))
	if err != nil {
		t.Fatal(err)
	}
	snap, err := config.Compile(file, config.Options{Env: func(string) (string, bool) { return "", false }})
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

const acme = `[{name: acme, limits: {requests_per_minute: 1000}, keys: [{name: ci, hash: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}],
  teams: [{name: search, each_user: {budgets: [{usd: 5, per: day}]}}]}]`

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}
