-- Takes all operations of a request or none. KEYS: mark of the settled request; for each operation its counter, and of a sum its
-- reservations. ARGV: the request's id, and little endian 64 bit integers: now (0: the server's clock), lease, want, need and least
-- tokens of output, operations, and 1 to look only; for each operation its flags (1: rate, 2: refuses), limit, fixed, per million
-- tokens of output, window, step, how long it is kept, what is known to be spent. Returns little endian doubles: 1 taken, 0 refused
-- or -1 settled before; tokens of output; for each operation two counts as they were before: used and 0, or spent and reserved.
local blob = ARGV[2]
local now, lease, want, need, least, n, look, pos = struct.unpack('<i8i8i8i8i8i8i8', blob)
if look == 0 and redis.call('EXISTS', KEYS[1]) == 1 then return struct.pack('<d', -1) end
now = clock(now)
local MILLION = 1000000
local ops, k = {}, 2
for i = 1, n do
  local o, flags = {}, 0
  flags, o.limit, o.fixed, o.per, o.window, o.step, o.keep, o.seed, pos = struct.unpack('<i8i8i8i8i8i8i8i8', blob, pos)
  o.rate, o.hold, o.key = flags % 2 == 1, flags >= 2, KEYS[k]
  if o.rate then
    rate(o, now)
    k = k + 1
  else
    o.lkey = KEYS[k + 1]
    sum(o, now)
    k = k + 2
  end
  ops[i] = o
end

local function amount(o, output)
  if o.per == 0 then return o.fixed end
  return o.fixed + math.ceil(o.per * output / MILLION)
end

local taken, output = 1, want
for _, o in ipairs(ops) do
  if not o.hold then -- counts only
  elseif o.rate then
    if o.used + o.fixed - o.limit > 1e-6 then taken = 0 end
  elseif o.per == 0 then
    if o.s + o.r + o.fixed > o.limit then taken = 0 end
  else
    local left = o.limit - o.s - o.r
    local room = math.max(math.floor(left / 8), math.min(left, amount(o, need)))
    if amount(o, want) > room then
      local fits = math.floor((room - o.fixed) * MILLION / o.per)
      if fits < least then taken = 0 end
      output = math.min(output, fits)
    end
  end
end
if look == 1 then taken = 0 end

local out = {struct.pack('<dd', taken, output)}
for i, o in ipairs(ops) do
  if o.rate then
    out[i + 1] = struct.pack('<dd', o.used, 0)
    if taken == 1 then keep(o, 'u', string.format('%.17g', o.used + amount(o, output)), 't', o.at) end
  else
    out[i + 1] = struct.pack('<dd', o.s, o.r)
    if taken == 1 then
      local a = string.format('%.0f', amount(o, output))
      keep(o, 's', o.s, 'r', o.r + a, 'w', o.w, 'l' .. ARGV[1], a)
      redis.call('ZADD', o.lkey, now + lease, ARGV[1])
      redis.call('PEXPIRE', o.lkey, o.keep)
    elseif o.dirty then
      keep(o, 's', o.s, 'r', o.r, 'w', o.w)
    end
  end
end
return table.concat(out)
