package redis

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragoman/processor/cache"
	"dragoman/processor/cache/semantic"
)

// searchDeadline bounds a search: two round trips.
const searchDeadline = 2 * lookupDeadline

// spares are how many candidates more than wanted are asked for: some have ended, some have a threshold of their own.
const spares = 8

// Fields of an entry's hash. They are short: there is one hash a question.
const (
	fieldText, fieldVector, fieldKey, fieldPartition        = "q", "v", "k", "p"
	fieldTenant, fieldAsked, fieldModel, fieldProvider      = "t", "a", "m", "o"
	fieldExchange, fieldStored, fieldThreshold, fieldServed = "x", "s", "th", "sv"
)

// servedScript notes in the entry KEYS[1] that it answered at the similarity ARGV[1]; an entry that has ended is not made again.
var servedScript = goredis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if (tonumber(redis.call('HGET', KEYS[1], 'sv')) or 0) < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'sv', ARGV[1]) end
return 1`)

// feedbackScript raises the entry's threshold to ARGV[1], or leaves it when that is lower. With ” it only says whether there is one.
var feedbackScript = goredis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
if ARGV[1] ~= '' and (tonumber(redis.call('HGET', KEYS[1], 'th')) or 0) < tonumber(ARGV[1]) then redis.call('HSET', KEYS[1], 'th', ARGV[1]) end
return 1`)

// SemanticOptions of NewSemantic.
type SemanticOptions struct {
	MaxEntries int // of one partition; the server's own maxmemory bounds the whole
	TTL        time.Duration
}

// Semantic keeps the semantic tier's questions in vector sets (Redis 8 or later): one set a partition, whose elements name a hash each.
// The hash has what a candidate is checked against, and a time to live, which elements of sets have not: what a search or
// an addition finds without its hash is taken out of the set. It implements semantic.Index.
type Semantic struct {
	client *Client
	o      SemanticOptions
	now    func() time.Time
	wait   time.Duration // of a search
}

// NewSemantic makes an index on a client, which stays the caller's.
func NewSemantic(client *Client, o SemanticOptions, now func() time.Time) *Semantic {
	return &Semantic{client: client, o: o, now: now, wait: searchDeadline}
}

func (s *Semantic) entryKey(group, id string) string {
	return s.client.Key("semantic", "{"+group+"}", "entry", id)
}

func (s *Semantic) setKey(group, partition string) string {
	return s.client.Key("semantic", "{"+group+"}", "set", partition)
}

// Search implements semantic.Index: two round trips of at most 20 ms together.
func (s *Semantic) Search(ctx context.Context, w semantic.Wanted) (found []semantic.Candidate, err error) {
	var dead []string
	set := s.setKey(w.Group, w.Partition.String())
	err = s.client.Do(ctx, "semantic_search", s.wait, func(ctx context.Context, db goredis.UniversalClient) error {
		near, err := db.VSimWithArgsWithScores(ctx, set, &goredis.VectorFP32{Val: floatBytes(w.Vector)},
			&goredis.VSimArgs{Count: int64(w.Limit + spares), EF: 200}).Result()
		if err != nil {
			return err
		}
		// A score is (1 + cosine) / 2, of vectors of one byte a dimension.
		ids := make([]string, 0, len(near))
		for _, n := range near {
			if 2*n.Score-1 >= w.Least-0.02 {
				ids = append(ids, n.Name)
			}
		}
		if len(ids) == 0 {
			return nil
		}
		found, dead, err = s.fetch(ctx, db, w, ids)
		return err
	})
	if errors.Is(err, goredis.Nil) || otherWidth(err) {
		err = nil
	}
	if len(dead) > 0 {
		s.forget(set, dead)
	}
	return found, err
}

// fetch reads the candidates' hashes and keeps those that are as similar as wanted, by their floats.
func (s *Semantic) fetch(ctx context.Context, db goredis.UniversalClient, w semantic.Wanted, ids []string) (found []semantic.Candidate, dead []string, err error) {
	hashes := make([]*goredis.MapStringStringCmd, len(ids))
	if _, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, id := range ids {
			hashes[i] = p.HGetAll(ctx, s.entryKey(w.Group, id))
		}
		return nil
	}); err != nil {
		return nil, nil, err
	}
	for i, h := range hashes {
		e, ok := parseEntry(ids[i], w.Group, h.Val())
		if !ok {
			dead = append(dead, ids[i])
			continue
		}
		if e.Partition != w.Partition {
			continue
		}
		similarity := semantic.Similarity(w.Vector, e.Vector)
		if similarity >= w.Least && similarity >= e.Threshold {
			found = append(found, semantic.Candidate{Entry: e, Similarity: similarity})
		}
	}
	semantic.Best(&found, w.Limit)
	return found, dead, nil
}

// forget takes elements without hash out of their set; the search that met them does not wait for it longer than it must.
func (s *Semantic) forget(set string, ids []string) {
	_ = s.client.Do(context.Background(), "semantic_forget", lookupDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for _, id := range ids {
				p.VRem(ctx, set, id)
			}
			return nil
		})
		return err
	})
}

// Add implements semantic.Index. It waits for the server, at most 200 ms.
func (s *Semantic) Add(ctx context.Context, e *semantic.Entry) error {
	set := s.setKey(e.Group, e.Partition.String())
	err := s.add(ctx, set, e)
	if otherWidth(err) {
		// The model of this name has other vectors than it had: those cannot be compared any more.
		if err = s.unlink(ctx, set); err == nil {
			err = s.add(ctx, set, e)
		}
	}
	if err == nil {
		s.tidy(ctx, e.Group, set)
	}
	return err
}

// otherWidth says whether the server holds that a set's vectors have another number of dimensions.
func otherWidth(err error) bool {
	var answer goredis.Error
	return errors.As(err, &answer) && strings.Contains(answer.Error(), "dimension mismatch")
}

func (s *Semantic) unlink(ctx context.Context, key string) error {
	return s.client.Do(ctx, "semantic_add", storeDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		return db.Unlink(ctx, key).Err()
	})
}

func (s *Semantic) add(ctx context.Context, set string, e *semantic.Entry) error {
	vector := floatBytes(e.Vector)
	key := s.entryKey(e.Group, e.ID)
	return s.client.Do(ctx, "semantic_add", storeDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		_, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			// The hash first: an element without one is taken for one that has ended.
			p.Del(ctx, key)
			p.HSet(ctx, key, fieldText, e.Text, fieldVector, vector, fieldKey, e.Key.String(), fieldPartition, e.Partition.String(),
				fieldTenant, e.Tenant, fieldAsked, e.Asked, fieldModel, e.Model, fieldProvider, e.Provider, fieldExchange, e.Exchange,
				fieldStored, e.Stored.UnixNano(), fieldThreshold, number(e.Threshold))
			p.PExpire(ctx, key, s.o.TTL)
			p.VAdd(ctx, set, e.ID, &goredis.VectorFP32{Val: vector})
			p.PExpire(ctx, set, s.o.TTL)
			return nil
		})
		return err
	})
}

// sample is how many random elements an addition looks at: it adds one and finds more that have ended, so a set does not fill with them.
const sample = 4

// tidy removes what has ended from a set, and the oldest of the sample when the set is full.
func (s *Semantic) tidy(ctx context.Context, group, set string) {
	_ = s.client.Do(ctx, "semantic_tidy", storeDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		size, err := db.VCard(ctx, set).Result()
		if err != nil {
			return err
		}
		ids, err := db.VRandMemberCount(ctx, set, sample).Result()
		if err != nil || len(ids) == 0 {
			return err
		}
		stored := make([]*goredis.StringCmd, len(ids))
		_, err = db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i, id := range ids {
				stored[i] = p.HGet(ctx, s.entryKey(group, id), fieldStored)
			}
			return nil
		})
		if err != nil && !errors.Is(err, goredis.Nil) {
			return err
		}
		_, err = db.Pipelined(ctx, func(p goredis.Pipeliner) error {
			oldest, at := "", int64(math.MaxInt64)
			for i, id := range ids {
				when, err := stored[i].Int64()
				if err != nil {
					p.VRem(ctx, set, id)
					size--
				} else if when < at {
					oldest, at = id, when
				}
			}
			if size > int64(s.o.MaxEntries) && oldest != "" {
				p.VRem(ctx, set, oldest)
				p.Unlink(ctx, s.entryKey(group, oldest))
			}
			return nil
		})
		return err
	})
}

// Remove implements semantic.Index.
func (s *Semantic) Remove(ctx context.Context, id string) error {
	group, ok := semantic.IDGroup(id)
	if !ok {
		return nil
	}
	return s.client.Do(ctx, "semantic_remove", storeDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		return db.Unlink(ctx, s.entryKey(group, id)).Err() // whoever meets the element next takes it out of the set
	})
}

// Served implements semantic.Index. A request waits for it, at most 10 ms.
func (s *Semantic) Served(ctx context.Context, id string, similarity float64) error {
	_, err := s.script(ctx, "semantic_served", lookupDeadline, servedScript, id, number(similarity))
	return err
}

// Feedback implements cache.Admin.
func (s *Semantic) Feedback(ctx context.Context, id string, wrong bool) (bool, error) {
	group, ok := semantic.IDGroup(id)
	if !ok {
		return false, nil
	}
	threshold := ""
	if wrong {
		var served, own float64
		err := s.client.Do(ctx, "semantic_feedback", probeTimeout, func(ctx context.Context, db goredis.UniversalClient) error {
			v, err := db.HMGet(ctx, s.entryKey(group, id), fieldServed, fieldThreshold).Result()
			if err == nil {
				served, own = float(v[0]), float(v[1])
			}
			return err
		})
		if err != nil {
			return false, err
		}
		threshold = number(semantic.Raised(own, served))
	}
	return s.script(ctx, "semantic_feedback", probeTimeout, feedbackScript, id, threshold)
}

func (s *Semantic) script(ctx context.Context, op string, deadline time.Duration, script *goredis.Script, id, arg string) (bool, error) {
	group, ok := semantic.IDGroup(id)
	if !ok {
		return false, nil
	}
	var n int
	err := s.client.Do(ctx, op, deadline, func(ctx context.Context, db goredis.UniversalClient) (err error) {
		n, err = script.Run(ctx, db, []string{s.entryKey(group, id)}, arg).Int()
		return err
	})
	return n == 1, err
}

// Purge implements cache.Admin. It goes over every entry, within ctx's deadline; what is stored meanwhile may be left.
func (s *Semantic) Purge(ctx context.Context, f cache.Filter) (int, error) {
	if f.Key != "" {
		group, ok := semantic.IDGroup(f.Key)
		if !ok {
			return 0, nil
		}
		return s.purgeKeys(ctx, s.client.db, f, []string{s.entryKey(group, f.Key)})
	}
	cluster, ok := s.client.db.(*goredis.ClusterClient)
	if !ok {
		return s.purgeNode(ctx, s.client.db, f)
	}
	var mu sync.Mutex
	total := 0
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
		n, err := s.purgeNode(ctx, node, f)
		mu.Lock()
		total += n
		mu.Unlock()
		return err
	})
	return total, err
}

// purgeNode goes over one server's entries.
func (s *Semantic) purgeNode(ctx context.Context, db goredis.Cmdable, f cache.Filter) (total int, err error) {
	if s.client.away.Load() {
		return 0, ErrAway
	}
	pattern := escapeGlob.Replace(s.client.Key("semantic", "{")) + "*}:entry:*"
	for cursor := uint64(0); ; {
		var keys []string
		if keys, cursor, err = db.Scan(ctx, cursor, pattern, purgeBatch).Result(); err != nil {
			return total, err
		}
		n, err := s.purgeKeys(ctx, db, f, keys)
		total += n
		if err != nil || cursor == 0 {
			return total, err
		}
	}
}

// purgeKeys removes those of the keys whose entries the filter matches.
func (s *Semantic) purgeKeys(ctx context.Context, db goredis.Cmdable, f cache.Filter, keys []string) (n int, err error) {
	heads := make([]*goredis.SliceCmd, len(keys))
	if len(keys) == 0 {
		return 0, nil
	}
	if _, err := db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, k := range keys {
			heads[i] = p.HMGet(ctx, k, fieldTenant, fieldAsked, fieldModel, fieldStored, fieldPartition)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	now := s.now()
	var removals []*goredis.IntCmd
	_, err = db.Pipelined(ctx, func(p goredis.Pipeliner) error {
		for i, k := range keys {
			v := heads[i].Val()
			if len(v) != 5 || v[3] == nil || !f.Matches(text(v[0]), text(v[1]), text(v[2]), max(0, now.Sub(time.Unix(0, integer(v[3]))))) {
				continue
			}
			removals = append(removals, p.Unlink(ctx, k))
			id := k[strings.LastIndexByte(k, ':')+1:]
			if group, ok := semantic.IDGroup(id); ok {
				p.VRem(ctx, s.setKey(group, text(v[4])), id)
			}
		}
		return nil
	})
	for _, r := range removals {
		n += int(r.Val())
	}
	return n, err
}

// parseEntry reads a hash; false when it is not there, or not whole.
func parseEntry(id, group string, h map[string]string) (*semantic.Entry, bool) {
	key, ok := cache.ParseKey(h[fieldKey])
	partition, ok2 := cache.ParseKey(h[fieldPartition])
	vector := bytesFloats(h[fieldVector])
	if !ok || !ok2 || len(vector) == 0 {
		return nil, false
	}
	return &semantic.Entry{ID: id, Group: group, Partition: partition, Key: key, Text: h[fieldText], Vector: vector,
		Tenant: h[fieldTenant], Asked: h[fieldAsked], Model: h[fieldModel], Provider: h[fieldProvider], Exchange: h[fieldExchange],
		Stored: time.Unix(0, integer(h[fieldStored])), Threshold: float(h[fieldThreshold])}, true
}

func floatBytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

func bytesFloats(s string) []float32 {
	if len(s)%4 != 0 || len(s) > 1<<18 {
		return nil
	}
	v := make([]float32, len(s)/4)
	for i := range v {
		v[i] = math.Float32frombits(uint32(s[4*i]) | uint32(s[4*i+1])<<8 | uint32(s[4*i+2])<<16 | uint32(s[4*i+3])<<24)
	}
	return v
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func text(v any) string { s, _ := v.(string); return s }

func float(v any) float64 {
	f, err := strconv.ParseFloat(text(v), 64)
	if err != nil || math.IsNaN(f) {
		return 0
	}
	return f
}

func integer(v any) int64 { n, _ := strconv.ParseInt(text(v), 10, 64); return n }
