package redis

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"dragoman/internal/config"
	"dragoman/internal/health"
)

const (
	healthDeadline = 250 * time.Millisecond
	// healthKept is how long a note counts after it was last told. The longest pause of health is shorter.
	healthKept = 20 * time.Minute
	// healthMost bounds the notes: replicas of other configurations may write, too.
	healthMost = 4096
)

// Health is what replicas know of providers' health, in one hash: a field for each cluster, or model of a cluster.
type Health struct {
	c     *Client
	owner string // of leases: this replica
	now   func() time.Time
}

// NewHealth makes a health.Share. owner is this replica's own name.
func NewHealth(c *Client, owner string, now func() time.Time) *Health {
	return &Health{c: c, owner: owner, now: now}
}

// exchange keeps, of two notes about one thing, the one that was found out later, drops those whose time is over, and returns the
// rest.
//
// KEYS[1] the hash; ARGV: now and since when notes count (milliseconds), the most fields, the hash's life in milliseconds, then pairs of
// field and note.
var exchange = goredis.NewScript(`
local now, since, most = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 5, #ARGV, 2 do
  local ok, new = pcall(cjson.decode, ARGV[i + 1])
  local old = redis.call('HGET', KEYS[1], ARGV[i])
  local stale = false
  if old then
    local fine, o = pcall(cjson.decode, old)
    stale = fine and ok and type(o) == 'table' and (tonumber(o.t) or 0) > (tonumber(new.t) or 0)
  end
  if ok and not stale and (old or redis.call('HLEN', KEYS[1]) < most) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
local all, out = redis.call('HGETALL', KEYS[1]), {}
for i = 1, #all, 2 do
  local ok, n = pcall(cjson.decode, all[i + 1])
  if not ok or type(n) ~= 'table' or ((tonumber(n.t) or 0) < since and (tonumber(n.u) or 0) < now) then
    redis.call('HDEL', KEYS[1], all[i])
  else
    out[#out + 1] = all[i + 1]
  end
end
if #ARGV > 4 then redis.call('PEXPIRE', KEYS[1], ARGV[4]) end
return out`)

// Exchange keeps notes and returns everybody's.
func (h *Health) Exchange(ctx context.Context, tell []health.Note) (all []health.Note, err error) {
	now := h.now()
	args := make([]any, 4, 4+2*len(tell))
	args[0], args[1], args[2], args[3] = now.UnixMilli(), now.Add(-healthKept).UnixMilli(), healthMost, healthKept.Milliseconds()
	for _, n := range tell {
		b, err := json.Marshal(n)
		if err != nil {
			return nil, err
		}
		args = append(args, string(n.Cluster)+"\x00"+n.Model, string(b))
	}
	var kept []string
	err = h.c.Do(ctx, "health_exchange", healthDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		var err error
		kept, err = exchange.Run(ctx, db, []string{h.c.Key("health", "notes")}, args...).StringSlice()
		return err
	})
	if err != nil {
		return nil, err
	}
	all = make([]health.Note, 0, len(kept))
	for _, text := range kept {
		var n health.Note
		if json.Unmarshal([]byte(text), &n) == nil {
			all = append(all, n)
		}
	}
	return all, nil
}

// takeLease takes a key that nobody or this replica has, for a time. KEYS[1] the key; ARGV: who asks, for how many milliseconds.
var takeLease = goredis.NewScript(`
local has = redis.call('GET', KEYS[1])
if has and has ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

// giveLease gives it back. KEYS[1] the key; ARGV: who had it.
var giveLease = goredis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0`)

// Lease asks for the right to make the next trial of a cluster.
func (h *Health) Lease(ctx context.Context, cluster config.ClusterName, ttl time.Duration) (ok bool, err error) {
	err = h.c.Do(ctx, "health_lease", healthDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		n, err := takeLease.Run(ctx, db, []string{h.leaseKey(cluster)}, h.owner, ttl.Milliseconds()).Int()
		ok = n == 1
		return err
	})
	return ok && err == nil, err
}

// Release gives it back.
func (h *Health) Release(ctx context.Context, cluster config.ClusterName) error {
	err := h.c.Do(ctx, "health_release", healthDeadline, func(ctx context.Context, db goredis.UniversalClient) error {
		return giveLease.Run(ctx, db, []string{h.leaseKey(cluster)}, h.owner).Err()
	})
	if errors.Is(err, goredis.Nil) {
		return nil
	}
	return err
}

func (h *Health) leaseKey(cluster config.ClusterName) string {
	return h.c.Key("health", "trial", string(cluster))
}
