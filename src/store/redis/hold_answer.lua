-- hold_answer: keeps an answer that came by POST, for the GET that follows it.
local id, handle, sealed, expires_at, most = arg(), arg(), arg(), arg(), tonumber(arg())

if call('HEXISTS', base .. 'a' .. id, 'z') == 0 then
  return 0
end
if call('HINCRBY', base .. 'a' .. id, 'h', 1) > most then
  return 0
end
call('HSET', base .. 'h' .. handle, 'z', sealed, 'x', expires_at)
forget_after('h' .. handle, expires_at)
return 1
