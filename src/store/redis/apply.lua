-- Writes what a step changes, all of it or nothing. Returns 1, or 0 if something that the step read was changed.
--
-- Arguments are counted lists, in the order in which they are read here (scripts.rs). A record begins with
-- the id of the command that wrote it, so eleven characters tell whether it was changed.

local key, position = 0, 0

local function next_key()
  key = key + 1
  return KEYS[key]
end

local function arg()
  position = position + 1
  return ARGV[position]
end

local call = redis.call

for _ = 1, tonumber(arg()) do
  if call('GETRANGE', next_key(), 0, 10) ~= arg() then
    return 0
  end
end
local room = tonumber(arg())
if room and call('ZCARD', next_key()) >= room then
  return 0
end
for _ = 1, tonumber(arg()) do
  local record, life = arg(), arg()
  if life == '' then
    call('SET', next_key(), record)
  else
    call('SET', next_key(), record, 'PX', life)
  end
end
for _ = 1, tonumber(arg()) do
  call('DEL', next_key())
end

-- Puts an item behind those of the same millisecond: their scores differ by thousandths.
local function add_in_order(list, item, place)
  local same = call('ZREVRANGEBYSCORE', list, '(' .. string.format('%.0f', place + 1), place,
    'WITHSCORES', 'LIMIT', 0, 1)[2]
  call('ZADD', list, 'NX', string.format('%.3f', same and same + 0.001 or place), item)
end

for _ = 1, tonumber(arg()) do
  local list, item, place, in_order, kept = next_key(), arg(), arg(), arg(), arg()
  if place == '' then
    call('ZREM', list, item)
  elseif in_order ~= '' then
    add_in_order(list, item, place)
  else
    call('ZADD', list, place, item)
  end
  if kept ~= '' then
    call('ZREMRANGEBYSCORE', list, '-inf', string.format('(%.0f', place - kept))
    call('PEXPIRE', list, kept)
  end
end

-- What is due is in its line. Of those that are behind the same only the first has a due time; the others wait in
-- the order in which they came, and are due since then when it is their turn. The lines are ordered by when the first of each is due.
local touched, now = {}, arg()
for _ = 1, tonumber(arg()) do
  local lines, due, order = next_key(), next_key(), next_key()
  local line, entry, at = arg(), arg(), arg()
  if order ~= due then
    if at == '' then
      call('ZREM', order, entry)
      local first = call('ZRANGE', order, 0, 0, 'WITHSCORES')
      if first[1] and call('ZSCORE', due, first[1]) == 'inf' then
        call('ZADD', due, math.min(now, first[2]), first[1])
      end
    else
      local last = call('ZRANGE', order, -1, -1, 'WITHSCORES')[2]
      call('ZADD', order, 'NX', math.max((last or 0) + 1, at), entry)
      if call('ZRANGE', order, 0, 0)[1] ~= entry then
        at = 'inf'
      end
    end
  end
  if at == '' then
    call('ZREM', due, entry)
  else
    call('ZADD', due, at, entry)
  end
  touched[due] = { lines, line }
end
for due, place in pairs(touched) do
  local first = call('ZRANGE', due, 0, 0, 'WITHSCORES')[2]
  if first then
    call('ZADD', place[1], first, place[2])
  else
    call('ZREM', place[1], place[2])
  end
end
return 1
