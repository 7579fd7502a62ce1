-- State: what a running task is shown as ("STARTED"), stored while its lease is ours and it was never done before.
--
-- KEYS  1 leases  2 key of the result  3 key of the record
-- ARGV  1 tag  2 fence  3 state  4 its life in s (0: for ever)
-- Returns 1 if it was stored
local deadline = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not deadline or tonumber(deadline) ~= tonumber(ARGV[2]) then return 0 end
if string.sub(redis.call('GET', KEYS[3]) or '', 1, 5) == 'done:' then return 0 end
if ARGV[4] == '0' then redis.call('SET', KEYS[2], ARGV[3]) else redis.call('SET', KEYS[2], ARGV[3], 'EX', ARGV[4]) end
redis.call('PUBLISH', KEYS[2], ARGV[3])
return 1
