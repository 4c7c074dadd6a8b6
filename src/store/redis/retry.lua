-- retry_window: "Try again". A new window with the failed one's options, claimed at once.
local failed, browser = arg(), arg()
local guid, id, binding, sealed, deadline, ttl = arg(), arg(), arg(), arg(), arg(), arg()
local now, most_retries, grace = arg(), tonumber(arg()), tonumber(arg())

local attempt = hash('a' .. failed)
local window = attempt and hash('w' .. attempt.w)
if not window or not holds(browser, failed, attempt) then
  return { 'refused' }
end

-- The same retry, sent again because its answer was lost.
local repeated = hash('w' .. guid)
if repeated then
  if repeated.p == attempt.w and repeated.a == id and living(repeated.m) then
    return { 'claimed', subject(guid, repeated) }
  end
  return { 'over' }
end

local expired = string.find(window.s or '', '^4%de$')
if not window.z or not (expired or string.find(window.s or '', '^4%df$')) then
  return { 'refused' }
end
local ends = tonumber(window.z)
if expired then
  ends = tonumber(window.d) + grace
end
local member = living(window.m)
local retries = tonumber(window.y or '0')
if not member or member.window ~= attempt.w or retries >= most_retries
  or tonumber(now) >= ends then
  return { 'over' }
end

local key = base .. 'w' .. guid
call('HSET', key, 'm', window.m, 't', now, 'd', deadline, 'p', attempt.w, 's', '1', 'a', id,
  'y', whole(retries + 1), 'z', expired and deadline or window.z)
for _, option in ipairs({ 'o', 'r', 'l', 'w' }) do
  if window[option] then
    call('HSET', key, option, window[option])
  end
end
if policy(window) == 'multi' then
  call('HSET', key, 'n', '1')
end
call('ZADD', base .. 'dw', deadline, guid)
keep_attempt(id, guid, nil, binding, sealed, ttl)
call('HSET', base .. 'm' .. window.m, 'window', guid)
call('HINCRBY', base .. 'm' .. window.m, 'revision', 1)
return { 'claimed', subject(guid, { m = window.m }) }
