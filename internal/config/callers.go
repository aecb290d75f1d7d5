package config

import (
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"

	dragomanv1 "dragoman/proto/dragoman/v1"
)

// maxCallers bounds the callers that a snapshot remembers. One takes about half a KiB; who is one too many is compiled for each request.
const maxCallers = 100_000

// callers are those that a snapshot has compiled: all that is ever written to one, and gone with it. Sharded, because every request reads it.
type callers struct {
	seed   maphash.Seed
	count  atomic.Int64
	shards [32]callerShard
}

type callerShard struct {
	mu sync.RWMutex
	m  map[callerKey]*Principal
	_  [32]byte // one shard a cache line
}

// callerKey tells callers apart: the same place by another entry of the configuration has another key's name and models.
type callerKey struct {
	at  Place
	key *dragomanv1.Key
}

func newCallers() *callers {
	c := &callers{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].m = map[callerKey]*Principal{}
	}
	return c
}

func (c *callers) shard(k *callerKey) *callerShard {
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.WriteString(k.at.User)
	h.WriteString(k.at.Team)
	return &c.shards[h.Sum64()%uint64(len(c.shards))]
}

// KnownCaller is Caller with a memory, for callers that come again and again; known says that it remembers this one. key must be the same
// pointer each time.
func (s *Snapshot) KnownCaller(at Place, key *dragomanv1.Key) (p *Principal, known bool, err error) {
	k := callerKey{at, key}
	shard := s.callers.shard(&k)
	shard.mu.RLock()
	p = shard.m[k]
	shard.mu.RUnlock()
	if p != nil {
		return p, true, nil
	}
	// What is remembered must not keep the message alive that the names were read from.
	k.at = Place{strings.Clone(at.Tenant), strings.Clone(at.Team), strings.Clone(at.User)}
	if p, err = s.Caller(k.at, key); err != nil {
		return nil, false, err
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if other := shard.m[k]; other != nil {
		return other, true, nil // of a request at the same time
	}
	if s.callers.count.Add(1) <= maxCallers {
		shard.m[k] = p
	} else {
		s.callers.count.Add(-1)
	}
	return p, false, nil
}

// SeenCallers calls f with every caller that KnownCaller remembers, in no order, until f returns false.
func (s *Snapshot) SeenCallers(f func(*Principal) bool) {
	for i := range s.callers.shards {
		shard := &s.callers.shards[i]
		shard.mu.RLock()
		list := make([]*Principal, 0, len(shard.m))
		for _, p := range shard.m {
			list = append(list, p)
		}
		shard.mu.RUnlock()
		for _, p := range list {
			if !f(p) {
				return
			}
		}
	}
}
