-- members: the user's members, oldest first.
local user = arg()

local found = {}
for _, member in ipairs(call('ZRANGE', base .. 'U' .. user, 0, -1)) do
  found[#found + 1] = { member, flat('m' .. member) }
end
return found
