-- Gives back a name that its holder does not bear any more, or will not. Where the holder lives on,
-- only the newest of its reservations may do so: an older one cannot know what became of the name.
local index, name, guid, reserved_until = arg(), arg(), arg(), arg()

local pending = call('ZSCORE', base .. 'pending', guid)
local is_newest = pending and reserved_until ~= ''
  and tonumber(pending) == tonumber(reserved_until) + 5000
if call('HGET', base .. index, name) == guid and (reserved_until == '' or is_newest) then
  call('HDEL', base .. index, name)
end
return 1
