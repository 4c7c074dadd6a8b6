-- put_api_token, begin_session, touch_session: the two secrets of a session. Each carries the
-- user's epoch of the moment it was made; `end_sessions` moves the epoch on, and all die at once.
local what = arg()

local function epoch(user)
  return call('GET', base .. 'E' .. user) or '0'
end

-- The token or session of that suffix, while it is good.
local function good(suffix, now)
  local kept = hash(suffix)
  if kept and tonumber(now) < tonumber(kept.x) and kept.epoch == epoch(kept.user) then
    return kept
  end
  return nil
end

local function keep(suffix, user, client, expires_at)
  call('HSET', base .. suffix, 'user', user, 'client', client, 'x', expires_at,
    'epoch', epoch(user))
  forget_after(suffix, expires_at)
end

if what == 'put' then
  local token, user, client, expires_at = arg(), arg(), arg(), arg()
  keep('t' .. token, user, client, expires_at)
  return 1
end

local token, session, expires_at, now = arg(), arg(), arg(), arg()
local owner = good('s' .. session, now)
if what == 'begin' and not owner then
  owner = good('t' .. token, now)
  call('DEL', base .. 't' .. token)
end
if not owner then
  return false
end
keep('s' .. session, owner.user, owner.client, expires_at)
return { owner.user, owner.client }
