package semantic

import (
	"container/list"
	"context"
	"sync"
	"time"
	"unsafe"

	"dragoman/processor/cache"
)

// MemoryOptions of NewMemory.
type MemoryOptions struct {
	MaxEntries int
	MaxBytes   int64
	TTL        time.Duration
	Now        func() time.Time
}

// Memory is the index in this process: an exact search of the partition. Where it is full, the tenant that holds most loses
// its oldest entry that was not used lately, so that one busy tenant does not empty the others' cache.
type Memory struct {
	o MemoryOptions

	mu         sync.RWMutex
	partitions map[cache.Key]*partition
	byID       map[string]*slot
	groups     map[string]*group
	bytes      int64
	count      int
}

// slot is where an entry lies.
type slot struct {
	entry     *Entry
	partition *partition
	row       int
	size      int64
	turn      *list.Element // in group.order

	mu        sync.Mutex // guards what searches change
	used      bool
	served    float64
	threshold float64
}

// group is what one tenant holds.
type group struct {
	order *list.List // of *slot, the next to go first
	bytes int64
}

// NewMemory makes an empty index.
func NewMemory(o MemoryOptions) *Memory {
	return &Memory{o: o, partitions: map[cache.Key]*partition{}, byID: map[string]*slot{}, groups: map[string]*group{}}
}

// Search implements Index.
func (m *Memory) Search(ctx context.Context, w Wanted) ([]Candidate, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	part := m.partitions[w.Partition]
	if part == nil {
		return nil, nil
	}
	oldest := m.o.Now().Add(-m.o.TTL)
	return part.search(w.Vector, w.Least, w.Limit, func(row int, similarity float64) (Candidate, bool) {
		s := part.slots[row]
		if s.entry.Stored.Before(oldest) {
			return Candidate{}, false
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return Candidate{s.entry, similarity}, similarity >= s.threshold
	}), nil
}

// Add implements Index. An entry that is larger than an eighth of the whole is not kept.
func (m *Memory) Add(_ context.Context, e *Entry) error {
	size := entrySize(e)
	if size > m.o.MaxBytes/8 || len(e.Vector) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if old := m.byID[e.ID]; old != nil {
		m.remove(old)
	}
	part := m.partitions[e.Partition]
	if part != nil && part.width != len(e.Vector) { // of another model: they cannot be compared
		for len(part.slots) > 0 {
			m.remove(part.slots[0])
		}
		part = nil
	}
	if part == nil {
		part = &partition{key: e.Partition, width: len(e.Vector)}
		m.partitions[e.Partition] = part
		m.bytes += partitionBytes
	}
	g := m.groups[e.Group]
	if g == nil {
		g = &group{order: list.New()}
		m.groups[e.Group] = g
	}
	kept := *e
	kept.Vector = nil // the partition has it
	s := &slot{entry: &kept, partition: part, size: size, threshold: e.Threshold}
	s.row = part.add(s, e.Vector)
	s.turn = g.order.PushBack(s)
	m.byID[e.ID] = s
	g.bytes += size
	m.bytes += size
	m.count++
	m.shrink(s)
	return nil
}

// shrink removes what is too old or too much, but not what was just added.
func (m *Memory) shrink(added *slot) {
	oldest := m.o.Now().Add(-m.o.TTL)
	own := m.groups[added.entry.Group]
	for range 2 { // a little more than is added, so that the old ones go
		if first := own.first(); first != added && first.entry.Stored.Before(oldest) {
			m.remove(first)
		}
	}
	for (m.count > m.o.MaxEntries || m.bytes > m.o.MaxBytes) && m.count > 1 {
		g := m.largest()
		s := g.first()
		s.mu.Lock()
		spare := s == added || s.used && !s.entry.Stored.Before(oldest)
		s.used = false
		s.mu.Unlock()
		switch {
		case !spare:
			m.remove(s)
		case g.order.Len() == 1:
			return // all that is left of the largest is what was just added
		default:
			g.order.MoveToBack(s.turn)
		}
	}
}

func (g *group) first() *slot { return g.order.Front().Value.(*slot) }

func (m *Memory) largest() *group {
	var most *group
	for _, g := range m.groups {
		if most == nil || g.bytes > most.bytes {
			most = g
		}
	}
	return most
}

func (m *Memory) remove(s *slot) {
	s.partition.remove(s.row)
	if len(s.partition.slots) == 0 {
		delete(m.partitions, s.partition.key)
		m.bytes -= partitionBytes
	}
	g := m.groups[s.entry.Group]
	g.order.Remove(s.turn)
	g.bytes -= s.size
	if g.order.Len() == 0 {
		delete(m.groups, s.entry.Group)
	}
	delete(m.byID, s.entry.ID)
	m.bytes -= s.size
	m.count--
}

// Remove implements Index.
func (m *Memory) Remove(_ context.Context, id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.byID[id]; s != nil {
		m.remove(s)
	}
	return nil
}

// Served implements Index.
func (m *Memory) Served(_ context.Context, id string, similarity float64) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if s := m.byID[id]; s != nil {
		s.mu.Lock()
		s.used, s.served = true, max(s.served, similarity)
		s.mu.Unlock()
	}
	return nil
}

// Purge implements cache.Admin.
func (m *Memory) Purge(_ context.Context, f cache.Filter) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.o.Now()
	var gone []*slot
	for id, s := range m.byID {
		e := s.entry
		if (f.Key == "" || f.Key == id) && f.Matches(e.Tenant, e.Asked, e.Model, now.Sub(e.Stored)) {
			gone = append(gone, s)
		}
	}
	for _, s := range gone {
		m.remove(s)
	}
	return len(gone), nil
}

// Feedback implements cache.Admin: after a wrong answer the entry's own threshold rises above the similarity that it was served at.
func (m *Memory) Feedback(_ context.Context, id string, wrong bool) (bool, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	s := m.byID[id]
	if s == nil {
		return false, nil
	}
	if wrong {
		s.mu.Lock()
		s.threshold = Raised(s.threshold, s.served)
		s.mu.Unlock()
	}
	return true, nil
}

// Usage is how many entries there are and about how many bytes they take.
func (m *Memory) Usage() (entries int, bytes int64) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.count, m.bytes
}

// partitionBytes and slotBytes are a little more than a partition and an entry take without their contents.
const (
	partitionBytes = 512
	slotBytes      = int64(unsafe.Sizeof(slot{})+unsafe.Sizeof(Entry{})) + 320
)

// entrySize: the vector is there as floats and as bytes; slices grow by a quarter beyond what they hold.
func entrySize(e *Entry) int64 {
	text := len(e.ID) + len(e.Group) + len(e.Text) + len(e.Tenant) + len(e.Asked) + len(e.Model) + len(e.Provider) + len(e.Exchange)
	return slotBytes + int64(text) + int64(len(e.Vector))*5*5/4
}
