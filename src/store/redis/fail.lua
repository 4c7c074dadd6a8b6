-- fail_window: an unfinished window ends without success; its member stays as it is.
local guid, status, only_in, detail, inbound = arg(), arg(), arg(), list(), arg()
local now, retention, notices = arg(), arg(), arg()

local window = hash('w' .. guid)
if not window or finished(window) or call('EXISTS', base .. 'm' .. window.m) == 0 then
  return false
end
-- It went on since it was seen.
if only_in ~= '' and only_in ~= (window.s or '0') then
  return false
end
-- Opened since it was seen to be overdue, by a gateway whose clock is a little behind.
if string.find(status, 'e$') and tonumber(now) < tonumber(window.d) then
  return false
end
if detail[1] then
  call('HSET', base .. 'w' .. guid, 'e', detail[1])
end
if inbound ~= '' then
  call('HSET', base .. 'w' .. guid, 'i', inbound)
end
finish(guid, status, now, retention)
tell(notices, now, window.m, guid)
return subject(guid, window)
