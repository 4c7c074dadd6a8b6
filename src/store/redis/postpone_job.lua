-- postpone_job: an unfinished job is due again later. Its status stays: the aggregator may have got
-- a push whose answer we did not.
local guid, due, now = arg(), arg(), arg()

if call('ZSCORE', base .. 'dj', guid) then
  call('HSET', base .. 'j' .. guid, 'due', due, 'updated', now)
  call('ZADD', base .. 'dj', due, guid)
end
return 1
