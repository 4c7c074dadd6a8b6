-- overdue_windows: unfinished windows of this partition whose deadline has passed.
local now, limit = arg(), arg()

local found = {}
for _, guid in ipairs(call('ZRANGEBYSCORE', base .. 'dw', '-inf', now, 'LIMIT', 0, limit)) do
  local window = hash('w' .. guid)
  if window and call('EXISTS', base .. 'm' .. window.m) == 1 then
    found[#found + 1] = subject(guid, window)
  else
    call('ZREM', base .. 'dw', guid)
  end
end
return found
