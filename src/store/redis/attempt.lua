-- attempt: an attempt's binding, whether it was replaced, its window and its member.
local id = arg()

local attempt = hash('a' .. id)
local window = attempt and hash('w' .. attempt.w)
if not window or call('EXISTS', base .. 'm' .. window.m) == 0 then
  return false
end
return { attempt.b, attempt.x or '', subject(attempt.w, window) }
