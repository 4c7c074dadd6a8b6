-- create_user, second half: the user itself, in its partition.
local user, reserved_until, fields = arg(), arg(), list()

if call('EXISTS', base .. 'u' .. user) == 1 then
  return { 'created' }
end
-- Past this moment another may have taken the name over (reserve.lua).
if server_now() >= tonumber(reserved_until) then
  return { 'late' }
end
call('HSET', base .. 'u' .. user, unpack(fields))
return { 'created' }
