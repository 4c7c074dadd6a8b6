-- update_member: what the client says of its member, or new credentials.
local user, guid, reserved_until = arg(), arg(), arg()
local set, unset, prints = list(), list(), list()
local credentials, updated_status, job, request = arg(), arg(), arg(), arg()
local replaced, now, retention, notices = arg(), arg(), arg(), arg()

local member = living(guid)
if not member or member.user ~= user then
  return { 'no_such_member' }
end
-- Past this moment another may have taken the name over (reserve.lua); and a later change of the
-- name must not be undone by an earlier one, whose names may have been given back.
if reserved_until ~= '' and (server_now() >= tonumber(reserved_until)
  or tonumber(reserved_until) < tonumber(member.named or '0')) then
  return { 'late' }
end
local known = member_of_login(user, member.institution, prints, guid)
if known then
  return { 'duplicate', known, { member.external_guid } }
end

-- An update that changes nothing creates no revision and no event, so the step may be sent again. Sealed
-- credentials always differ.
local is_new_login = credentials ~= '' and call('GET', base .. 'g' .. guid) ~= credentials
local changes = is_new_login
for name, value in pairs(by_name(set)) do
  changes = changes or member[name] ~= value
end
for _, name in ipairs(unset) do
  changes = changes or member[name] ~= nil
end
if not changes then
  return { 'updated', guid, flat('m' .. guid), {} }
end

local key = base .. 'm' .. guid
if #set > 0 then
  call('HSET', key, unpack(set))
end
if #unset > 0 then
  call('HDEL', key, unpack(unset))
end
if reserved_until ~= '' then
  call('HSET', key, 'named', reserved_until)
end
if is_new_login then
  call('SET', base .. 'g' .. guid, credentials)
  know_by(guid, prints)
  call('HDEL', key, 'refusals')
  become(guid, updated_status)
  if member.job then
    finish_job(member.job, 'FAILED', replaced, now, retention)
    call('HDEL', key, 'job')
  end
  if job ~= '' then
    queue_job(job, guid, member, request, now)
  end
end
call('HINCRBY', key, 'revision', 1)
tell(notices, now, guid)
return { 'updated', guid, flat('m' .. guid), { member.external_guid } }
