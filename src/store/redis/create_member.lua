-- create_member: the member, its first window or its credentials and first job, and the events of
-- its creation.
local guid, reserved_until = arg(), arg()
local fields, prints = list(), list()
local credentials, job, request = arg(), arg(), arg()
local window, deadline, now = arg(), arg(), arg()
local options = list()
local notices = arg()

if call('EXISTS', base .. 'm' .. guid) == 1 then
  return { 'created' }
end
-- Past this moment another may have taken the name over (reserve.lua).
if reserved_until ~= '' and server_now() >= tonumber(reserved_until) then
  return { 'late' }
end
local member = by_name(fields)
if call('HGET', base .. 'u' .. member.user, 'client') ~= member.client then
  return { 'no_user' }
end
local known = member_of_login(member.user, member.institution, prints)
if known then
  return { 'duplicate', known }
end

call('HSET', base .. 'm' .. guid, unpack(fields))
add_in_order('U' .. member.user, tonumber(member.created), guid)
if credentials ~= '' then
  call('SET', base .. 'g' .. guid, credentials)
end
if job ~= '' then
  queue_job(job, guid, member, request, now)
end
if window ~= '' then
  call('HSET', base .. 'w' .. window, 'm', guid, 't', now, 'd', deadline, unpack(options))
  call('ZADD', base .. 'dw', deadline, window)
end
-- A deleted member whose name or login it takes is purged.
local former = {}
if member.external_guid or #prints > 0 then
  former = call('ZRANGE', base .. 'D' .. member.user, 0, -1)
end
for _, deleted in ipairs(former) do
  local key = base .. 'x' .. deleted
  local was = call('HMGET', key, 'external_guid', 'institution', 'print')
  local had_its_name = was[1] and was[1] == member.external_guid
  local had_its_login = was[2] == member.institution and contains(prints, was[3])
  if had_its_name or had_its_login then
    call('DEL', key)
  end
end
tell(notices, now, guid)
return { 'created' }
