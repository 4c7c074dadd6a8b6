-- The first half of whatever gives a name that is unique within a client: create_user, and
-- update_user, create_member and update_member where there is a name. It is reserved in the client's
-- slot before what bears it is written in its partition.
--
-- A crash in between leaves a reservation that nobody bears. It counts as free, and the caller who
-- found nobody behind `dangling` takes it over, but not while its own second half may be under way:
-- that has 10 seconds by this clock, refused afterwards by the second half itself, and 5 more for
-- clocks that differ. The moment those 10 seconds end names the reservation: no other one of the
-- same bearer has it.
local index, name = arg(), list()[1]
local guid, dangling, listed_at = arg(), arg(), arg()

local now = server_now()
call('ZREMRANGEBYSCORE', base .. 'pending', '-inf', whole(now))
if name then
  local held = call('HGET', base .. index, name)
  if held and held ~= guid and (held ~= dangling or call('ZSCORE', base .. 'pending', held)) then
    return { 'taken', held }
  end
  call('HSET', base .. index, name, guid)
end
if listed_at ~= '' then
  add_in_order('users', tonumber(listed_at), guid)
end
local earlier = tonumber(call('ZSCORE', base .. 'pending', guid) or 0)
local ends = math.max(now + 15000, earlier + 1)
call('ZADD', base .. 'pending', whole(ends), guid)
return { 'reserved', whole(ends - 5000) }
