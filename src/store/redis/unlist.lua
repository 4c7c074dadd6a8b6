-- Takes users off the client's list who were listed and never written.
local now = server_now()
for _, guid in ipairs(list()) do
  local pending = call('ZSCORE', base .. 'pending', guid)
  if not pending or tonumber(pending) <= now then
    call('ZREM', base .. 'users', guid)
  end
end
return 1
