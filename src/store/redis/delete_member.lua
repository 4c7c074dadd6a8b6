-- delete_member: the member goes; what it was is kept for a while, unless it never was connected by
-- its OAuth.
local user, guid, pending = arg(), arg(), arg()
local now, retention, listed, kept = arg(), arg(), arg(), arg()
local deleted, ended = arg(), arg()

local member = living(guid)
if not member or member.user ~= user then
  return false
end
call('HINCRBY', base .. 'm' .. guid, 'revision', 1)
local last = flat('m' .. guid)
finish_newest(guid, member, '46d', now, retention, ended)
tell(deleted, now, guid)
remove(guid, member, now, retention, listed)
if not (member.oauth and member.status == pending) then
  local key = base .. 'x' .. guid
  call('HSET', key, 'deleted', now, unpack(last))
  call('PEXPIRE', key, kept)
end
return { guid, last }
