-- Takes up what is due in a line, and holds it: entry and record in turn. An entry is a record's key, and perhaps
-- what it is behind.

local lines, due = KEYS[1], KEYS[2]
local base, line, now, hold_until, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local call = redis.call

local entries, holds, names = call('ZRANGEBYSCORE', due, '-inf', now, 'LIMIT', 0, limit), {}, {}
for i, entry in ipairs(entries) do
  holds[2 * i - 1], holds[2 * i] = hold_until, entry
  names[i] = base .. string.match(entry, '^%S*')
end
local taken = {}
if #entries > 0 then
  -- At most `limit` of them, a few dozen: `unpack` ends at some thousands.
  call('ZADD', due, unpack(holds))
  for i, record in ipairs(call('MGET', unpack(names))) do
    taken[2 * i - 1], taken[2 * i] = entries[i], record
  end
end
local first = call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
if first then
  call('ZADD', lines, first, line)
else
  call('ZREM', lines, line)
end
return taken
