-- What every step shares. Each script is the domain's table of legal transitions (call.rs), this
-- file, and its own.
--
-- KEYS[1] is the base of a partition or a client (keys.rs); every key a step touches is that base
-- and a suffix, so all of them are in one slot. Times are whole milliseconds and travel as text;
-- they stay far below 2^53, where Lua's numbers stop being exact.
--
-- A script decides before its first write. What can stop a write (no memory, a full disk, a
-- replica) stops a script's first one, so a step happens as a whole or not at all; the append-only
-- file keeps it as one transaction.

local base = KEYS[1]
local position = 0

-- The next argument.
local function arg()
  position = position + 1
  return ARGV[position]
end

-- The next arguments, led by how many there are.
local function list()
  local items = {}
  for i = 1, tonumber(arg()) do
    items[i] = arg()
  end
  return items
end

local function call(...)
  return redis.call(...)
end

local function contains(items, wanted)
  for _, item in ipairs(items) do
    if item == wanted then
      return true
    end
  end
  return false
end

-- Names and values in turn, as a table.
local function by_name(flat)
  local fields = {}
  for i = 1, #flat, 2 do
    fields[flat[i]] = flat[i + 1]
  end
  return fields
end

local function flat(suffix)
  return call('HGETALL', base .. suffix)
end

-- The fields of a hash, or nil when there is none.
local function hash(suffix)
  local found = flat(suffix)
  if #found == 0 then
    return nil
  end
  return by_name(found)
end

-- The server's clock. Only reservations and forgetting go by it; every decision about a flow goes
-- by the caller's `now`.
local function server_now()
  local time = call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function whole(number)
  return string.format('%.0f', number)
end

-- Lets a key be forgotten a day after `expires_at`: readers compare with their own clocks.
local function forget_after(suffix, expires_at)
  local left = math.max(tonumber(expires_at) - server_now(), 0)
  call('PEXPIRE', base .. suffix, whole(left + 86400000))
end

-- A member that was not deleted. A deleted one leaves a hash with `gone` for its windows.
local function living(guid)
  local member = hash('m' .. guid)
  if member and not member.gone then
    return member
  end
  return nil
end

-- Another living member of the user, at the institution, whose login one of the fingerprints is.
local function member_of_login(user, institution, prints, except)
  if #prints == 0 then
    return nil
  end
  for _, guid in ipairs(call('ZRANGE', base .. 'U' .. user, 0, -1)) do
    local known = call('HMGET', base .. 'm' .. guid, 'institution', 'print')
    if guid ~= except and known[1] == institution and contains(prints, known[2]) then
      return guid
    end
  end
  return nil
end

-- The member's login is known by the first of these fingerprints, or not known.
local function know_by(guid, prints)
  local key = base .. 'm' .. guid
  if prints[1] then
    call('HSET', key, 'print', prints[1])
  else
    call('HDEL', key, 'print')
  end
end

-- The one way the status of a member changes. LEGAL is ` from>to from>to … `; a status that may not
-- follow the member's own is not written. Gives the status it has now.
local function become(guid, to)
  local key = base .. 'm' .. guid
  local from = call('HGET', key, 'status')
  if from == to or not string.find(LEGAL, ' ' .. from .. '>' .. to .. ' ', 1, true) then
    return from
  end
  call('HSET', key, 'status', to)
  return to
end

-- Keeps a job of the member, due at once, and makes it the member's.
local function queue_job(guid, of, member, request, now)
  local key = base .. 'j' .. guid
  call('HSET', key, 'member', of, 'user', member.user, 'client', member.client,
    'institution', member.institution, 'status', 'QUEUED', 'attempt', '0',
    'due', now, 'created', now, 'updated', now)
  if request ~= '' then
    call('HSET', key, 'request', request)
  end
  call('ZADD', base .. 'dj', now, guid)
  call('HSET', base .. 'm' .. of, 'job', guid, 'last_job', guid)
end

-- Ends a job: what it asked and was answered is forgotten at once, the rest when the retention is
-- over.
local function finish_job(guid, status, failure, now, retention)
  local key = base .. 'j' .. guid
  call('HSET', key, 'status', status, 'updated', now)
  if failure ~= '' then
    call('HSET', key, 'failure', failure)
  end
  call('HDEL', key, 'challenges')
  call('DEL', base .. 'q' .. guid)
  call('ZREM', base .. 'dj', guid)
  call('PEXPIRE', key, retention)
end

-- Forgets an unfinished job.
local function drop_job(guid)
  call('DEL', base .. 'j' .. guid, base .. 'q' .. guid)
  call('ZREM', base .. 'dj', guid)
end

local function finished(window)
  local first = string.sub(window.s or '0', 1, 1)
  return first == '3' or first == '4'
end

local function policy(window)
  local options = window.o or ''
  if string.find(options, 'm', 1, true) then
    return 'multi'
  elseif string.find(options, 'i', 1, true) then
    return 'interstitial'
  end
  return 'single'
end

-- A window and its member, as replies carry them.
local function subject(guid, window)
  return { guid, flat('w' .. guid), window.m, flat('m' .. window.m) }
end

-- How far back a window's attempts are looked at. Under `multi` five opens make attempts; beyond
-- that it takes a person's Continue each time.
local FARTHEST = 32

-- Ends a window with its last status; it is forgotten when the retention is over. The secrets of its
-- attempts go at once: none of them can be claimed any more.
local function finish(guid, status, now, retention)
  call('HSET', base .. 'w' .. guid, 's', status, 'u', now)
  call('ZREM', base .. 'dw', guid)
  call('PEXPIRE', base .. 'w' .. guid, retention)
  local walk = call('HGET', base .. 'w' .. guid, 'a')
  for _ = 1, FARTHEST do
    if not walk then
      break
    end
    call('HDEL', base .. 'a' .. walk, 'z')
    walk = call('HGET', base .. 'a' .. walk, 'p')
  end
end

-- Keeps the events of a change. `notices` is `guid:kind guid:kind …`; an event shows the member,
-- and the window or the job its kind is about, as they are when this is called.
local function tell(notices, now, member, window, job, pulled)
  for guid, kind in string.gmatch(notices, '(%S+):(%S+)') do
    local key = base .. 'e' .. guid
    call('HSET', key, 'kind', kind, 'at', now, 'tries', '0',
      'member_guid', member, 'member', cjson.encode(flat('m' .. member)))
    if window and kind == 'oauth_state.finished' then
      call('HSET', key, 'window_guid', window, 'window', cjson.encode(flat('w' .. window)))
    end
    if job and kind == 'aggregation.finished' then
      call('HSET', key, 'job', job, 'created', pulled[1], 'updated', pulled[2])
    end
    call('ZADD', base .. 'de', now, guid)
  end
end

-- Ends the member's unfinished window, if there is one, and tells of it.
local function finish_newest(of, member, status, now, retention, notices)
  local window = member.window and hash('w' .. member.window)
  if window and not finished(window) then
    finish(member.window, status, now, retention)
    tell(notices, now, of, member.window)
  end
end

-- A member goes, with its means and its unfinished job. Its windows stay readable through a hash
-- that keeps only whose they are, for the retention; the user's index of deleted members keeps it
-- for `listed`, which is not less.
local function remove(guid, member, now, retention, listed)
  if member.job then
    drop_job(member.job)
  end
  local key = base .. 'm' .. guid
  call('DEL', base .. 'g' .. guid, key)
  call('ZREM', base .. 'U' .. member.user, guid)
  call('HSET', key, 'gone', now, 'user', member.user, 'client', member.client,
    'institution', member.institution)
  if member.window then
    call('HSET', key, 'window', member.window)
  end
  call('PEXPIRE', key, retention)
  -- The index is scored with the server's clock, which is also the one that forgets.
  local index, server = base .. 'D' .. member.user, server_now()
  call('ZREMRANGEBYSCORE', index, '-inf', whole(server - tonumber(listed)))
  call('ZADD', index, whole(server), guid)
  call('PEXPIRE', index, listed)
end

-- Puts something into an index ordered by creation, behind what was created in the same millisecond:
-- scores of one millisecond differ in thousandths.
local function add_in_order(suffix, created, guid)
  local key = base .. suffix
  if call('ZSCORE', key, guid) then
    return
  end
  local same = call('ZREVRANGEBYSCORE', key, '(' .. whole(created + 1), whole(created),
    'WITHSCORES', 'LIMIT', 0, 1)
  local score = created
  if same[2] then
    score = tonumber(same[2]) + 0.001
  end
  call('ZADD', key, string.format('%.3f', score), guid)
end

-- Whether one of the browser's bindings is this attempt's. What is compared are digests of random
-- secrets: how long it takes tells nothing about a secret.
local function holds(browser, id, attempt)
  local binding = string.sub(id, 1, 12) .. attempt.b
  return string.find(browser, binding, 1, true) ~= nil
end

-- Keeps an attempt in front of the window's earlier ones.
local function keep_attempt(id, window, previous, binding, sealed, ttl)
  local key = base .. 'a' .. id
  call('HSET', key, 'w', window, 'b', binding, 'z', sealed)
  if previous then
    call('HSET', key, 'p', previous)
  end
  call('PEXPIRE', key, ttl)
end
