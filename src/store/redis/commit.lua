-- commit_connected: the member is connected. Everything of it appears here, or nothing does.
local guid, grant, job = arg(), arg(), arg()
local now, retention = arg(), arg()
local updated, ended = arg(), arg()

local window = hash('w' .. guid)
local member = window and living(window.m)
if not member then
  return false
end
if window.s ~= '2' then
  -- The same commit, sent again because its answer was lost: its sealed grant is the member's.
  if window.s == '3' and call('GET', base .. 'g' .. window.m) == grant then
    return subject(guid, window)
  end
  return false
end

local key = base .. 'm' .. window.m
call('SET', base .. 'g' .. window.m, grant)
call('HSET', key, 'status', '6')
call('HINCRBY', key, 'revision', 1)
if job ~= '' and not member.job then
  call('HSET', base .. 'j' .. job, 'member', window.m, 'user', member.user,
    'client', member.client, 'institution', member.institution, 'status', 'QUEUED',
    'attempt', '0', 'due', now, 'created', now, 'updated', now)
  call('ZADD', base .. 'dj', now, job)
  call('HSET', key, 'job', job, 'last_job', job)
end
call('HSET', base .. 'w' .. guid, 'i', window.m)
finish(guid, '3', now, retention)
tell(updated, now, window.m, guid)
tell(ended, now, window.m, guid)
return subject(guid, window)
