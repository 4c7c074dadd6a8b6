-- lease_grant: an unfinished job with its member's sealed grant.
local guid = arg()

local job = hash('j' .. guid)
if not job then
  return { 'unknown' }
end
if job.status ~= 'PUSHED' and job.status ~= 'STARTED' then
  return { 'over' }
end
local grant = call('GET', base .. 'g' .. job.member)
if not grant then
  return { 'unknown' }
end
return { 'granted', guid, flat('j' .. guid), grant }
