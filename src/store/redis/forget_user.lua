-- delete_user, second half: the client's slot forgets the user, its `id` and the external_guids of
-- its members. Whoever they name is gone for good.
local user, ids, externals = arg(), list(), list()

call('ZREM', base .. 'users', user)
call('ZREM', base .. 'pending', user)
if ids[1] and call('HGET', base .. 'ids', ids[1]) == user then
  call('HDEL', base .. 'ids', ids[1])
end
for name, member in pairs(by_name(externals)) do
  if call('HGET', base .. 'externals', name) == member then
    call('HDEL', base .. 'externals', name)
  end
end
return 1
