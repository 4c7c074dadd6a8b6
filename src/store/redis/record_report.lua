-- record_report: what the aggregator says of a job, and what follows for its member.
local guid, report = arg(), arg()
local pulled = { arg(), arg() }
local due, status_at_first, status_later = arg(), arg(), arg()
local now, retention = arg(), arg()
local notices, status_notices = arg(), arg()

local job = hash('j' .. guid)
if not job then
  return { 'unknown' }
end
if job.status == 'SUCCEEDED' or job.status == 'FAILED' then
  return { 'over', guid, flat('j' .. guid) }
end

local key = base .. 'j' .. guid
call('HSET', key, 'status', report, 'updated', now)
if report == 'STARTED' then
  call('HSET', key, 'due', due)
  call('ZADD', base .. 'dj', due, guid)
  return { 'yes', guid, flat('j' .. guid) }
end

call('ZREM', base .. 'dj', guid)
call('PEXPIRE', key, retention)
local member = living(job.member)
if member then
  local member_key = base .. 'm' .. job.member
  local status = member.status
  call('HSET', member_key, 'aggregated', now)
  if report == 'SUCCEEDED' then
    call('HSET', member_key, 'aggregated_ok', now)
  else
    local said = member.aggregated_ok and status_later or status_at_first
    status = said ~= '' and said or status
  end
  call('HSET', member_key, 'status', status)
  if member.job == guid then
    call('HDEL', member_key, 'job')
  end
  call('HINCRBY', member_key, 'revision', 1)
  tell(notices, now, job.member, nil, guid, pulled)
  if status ~= member.status then
    tell(status_notices, now, job.member)
  end
end
return { 'yes', guid, flat('j' .. guid) }
