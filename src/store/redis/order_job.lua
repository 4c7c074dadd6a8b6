-- order_job: a job of the member, due at once.
local user, guid, unfit = arg(), arg(), arg()
local job, request, payload = arg(), arg(), arg()
local now, notices = arg(), arg()

local member = living(guid)
if not member or member.user ~= user then
  return { 'no_such_member' }
end
-- The same order, sent again because its answer was lost.
if member.last_job == job then
  return { 'queued', guid, flat('m' .. guid) }
end
if member.job then
  return { 'under_way', guid, flat('m' .. guid) }
end
if string.find(unfit, ' ' .. member.status .. ' ', 1, true)
  or call('EXISTS', base .. 'g' .. guid) == 0 then
  return { 'unfit', guid, flat('m' .. guid) }
end

local key = base .. 'm' .. guid
queue_job(job, guid, member, request, now)
if payload ~= '' then
  call('HSET', key, 'payload', payload)
end
call('HINCRBY', key, 'revision', 1)
tell(notices, now, guid)
return { 'queued', guid, flat('m' .. guid) }
