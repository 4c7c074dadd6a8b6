-- lease: a job under way, with what its member's data is pulled with.
local guid = arg()

local job = hash('j' .. guid)
if not job then
  return { 'unknown' }
end
if job.status ~= 'PUSHED' and job.status ~= 'STARTED' then
  return { 'over' }
end
local member = living(job.member)
local means = call('GET', base .. 'g' .. job.member)
if not member or not means then
  return { 'unknown' }
end
return { 'granted', flat('j' .. guid), member.oauth and 'grant' or 'credentials', means,
  call('GET', base .. 'q' .. guid) }
