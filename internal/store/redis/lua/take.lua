-- Takes all operations of a request or none. KEYS: mark of the settled request, the slot's reservations by their end and what they hold,
-- each operation's counter, and the steps of those whose window rolls. ARGV: the request's id, and little endian 64 bit integers: now (0:
-- the server's clock), lease, want, need and least tokens of output, operations, and 1 to look only; for each operation its flags (1: rate,
-- 2: refuses), limit, fixed, per million tokens of output, window, step, how long it is kept, what is known to be spent. Returns little
-- endian doubles: 1 taken, 0 refused or -1 settled before; tokens of output; for each operation two counts as they were before: used and
-- 0, or spent and reserved.
local blob = ARGV[2]
local now, lease, want, need, least, n, look, pos = parse('<i8i8i8i8i8i8i8', blob)
if look == 0 and call('EXISTS', KEYS[1]) == 1 then return pack('<d', -1) end
now = clock(now)
flow(KEYS[2], KEYS[3], now)
local MILLION = 1000000
local ops, values, k = {}, call('MGET', unpack(KEYS, 4, 3 + n)), 4 + n
for i = 1, n do
  local o, flags = {key = KEYS[3 + i]}, 0
  flags, o.limit, o.fixed, o.per, o.window, o.step, o.keep, o.seed, pos = parse('<i8i8i8i8i8i8i8i8', blob, pos)
  o.rate, o.hold = flags % 2 == 1, flags >= 2
  if o.step > 0 then o.steps, k = KEYS[k], k + 1 end
  read(o, values[i], now)
  ops[i] = o
end

local function amount(o, output)
  if o.per == 0 then return o.fixed end
  return o.fixed + math.ceil(o.per * output / MILLION)
end

local taken, output = 1, want
for i = 1, n do
  local o = ops[i]
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

local out, held = {pack('<dd', taken, output)}, {}
for i = 1, n do
  local o = ops[i]
  if o.rate then
    out[i + 1] = pack('<dd', o.used, 0)
    if taken == 1 then
      o.used = o.used + amount(o, output)
      write(o)
    end
  else
    out[i + 1] = pack('<dd', o.s, o.r)
    if taken == 1 then
      local a, j = amount(o, output), #held
      o.r = o.r + a
      held[j + 1], held[j + 2], held[j + 3] = o.key, a, o.born
      write(o)
    elseif o.dirty then
      write(o)
    end
  end
end
if #held > 0 then hold(KEYS[2], KEYS[3], ARGV[1], held, now + lease) end
return table.concat(out)
