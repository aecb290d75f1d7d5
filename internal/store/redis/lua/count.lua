-- What both scripts on counters begin with. A rate is a hash {u: used, t: when}. A sum is a hash {s: spent in the window, r: reserved,
-- w: start of the calendar's window or number of the last step, b<n>: spent in step n, l<id>: a reservation's part} and a sorted set of
-- reservations by the time at which they flow back. Times are Unix milliseconds.
local RING = 61 -- steps that are kept of a rolling window: those of the window, and the one that is not over

local function clock(now)
  if now > 0 then return now end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- rate reads what is left of what was used.
local function rate(o, now)
  local v = redis.call('HMGET', o.key, 'u', 't')
  o.used, o.at = tonumber(v[1]) or 0, tonumber(v[2]) or now
  if now > o.at then
    o.used = o.used - o.limit * (now - o.at) / 60000
    o.at = now
    if o.used < 1e-6 then o.used = 0 end
  end
end

local function note(o, amount)
  if o.step > 0 and amount ~= 0 then redis.call('HINCRBY', o.key, 'b' .. (o.w % RING), string.format('%.0f', amount)) end
end

-- roll begins the window around now.
local function roll(o, now)
  local w = o.window
  if o.step > 0 then w = math.floor(now / o.step) end
  if not o.w then
    o.s, o.r, o.w, o.dirty = math.max(o.seed, 0), 0, w, true
    note(o, o.s)
  elseif w > o.w then
    if o.step == 0 then
      o.s = 0
    else
      for n = math.max(o.w + 1, w - RING + 1), w do
        local f = 'b' .. (n % RING)
        local v = tonumber(redis.call('HGET', o.key, f))
        if v then
          o.s = o.s - v
          redis.call('HDEL', o.key, f)
        end
      end
    end
    o.w, o.dirty = w, true
  elseif o.step == 0 and o.w == o.window and o.seed - o.r > o.s then
    -- What a replica knows better, since counters were lost. What is reserved may be on its way to be charged, and known already.
    o.s, o.dirty = o.seed - o.r, true
  end
end

-- sum reads what is spent and reserved, and lets flow back what nobody settled in time.
local function sum(o, now)
  local v = redis.call('HMGET', o.key, 's', 'r', 'w')
  o.s, o.r, o.w = tonumber(v[1]) or 0, tonumber(v[2]) or 0, tonumber(v[3])
  roll(o, now)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', o.lkey, '-inf', now, 'LIMIT', 0, 1000)) do
    o.r, o.dirty = o.r - (tonumber(redis.call('HGET', o.key, 'l' .. id)) or 0), true
    redis.call('HDEL', o.key, 'l' .. id)
    redis.call('ZREM', o.lkey, id)
  end
end

local function keep(o, ...)
  redis.call('HSET', o.key, ...)
  redis.call('PEXPIRE', o.key, o.keep)
end
