-- add_api_key, retire_api_key: a key is `digest created retired`, the last absent while it works.
local what, id, digest, now = arg(), arg(), arg(), arg()

local keys = hash('keys') or {}
local kept = keys[id]
local works = '^%S+ %S+$'
if what == 'retire' then
  if not kept or not string.find(kept, works) then
    return { 'no' }
  end
  call('HSET', base .. 'keys', id, kept .. ' ' .. now)
  return { 'retired' }
end

if kept then
  local is_same = string.sub(kept, 1, #digest + 1) == digest .. ' ' and string.find(kept, works)
  return { is_same and 'added' or 'taken' }
end
local active = 0
for _, key in pairs(keys) do
  if string.find(key, works) then
    active = active + 1
  end
end
if active >= 2 then
  return { 'too_many' }
end
call('HSET', base .. 'keys', id, digest .. ' ' .. now)
return { 'added' }
