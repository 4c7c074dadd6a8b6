-- update_user, second half where its `id` changes: the user itself. Its members name it as it is
-- named now.
local user, client, reserved_until, set, unset = arg(), arg(), arg(), list(), list()

local kept = hash('u' .. user)
if not kept or kept.client ~= client then
  return { 'no_such_user' }
end
-- As for a member's name (update_member.lua).
if reserved_until ~= '' and (server_now() >= tonumber(reserved_until)
  or tonumber(reserved_until) < tonumber(kept.named or '0')) then
  return { 'late' }
end

local key = base .. 'u' .. user
if #set > 0 then
  call('HSET', key, unpack(set))
end
if #unset > 0 then
  call('HDEL', key, unpack(unset))
end
if reserved_until ~= '' then
  call('HSET', key, 'named', reserved_until)
end
local id = call('HGET', key, 'id')
if id ~= (kept.id or false) then
  for _, guid in ipairs(call('ZRANGE', base .. 'U' .. user, 0, -1)) do
    if id then
      call('HSET', base .. 'm' .. guid, 'user_id', id)
    else
      call('HDEL', base .. 'm' .. guid, 'user_id')
    end
  end
end
return { 'updated', flat('u' .. user), { kept.id } }
