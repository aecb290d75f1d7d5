-- Settles a request once. KEYS as of take. ARGV: the request's id, and little endian 64 bit integers: now (0: the server's clock), when
-- the lease ends, how long the mark is kept, operations; for each operation its flags (1: rate), limit, taken (of a rate), used, window,
-- step, how long it is kept, what is known to be spent. Returns little endian doubles: 1 settled or 0 settled before; for each operation
-- what was spent before and after.
local id, blob = ARGV[1], ARGV[2]
local now, ends, mark, n, pos = struct.unpack('<i8i8i8i8', blob)
if not redis.call('SET', KEYS[1], 1, 'NX', 'PX', mark) then return struct.pack('<d', 0) end
now = clock(now)
local out, k = {struct.pack('<d', 1)}, 2
for i = 1, n do
  local o, flags, taken, use = {key = KEYS[k]}, 0, 0, 0
  flags, o.limit, taken, use, o.window, o.step, o.keep, o.seed, pos = struct.unpack('<i8i8i8i8i8i8i8i8', blob, pos)
  if flags % 2 == 1 then
    k = k + 1
    local delta = use - taken
    -- What flowed back by itself is not given back again.
    if delta > 0 or delta < 0 and now < ends then
      rate(o, now)
      local bound = math.max(o.limit * 11, o.used)
      keep(o, 'u', string.format('%.17g', math.max(0, math.min(o.used + delta, bound))), 't', o.at)
    end
    out[i + 1] = struct.pack('<dd', 0, 0)
  else
    o.lkey = KEYS[k + 1]
    k = k + 2
    sum(o, now)
    local part = tonumber(redis.call('HGET', o.key, 'l' .. id))
    if part then
      o.r = o.r - part
      redis.call('HDEL', o.key, 'l' .. id)
      redis.call('ZREM', o.lkey, id)
    end
    note(o, use)
    keep(o, 's', o.s + use, 'r', o.r, 'w', o.w)
    out[i + 1] = struct.pack('<dd', o.s, o.s + use)
  end
end
return table.concat(out)
