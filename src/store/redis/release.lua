-- Gives back what a reservation left behind: a deleted member's external_guid, or the listing of
-- users that were never written.
local index, name, guids = arg(), list()[1], list()

local now = server_now()
for _, guid in ipairs(guids) do
  local pending = call('ZSCORE', base .. 'pending', guid)
  if name then
    if call('HGET', base .. index, name) == guid then
      call('HDEL', base .. index, name)
    end
  elseif not pending or tonumber(pending) <= now then
    call('ZREM', base .. index, guid)
  end
end
return 1
