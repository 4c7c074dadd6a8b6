-- window: the user's window; the first reading of a finished one is remembered.
local user, guid, now = arg(), arg(), arg()

local window = hash('w' .. guid)
if not window or call('HGET', base .. 'm' .. window.m, 'user') ~= user then
  return false
end
if finished(window) then
  call('HSETNX', base .. 'w' .. guid, 'f', now)
end
return subject(guid, window)
