-- record_report: what the aggregator says of a job, and what follows for its member.
local guid, report, failure, challenges = arg(), arg(), arg(), arg()
local pulled = { arg(), arg() }
local due, at_first, later = arg(), arg(), arg()
local is_refusal, most_refusals, prevented = arg(), tonumber(arg()), arg()
local now, retention = arg(), arg()
local notices, status_notices = arg(), arg()

local job = hash('j' .. guid)
if not job then
  return { 'unknown' }
end
if job.status == 'SUCCEEDED' or job.status == 'FAILED' then
  return { 'over', guid, flat('j' .. guid) }
end
-- Answered, or asked no more, before the news that nobody answers.
if failure == 'unanswered' and job.status ~= 'CHALLENGED' then
  return { 'over', guid, flat('j' .. guid) }
end

-- It was asked, answered, and not pushed since: this is what was reported before, sent again.
local is_old = job.status == 'QUEUED' and job.round
if is_old and (report == 'STARTED' or report == 'CHALLENGED') then
  return { 'yes', guid, flat('j' .. guid) }
end

local key = base .. 'j' .. guid
if report == 'STARTED' then
  -- News of the start that comes after a question does not take it back.
  if job.status ~= 'CHALLENGED' then
    call('HSET', key, 'status', report)
  end
  call('HSET', key, 'due', due, 'updated', now)
  call('ZADD', base .. 'dj', due, guid)
  return { 'yes', guid, flat('j' .. guid) }
elseif report == 'CHALLENGED' then
  -- Every report draws new guids: these questions are the same report, sent again.
  if job.challenges == challenges then
    return { 'yes', guid, flat('j' .. guid) }
  end
  call('HSET', key, 'status', report, 'challenges', challenges, 'due', due, 'updated', now)
  call('HINCRBY', key, 'round', 1)
  call('DEL', base .. 'q' .. guid)
  call('ZADD', base .. 'dj', due, guid)
else
  finish_job(guid, report, failure, now, retention)
end

local member = living(job.member)
if member then
  local member_key = base .. 'm' .. job.member
  local status = member.aggregated_ok and later or at_first
  if is_refusal == '1' then
    local refusals = math.min(tonumber(member.refusals or '0') + 1, 255)
    call('HSET', member_key, 'refusals', whole(refusals))
    if refusals >= most_refusals and not member.oauth then
      status = prevented
    end
  end
  if report ~= 'CHALLENGED' then
    call('HSET', member_key, 'aggregated', now)
    if member.job == guid then
      call('HDEL', member_key, 'job')
    end
  end
  if report == 'SUCCEEDED' then
    call('HSET', member_key, 'aggregated_ok', now)
    call('HDEL', member_key, 'refusals')
  end
  -- A member is never left waiting for a job that has ended.
  local function awaits(it)
    return report ~= 'CHALLENGED' and string.find(WAITING, ' ' .. it .. ' ', 1, true)
  end
  if status ~= '' and not awaits(status) then
    status = become(job.member, status)
  else
    status = member.status
  end
  if awaits(status) then
    status = become(job.member, FAILED)
  end
  call('HINCRBY', member_key, 'revision', 1)
  tell(notices, now, job.member, nil, guid, pulled)
  if status ~= member.status then
    tell(status_notices, now, job.member)
  end
end
return { 'yes', guid, flat('j' .. guid) }
