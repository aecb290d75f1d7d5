-- Settles a request once. KEYS as of take. ARGV: the request's id, and little endian 64 bit integers: now (0: the server's clock), when
-- the lease ends, how long the mark is kept, operations; for each operation its flags (1: rate), limit, taken (of a rate), used, window,
-- step, how long it is kept, what is known to be spent. Returns little endian doubles: 1 settled or 0 settled before; for each operation
-- what was spent before and after.
local id, blob = ARGV[1], ARGV[2]
local now, ends, mark, n, pos = parse('<i8i8i8i8', blob)
if not call('SET', KEYS[1], 1, 'NX', 'PX', mark) then return pack('<d', 0) end
now = clock(now)
flow(KEYS[2], KEYS[3], now)
local held, parts = let(KEYS[2], KEYS[3], id), {}
if held then
  for i = 1, #held, 3 do parts[held[i]] = i end
end
local out, values, k = {pack('<d', 1)}, call('MGET', unpack(KEYS, 4, 3 + n)), 4 + n
for i = 1, n do
  local o, flags, taken, use = {key = KEYS[3 + i]}, 0, 0, 0
  flags, o.limit, taken, use, o.window, o.step, o.keep, o.seed, pos = parse('<i8i8i8i8i8i8i8i8', blob, pos)
  o.rate = flags % 2 == 1
  if o.step > 0 then o.steps, k = KEYS[k], k + 1 end
  if o.rate then
    local delta = use - taken
    -- What flowed back by itself is not given back again.
    if delta > 0 or delta < 0 and now < ends then
      read(o, values[i], now)
      o.used = math.max(0, math.min(o.used + delta, math.max(o.limit * 11, o.used)))
      write(o)
    end
    out[i + 1] = pack('<dd', 0, 0)
  else
    read(o, values[i], now)
    local at = parts[o.key]
    if at then
      if held[at + 2] == o.born then o.r = math.max(0, o.r - held[at + 1]) end
      held[at + 2] = -1 -- given back
    end
    note(o, use)
    out[i + 1] = pack('<dd', o.s, o.s + use)
    o.s = o.s + use
    write(o)
  end
end
if held then free(held) end
return table.concat(out)
