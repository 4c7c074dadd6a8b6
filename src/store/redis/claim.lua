-- claim_callback: an institution's answer. One answer of a window gets `yes` or `burnt`, and with it
-- the attempt's secrets, which are then forgotten.
local id, client, institution, browser, unbound = arg(), arg(), arg(), arg(), arg()
local now, retention, notices, settle_by = arg(), arg(), arg(), arg()

local attempt = hash('a' .. id)
local window = attempt and hash('w' .. attempt.w)
local member = window and hash('m' .. window.m)
if not member or member.client ~= client or member.institution ~= institution then
  return { 'unknown' }
end
-- Only Continue replaces an attempt, so under `single` and `interstitial` one that was not replaced
-- is the window's newest.
if window.s ~= '1' or tonumber(now) >= tonumber(window.d) or attempt.x then
  return { 'settled' }
end

local outcome
if holds(browser, id, attempt) then
  outcome = 'yes'
  call('HSET', base .. 'w' .. attempt.w, 's', '2', 'u', now, 'd', settle_by)
  call('ZADD', base .. 'dw', settle_by, attempt.w)
elseif unbound == 'ignore' then
  return { 'ignored' }
else
  outcome = 'burnt'
  finish(attempt.w, '46u', now, retention)
  tell(notices, now, window.m, attempt.w)
end
call('HDEL', base .. 'a' .. id, 'z')
return { outcome, subject(attempt.w, window), attempt.z }
