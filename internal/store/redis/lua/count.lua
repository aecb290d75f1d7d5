-- What all scripts on counters begin with. What is known of a counter is one string of little endian doubles, so that all counters of a
-- request are read by one command. Of a rate: used, when. Of a sum: spent in the window, reserved, start of the calendar's window or
-- number of the last step, and when the counter was made, which tells it from one that was lost. The steps of a rolling window are a hash
-- {b<n>: spent in step n}. What is reserved is kept by slot: a sorted set of ids by the time at which they flow back, and a hash of what
-- they hold: of each sum its key, the amount, and when the counter was made. Times are Unix milliseconds.
local call, pack, parse = redis.call, struct.pack, struct.unpack
local RING = 61 -- steps that are kept of a rolling window: those of the window, and the one that is not over

local function clock(now)
  if now > 0 then return now end
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function note(o, amount)
  if o.step > 0 and amount ~= 0 then
    call('HINCRBY', o.steps, 'b' .. (o.w % RING), string.format('%.0f', amount))
    call('PEXPIRE', o.steps, o.keep)
  end
end

-- roll begins the window around now.
local function roll(o, now)
  local w = o.window
  if o.step > 0 then w = math.floor(now / o.step) end
  if not o.w then
    o.s, o.r, o.w, o.born, o.dirty = math.max(o.seed, 0), 0, w, now, true
    if o.step > 0 then call('DEL', o.steps) end
    note(o, o.s)
  elseif w > o.w then
    if o.step == 0 then
      o.s = 0
    else
      for n = math.max(o.w + 1, w - RING + 1), w do
        local f = 'b' .. (n % RING)
        local v = tonumber(call('HGET', o.steps, f))
        if v then
          o.s = o.s - v
          call('HDEL', o.steps, f)
        end
      end
    end
    o.w, o.dirty = w, true
  elseif o.step == 0 and o.w == o.window and o.seed - o.r > o.s then
    -- What a replica knows better, since counters were lost. What is reserved may be on its way to be charged, and known already.
    o.s, o.dirty = o.seed - o.r, true
  end
end

-- read takes a counter from its string, and lets time pass.
local function read(o, v, now)
  if o.rate then
    o.used, o.at = 0, now
    if v and #v == 16 then o.used, o.at = parse('<dd', v) end
    if now > o.at then
      o.used = o.used - o.limit * (now - o.at) / 60000
      o.at = now
      if o.used < 1e-6 then o.used = 0 end
    end
    return
  end
  o.s, o.r = 0, 0
  if v and #v == 32 then o.s, o.r, o.w, o.born = parse('<dddd', v) end
  roll(o, now)
end

local function write(o)
  if o.rate then
    call('SET', o.key, pack('<dd', o.used, o.at), 'PX', o.keep)
  else
    call('SET', o.key, pack('<dddd', o.s, o.r, o.w, o.born), 'PX', o.keep)
  end
end

-- free gives back what something held.
local function free(held)
  for i = 1, #held, 3 do
    local v = call('GET', held[i])
    if v and #v == 32 then
      local s, r, w, born = parse('<dddd', v)
      if born == held[i + 2] then
        call('SET', held[i], pack('<dddd', s, math.max(0, r - held[i + 1]), w, born), 'KEEPTTL')
      end
    end
  end
end

-- let takes what an id holds from what is reserved, nil when it holds nothing.
local function let(ends, holds, id)
  local held = call('HGET', holds, id)
  call('ZREM', ends, id)
  if not held then return nil end
  call('HDEL', holds, id)
  return cmsgpack.unpack(held)
end

local function hold(ends, holds, id, held, till)
  call('HSET', holds, id, cmsgpack.pack(held))
  call('ZADD', ends, till, id)
end

-- flow lets flow back what nobody settled in time: the oldest first, so much at a time that nobody waits for it.
local function flow(ends, holds, now)
  for _, id in ipairs(call('ZRANGEBYSCORE', ends, '-inf', now, 'LIMIT', 0, 200)) do
    local held = let(ends, holds, id)
    if held then free(held) end
  end
end
