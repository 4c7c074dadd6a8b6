-- open_window: a browser follows a link. Exactly one of any number gets through, unless the window
-- may be opened more than once.
local guid, member, knock, browser = arg(), arg(), arg(), arg()
local id, binding, sealed, deadline, ttl = arg(), arg(), arg(), arg(), arg()
local now, most_opens = arg(), tonumber(arg())

local window = hash('w' .. guid)
if not window or window.m ~= member or call('EXISTS', base .. 'm' .. member) == 0 then
  return { 'unknown' }
end

if finished(window) or tonumber(now) >= tonumber(window.d) then
  local own, walk = '', window.a
  for _ = 1, FARTHEST do
    local attempt = walk and hash('a' .. walk)
    if not attempt then
      break
    end
    if holds(browser, walk, attempt) then
      own = walk
      break
    end
    walk = attempt.p
  end
  return { 'over', subject(guid, window), own }
end

-- The same opening, sent again because its answer was lost.
local repeated = hash('a' .. id)
if repeated then
  return { repeated.w == guid and 'claimed' or 'taken', subject(guid, window) }
end

local newest = window.a and hash('a' .. window.a)
local is_own = newest and holds(browser, window.a, newest)
local status = window.s or '0'
local how = policy(window)
local key = base .. 'w' .. guid

local function claim()
  keep_attempt(id, guid, window.a, binding, sealed, ttl)
  call('HSET', key, 's', '1', 'u', now, 'a', id)
  return { 'claimed', subject(guid, window) }
end

local function claim_with_new_deadline()
  if window.w then
    deadline = whole(tonumber(now) + tonumber(window.w) * 60000)
  end
  -- A link for several opens lives as long as it was minted for; the first may be a machine's.
  local leg_ends = deadline
  if how == 'multi' and tonumber(window.d) > tonumber(deadline) then
    deadline = window.d
  end
  call('HSET', key, 'd', deadline)
  if not window.z then
    call('HSET', key, 'z', leg_ends)
  end
  if how == 'multi' then
    call('HINCRBY', key, 'n', 1)
  end
  call('ZADD', base .. 'dw', deadline, guid)
  return claim()
end

if knock == 'continue' then
  if is_own and status == '1' then
    call('HSET', base .. 'a' .. window.a, 'x', '1')
    call('HDEL', base .. 'a' .. window.a, 'z')
    return claim()
  end
elseif status == '0' and how == 'interstitial' and (knock == 'navigate' or knock == 'look') then
  return { 'ask_first', subject(guid, window) }
elseif knock == 'look' then
  return { is_own and 'resumable' or 'taken', subject(guid, window) }
elseif status == '0' then
  return claim_with_new_deadline()
elseif status == '1' and how == 'multi' and tonumber(window.n or '0') < most_opens then
  return claim_with_new_deadline()
end
return { is_own and 'resumable' or 'taken', subject(guid, window) }
