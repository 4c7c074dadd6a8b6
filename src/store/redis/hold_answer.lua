-- hold_answer: keeps an answer that came by POST, for the GET that follows it. The attempt lists the
-- handles of those it has, the oldest first, in its field `h`.
local id, handle, sealed, expires_at, most = arg(), arg(), arg(), arg(), tonumber(arg())
local attempt = base .. 'a' .. id

if call('HEXISTS', attempt, 'z') == 0 then
  return 0
end
local held = {}
for known in string.gmatch(call('HGET', attempt, 'h') or '', '%S+') do
  if known ~= handle then
    held[#held + 1] = known
  end
end
while #held >= most do
  call('DEL', base .. 'h' .. table.remove(held, 1))
end
held[#held + 1] = handle
call('HSET', attempt, 'h', table.concat(held, ' '))
call('HSET', base .. 'h' .. handle, 'z', sealed, 'x', expires_at)
forget_after('h' .. handle, expires_at)
return 1
