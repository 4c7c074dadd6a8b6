-- mint_window: a new window in front of the member's earlier ones; the unfinished one is superseded.
local user, guid = arg(), arg()
local window, deadline, now, retention = arg(), arg(), arg(), arg()
local options = list()
local notices = arg()

local member = living(guid)
if not member or member.user ~= user then
  return false
end
local repeated = call('EXISTS', base .. 'w' .. window) == 1
if not repeated then
  local key = base .. 'w' .. window
  call('HSET', key, 'm', guid, 't', now, 'd', deadline, unpack(options))
  call('ZADD', base .. 'dw', deadline, window)
  call('HSET', base .. 'm' .. guid, 'window', window)
  call('HINCRBY', base .. 'm' .. guid, 'revision', 1)
  local before = member.window and hash('w' .. member.window)
  if before then
    call('HSET', key, 'p', member.window)
    if not finished(before) then
      finish(member.window, '46s', now, retention)
      tell(notices, now, guid, member.window)
    end
  end
end
return { guid, flat('m' .. guid) }
