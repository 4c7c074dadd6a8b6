-- finish_event, postpone_event, bury_event: what becomes of an event after a try.
local guid, what, at, retention = arg(), arg(), arg(), arg()

if what == 'finish' then
  call('DEL', base .. 'e' .. guid)
  call('ZREM', base .. 'de', guid)
elseif call('ZSCORE', base .. 'de', guid) then
  if what == 'postpone' then
    call('ZADD', base .. 'de', at, guid)
  else
    call('ZREM', base .. 'de', guid)
    call('HSET', base .. 'e' .. guid, 'dead', at)
    call('PEXPIRE', base .. 'e' .. guid, retention)
  end
end
return 1
