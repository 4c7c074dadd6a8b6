-- Reads records, and level by level what they lead to.
--
-- KEYS: where to begin. ARGV[1]: the base that every key has in front. ARGV[2] and on: for each level the
-- letters of the keys that are followed. The first line of a record ends with the keys that it leads to.

local base = ARGV[1]
local found, seen, names = {}, {}, {}
for i, key in ipairs(KEYS) do
  names[i] = string.sub(key, #base + 1)
end
for level = 2, #ARGV + 1 do
  local deeper = {}
  for _, name in ipairs(names) do
    local record = not seen[name] and redis.call('GET', base .. name)
    if not seen[name] then
      found[#found + 1] = name
      found[#found + 1] = record
      seen[name] = record or ''
    end
    local links = ARGV[level] and string.match(seen[name], '^%S+ %S+ ([^\n]*)\n')
    for link in string.gmatch(links or '', '%S+') do
      if string.find(ARGV[level], string.sub(link, 1, 1), 1, true) then
        deeper[#deeper + 1] = link
      end
    end
  end
  names = deeper
end
return found
