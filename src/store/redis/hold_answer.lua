-- hold_answer: keeps an answer that came by POST, for the GET that follows it.
local id, handle, sealed, expires_at = arg(), arg(), arg(), arg()

if call('EXISTS', base .. 'a' .. id) == 0 then
  return 0
end
call('HSET', base .. 'h' .. handle, 'z', sealed, 'x', expires_at)
forget_after('h' .. handle, expires_at)
return 1
