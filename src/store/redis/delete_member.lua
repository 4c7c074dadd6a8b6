-- delete_member: the member goes with its grant and its unfinished job; its windows stay readable
-- through a hash that keeps only whose they are.
local user, guid, now, retention = arg(), arg(), arg(), arg()
local deleted, ended = arg(), arg()

local member = living(guid)
if not member or member.user ~= user then
  return false
end
local before = flat('m' .. guid)
local window = member.window and hash('w' .. member.window)
if window and not finished(window) then
  finish(member.window, '46d', now, retention)
  tell(ended, now, guid, member.window)
end
tell(deleted, now, guid)
if member.job then
  call('DEL', base .. 'j' .. member.job)
  call('ZREM', base .. 'dj', member.job)
end
call('DEL', base .. 'g' .. guid, base .. 'm' .. guid)
call('ZREM', base .. 'U' .. user, guid)

local key = base .. 'm' .. guid
call('HSET', key, 'gone', now, 'user', user, 'client', member.client,
  'institution', member.institution)
if member.window then
  call('HSET', key, 'window', member.window)
end
call('PEXPIRE', key, retention)
-- The index is scored with the server's clock, which is also the one that forgets.
local server = server_now()
call('ZREMRANGEBYSCORE', base .. 'D' .. user, '-inf', whole(server - tonumber(retention)))
call('ZADD', base .. 'D' .. user, whole(server), guid)
call('PEXPIRE', base .. 'D' .. user, retention)
return { guid, before }
