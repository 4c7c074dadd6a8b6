-- The first half of create_user and, where it has an external_guid, of create_member: reserves the
-- name in the client's slot before what bears it is written in its partition.
--
-- A crash in between leaves a reservation that nobody bears. It counts as free, and the caller who
-- found nobody behind `dangling` takes it over, but not while its own second half may be under way:
-- that has 10 seconds by this clock, refused afterwards by the second half itself, and 5 more for
-- clocks that differ.
local index, name = arg(), list()[1]
local guid, dangling, listed_at = arg(), arg(), arg()

local now = server_now()
call('ZREMRANGEBYSCORE', base .. 'pending', '-inf', whole(now))
if name then
  local held = call('HGET', base .. index, name)
  if held and held ~= guid then
    if held ~= dangling or call('ZSCORE', base .. 'pending', held) then
      return { 'taken', held }
    end
    call('ZREM', base .. 'users', held)
  end
  call('HSET', base .. index, name, guid)
end
if listed_at ~= '' then
  add_in_order('users', tonumber(listed_at), guid)
end
call('ZADD', base .. 'pending', whole(now + 15000), guid)
return { 'reserved', whole(now + 10000) }
