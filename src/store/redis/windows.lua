-- windows: each member's windows, newest first, by the chain that its `window` begins. The caller
-- merges them.
local user, only, wanted, limit = arg(), arg(), arg(), tonumber(arg())

local function auth_status(window)
  if not finished(window) then
    return '1'
  end
  return window.s == '3' and '2' or '3'
end

local members
if only ~= '' then
  members = { only }
else
  members = call('ZREVRANGE', base .. 'U' .. user, 0, -1)
  for _, member in ipairs(call('ZREVRANGE', base .. 'D' .. user, 0, -1)) do
    members[#members + 1] = member
  end
end

local found = {}
for _, guid in ipairs(members) do
  local member = hash('m' .. guid)
  if member and member.user == user then
    local chain, count, walk = {}, 0, member.window
    while walk and count < limit do
      local window = hash('w' .. walk)
      if not window then
        break
      end
      local status = auth_status(window)
      if wanted == '' or wanted == status then
        chain[#chain + 1] = walk
        chain[#chain + 1] = flat('w' .. walk)
        count = count + 1
      end
      -- Only the newest window of a member can be unfinished.
      walk = wanted ~= '1' and window.p or nil
    end
    found[#found + 1] = { guid, flat('m' .. guid), chain }
  end
end
return found
