-- answer_challenges: the answers to a job's questions; it is due again at once.
local user, guid, id, round = arg(), arg(), arg(), arg()
local answers, payload, challenged, resumed = arg(), arg(), arg(), arg()
local now, notices = arg(), arg()

local member = living(guid)
if not member or member.user ~= user then
  return { 'no_such_member' }
end
local job = hash('j' .. id)
if job and job.member == guid and call('GET', base .. 'q' .. id) == answers then
  return { 'yes', guid, flat('m' .. guid) }
end
if not job or member.job ~= id or job.status ~= 'CHALLENGED' or job.round ~= round
  or member.status ~= challenged then
  return { 'not_asked', guid, flat('m' .. guid) }
end

local key = base .. 'j' .. id
call('HSET', key, 'status', 'QUEUED', 'attempt', '0', 'due', now, 'updated', now)
call('HDEL', key, 'challenges')
call('SET', base .. 'q' .. id, answers)
call('ZADD', base .. 'dj', now, id)
become(guid, resumed)
if payload ~= '' then
  call('HSET', base .. 'm' .. guid, 'payload', payload)
end
call('HINCRBY', base .. 'm' .. guid, 'revision', 1)
tell(notices, now, guid)
return { 'yes', guid, flat('m' .. guid) }
