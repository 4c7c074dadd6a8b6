-- begin_idempotent, finish_idempotent, release_idempotent: a request that may come twice. Until it
-- is answered it belongs to who began it: the request, and the moment that one's time is over.
local what, id, request, held_until = arg(), arg(), arg(), arg()
local suffix = 'i' .. id
local kept = hash(suffix)

if what == 'begin' then
  local now = tonumber(arg())
  if kept and now < tonumber(kept.x) then
    if kept.request ~= request then
      return { 'differs' }
    elseif kept.z then
      return { 'answered', kept.z }
    end
    return { 'under_way' }
  end
  call('DEL', base .. suffix)
  call('HSET', base .. suffix, 'request', request, 'held', held_until, 'x', held_until)
  forget_after(suffix, held_until)
  return { 'first' }
end

if kept and kept.request == request and kept.held == held_until and not kept.z then
  if what == 'finish' then
    local answer, expires_at = arg(), arg()
    call('HSET', base .. suffix, 'z', answer, 'x', expires_at)
    forget_after(suffix, expires_at)
  else
    call('DEL', base .. suffix)
  end
end
return { 'done' }
