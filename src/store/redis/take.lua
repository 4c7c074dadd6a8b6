-- Takes up what is due, and holds it: line, item and record in turn.
--
-- The line that was not served for longest goes first. Of each line no more is taken than it has places
-- that nobody holds.

local lines, served = KEYS[1], KEYS[2]
local base, due_of, held_of = ARGV[1], ARGV[2], ARGV[3]
local now, hold_until = ARGV[4], ARGV[5]
local limit, places = tonumber(ARGV[6]), tonumber(ARGV[7])
local call = redis.call

local waiting = {}
for _, line in ipairs(call('ZRANGEBYSCORE', lines, '-inf', now)) do
  waiting[#waiting + 1] = { line, tonumber(call('ZSCORE', served, line) or 0) }
end
table.sort(waiting, function(one, other)
  return one[2] < other[2] or one[2] == other[2] and one[1] < other[1]
end)

local taken = {}
for _, entry in ipairs(waiting) do
  local line = entry[1]
  local due, held = due_of .. line, held_of .. line
  call('ZREMRANGEBYSCORE', held, '-inf', now)
  local free = limit - #taken / 3
  if places then
    free = math.min(free, places - call('ZCARD', held))
  end
  if free > 0 then
    local items, holds, names = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, free), {}, {}
    for i, item in ipairs(items) do
      holds[2 * i - 1], holds[2 * i] = hold_until, item
      names[i] = base .. item
    end
    if #items > 0 then
      -- At most `limit` of them, a few dozen: `unpack` ends at some thousands.
      call('ZADD', due, unpack(holds))
      call('ZADD', held, unpack(holds))
      for i, record in ipairs(call('MGET', unpack(names))) do
        taken[#taken + 1] = line
        taken[#taken + 1] = items[i]
        taken[#taken + 1] = record
      end
    end
    call('ZADD', served, now, line)
    local first = call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
    call('ZADD', lines, first, line)
  end
end
return taken
