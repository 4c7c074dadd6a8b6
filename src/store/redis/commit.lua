-- commit_connected: the member is connected. Everything of it appears here, or nothing does.
local guid, inbound, prints = arg(), arg(), list()
local grant, job, request, payload = arg(), arg(), arg(), arg()
local connected, pending, replaced = arg(), arg(), arg()
local now, retention, listed = arg(), arg(), arg()
local deleted, updated, ended = arg(), arg(), arg()

local function done(receiving, freed)
  return { 'yes', { guid, flat('w' .. guid), receiving, flat('m' .. receiving) }, freed }
end

local window = hash('w' .. guid)
if not window then
  return { 'over' }
end
if window.s ~= '2' then
  -- The same commit, sent again because its answer was lost: its sealed grant is the member's.
  if window.s == '3' and living(window.i) and call('GET', base .. 'g' .. window.i) == grant then
    return done(window.i, {})
  end
  return { 'over' }
end
local outbound = living(window.m)
if not outbound then
  return { 'over' }
end

-- Who receives the grant: another member only where the login is known to be its own.
local receiving, member = window.m, outbound
local named = inbound ~= '' and living(inbound)
if named and named.user == outbound.user and named.institution == outbound.institution
  and contains(prints, named.print) then
  receiving, member = inbound, named
end
local known = member_of_login(member.user, member.institution, prints, receiving)
if known then
  return { 'duplicate', known }
end
-- A login of another origin, such as one known under a key that is gone, tells nothing.
if member.print and not contains(prints, member.print) then
  for _, print in ipairs(prints) do
    if string.sub(print, 1, ORIGIN) == string.sub(member.print, 1, ORIGIN) then
      return { 'other_login' }
    end
  end
end

local key = base .. 'm' .. receiving
call('SET', base .. 'g' .. receiving, grant)
become(receiving, connected)
know_by(receiving, prints)
if payload ~= '' then
  call('HSET', key, 'payload', payload)
end
call('HINCRBY', key, 'revision', 1)
-- What is under way pulls with the old grant: what becomes of it says nothing about the new one.
if member.job then
  finish_job(member.job, 'FAILED', replaced, now, retention)
  call('HDEL', key, 'job')
end
if job ~= '' then
  queue_job(job, receiving, member, request, now)
end
call('HSET', base .. 'w' .. guid, 'i', receiving)
finish(guid, '3', now, retention)
tell(updated, now, receiving, guid)
tell(ended, now, receiving, guid)
local freed = {}
if receiving ~= window.m and outbound.status == pending then
  call('HINCRBY', base .. 'm' .. window.m, 'revision', 1)
  tell(deleted, now, window.m)
  remove(window.m, outbound, now, retention, listed)
  freed = { outbound.external_guid }
end
return done(receiving, freed)
