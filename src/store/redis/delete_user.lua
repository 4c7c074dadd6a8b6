-- delete_user, first half: the user with its sessions, SSO tokens and members. Windows stay readable
-- as those of deleted members do, and deleted members are purged.
local user, client = arg(), arg()
local now, retention, listed, epoch_life = arg(), arg(), arg(), arg()

local kept = hash('u' .. user)
if not kept or kept.client ~= client then
  return false
end
local before, externals = flat('u' .. user), {}
for _, guid in ipairs(call('ZRANGE', base .. 'D' .. user, 0, -1)) do
  call('DEL', base .. 'x' .. guid)
end
for _, guid in ipairs(call('ZRANGE', base .. 'U' .. user, 0, -1)) do
  local member = living(guid)
  if member then
    finish_newest(guid, member, '46d', now, retention, '')
    remove(guid, member, now, retention, listed)
    if member.external_guid then
      externals[#externals + 1] = member.external_guid
      externals[#externals + 1] = guid
    end
  end
end
call('INCR', base .. 'E' .. user)
call('PEXPIRE', base .. 'E' .. user, epoch_life)
call('DEL', base .. 'u' .. user)
return { before, externals }
