-- reserve_jobs: takes due jobs of this partition, the longest due first.
local now, hold_until, limit = arg(), arg(), arg()

local taken = {}
for _, guid in ipairs(call('ZRANGEBYSCORE', base .. 'dj', '-inf', now, 'LIMIT', 0, limit)) do
  local key = base .. 'j' .. guid
  local status = call('HGET', key, 'status')
  if status then
    if status ~= 'STARTED' and status ~= 'CHALLENGED' then
      status = 'PUSHED'
    end
    call('HSET', key, 'status', status, 'due', hold_until, 'updated', now)
    call('HINCRBY', key, 'attempt', 1)
    call('ZADD', base .. 'dj', hold_until, guid)
    taken[#taken + 1] = { guid, flat('j' .. guid) }
  else
    call('ZREM', base .. 'dj', guid)
  end
end
return taken
