-- Exchanges one replica's lease of a counter for another: what it has spent of the old one is charged, what it has not is free again, and
-- a new one is reserved, all at once. KEYS: counter, reservations by their end and what they hold, the replica's last draw, steps of a
-- rolling window. ARGV: the lease's id, and little endian 64 bit integers: now (0: the server's clock), lease, number of the draw, flags
-- (1: rate, 2: refuses), limit, spent or, of a rate, given back, wanted, needed, committed already, window, step, how long it is kept, what
-- is known to be spent. Returns little endian doubles: leased, spent before and after, reserved; of a rate leased, 0, used, 0. A draw that
-- comes twice gets its first answer.
local id, blob = ARGV[1], ARGV[2]
local o = {key = KEYS[1], steps = KEYS[5]}
local now, lease, draw, flags, charge, want, need, out
now, lease, draw, flags, o.limit, charge, want, need, out, o.window, o.step, o.keep, o.seed = parse('<i8i8i8i8i8i8i8i8i8i8i8i8i8', blob)
local last = call('HMGET', KEYS[4], 'n', 'v')
if tonumber(last[1]) == draw then return last[2] end
now = clock(now)
o.rate = flags % 2 == 1
local leased, answer = want, nil
if o.rate then
  read(o, call('GET', o.key), now)
  o.used = math.max(0, o.used - charge)
  if flags >= 2 then leased = math.max(0, math.min(want, math.floor(o.limit - o.used + 1e-6))) end
  answer = pack('<dddd', leased, 0, o.used, 0)
  o.used = o.used + leased
  write(o)
else
  flow(KEYS[2], KEYS[3], now)
  local held = let(KEYS[2], KEYS[3], id)
  if held then free(held) end
  read(o, call('GET', o.key), now)
  local before = o.s
  note(o, charge)
  o.s = o.s + charge
  if flags >= 2 then
    local left = o.limit - o.s - o.r
    leased = math.min(want, math.max(math.floor(left / 8), math.min(left, need)))
  end
  leased = math.max(leased, out, 0)
  o.r = o.r + leased
  write(o)
  if leased > 0 then hold(KEYS[2], KEYS[3], id, {o.key, leased, o.born}, now + lease) end
  answer = pack('<dddd', leased, before, o.s, o.r)
end
call('HSET', KEYS[4], 'n', draw, 'v', answer)
call('PEXPIRE', KEYS[4], lease)
return answer
