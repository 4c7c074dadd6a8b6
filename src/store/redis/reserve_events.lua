-- reserve_events: takes due events of this partition, the longest due first.
local now, hold_until, limit = arg(), arg(), arg()

local taken = {}
for _, guid in ipairs(call('ZRANGEBYSCORE', base .. 'de', '-inf', now, 'LIMIT', 0, limit)) do
  if call('EXISTS', base .. 'e' .. guid) == 1 then
    call('HINCRBY', base .. 'e' .. guid, 'tries', 1)
    call('ZADD', base .. 'de', hold_until, guid)
    taken[#taken + 1] = { guid, flat('e' .. guid) }
  else
    call('ZREM', base .. 'de', guid)
  end
end
return taken
