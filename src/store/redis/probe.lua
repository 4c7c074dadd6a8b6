-- Writes a key that nobody reads, and that is gone after a minute: whoever may do this may write.
call('SET', base .. 'probe', '1')
call('PEXPIRE', base .. 'probe', 60000)
return 1
