-- Exchanges one replica's lease of a counter for another: what it has spent of the old one is charged, what it has not is free again, and
-- a new one is reserved, all at once. KEYS: counter, reservations, the replica's last draw. ARGV: the replica's id, and little endian 64
-- bit integers: now (0: the server's clock), lease, number of the draw, flags (1: rate, 2: refuses), limit, spent or, of a rate, given
-- back, wanted, needed, committed already, window, step, how long it is kept, what is known to be spent. Returns little endian doubles:
-- leased, spent before and after, reserved; of a rate leased, 0, used, 0. A draw that comes twice gets its first answer.
local id, blob = ARGV[1], ARGV[2]
local o = {key = KEYS[1], lkey = KEYS[2]}
local now, lease, draw, flags, charge, want, need, out
now, lease, draw, flags, o.limit, charge, want, need, out, o.window, o.step, o.keep, o.seed = struct.unpack('<i8i8i8i8i8i8i8i8i8i8i8i8i8', blob)
local last = redis.call('HMGET', KEYS[3], 'n', 'v')
if (tonumber(last[1]) or 0) >= draw then return last[2] end -- an older one has come late, and nobody waits for it
now = clock(now)
local leased, answer
if flags % 2 == 1 then
  rate(o, now)
  o.used = math.max(0, o.used - charge)
  leased = want
  if flags >= 2 then leased = math.max(0, math.min(want, math.floor(o.limit - o.used + 1e-6))) end
  keep(o, 'u', string.format('%.17g', o.used + leased), 't', o.at)
  answer = struct.pack('<dddd', leased, 0, o.used, 0)
else
  sum(o, now)
  local part = tonumber(redis.call('HGET', o.key, 'l' .. id)) or 0
  local before = o.s
  o.r, o.s = o.r - part, o.s + charge
  note(o, charge)
  leased = want
  if flags >= 2 then
    local left = o.limit - o.s - o.r
    leased = math.min(want, math.max(math.floor(left / 8), math.min(left, need)))
  end
  leased = math.max(leased, out, 0)
  o.r = o.r + leased
  keep(o, 's', o.s, 'r', o.r, 'w', o.w)
  if leased > 0 then
    redis.call('HSET', o.key, 'l' .. id, string.format('%.0f', leased))
    redis.call('ZADD', o.lkey, now + lease, id)
    redis.call('PEXPIRE', o.lkey, o.keep)
  else
    redis.call('HDEL', o.key, 'l' .. id)
    redis.call('ZREM', o.lkey, id)
  end
  answer = struct.pack('<dddd', leased, before, o.s, o.r)
end
redis.call('HSET', KEYS[3], 'n', draw, 'v', answer)
redis.call('PEXPIRE', KEYS[3], lease)
return answer
