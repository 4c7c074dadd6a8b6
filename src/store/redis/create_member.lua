-- create_member: the member, its first window and the events of its creation.
local member, user, created = arg(), arg(), arg()
local reserved_until = arg()
local fields = list()
local window, deadline, now = arg(), arg(), arg()
local options = list()
local notices = arg()

if call('EXISTS', base .. 'm' .. member) == 1 then
  return { 'created' }
end
-- Past this moment another may have taken the name over (reserve.lua).
if reserved_until ~= '' and server_now() >= tonumber(reserved_until) then
  return { 'late' }
end
call('HSET', base .. 'm' .. member, unpack(fields))
add_in_order('U' .. user, tonumber(created), member)
if window ~= '' then
  call('HSET', base .. 'w' .. window, 'm', member, 't', now, 'd', deadline, unpack(options))
  call('ZADD', base .. 'dw', deadline, window)
end
tell(notices, now, member)
return { 'created' }
