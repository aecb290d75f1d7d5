package limit

import (
	"hash/maphash"
	"math"
	"sync"
	"time"

	"dragoman/internal/config"
)

const (
	shards = 64
	// maxLevels is how many levels one reservation can have: tenant, team and key, with room for what comes.
	maxLevels = 8
	// sweepAt is the least number of levels in a shard at which full buckets are looked for.
	sweepAt = 64
)

// Memory counts in this process. A level is a token bucket for each of its limits: it holds a minute's amount and refills
// continuously, so that in any stretch of t minutes at most 1+t limits can be used. What is kept is the amount *used*, which
// flows off at the limit's rate: a reload that changes the limit then needs no conversion.
//
// Levels live in shards by a hash of their ids. A reservation locks the few shards of its levels, always in ascending
// order, checks all of its levels and then changes all of them.
type Memory struct {
	seed   maphash.Seed
	shards [shards]shard
}

type shard struct {
	mu     sync.Mutex
	levels map[string]*level
	sweep  int      // size at which to look for full buckets next
	_      [40]byte // a shard on its own cache line
}

// level is what was used of one config.Level by `at`.
type level struct {
	requests, tokens           float64
	requestsLimit, tokensLimit float64 // as of the last use, a minute
	at                         time.Time
}

// NewMemory makes empty counters.
func NewMemory() *Memory {
	m := &Memory{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].levels = make(map[string]*level)
		m.shards[i].sweep = sweepAt
	}
	return m
}

// set is the levels of one reservation while their shards are locked.
type set struct {
	n      int
	shards [maxLevels]uint8 // ascending, each once, the first m
	m      int
	levels [maxLevels]*level
}

// lock finds or makes the levels' counters. Levels beyond maxLevels are not counted, which config never makes.
func (m *Memory) lock(now time.Time, levels []config.Level) (s set) {
	var of [maxLevels]uint8
	s.n = min(len(levels), maxLevels)
	for i := range s.n {
		of[i] = uint8(maphash.String(m.seed, levels[i].ID) % shards)
		s.insert(of[i])
	}
	for _, i := range s.shards[:s.m] {
		m.shards[i].mu.Lock()
	}
	for i := range s.n {
		s.levels[i] = m.shards[of[i]].find(now, &levels[i])
	}
	return s
}

// insert keeps shards sorted and without duplicates.
func (s *set) insert(shard uint8) {
	at := 0
	for at < s.m && s.shards[at] < shard {
		at++
	}
	if at < s.m && s.shards[at] == shard {
		return
	}
	copy(s.shards[at+1:s.m+1], s.shards[at:s.m])
	s.shards[at] = shard
	s.m++
}

func (m *Memory) unlock(s *set) {
	for _, i := range s.shards[:s.m] {
		m.shards[i].mu.Unlock()
	}
}

// find is the counter of a level at now. The shard is locked.
func (sh *shard) find(now time.Time, c *config.Level) *level {
	l := sh.levels[c.ID]
	if l == nil {
		if len(sh.levels) >= sh.sweep {
			sh.dropFull(now)
		}
		l = &level{at: now}
		sh.levels[c.ID] = l
	}
	l.flow(now)
	l.requestsLimit, l.tokensLimit = float64(c.Requests), float64(c.Tokens)
	if c.Requests == 0 {
		l.requests = 0
	}
	if c.Tokens == 0 {
		l.tokens = 0
	}
	return l
}

// dropFull forgets levels of which nothing is used, which is what an unknown level is too. So keys that were removed
// from the config do not pile up.
func (sh *shard) dropFull(now time.Time) {
	for id, l := range sh.levels {
		if l.flow(now); l.requests == 0 && l.tokens == 0 {
			delete(sh.levels, id)
		}
	}
	sh.sweep = max(sweepAt, 2*len(sh.levels))
}

// flow lets off what the time since the last use gives back.
func (l *level) flow(now time.Time) {
	dt := now.Sub(l.at)
	if dt <= 0 {
		return // a clock that went back gives nothing and takes nothing
	}
	l.at = now
	l.requests = drain(l.requests, l.requestsLimit, dt)
	l.tokens = drain(l.tokens, l.tokensLimit, dt)
}

func drain(used, limit float64, dt time.Duration) float64 {
	if used = used - limit*dt.Minutes(); used < rounding {
		return 0
	}
	return used
}

// Reserve implements Counters.
func (m *Memory) Reserve(now time.Time, levels []config.Level, tokens int64) (*Reservation, Status, error) {
	if len(levels) == 0 {
		return nil, Status{}, nil
	}
	tokens = clampTokens(tokens)
	s := m.lock(now, levels)
	defer m.unlock(&s)
	var worst refusal
	for i := range s.n {
		worst.check(&levels[i], s.levels[i], tokens)
	}
	if worst.kind == none {
		for _, l := range s.levels[:s.n] {
			l.take(tokens)
		}
	}
	status := s.status(levels)
	if worst.kind != none {
		return nil, status, worst.fault()
	}
	return NewReservation(now, levels, tokens), status, nil
}

func (l *level) take(tokens int64) {
	if l.requestsLimit > 0 {
		l.requests++
	}
	if l.tokensLimit > 0 {
		l.tokens += float64(tokens)
	}
}

func (s *set) status(levels []config.Level) (st Status) {
	for i, l := range s.levels[:s.n] {
		if l.requestsLimit > 0 {
			st.Requests.tighten(levels[i].ID, l.requestsLimit, l.requests)
		}
		if l.tokensLimit > 0 {
			st.Tokens.tighten(levels[i].ID, l.tokensLimit, l.tokens)
		}
	}
	return st
}

// Settle implements Counters. Requests stay counted: one that used no tokens was made all the same.
func (m *Memory) Settle(now time.Time, r *Reservation, tokens int64) {
	levels, delta, ok := r.Close(now, tokens)
	if !ok {
		return
	}
	s := m.lock(now, levels)
	defer m.unlock(&s)
	for _, l := range s.levels[:s.n] {
		if l.tokensLimit > 0 {
			most := l.tokensLimit * (1 + debtMinutes)
			l.tokens = math.Max(0, math.Min(l.tokens+float64(delta), math.Max(most, l.tokens)))
		}
	}
}
